//! The box structure (ISO/IEC 14496-12 §4.2), at the level of a file and inside a box.
//!
//! Containers are walked here, box by box and without recursion, so that neither an unknown box nor deep nesting can
//! do harm; what the leaves hold is decoded by `mp4-atom`.

use std::io::{self, Read, Seek, SeekFrom};

use mp4_atom::Atom;

use super::Mp4ErrorKind;

/// The type of a box: four bytes, mostly readable.
pub(super) type FourCc = [u8; 4];

/// A box inside another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child<'a> {
    pub(super) kind: FourCc,
    pub(super) body: &'a [u8],
}

/// The boxes directly inside `body`. Ends at the first one that doesn't fit, as players do.
pub(super) fn children(body: &[u8]) -> impl Iterator<Item = Child<'_>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (header, _) = rest.split_at_checked(8)?;
        let (size, kind) = split_header(header)?;
        let (start, end) = match size {
            0 => (8, rest.len()),
            1 => {
                let large = rest.get(8..16)?.try_into().ok()?;
                (16, usize::try_from(u64::from_be_bytes(large)).ok()?)
            }
            size => (8, usize::try_from(size).ok()?),
        };
        let child = Child {
            kind,
            body: rest.get(start..end)?,
        };
        rest = &rest[end..];
        Some(child)
    })
}

/// The first box of a type directly inside `body`.
pub(super) fn child<'a>(body: &'a [u8], kind: &FourCc) -> Option<&'a [u8]> {
    children(body)
        .find(|child| child.kind == *kind)
        .map(|child| child.body)
}

/// The box at the end of a path of nested boxes.
pub(super) fn descend<'a>(body: &'a [u8], path: &[&FourCc]) -> Option<&'a [u8]> {
    path.iter().try_fold(body, |body, kind| child(body, kind))
}

/// Decodes the body of a leaf.
pub(super) fn leaf<T: Atom>(mut body: &[u8], what: &'static str) -> Result<T, Mp4ErrorKind> {
    T::decode_body(&mut body).map_err(|_| Mp4ErrorKind::NotMedia(what))
}

/// A box at the top level of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopLevel {
    pub(super) kind: FourCc,
    /// Where its header starts.
    pub(super) start: u64,
    pub(super) body: u64,
    /// Where it ends; never past the end of the file.
    pub(super) end: u64,
}

/// Walks the top level of a file by its box headers.
pub(super) struct TopLevels<'a, R> {
    reader: &'a mut R,
    at: u64,
    len: u64,
}

impl<'a, R: Read + Seek> TopLevels<'a, R> {
    pub(super) fn new(reader: &'a mut R) -> io::Result<TopLevels<'a, R>> {
        let len = reader.seek(SeekFrom::End(0))?;
        Ok(TopLevels { reader, at: 0, len })
    }

    pub(super) fn file_len(&self) -> u64 {
        self.len
    }

    /// The next box, or none at the end of the file or where no box can be.
    pub(super) fn next(&mut self) -> io::Result<Option<TopLevel>> {
        let left = self.len - self.at;
        if left < 8 {
            return Ok(None);
        }
        self.reader.seek(SeekFrom::Start(self.at))?;
        let mut header = [0; 8];
        self.reader.read_exact(&mut header)?;
        let Some((size, kind)) = split_header(&header) else {
            return Ok(None);
        };
        let (header_len, size) = match size {
            0 => (8, left),
            1 if left >= 16 => {
                let mut large = [0; 8];
                self.reader.read_exact(&mut large)?;
                (16, u64::from_be_bytes(large))
            }
            size => (8, size),
        };
        if size < header_len {
            return Ok(None);
        }
        let start = self.at;
        let end = start.saturating_add(size).min(self.len);
        self.at = end;
        Ok(Some(TopLevel {
            kind,
            start,
            body: start + header_len,
            end,
        }))
    }

    /// The bytes of a box's body, refused above `limit`.
    pub(super) fn read_body(&mut self, top: &TopLevel, limit: u64) -> Result<Vec<u8>, Mp4ErrorKind> {
        let len = top.end - top.body;
        if len > limit {
            return Err(Mp4ErrorKind::NotMedia("its index is unreasonably large"));
        }
        let mut body =
            vec![0; usize::try_from(len).map_err(|_| Mp4ErrorKind::NotMedia("its index is too large"))?];
        self.reader
            .seek(SeekFrom::Start(top.body))
            .map_err(Mp4ErrorKind::Unreadable)?;
        self.reader
            .read_exact(&mut body)
            .map_err(Mp4ErrorKind::Unreadable)?;
        Ok(body)
    }
}

fn split_header(header: &[u8]) -> Option<(u64, FourCc)> {
    let (size, kind) = header.split_at_checked(4)?;
    Some((
        u64::from(u32::from_be_bytes(size.try_into().ok()?)),
        kind.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_child_that_claims_more_than_its_parent_holds_ends_the_walk() {
        let body = [b"\0\0\0\x0cgood1234".as_slice(), b"\0\0\0\xffevil"].concat();
        let kinds: Vec<_> = children(&body).map(|child| child.kind).collect();
        assert_eq!(kinds, [*b"good"]);
    }

    #[test]
    fn a_child_of_size_zero_reaches_to_the_end_of_its_parent() {
        let found = child(b"\0\0\0\0lastrest", b"last");
        assert_eq!(found, Some(b"rest".as_slice()));
    }

    #[test]
    fn sizes_below_the_header_never_loop() {
        for size in 2..8u8 {
            let file = [0, 0, 0, size, b'f', b'r', b'e', b'e', 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(children(&file).count(), 0, "size {size}");
            let mut reader = Cursor::new(file);
            let mut top = TopLevels::new(&mut reader).unwrap();
            assert!(top.next().unwrap().is_none(), "size {size}");
        }
    }

    #[test]
    fn a_large_size_is_read_from_the_eight_bytes_after_the_type() {
        let file = [
            b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12ab".as_slice(),
            b"\0\0\0\x08free",
        ]
        .concat();
        let mut reader = Cursor::new(file);
        let mut top = TopLevels::new(&mut reader).unwrap();
        let mdat = top.next().unwrap().unwrap();
        assert_eq!((mdat.start, mdat.body, mdat.end), (0, 16, 18));
        assert_eq!(top.next().unwrap().unwrap().kind, *b"free");
        assert!(top.next().unwrap().is_none());
    }
}
