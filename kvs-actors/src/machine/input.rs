//! What the machine is told.

use std::sync::Arc;
use std::time::Instant;

use kvs_client::{Ack, ClientError, StreamInfo, Url};
use kvs_mkv::{Tag, Timestamp, TrackSet};
use kvs_storage::{ItemMeta, StoreError, StoredFragment};

use super::counters::{DropReason, Tally};
use super::session::SessionId;
use crate::error::StreamError;

/// Everything that can happen to a stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// The stream was opened.
    Start,
    /// What the store holds from an earlier run, oldest first. Comes before anything else is put.
    Backlog {
        /// The fragments and the tracks that each carries.
        fragments: Vec<(StoredFragment, Arc<TrackSet>)>,
        /// The lowest number the next item may have.
        next_seq: u64,
    },
    /// The metadata of a fragment's items, as [`Output::PageIn`](super::Output::PageIn) asked for.
    PagedIn {
        /// The fragment's first item.
        first_seq: u64,
        /// Its items, in order, or why the store could not read them.
        items: Result<Vec<ItemMeta>, StoreError>,
    },
    /// A new fragment begins; its items follow.
    FragmentStart {
        /// The earliest presentation time in it.
        timecode: Timestamp,
        /// The tracks that it and what follows carries. Another value than before opens a new session.
        tracks: Arc<TrackSet>,
    },
    /// The next item of the open fragment is in the store. Its number is [`StreamMachine::next_seq`].
    ///
    /// [`StreamMachine::next_seq`]: super::StreamMachine::next_seq
    Item(ItemMeta),
    /// The open fragment has its last item.
    FragmentEnd {
        /// Its metadata, written after its last block.
        tags: Vec<Tag>,
    },
    /// The open fragment was closed as [`Output::CloseFragment`](super::Output::CloseFragment) asked; its end came before
    /// this.
    FragmentClosed,
    /// An accepted frame never became an item.
    Dropped {
        /// Its presentation time.
        pts: Timestamp,
        /// The frame.
        tally: Tally,
        /// Why.
        reason: DropReason,
    },
    /// The byte budget lacks so many bytes for a waiting frame.
    MakeRoom {
        /// Bytes to free, if the overflow policy allows it.
        bytes: u64,
    },
    /// `DescribeStream` answered.
    Described(Result<StreamInfo, ClientError>),
    /// `CreateStream` answered.
    Created(Result<String, ClientError>),
    /// `TagStream` answered.
    Tagged(Result<(), ClientError>),
    /// `GetDataEndpoint` answered.
    Located(Result<Url, ClientError>),
    /// The service accepted a session.
    SessionOpened(SessionId),
    /// All items of a session up to this one have been written to the connection.
    Written {
        /// The session.
        session: SessionId,
        /// The last item written.
        seq: u64,
        /// The payload bytes written since the last such report.
        bytes: u64,
    },
    /// An item handed over can't be sent: its bytes are lost, or it can't be muxed.
    Unsendable {
        /// The session.
        session: SessionId,
        /// The item.
        seq: u64,
        /// What failed.
        error: StreamError,
    },
    /// An acknowledgement came.
    Acked {
        /// The session that it came on.
        session: SessionId,
        /// What it says.
        ack: Ack,
    },
    /// The session is over: its response ended, or the connection or its uploader failed.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// What failed; `Ok` where the response ended in good order.
        result: Result<(), ClientError>,
    },
    /// Whoever drives the machine is a new one: what was asked of the one before will not be answered.
    DriverReplaced,
    /// End the session in hand and open another, keeping all media.
    ResetConnection,
    /// Drop all media, end the session in hand and begin anew with asking for the stream.
    ResetStream,
    /// Deliver what is buffered and stop. Frames no longer come.
    Stop {
        /// Stop at this moment even if something is not delivered.
        deadline: Instant,
    },
}
