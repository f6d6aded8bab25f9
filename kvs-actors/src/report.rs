//! What a stream did and what it holds: its status while it runs, its report when it has stopped.

use std::time::Duration;

use kvs_mkv::Timestamp;
use serde::Serialize;

use crate::events::StreamState;
use crate::machine::{DropReason, FrameCounters, SessionCounters, StreamMachine, Tally, UnackedFragment};

/// What a stream is doing now.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct StreamStatus {
    /// The stream's name.
    pub stream: String,
    /// Which way its life has come.
    pub state: StreamState,
    /// Where the accepted frames are.
    pub frames: FrameCounters,
    /// What the sessions did.
    pub sessions: SessionCounters,
    /// The timecode of the latest fragment known to be persisted, in nanoseconds since the epoch.
    pub last_persisted_ns: Option<i64>,
    /// How much media time is held.
    pub buffered_duration: Duration,
    /// The failure that ended the stream, if one did.
    pub failure: Option<String>,
}

impl StreamStatus {
    pub(crate) fn of(stream: &str, machine: &StreamMachine, queued: Tally) -> Self {
        let mut frames = machine.frames().clone();
        frames.accept(queued);
        StreamStatus {
            stream: stream.to_owned(),
            state: machine.state(),
            frames,
            sessions: machine.sessions().clone(),
            last_persisted_ns: machine.last_persisted().map(Timestamp::as_nanos),
            buffered_duration: machine.buffered_duration(),
            failure: machine.failure().map(ToString::to_string),
        }
    }
}

/// What became of everything that a stream accepted.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct StopReport {
    /// The stream's name.
    pub stream: String,
    /// Where the accepted frames are. What is still `buffered` was not acknowledged when the stream stopped.
    pub frames: FrameCounters,
    /// What the sessions did.
    pub sessions: SessionCounters,
    /// The fragments that were not acknowledged, oldest first.
    pub unacknowledged: Vec<UnackedFragment>,
    /// The failure that ended the stream, if one did.
    pub failure: Option<String>,
}

impl StopReport {
    pub(crate) fn of(stream: &str, machine: &StreamMachine, queued: Tally) -> Self {
        let status = StreamStatus::of(stream, machine, queued);
        StopReport {
            stream: status.stream,
            frames: status.frames,
            sessions: status.sessions,
            unacknowledged: machine.unacked(),
            failure: status.failure,
        }
    }

    /// Adds the counts and unacknowledged fragments of another stream's report.
    pub fn add(&mut self, other: StopReport) {
        self.frames.add(&other.frames);
        self.sessions.add(&other.sessions);
        self.unacknowledged.extend(other.unacknowledged);
        self.failure = self.failure.take().or(other.failure);
    }

    /// Whether everything that was accepted was delivered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.frames.accepted == self.frames.delivered
    }

    /// The frames dropped before they were sent, for one reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> Tally {
        self.frames.dropped.get(&reason).copied().unwrap_or_default()
    }
}
