//! One `PutMedia` session as the machine sees it: what was sent on it, and which fragment an acknowledgement means.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use kvs_client::AckMode;
use kvs_mkv::{Timestamp, TrackSet};
use serde::Serialize;

/// Names a session of one stream; later sessions have larger numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SessionId(pub(crate) u64);

impl SessionId {
    /// The number of the session, counted from 1 within its stream.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Being dialled, or waiting for the response head. Media may already be on its way.
    Opening,
    /// The service accepted it.
    Open,
    /// Its body was ended; acknowledgements may still come.
    Finishing,
    /// It is over; kept for late acknowledgements of its fragments.
    Over,
}

/// A fragment as it stands on the wire of one session.
#[derive(Debug, Clone)]
pub(super) struct WireFragment {
    /// What acknowledgements call it: the cluster timecode in scale units, relative where the session is.
    pub(super) timecode: i64,
    /// Its first item.
    pub(super) first_seq: u64,
    /// When its last item had been written, once it has.
    pub(super) written_at: Option<Instant>,
    /// Whether its end was handed to the session, so that the service can have all of it.
    pub(super) complete: bool,
    /// Whether the last acknowledgement that is due for it came.
    pub(super) settled: bool,
}

/// So many settled fragments are kept, to tell a repeated acknowledgement from one that names nothing.
const SETTLED_KEPT: usize = 64;

/// The room a session has for items that were handed to it and are not yet written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendWindow {
    /// Items; default 64.
    pub items: u32,
    /// Payload bytes; one item may exceed it. Default 1 MiB.
    pub bytes: u64,
}

impl Default for SendWindow {
    fn default() -> Self {
        SendWindow {
            items: 64,
            bytes: 1 << 20,
        }
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) phase: Phase,
    pub(super) tracks: Arc<TrackSet>,
    /// What a relative timecode counts from.
    pub(super) start: Timestamp,
    /// The fragment whose items are being handed over.
    pub(super) open_fragment: Option<u64>,
    /// Fragments in the order in which they were started.
    pub(super) wire: VecDeque<WireFragment>,
    /// The next item to hand over.
    pub(super) cursor: u64,
    /// Every item before this one has been written.
    pub(super) written: u64,
    in_flight: VecDeque<u64>,
    in_flight_bytes: u64,
    /// Whether the service answered its head with success.
    pub(super) accepted: bool,
    /// Whether it is old enough to be replaced at the next boundary.
    pub(super) is_expiring: bool,
    /// Whether the service ended it with an error.
    pub(super) is_refused: bool,
    /// Whether some fragment was delivered by it.
    pub(super) has_delivered: bool,
    /// Since when a word from the service is due.
    pub(super) waiting_since: Option<Instant>,
}

impl Session {
    pub(super) fn new(id: SessionId, tracks: Arc<TrackSet>, start: Timestamp, first: u64) -> Self {
        Session {
            id,
            phase: Phase::Opening,
            tracks,
            start,
            open_fragment: None,
            wire: VecDeque::new(),
            cursor: first,
            written: first,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            accepted: false,
            is_expiring: false,
            is_refused: false,
            has_delivered: false,
            waiting_since: None,
        }
    }

    pub(super) fn may_send(&self) -> bool {
        matches!(self.phase, Phase::Opening | Phase::Open)
    }

    pub(super) fn has_room(&self, window: SendWindow) -> bool {
        self.in_flight.len() < window.items as usize && self.in_flight_bytes < window.bytes
    }

    pub(super) fn hand_over(&mut self, seq: u64, bytes: u64) {
        self.in_flight.push_back(seq);
        self.in_flight_bytes += bytes;
        self.cursor = seq + 1;
    }

    /// Notes that all handed-over items up to and including `seq` have been written.
    pub(super) fn written_up_to(&mut self, seq: u64, bytes: u64, now: Instant) {
        while self.in_flight.front().is_some_and(|first| *first <= seq) {
            self.in_flight.pop_front();
        }
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        self.written = self.written.max(seq + 1);
        let mut end = self.cursor;
        for fragment in self.wire.iter_mut().rev() {
            if fragment.written_at.is_some() {
                break;
            }
            if fragment.complete && end <= self.written {
                fragment.written_at = Some(now);
            }
            end = fragment.first_seq;
        }
    }

    pub(super) fn start_fragment(&mut self, timecode: i64, first_seq: u64) {
        while self.wire.len() > SETTLED_KEPT && self.wire.front().is_some_and(|oldest| oldest.settled) {
            self.wire.pop_front();
        }
        self.open_fragment = Some(first_seq);
        self.wire.push_back(WireFragment {
            timecode,
            first_seq,
            written_at: None,
            complete: false,
            settled: false,
        });
    }

    /// Whether something is still to come of what was handed over: a word of the service or, where it says none, the end of
    /// a write.
    pub(super) fn is_owed(&self, acks: AckMode) -> bool {
        match acks {
            AckMode::Required => self.wire.iter().rev().any(|fragment| !fragment.settled),
            AckMode::Off => !self.in_flight.is_empty(),
        }
    }

    /// Whether some item from `first_seq` up to, and without, `end_seq` was handed over and isn't written yet.
    pub(super) fn is_writing_any(&self, first_seq: u64, end_seq: u64) -> bool {
        self.phase != Phase::Over
            && self
                .in_flight
                .iter()
                .any(|seq| (first_seq..end_seq).contains(seq))
    }

    pub(super) fn last_timecode(&self) -> Option<i64> {
        self.wire.back().map(|fragment| fragment.timecode)
    }

    pub(super) fn find_mut(&mut self, timecode: i64) -> Option<&mut WireFragment> {
        // Timecodes rise strictly within a session.
        let index = self
            .wire
            .binary_search_by_key(&timecode, |fragment| fragment.timecode)
            .ok()?;
        self.wire.get_mut(index)
    }

    /// Closes the fragment under way: the service can tell its end from what was or will be sent next.
    pub(super) fn complete_fragment(&mut self, now: Instant) {
        self.open_fragment = None;
        let is_written = self.in_flight.is_empty();
        if let Some(fragment) = self.wire.back_mut() {
            fragment.complete = true;
            if is_written {
                fragment.written_at = Some(now);
            }
        }
    }
}
