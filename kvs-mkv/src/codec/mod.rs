//! Codecs: their Matroska names, their codec private data, and how a caller's frames become the frames
//! that go on the wire.
//!
//! Each codec has one file: a pure parser and builder of its configuration record. [`TrackAdapter`] is the
//! one door for frames.

pub mod aac;
mod adapter;
mod bits;
pub mod g711;
pub mod h264;
pub mod h265;
mod h26x;
pub mod mjpeg;
pub mod nal;
pub mod opus;
pub mod pcm;

pub use adapter::{Adapted, TrackAdapter};

use crate::track::TrackKind;
use pcm::SampleFormat;

/// How the frames of a track are coded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// H.264 / AVC. Frames may come in Annex-B or length-prefixed (AVCC) form.
    H264,
    /// H.265 / HEVC. Frames may come in Annex-B or length-prefixed (HVCC) form.
    H265,
    /// Motion JPEG: every frame a JPEG picture.
    Mjpeg,
    /// AAC: AAC-LC, HE-AAC, HE-AACv2. Frames may come with or without ADTS headers.
    Aac,
    /// G.711 A-law.
    Alaw,
    /// G.711 µ-law.
    Mulaw,
    /// Opus.
    Opus,
    /// Uncompressed sound.
    Pcm(SampleFormat),
    /// Anything else: frames go through untouched under the given Matroska codec id.
    Raw {
        /// Matroska codec id, at most 32 bytes, as in `V_UNCOMPRESSED`.
        codec_id: String,
        /// Whether it is pictures or sound.
        kind: TrackKind,
    },
}

/// Every codec with a name of its own.
const NAMED: [Codec; 10] = [
    Codec::H264,
    Codec::H265,
    Codec::Mjpeg,
    Codec::Aac,
    Codec::Alaw,
    Codec::Mulaw,
    Codec::Opus,
    Codec::Pcm(SampleFormat::IntegerLittleEndian),
    Codec::Pcm(SampleFormat::IntegerBigEndian),
    Codec::Pcm(SampleFormat::Float),
];

impl Codec {
    /// The Matroska codec id.
    #[must_use]
    pub fn codec_id(&self) -> &str {
        match self {
            Codec::H264 => "V_MPEG4/ISO/AVC",
            Codec::H265 => "V_MPEGH/ISO/HEVC",
            Codec::Mjpeg => "V_MS/VFW/FOURCC",
            Codec::Aac => "A_AAC",
            Codec::Alaw | Codec::Mulaw => "A_MS/ACM",
            Codec::Opus => "A_OPUS",
            Codec::Pcm(format) => format.codec_id(),
            Codec::Raw { codec_id, .. } => codec_id,
        }
    }

    /// The content type of a track of this codec, as the service's stream descriptions spell it.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Codec::H264 => "video/h264",
            Codec::H265 => "video/h265",
            Codec::Aac => "audio/aac",
            Codec::Alaw => "audio/alaw",
            Codec::Mulaw => "audio/mulaw",
            Codec::Mjpeg
            | Codec::Raw {
                kind: TrackKind::Video,
                ..
            } => "video/x-matroska",
            Codec::Opus
            | Codec::Pcm(_)
            | Codec::Raw {
                kind: TrackKind::Audio,
                ..
            } => "audio/x-matroska",
        }
    }

    /// Whether it is pictures or sound.
    #[must_use]
    pub fn kind(&self) -> TrackKind {
        match self {
            Codec::H264 | Codec::H265 | Codec::Mjpeg => TrackKind::Video,
            Codec::Aac | Codec::Alaw | Codec::Mulaw | Codec::Opus | Codec::Pcm(_) => TrackKind::Audio,
            Codec::Raw { kind, .. } => *kind,
        }
    }

    /// Whether every frame decodes without any other.
    #[must_use]
    pub fn is_intra_only(&self) -> bool {
        self.kind() == TrackKind::Audio || *self == Codec::Mjpeg
    }

    /// The codec these names stand for; [`Codec::Raw`] for one that is not known.
    pub(crate) fn from_names(codec_id: String, content_type: &str, kind: TrackKind) -> Codec {
        let named = NAMED.iter().find(|codec| {
            codec.codec_id() == codec_id && codec.content_type() == content_type && codec.kind() == kind
        });
        named.cloned().unwrap_or(Codec::Raw { codec_id, kind })
    }

    /// The codec of a track in a Matroska file.
    pub(crate) fn from_codec_id(codec_id: &str, codec_private: &[u8], kind: TrackKind) -> Codec {
        let named = NAMED.iter().find(|codec| {
            let is_it = match codec {
                // Two names stand for many codecs: the codec private data tells.
                Codec::Alaw => codec_private.starts_with(&[6, 0]),
                Codec::Mulaw => codec_private.starts_with(&[7, 0]),
                Codec::Mjpeg => codec_private
                    .get(16..20)
                    .is_some_and(|name| name.eq_ignore_ascii_case(b"MJPG")),
                _ => true,
            };
            is_it && codec.codec_id() == codec_id && codec.kind() == kind
        });
        named.cloned().unwrap_or_else(|| Codec::Raw {
            codec_id: codec_id.to_owned(),
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_codec_again() {
        for codec in NAMED {
            let (id, kind) = (codec.codec_id().to_owned(), codec.kind());
            assert_eq!(Codec::from_names(id, codec.content_type(), kind), codec);
        }
        let unknown = Codec::from_codec_id("V_VP9", &[], TrackKind::Video);
        assert_eq!(
            unknown,
            Codec::Raw {
                codec_id: "V_VP9".into(),
                kind: TrackKind::Video
            }
        );
    }

    #[test]
    fn names_that_stand_for_many_codecs_are_told_apart_by_the_private_data() {
        let of = |private: &[u8]| Codec::from_codec_id("A_MS/ACM", private, TrackKind::Audio);
        assert_eq!(of(&[6, 0, 1, 0]), Codec::Alaw);
        assert_eq!(of(&[7, 0, 1, 0]), Codec::Mulaw);
        assert!(matches!(of(&[0x55, 0]), Codec::Raw { .. }));
        let mjpeg = mjpeg::format(2, 2).codec_private;
        assert_eq!(
            Codec::from_codec_id("V_MS/VFW/FOURCC", &mjpeg, TrackKind::Video),
            Codec::Mjpeg
        );
    }
}
