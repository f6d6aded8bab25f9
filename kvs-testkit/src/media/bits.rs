//! Writing bits, most significant first.

/// A bit string under construction.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits used of the last byte; 0 when it is full.
    used: u32,
}

impl BitWriter {
    /// The lowest `count` bits of `value`.
    pub(super) fn bits(&mut self, value: u32, count: u32) {
        for shift in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let bit = (value >> shift & 1) as u8;
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// Exp-Golomb, unsigned (H.264 clause 9.1).
    pub(super) fn ue(&mut self, value: u32) {
        let length = 32 - (value + 1).leading_zeros();
        self.bits(0, length - 1);
        self.bits(value + 1, length);
    }

    /// Zero bits up to the next byte.
    pub(super) fn align(&mut self) {
        self.used = 0;
    }

    /// Whole bytes, at a byte boundary.
    pub(super) fn bytes(&mut self, bytes: impl IntoIterator<Item = u8>) {
        debug_assert_eq!(self.used, 0, "bytes at a byte boundary");
        self.bytes.extend(bytes);
    }

    /// A one and zeros up to the next byte (rbsp_trailing_bits, H.264 clause 7.3.2.11).
    pub(super) fn trailing(&mut self) {
        self.bits(1, 1);
        self.align();
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Appends a NAL unit with its start code, its payload kept from looking like one (H.264 clause 7.4.1.1).
pub(super) fn put_nal(out: &mut Vec<u8>, header: &[u8], payload: &[u8]) {
    out.extend_from_slice(&[0, 0, 0, 1]);
    out.extend_from_slice(header);
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
}
