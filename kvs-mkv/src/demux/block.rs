//! Blocks: SimpleBlock, BlockGroup and lacing (RFC 9559 §10).

use bytes::{Buf, Bytes};

use super::element::Children;
use crate::ebml;
use crate::error::{MkvError, MkvErrorKind};
use crate::schema::id;

fn malformed(what: &'static str) -> MkvError {
    MkvError::new(MkvErrorKind::MalformedElement).with_detail(what)
}

/// A block before its lacing is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawBlock {
    pub(super) track: u64,
    pub(super) relative: i16,
    pub(super) flags: u8,
    pub(super) duration: Option<u64>,
    pub(super) data: Bytes,
}

impl RawBlock {
    /// Parses a SimpleBlock's or a Block's data.
    pub(super) fn parse(mut data: Bytes) -> Result<Self, MkvError> {
        let len = data.first().and_then(|&first| ebml::vint_len(first));
        let len = len
            .filter(|len| data.len() >= len + 3)
            .ok_or_else(|| malformed("block is cut short"))?;
        let track = ebml::vint(&data[..len]).filter(|&track| track > 0);
        let track = track.ok_or_else(|| malformed("invalid track number in block"))?;
        let relative = i16::from_be_bytes([data[len], data[len + 1]]);
        let flags = data[len + 2];
        data.advance(len + 3);
        Ok(RawBlock {
            track,
            relative,
            flags,
            duration: None,
            data,
        })
    }

    /// Parses a BlockGroup: a Block that is a key frame unless it refers to another.
    pub(super) fn parse_group(data: &Bytes) -> Result<Self, MkvError> {
        let (mut block, mut duration, mut refers) = (None, None, false);
        for child in Children::of(data) {
            let (id, data) = child?;
            match id {
                id::BLOCK => block = Some(RawBlock::parse(data)?),
                id::BLOCK_DURATION => duration = ebml::uint(&data),
                id::REFERENCE_BLOCK => refers = true,
                _ => {}
            }
        }
        let mut block = block.ok_or_else(|| malformed("block group without a block"))?;
        block.duration = duration;
        // A Block has no key and discardable flags; its reserved bits are not ours.
        block.flags &= 0x0E;
        block.flags |= if refers { 0 } else { 0x80 };
        Ok(block)
    }

    /// The frames in the block: one, or those that are laced.
    pub(super) fn frames(&self) -> Result<Vec<Bytes>, MkvError> {
        match self.flags & 0x06 {
            0x00 => Ok(vec![self.data.clone()]),
            0x02 => xiph(self.data.clone()),
            0x06 => ebml_laced(self.data.clone()),
            _ => fixed(self.data.clone()),
        }
    }

    /// Whether the block holds one frame as it is.
    pub(super) fn is_unlaced(&self) -> bool {
        self.flags & 0x06 == 0
    }
}

/// The number of frames, which the first byte tells less one.
fn frame_count(data: &mut Bytes) -> Result<usize, MkvError> {
    if data.is_empty() {
        return Err(malformed("laced block is cut short"));
    }
    Ok(usize::from(data.get_u8()) + 1)
}

/// Cuts `data` into frames of these sizes and a last one of the rest.
fn cut(mut data: Bytes, sizes: &[usize]) -> Result<Vec<Bytes>, MkvError> {
    let mut frames = Vec::with_capacity(sizes.len() + 1);
    for &size in sizes {
        if size > data.len() {
            return Err(malformed("laced frame exceeds its block"));
        }
        frames.push(data.split_to(size));
    }
    frames.push(data);
    Ok(frames)
}

/// RFC 9559 §10.3.2: sizes as runs of 255 and a last smaller byte.
fn xiph(mut data: Bytes) -> Result<Vec<Bytes>, MkvError> {
    let count = frame_count(&mut data)?;
    let mut sizes = Vec::with_capacity(count - 1);
    for _ in 1..count {
        let mut size = 0;
        loop {
            if data.is_empty() {
                return Err(malformed("laced block is cut short"));
            }
            let byte = data.get_u8();
            size += usize::from(byte);
            if byte < 255 {
                break;
            }
        }
        sizes.push(size);
    }
    cut(data, &sizes)
}

