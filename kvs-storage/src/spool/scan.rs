//! Reads a segment record by record, whatever happened to it.

use std::io;

use super::disk::{DiskFile, read_full_at};
use super::entry::{HEADER_LEN, MARKER, Record};

/// Bytes read at a time.
const WINDOW: usize = 256 * 1024;

/// What stands at a place in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record whose checksums are right.
    Record {
        /// Where it begins.
        offset: u64,
        /// Its header.
        record: Record,
    },
    /// A record whose header is right and whose payload isn't.
    DamagedPayload {
        /// Where it begins.
        offset: u64,
        /// Its header.
        record: Record,
    },
    /// Bytes that are no record.
    Garbage {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        len: u64,
    },
}

/// Walks through what stands between two offsets of a file, a window at a time.
pub(crate) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    segment: u64,
    position: u64,
    end: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, segment: u64, start: u64, end: u64) -> Scanner<'a> {
        Scanner {
            file,
            segment,
            position: start,
            end,
            window: Vec::new(),
            window_start: start,
        }
    }

    /// The next thing found, `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        let start = self.position;
        while self.position < self.end {
            match self.record_here()? {
                // Found again by the next call, once what stands before it was told.
                Some(_) if start < self.position => break,
                Some(found) => {
                    let (Found::Record { record, .. } | Found::DamagedPayload { record, .. }) = &found else {
                        return Ok(Some(found));
                    };
                    self.position += record.file_len();
                    return Ok(Some(found));
                }
                None => self.seek_marker()?,
            }
        }
        let len = self.position.min(self.end) - start;
        Ok((len > 0).then_some(Found::Garbage { offset: start, len }))
    }

    /// The record at the present position, if there is one that fits before the end.
    fn record_here(&mut self) -> io::Result<Option<Found>> {
        let (offset, segment) = (self.position, self.segment);
        let Some(header) = self.peek(offset)?.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let Some(record) = Record::decode(header, segment) else {
            return Ok(None);
        };
        if record.file_len() > self.end - offset {
            return Ok(None);
        }
        let crc = self.crc_of(offset + HEADER_LEN as u64, u64::from(record.len))?;
        let intact = crc == record.payload_crc;
        #[cfg(test)]
        let intact = intact || super::sabotage::is(super::sabotage::Sabotage::NoPayloadCheck);
        let found = match intact {
            true => Found::Record { offset, record },
            false => Found::DamagedPayload { offset, record },
        };
        Ok(Some(found))
    }

    fn crc_of(&mut self, start: u64, len: u64) -> io::Result<u32> {
        let (mut crc, mut done) = (0, 0);
        while done < len {
            let window = self.peek(start + done)?;
            if window.is_empty() {
                break;
            }
            let take = usize::try_from(len - done)
                .unwrap_or(usize::MAX)
                .min(window.len());
            crc = crc32c::crc32c_append(crc, &window[..take]);
            done += take as u64;
        }
        Ok(crc)
    }

    /// Moves to the next marker after the present position, or to the end.
    fn seek_marker(&mut self) -> io::Result<()> {
        let mut from = self.position + 1;
        while from < self.end {
            let window = self.peek(from)?;
            if let Some(distance) = memchr::memmem::find(window, &MARKER) {
                self.position = from + distance as u64;
                return Ok(());
            }
            // A marker may straddle the end of the window.
            let step = window.len().saturating_sub(MARKER.len() - 1).max(1);
            from += step as u64;
        }
        self.position = self.end;
        Ok(())
    }

    /// The bytes from `offset` on: at least a record's header, unless the end is nearer.
    fn peek(&mut self, offset: u64) -> io::Result<&[u8]> {
        let loaded = offset >= self.window_start && offset - self.window_start <= self.window.len() as u64;
        let ahead = if loaded {
            self.window_start + self.window.len() as u64 - offset
        } else {
            0
        };
        if ahead < HEADER_LEN as u64 {
            let want = usize::try_from(self.end.saturating_sub(offset))
                .unwrap_or(usize::MAX)
                .min(WINDOW);
            self.window.resize(want, 0);
            let read = read_full_at(self.file, offset, &mut self.window)?;
            self.window.truncate(read);
            self.window_start = offset;
        }
        let skip = usize::try_from(offset - self.window_start).unwrap_or(usize::MAX);
        Ok(self.window.get(skip..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use proptest::prelude::*;

    use super::*;
    use crate::fragment::{Dependence, Placement};
    use crate::{ItemFlags, ItemMeta};

    struct Bytes(Vec<u8>);

    impl DiskFile for Bytes {
        fn write(&mut self, _slices: &[IoSlice<'_>]) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let rest = self.0.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            // Short reads, as a file system may answer.
            let read = rest.len().min(buffer.len()).min(1_000);
            buffer[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn len(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }
    }

    fn records(lens: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for (seq, len) in lens.iter().enumerate() {
            let payload = vec![seq as u8; *len];
            let placement = Placement {
                fragment: 0,
                dependence: Dependence::Independent,
            };
            let meta = ItemMeta {
                seq: seq as u64,
                pts: 0,
                dts: 0,
                duration: 0,
                track: 1,
                flags: ItemFlags::NONE,
                len: u32::try_from(*len).unwrap(),
            };
            starts.push(bytes.len());
            bytes.extend_from_slice(&Record::item(meta, placement, &payload).encode(7));
            bytes.extend_from_slice(&payload);
        }
        (bytes, starts)
    }

    fn scan(bytes: Vec<u8>) -> Vec<Found> {
        let end = bytes.len() as u64;
        let file = Bytes(bytes);
        let mut scanner = Scanner::new(&file, 7, 0, end);
        std::iter::from_fn(|| scanner.next().unwrap()).collect()
    }

    fn seqs(found: &[Found]) -> Vec<usize> {
        found
            .iter()
            .filter_map(|found| match found {
                Found::Record { offset, .. } => Some(usize::try_from(*offset).unwrap()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn every_record_is_found_across_windows() {
        let (bytes, starts) = records(&[0, 10, WINDOW, 3 * WINDOW + 5, 1]);
        assert_eq!(seqs(&scan(bytes)), starts);
    }

    #[test]
    fn a_flipped_payload_bit_costs_one_record() {
        let (mut bytes, starts) = records(&[100, 100, 100]);
        bytes[starts[1] + HEADER_LEN + 50] ^= 4;
        let found = scan(bytes);
        assert_eq!(seqs(&found), [starts[0], starts[2]]);
        assert!(matches!(&found[1], Found::DamagedPayload { .. }));
    }

    #[test]
    fn a_flipped_header_bit_costs_one_record() {
        let (mut bytes, starts) = records(&[100, 100, 100]);
        bytes[starts[1] + 20] ^= 4;
        let found = scan(bytes);
        assert_eq!(seqs(&found), [starts[0], starts[2]]);
        assert_eq!(
            found[1],
            Found::Garbage {
                offset: starts[1] as u64,
                len: (starts[2] - starts[1]) as u64
            }
        );
    }

    proptest! {
        #[test]
        fn torn_anywhere_what_is_whole_is_found(lens in prop::collection::vec(0usize..300, 1..20), cut: prop::sample::Index) {
            let (mut bytes, starts) = records(&lens);
            let cut = cut.index(bytes.len() + 1);
            let whole: Vec<usize> =
                starts.iter().zip(&lens).filter(|(start, len)| **start + HEADER_LEN + **len <= cut).map(|(s, _)| *s).collect();
            bytes.truncate(cut);
            let covered: u64 = scan(bytes.clone()).iter().map(|found| match found {
                Found::Garbage { len, .. } => *len,
                Found::Record { record, .. } | Found::DamagedPayload { record, .. } => record.file_len(),
            }).sum();
            prop_assert_eq!(covered, bytes.len() as u64);
            prop_assert_eq!(seqs(&scan(bytes)), whole);
        }
    }
}
