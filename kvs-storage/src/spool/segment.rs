//! A segment file: header, records, and once it is complete an index of what it holds.
//!
//! | part | content |
//! |---|---|
//! | header, 40 bytes | `KVSSPOOL`, version (u32), 0 (u32), segment number (u64), next sequence number when it was begun (u64), CRC-32C of the above (u32), 0 (u32) |
//! | records | see [`entry`](super::entry); first those that repeat what was released so far |
//! | index record | the [`Part`]s and the released ranges, so that a restart reads this instead of the records |
//! | trailer, 16 bytes | offset of the index record (u64), CRC-32C of it seeded with the segment number (u32), `KVSX` |
//!
//! A segment without a valid trailer and index is scanned record by record.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::entry::{HEADER_LEN as RECORD_LEN, u32_at, u64_at};
use super::released::ReleasedSet;
use crate::{ItemFlags, ItemMeta, StoredFragment};

/// Version of everything a spool writes.
pub(crate) const FORMAT_VERSION: u32 = 1;

pub(crate) const HEADER_LEN: usize = 40;
pub(crate) const TRAILER_LEN: usize = 16;

const MAGIC: [u8; 8] = *b"KVSSPOOL";
const TRAILER_MAGIC: [u8; 4] = *b"KVSX";
const EXTENSION: &str = "seg";
const PART_LEN: usize = 72;

/// The path of a segment in its stream's directory.
pub(crate) fn path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}.{EXTENSION}"))
}

/// The number of a segment from its file name.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    let canonical = digits.len() == 16 && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    canonical.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// Whole, and of this version; items are numbered from `base_seq` on.
    Valid { base_seq: u64 },
    /// Whole, and of a version that isn't known here.
    Foreign { version: u32 },
    /// Torn or flipped.
    Damaged,
}

pub(crate) fn encode_header(id: u64, base_seq: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&id.to_le_bytes());
    header[24..32].copy_from_slice(&base_seq.to_le_bytes());
    let crc = crc32c::crc32c(&header[..32]);
    header[32..36].copy_from_slice(&crc.to_le_bytes());
    header
}

pub(crate) fn decode_header(header: &[u8], id: u64) -> Header {
    if header.len() < HEADER_LEN
        || header[0..8] != MAGIC
        || u32_at(header, 32) != crc32c::crc32c(&header[..32])
    {
        return Header::Damaged;
    }
    match u32_at(header, 8) {
        FORMAT_VERSION if u64_at(header, 16) == id => Header::Valid {
            base_seq: u64_at(header, 24),
        },
        // Another segment's file under this name.
        FORMAT_VERSION => Header::Damaged,
        version => Header::Foreign { version },
    }
}

/// A run of items of one fragment, contiguous in one segment file.
///
/// This is all that is kept in memory of items on disk: about a hundred bytes for seconds of media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) segment: u64,
    /// First sequence number of the whole fragment, which may have begun in an earlier part.
    pub(crate) fragment: u64,
    /// Where its first record begins.
    pub(crate) offset: u64,
    /// Bytes from there to the end of its last record, other records between included.
    pub(crate) len: u64,
    /// Extent, times and sizes of its items.
    pub(crate) items: StoredFragment,
}

impl Part {
    /// A part that consists of one record so far.
    pub(crate) fn starting_with(segment: u64, fragment: u64, offset: u64, meta: &ItemMeta) -> Part {
        let len = RECORD_LEN as u64 + u64::from(meta.len);
        Part {
            segment,
            fragment,
            offset,
            len,
            items: StoredFragment::starting_with(meta),
        }
    }

    /// Takes in the record at `offset` if it carries the part on; `false` if a new part begins there.
    pub(crate) fn take_in(&mut self, segment: u64, fragment: u64, offset: u64, meta: &ItemMeta) -> Extension {
        let follows =
            segment == self.segment && fragment == self.fragment && offset >= self.offset + self.len;
        if !follows || meta.seq < self.items.end_seq {
            return Extension::NewPart;
        }
        self.items.extend(meta);
        self.len = offset + RECORD_LEN as u64 + u64::from(meta.len) - self.offset;
        Extension::Extended
    }

