//! The rules a PutMedia body has to keep.

use std::fmt;

use super::ack::ErrorId;

/// A rule of ingestion; breaking it refuses the fragment under way and ends the session.
///
/// The first four groups are the "Note" section of the PutMedia page of the API reference; limits come from the
/// quotas page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum IngestRule {
    /// A fragment is at most 50 MB.
    FragmentSize,
    /// A fragment is at most 20 s long.
    FragmentDuration,
    /// A fragment that another follows lasts at least 1 s. Off by default
    /// ([`IngestLimits::fragment_minimum`](super::IngestLimits::fragment_minimum)).
    FragmentMinimum,
    /// A connection lives at most 45 minutes.
    ConnectionDuration,
    /// A cluster's timecode is after that of the one before.
    ClusterOrder,
    /// Every block of a fragment is after the latest block of the fragment before.
    BlockOrder,
    /// No producer timestamp repeats over connections. Off by default
    /// ([`RepeatRule`](super::RepeatRule)).
    NoRepeat,
    /// The body is Matroska that can be parsed, of a DocType the service takes.
    Matroska,
    /// A body holds one EBML header and one segment.
    OneSegment,
    /// The timecode scale is 100 ns to 1 s, and declared once.
    TimecodeScale,
    /// Tracks are declared before the first cluster, with numbers that differ.
    TracksDeclared,
    /// Tracks are declared once.
    TracksOnce,
    /// Every cluster has a timecode before its first block.
    ClusterTimecode,
    /// The producer timestamp lies between 1970 and the year 2262, the end of 64-bit nanoseconds.
    ProducerTimestamp,
    /// The stream exists for as long as the connection lives.
    StreamActive,
    /// At most 10 tags per fragment.
    TagCount,
    /// A tag's name is 1 to 128 bytes.
    TagName,
    /// A tag's value is at most 256 bytes.
    TagValue,
    /// A tag's name doesn't begin with `AWS`, but for the tags producers may send.
    TagReserved,
    /// Every block names a declared track.
    TrackDeclared,
    /// Every declared track has a frame in every fragment.
    FramesForEveryTrack,
    /// At most three tracks.
    TrackCount,
}

impl IngestRule {
    /// Every rule.
    pub const ALL: &'static [IngestRule] = {
        use IngestRule as R;
        &[
            R::FragmentSize,
            R::FragmentDuration,
            R::FragmentMinimum,
            R::ConnectionDuration,
            R::ClusterOrder,
            R::BlockOrder,
            R::NoRepeat,
            R::Matroska,
            R::OneSegment,
            R::TimecodeScale,
            R::TracksDeclared,
            R::TracksOnce,
            R::ClusterTimecode,
            R::ProducerTimestamp,
            R::StreamActive,
            R::TagCount,
            R::TagName,
            R::TagValue,
            R::TagReserved,
            R::TrackDeclared,
            R::FramesForEveryTrack,
            R::TrackCount,
        ]
    };

    /// The code of the ERROR acknowledgement for it.
    pub fn error_id(self) -> ErrorId {
        use IngestRule as R;
        match self {
            R::FragmentSize => ErrorId::MAX_FRAGMENT_SIZE_REACHED,
            R::FragmentDuration => ErrorId::MAX_FRAGMENT_DURATION_REACHED,
            R::FragmentMinimum => ErrorId::MIN_FRAGMENT_DURATION_REACHED,
            R::ConnectionDuration => ErrorId::MAX_CONNECTION_DURATION_REACHED,
            R::ClusterOrder | R::BlockOrder | R::NoRepeat => ErrorId::FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS,
            R::Matroska
            | R::OneSegment
            | R::TimecodeScale
            | R::TracksDeclared
            | R::TracksOnce
            | R::ClusterTimecode => ErrorId::INVALID_MKV_DATA,
            R::ProducerTimestamp => ErrorId::INVALID_PRODUCER_TIMESTAMP,
            R::StreamActive => ErrorId::STREAM_NOT_ACTIVE,
            R::TagCount | R::TagName | R::TagValue | R::TagReserved => {
                ErrorId::FRAGMENT_METADATA_LIMIT_REACHED
            }
            R::TrackDeclared => ErrorId::TRACK_NUMBER_MISMATCH,
            R::FramesForEveryTrack => ErrorId::FRAMES_MISSING_FOR_TRACK,
            R::TrackCount => ErrorId::MORE_THAN_ALLOWED_TRACKS_FOUND,
        }
    }
}

/// A broken rule, and how it was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: IngestRule,
    pub(crate) detail: String,
}

impl Violation {
    pub(crate) fn new(rule: IngestRule, detail: impl Into<String>) -> Violation {
        Violation {
            rule,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}
