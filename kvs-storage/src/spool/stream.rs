//! One stream of a spool: what is in memory, what is on disk, and the rules between them. No thread and no I/O of its own.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::disk::Disk;
use super::entry::HEADER_LEN as RECORD_LEN;
use super::index::Index;
use super::options::{SpoolOptions, SyncPolicy};
use super::reader::Chunk;
use super::recovery::Recovered;
use crate::fragment::Placement;
use crate::ring::ItemRing;
use crate::{Durability, DurableMark, Item, ItemFlags, ItemMeta, StoreError, StoreErrorKind};

/// Most payload bytes handed to the disk in one write.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// Most items handed to the disk in one write: two slices each, and IOV_MAX is 1024 on Linux.
const MAX_BATCH_ITEMS: usize = 512;
/// Room kept below the cap for headers, releases and indexes, which must be written for anything to be removed.
const CAP_MARGIN: u64 = 64 << 10;

/// What all streams of a spool use together.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Cost of the items in memory.
    pub(crate) memory: AtomicU64,
    /// Bytes of segment files that are still needed, and of items on their way there.
    pub(crate) disk: AtomicU64,
    pub(crate) streams: AtomicU64,
}

/// A stream, shared by its store and the spool's threads.
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: SpoolOptions,
    pub(crate) gauge: Arc<Gauge>,
    /// Rung when an append that found no room may try again.
    pub(crate) room: Notify,
    state: Mutex<State>,
}

/// What was tried and what came of it.
pub(crate) enum TryAppend {
    Taken(Durability),
    Refused(StoreError),
    /// Memory is full of what isn't durable yet.
    NoRoom,
}

pub(crate) struct State {
    ring: ItemRing,
    pub(crate) index: Index,
    /// Items below this were handed to the disk.
    written_end: u64,
    mark: DurableMark,
    /// Released since the last record of it.
    pending_releases: Vec<Range<u64>>,
    pub(crate) active: Option<u64>,
    /// Bytes that the items still to be written will take on disk.
    queued_bytes: u64,
    /// Bytes of segment files that are still needed.
    needed_bytes: u64,
    /// What the gauge was told.
    told: Told,
    head_end: i64,
    fragment_complete: Urgency,
    room_wanted: Urgency,
    pub(crate) flush_waiters: Vec<oneshot::Sender<Result<(), StoreError>>>,
    pub(crate) failure: Option<StoreError>,
    pub(crate) ahead: ReadAhead,
    pub(crate) queued: Queued,
    synced: Synced,
}

/// Whether everything written is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Synced {
    Yes,
    No,
}

#[derive(Debug, Default, Clone, Copy)]
struct Told {
    memory: u64,
    disk: u64,
}

/// Whether a sync shouldn't wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Urgency {
    #[default]
    None,
    Now,
}

/// Whether the writer's queue holds the stream already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Queued {
    #[default]
    No,
    Yes,
}

/// Items that were read from disk before they were asked for.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    /// Everything on disk in this range is in `items`, damaged, or released.
    pub(crate) covers: Range<u64>,
    pub(crate) items: VecDeque<(ItemMeta, Bytes)>,
    pub(crate) damaged: Vec<u64>,
    loading: Loading,
}

/// Whether more is being read already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Loading {
    #[default]
    No,
    Yes,
}

impl ReadAhead {
    /// Marks that more is being read; `false` if it was already.
    pub(crate) fn begin_loading(&mut self) -> bool {
        std::mem::replace(&mut self.loading, Loading::Yes) == Loading::No
    }

    pub(crate) fn end_loading(&mut self) {
        self.loading = Loading::No;
    }
}

/// Items and releases to be written.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) items: Vec<BatchItem>,
    pub(crate) releases: Vec<Range<u64>>,
}

#[derive(Debug, Clone)]
pub(crate) struct BatchItem {
    pub(crate) meta: ItemMeta,
    pub(crate) placement: Placement,
    pub(crate) payload: Bytes,
}

