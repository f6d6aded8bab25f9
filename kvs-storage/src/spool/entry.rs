//! One record of a segment: a fixed header, then the payload.
//!
//! All numbers are little endian. The header's checksum covers the header and is seeded with the segment's number, so a
//! record found by searching damaged bytes can't be one that a payload or another segment carries.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | marker `8F 4B 56 53` |
//! | 4 | 1 | kind: 1 item, 2 release, 3 index |
//! | 5 | 1 | track |
//! | 6 | 2 | flags ([`ItemFlags`]) |
//! | 8 | 4 | payload length |
//! | 12 | 4 | CRC-32C of the payload |
//! | 16 | 8 | sequence number; of a release the first |
//! | 24 | 8 | first sequence number of the fragment; of a release one past the last |
//! | 32 | 8 | pts, nanoseconds |
//! | 40 | 8 | dts, nanoseconds |
//! | 48 | 8 | duration, nanoseconds |
//! | 56 | 8 | sequence number of the key frame that the item depends on; all ones for none |
//! | 64 | 4 | CRC-32C of the above |

use std::ops::Range;

use crate::fragment::{Dependence, Placement};
use crate::{ItemFlags, ItemMeta};

/// Length of a record's header.
pub(crate) const HEADER_LEN: usize = 68;

/// What every record begins with; not valid UTF-8 and not a start code, so it is rare in text and media.
pub(crate) const MARKER: [u8; 4] = [0x8F, b'K', b'V', b'S'];

const KIND_ITEM: u8 = 1;
const KIND_RELEASE: u8 = 2;
const KIND_INDEX: u8 = 3;

/// In place of a key frame's number where an item depends on none; no item has it.
const NO_KEY: u64 = u64::MAX;

/// A record's header, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) body: RecordBody,
    pub(crate) len: u32,
    pub(crate) payload_crc: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordBody {
    Item { meta: ItemMeta, placement: Placement },
    Release(Range<u64>),
    Index,
}

impl Record {
    /// Bytes in the file, header included.
    pub(crate) fn file_len(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.len)
    }

    pub(crate) fn is_item(&self) -> bool {
        matches!(self.body, RecordBody::Item { .. })
    }

    pub(crate) fn item(meta: ItemMeta, placement: Placement, payload: &[u8]) -> Record {
        let body = RecordBody::Item { meta, placement };
        Record {
            body,
            len: meta.len,
            payload_crc: crc32c::crc32c(payload),
        }
    }

    pub(crate) fn release(seqs: Range<u64>) -> Record {
        Record {
            body: RecordBody::Release(seqs),
            len: 0,
            payload_crc: 0,
        }
    }

    /// `None` if the payload is longer than a record can say.
    pub(crate) fn index(payload: &[u8]) -> Option<Record> {
        let len = u32::try_from(payload.len()).ok()?;
        Some(Record {
            body: RecordBody::Index,
            len,
            payload_crc: crc32c::crc32c(payload),
        })
    }

    pub(crate) fn encode(&self, segment: u64) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[0..4].copy_from_slice(&MARKER);
        header[8..12].copy_from_slice(&self.len.to_le_bytes());
        header[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        match &self.body {
            RecordBody::Item { meta, placement } => {
                header[4] = KIND_ITEM;
                header[5] = meta.track;
                header[6..8].copy_from_slice(&meta.flags.bits().to_le_bytes());
                header[16..24].copy_from_slice(&meta.seq.to_le_bytes());
                header[24..32].copy_from_slice(&placement.fragment.to_le_bytes());
                header[32..40].copy_from_slice(&meta.pts.to_le_bytes());
                header[40..48].copy_from_slice(&meta.dts.to_le_bytes());
                header[48..56].copy_from_slice(&meta.duration.to_le_bytes());
                let key = match placement.dependence {
                    Dependence::Independent => NO_KEY,
                    Dependence::OnKey(key) => key,
                };
                header[56..64].copy_from_slice(&key.to_le_bytes());
            }
            RecordBody::Release(seqs) => {
                header[4] = KIND_RELEASE;
                header[16..24].copy_from_slice(&seqs.start.to_le_bytes());
                header[24..32].copy_from_slice(&seqs.end.to_le_bytes());
            }
            RecordBody::Index => header[4] = KIND_INDEX,
        }
        let crc = header_crc(&header, segment);
        header[64..68].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// Understands a header; `None` if it is damaged, of another segment, or of a kind this version doesn't know.
    pub(crate) fn decode(header: &[u8; HEADER_LEN], segment: u64) -> Option<Record> {
        if header[0..4] != MARKER || u32_at(header, 64) != header_crc(header, segment) {
            return None;
        }
        let len = u32_at(header, 8);
        let body = match header[4] {
            KIND_ITEM => RecordBody::Item {
                meta: ItemMeta {
                    seq: u64_at(header, 16),
                    pts: u64_at(header, 32).cast_signed(),
                    dts: u64_at(header, 40).cast_signed(),
                    duration: u64_at(header, 48),
                    track: header[5],
                    flags: ItemFlags::from_bits(u16::from_le_bytes([header[6], header[7]])),
                    len,
                },
                placement: Placement {
                    fragment: u64_at(header, 24),
                    dependence: match u64_at(header, 56) {
                        NO_KEY => Dependence::Independent,
                        key => Dependence::OnKey(key),
                    },
                },
            },
            KIND_RELEASE => RecordBody::Release(u64_at(header, 16)..u64_at(header, 24)),
            KIND_INDEX => RecordBody::Index,
            _ => return None,
        };
        let numbered = !matches!(&body, RecordBody::Item { meta, .. } if meta.seq == u64::MAX);
        numbered.then_some(Record {
            body,
            len,
            payload_crc: u32_at(header, 12),
        })
    }
}