/// RFC 9559 §10.3.3: the first size, then differences.
fn ebml_laced(mut data: Bytes) -> Result<Vec<Bytes>, MkvError> {
    let count = frame_count(&mut data)?;
    let mut sizes = Vec::with_capacity(count - 1);
    let mut size = 0i64;
    for index in 1..count {
        let len = data.first().and_then(|&first| ebml::vint_len(first));
        let len = len
            .filter(|&len| len <= data.len())
            .ok_or_else(|| malformed("laced block is cut short"))?;
        let value = ebml::vint(&data[..len]).and_then(|value| i64::try_from(value).ok());
        let value = value.ok_or_else(|| malformed("invalid size of a laced frame"))?;
        data.advance(len);
        // Differences are stored with half their range added.
        size = if index == 1 {
            value
        } else {
            size + value - ((1 << (7 * len - 1)) - 1)
        };
        let size = usize::try_from(size).ok().filter(|&size| size <= data.len());
        sizes.push(size.ok_or_else(|| malformed("invalid size of a laced frame"))?);
    }
    cut(data, &sizes)
}

/// RFC 9559 §10.3.4: frames of one size.
fn fixed(mut data: Bytes) -> Result<Vec<Bytes>, MkvError> {
    let count = frame_count(&mut data)?;
    if !data.len().is_multiple_of(count) {
        return Err(malformed("fixed-size lacing does not divide its block"));
    }
    let size = data.len() / count;
    cut(data, &vec![size; count - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(block: &[u8]) -> Result<Vec<Bytes>, MkvError> {
        RawBlock::parse(Bytes::copy_from_slice(block))?.frames()
    }

    #[test]
    fn every_lacing_is_undone() {
        // Track 1, time 0; the flags name the lacing.
        let expected = ["a", "bb", "c"];
        assert_eq!(frames(b"\x81\0\0\x02\x02\x01\x02abbc").unwrap(), expected);
        // EBML: 1, then +1 as 0x3F + 1 with the marker.
        assert_eq!(frames(b"\x81\0\0\x06\x02\x81\xC0abbc").unwrap(), expected);
        assert_eq!(frames(b"\x81\0\0\x04\x02abc").unwrap(), ["a", "b", "c"]);
        assert_eq!(frames(b"\x81\0\0\x00abc").unwrap(), ["abc"]);
    }

    #[test]
    fn xiph_sizes_above_254_take_several_bytes() {
        let mut block = b"\x81\0\0\x02\x01\xff\x01".to_vec();
        block.resize(block.len() + 256 + 3, 9);
        let found: Vec<_> = frames(&block).unwrap().iter().map(Bytes::len).collect();
        assert_eq!(found, [256, 3]);
    }

    #[test]
    fn broken_lacing_is_an_error() {
        for block in [
            &b"\x81\0\0\x02"[..],
            b"\x81\0\0\x02\x02\xff",
            b"\x81\0\0\x02\x01\x09ab",
            b"\x81\0\0\x06\x02\x81\x80ab",
            b"\x81\0\0\x06\x01\xff",
            b"\x81\0\0\x04\x01abc",
        ] {
            assert!(frames(block).is_err(), "{block:?}");
        }
    }

    #[test]
    fn blocks_cut_short_or_without_a_track_are_errors() {
        for block in [&b""[..], b"\x81\0\0", b"\x80\0\0\0", b"\x00\0\0\0", b"\x40"] {
            assert!(
                RawBlock::parse(Bytes::copy_from_slice(block)).is_err(),
                "{block:?}"
            );
        }
        assert_eq!(
            RawBlock::parse(Bytes::from_static(b"\x41\x00\xff\xff\x80x"))
                .unwrap()
                .track,
            256
        );
    }

    #[test]
    fn a_group_is_a_key_frame_unless_it_refers_to_another() {
        let group = |data: &'static [u8]| RawBlock::parse_group(&Bytes::from_static(data)).unwrap();
        let key = group(b"\xA1\x85\x81\0\x05\x81x\x9B\x81\x28");
        assert_eq!(
            (key.flags & 0x80, key.duration, key.relative),
            (0x80, Some(40), 5)
        );
        assert_eq!(group(b"\xA1\x85\x81\0\x05\0x\xFB\x81\xD8").flags, 0);
        assert!(RawBlock::parse_group(&Bytes::from_static(b"\x9B\x81\x28")).is_err());
    }
}
