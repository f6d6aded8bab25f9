//! [`Track`]: one video or audio track, its codec and its format.

use bytes::Bytes;

use crate::codec::aac::AudioSpecificConfig;
use crate::codec::g711::{Law, WaveFormat};
use crate::codec::opus::OpusHead;
use crate::codec::pcm::{self, SampleFormat};
use crate::codec::{Codec, h264, h265, mjpeg, nal};
use crate::error::{MkvError, MkvErrorKind};

/// Longest track name, in bytes (the limit of the service's own producers).
pub const MAX_TRACK_NAME: usize = 32;
/// Longest Matroska codec id, in bytes.
pub const MAX_CODEC_ID: usize = 32;
/// Largest codec private data, in bytes.
pub const MAX_CODEC_PRIVATE: usize = 1 << 20;

/// Pictures or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// Pictures. Matroska's track type 1.
    Video,
    /// Sound. Matroska's track type 2.
    Audio,
}

impl TrackKind {
    /// Matroska's `TrackType` (§5.1.4.1.3).
    #[must_use]
    pub const fn matroska_type(self) -> u8 {
        match self {
            TrackKind::Video => 1,
            TrackKind::Audio => 2,
        }
    }
}

/// A track of a stream: what it is called and how its frames are coded.
///
/// ```
/// use kvs_mkv::Track;
///
/// let video = Track::h264();
/// assert_eq!((video.number, video.content_type()), (1, "video/h264"));
/// assert!(!video.is_ready()); // its avcC is not known yet: frames will tell
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Track number in blocks, 1..=126.
    pub number: u8,
    /// Unique id of the track; not 0.
    pub uid: u64,
    /// Name, at most [`MAX_TRACK_NAME`] bytes.
    pub name: String,
    /// Pictures or sound.
    pub kind: TrackKind,
    /// How frames are coded.
    pub codec: Codec,
    /// Codec private data and what it says; `None` until it is known.
    pub format: Option<TrackFormat>,
}

/// A track's codec private data and the facts that go into its Matroska headers.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackFormat {
    /// Matroska's `CodecPrivate`; empty where the codec has none.
    pub codec_private: Bytes,
    /// Picture size, for video.
    pub video: Option<VideoFormat>,
    /// Sampling, for audio.
    pub audio: Option<AudioFormat>,
}

/// The size of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VideoFormat {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
}

impl VideoFormat {
    /// The format of pictures of this size, if there can be any.
    pub(crate) fn from_size(width: u32, height: u32) -> Option<Self> {
        let width = u16::try_from(width).ok().filter(|&width| width > 0)?;
        let height = u16::try_from(height).ok().filter(|&height| height > 0)?;
        Some(VideoFormat { width, height })
    }
}

/// How sound is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AudioFormat {
    /// Sampling rate in Hz; of the core, where band replication doubles it.
    pub sample_rate: f64,
    /// Number of channels.
    pub channels: u8,
    /// Bits per sample, for codecs where that means something.
    pub bit_depth: Option<u8>,
    /// Sampling rate after decoding in Hz, where it differs from `sample_rate`.
    pub output_sample_rate: Option<f64>,
}

impl AudioFormat {
    /// Sound of `channels` channels at `sample_rate` Hz.
    #[must_use]
    pub const fn new(sample_rate: f64, channels: u8) -> Self {
        AudioFormat {
            sample_rate,
            channels,
            bit_depth: None,
            output_sample_rate: None,
        }
    }
}

impl Track {
    /// A track of any codec; its uid is its number, its name that of its kind.
    #[must_use]
    pub fn new(number: u8, codec: Codec) -> Self {
        let kind = codec.kind();
        let name = match kind {
            TrackKind::Video => "kvs_video_track",
            TrackKind::Audio => "kvs_audio_track",
        };
        Track {
            number,
            uid: u64::from(number),
            name: name.to_owned(),
            kind,
            codec,
            format: None,
        }
    }

    /// H.264 video as track 1.
    #[must_use]
    pub fn h264() -> Self {
        Track::new(1, Codec::H264)
    }

    /// AAC sound as track 2.
    #[must_use]
    pub fn aac() -> Self {
        Track::new(2, Codec::Aac)
    }

    /// H.265 video as track 1.
    #[must_use]
    pub fn h265() -> Self {
        Track::new(1, Codec::H265)
    }

    /// Motion JPEG as track 1; the size comes from the first picture.
    #[must_use]
    pub fn mjpeg() -> Self {
        Track::new(1, Codec::Mjpeg)
    }

    /// G.711 A-law sound as track 2, ready.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] as [`WaveFormat::new`].
    pub fn alaw(sample_rate: u32, channels: u8) -> Result<Self, MkvError> {
        let format = WaveFormat::new(Law::A, sample_rate, channels)?.format();
        Ok(Track::new(2, Codec::Alaw).with_format(format))
    }

    /// G.711 µ-law sound as track 2, ready.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] as [`WaveFormat::new`].
    pub fn mulaw(sample_rate: u32, channels: u8) -> Result<Self, MkvError> {
        let format = WaveFormat::new(Law::Mu, sample_rate, channels)?.format();
        Ok(Track::new(2, Codec::Mulaw).with_format(format))
    }

