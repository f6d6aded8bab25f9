//! G.711: telephone sound, A-law and µ-law, under Matroska's `A_MS/ACM` with a WAVEFORMATEX.

use bytes::Bytes;

use crate::error::{MkvError, MkvErrorKind};
use crate::track::{AudioFormat, TrackFormat};

/// The two companding laws of ITU-T G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// A-law: Europe.
    A,
    /// µ-law: North America, Japan.
    Mu,
}

impl Law {
    /// `wFormatTag` of WAVEFORMATEX (RFC 2361).
    const fn format_tag(self) -> u16 {
        match self {
            Law::A => 6,
            Law::Mu => 7,
        }
    }
}

/// What a WAVEFORMATEX says of G.711 sound.
///
/// ```
/// use kvs_mkv::codec::g711::{Law, WaveFormat};
///
/// let format = WaveFormat::new(Law::Mu, 8_000, 1)?;
/// assert_eq!(format.to_record().len(), 18);
/// # Ok::<(), kvs_mkv::MkvError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaveFormat {
    /// The companding law.
    pub law: Law,
    /// Samples per second, 8,000 to 192,000.
    pub sample_rate: u32,
    /// Channels, 1 or 2.
    pub channels: u8,
}

impl WaveFormat {
    /// A format within the service's limits.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] for other rates than 8–192 kHz or more than two channels.
    pub fn new(law: Law, sample_rate: u32, channels: u8) -> Result<Self, MkvError> {
        if !(8_000..=192_000).contains(&sample_rate) || !(1..=2).contains(&channels) {
            return Err(MkvError::new(MkvErrorKind::InvalidCodecPrivate)
                .with_detail(format!("g.711 at {sample_rate} hz with {channels} channels")));
        }
        Ok(WaveFormat {
            law,
            sample_rate,
            channels,
        })
    }

    /// Parses a WAVEFORMATEX of 16 bytes or more.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] where it is shorter, or of another format.
    pub fn parse(record: &[u8]) -> Result<Self, MkvError> {
        let invalid = || MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail("no g.711 wave format");
        let head: &[u8; 16] = record.first_chunk().ok_or_else(invalid)?;
        let law = match u16::from_le_bytes([head[0], head[1]]) {
            6 => Law::A,
            7 => Law::Mu,
            _ => return Err(invalid()),
        };
        let channels = u8::try_from(u16::from_le_bytes([head[2], head[3]])).map_err(|_| invalid())?;
        WaveFormat::new(
            law,
            u32::from_le_bytes([head[4], head[5], head[6], head[7]]),
            channels,
        )
    }

    /// Writes the WAVEFORMATEX: 18 bytes, little-endian.
    #[must_use]
    pub fn to_record(&self) -> Bytes {
        let mut out = Vec::with_capacity(18);
        out.extend_from_slice(&self.law.format_tag().to_le_bytes());
        out.extend_from_slice(&u16::from(self.channels).to_le_bytes());
        out.extend_from_slice(&self.sample_rate.to_le_bytes());
        // One byte to a sample.
        out.extend_from_slice(&(self.sample_rate * u32::from(self.channels)).to_le_bytes());
        out.extend_from_slice(&u16::from(self.channels).to_le_bytes());
        // Eight bits to a sample; no extra data.
        out.extend_from_slice(&8u16.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        Bytes::from(out)
    }

    /// The track format it stands for.
    #[must_use]
    pub fn format(&self) -> TrackFormat {
        self.format_as(self.to_record())
    }

    pub(crate) fn format_as(&self, record: Bytes) -> TrackFormat {
        let mut audio = AudioFormat::new(f64::from(self.sample_rate), self.channels);
        audio.bit_depth = Some(8);
        TrackFormat {
            codec_private: record,
            video: None,
            audio: Some(audio),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wave_format_is_the_documented_layout_byte_for_byte() {
        let a_law = WaveFormat::new(Law::A, 8_000, 1).unwrap().to_record();
        assert_eq!(
            a_law.as_ref(),
            [6, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 8, 0, 0, 0]
        );
        let mu_law = WaveFormat::new(Law::Mu, 16_000, 2).unwrap().to_record();
        assert_eq!(
            mu_law.as_ref(),
            [7, 0, 2, 0, 0x80, 0x3e, 0, 0, 0, 0x7d, 0, 0, 2, 0, 8, 0, 0, 0]
        );
    }

    #[test]
    fn a_wave_format_survives_the_round_trip() {
        let format = WaveFormat::new(Law::Mu, 48_000, 2).unwrap();
        assert_eq!(WaveFormat::parse(&format.to_record()).unwrap(), format);
        assert!(WaveFormat::parse(&format.to_record()[..15]).is_err());
        assert!(WaveFormat::parse(&[1; 18]).is_err());
    }

    #[test]
    fn limits_are_those_of_the_service() {
        assert!(WaveFormat::new(Law::A, 7_999, 1).is_err());
        assert!(WaveFormat::new(Law::A, 8_000, 3).is_err());
    }
}
