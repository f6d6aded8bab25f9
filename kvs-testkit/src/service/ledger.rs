//! The ledger: what arrived, what was acknowledged, and how each session ended.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::ack::{AckEvent, ErrorId};

/// Everything the service saw, stream by stream. Times are milliseconds since 1970 by the service's clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// By stream name. A stream that was deleted stays.
    pub streams: BTreeMap<String, StreamLedger>,
}

impl Ledger {
    /// One stream's part; an empty one for a stream that was never seen.
    pub fn stream(&self, name: &str) -> &StreamLedger {
        static EMPTY: LazyLock<StreamLedger> = LazyLock::new(StreamLedger::default);
        self.streams.get(name).unwrap_or(&EMPTY)
    }
}

// How the service writes it.
impl Ledger {
    pub(crate) fn session_mut(&mut self, stream: &str, session: usize) -> Option<&mut SessionLedger> {
        self.streams.get_mut(stream)?.sessions.get_mut(session)
    }

    pub(crate) fn last_fragment_mut(&mut self, stream: &str, session: usize) -> Option<&mut FragmentLedger> {
        self.session_mut(stream, session)?.fragments.last_mut()
    }

    pub(crate) fn totals_mut(&mut self, stream: &str) -> &mut StreamTotals {
        &mut self.streams.entry(stream.to_owned()).or_default().totals
    }
}

/// What happened on one stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamLedger {
    /// Calls per operation, refused ones included.
    pub calls: BTreeMap<String, u64>,
    /// Every PutMedia attempt, in order of arrival.
    pub sessions: Vec<SessionLedger>,
    /// Sums over all sessions; they count what the ledger's limits let go of, too.
    pub totals: StreamTotals,
}

impl StreamLedger {
    /// All fragments of all sessions, in order of arrival.
    pub fn fragments(&self) -> impl DoubleEndedIterator<Item = &FragmentLedger> {
        self.sessions.iter().flat_map(|session| &session.fragments)
    }

    /// The fragments a consumer can read: received whole and, where the stream has a retention, persisted or
    /// about to be.
    pub fn delivered(&self) -> impl DoubleEndedIterator<Item = &FragmentLedger> {
        self.fragments().filter(|fragment| fragment.state.is_delivered())
    }

    /// One line per session and fragment, for a failing test to print.
    pub fn summary(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        if self.sessions.is_empty() {
            text.push_str("no PutMedia request was received\n");
        }
        for session in &self.sessions {
            let _ = writeln!(
                text,
                "put_media {}: {} bytes of body, {} fragments, {}",
                session.put_media,
                session.body_bytes,
                session.fragments.len(),
                session
                    .end
                    .as_ref()
                    .map_or_else(|| "still open".to_owned(), |end| format!("{end:?}")),
            );
            for fragment in &session.fragments {
                let frames: u64 = fragment.tracks.values().map(|track| track.frames).sum();
                let acks: Vec<String> = fragment.acks.iter().map(|ack| ack.to_text()).collect();
                let _ = writeln!(
                    text,
                    "  fragment at {}: {:?}, {frames} frames, {} bytes, acks [{}]{}",
                    fragment.timecode,
                    fragment.state,
                    fragment.bytes,
                    acks.join(" "),
                    if fragment.repeat_of.is_some() {
                        ", a repeat"
                    } else {
                        ""
                    },
                );
            }
            for line in &session.trail {
                let _ = writeln!(text, "  {line}");
            }
            for ack in &session.acks {
                let _ = writeln!(text, "  without a fragment: {}", ack.to_text());
            }
        }
        text
    }
}

/// Sums over the sessions of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamTotals {
    /// PutMedia requests that were answered with 200.
    pub sessions: u64,
    /// PutMedia requests that were refused.
    pub refused_sessions: u64,
    /// Bytes of body.
    pub body_bytes: u64,
    /// Fragments received whole.
    pub fragments_received: u64,
    /// Fragments stored.
    pub fragments_persisted: u64,
    /// Fragments refused with an ERROR.
    pub fragments_refused: u64,
    /// Half fragments thrown away because their connection went.
    pub fragments_discarded: u64,
    /// Received fragments whose producer timestamp had been received before.
    pub fragments_repeated: u64,
    /// Frames in received fragments.
    pub frames_received: u64,
    /// Frames in received fragments that are no repeats.
    pub frames_distinct: u64,
    /// Payload bytes in received fragments.
    pub payload_bytes: u64,
}

/// One PutMedia request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionLedger {
    /// Which PutMedia request of the stream this is, from 1; refused ones count.
    pub put_media: u32,
    /// The `x-amzn-RequestId` it was answered with.
    pub request_id: String,
    /// When the request came.
    pub opened_ms: i64,
    /// When the response ended.
    pub ended_ms: Option<i64>,
    /// How it ended; `None` while it lives.
    pub end: Option<SessionEnd>,
    /// As asked for in the request.
    pub timecodes: TimecodeType,
    /// As asked for in the request.
    pub start_timestamp_ms: Option<i64>,
    /// Whether acknowledgements were asked for.
    pub acks_required: bool,
    /// Bytes of body received.
    pub body_bytes: u64,
    /// The session's timecode scale in nanoseconds, once its header has come.
    pub timecode_scale_ns: Option<u64>,
    /// The declared tracks, once the header has come.
    pub tracks: Vec<TrackLedger>,
    /// In order of arrival.
    pub fragments: Vec<FragmentLedger>,
    /// How many of its oldest fragments were let go to keep the ledger inside its limit.
    pub fragments_let_go: u64,
    /// Acknowledgements that belong to no fragment.
    pub acks: Vec<AckLedger>,
    /// Tags that came before the first fragment.
    pub leading_tags: Vec<TagLedger>,
    /// The elements around a violation, one per line, with the offset in the body at which each was known.
    pub trail: Vec<String>,
}