    /// Opus sound as track 2, ready; `pre_skip` is the encoder's delay in samples at 48 kHz.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] as [`OpusHead::new`].
    pub fn opus(channels: u8, pre_skip: u16) -> Result<Self, MkvError> {
        Ok(Track::new(2, Codec::Opus).with_format(OpusHead::new(channels, pre_skip)?.format()))
    }

    /// Uncompressed sound as track 2, ready.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] as [`pcm::format`].
    pub fn pcm(
        samples: SampleFormat,
        sample_rate: u32,
        channels: u8,
        bit_depth: u8,
    ) -> Result<Self, MkvError> {
        Ok(Track::new(2, Codec::Pcm(samples)).with_format(pcm::format(sample_rate, channels, bit_depth)?))
    }

    /// A track of any other codec, ready: frames and codec private data go through untouched.
    #[must_use]
    pub fn raw(
        number: u8,
        kind: TrackKind,
        codec_id: impl Into<String>,
        codec_private: impl Into<Bytes>,
    ) -> Self {
        let format = TrackFormat {
            codec_private: codec_private.into(),
            video: None,
            audio: None,
        };
        Track::new(
            number,
            Codec::Raw {
                codec_id: codec_id.into(),
                kind,
            },
        )
        .with_format(format)
    }

    /// Matroska's CodecDelay and SeekPreRoll in nanoseconds, for codecs that must have them.
    pub(crate) fn codec_delay(&self) -> Option<(u64, u64)> {
        match (&self.codec, &self.format) {
            (Codec::Opus, Some(format)) => {
                let head = OpusHead::parse(&format.codec_private).ok()?;
                Some((head.delay(), crate::codec::opus::SEEK_PRE_ROLL))
            }
            _ => None,
        }
    }

    /// The same track under another number.
    #[must_use]
    pub fn with_number(mut self, number: u8) -> Self {
        self.number = number;
        self
    }

    /// The same track with another uid.
    #[must_use]
    pub fn with_uid(mut self, uid: u64) -> Self {
        self.uid = uid;
        self
    }

    /// The same track with another name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The same track with its codec private data, parsed for the picture size or the sampling.
    ///
    /// H.264 and H.265 take an `avcC` or `hvcC` record, or their parameter sets in Annex-B form.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] where it does not parse or is larger than
    /// [`MAX_CODEC_PRIVATE`].
    pub fn with_codec_private(mut self, data: Bytes) -> Result<Track, MkvError> {
        self.format = Some(
            self.parse_codec_private(data)
                .map_err(|error| error.on_track(self.number))?,
        );
        Ok(self)
    }

    fn parse_codec_private(&self, data: Bytes) -> Result<TrackFormat, MkvError> {
        if data.len() > MAX_CODEC_PRIVATE {
            return Err(
                MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail(format!(
                    "codec private data of {} bytes, at most {MAX_CODEC_PRIVATE}",
                    data.len()
                )),
            );
        }
        match &self.codec {
            Codec::H264 if nal::starts_with_start_code(&data) => {
                h264::AvcConfig::from_annexb(&data)?.format()
            }
            Codec::H264 => {
                let config = h264::AvcConfig::parse(&data)?;
                Ok(h264::format_of(data, &config))
            }
            Codec::Aac => Ok(AudioSpecificConfig::parse(&data)?.format_as(data)),
            Codec::H265 if nal::starts_with_start_code(&data) => {
                h265::HevcConfig::from_annexb(&data)?.format()
            }
            Codec::H265 => {
                let config = h265::HevcConfig::parse(&data)?;
                Ok(h265::format_of(data, &config))
            }
            Codec::Mjpeg => mjpeg::parse_format(data),
            Codec::Alaw | Codec::Mulaw => Ok(WaveFormat::parse(&data)?.format_as(data)),
            Codec::Opus => Ok(OpusHead::parse(&data)?.format_as(data)),
            Codec::Pcm(_) | Codec::Raw { .. } => Ok(TrackFormat {
                codec_private: data,
                video: None,
                audio: None,
            }),
        }
    }

    /// The same track with a format the caller made.
    #[must_use]
    pub fn with_format(mut self, format: TrackFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// The content type of this track alone; a stream's is that of its tracks with commas between.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.codec.content_type()
    }

    /// Whether the format is known, so that the track can be declared in a session.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.format.is_some()
    }

    /// Checks the limits of number, uid, name and codec id.
    pub(crate) fn check(&self) -> Result<(), MkvError> {
        let wrong = |what: String| {
            Err(MkvError::new(MkvErrorKind::InvalidTrack)
                .with_detail(what)
                .on_track(self.number))
        };
        if !(1..=126).contains(&self.number) {
            return wrong(format!("track number {}, allowed are 1 to 126", self.number));
        }
        if self.uid == 0 {
            return wrong("track uid is 0".to_owned());
        }
        if self.name.len() > MAX_TRACK_NAME {
            return wrong(format!(
                "track name of {} bytes, at most {MAX_TRACK_NAME}",
                self.name.len()
            ));
        }
        let codec_id = self.codec.codec_id();
        if codec_id.is_empty() || codec_id.len() > MAX_CODEC_ID {
            return wrong(format!(
                "codec id of {} bytes, allowed are 1 to {MAX_CODEC_ID}",
                codec_id.len()
            ));
        }
        if self.kind != self.codec.kind() {
            return wrong("track kind is not that of its codec".to_owned());
        }
        Ok(())
    }
}
