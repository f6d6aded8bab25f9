//! Matroska for Kinesis Video Streams: codecs, a zero-copy muxer and an incremental demuxer.

pub mod codec;
mod demux;
mod ebml;
mod error;
mod file;
mod fragment_info;
mod frame;
mod metadata;
mod muxer;
mod order;
pub mod schema;
mod tag;
mod time;
mod track;
mod track_set;

pub use codec::{Adapted, Codec, TrackAdapter};
pub use demux::{
    Block, DemuxLimits, Demuxer, EbmlHeader, InfoEntry, MkvEvent, Recovery, SimpleTag, TrackEntry,
};
pub use error::{MkvError, MkvErrorKind};
pub use file::{FileWriter, Patch};
pub use fragment_info::FragmentInfo;
pub use frame::{Frame, FrameFlags};
pub use metadata::{FragmentEvent, FragmentMetadata, IMAGE_GENERATION, IMAGE_PREFIX, NOTIFICATION};
pub use muxer::{FragmentTimecodes, Muxer, SegmentInfo};
pub use order::{
    Correction, CorrectionKind, FragmentStart, FrameOrderer, KeyFramePolicy, LeadingPicturePolicy,
    OrderConfig, OrderDrop, OrderError, OrderErrorKind, OrderStats, Ordered, SilencePolicy, SkewPolicy,
    TimestampPolicy,
};
pub use tag::{
    END_OF_FRAGMENT, MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS_PER_FRAGMENT, RESERVED_TAG_PREFIX, Tag,
};
pub use time::{TimecodeScale, Timestamp};
pub use track::{
    AudioFormat, MAX_CODEC_ID, MAX_CODEC_PRIVATE, MAX_TRACK_NAME, Track, TrackFormat, TrackKind, VideoFormat,
};
pub use track_set::{MAX_TRACKS, TrackSet};