    /// This part and the one that follows it in the same segment and fragment, as one.
    pub(crate) fn joined_with(&self, next: &Part) -> Part {
        let items = self.items.joined_with(&next.items);
        Part {
            len: next.offset + next.len - self.offset,
            items,
            ..self.clone()
        }
    }

    pub(crate) fn seqs(&self) -> Range<u64> {
        self.items.first_seq..self.items.end_seq
    }
}

/// Whether a record carried a part on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    Extended,
    NewPart,
}

/// What the index of a complete segment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    pub(crate) parts: Vec<Part>,
    pub(crate) released: ReleasedSet,
}

impl SegmentIndex {
    pub(crate) fn encode(parts: &[Part], released: &ReleasedSet) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + parts.len() * PART_LEN + released.len() * 16);
        bytes.extend_from_slice(&(parts.len() as u64).to_le_bytes());
        for Part {
            fragment,
            offset,
            len,
            items,
            ..
        } in parts
        {
            let numbers = [
                *fragment,
                *offset,
                *len,
                items.first_seq,
                items.end_seq,
                items.bytes,
            ];
            numbers
                .iter()
                .for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
            bytes.extend_from_slice(&items.timecode.to_le_bytes());
            bytes.extend_from_slice(&items.end_pts.to_le_bytes());
            bytes.extend_from_slice(&items.items.to_le_bytes());
            bytes.extend_from_slice(&u32::from(items.flags.bits()).to_le_bytes());
        }
        bytes.extend_from_slice(&(released.len() as u64).to_le_bytes());
        for range in released.iter() {
            bytes.extend_from_slice(&range.start.to_le_bytes());
            bytes.extend_from_slice(&range.end.to_le_bytes());
        }
        bytes
    }

    /// Understands an index whose checksum was right; `None` if it can't be one of this segment all the same.
    pub(crate) fn decode(segment: u64, bytes: &[u8], records_end: u64) -> Option<SegmentIndex> {
        let (count, rest) = split_count(bytes, PART_LEN)?;
        let (table, rest) = rest.split_at_checked(count * PART_LEN)?;
        let parts: Option<Vec<Part>> = table
            .chunks_exact(PART_LEN)
            .map(|bytes| decode_part(segment, bytes).filter(|part| part.is_plausible(records_end)))
            .collect();
        let (count, rest) = split_count(rest, 16)?;
        let mut released = ReleasedSet::default();
        rest.get(..count * 16)?
            .chunks_exact(16)
            .for_each(|bytes| released.insert(u64_at(bytes, 0)..u64_at(bytes, 8)));
        Some(SegmentIndex {
            parts: parts?,
            released,
        })
    }
}

/// A count of entries, and the bytes after it; `None` if they can't hold that many.
fn split_count(bytes: &[u8], entry_len: usize) -> Option<(usize, &[u8])> {
    let (count, rest) = bytes.split_first_chunk()?;
    let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
    (count <= rest.len() / entry_len).then_some((count, rest))
}

fn decode_part(segment: u64, bytes: &[u8]) -> Option<Part> {
    let items = StoredFragment {
        first_seq: u64_at(bytes, 24),
        end_seq: u64_at(bytes, 32),
        bytes: u64_at(bytes, 40),
        timecode: u64_at(bytes, 48).cast_signed(),
        end_pts: u64_at(bytes, 56).cast_signed(),
        items: u32_at(bytes, 64),
        flags: ItemFlags::from_bits(u16::try_from(u32_at(bytes, 68)).ok()?),
    };
    Some(Part {
        segment,
        fragment: u64_at(bytes, 0),
        offset: u64_at(bytes, 8),
        len: u64_at(bytes, 16),
        items,
    })
}

