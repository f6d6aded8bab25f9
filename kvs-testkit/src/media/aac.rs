//! AAC that decodes to silence.

use kvs_mkv::Timestamp;

use super::bits::BitWriter;
use super::{Noise, Sample};

/// Samples of one AAC frame.
const FRAME_SAMPLES: u64 = 1_024;

/// An endless AAC-LC stream of raw frames (no ADTS) that decode to silence; each carries some noise in a fill
/// element, which decoders pass over, so that no two are equal.
#[derive(Debug, Clone)]
pub struct AacSource {
    sample_rate: u32,
    /// Index of the rate in ISO/IEC 14496-3 table 1.18.
    rate_index: u32,
    fill: u32,
    index: u64,
}

impl AacSource {
    /// One channel at 48 kHz, 46.875 frames per second.
    pub fn mono_48k() -> AacSource {
        AacSource {
            sample_rate: 48_000,
            rate_index: 3,
            fill: 32,
            index: 0,
        }
    }

    /// One channel at 16 kHz, 15.625 frames per second.
    pub fn mono_16k() -> AacSource {
        AacSource {
            sample_rate: 16_000,
            rate_index: 8,
            fill: 32,
            index: 0,
        }
    }

    /// Bytes of noise in each frame, 15 to 260.
    pub fn with_fill(mut self, bytes: u32) -> AacSource {
        self.fill = bytes.clamp(15, 260);
        self
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// The codec private data: AAC-LC, the rate, one channel (ISO/IEC 14496-3 §1.6.2.1).
    pub fn audio_specific_config(&self) -> [u8; 2] {
        let bits = 2 << 11 | self.rate_index << 7 | 1 << 3;
        [(bits >> 8) as u8, bits as u8]
    }

    fn frame(&self) -> Vec<u8> {
        let mut bits = BitWriter::default();
        bits.bits(0, 3); // ID_SCE
        bits.bits(0, 4); // element_instance_tag
        bits.bits(0, 8); // global_gain
        bits.bits(0, 1); // ics_reserved_bit
        bits.bits(0, 2); // window_sequence: ONLY_LONG_SEQUENCE
        bits.bits(0, 1); // window_shape
        bits.bits(0, 6); // max_sfb: no spectrum at all
        bits.bits(0, 1); // predictor_data_present
        bits.bits(0, 3); // pulse_data_present, tns_data_present, gain_control_data_present
        bits.bits(6, 3); // ID_FIL
        bits.bits(15, 4); // count, continued:
        bits.bits(self.fill - 14, 8); // esc_count; the total is 15 + esc_count - 1
        bits.bits(0, 4); // extension_type: EXT_FILL
        let mut noise = Noise::new(self.index);
        bits.bits(u32::from(noise.byte() & 15), 4);
        for _ in 1..self.fill {
            bits.bits(noise.byte().into(), 8);
        }
        bits.bits(7, 3); // ID_END
        bits.align();
        bits.finish()
    }
}

impl Iterator for AacSource {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let data = self.frame();
        let nanos = u128::from(self.index) * u128::from(FRAME_SAMPLES) * 1_000_000_000;
        let pts = Timestamp::from_nanos(i64::try_from(nanos / u128::from(self.sample_rate)).ok()?);
        self.index += 1;
        Some(Sample {
            data: data.into(),
            pts,
            key: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other_without_drift() {
        let frames: Vec<Sample> = AacSource::mono_48k().take(376).collect();
        assert_eq!(frames[375].pts, Timestamp::from_secs(8));
        assert!(frames.iter().all(|frame| frame.key));
    }

    #[test]
    fn the_configuration_names_rate_and_channels() {
        assert_eq!(AacSource::mono_48k().audio_specific_config(), [0x11, 0x88]);
        assert_eq!(AacSource::mono_16k().audio_specific_config(), [0x14, 0x08]);
    }
}
