//! Codecs: their Matroska names, their codec private data, and how a caller's frames become the frames
//! that go on the wire.
//!
//! Each codec has one file: a pure parser and builder of its configuration record. [`TrackAdapter`] is the
//! one door for frames.

pub mod aac;
mod adapter;
mod bits;
pub mod h264;
mod h26x;
pub mod nal;

pub use adapter::{Adapted, TrackAdapter};

use crate::track::TrackKind;

/// How the frames of a track are coded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// H.264 / AVC. Frames may come in Annex-B or length-prefixed (AVCC) form.
    H264,
    /// AAC: AAC-LC, HE-AAC, HE-AACv2. Frames may come with or without ADTS headers.
    Aac,
    /// Anything else: frames go through untouched under the given Matroska codec id.
    Raw {
        /// Matroska codec id, at most 32 bytes, as in `V_UNCOMPRESSED`.
        codec_id: String,
        /// Whether it is pictures or sound.
        kind: TrackKind,
    },
}

impl Codec {
    /// The Matroska codec id.
    #[must_use]
    pub fn codec_id(&self) -> &str {
        match self {
            Codec::H264 => "V_MPEG4/ISO/AVC",
            Codec::Aac => "A_AAC",
            Codec::Raw { codec_id, .. } => codec_id,
        }
    }

    /// The content type of a track of this codec, as the service's stream descriptions spell it.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Codec::H264 => "video/h264",
            Codec::Aac => "audio/aac",
            Codec::Raw {
                kind: TrackKind::Video,
                ..
            } => "video/x-matroska",
            Codec::Raw {
                kind: TrackKind::Audio,
                ..
            } => "audio/x-matroska",
        }
    }

    /// Whether it is pictures or sound.
    #[must_use]
    pub fn kind(&self) -> TrackKind {
        match self {
            Codec::H264 => TrackKind::Video,
            Codec::Aac => TrackKind::Audio,
            Codec::Raw { kind, .. } => *kind,
        }
    }

    /// Whether every frame decodes without any other.
    #[must_use]
    pub fn is_intra_only(&self) -> bool {
        match self {
            Codec::H264
            | Codec::Raw {
                kind: TrackKind::Video,
                ..
            } => false,
            Codec::Aac
            | Codec::Raw {
                kind: TrackKind::Audio,
                ..
            } => true,
        }
    }

    /// Matroska's CodecDelay and SeekPreRoll in nanoseconds, for codecs that must have them.
    pub(crate) fn codec_delay(&self) -> Option<(u64, u64)> {
        None
    }

    /// The codec these names stand for; [`Codec::Raw`] for one that is not known.
    pub(crate) fn from_names(codec_id: String, content_type: &str, kind: TrackKind) -> Codec {
        let raw = Codec::Raw { codec_id, kind };
        [Codec::H264, Codec::Aac]
            .into_iter()
            .find(|codec| codec.codec_id() == raw.codec_id() && codec.content_type() == content_type)
            .unwrap_or(raw)
    }

    /// The codec of a track in a Matroska file.
    pub(crate) fn from_codec_id(codec_id: &str, _codec_private: &[u8], kind: TrackKind) -> Codec {
        match (codec_id, kind) {
            ("V_MPEG4/ISO/AVC", TrackKind::Video) => Codec::H264,
            ("A_AAC", TrackKind::Audio) => Codec::Aac,
            _ => Codec::Raw {
                codec_id: codec_id.to_owned(),
                kind,
            },
        }
    }
}
