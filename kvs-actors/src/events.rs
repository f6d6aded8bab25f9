//! What a stream and a producer tell: as a trait with defaults that log, and as an async stream of values.

use std::time::Duration;

use kvs_client::AckEvent;
use kvs_mkv::Correction;
use kvs_mkv::Timestamp;
use serde::Serialize;

use crate::error::StreamError;
use crate::machine::{DropReason, Reaction, SessionId, Tally};

/// Something that happened to a stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The service knows the stream and has named an endpoint; sessions can be opened.
    Ready,
    /// The service accepted a `PutMedia` request.
    SessionOpened {
        /// The session.
        session: SessionId,
    },
    /// A `PutMedia` session is over.
    SessionClosed {
        /// The session.
        session: SessionId,
        /// How it ended; `None` when it ended in good order.
        error: Option<StreamError>,
    },
    /// The service acknowledged a fragment, or told of an idle connection.
    FragmentAck(FragmentAck),
    /// Frames were dropped before they were sent.
    Dropped {
        /// The earliest presentation time of what was dropped.
        from: Timestamp,
        /// How much.
        tally: Tally,
        /// Why.
        reason: DropReason,
    },
    /// A fragment was set aside because the service refused it.
    FragmentRefused {
        /// The fragment's first presentation time.
        timecode: Timestamp,
        /// The service's error and our reaction.
        reaction: Reaction,
    },
    /// Media was sent and no acknowledgement came; the connection is given up.
    ConnectionStale {
        /// How long nothing was heard.
        silence: Duration,
    },
    /// The service keeps media for another time than was set.
    RetentionDiffers {
        /// What was set, in hours.
        expected: u32,
        /// What the service says, in hours.
        actual: u32,
    },
    /// More media time waits to be sent than the latency limit. Told once until it is less than half of that.
    LatencyPressure {
        /// How much waits.
        behind: Duration,
    },
    /// Nearly as much media time is held as the buffer duration allows. Told once until it is less than 80 %.
    BufferDurationPressure {
        /// How much more can be held.
        remaining: Duration,
    },
    /// The format of a track changed; the next fragment opens a new session.
    FormatChanged {
        /// The first presentation time in the new format.
        timecode: Timestamp,
    },
    /// A frame's time was changed after it was accepted, so that its fragment stays valid.
    Corrected(Correction),
    /// The open fragment nears its limit: the encoder should make a key frame.
    KeyFrameWanted {
        /// The track that needs one.
        track: u8,
        /// How long ago its last one was, in media time.
        open_for: Duration,
    },
    /// Something failed; unless the error is fatal the stream goes on by itself.
    Error(StreamError),
    /// The stream's actor panicked and was built anew over the same buffer.
    Rebuilt,
    /// The stream was stopped; nothing follows.
    Closed,
}

/// An acknowledgement of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FragmentAck {
    /// The session that it came on.
    pub session: SessionId,
    /// What it says.
    pub event: AckEvent,
    /// The fragment's producer timestamp, where the acknowledgement could be matched.
    pub timecode: Option<Timestamp>,
    /// The service's number of the fragment.
    pub fragment_number: Option<String>,
    /// From the write of the fragment's last frame to this acknowledgement; `None` before the fragment's end.
    pub latency: Option<Duration>,
}

impl FragmentAck {
    pub(crate) fn new(session: SessionId, event: AckEvent) -> Self {
        FragmentAck {
            session,
            event,
            timecode: None,
            fragment_number: None,
            latency: None,
        }
    }
}

