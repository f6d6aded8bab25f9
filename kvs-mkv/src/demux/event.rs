//! What the demuxer tells.

use bytes::Bytes;

use crate::codec::Codec;
use crate::error::{MkvError, MkvErrorKind};
use crate::time::TimecodeScale;
use crate::track::{AudioFormat, Track, TrackFormat, TrackKind, VideoFormat};

/// One step through a Matroska stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MkvEvent {
    /// An EBML header: a document starts. GetMedia bodies have one per fragment.
    EbmlHeader(EbmlHeader),
    /// A Segment starts.
    SegmentStart,
    /// The Segment's Info.
    Info(InfoEntry),
    /// The Segment's tracks.
    Tracks(Vec<TrackEntry>),
    /// A Cluster starts: a fragment, as the service calls it.
    ClusterStart,
    /// The time of the Cluster in scale units.
    ClusterTimecode(u64),
    /// One frame, from a SimpleBlock or a BlockGroup.
    Block(Block),
    /// A Tags element, flattened.
    Tags(Vec<SimpleTag>),
    /// The Cluster is over: its size is used up, or the next top-level element was seen, or the input ended.
    ClusterEnd,
    /// The Segment is over, likewise.
    SegmentEnd,
    /// Bytes that made no sense were passed over up to the next Cluster or document
    /// ([`Recovery::NextCluster`](super::Recovery::NextCluster)).
    Resynced {
        /// How many bytes.
        skipped: u64,
        /// What was wrong with them.
        cause: MkvError,
    },
}

/// The EBML header (RFC 8794 §11.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EbmlHeader {
    /// `matroska` or `webm`.
    pub doc_type: String,
    /// The version of Matroska the writer used.
    pub doc_type_version: u64,
    /// The version a reader has to know.
    pub doc_type_read_version: u64,
}

/// The Segment's Info (RFC 9559 §5.1.2).
#[derive(Clone, Debug, PartialEq)]
pub struct InfoEntry {
    /// Id of the Segment.
    pub uid: Option<[u8; 16]>,
    /// Nanoseconds per unit of every timecode.
    pub timecode_scale: u64,
    /// Duration in scale units.
    pub duration: Option<f64>,
    /// Title.
    pub title: Option<String>,
    /// The library that wrote the stream.
    pub muxing_app: Option<String>,
    /// The application that wrote the stream.
    pub writing_app: Option<String>,
}

impl Default for InfoEntry {
    fn default() -> Self {
        InfoEntry {
            uid: None,
            timecode_scale: TimecodeScale::MILLISECOND.as_nanos(),
            duration: None,
            title: None,
            muxing_app: None,
            writing_app: None,
        }
    }
}

/// A TrackEntry (RFC 9559 §5.1.4.1).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TrackEntry {
    /// Track number, as in blocks.
    pub number: u64,
    /// Unique id.
    pub uid: u64,
    /// 1 is video, 2 is audio; others exist.
    pub track_type: u64,
    /// Name.
    pub name: Option<String>,
    /// Matroska codec id.
    pub codec_id: String,
    /// Codec private data; empty where there is none.
    pub codec_private: Bytes,
    /// Nanoseconds per frame, where it is told.
    pub default_duration: Option<u64>,
    /// Nanoseconds to take off each time after decoding.
    pub codec_delay: u64,
    /// Nanoseconds to decode ahead after a seek.
    pub seek_pre_roll: u64,
    /// Picture size.
    pub video: Option<VideoFormat>,
    /// Sampling.
    pub audio: Option<AudioFormat>,
}

impl TrackEntry {
    /// The track this entry declares, ready to be muxed again.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidTrack`] for a number beyond 126 or a type other than video and audio,
    /// [`MkvErrorKind::InvalidCodecPrivate`] for codec private data that is not its codec's.
    pub fn to_track(&self) -> Result<Track, MkvError> {
        let invalid = |what: String| MkvError::new(MkvErrorKind::InvalidTrack).with_detail(what);
        let number = u8::try_from(self.number)
            .map_err(|_| invalid(format!("track number {}, allowed are 1 to 126", self.number)))?;
        let kind = match self.track_type {
            1 => TrackKind::Video,
            2 => TrackKind::Audio,
            other => return Err(invalid(format!("track type {other} is neither video nor audio"))),
        };
        let codec = Codec::from_codec_id(&self.codec_id, &self.codec_private, kind);
        let mut track = Track::new(number, codec).with_uid(self.uid);
        if let Some(name) = &self.name {
            track = track.with_name(name.as_str());
        }
        track.check()?;
        let mut parsed = if self.codec_private.is_empty() {
            TrackFormat {
                codec_private: Bytes::new(),
                video: None,
                audio: None,
            }
        } else {
            let parsed = track.clone().with_codec_private(self.codec_private.clone())?;
            parsed.format.unwrap_or(TrackFormat {
                codec_private: Bytes::new(),
                video: None,
                audio: None,
            })
        };
        parsed.video = self.video.or(parsed.video);
        parsed.audio = self.audio.or(parsed.audio);
        Ok(track.with_format(parsed))
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Track number.
    pub track: u64,
    /// Time in scale units: the cluster's plus `relative`.
    pub timecode: i64,
    /// Time in scale units from the cluster's.
    pub relative: i16,
    /// Whether it is a key frame: so flagged, or a BlockGroup without a reference to another block.
    pub key: bool,
    /// Decoded but not shown.
    pub invisible: bool,
    /// No other frame needs it.
    pub discardable: bool,
    /// Duration in scale units, where a BlockGroup tells.
    pub duration: Option<u64>,
    /// Which frame of a laced block this is, from 0 on. Frames after the first have the time that the
    /// track's default duration gives them, else the time of the first.
    pub lace: u8,
    /// The frame.
    pub data: Bytes,
}

/// A SimpleTag, nested ones flattened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimpleTag {
    /// Name.
    pub name: String,
    /// Value; empty where there is none. Bytes that are no UTF-8 are replaced.
    pub value: String,
}
