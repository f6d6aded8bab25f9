//! NAL units of H.264 and H.265: finding them, and turning Annex-B into length-prefixed form and back.
//!
//! Annex-B puts a start code (`00 00 01`, often with a further zero before it) ahead of each NAL unit;
//! the length-prefixed form (AVCC, HVCC; ISO/IEC 14496-15) puts the unit's length there. Matroska wants the
//! latter.

use std::ops::Range;
use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem::Finder;

use crate::error::{MkvError, MkvErrorKind};

/// The start code proper; a four-byte start code is this one after a zero byte.
const START_CODE: [u8; 3] = [0, 0, 1];

/// Built once: setting a search up takes as long as searching a small frame.
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&START_CODE));

/// How many bytes each NAL unit's length takes in the length-prefixed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum LengthSize {
    /// One byte: units of at most 255 bytes.
    One,
    /// Two bytes: units of at most 65,535 bytes.
    Two,
    /// Four bytes: what everybody writes.
    #[default]
    Four,
}

impl LengthSize {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            LengthSize::One => 1,
            LengthSize::Two => 2,
            LengthSize::Four => 4,
        }
    }

    /// From the two-bit field `lengthSizeMinusOne` of `avcC` and `hvcC`; three bytes are reserved.
    #[must_use]
    pub const fn from_minus_one(field: u8) -> Option<Self> {
        match field & 3 {
            0 => Some(LengthSize::One),
            1 => Some(LengthSize::Two),
            3 => Some(LengthSize::Four),
            _ => None,
        }
    }

    /// The longest unit whose length fits.
    const fn longest(self) -> usize {
        match self {
            LengthSize::One => u8::MAX as usize,
            LengthSize::Two => u16::MAX as usize,
            LengthSize::Four => u32::MAX as usize,
        }
    }

    fn read(self, data: &[u8]) -> Option<usize> {
        match self {
            LengthSize::One => data.first().map(|&byte| usize::from(byte)),
            LengthSize::Two => data
                .first_chunk()
                .map(|&bytes| usize::from(u16::from_be_bytes(bytes))),
            LengthSize::Four => usize::try_from(u32::from_be_bytes(*data.first_chunk()?)).ok(),
        }
    }
}

/// Whether `data` begins with a start code, after any number of zero bytes.
#[must_use]
pub fn starts_with_start_code(data: &[u8]) -> bool {
    let zeros = data.iter().take_while(|&&byte| byte == 0).count();
    zeros >= 2 && data.get(zeros) == Some(&1)
}

/// Whether `data` is a whole number of length-prefixed, non-empty NAL units.
#[must_use]
pub fn is_length_prefixed(data: &[u8], size: LengthSize) -> bool {
    let mut rest = data;
    while !rest.is_empty() {
        let Some(length) = size.read(rest) else {
            return false;
        };
        match rest.get(size.bytes()..).and_then(|units| units.get(length..)) {
            Some(after) if length > 0 => rest = after,
            _ => return false,
        }
    }
    !data.is_empty()
}

/// The NAL units of an Annex-B byte stream, as ranges of `data`, without start codes and trailing zeros.
///
/// Bytes before the first start code are not part of a unit and are left out, as are empty units.
///
/// ```
/// use kvs_mkv::codec::nal::annexb_units;
///
/// let stream = [0, 0, 0, 1, 0x67, 0x42, 0, 0, 1, 0x68, 0xce, 0, 0];
/// let units: Vec<_> = annexb_units(&stream).map(|unit| &stream[unit]).collect();
/// assert_eq!(units, [&[0x67, 0x42][..], &[0x68, 0xce]]);
/// ```
pub fn annexb_units(data: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut codes = FINDER.find_iter(data);
    let mut next = codes.next();
    std::iter::from_fn(move || {
        loop {
            let start = next? + START_CODE.len();
            next = codes.next();
            let unit = start..without_trailing_zeros(data, start, next.unwrap_or(data.len()));
            if !unit.is_empty() {
                return Some(unit);
            }
        }
    })
}

