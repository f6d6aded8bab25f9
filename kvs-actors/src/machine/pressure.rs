//! Taking items in, and making room for them.

use std::sync::Arc;
use std::time::Instant;

use kvs_mkv::{Tag, Timestamp, TrackSet};
use kvs_storage::{Appended, FragmentInfo, ItemFlags, ItemMeta, OverflowPolicy, Pressure, StoreErrorKind};

use super::StreamMachine;
use super::counters::{DropReason, Tally};
use super::output::Output;
use super::session::Session;
use super::timer::Timer;
use crate::events::StreamEvent;

impl StreamMachine {
    /// The items that follow belong to a new fragment.
    pub(super) fn fragment_starts(&mut self, timecode: Timestamp, tracks: Arc<TrackSet>) {
        self.view.close_fragment();
        self.release_delivered();
        self.skipping = None;
        if self.fragments.announce(timecode, tracks) {
            self.push(Output::Event(StreamEvent::FormatChanged { timecode }));
        }
    }

    /// The open fragment has its last item.
    pub(super) fn fragment_ends(&mut self, tags: Vec<Tag>) {
        let open = self
            .view
            .head()
            .filter(|info| !info.closed)
            .map(|info| info.stored.first_seq);
        if let Some(fragment) = open.and_then(|first_seq| self.fragments.get_mut(first_seq)) {
            fragment.tags = tags;
        }
        self.view.close_fragment();
        self.release_delivered();
        self.page_out_what_is_far();
    }

    /// An item is in the store.
    pub(super) fn item_arrived(&mut self, meta: ItemMeta, now: Instant) {
        debug_assert!(meta.seq >= self.next_seq, "item {} was numbered twice", meta.seq);
        self.next_seq = self.next_seq.max(meta.seq + 1);
        self.last_item_at = Some(now);
        self.is_idle = false;
        if let Some(timeout) = self.config.idle_timeout
            && !self.timers.is_armed(Timer::Idle)
        {
            self.timers.arm(Timer::Idle, now + timeout);
        }
        let tally = Tally::frame(u64::from(meta.len));
        self.counters.accept(tally);
        if let Some(reason) = self.skipping {
            return self.turn_away(meta, reason);
        }
        loop {
            match self.view.append(meta) {
                Ok(Appended::Held) => break,
                Ok(Appended::Orphaned) => return self.turn_away(meta, DropReason::FragmentDropped),
                Err(error)
                    if error.kind() == StoreErrorKind::Full
                        && self.evict_oldest(DropReason::BufferDuration) => {}
                // Nothing older may go: the rest of this fragment can't be decoded without the item.
                Err(error) => {
                    let full = error.kind() == StoreErrorKind::Full;
                    let reason = if full {
                        DropReason::BufferDuration
                    } else {
                        DropReason::FragmentDropped
                    };
                    self.skipping = Some(reason);
                    self.fragments.disown();
                    return self.turn_away(meta, reason);
                }
            }
        }
        if meta.flags.contains(ItemFlags::FRAGMENT_START) {
            self.fragments.begin(meta.seq);
        }
        if let Some(fragment) = self.fragments.newest() {
            fragment.tally.add(tally);
        }
    }

    /// An item is not kept.
    fn turn_away(&mut self, meta: ItemMeta, reason: DropReason) {
        let tally = Tally::frame(u64::from(meta.len));
        self.counters.drop_unsent(tally, reason);
        self.push(Output::Release {
            seqs: meta.seq..meta.seq + 1,
        });
        let from = Timestamp::from_nanos(meta.pts);
        self.push(Output::Event(StreamEvent::Dropped { from, tally, reason }));
    }

    /// An accepted frame never became an item.
    pub(super) fn never_an_item(&mut self, pts: Timestamp, tally: Tally, reason: DropReason) {
        self.counters.accept(tally);
        self.counters.drop_unsent(tally, reason);
        self.push(Output::Event(StreamEvent::Dropped {
            from: pts,
            tally,
            reason,
        }));
    }

    /// The byte budget lacks so much for a frame that waits.
    pub(super) fn make_room(&mut self, bytes: u64) {
        if !matches!(
            self.config.overflow,
            OverflowPolicy::DropUntilFragmentStart | OverflowPolicy::DropTailItem
        ) {
            return;
        }
        let before = self.view.totals();
        let cost = |totals: kvs_storage::ViewTotals| totals.bytes + totals.items * kvs_storage::ITEM_OVERHEAD;
        while cost(before).saturating_sub(cost(self.view.totals())) < bytes {
            if !self.evict_oldest(DropReason::StoragePressure) {
                break;
            }
        }
    }

    /// Drops the oldest fragment that may go; says whether there was one.
    pub(super) fn evict_oldest(&mut self, reason: DropReason) -> bool {
        let oldest = self
            .view
            .fragments()
            .find(|info| self.may_go(info))
            .map(|info| info.stored.first_seq);
        oldest.is_some_and(|first_seq| self.evict(first_seq, reason))
    }

    /// Drops one fragment, unless it is being sent.
    pub(super) fn evict(&mut self, first_seq: u64, reason: DropReason) -> bool {
        let is_open = self.view.fragment(first_seq).is_some_and(|info| !info.closed);
        let Ok(removed) = self.view.evict_fragment(first_seq) else {
            return false;
        };
        if is_open {
            self.skipping = Some(DropReason::FragmentDropped);
        }
        self.leave_behind(first_seq, reason);
        self.push(Output::Release {
            seqs: removed.seqs.into(),
        });
        true
    }

    /// Whether a fragment may be dropped: not while a session is about to read its items.
    pub(super) fn may_go(&self, info: &FragmentInfo) -> bool {
        let (first, end) = (info.stored.first_seq, info.stored.end_seq);
        let being_sent = self
            .view
            .sending()
            .is_some_and(|sending| sending.stored.first_seq == first);
        !being_sent
            && !info.skip
            && !self.sessions.iter().any(|session: &Session| {
                // Where all of it was handed over, the next cluster still has to tell the service of its end.
                session.open_fragment == Some(first) || session.is_writing_any(first, end)
            })
    }

    /// Tells when media piles up, once until it is clearly better.
    pub(super) fn watch_pressure(&mut self) {
        if let Some(limit) = self.config.max_latency {
            let behind = self.view.unsent().duration;
            if self.latency_pressure == Pressure::Normal && behind > limit {
                self.latency_pressure = Pressure::High;
                self.sessions_counters.latency_pressures += 1;
                self.push(Output::Event(StreamEvent::LatencyPressure { behind }));
            } else if behind < limit / 2 {
                self.latency_pressure = Pressure::Normal;
            }
        }
        if let Some(limit) = self.config.buffer_duration {
            let held = self.view.totals().duration;
            if self.buffer_pressure == Pressure::Normal && held > limit * 95 / 100 {
                self.buffer_pressure = Pressure::High;
                self.sessions_counters.buffer_pressures += 1;
                let remaining = limit.saturating_sub(held);
                self.push(Output::Event(StreamEvent::BufferDurationPressure { remaining }));
            } else if held < limit * 80 / 100 {
                self.buffer_pressure = Pressure::Normal;
            }
        }
    }
}
