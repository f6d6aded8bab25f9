//! AAC: ADTS headers and the AudioSpecificConfig.
//!
//! Sections are those of ISO/IEC 14496-3.

mod adapter;
mod program;

use bytes::Bytes;

pub(crate) use adapter::AacAdapter;
pub use program::ProgramConfig;

use super::bits::{BitReader, BitWriter};
use crate::error::{MkvError, MkvErrorKind};
use crate::track::{AudioFormat, TrackFormat};

/// `samplingFrequencyIndex`, table 1.18.
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];

/// The index that says that the rate follows in 24 bits.
const ESCAPE_RATE: u32 = 15;

/// Audio object types, table 1.17, as far as they matter here.
pub mod object_type {
    /// AAC Low Complexity.
    pub const LC: u8 = 2;
    /// Spectral band replication: HE-AAC.
    pub const SBR: u8 = 5;
    /// Parametric stereo: HE-AACv2.
    pub const PS: u8 = 29;
}

/// Channels of a `channelConfiguration`, table 1.19; configuration 0 has its own program config element.
const fn channels_of(configuration: u8) -> Option<u8> {
    match configuration {
        1..=6 => Some(configuration),
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        13 => Some(24),
        _ => None,
    }
}

/// The header before each frame of an ADTS stream (§1.A.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdtsHeader {
    /// Audio object type, 1..=4: AAC Main, LC, SSR, LTP.
    pub object_type: u8,
    /// Index of the sampling rate, 0..=12.
    pub rate_index: u8,
    /// `channel_configuration`, 0..=7.
    pub channel_configuration: u8,
    /// Length of the header: 7 bytes, 9 with a checksum.
    pub header_len: usize,
    /// Length of header and frame together.
    pub frame_len: usize,
}

impl AdtsHeader {
    /// Reads a header; `None` where there is none.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<AdtsHeader> {
        let head = data.first_chunk::<7>()?;
        // Sync word of twelve ones, two layer bits of zero.
        if head[0] != 0xff || head[1] & 0xf6 != 0xf0 {
            return None;
        }
        let header = AdtsHeader {
            object_type: (head[2] >> 6) + 1,
            rate_index: head[2] >> 2 & 0xf,
            channel_configuration: (head[2] & 1) << 2 | head[3] >> 6,
            header_len: if head[1] & 1 == 1 { 7 } else { 9 },
            frame_len: usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5),
        };
        let several_blocks = head[6] & 3 != 0;
        (usize::from(header.rate_index) < SAMPLE_RATES.len()
            && header.frame_len > header.header_len
            && !several_blocks)
            .then_some(header)
    }

    /// The sampling rate in Hz.
    #[must_use]
    pub fn sample_rate(&self) -> u32 {
        SAMPLE_RATES
            .get(usize::from(self.rate_index))
            .copied()
            .unwrap_or(0)
    }

    /// The AudioSpecificConfig of the stream this header is from.
    ///
    /// `frame` is the raw frame after the header: with channel configuration 0 it starts with the program
    /// config element that describes the channels.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidBitstream`] where that element is missing or broken.
    pub fn specific_config(&self, frame: &[u8]) -> Result<AudioSpecificConfig, MkvError> {
        let program = match self.channel_configuration {
            0 => Some(ProgramConfig::leading(frame).ok_or_else(|| {
                MkvError::new(MkvErrorKind::InvalidBitstream)
                    .with_detail("adts channel configuration 0 without a program config element")
            })?),
            _ => None,
        };
        Ok(AudioSpecificConfig {
            object_type: self.object_type,
            sample_rate: self.sample_rate(),
            channel_configuration: self.channel_configuration,
            extension: None,
            program,
        })
    }
}

/// The raw frames in a buffer of one or more ADTS frames, with their headers.
///
/// Transport streams and some encoders hand out several frames at a time; each is a [`Frame`](crate::Frame)
/// of its own, 1,024 samples after the one before. Ends with an error at bytes that are no ADTS frame.
pub fn adts_frames(data: Bytes) -> impl Iterator<Item = Result<(AdtsHeader, Bytes), MkvError>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match AdtsHeader::parse(&rest).filter(|header| header.frame_len <= rest.len()) {
            Some(header) => {
                let frame = rest.split_to(header.frame_len);
                Some(Ok((header, frame.slice(header.header_len..))))
            }
            None => {
                rest.clear();
                Some(Err(
                    MkvError::new(MkvErrorKind::InvalidBitstream).with_detail("invalid adts header")
                ))
            }
        }
    })
}

