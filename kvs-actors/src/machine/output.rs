//! What the machine wants done.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use kvs_client::{AckMode, CreateStream, Url};
use kvs_mkv::{FragmentTimecodes, Tag, Timestamp, TrackSet};

use super::session::SessionId;
use crate::events::StreamEvent;

/// A call of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceCall {
    /// `DescribeStream`; answered by [`Input::Described`](super::Input::Described).
    Describe,
    /// `CreateStream`; answered by [`Input::Created`](super::Input::Created).
    Create(CreateStream),
    /// `TagStream`; answered by [`Input::Tagged`](super::Input::Tagged).
    Tag {
        /// The stream.
        arn: String,
        /// The tags.
        tags: BTreeMap<String, String>,
    },
    /// `GetDataEndpoint` for `PutMedia`; answered by [`Input::Located`](super::Input::Located).
    Locate,
}

/// How a session is to be opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionPlan {
    /// The session.
    pub session: SessionId,
    /// Where.
    pub endpoint: Url,
    /// What its Tracks element declares.
    pub tracks: Arc<TrackSet>,
    /// How its clusters are timed; in relative mode this carries the producer start timestamp.
    pub timecodes: FragmentTimecodes,
    /// The producer start timestamp: the session's first time, floored to a millisecond.
    pub start: Timestamp,
    /// Whether the service acknowledges.
    pub acks: AckMode,
}

/// One step of sending.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendOp {
    /// Start a cluster.
    Fragment {
        /// The earliest presentation time in it.
        timecode: Timestamp,
    },
    /// Send one stored item as a block.
    Item {
        /// Its number in the store and the view.
        meta: kvs_storage::ItemMeta,
    },
    /// Send the metadata of the fragment whose last block was sent.
    Tags(Vec<Tag>),
    /// Tell the service that the fragment is complete.
    EndOfFragment,
}

/// Everything the machine can ask its driver for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Call the service and report the answer.
    Call(ServiceCall),
    /// Open a session and report what becomes of it.
    Open(SessionPlan),
    /// Send on a session.
    Send {
        /// The session.
        session: SessionId,
        /// The step.
        op: SendOp,
    },
    /// End the session's body in good order and go on reading.
    Finish(SessionId),
    /// Close the session's connection at once.
    Abort(SessionId),
    /// Read what these items are; their fragment is to be sent.
    PageIn {
        /// The fragment's items. The first names it.
        seqs: Range<u64>,
    },
    /// These items are needed no longer.
    Release {
        /// Their numbers.
        seqs: Range<u64>,
    },
    /// No frame has come for long: close the open fragment, as if the stream had ended, and go on with a key frame.
    CloseFragment,
    /// The endpoint is stale: forget cached ones.
    ForgetEndpoint,
    /// Tell the application.
    Event(StreamEvent),
    /// The stream has stopped; nothing follows.
    Stopped,
}
