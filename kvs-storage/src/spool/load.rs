//! Reads a stream's items back from disk, a chunk at a time.

use std::ops::Range;

use super::reader::{Chunk, Cursor, Reader};
use super::segment::Part;
use super::stream::Stream;
use crate::{StoreError, StoreErrorKind};

/// The reading side of a stream: where the last reading ended, so that the next goes on there.
#[derive(Default)]
pub(crate) struct Loader {
    reader: Reader,
    cursor: Option<Cursor>,
}

/// What a loading brought.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) chunks: Vec<Chunk>,
    /// Everything on disk below this was read.
    pub(crate) covered_to: u64,
}

impl Loader {
    /// Reads items from `from` on: about `max_bytes` of them, but at least one if there is any below `end`.
    pub(crate) fn load(
        &mut self,
        stream: &Stream,
        from: u64,
        end: u64,
        max_bytes: usize,
    ) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded {
            chunks: Vec::new(),
            covered_to: from,
        };
        let mut bytes = 0;
        while bytes < max_bytes && loaded.covered_to < end {
            let Some(part) = next_part(stream, loaded.covered_to..end) else {
                loaded.covered_to = end;
                break;
            };
            let from = loaded.covered_to.max(part.items.first_seq);
            let cursor = self.cursor.filter(|cursor| cursor.serves(&part, from));
            let cursor = cursor.unwrap_or_else(|| Cursor::at_start_of(&part));
            let read = self
                .reader
                .read(&*stream.disk, &stream.dir, &part, cursor, from, max_bytes - bytes);
            let chunk = match read {
                Ok(chunk) => chunk,
                // Released and removed while it was read.
                Err(error) if error.kind() == StoreErrorKind::Vanished && is_released(stream, &part) => {
                    loaded.covered_to = part.items.end_seq;
                    continue;
                }
                Err(error) => return Err(stream.error(error)),
            };
            bytes += chunk
                .items
                .iter()
                .map(|(meta, _)| meta.len as usize)
                .sum::<usize>();
            self.cursor = chunk.next;
            loaded.covered_to = chunk
                .next
                .map_or(part.items.end_seq, |next| next.seq.max(loaded.covered_to));
            loaded.chunks.push(chunk);
        }
        Ok(loaded)
    }

    /// Lets go of the open file.
    pub(crate) fn close(&mut self) {
        self.reader.close();
    }
}

fn next_part(stream: &Stream, seqs: Range<u64>) -> Option<Part> {
    stream
        .state()
        .index
        .part_from(seqs.start)
        .filter(|part| part.items.first_seq < seqs.end)
        .cloned()
}

fn is_released(stream: &Stream, part: &Part) -> bool {
    stream.state().index.released().contains_all(&part.seqs())
}