/// What spectral band replication adds to a stream (§1.6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SbrExtension {
    /// The sampling rate after band replication, in Hz.
    pub sample_rate: u32,
    /// Whether parametric stereo makes two channels of one (HE-AACv2).
    pub parametric_stereo: bool,
}

/// An `AudioSpecificConfig` (§1.6.2.1): AAC's codec private data.
///
/// ```
/// use bytes::Bytes;
/// use kvs_mkv::codec::aac::AudioSpecificConfig;
///
/// let config = AudioSpecificConfig::lc(48_000, 2)?;
/// assert_eq!(config.to_record(), Bytes::from_static(&[0x11, 0x90]));
/// # Ok::<(), kvs_mkv::MkvError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// Audio object type of the core: 2 is AAC-LC.
    pub object_type: u8,
    /// Sampling rate of the core, in Hz.
    pub sample_rate: u32,
    /// Channel configuration, table 1.19.
    pub channel_configuration: u8,
    /// Band replication, where it is signalled.
    pub extension: Option<SbrExtension>,
    /// The channels, where the channel configuration is 0.
    pub program: Option<ProgramConfig>,
}

impl AudioSpecificConfig {
    /// Plain AAC-LC.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] for a rate of 0 or above 16 MHz, or a number of channels other than 1–6 and 8.
    pub fn lc(sample_rate: u32, channels: u8) -> Result<Self, MkvError> {
        let channel_configuration = match channels {
            1..=6 => channels,
            8 => 7,
            _ => {
                return Err(MkvError::new(MkvErrorKind::InvalidCodecPrivate)
                    .with_detail(format!("no aac channel configuration has {channels} channels")));
            }
        };
        if sample_rate == 0 || sample_rate >= 1 << 24 {
            return Err(MkvError::new(MkvErrorKind::InvalidCodecPrivate)
                .with_detail(format!("aac sampling rate of {sample_rate} hz")));
        }
        Ok(AudioSpecificConfig {
            object_type: object_type::LC,
            sample_rate,
            channel_configuration,
            extension: None,
            program: None,
        })
    }

    /// Parses a config, as MP4 and Matroska carry it.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] where it is cut short or reserved.
    pub fn parse(record: &[u8]) -> Result<Self, MkvError> {
        parse_config(record).ok_or_else(|| {
            MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail("invalid audio specific config")
        })
    }

    /// Channels of the core.
    #[must_use]
    pub fn channels(&self) -> u8 {
        match &self.program {
            Some(program) => program.channels,
            None => channels_of(self.channel_configuration).unwrap_or(0),
        }
    }

    /// Writes the config; band replication is signalled hierarchically (§1.6.5.2).
    #[must_use]
    pub fn to_record(&self) -> Bytes {
        let mut bits = BitWriter::default();
        let configuration = u32::from(self.channel_configuration);
        match self.extension {
            None => {
                put_object_type(&mut bits, self.object_type);
                put_rate(&mut bits, self.sample_rate);
                bits.bits(configuration, 4);
            }
            Some(extension) => {
                let outer = if extension.parametric_stereo {
                    object_type::PS
                } else {
                    object_type::SBR
                };
                put_object_type(&mut bits, outer);
                put_rate(&mut bits, self.sample_rate);
                bits.bits(configuration, 4);
                put_rate(&mut bits, extension.sample_rate);
                put_object_type(&mut bits, self.object_type);
            }
        }
        // GASpecificConfig: frames of 1,024 samples, no core coder, no extension.
        bits.bits(0, 3);
        if let Some(program) = &self.program {
            program.put(&mut bits);
        }
        Bytes::from(bits.into_bytes())
    }

    /// The track format the config stands for.
    #[must_use]
    pub fn format(&self) -> TrackFormat {
        self.format_as(self.to_record())
    }

    /// The track format with `record` as codec private data, byte for byte.
    pub(crate) fn format_as(&self, record: Bytes) -> TrackFormat {
        let mut audio = AudioFormat::new(f64::from(self.sample_rate), self.channels());
        if let Some(extension) = self.extension {
            audio.output_sample_rate = Some(f64::from(extension.sample_rate));
            if extension.parametric_stereo {
                audio.channels = 2;
            }
        }
        TrackFormat {
            codec_private: record,
            video: None,
            audio: Some(audio),
        }
    }
}

