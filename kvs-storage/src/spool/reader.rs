//! Reads items back from segments.

use std::path::Path;

use bytes::{Bytes, BytesMut};

use super::disk::{Disk, DiskFile, read_full_at};
use super::entry::{HEADER_LEN, MARKER, Record, RecordBody};
use super::segment::{self, Part};
use crate::{ItemMeta, StoreError};

/// Least number of bytes read at a time; a disk's sequential rate needs pieces of 64 KiB and more.
const MIN_CHUNK: usize = 64 * 1024;

/// Where reading in a part goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// The lowest sequence number that may come next.
    pub(crate) seq: u64,
}

impl Cursor {
    pub(crate) fn at_start_of(part: &Part) -> Cursor {
        Cursor {
            segment: part.segment,
            offset: part.offset,
            seq: part.items.first_seq,
        }
    }

    /// Whether it stands inside this part at or before `seq`, so that reading can go on from it.
    pub(crate) fn serves(&self, part: &Part, seq: u64) -> bool {
        let inside = self.segment == part.segment
            && self.offset >= part.offset
            && self.offset <= part.offset + part.len;
        inside && self.seq <= seq && self.seq >= part.items.first_seq
    }
}

/// What one reading brought.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Whole items, in order.
    pub(crate) items: Vec<(ItemMeta, Bytes)>,
    /// Items whose payload fails its checksum.
    pub(crate) damaged: Vec<u64>,
    /// Where the next reading in this part goes on; `None` at its end.
    pub(crate) next: Option<Cursor>,
}

/// Keeps the segment open that it read last.
#[derive(Default)]
pub(crate) struct Reader {
    open: Option<(u64, Box<dyn DiskFile>)>,
}

impl Reader {
    /// Reads items of `part` from `cursor` on, those below `from` left out, in one piece of about `max_bytes` of file, but
    /// at least one item. The payloads share the memory they were read into.
    pub(crate) fn read(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        part: &Part,
        cursor: Cursor,
        from: u64,
        max_bytes: usize,
    ) -> Result<Chunk, StoreError> {
        let path = segment::path(dir, part.segment);
        let failed = |error| StoreError::from_io(error).with_path(&path);
        let file = match self.open.take() {
            Some((segment, file)) if segment == part.segment => file,
            _ => disk.open(&path).map_err(failed)?,
        };
        let end = part.offset + part.len;
        let mut want = max_bytes.max(MIN_CHUNK);
        let chunk = loop {
            let left = usize::try_from(end.saturating_sub(cursor.offset)).unwrap_or(usize::MAX);
            let mut buffer = BytesMut::zeroed(want.min(left));
            let read = read_full_at(&*file, cursor.offset, &mut buffer).map_err(failed)?;
            let extent = match buffer.len() == left || read < buffer.len() {
                true => Extent::ToTheEnd,
                false => Extent::Piece,
            };
            buffer.truncate(read);
            match parse(&buffer.freeze(), part, cursor, from, extent) {
                Parsed::Chunk(chunk) => break chunk,
                Parsed::NeedsAtLeast(bytes) => want = bytes.max(want.saturating_mul(2)),
            }
        };
        self.open = Some((part.segment, file));
        Ok(chunk)
    }

    /// Lets go of the open file, so that it can be removed everywhere.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }
}

/// Whether what was read reaches to the end of the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Piece,
    ToTheEnd,
}

enum Parsed {
    Chunk(Chunk),
    /// The first record is longer than what was read.
    NeedsAtLeast(usize),
}

fn parse(bytes: &Bytes, part: &Part, cursor: Cursor, from: u64, extent: Extent) -> Parsed {
    let mut chunk = Chunk::default();
    let mut position = 0;
    let mut next_seq = cursor.seq;
    while let Some(header) = bytes
        .get(position..)
        .and_then(|rest| rest.first_chunk::<HEADER_LEN>())
    {
        let Some(record) = Record::decode(header, part.segment) else {
            // Damage: go on at the next marker; what is missing shows in the numbers.
            let search = bytes.get(position + 1..).unwrap_or_default();
            position = match memchr::memmem::find(search, &MARKER) {
                Some(distance) => position + 1 + distance,
                None => bytes.len().saturating_sub(MARKER.len() - 1).max(position + 1),
            };
            continue;
        };
        let start = position + HEADER_LEN;
        let end = start + record.len as usize;
        let Some(payload) = bytes.get(start..end) else {
            if position == 0 && extent == Extent::Piece {
                return Parsed::NeedsAtLeast(end);
            }
            if extent == Extent::ToTheEnd {
                // It reaches beyond the part: no record of it.
                position += 1;
                continue;
            }
            break;
        };
        let intact = crc32c::crc32c(payload) == record.payload_crc;
        #[cfg(test)]
        let intact = intact || super::sabotage::is(super::sabotage::Sabotage::NoPayloadCheck);
        if let RecordBody::Item { meta, .. } = record.body
            && meta.seq >= next_seq
            && part.seqs().contains(&meta.seq)
        {
            next_seq = meta.seq + 1;
            match intact {
                true if meta.seq >= from => chunk.items.push((meta, bytes.slice(start..end))),
                true => {}
                false => chunk.damaged.push(meta.seq),
            }
        }
        position = end;
    }
    if extent == Extent::Piece {
        chunk.next = Some(Cursor {
            segment: part.segment,
            offset: cursor.offset + position as u64,
            seq: next_seq,
        });
    }
    Parsed::Chunk(chunk)
}