impl Stream {
    pub(crate) fn new(
        name: String,
        dir: PathBuf,
        disk: Arc<dyn Disk>,
        options: SpoolOptions,
        gauge: Arc<Gauge>,
        recovered: Recovered,
    ) -> Stream {
        gauge.streams.fetch_add(1, Ordering::Relaxed);
        let head_end = recovered
            .index
            .live_parts()
            .map(|part| part.items.end_pts)
            .max()
            .unwrap_or(i64::MIN);
        let mut state = State {
            ring: ItemRing::starting_at(recovered.next_seq),
            index: recovered.index,
            written_end: recovered.next_seq,
            mark: DurableMark::new(recovered.next_seq),
            pending_releases: Vec::new(),
            active: None,
            queued_bytes: 0,
            needed_bytes: 0,
            told: Told::default(),
            head_end,
            fragment_complete: Urgency::None,
            room_wanted: Urgency::None,
            flush_waiters: Vec::new(),
            failure: None,
            ahead: ReadAhead::default(),
            queued: Queued::No,
            synced: Synced::Yes,
        };
        state.refresh(&gauge);
        Stream {
            name,
            dir,
            disk,
            options,
            gauge,
            room: Notify::new(),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch over, if it is right and there is room.
    pub(crate) fn try_append(&self, items: &mut Vec<Item>) -> TryAppend {
        let mut state = self.state();
        if let Err(error) = state
            .ring
            .check_batch(items)
            .and_then(|()| self.check_caps(&state, items))
        {
            return TryAppend::Refused(error.with_stream(&self.name));
        }
        let need: u64 = items.iter().map(|item| item.meta.cost()).sum();
        if !self.make_room(&mut state, need) {
            if let Some(failure) = &state.failure {
                return TryAppend::Refused(failure.clone());
            }
            state.room_wanted = Urgency::Now;
            return TryAppend::NoRoom;
        }
        for item in items.drain(..) {
            state.queued_bytes += on_disk(&item.meta);
            state.head_end = state.head_end.max(item.meta.end_pts());
            state.ring.push(item);
        }
        state.refresh(&self.gauge);
        TryAppend::Taken(state.mark.receipt(state.ring.next_seq()))
    }

    fn check_caps(&self, state: &State, items: &[Item]) -> Result<(), StoreError> {
        let need: u64 = items.iter().map(|item| on_disk(&item.meta)).sum();
        let limit = self.options.max_bytes_per_stream;
        check_cap(
            "on disk for this stream",
            state.needed_bytes + state.queued_bytes,
            need,
            limit,
        )?;
        if let Some(limit) = self.options.max_bytes_total {
            check_cap(
                "on disk over all streams",
                self.gauge.disk.load(Ordering::Relaxed),
                need,
                limit,
            )?;
        }
        let Some(limit) = self.options.max_duration else {
            return Ok(());
        };
        let (Some(start), Some(end)) = (
            state.oldest_pts(),
            items.iter().map(|item| item.meta.end_pts()).max(),
        ) else {
            return Ok(());
        };
        let duration = end
            .max(state.head_end)
            .saturating_sub(start)
            .max(0)
            .unsigned_abs();
        if u128::from(duration) > limit.as_nanos() {
            return Err(StoreError::new(StoreErrorKind::Full).with_detail(format!(
                "{} ms in the spool with this item, the limit is {} ms",
                duration / 1_000_000,
                limit.as_millis()
            )));
        }
        Ok(())
    }

    /// Lets go of items in memory that are durable until `need` fits. Each stream has an equal part of the memory for
    /// certain, and may use what others leave.
    fn make_room(&self, state: &mut State, need: u64) -> bool {
        let total = self.options.memory;
        let share = total / self.gauge.streams.load(Ordering::Relaxed).max(1);
        loop {
            let own = state.ring.cost();
            let others = self
                .gauge
                .memory
                .load(Ordering::Relaxed)
                .saturating_sub(state.told.memory);
            if own == 0 || own + need <= share || others + own + need <= total {
                return true;
            }
            let durable_end = state.mark.end_seq();
            if state.ring.pop_front_below(durable_end).is_none() {
                return false;
            }
        }
    }

    /// Gives memory back beyond this stream's part, if all streams together use too much.
    pub(crate) fn trim_memory(&self) {
        let mut state = self.state();
        self.make_room(&mut state, 0);
        state.refresh(&self.gauge);
    }

    /// These are needed no more.
    pub(crate) fn release(&self, seqs: Range<u64>) {
        let mut state = self.state();
        let seqs = seqs.start..seqs.end.min(state.ring.next_seq());
        if seqs.is_empty() || state.index.released().contains_all(&seqs) {
            return;
        }
        let unwritten = seqs.start.max(state.written_end);
        let freed: u64 = state
            .ring
            .items_from(unwritten)
            .take_while(|item| item.meta.seq < seqs.end)
            .map(|item| on_disk(item.meta))
            .sum();
        state.queued_bytes -= freed;
        state.ring.release(&seqs);
        state.index.release(&seqs);
        match state.pending_releases.last_mut() {
            Some(last) if last.end == seqs.start => last.end = seqs.end,
            _ => state.pending_releases.push(seqs),
        }
        let watermark = state.first_live_seq();
        state.index.raise_watermark(watermark);
        state.refresh(&self.gauge);
        drop(state);
        self.room.notify_waiters();
    }

    /// Takes what is to be written next. What fails to be written is taken again: see [`failed`](Stream::failed).
    pub(crate) fn take_batch(&self) -> Batch {
        let mut state = self.state();
        let releases = std::mem::take(&mut state.pending_releases);
        let (mut items, mut bytes) = (Vec::new(), 0usize);
        for item in state.ring.items_from(state.written_end) {
            bytes = bytes.saturating_add(item.payload.len());
            if items.len() == MAX_BATCH_ITEMS || (bytes > MAX_BATCH_BYTES && !items.is_empty()) {
                break;
            }
            items.push(BatchItem {
                meta: *item.meta,
                placement: item.placement,
                payload: item.payload.clone(),
            });
        }
        if items.is_empty() {
            // Whatever was appended since was released before it was written.
            state.written_end = state.ring.next_seq();
            state.after_write(self.options.sync);
        }
        if !items.is_empty() || !releases.is_empty() {
            state.synced = Synced::No;
        } else if state.synced == Synced::Yes {
            let end = state.written_end;
            state.settled_at(end);
        }
        Batch { items, releases }
    }

    /// These items stand in the segment from `offset` on, one after the other.
    pub(crate) fn written(&self, segment: u64, mut offset: u64, items: &[BatchItem]) {
        let mut state = self.state();
        for item in items {
            let unsynced = state.written_end > state.mark.end_seq();
            let flags = item.meta.flags;
            if flags.contains(ItemFlags::FRAGMENT_END)
                || (flags.contains(ItemFlags::FRAGMENT_START) && unsynced)
            {
                state.fragment_complete = Urgency::Now;
            }
            state
                .index
                .add_item(segment, item.placement.fragment, offset, &item.meta);
            // What was released meanwhile has left the sum already.
            if !state.index.released().contains(item.meta.seq) {
                state.queued_bytes = state.queued_bytes.saturating_sub(on_disk(&item.meta));
            }
            state.written_end = item.meta.seq + 1;
            offset += on_disk(&item.meta);
        }
        state.index.set_len(segment, offset);
        state.after_write(self.options.sync);
        state.refresh(&self.gauge);
    }

    /// Everything written below `end` is durable.
    pub(crate) fn synced(&self, end: u64) {
        let mut state = self.state();
        state.settled_at(end);
        state.synced = Synced::Yes;
        state.fragment_complete = Urgency::None;
        state.room_wanted = Urgency::None;
        state.failure = None;
        drop(state);
        self.room.notify_waiters();
    }

    /// The disk failed: what isn't durable is to be written again, to another segment.
    pub(crate) fn failed(&self, error: &StoreError) {
        let mut state = self.state();
        state.index.forget_unsettled();
        let durable_end = state.mark.end_seq();
        #[cfg(test)]
        let durable_end = match super::sabotage::is(super::sabotage::Sabotage::TrustFailedSync) {
            true => state.written_end,
            false => durable_end,
        };
        let rewritten: u64 = state
            .ring
            .items_from(durable_end)
            .take_while(|item| item.meta.seq < state.written_end)
            .map(|item| on_disk(item.meta))
            .sum();
        state.queued_bytes += rewritten;
        state.written_end = state.written_end.min(durable_end);
        state.active = None;
        // The next segment begins with all of them.
        state.pending_releases = state.index.released().iter().collect();
        state.synced = Synced::No;
        state.room_wanted = Urgency::None;
        state.failure = Some(error.clone());
        state.mark.fail(error.clone());
        for waiter in state.flush_waiters.drain(..) {
            // Whoever stopped waiting needs no answer.
            let _ = waiter.send(Err(error.clone()));
        }
        state.refresh(&self.gauge);
        drop(state);
        self.room.notify_waiters();
    }

    /// Puts what a reading brought where the next reads look first.
    pub(crate) fn loaded(&self, from: u64, covered_to: u64, chunks: Vec<Chunk>) {
        let mut state = self.state();
        let continues = state.ahead.covers.end == from && !state.ahead.covers.is_empty();
        if !continues {
            state.ahead = ReadAhead {
                covers: from..from,
                loading: state.ahead.loading,
                ..ReadAhead::default()
            };
        }
        state.ahead.covers.end = covered_to;
        for chunk in chunks {
            state.ahead.items.extend(chunk.items);
            state.ahead.damaged.extend(chunk.damaged);
        }
    }

    pub(crate) fn error(&self, error: StoreError) -> StoreError {
        error.with_stream(&self.name)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let told = self.state().told;
        self.gauge.memory.fetch_sub(told.memory, Ordering::Relaxed);
        self.gauge.disk.fetch_sub(told.disk, Ordering::Relaxed);
        self.gauge.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    pub(crate) fn ring(&self) -> &ItemRing {
        &self.ring
    }

    pub(crate) fn written_end(&self) -> u64 {
        self.written_end
    }

    #[cfg(test)]
    pub(crate) fn durable_end(&self) -> u64 {
        self.mark.end_seq()
    }

    /// Whether something waits to be written.
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.pending_releases.is_empty() || self.ring.items_from(self.written_end).next().is_some()
    }

    pub(crate) fn has_pending_releases(&self) -> bool {
        !self.pending_releases.is_empty()
    }

    /// Whether something written isn't durable.
    pub(crate) fn has_unsynced(&self) -> bool {
        self.synced == Synced::No
    }

    /// Whether a sync shouldn't wait for its time.
    pub(crate) fn needs_sync_now(&self, policy: SyncPolicy) -> bool {
        let by_policy = policy == SyncPolicy::EachFragment && self.fragment_complete == Urgency::Now;
        by_policy
            || self.room_wanted == Urgency::Now
            || !self.flush_waiters.is_empty()
            || !self.index.dead_segments(self.active).is_empty()
    }

    /// Whatever was released is in the snapshot that a new segment begins with.
    pub(crate) fn releases_recorded(&mut self) {
        self.pending_releases.clear();
    }

    /// Something is about to be written.
    pub(crate) fn mark_unsynced(&mut self) {
        self.synced = Synced::No;
    }

    fn after_write(&mut self, policy: SyncPolicy) {
        let durable_when_written = policy == SyncPolicy::Never;
        #[cfg(test)]
        let durable_when_written =
            durable_when_written || super::sabotage::is(super::sabotage::Sabotage::MarkBeforeSync);
        if durable_when_written {
            self.settled_at(self.written_end);
            self.failure = None;
        }
    }

    /// Everything below `end` is as durable as it gets.
    fn settled_at(&mut self, end: u64) {
        self.index.settle(end);
        self.mark.advance(end);
    }

    /// The oldest item that is still needed, on disk or in memory.
    fn first_live_seq(&self) -> u64 {
        let unwritten = self
            .ring
            .items_from(self.written_end)
            .next()
            .map(|item| item.meta.seq);
        self.index
            .first_live_seq()
            .or(unwritten)
            .unwrap_or_else(|| self.ring.next_seq())
    }

    fn oldest_pts(&self) -> Option<i64> {
        let on_disk = self.index.live_parts().next().map(|part| part.items.timecode);
        on_disk.or_else(|| self.ring.items_from(0).next().map(|item| item.meta.pts))
    }

    /// Brings the sums, and what the gauge knows of them, up to date.
    pub(crate) fn refresh(&mut self, gauge: &Gauge) {
        self.needed_bytes = self.index.needed_bytes(self.active);
        let now = Told {
            memory: self.ring.cost(),
            disk: self.needed_bytes + self.queued_bytes,
        };
        let before = std::mem::replace(&mut self.told, now);
        gauge
            .memory
            .fetch_add(now.memory.wrapping_sub(before.memory), Ordering::Relaxed);
        gauge
            .disk
            .fetch_add(now.disk.wrapping_sub(before.disk), Ordering::Relaxed);
    }
}

/// Bytes an item takes in a segment.
fn on_disk(meta: &ItemMeta) -> u64 {
    RECORD_LEN as u64 + u64::from(meta.len)
}

fn check_cap(place: &str, used: u64, need: u64, limit: u64) -> Result<(), StoreError> {
    let usable = limit.saturating_sub(CAP_MARGIN);
    if used.saturating_add(need) <= usable {
        return Ok(());
    }
    let kind = if need > usable {
        StoreErrorKind::TooLarge
    } else {
        StoreErrorKind::Full
    };
    Err(StoreError::new(kind).with_detail(format!(
        "{used} bytes {place}, {need} asked for, the limit is {limit}"
    )))
}
