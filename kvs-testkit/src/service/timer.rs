//! What the service will do by itself, and when.

use std::collections::BTreeMap;

use kvs_mkv::Timestamp;

use super::{ConnectionId, FragmentNumber};

/// Something that falls due.
#[derive(Debug, Clone)]
pub(crate) enum Due {
    /// A received fragment becomes stored.
    Persist(FragmentRef),
    /// Look whether a session is idle.
    Idle(ConnectionId),
    /// A session has lived as long as it may.
    Expire(ConnectionId),
    /// A connection may go on after a pause.
    Resume(ConnectionId),
    /// Look whether a reader has had nothing to read for too long.
    ReaderIdle(ConnectionId),
    /// A change of a stream's status is done.
    Status { arn: String },
}

/// A fragment's place in the ledger.
#[derive(Debug, Clone)]
pub(crate) struct FragmentRef {
    pub(crate) connection: ConnectionId,
    pub(crate) stream: String,
    pub(crate) session: usize,
    /// Counted from 0 over the whole session.
    pub(crate) ordinal: u64,
    pub(crate) number: FragmentNumber,
    pub(crate) timecode: i64,
}

/// All of them, soonest first; those of one moment in the order they were set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(Timestamp, u64), Due>,
    set: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Timestamp, due: Due) {
        self.set += 1;
        self.due.insert((at, self.set), due);
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.keys().next().map(|&(at, _)| at)
    }

    /// Takes the soonest, if its time has come.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<(Timestamp, Due)> {
        let entry = self.due.first_entry()?;
        let at = entry.key().0;
        (at <= now).then(|| (at, entry.remove()))
    }
}
