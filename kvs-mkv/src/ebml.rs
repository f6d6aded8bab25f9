//! EBML numbers and element heads (RFC 8794 §4–§6).

use bytes::{BufMut, BytesMut};

/// A size of unknown length, in one byte (RFC 8794 §6.2).
pub(crate) const UNKNOWN_SIZE: u8 = 0xFF;

/// Writes an element id, which carries its length in itself.
pub(crate) fn put_id(out: &mut BytesMut, id: u32) {
    let bytes = id.to_be_bytes();
    let skip = (id.leading_zeros() / 8) as usize;
    out.put_slice(&bytes[skip..]);
}

/// How many bytes the shortest form of `size` takes; all ones in any length is the unknown size.
pub(crate) const fn size_len(size: u64) -> usize {
    let mut len = 1;
    while len < 8 && size >= (1 << (7 * len)) - 1 {
        len += 1;
    }
    len
}

/// Writes a size in `len` bytes, 1..=8.
pub(crate) fn put_size(out: &mut BytesMut, size: u64, len: usize) {
    let marked = size | 1 << (7 * len);
    out.put_slice(&marked.to_be_bytes()[8 - len..]);
}

/// An element of `data`, its size in `len` bytes.
pub(crate) fn put_element(out: &mut BytesMut, id: u32, data: &[u8], len: usize) {
    put_id(out, id);
    put_size(out, data.len() as u64, len);
    out.put_slice(data);
}

/// An element of `data`, its size in the shortest form.
pub(crate) fn put_binary(out: &mut BytesMut, id: u32, data: &[u8]) {
    put_element(out, id, data, size_len(data.len() as u64));
}

/// An unsigned integer in the fewest bytes, at least one.
pub(crate) fn put_uint(out: &mut BytesMut, id: u32, value: u64) {
    let skip = (value.leading_zeros() / 8).min(7) as usize;
    put_binary(out, id, &value.to_be_bytes()[skip..]);
}

/// An unsigned integer in eight bytes.
pub(crate) fn put_uint64(out: &mut BytesMut, id: u32, value: u64) {
    put_binary(out, id, &value.to_be_bytes());
}

/// A float in eight bytes.
pub(crate) fn put_float(out: &mut BytesMut, id: u32, value: f64) {
    put_binary(out, id, &value.to_be_bytes());
}

/// A master element around what `children` writes, its size in `len` bytes.
pub(crate) fn put_master(out: &mut BytesMut, id: u32, len: usize, children: impl FnOnce(&mut BytesMut)) {
    put_id(out, id);
    let size_at = out.len();
    out.put_bytes(0, len);
    children(out);
    let size = (out.len() - size_at - len) as u64;
    debug_assert!(size < (1 << (7 * len)) - 1, "master of {size} bytes");
    let marked = size | 1 << (7 * len);
    out[size_at..size_at + len].copy_from_slice(&marked.to_be_bytes()[8 - len..]);
}

/// The length of an element id by its first byte: 1..=4, `None` where that byte starts no id.
pub(crate) const fn id_len(first: u8) -> Option<usize> {
    match first.leading_zeros() {
        zeros @ 0..=3 => Some(zeros as usize + 1),
        _ => None,
    }
}

/// The length of a size by its first byte: 1..=8, `None` where that byte starts no size.
pub(crate) const fn vint_len(first: u8) -> Option<usize> {
    match first.leading_zeros() {
        zeros @ 0..=7 => Some(zeros as usize + 1),
        _ => None,
    }
}

/// The value of a variable-length number that fills `bytes`, marker removed; `None` is the unknown size.
pub(crate) fn vint(bytes: &[u8]) -> Option<u64> {
    let raw = bytes
        .iter()
        .fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    let mask = (1u64 << (7 * bytes.len())) - 1;
    Some(raw & mask).filter(|&value| value != mask)
}

/// The value of an unsigned integer element; empty is zero.
pub(crate) fn uint(data: &[u8]) -> Option<u64> {
    (data.len() <= 8).then(|| data.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// The value of a float element of 0, 4 or 8 bytes.
pub(crate) fn float(data: &[u8]) -> Option<f64> {
    match data.len() {
        0 => Some(0.0),
        4 => Some(f64::from(f32::from_be_bytes(data.try_into().ok()?))),
        8 => Some(f64::from_be_bytes(data.try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_shortest_form_and_never_look_unknown() {
        for (size, len) in [(0, 1), (126, 1), (127, 2), (16_382, 2), (16_383, 3), (1 << 40, 6)] {
            assert_eq!(size_len(size), len, "{size}");
            let mut out = BytesMut::new();
            put_size(&mut out, size, len);
            assert_eq!(vint_len(out[0]), Some(len));
            assert_eq!(vint(&out), Some(size));
        }
        assert_eq!(vint(&[0xff]), None);
        assert_eq!(vint(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn integers_take_the_fewest_bytes_but_one_at_least() {
        let mut out = BytesMut::new();
        put_uint(&mut out, 0xD7, 0);
        put_uint(&mut out, 0x4286, 0x1234);
        assert_eq!(out.as_ref(), [0xD7, 0x81, 0, 0x42, 0x86, 0x82, 0x12, 0x34]);
        assert_eq!(uint(&[]), Some(0));
        assert_eq!(uint(&[0; 9]), None);
        assert_eq!(float(&[0; 3]), None);
    }

    #[test]
    fn a_masters_size_is_filled_in_afterwards() {
        let mut out = BytesMut::new();
        put_master(&mut out, 0xAE, 4, |out| put_uint(out, 0xD7, 1));
        assert_eq!(out.as_ref(), [0xAE, 0x10, 0, 0, 3, 0xD7, 0x81, 1]);
    }
}