/// Hands `take` what [`annexb_units`] gives: a loop that the compiler makes less of.
#[inline]
pub(crate) fn walk_annexb(data: &[u8], mut take: impl FnMut(Range<usize>)) {
    let mut codes = FINDER.find_iter(data);
    let mut next = codes.next();
    while let Some(code) = next {
        let start = code + START_CODE.len();
        next = codes.next();
        let end = without_trailing_zeros(data, start, next.unwrap_or(data.len()));
        if end > start {
            take(start..end);
        }
    }
}

/// The end of the unit that starts at `start` and ends before `end`: trailing_zero_8bits and the zero_byte of
/// the next start code belong to no unit, and a unit never ends in a zero byte (H.264 Annex B.1, clause 7.4.1).
fn without_trailing_zeros(data: &[u8], start: usize, mut end: usize) -> usize {
    while end > start && data[end - 1] == 0 {
        end -= 1;
    }
    end
}

/// The NAL units of length-prefixed data, as ranges of `data`; ends with an error where a length is wrong.
pub fn length_prefixed_units(
    data: &[u8],
    size: LengthSize,
) -> impl Iterator<Item = Result<Range<usize>, MkvError>> {
    let mut position = 0;
    std::iter::from_fn(move || {
        let rest = data.get(position..).filter(|rest| !rest.is_empty())?;
        let start = position + size.bytes();
        let end = size.read(rest).and_then(|length| start.checked_add(length));
        position = end.unwrap_or(data.len());
        Some(match end {
            Some(end) if end <= data.len() => Ok(start..end),
            _ => Err(MkvError::new(MkvErrorKind::InvalidBitstream)
                .with_detail("nal unit length exceeds the frame")),
        })
    })
}

/// Writes the units of `data` that `units` names in length-prefixed form, with one allocation.
///
/// # Errors
/// [`MkvErrorKind::InvalidBitstream`] where a unit is too long for its length field.
pub fn to_length_prefixed(data: &[u8], units: &[Range<usize>], size: LengthSize) -> Result<Bytes, MkvError> {
    check_length(units.iter().map(Range::len).max().unwrap_or(0), size)?;
    let mut out = BytesMut::with_capacity(units.iter().map(|unit| unit.len() + size.bytes()).sum());
    put_length_prefixed(&mut out, data, units, size);
    Ok(out.freeze())
}

/// Refuses a unit whose length does not fit its field.
pub(crate) fn check_length(length: usize, size: LengthSize) -> Result<(), MkvError> {
    if length > size.longest() {
        return Err(MkvError::new(MkvErrorKind::InvalidBitstream).with_detail(format!(
            "nal unit of {length} bytes does not fit its length field"
        )));
    }
    Ok(())
}

/// Appends the units in length-prefixed form to `out`, which has room for them; their lengths fit.
pub(crate) fn put_length_prefixed(out: &mut BytesMut, data: &[u8], units: &[Range<usize>], size: LengthSize) {
    for unit in units {
        match size {
            LengthSize::Four => out.put_u32(unit.len() as u32),
            LengthSize::Two => out.put_u16(unit.len() as u16),
            LengthSize::One => out.put_u8(unit.len() as u8),
        }
        out.put_slice(&data[unit.clone()]);
    }
}

/// Turns Annex-B into length-prefixed form in place: no byte of a unit is moved.
///
/// `units` fill `data` with nothing but a four-byte start code before each. Where somebody else holds `data` it
/// comes back untouched.
pub(crate) fn to_length_prefixed_in_place(data: Bytes, units: &[Range<usize>]) -> Result<Bytes, Bytes> {
    let mut data: BytesMut = data.try_into_mut()?;
    for unit in units {
        let length = unit.len() as u32;
        data[unit.start - 4..unit.start].copy_from_slice(&length.to_be_bytes());
    }
    Ok(data.freeze())
}

