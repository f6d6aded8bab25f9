//! Uncompressed sound: `A_PCM/INT/LIT` and its kin.

use bytes::Bytes;

use crate::error::{MkvError, MkvErrorKind};
use crate::track::{AudioFormat, TrackFormat};

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleFormat {
    /// Integers, least significant byte first.
    IntegerLittleEndian,
    /// Integers, most significant byte first.
    IntegerBigEndian,
    /// IEEE 754 numbers, least significant byte first.
    Float,
}

impl SampleFormat {
    /// The Matroska codec id.
    #[must_use]
    pub const fn codec_id(self) -> &'static str {
        match self {
            SampleFormat::IntegerLittleEndian => "A_PCM/INT/LIT",
            SampleFormat::IntegerBigEndian => "A_PCM/INT/BIG",
            SampleFormat::Float => "A_PCM/FLOAT/IEEE",
        }
    }
}

/// The track format of uncompressed sound; there is no codec private data.
///
/// # Errors
/// [`MkvErrorKind::InvalidCodecPrivate`] for no channels, a rate of 0, or a depth that is not a whole number
/// of bytes up to 64 bits.
pub fn format(sample_rate: u32, channels: u8, bit_depth: u8) -> Result<TrackFormat, MkvError> {
    let depth_is_right = bit_depth.is_multiple_of(8) && (8..=64).contains(&bit_depth);
    if sample_rate == 0 || channels == 0 || !depth_is_right {
        return Err(
            MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail(format!(
                "pcm at {sample_rate} hz, {channels} channels, {bit_depth} bits"
            )),
        );
    }
    let mut audio = AudioFormat::new(f64::from(sample_rate), channels);
    audio.bit_depth = Some(bit_depth);
    Ok(TrackFormat {
        codec_private: Bytes::new(),
        video: None,
        audio: Some(audio),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_make_no_sense_are_refused() {
        assert_eq!(format(48_000, 2, 16).unwrap().audio.unwrap().bit_depth, Some(16));
        assert!(format(0, 2, 16).is_err());
        assert!(format(48_000, 0, 16).is_err());
        assert!(format(48_000, 2, 12).is_err());
        assert!(format(48_000, 2, 0).is_err());
    }
}
