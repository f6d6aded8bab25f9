//! The bytes given to the demuxer and not yet used: a queue of shared chunks.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// A queue of chunks. Taking what lies within one chunk copies nothing.
#[derive(Debug, Default)]
pub(super) struct Rope {
    chunks: VecDeque<Bytes>,
    len: usize,
    /// How many bytes were taken or skipped so far.
    offset: u64,
}

impl Rope {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The offset of the next byte in the whole input.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Copies the first bytes into `head` without using them up; gives how many there were.
    pub(super) fn peek(&self, head: &mut [u8]) -> usize {
        let mut filled = 0;
        for chunk in &self.chunks {
            let count = chunk.len().min(head.len() - filled);
            head[filled..filled + count].copy_from_slice(&chunk[..count]);
            filled += count;
            if filled == head.len() {
                break;
            }
        }
        filled
    }

    /// Takes the first `count` bytes, if there are that many.
    pub(super) fn take(&mut self, count: usize) -> Option<Bytes> {
        if count > self.len {
            return None;
        }
        let taken = match self.chunks.front_mut() {
            None => Bytes::new(),
            Some(front) if front.len() > count => front.split_to(count),
            Some(front) if front.len() == count => self.chunks.pop_front().unwrap_or_default(),
            Some(_) => return Some(self.gather(count)),
        };
        self.len -= count;
        self.offset += count as u64;
        Some(taken)
    }

    /// Takes bytes that lie in several chunks into one.
    fn gather(&mut self, count: usize) -> Bytes {
        let mut gathered = BytesMut::with_capacity(count);
        while gathered.len() < count {
            let Some(front) = self.chunks.front_mut() else {
                break;
            };
            let part = front.len().min(count - gathered.len());
            gathered.extend_from_slice(&front[..part]);
            front.advance(part);
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.len -= gathered.len();
        self.offset += gathered.len() as u64;
        gathered.freeze()
    }

    /// Drops up to `count` bytes; gives how many.
    pub(super) fn skip(&mut self, count: u64) -> u64 {
        let mut left = count.min(self.len as u64);
        let skipped = left;
        while left > 0 {
            let Some(front) = self.chunks.front_mut() else {
                break;
            };
            let part = front.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            front.advance(part);
            if front.is_empty() {
                self.chunks.pop_front();
            }
            left -= part as u64;
        }
        self.len -= skipped as usize;
        self.offset += skipped;
        skipped
    }

    /// Makes one chunk of all of them, for a search; gives it.
    pub(super) fn contiguous(&mut self) -> Bytes {
        if self.chunks.len() > 1 {
            let mut whole = BytesMut::with_capacity(self.len);
            for chunk in self.chunks.drain(..) {
                whole.extend_from_slice(&chunk);
            }
            self.chunks.push_back(whole.freeze());
        }
        self.chunks.front().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(chunks: &[&'static str]) -> Rope {
        let mut rope = Rope::default();
        for chunk in chunks {
            rope.push(Bytes::from_static(chunk.as_bytes()));
        }
        rope
    }

    #[test]
    fn takes_across_chunks_and_counts_the_offset() {
        let mut rope = rope(&["ab", "", "cde", "f"]);
        let mut head = [0; 4];
        assert_eq!((rope.peek(&mut head), &head), (4, b"abcd"));
        assert_eq!(rope.take(3).unwrap(), "abc");
        assert_eq!(rope.skip(1), 1);
        assert_eq!(rope.take(3), None);
        assert_eq!(rope.take(2).unwrap(), "ef");
        assert_eq!((rope.len(), rope.offset()), (0, 6));
        assert_eq!(rope.skip(9), 0);
    }

    #[test]
    fn what_lies_in_one_chunk_is_not_copied() {
        let chunk = Bytes::from(vec![1; 100]);
        let mut rope = Rope::default();
        rope.push(chunk.clone());
        assert_eq!(rope.take(40).unwrap().as_ptr(), chunk.as_ptr());
        assert_eq!(rope.take(60).unwrap().as_ptr(), chunk[40..].as_ptr());
    }
}