/// How the timecodes of clusters are meant (`x-amzn-fragment-timecode-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TimecodeType {
    /// Since 1970.
    Absolute,
    /// Since the request's start timestamp.
    Relative,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionEnd {
    /// The body ended cleanly and every acknowledgement was handed over.
    Complete,
    /// The request was refused before any media.
    Refused {
        /// HTTP status of the answer.
        status: u16,
        /// Exception name of the answer.
        error_type: String,
    },
    /// An ERROR acknowledgement ended it.
    Error {
        /// Its code.
        id: ErrorId,
        /// What was wrong, in the mock's words.
        reason: String,
    },
    /// No data came for too long.
    Idle,
    /// The connection went before the body had ended.
    Lost,
    /// A fault script reset the connection.
    ResetByScript,
    /// A fault script ended the response.
    ClosedByScript,
    /// A newer connection took its place.
    Superseded,
    /// The server was stopped.
    Stopped,
}

/// One declared track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackLedger {
    /// TrackNumber.
    pub number: u64,
    /// CodecID.
    pub codec_id: String,
    /// Length of CodecPrivate; 0 without one.
    pub codec_private_bytes: usize,
    /// [`digest`](crate::digest) of CodecPrivate.
    pub codec_private_digest: u64,
}

/// One fragment, whole or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FragmentLedger {
    /// The number the service gave it.
    pub number: String,
    /// The cluster's timecode on the wire.
    pub timecode: i64,
    /// The producer timestamp the service computed.
    pub producer_timestamp_ms: i64,
    /// When its first byte arrived.
    pub server_timestamp_ms: i64,
    /// From its earliest to its latest block.
    pub duration_ms: i64,
    /// Bytes of body from its Cluster to its end, tags after it included.
    pub bytes: u64,
    /// What became of it.
    pub state: FragmentState,
    /// Frames and payload bytes per track.
    pub tracks: BTreeMap<u64, TrackTotals>,
    /// Every frame, in order of arrival.
    pub frames: Vec<FrameLedger>,
    /// Whether `frames` was emptied to keep the ledger inside its limit.
    pub frames_let_go: bool,
    /// Its tags, the end-of-fragment tag left out.
    pub tags: Vec<TagLedger>,
    /// Acknowledgements handed over for it.
    pub acks: Vec<AckLedger>,
    /// The number of the first fragment of the stream with the same producer timestamp, if this isn't it.
    pub repeat_of: Option<String>,
}

impl FragmentLedger {
    /// Whether an acknowledgement of that kind was handed over for it.
    pub fn was_acked(&self, event: AckEvent) -> bool {
        self.acks.iter().any(|ack| ack.event == event)
    }
}

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FragmentState {
    /// Bytes are still coming.
    Open,
    /// Whole, and not stored (yet, or because the stream has no retention).
    Received,
    /// Stored.
    Persisted,
    /// Refused with an ERROR.
    Refused,
    /// Thrown away half: its connection went.
    Discarded,
}

impl FragmentState {
    /// Whether the service took the whole fragment.
    pub fn is_delivered(self) -> bool {
        matches!(self, FragmentState::Received | FragmentState::Persisted)
    }
}

/// Sums over the frames of one track in one fragment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackTotals {
    /// Number of frames.
    pub frames: u64,
    /// Their payload bytes.
    pub bytes: u64,
}

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameLedger {
    /// Its track's number.
    pub track: u64,
    /// Whether its key flag was set.
    pub key: bool,
    /// Payload bytes.
    pub len: u32,
    /// Its time on the wire: cluster timecode plus block timecode.
    pub timecode: i64,
    /// [`digest`](crate::digest) of the payload.
    pub digest: u64,
}

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagLedger {
    /// TagName.
    pub name: String,
    /// TagString.
    pub value: String,
}

/// One acknowledgement that was handed over to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckLedger {
    /// What it said.
    pub event: AckEvent,
    /// When.
    pub at_ms: i64,
    /// Only with ERROR.
    pub error: Option<ErrorId>,
}

impl AckLedger {
    fn to_text(self) -> String {
        match self.error {
            Some(id) => format!("{} {} {}", self.event.name(), id.0, id.name()),
            None => self.event.name().to_owned(),
        }
    }
}

impl From<&kvs_mkv::TrackEntry> for TrackLedger {
    fn from(entry: &kvs_mkv::TrackEntry) -> TrackLedger {
        TrackLedger {
            number: entry.number,
            codec_id: entry.codec_id.clone(),
            codec_private_bytes: entry.codec_private.len(),
            codec_private_digest: super::digest::digest(&entry.codec_private),
        }
    }
}
