//! G.711: a tone, companded.

use kvs_mkv::Timestamp;

use super::{Noise, Sample};

/// Which of the two curves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum G711Law {
    /// A-law.
    A,
    /// µ-law.
    Mu,
}

/// An endless G.711 stream, 8 kHz, one channel, frames of 20 ms: a triangle wave of 250 Hz with a little noise.
#[derive(Debug, Clone)]
pub struct G711Source {
    law: G711Law,
    index: u64,
}

/// Samples in a frame of 20 ms.
const FRAME_SAMPLES: u64 = 160;

impl G711Source {
    /// A source by its law.
    pub fn new(law: G711Law) -> G711Source {
        G711Source { law, index: 0 }
    }
}

impl Iterator for G711Source {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let mut noise = Noise::new(self.index);
        let wave = |n: u64| {
            let phase = (n % 32) as i16;
            let ramp = if phase < 16 { phase } else { 32 - phase };
            (ramp - 8) * 2_000
        };
        let data: Vec<u8> = (0..FRAME_SAMPLES)
            .map(|n| wave(n) + i16::from(noise.byte()))
            .map(|sample| match self.law {
                G711Law::A => a_law(sample),
                G711Law::Mu => mu_law(sample),
            })
            .collect();
        let pts = Timestamp::from_millis(i64::try_from(self.index * 20).ok()?);
        self.index += 1;
        Some(Sample {
            data: data.into(),
            pts,
            key: true,
        })
    }
}

/// One sample by the A-law (ITU-T G.711 table 1): sign, segment, four bits; even bits inverted.
fn a_law(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    // 13 bits; negative values are mirrored.
    let magnitude = (if sample >= 0 { sample } else { !sample } >> 3) as u16;
    let segment = (16 - magnitude.leading_zeros()).saturating_sub(5);
    let bits = if segment == 0 {
        magnitude >> 1
    } else {
        magnitude >> segment
    };
    (sign | (segment as u8) << 4 | (bits as u8 & 0x0f)) ^ 0x55
}

/// One sample by the µ-law (ITU-T G.711 table 2): sign, segment, four bits; all inverted.
fn mu_law(sample: i16) -> u8 {
    /// Added before the segment is looked for, so that each begins at a power of two.
    const BIAS: i32 = 0x84;
    /// The largest magnitude there is a code for.
    const CLIP: i32 = 32_635;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    let segment = (31 - magnitude.leading_zeros()) - 7;
    let bits = (magnitude >> (segment + 3)) as u8 & 0x0f;
    !(sign | (segment as u8) << 4 | bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_the_tables() {
        assert_eq!(a_law(0), 0xd5);
        assert_eq!(a_law(-1), 0x55);
        assert_eq!(a_law(i16::MAX), 0xaa);
        assert_eq!(a_law(i16::MIN), 0x2a);
        assert_eq!(mu_law(0), 0xff);
        assert_eq!(mu_law(i16::MAX), 0x80);
        assert_eq!(mu_law(i16::MIN), 0x00);
        assert_eq!(mu_law(-1), 0x7f);
    }

    #[test]
    fn frames_are_20_ms_of_a_byte_per_sample() {
        let frames: Vec<Sample> = G711Source::new(G711Law::Mu).take(3).collect();
        assert!(frames.iter().all(|frame| frame.data.len() == 160));
        assert_eq!(frames[2].pts, Timestamp::from_millis(40));
        assert_ne!(frames[0].data, frames[1].data);
    }
}