fn put_object_type(bits: &mut BitWriter, object_type: u8) {
    if object_type < 31 {
        bits.bits(u32::from(object_type), 5);
    } else {
        bits.bits(31, 5).bits(u32::from(object_type) - 32, 6);
    }
}

fn put_rate(bits: &mut BitWriter, rate: u32) {
    match SAMPLE_RATES.iter().position(|&known| known == rate) {
        Some(index) => bits.bits(index as u32, 4),
        None => bits.bits(ESCAPE_RATE, 4).bits(rate, 24),
    };
}

fn take_object_type(bits: &mut BitReader<'_>) -> Option<u8> {
    match bits.bits(5)? {
        31 => Some(32 + bits.bits(6)? as u8),
        other => Some(other as u8),
    }
}

fn take_rate(bits: &mut BitReader<'_>) -> Option<u32> {
    match bits.bits(4)? {
        ESCAPE_RATE => bits.bits(24).filter(|&rate| rate > 0),
        index => SAMPLE_RATES.get(index as usize).copied(),
    }
}

fn parse_config(record: &[u8]) -> Option<AudioSpecificConfig> {
    let mut bits = BitReader::new(record);
    let mut object = take_object_type(&mut bits)?;
    let sample_rate = take_rate(&mut bits)?;
    let channel_configuration = bits.bits(4)? as u8;
    let mut extension = None;
    if object == object_type::SBR || object == object_type::PS {
        let parametric_stereo = object == object_type::PS;
        extension = Some(SbrExtension {
            sample_rate: take_rate(&mut bits)?,
            parametric_stereo,
        });
        object = take_object_type(&mut bits)?;
    }
    let mut program = None;
    // The object types that go on with a GASpecificConfig (§4.4.1).
    if matches!(object, 1..=4 | 6 | 7 | 17 | 19..=23) {
        bits.bit()?; // frameLengthFlag
        if bits.bit()? {
            bits.skip(14)?; // coreCoderDelay
        }
        let extended = bits.bit()?;
        if channel_configuration == 0 {
            program = Some(ProgramConfig::parse(&mut bits)?);
        }
        if matches!(object, 6 | 20) {
            bits.skip(3)?; // layerNr
        }
        if extended {
            skip_ga_extension(&mut bits, object);
        }
        extension = extension.or_else(|| parse_sync_extension(&mut bits));
    }
    if channel_configuration != 0 {
        channels_of(channel_configuration)?;
    }
    Some(AudioSpecificConfig {
        object_type: object,
        sample_rate,
        channel_configuration,
        extension,
        program,
    })
}

fn skip_ga_extension(bits: &mut BitReader<'_>, object: u8) -> Option<()> {
    match object {
        22 => bits.skip(16)?,
        17 | 19 | 20 | 23 => bits.skip(3)?,
        _ => {}
    }
    bits.skip(1)
}