fn header_crc(header: &[u8; HEADER_LEN], segment: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&segment.to_le_bytes()), &header[..64])
}

/// A header with these fields, made whole: marker, length and checksums are right, whatever the rest says.
pub(crate) fn mended_record(fields: [u8; HEADER_LEN - 4], payload: &[u8], segment: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..HEADER_LEN - 4].copy_from_slice(&fields);
    header[0..4].copy_from_slice(&MARKER);
    header[4] = fields[4] % 4;
    header[8..12].copy_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    header[12..16].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    let crc = header_crc(&header, segment);
    header[64..68].copy_from_slice(&crc.to_le_bytes());
    header
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = Record> {
        let item = (
            (0..u64::MAX, any::<i64>(), any::<i64>(), any::<u64>()),
            (
                any::<u8>(),
                any::<u16>(),
                any::<u64>(),
                any::<u32>(),
                any::<u32>(),
            ),
            prop_oneof![
                Just(Dependence::Independent),
                (0..u64::MAX).prop_map(Dependence::OnKey)
            ],
        )
            .prop_map(
                |((seq, pts, dts, duration), (track, flags, fragment, len, payload_crc), dependence)| {
                    let flags = ItemFlags::from_bits(flags);
                    let meta = ItemMeta {
                        seq,
                        pts,
                        dts,
                        duration,
                        track,
                        flags,
                        len,
                    };
                    let placement = Placement { fragment, dependence };
                    Record {
                        body: RecordBody::Item { meta, placement },
                        len,
                        payload_crc,
                    }
                },
            );
        let release = (any::<u64>(), any::<u64>()).prop_map(|(start, end)| Record::release(start..end));
        prop_oneof![item, release]
    }

    proptest! {
        #[test]
        fn a_record_is_read_back_as_written(record in record(), segment: u64) {
            prop_assert_eq!(Record::decode(&record.encode(segment), segment), Some(record));
        }

        #[test]
        fn any_flipped_bit_is_noticed(record in record(), segment: u64, bit in 0usize..HEADER_LEN * 8) {
            let mut header = record.encode(segment);
            header[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Record::decode(&header, segment), None);
        }

        #[test]
        fn a_record_of_another_segment_is_not_taken(record in record(), segment: u64, other: u64) {
            prop_assume!(segment != other);
            prop_assert_eq!(Record::decode(&record.encode(segment), other), None);
        }
    }
}
