//! Mistakes made on purpose, to see that the simulation catches them. Tests only.

use std::cell::Cell;

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Tells receipts that data is durable as soon as it is written.
    MarkBeforeSync,
    /// After a failed sync, goes on as if the data were on the disk.
    TrustFailedSync,
    /// Begins a segment without repeating what was released so far.
    NoSnapshot,
    /// Removes a segment before the releases that made it useless are durable.
    RemoveBeforeSync,
    /// Recovery gives up at the first damaged record of a segment.
    StopAtDamage,
    /// Recovery takes payloads without looking at their checksums.
    NoPayloadCheck,
    /// Never makes the names of new files durable.
    NoDirectorySync,
    /// Takes a short write for a whole one.
    IgnoreShortWrite,
    /// Recovery numbers new items from what it finds, instead of from what was given away.
    ReuseNumbers,
}

thread_local! {
    static PRESENT: Cell<Option<Sabotage>> = const { Cell::new(None) };
}

/// Whether the spool makes this mistake now, on this thread.
pub(crate) fn is(sabotage: Sabotage) -> bool {
    PRESENT.get() == Some(sabotage)
}

/// Makes the spool make a mistake on this thread until the result is dropped.
pub(crate) fn make(sabotage: Option<Sabotage>) -> Guard {
    PRESENT.set(sabotage);
    Guard
}

pub(crate) struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        PRESENT.set(None);
    }
}