impl Part {
    fn is_plausible(&self, records_end: u64) -> bool {
        let within = self.offset >= HEADER_LEN as u64
            && self
                .offset
                .checked_add(self.len)
                .is_some_and(|end| end <= records_end);
        let least = u64::from(self.items.items) * RECORD_LEN as u64;
        let filled = self
            .items
            .bytes
            .checked_add(least)
            .is_some_and(|least| least <= self.len);
        within && filled && self.items.items > 0 && self.items.first_seq < self.items.end_seq
    }
}

pub(crate) fn encode_trailer(id: u64, index_offset: u64) -> [u8; TRAILER_LEN] {
    let mut trailer = [0; TRAILER_LEN];
    trailer[0..8].copy_from_slice(&index_offset.to_le_bytes());
    trailer[8..12].copy_from_slice(&trailer_crc(id, index_offset).to_le_bytes());
    trailer[12..16].copy_from_slice(&TRAILER_MAGIC);
    trailer
}

/// The offset of the index record, if the trailer is whole.
pub(crate) fn decode_trailer(id: u64, trailer: &[u8; TRAILER_LEN]) -> Option<u64> {
    let offset = u64_at(trailer, 0);
    (trailer[12..16] == TRAILER_MAGIC && u32_at(trailer, 8) == trailer_crc(id, offset)).then_some(offset)
}

fn trailer_crc(id: u64, index_offset: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&id.to_le_bytes()), &index_offset.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(seq: u64) -> ItemMeta {
        ItemMeta {
            seq,
            pts: -5,
            dts: -6,
            duration: 7,
            track: 1,
            flags: ItemFlags::KEY,
            len: 10,
        }
    }

    #[test]
    fn names_and_numbers_of_segments_correspond() {
        let path = path(Path::new("dir"), 0xAB);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(id_of(name), Some(0xAB));
        for other in [
            "",
            "seg",
            ".seg",
            "00.seg",
            "00000000000000AB.seg",
            "+0000000000000ab.seg",
            "lock",
        ] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_header_tells_its_version_and_its_damage() {
        let header = encode_header(3, 99);
        assert_eq!(decode_header(&header, 3), Header::Valid { base_seq: 99 });
        assert_eq!(decode_header(&header, 4), Header::Damaged);
        assert_eq!(decode_header(&header[..20], 3), Header::Damaged);
        let mut newer = header;
        newer[8] = 2;
        assert_eq!(decode_header(&newer, 3), Header::Damaged);
        let crc = crc32c::crc32c(&newer[..32]);
        newer[32..36].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode_header(&newer, 3), Header::Foreign { version: 2 });
    }

    #[test]
    fn an_index_is_read_back_as_written() {
        let mut first = Part::starting_with(9, 1, 40, &meta(1));
        assert_eq!(first.take_in(9, 1, 170, &meta(2)), Extension::Extended);
        assert_eq!((first.len, first.seqs()), (208, 1..3));
        assert_eq!(first.take_in(9, 4, 300, &meta(4)), Extension::NewPart);
        assert_eq!(first.take_in(8, 1, 300, &meta(4)), Extension::NewPart);
        let parts = vec![first, Part::starting_with(9, 4, 300, &meta(4))];
        let mut released = ReleasedSet::default();
        released.insert(0..1);
        released.insert(3..4);
        let bytes = SegmentIndex::encode(&parts, &released);
        let index = SegmentIndex::decode(9, &bytes, 378).unwrap();
        assert_eq!(index, SegmentIndex { parts, released });
        assert_eq!(
            SegmentIndex::decode(9, &bytes, 377),
            None,
            "a part beyond the records"
        );
        assert_eq!(SegmentIndex::decode(9, &bytes[..bytes.len() - 1], 378), None);
        assert_eq!(SegmentIndex::decode(9, &u64::MAX.to_le_bytes(), 370), None);
    }

    #[test]
    fn a_trailer_belongs_to_its_segment() {
        let trailer = encode_trailer(5, 1_000);
        assert_eq!(decode_trailer(5, &trailer), Some(1_000));
        assert_eq!(decode_trailer(6, &trailer), None);
    }
}
