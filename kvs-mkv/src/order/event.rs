//! What goes out of the orderer, and what it refuses.

use std::fmt;
use std::time::Duration;

use crate::frame::Frame;
use crate::time::Timestamp;

/// What comes next on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ordered {
    /// A fragment opens.
    Fragment(FragmentStart),
    /// The next frame of the open fragment; the first is the key frame it was cut at.
    Frame(Frame),
    /// The open fragment is complete.
    FragmentEnd,
    /// A frame that will not be sent.
    Dropped {
        /// The frame.
        frame: Frame,
        /// Why.
        reason: OrderDrop,
    },
    /// A time was changed after the frame was taken, so that its fragment stays valid.
    Corrected(Correction),
    /// The open group of pictures has reached 80 % of the ceiling: the encoder should make a key frame.
    KeyFrameWanted {
        /// The track that needs one.
        track: u8,
        /// How long ago its last one was, in media time.
        open_for: Duration,
    },
}

/// A fragment that opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentStart {
    /// The earliest presentation time in the fragment.
    pub timecode: Timestamp,
    /// Numbers of the tracks that this fragment and the following ones carry.
    pub tracks: Vec<u8>,
    /// Whether a new session has to start here: the first one, or one with other tracks or formats.
    pub new_session: bool,
    /// Numbers of the tracks whose format changes here; the first frame of each in this fragment is marked with
    /// [`FrameFlags::NEW_FORMAT`](crate::FrameFlags::NEW_FORMAT).
    pub new_formats: Vec<u8>,
}

/// Why a frame is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OrderDrop {
    /// Video before the first key frame, or before the one at which it may go on.
    BeforeKeyFrame,
    /// Sound further ahead of the first key frame than the limit.
    AudioTooEarly,
    /// The track is not part of the open fragment: it was gone and returns at the next key frame.
    TrackAbsent,
    /// The fragment is at its ceiling on duration.
    FragmentTooLong,
    /// The fragment is at its ceiling on bytes.
    FragmentTooLarge,
    /// A picture shown before the key frame it follows.
    LeadingPicture,
    /// The format changed in the middle of a fragment: the rest waits for the next.
    FormatChange,
}

/// A change made to a frame's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Track number.
    pub track: u8,
    /// What was done.
    pub kind: CorrectionKind,
    /// The presentation time as it was given.
    pub from: Timestamp,
    /// The presentation time as it is now.
    pub to: Timestamp,
}

/// What was done to a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CorrectionKind {
    /// It repeated or went back, and was raised above the one before.
    Raised,
    /// The track's clock started anew; its frames are shifted to go on where it was.
    Rebased,
    /// The track's clock was too far from the others'; its frames are shifted to theirs.
    Aligned,
    /// It fell on or before the end of the fragment before, and was raised to its own fragment's start.
    IntoFragment,
}

/// A frame that was not taken, and why. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderError {
    /// The frame, as it was given.
    pub frame: Frame,
    /// Why.
    pub kind: OrderErrorKind,
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderErrorKind {
    /// Its track was not declared.
    UnknownTrack,
    /// It has no data.
    Empty,
    /// It is larger than a fragment may be.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Too many frames of its track wait for another track.
    QueueFull {
        /// The track that is waited for.
        waiting_for: u8,
        /// How far that track is behind, in nanoseconds; negative where it is ahead.
        behind: i64,
    },
    /// Another track has been silent for too long ([`SilencePolicy::Refuse`](super::SilencePolicy::Refuse)).
    TrackSilent {
        /// The silent track.
        silent: u8,
        /// For how much media time of this frame's track.
        silent_for: Duration,
    },
    /// Its time is too far from another track's.
    TrackSkew {
        /// The other track.
        other: u8,
        /// This frame's time less the other track's latest, in nanoseconds.
        delta: i64,
    },
    /// Its time repeats or goes back ([`TimestampPolicy::Refuse`](super::TimestampPolicy::Refuse)).
    TimeNotRising {
        /// The latest time of the track.
        last: Timestamp,
    },
    /// The group of pictures is over its ceiling ([`KeyFramePolicy::Refuse`](super::KeyFramePolicy::Refuse)).
    KeyFrameMissing {
        /// How long ago the last key frame was, in media time.
        open_for: Duration,
    },
}

impl OrderError {
    /// Why the frame was not taken.
    #[must_use]
    pub fn kind(&self) -> OrderErrorKind {
        self.kind
    }

    /// The frame, back.
    #[must_use]
    pub fn into_frame(self) -> Frame {
        self.frame
    }
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let track = self.frame.track;
        let millis = |nanos: i64| nanos / 1_000_000;
        match self.kind {
            OrderErrorKind::UnknownTrack => write!(f, "track {track} was not declared"),
            OrderErrorKind::Empty => write!(f, "frame of track {track} has no data"),
            OrderErrorKind::TooLarge { limit } => {
                write!(
                    f,
                    "frame of {} bytes on track {track}, at most {limit}",
                    self.frame.data.len()
                )
            }
            OrderErrorKind::QueueFull { waiting_for, behind } => write!(
                f,
                "queue of track {track} is full: it waits for track {waiting_for}, which is {} ms behind",
                millis(behind)
            ),
            OrderErrorKind::TrackSilent { silent, silent_for } => write!(
                f,
                "track {silent} has been silent for {} ms of track {track}",
                silent_for.as_millis()
            ),
            OrderErrorKind::TrackSkew { other, delta } => {
                write!(f, "track {track} is {} ms ahead of track {other}", millis(delta))
            }
            OrderErrorKind::TimeNotRising { last } => {
                write!(f, "time {} on track {track} is not after {last}", self.frame.pts)
            }
            OrderErrorKind::KeyFrameMissing { open_for } => {
                write!(f, "no key frame on track {track} for {} ms", open_for.as_millis())
            }
        }
    }
}

impl std::error::Error for OrderError {}
