//! Opus: the `OpusHead` that is its codec private data.

use bytes::Bytes;

use crate::error::{MkvError, MkvErrorKind};
use crate::track::{AudioFormat, TrackFormat};

/// Opus decodes at 48 kHz whatever went in (RFC 7845 §4).
const RATE: f64 = 48_000.0;
/// What a player should decode ahead after a seek, in nanoseconds (RFC 7845 §4.6: 80 ms).
pub(crate) const SEEK_PRE_ROLL: u64 = 80_000_000;

/// An identification header (RFC 7845 §5.1), of mono or stereo sound (mapping family 0).
///
/// ```
/// use kvs_mkv::codec::opus::OpusHead;
///
/// let head = OpusHead::new(2, 312)?;
/// assert_eq!(&head.to_record()[..8], b"OpusHead");
/// # Ok::<(), kvs_mkv::MkvError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpusHead {
    /// Channels: 1 or 2; other layouts are read, not made.
    pub channels: u8,
    /// Samples at 48 kHz to throw away at the start.
    pub pre_skip: u16,
    /// The rate before encoding in Hz; 0 where it is not known.
    pub input_rate: u32,
}

impl OpusHead {
    /// A header for mono or stereo sound.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] for other numbers of channels.
    pub fn new(channels: u8, pre_skip: u16) -> Result<Self, MkvError> {
        if !(1..=2).contains(&channels) {
            return Err(
                MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail(format!(
                    "opus with {channels} channels needs a mapping: give its header"
                )),
            );
        }
        Ok(OpusHead {
            channels,
            pre_skip,
            input_rate: 48_000,
        })
    }

    /// Parses a header of any mapping family.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] where it is cut short or of another version.
    pub fn parse(record: &[u8]) -> Result<Self, MkvError> {
        let invalid = || MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail("invalid opus header");
        let head: &[u8; 19] = record.first_chunk().ok_or_else(invalid)?;
        // The upper half of the version is 0 in all that can be read.
        if &head[..8] != b"OpusHead" || head[8] >> 4 != 0 || head[9] == 0 {
            return Err(invalid());
        }
        Ok(OpusHead {
            channels: head[9],
            pre_skip: u16::from_le_bytes([head[10], head[11]]),
            input_rate: u32::from_le_bytes([head[12], head[13], head[14], head[15]]),
        })
    }

    /// Writes the header: 19 bytes.
    #[must_use]
    pub fn to_record(&self) -> Bytes {
        let mut out = Vec::with_capacity(19);
        out.extend_from_slice(b"OpusHead\x01");
        out.push(self.channels);
        out.extend_from_slice(&self.pre_skip.to_le_bytes());
        out.extend_from_slice(&self.input_rate.to_le_bytes());
        out.extend_from_slice(&[0, 0, 0]); // no gain, mapping family 0
        Bytes::from(out)
    }

    /// The delay of the codec in nanoseconds: Matroska's `CodecDelay`.
    #[must_use]
    pub fn delay(&self) -> u64 {
        u64::from(self.pre_skip) * 1_000_000_000 / 48_000
    }

    /// The track format it stands for.
    #[must_use]
    pub fn format(&self) -> TrackFormat {
        self.format_as(self.to_record())
    }

    pub(crate) fn format_as(&self, record: Bytes) -> TrackFormat {
        TrackFormat {
            codec_private: record,
            video: None,
            audio: Some(AudioFormat::new(RATE, self.channels)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_documented_layout_byte_for_byte() {
        let record = OpusHead::new(2, 312).unwrap().to_record();
        assert_eq!(
            record.as_ref(),
            b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"
        );
        assert_eq!(OpusHead::parse(&record).unwrap().delay(), 6_500_000);
    }

    #[test]
    fn headers_cut_short_or_of_another_version_are_refused() {
        let record = OpusHead::new(1, 0).unwrap().to_record();
        assert!(OpusHead::parse(&record[..18]).is_err());
        let mut other = record.to_vec();
        other[8] = 0x10;
        assert!(OpusHead::parse(&other).is_err());
        assert!(OpusHead::new(3, 0).is_err());
    }
}
