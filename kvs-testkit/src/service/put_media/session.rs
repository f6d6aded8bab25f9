//! The state of a session.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kvs_mkv::{Block, Timestamp};

use crate::service::ack::AckForm;
use crate::service::ingest::{Ingest, SessionHeader};
use crate::service::ledger::{SessionEnd, TagLedger};
use crate::service::quota::Rate;
use crate::service::{Action, ConnectionId, FragmentNumber};

/// A session's state.
#[derive(Debug)]
pub(in crate::service) struct Session {
    pub(super) id: ConnectionId,
    pub(in crate::service) stream: String,
    pub(super) nth: u32,
    /// Its place among the stream's sessions in the ledger.
    pub(in crate::service) ledger: usize,
    pub(super) acks_required: bool,
    pub(super) ingest: Ingest,
    pub(super) phase: Phase,
    pub(super) out: VecDeque<Action>,
    /// PERSISTED acknowledgements still to come.
    pub(super) pending: usize,
    pub(super) body_bytes: u64,
    pub(super) fragments: u32,
    pub(super) header: Option<Arc<SessionHeader>>,
    pub(super) current: Option<Current>,
    pub(super) manner: Manner,
    pub(super) last_data: Timestamp,
    pub(super) idle_acks: u32,
    pub(super) pause: Option<Pause>,
    /// Only noted where quotas are on.
    pub(super) fragment_rate: Rate,
    /// Nothing is read before, because fragments came too fast.
    pub(super) reads_from: Option<Timestamp>,
    pub(super) capture: BytesMut,
}

/// How far a session is.
#[derive(Debug, PartialEq)]
pub(super) enum Phase {
    /// The body is coming.
    Open,
    /// Nothing more is taken; the response ends once no PERSISTED is pending.
    Ending(SessionEnd),
    /// The response has ended, or the connection is gone.
    Ended,
}

/// What fault scripts made of the session.
#[derive(Debug, Default)]
pub(super) struct Manner {
    pub(super) form: AckForm,
    pub(super) splits_acks: bool,
    pub(super) withholds_acks: bool,
    pub(super) withholds_persisted: bool,
    pub(super) cuts_next_ack: bool,
    pub(super) slow_read: Option<SlowRead>,
}

/// Reading no faster than a rate, with at most a second's worth saved up.
#[derive(Debug)]
pub(super) struct SlowRead {
    rate: u32,
    /// Bytes that could have been read since `since`, and those that were.
    since: Timestamp,
    taken: u64,
}

impl SlowRead {
    pub(super) fn new(rate: u32, since: Timestamp) -> SlowRead {
        SlowRead {
            rate,
            since,
            taken: 0,
        }
    }

    /// Bytes that may be read now.
    fn allowance(&self, now: Timestamp) -> u64 {
        let elapsed = u128::from(now.since(self.since).max(0).unsigned_abs());
        let due = u64::try_from(elapsed * u128::from(self.rate) / 1_000_000_000).unwrap_or(u64::MAX);
        due.saturating_sub(self.taken).min(self.rate.into())
    }

    pub(super) fn take(&mut self, bytes: u64, now: Timestamp) {
        let left = self.allowance(now).saturating_sub(bytes);
        // Begin anew, as if what is left had just been saved up.
        let saved_in = u128::from(left) * 1_000_000_000 / u128::from(self.rate.max(1));
        let saved_in = Duration::from_nanos(u64::try_from(saved_in).unwrap_or(0));
        self.since = now.saturating_sub(saved_in);
        self.taken = 0;
    }
}

/// A scripted stall. What was queued before it still goes out.
#[derive(Debug)]
pub(super) struct Pause {
    pub(super) until: Timestamp,
    pub(super) queued_before: usize,
}

/// The fragment under way.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) number: FragmentNumber,
    pub(super) timecode: i64,
    pub(super) producer: Timestamp,
    pub(super) server: Timestamp,
    pub(super) blocks: Vec<Block>,
    pub(super) tags: Vec<TagLedger>,
}

impl Session {
    /// A connection counts until its response has ended.
    pub(super) fn counts(&self) -> bool {
        self.phase != Phase::Ended || !self.out.is_empty()
    }

    pub(super) fn next_action(&mut self, now: Timestamp) -> Option<Action> {
        match &mut self.pause {
            Some(pause) if now < pause.until => {
                pause.queued_before = pause.queued_before.checked_sub(1)?;
            }
            _ => {}
        }
        self.out.pop_front()
    }

    pub(super) fn is_paused(&self, now: Timestamp) -> bool {
        self.pause.as_ref().is_some_and(|pause| now < pause.until)
    }

    pub(in crate::service) fn wants(&self, now: Timestamp) -> usize {
        if self.phase != Phase::Open || self.is_paused(now) {
            return 0;
        }
        if self.reads_from.is_some_and(|from| now < from) {
            return 0;
        }
        let slow = self.manner.slow_read.as_ref();
        slow.map_or(usize::MAX, |slow| {
            usize::try_from(slow.allowance(now)).unwrap_or(usize::MAX)
        })
    }

    pub(super) fn captured(&self) -> &[u8] {
        &self.capture
    }
}