/// Backward compatible signalling after the config (§1.6.5.3).
fn parse_sync_extension(bits: &mut BitReader<'_>) -> Option<SbrExtension> {
    if bits.remaining() < 16 || bits.bits(11)? != 0x2b7 || take_object_type(bits)? != object_type::SBR {
        return None;
    }
    if !bits.bit()? {
        return None;
    }
    let sample_rate = take_rate(bits)?;
    let parametric_stereo = bits.remaining() >= 12 && bits.bits(11)? == 0x548 && bits.bit()?;
    Some(SbrExtension {
        sample_rate,
        parametric_stereo,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adts_gives_the_specific_config_of_every_rate_and_layout() {
        for (rate_index, &rate) in SAMPLE_RATES.iter().enumerate() {
            for channel_configuration in 1..=7 {
                let header = AdtsHeader {
                    object_type: 2,
                    rate_index: rate_index as u8,
                    channel_configuration,
                    header_len: 7,
                    frame_len: 100,
                };
                let config = header.specific_config(&[]).unwrap();
                // Five bits of object type, four of rate, four of channels, three zeros.
                let expected = 2u16 << 11 | (rate_index as u16) << 7 | u16::from(channel_configuration) << 3;
                assert_eq!(config.to_record(), expected.to_be_bytes().as_slice());
                let parsed = AudioSpecificConfig::parse(&config.to_record()).unwrap();
                assert_eq!((parsed.sample_rate, parsed.channels()), (rate, config.channels()));
            }
        }
    }

    #[test]
    fn adts_headers_are_read_field_by_field() {
        // AAC-LC, 48 kHz, stereo, no checksum, a frame of 9 bytes.
        let header = AdtsHeader::parse(&[0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 0x21, 0x10]).unwrap();
        assert_eq!((header.object_type, header.sample_rate()), (2, 48_000));
        assert_eq!(header.channel_configuration, 2);
        assert_eq!((header.header_len, header.frame_len), (7, 9));
        assert_eq!(
            AdtsHeader::parse(&[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c, 0, 0]),
            None
        );
    }

    #[test]
    fn a_buffer_of_several_adts_frames_is_split() {
        let one = [0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 0x21, 0x10];
        let frames: Vec<_> = adts_frames(Bytes::from(one.repeat(3)))
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|(_, frame)| frame.as_ref() == [0x21, 0x10]));
        let broken: Vec<_> = adts_frames(Bytes::from_static(&[0xff, 0xf1])).collect();
        assert!(matches!(broken.as_slice(), [Err(_)]));
    }

    #[test]
    fn an_uncommon_rate_is_written_in_24_bits() {
        let config = AudioSpecificConfig::lc(44_000, 1).unwrap();
        let record = config.to_record();
        // 00010 1111 0000_0000_1010_1011_1110_0000 0001 000
        assert_eq!(record.as_ref(), [0x17, 0x80, 0x55, 0xf0, 0x08]);
        assert_eq!(AudioSpecificConfig::parse(&record).unwrap(), config);
    }

    #[test]
    fn band_replication_is_read_in_both_signallings_and_parametric_stereo_too() {
        // HE-AAC, hierarchical: 24 kHz core, 48 kHz out, stereo.
        let hierarchical = AudioSpecificConfig::parse(&[0x2b, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!((hierarchical.object_type, hierarchical.sample_rate), (2, 24_000));
        let sbr = SbrExtension {
            sample_rate: 48_000,
            parametric_stereo: false,
        };
        assert_eq!(hierarchical.extension, Some(sbr));
        assert_eq!(hierarchical.to_record().as_ref(), [0x2b, 0x11, 0x88, 0x00]);
        // Backward compatible: AAC-LC at 22.05 kHz mono, then sync 0x2b7, SBR at 44.1 kHz, PS.
        let compatible = AudioSpecificConfig::parse(&[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80]).unwrap();
        assert_eq!(compatible.sample_rate, 22_050);
        assert_eq!(
            compatible.extension,
            Some(SbrExtension {
                sample_rate: 44_100,
                parametric_stereo: true
            })
        );
        let format = compatible.format();
        assert_eq!(format.audio.unwrap().output_sample_rate, Some(44_100.0));
        assert_eq!(format.audio.unwrap().channels, 2);
    }

    #[test]
    fn a_program_config_element_goes_from_adts_to_the_specific_config() {
        // id 5 | tag 0, LC, 48 kHz | front 1, side 0, back 0, lfe 0, data 0, cc 0 | no mixdown
        // | front: a pair, tag 0 | align | empty comment
        let mut bits = BitWriter::default();
        bits.bits(5, 3)
            .bits(0, 4)
            .bits(1, 2)
            .bits(3, 4)
            .bits(1, 4)
            .bits(0, 4 + 4 + 2 + 3 + 4);
        bits.bits(0, 3).bits(1, 1).bits(0, 4).align().bits(0, 8);
        let block = bits.into_bytes();
        let header = AdtsHeader {
            object_type: 2,
            rate_index: 3,
            channel_configuration: 0,
            header_len: 7,
            frame_len: 7 + block.len(),
        };
        let config = header.specific_config(&block).unwrap();
        assert_eq!(config.channels(), 2);
        assert_eq!(AudioSpecificConfig::parse(&config.to_record()).unwrap(), config);
        assert!(header.specific_config(&[0xff]).is_err());
    }

    #[test]
    fn a_config_cut_short_is_refused() {
        assert!(AudioSpecificConfig::parse(&[]).is_err());
        assert!(AudioSpecificConfig::parse(&[0x11]).is_err());
        assert!(AudioSpecificConfig::lc(48_000, 7).is_err());
    }
}
