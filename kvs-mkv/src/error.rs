//! The crate's error type.

use std::borrow::Cow;
use std::fmt;

/// What went wrong while adapting, muxing or demuxing, and where.
///
/// The kind is for programs, the text for people; where they are known, the track number and the byte
/// offset (counted from the first byte given to the demuxer) say where to look.
///
/// ```
/// use kvs_mkv::{MkvErrorKind, TimecodeScale};
///
/// let error = TimecodeScale::new(5).unwrap_err();
/// assert_eq!(error.kind(), MkvErrorKind::InvalidScale);
/// assert_eq!(error.to_string(), "timecode scale of 5 ns, allowed are 100 ns to 1 s");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MkvError {
    kind: MkvErrorKind,
    detail: Cow<'static, str>,
    track: Option<u8>,
    offset: Option<u64>,
}

/// The classes of [`MkvError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MkvErrorKind {
    /// A timecode scale outside the service's limits.
    InvalidScale,
    /// A track whose number, uid, name or codec breaks a rule, or a set with none, more than three, or
    /// two tracks of one number.
    InvalidTrack,
    /// A track is to be written whose codec private data is not known yet.
    TrackNotReady,
    /// A frame names a track that was not declared.
    UnknownTrack,
    /// A frame came before the codec private data of its track: a video stream that did not start with
    /// its parameter sets. It is safe to drop such frames until the next key frame.
    CodecPrivateMissing,
    /// Codec private data that does not parse as its codec's configuration record.
    InvalidCodecPrivate,
    /// Frame data that is not what its codec says it is.
    InvalidBitstream,
    /// A fragment timecode not after the one before, or before the session's start.
    FragmentOutOfOrder,
    /// A block before its cluster's time or further from it than 16 bits can tell.
    BlockTimeOutOfRange,
    /// A block or tag where no fragment was started.
    NoFragment,
    /// A fragment tag whose name or value breaks the service's limits.
    InvalidTag,
    /// An element that breaks EBML or Matroska.
    MalformedElement,
    /// An element where it cannot stand.
    UnexpectedElement,
    /// An element larger than the limits allow.
    LimitExceeded,
    /// The input ended inside an element.
    UnexpectedEnd,
    /// An encoded track set of an unknown version or a broken one.
    InvalidBlob,
}

impl MkvErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::InvalidScale => "timecode scale out of range",
            Self::InvalidTrack => "invalid track",
            Self::TrackNotReady => "codec private data of a track is not known yet",
            Self::UnknownTrack => "track was not declared",
            Self::CodecPrivateMissing => "frame came before its codec private data",
            Self::InvalidCodecPrivate => "invalid codec private data",
            Self::InvalidBitstream => "invalid bitstream",
            Self::FragmentOutOfOrder => "fragment timecode does not rise",
            Self::BlockTimeOutOfRange => "block time out of range",
            Self::NoFragment => "no fragment was started",
            Self::InvalidTag => "invalid fragment tag",
            Self::MalformedElement => "malformed element",
            Self::UnexpectedElement => "unexpected element",
            Self::LimitExceeded => "element exceeds its limit",
            Self::UnexpectedEnd => "input ended inside an element",
            Self::InvalidBlob => "invalid track set encoding",
        }
    }
}

impl MkvError {
    pub(crate) fn new(kind: MkvErrorKind) -> Self {
        MkvError {
            kind,
            detail: Cow::Borrowed(kind.text()),
            track: None,
            offset: None,
        }
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(crate) fn on_track(mut self, track: u8) -> Self {
        self.track = Some(track);
        self
    }

    pub(crate) fn at_offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> MkvErrorKind {
        self.kind
    }

    /// The number of the track concerned, where there is one.
    #[must_use]
    pub fn track(&self) -> Option<u8> {
        self.track
    }

    /// The offset of the element concerned in the demuxer's input, in bytes.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }
}

impl fmt::Display for MkvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        if let Some(track) = self.track {
            write!(f, " (track {track})")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        Ok(())
    }
}

impl std::error::Error for MkvError {}