/// The callbacks of one stream, each with a default that logs. They run on the stream's thread: return soon.
pub trait StreamEvents: Send + Sync + 'static {
    /// The service knows the stream and has named an endpoint.
    fn stream_ready(&self, stream: &str) {
        tracing::info!(stream, "stream ready");
    }

    /// The service accepted a `PutMedia` request.
    fn session_opened(&self, stream: &str, session: SessionId) {
        tracing::info!(stream, %session, "session opened");
    }

    /// A session is over, by an error if there is one.
    fn session_closed(&self, stream: &str, session: SessionId, error: Option<&StreamError>) {
        match error {
            Some(error) => tracing::warn!(stream, %session, %error, "session lost"),
            None => tracing::info!(stream, %session, "session closed"),
        }
    }

    /// The service acknowledged a fragment.
    fn fragment_ack(&self, stream: &str, ack: &FragmentAck) {
        tracing::debug!(stream, session = %ack.session, event = ?ack.event, timecode = ?ack.timecode, "fragment ack");
    }

    /// Frames were dropped before they were sent.
    fn dropped(&self, stream: &str, from: Timestamp, tally: Tally, reason: DropReason) {
        tracing::warn!(
            stream,
            ?from,
            frames = tally.frames,
            bytes = tally.bytes,
            ?reason,
            "frames dropped"
        );
    }

    /// A fragment was set aside because the service refused it.
    fn fragment_refused(&self, stream: &str, timecode: Timestamp, reaction: &Reaction) {
        tracing::error!(
            stream,
            ?timecode,
            code = reaction.code,
            name = reaction.name,
            "fragment refused"
        );
    }

    /// Media was sent and no acknowledgement came.
    fn connection_stale(&self, stream: &str, silence: Duration) {
        tracing::warn!(stream, ?silence, "connection stale");
    }

    /// The service keeps media for another time than was set.
    fn retention_differs(&self, stream: &str, expected: u32, actual: u32) {
        tracing::warn!(stream, expected, actual, "retention differs, in hours");
    }

    /// More media time waits to be sent than the latency limit.
    fn latency_pressure(&self, stream: &str, behind: Duration) {
        tracing::warn!(stream, ?behind, "latency pressure");
    }

    /// Nearly as much media time is held as the buffer duration allows.
    fn buffer_duration_pressure(&self, stream: &str, remaining: Duration) {
        tracing::warn!(stream, ?remaining, "buffer duration pressure");
    }

    /// The format of a track changed.
    fn format_changed(&self, stream: &str, timecode: Timestamp) {
        tracing::info!(stream, ?timecode, "format changed");
    }

    /// A frame's time was changed after it was accepted.
    fn corrected(&self, stream: &str, correction: &Correction) {
        tracing::debug!(stream, ?correction, "time corrected");
    }

    /// The encoder should make a key frame.
    fn key_frame_wanted(&self, stream: &str, track: u8, open_for: Duration) {
        tracing::warn!(stream, track, ?open_for, "key frame wanted");
    }

    /// Something failed; unless the error is fatal the stream goes on by itself.
    fn stream_error(&self, stream: &str, error: &StreamError) {
        tracing::warn!(stream, %error, "stream error");
    }

    /// The stream's actor panicked and was built anew.
    fn stream_rebuilt(&self, stream: &str) {
        tracing::error!(stream, "stream actor rebuilt after a panic");
    }

    /// The stream was stopped.
    fn stream_closed(&self, stream: &str) {
        tracing::info!(stream, "stream closed");
    }
}

/// The callbacks that only log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogEvents;

impl StreamEvents for LogEvents {}
impl ProducerEvents for LogEvents {}

/// Hands an event to the callback it belongs to.
pub(crate) fn dispatch(events: &dyn StreamEvents, stream: &str, event: &StreamEvent) {
    match event {
        StreamEvent::Ready => events.stream_ready(stream),
        StreamEvent::SessionOpened { session } => events.session_opened(stream, *session),
        StreamEvent::SessionClosed { session, error } => {
            events.session_closed(stream, *session, error.as_ref());
        }
        StreamEvent::FragmentAck(ack) => events.fragment_ack(stream, ack),
        StreamEvent::Dropped { from, tally, reason } => events.dropped(stream, *from, *tally, *reason),
        StreamEvent::FragmentRefused { timecode, reaction } => {
            events.fragment_refused(stream, *timecode, reaction);
        }
        StreamEvent::ConnectionStale { silence } => events.connection_stale(stream, *silence),
        StreamEvent::RetentionDiffers { expected, actual } => {
            events.retention_differs(stream, *expected, *actual);
        }
        StreamEvent::LatencyPressure { behind } => events.latency_pressure(stream, *behind),
        StreamEvent::BufferDurationPressure { remaining } => {
            events.buffer_duration_pressure(stream, *remaining);
        }
        StreamEvent::FormatChanged { timecode } => events.format_changed(stream, *timecode),
        StreamEvent::Corrected(correction) => events.corrected(stream, correction),
        StreamEvent::KeyFrameWanted { track, open_for } => events.key_frame_wanted(stream, *track, *open_for),
        StreamEvent::Error(error) => events.stream_error(stream, error),
        StreamEvent::Rebuilt => events.stream_rebuilt(stream),
        StreamEvent::Closed => events.stream_closed(stream),
    }
}

/// The callbacks of a producer, each with a default that logs. They run on one of the producer's threads.
pub trait ProducerEvents: Send + Sync + 'static {
    /// The producer's threads run and streams can be opened.
    fn client_ready(&self) {
        tracing::info!("producer ready");
    }

    /// Little of the byte budget is left.
    fn storage_overflow_pressure(&self, available: u64, limit: u64) {
        tracing::warn!(available, limit, "storage overflow pressure");
    }
}

/// Which way a stream's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StreamState {
    /// Not started.
    New,
    /// Asking the service about the stream, creating or tagging it, or asking for an endpoint.
    Preparing,
    /// Prepared; no session is open because nothing waits to be sent, or the next connect isn't due yet.
    Ready,
    /// A session is being opened.
    Connecting,
    /// A session is open.
    Streaming,
    /// A stop was asked for and what is buffered is being delivered.
    Draining,
    /// Stopped.
    Stopped,
}
