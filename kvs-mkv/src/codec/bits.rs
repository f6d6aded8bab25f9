//! A reader of bits, with the Exp-Golomb codes of H.264 and H.265.

use std::borrow::Cow;

/// Reads bits from the most significant one on. Every read past the end gives `None`.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        BitReader { data, position: 0 }
    }

    /// How many bits are left.
    pub(crate) fn remaining(&self) -> usize {
        self.data.len() * 8 - self.position
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        let byte = *self.data.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// `count` bits, at most 32.
    pub(crate) fn bits(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32);
        let mut value = 0u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        if count > self.remaining() {
            return None;
        }
        self.position += count;
        Some(())
    }

    /// ue(v), H.264 clause 9.1.
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// se(v), H.264 clause 9.1.1.
    pub(crate) fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        let magnitude = (code + 1) / 2;
        i32::try_from(if code % 2 == 1 { magnitude } else { -magnitude }).ok()
    }

    /// Moves on to the next whole byte.
    pub(crate) fn align(&mut self) {
        self.position = self.position.next_multiple_of(8).min(self.data.len() * 8);
    }
}

/// Removes the emulation prevention bytes of a NAL unit (`00 00 03` → `00 00`), H.264 clause 7.4.1.
pub(crate) fn unescape(nal: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memmem::find(nal, &[0, 0, 3]).is_none() {
        return Cow::Borrowed(nal);
    }
    let mut plain = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    Cow::Owned(plain)
}

/// Writes bits from the most significant one on.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    data: Vec<u8>,
    used: usize,
}

impl BitWriter {
    pub(crate) fn bits(&mut self, value: u32, count: u32) -> &mut Self {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.data.push(0);
            }
            if value >> bit & 1 == 1
                && let Some(last) = self.data.last_mut()
            {
                *last |= 0x80 >> (self.used % 8);
            }
            self.used += 1;
        }
        self
    }

    /// Fills up to a whole byte with zeros.
    pub(crate) fn align(&mut self) -> &mut Self {
        self.used = self.used.next_multiple_of(8);
        self
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_match_the_table_of_the_standard() {
        // H.264 table 9-2: 1 | 010 | 011 | 00100 | 00101 | 00110 | 00111 | 0001000
        let bits: Vec<u8> = vec![0b1010_0110, 0b0100_0010, 0b1001_1000, 0b1110_0010, 0b0000_0000];
        let mut reader = BitReader::new(&bits);
        let codes: Vec<_> = (0..8).map(|_| reader.ue().unwrap()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7]);
        let mut reader = BitReader::new(&bits);
        let codes: Vec<_> = (0..8).map(|_| reader.se().unwrap()).collect();
        assert_eq!(codes, [0, 1, -1, 2, -2, 3, -3, 4]);
    }

    #[test]
    fn reads_past_the_end_are_refused() {
        let mut reader = BitReader::new(&[0, 0, 0, 0, 0]);
        assert_eq!(reader.ue(), None);
        assert_eq!(BitReader::new(&[]).bit(), None);
        assert_eq!(BitReader::new(&[1]).bits(9), None);
        assert_eq!(BitReader::new(&[1]).skip(9), None);
    }

    #[test]
    fn emulation_prevention_bytes_are_removed_once() {
        assert_eq!(unescape(&[1, 0, 0, 3, 1, 0, 0, 3]).as_ref(), [1, 0, 0, 1, 0, 0]);
        assert_eq!(unescape(&[0, 0, 3, 0, 0, 3, 0]).as_ref(), [0, 0, 0, 0, 0]);
        assert!(matches!(unescape(&[0, 3, 0, 3]), Cow::Borrowed(_)));
    }
}
