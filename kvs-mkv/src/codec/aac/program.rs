//! The program config element: layouts of channels that no channel configuration names.

use super::super::bits::{BitReader, BitWriter};

/// A program config element (§4.4.1.1): a layout of channels that no channel configuration names.
///
/// It is kept as its own bits, so that a config goes from ADTS to AudioSpecificConfig unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramConfig {
    /// How many channels there are.
    pub channels: u8,
    /// The element from `element_instance_tag` up to the channel elements, one bit per item.
    fields: Vec<bool>,
    comment: Vec<u8>,
}

impl ProgramConfig {
    /// The element a raw data block starts with; its three-bit id is 5.
    pub(super) fn leading(block: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(block);
        if bits.bits(3)? != 5 {
            return None;
        }
        ProgramConfig::parse(&mut bits)
    }

    pub(super) fn parse(bits: &mut BitReader<'_>) -> Option<Self> {
        let mut fields = Recorder {
            bits,
            fields: Vec::with_capacity(64),
        };
        fields.take(4 + 2 + 4)?; // instance tag, object type, rate index
        let front = fields.take(4)?;
        let side = fields.take(4)?;
        let back = fields.take(4)?;
        let lfe = fields.take(2)?;
        let data = fields.take(3)?;
        let coupling = fields.take(4)?;
        for mixdown_bits in [4, 4, 3] {
            if fields.take(1)? == 1 {
                fields.take(mixdown_bits)?;
            }
        }
        let mut channels = lfe;
        for _ in 0..front + side + back {
            // A channel pair element counts twice.
            channels += 1 + fields.take(1)?;
            fields.take(4)?;
        }
        fields.take(4 * (lfe + data) + 5 * coupling)?;
        let fields = fields.fields;
        bits.align();
        let length = bits.bits(8)?;
        let comment = (0..length)
            .map(|_| bits.bits(8).map(|byte| byte as u8))
            .collect::<Option<_>>()?;
        Some(ProgramConfig {
            channels: u8::try_from(channels).ok().filter(|&n| n > 0)?,
            fields,
            comment,
        })
    }

    pub(super) fn put(&self, bits: &mut BitWriter) {
        for &bit in &self.fields {
            bits.bits(u32::from(bit), 1);
        }
        bits.align();
        bits.bits(self.comment.len() as u32, 8);
        for &byte in &self.comment {
            bits.bits(u32::from(byte), 8);
        }
    }
}

/// Reads bits and keeps them.
struct Recorder<'r, 'a> {
    bits: &'r mut BitReader<'a>,
    fields: Vec<bool>,
}

impl Recorder<'_, '_> {
    /// Reads `count` bits; the value is that of the last 32.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            let bit = self.bits.bit()?;
            self.fields.push(bit);
            value = value << 1 | u32::from(bit);
        }
        Some(value)
    }
}
