//! The state of a session.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use kvs_mkv::{Block, Timestamp};

use crate::service::ack::AckForm;
use crate::service::ingest::{Ingest, SessionHeader};
use crate::service::ledger::{SessionEnd, TagLedger};
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

/// Reading no faster than a rate: `taken` bytes since `since`.
#[derive(Debug)]
pub(super) struct SlowRead {
    pub(super) rate: u32,
    pub(super) since: Timestamp,
    pub(super) taken: u64,
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
        let Some(slow) = &self.manner.slow_read else {
            return usize::MAX;
        };
        let elapsed = u128::from(now.since(slow.since).max(0).unsigned_abs());
        let due = elapsed * u128::from(slow.rate) / 1_000_000_000;
        usize::try_from(due.saturating_sub(u128::from(slow.taken))).unwrap_or(usize::MAX)
    }

    pub(super) fn captured(&self) -> &[u8] {
        &self.capture
    }
}