/// Turns length-prefixed data into Annex-B with four-byte start codes.
///
/// # Errors
/// [`MkvErrorKind::InvalidBitstream`] where a length exceeds the data.
pub fn to_annexb(data: &[u8], size: LengthSize) -> Result<Bytes, MkvError> {
    let mut out = Vec::with_capacity(data.len() + 16);
    for unit in length_prefixed_units(data, size) {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(&data[unit?]);
    }
    Ok(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(data: &[u8]) -> Vec<&[u8]> {
        annexb_units(data).map(|unit| &data[unit]).collect()
    }

    #[test]
    fn three_and_four_byte_start_codes_and_trailing_zeros_are_told_apart() {
        let stream = [
            0, 0, 0, 0, 1, 9, 0x10, 0, 0, 0, 0, 1, 7, 1, 0, 0, 1, 8, 2, 0, 0, 0, 0,
        ];
        assert_eq!(units(&stream), [&[9, 0x10][..], &[7, 1], &[8, 2]]);
    }

    #[test]
    fn empty_units_and_bytes_before_the_first_start_code_are_left_out() {
        assert_eq!(units(&[5, 5, 0, 0, 1, 0, 0, 1, 7]), [&[7][..]]);
        assert_eq!(units(&[0, 0, 1]), Vec::<&[u8]>::new());
        assert_eq!(units(&[]), Vec::<&[u8]>::new());
    }

    #[test]
    fn both_ways_to_walk_find_the_same_units() {
        let unit = [
            0, 0, 0, 1, 7, 1, 1, 0, 1, 0, 0, 1, 8, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0,
        ];
        for repeats in [1, 10, 1000] {
            let data = unit.repeat(repeats);
            let mut found = Vec::new();
            walk_annexb(&data, |unit| found.push(unit));
            assert_eq!(found, annexb_units(&data).collect::<Vec<_>>());
            assert_eq!(found.len(), 3 * repeats);
        }
        let mut found = Vec::new();
        walk_annexb(&[1, 0, 1, 0, 0], |unit| found.push(unit));
        assert!(found.is_empty());
    }

    #[test]
    fn lengths_beyond_the_data_are_refused() {
        assert!(!is_length_prefixed(&[0, 0, 0, 3, 1, 2], LengthSize::Four));
        assert!(to_annexb(&[0, 0, 0, 3, 1, 2], LengthSize::Four).is_err());
        assert!(to_annexb(&[0, 0, 0], LengthSize::Four).is_err());
        assert!(!is_length_prefixed(&[], LengthSize::Four));
    }

    #[test]
    fn short_length_fields_refuse_long_units() {
        let data = vec![7; 300];
        let whole = 0..300;
        let unit = std::slice::from_ref(&whole);
        let error = to_length_prefixed(&data, unit, LengthSize::One).unwrap_err();
        assert_eq!(error.kind(), MkvErrorKind::InvalidBitstream);
        assert_eq!(
            to_length_prefixed(&data, unit, LengthSize::Two).unwrap().len(),
            302
        );
    }

    #[test]
    fn an_unshared_stream_of_four_byte_start_codes_is_converted_without_a_copy() {
        let stream = Bytes::from(vec![0, 0, 0, 1, 7, 1, 0, 0, 0, 1, 8]);
        let address = stream.as_ptr();
        let found: Vec<_> = annexb_units(&stream).collect();
        let converted = to_length_prefixed_in_place(stream, &found).unwrap();
        assert_eq!(converted.as_ref(), [0, 0, 0, 2, 7, 1, 0, 0, 0, 1, 8]);
        assert_eq!(converted.as_ptr(), address);

        let shared = converted.clone();
        let found = [4..6, 10..11];
        assert!(to_length_prefixed_in_place(shared, &found).is_err());
    }
}
