//! Matroska for Kinesis Video Streams: codecs, a zero-copy muxer and an incremental demuxer.
//!
//! The service takes media as Matroska, with rules of its own: a Cluster is a *fragment*, starts with a key
//! frame and holds a frame of every track; fragments never overlap in time; tracks never change within a
//! session. This crate turns an encoder's frames into such streams, and reads them back. It does no I/O,
//! reads no clock, and has no unsafe code.
//!
//! # The way of a frame
//!
//! ```
//! use kvs_mkv::{
//!     Adapted, FragmentTimecodes, Frame, FrameOrderer, Muxer, OrderConfig, Ordered, SegmentInfo, Timestamp, Track,
//!     TrackAdapter, TrackSet,
//! };
//! # let sps: &[u8] = &[
//! #     0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
//! #     0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
//! # ];
//! # let pps: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
//! # let access_unit = [&[0, 0, 0, 1], sps, &[0, 0, 0, 1], pps, &[0, 0, 0, 1], &[0x65, 0x88, 0x84]].concat();
//!
//! // 1. An adapter for each track: Annex-B becomes length-prefixed, ADTS becomes raw AAC, and the frames tell
//! //    the track's codec private data.
//! let mut adapter = TrackAdapter::new(&Track::h264());
//! let frame = Frame::video(access_unit).pts(Timestamp::from_millis(1_700_000_000_000)).key();
//! let Adapted { frame, format, .. } = adapter.adapt(frame)?;
//! let tracks = TrackSet::new(vec![Track::h264().with_format(format.expect("a key frame tells its format"))])?;
//!
//! // 2. An orderer for the stream: it brings all tracks into wire order and cuts fragments.
//! let mut orderer = FrameOrderer::new(&tracks, OrderConfig::default());
//! orderer.push(frame).expect("a valid time");
//! orderer.flush();
//!
//! // 3. A muxer for each session: small heads of its own, and the payloads as they are.
//! let mut muxer = Muxer::new(SegmentInfo::new([7; 16]), &tracks, FragmentTimecodes::Absolute)?;
//! let mut wire: Vec<bytes::Bytes> = Vec::new();
//! muxer.header(&mut wire);
//! while let Some(ordered) = orderer.poll() {
//!     match ordered {
//!         Ordered::Fragment(start) => {
//!             muxer.start_fragment(start.timecode, &mut wire)?;
//!         }
//!         Ordered::Frame(frame) => muxer.block(&frame, &mut wire)?,
//!         Ordered::FragmentEnd => muxer.end_of_fragment(&mut wire),
//!         _ => {} // drops and corrections, each with its reason
//!     }
//! }
//!
//! // The way back: any split will do.
//! let mut demuxer = kvs_mkv::Demuxer::default();
//! for chunk in wire {
//!     demuxer.push(chunk);
//! }
//! let mut blocks = 0;
//! while let Some(event) = demuxer.poll()? {
//!     blocks += usize::from(matches!(event, kvs_mkv::MkvEvent::Block(_)));
//! }
//! assert_eq!(blocks, 1);
//! # Ok::<(), kvs_mkv::MkvError>(())
//! ```
//!
//! # What is where
//!
//! | to | use |
//! |---|---|
//! | say what is sent | [`Frame`], [`Track`], [`TrackSet`], [`Timestamp`], [`TimecodeScale`] |
//! | adapt frames | [`TrackAdapter`]; the parsers and records of each codec in [`codec`] |
//! | order and cut | [`FrameOrderer`] with [`OrderConfig`], whose every policy is an enum |
//! | tag fragments | [`FragmentMetadata`], [`FragmentEvent`], [`Tag`] |
//! | write a session | [`Muxer`]; a file with an index: [`FileWriter`] |
//! | read | [`Demuxer`], [`MkvEvent`]; the service's own tags: [`FragmentInfo`] |
//! | check with another reader | [`schema::Element`], an `ebml-iterable` specification |
//!
//! # Costs
//!
//! Payloads are [`bytes::Bytes`] from the caller to the socket. Length-prefixed frames and raw AAC are never
//! copied; Annex-B is searched once and copied at most once. In steady state a frame costs no allocation but
//! its output buffer, which serves again once its frames are gone. `docs/benchmarks.md` has figures.

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
