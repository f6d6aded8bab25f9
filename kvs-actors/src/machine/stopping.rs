//! The end of a stream: draining, its deadline, and a failure that no retry mends.

use std::time::{Duration, Instant};

use kvs_mkv::Timestamp;
use kvs_storage::Next;
use serde::Serialize;

use super::StreamMachine;
use super::output::Output;
use super::session::{Phase, SessionId};
use super::timer::Timer;
use crate::error::StreamError;
use crate::events::StreamEvent;

/// How long the end of the response is waited for when everything is delivered.
const PARTING: Duration = Duration::from_millis(500);

/// Whether the stream is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopping {
    No,
    /// What is buffered is being delivered.
    Draining,
    Done,
}

/// A fragment that was not acknowledged when the stream stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnackedFragment {
    /// Its earliest presentation time, in nanoseconds since the epoch.
    pub timecode_ns: i64,
    /// Its frames.
    pub frames: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Whether it was sent to its end on some session.
    pub sent: bool,
    /// Whether the service said that it has received it.
    pub received: bool,
}

impl StreamMachine {
    /// Deliver what is buffered, then stop; stop at the deadline whatever is left.
    pub(super) fn stop(&mut self, deadline: Instant) {
        match self.stopping {
            Stopping::Done => {}
            _ if !self.started || self.failure.is_some() => self.end(),
            Stopping::No | Stopping::Draining => {
                self.stopping = Stopping::Draining;
                self.view.close_fragment();
                self.release_delivered();
                self.timers.arm(Timer::Stop, deadline);
            }
        }
    }

    pub(super) fn stop_deadline_passed(&mut self) {
        self.end();
    }

    /// Goes on with a stop as far as it can.
    pub(super) fn finish_stopping(&mut self, now: Instant) {
        if self.stopping != Stopping::Draining {
            return;
        }
        let all_sent = matches!(self.view.next(), Next::Nothing);
        let nothing_open = self
            .sending()
            .is_some_and(|session| session.open_fragment.is_none());
        if all_sent && nothing_open {
            self.finish_session(now);
        }
        // All that is left is the end of the response, which says nothing new: it is waited for only briefly.
        let is_delivered = self.counters.buffered.frames == 0 && self.sending().is_none();
        if is_delivered && self.timers.is_armed(Timer::LastAck) && !self.is_parting {
            self.is_parting = true;
            self.timers.arm(Timer::LastAck, now + PARTING);
        }
        let is_over = self.sessions.iter().all(|session| session.phase == Phase::Over);
        if is_over && self.counters.buffered.frames == 0 {
            self.end();
        }
    }

    /// The fragments that are not acknowledged.
    #[must_use]
    pub fn unacked(&self) -> Vec<UnackedFragment> {
        self.fragments
            .iter()
            .filter(|(_, fragment)| fragment.tally.frames > 0)
            .map(|(_, fragment)| UnackedFragment {
                timecode_ns: fragment.timecode.as_nanos(),
                frames: fragment.tally.frames,
                bytes: fragment.tally.bytes,
                sent: fragment.sent,
                received: fragment.received_at.is_some(),
            })
            .collect()
    }

    /// The earliest presentation time that is held.
    #[must_use]
    pub fn earliest_held(&self) -> Option<Timestamp> {
        self.fragments
            .iter()
            .map(|(_, fragment)| fragment.timecode)
            .next()
    }

    /// The number of the oldest item held, or of the next.
    #[must_use]
    pub fn oldest_seq(&self) -> u64 {
        self.fragments
            .iter()
            .next()
            .map_or(self.next_seq, |(first_seq, _)| first_seq)
    }

    /// How much media time is held.
    #[must_use]
    pub fn buffered_duration(&self) -> Duration {
        self.view.totals().duration
    }

    /// No retry mends this: sessions end, media stays where it is, and the stream waits to be stopped.
    pub(super) fn fail(&mut self, error: StreamError) {
        self.abort_sessions();
        self.timers.cancel_all();
        self.push(Output::Event(StreamEvent::Error(error.clone())));
        self.failure = Some(error);
        if self.stopping == Stopping::Draining {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.stopping == Stopping::Done {
            return;
        }
        self.abort_sessions();
        self.timers.cancel_all();
        self.stopping = Stopping::Done;
        self.push(Output::Event(StreamEvent::Closed));
        self.push(Output::Stopped);
    }

    fn abort_sessions(&mut self) {
        let live: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|session| session.phase != Phase::Over)
            .map(|session| session.id)
            .collect();
        for id in live {
            self.abandon(id, None);
        }
    }

    /// Takes the retention that the service told.
    pub(super) fn adopt_retention(&mut self, hours: u32) {
        if hours != self.retention_hours {
            let expected = self.retention_hours;
            self.retention_hours = hours;
            self.push(Output::Event(StreamEvent::RetentionDiffers {
                expected,
                actual: hours,
            }));
        }
    }
}
