//! The rolling window over a stream: what is held, what was sent, what was acknowledged.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use crate::{
    AckState, FragmentInfo, ItemFlags, ItemMeta, OverflowPolicy, StoreError, StoreErrorKind, StoredFragment,
};

mod fragment;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use fragment::Fragment;

/// Vectors of item metadata kept for the next fragments, so that a steady stream allocates nothing.
const SPARE_RINGS: usize = 4;

/// How much a window may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ViewLimits {
    /// Longest time from the earliest item to the end of the latest. Default: no limit.
    pub max_duration: Option<Duration>,
    /// Most items. Default: no limit.
    pub max_items: Option<u64>,
}

/// How many items and bytes, and how much media time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ViewTotals {
    /// Number of items.
    pub items: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// From the earliest presentation time to the latest end.
    pub duration: Duration,
}

/// A number of items and their payload bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Number of items.
    pub items: u64,
    /// Payload bytes. Where a fragment's items aren't in memory these are shared out evenly over its items.
    pub bytes: u64,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "an orphaned item has to be counted as dropped"]
pub enum Appended {
    /// The item is in the window.
    Held,
    /// The item isn't held: its fragment's key frame was dropped, so nothing could decode it.
    Orphaned,
}

/// What left the window: a whole fragment, or its first items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// The fragment just before the removal.
    pub fragment: FragmentInfo,
    /// Exactly these sequence numbers are to be released in the store.
    pub seqs: Range64,
    /// Of these, items sent at least once: they may have arrived.
    pub sent: Tally,
    /// Of these, items never sent.
    pub unsent: Tally,
    /// One past the last item that was ever sent; `seqs.start` if none was.
    pub sent_end: u64,
}

/// A half-open range of sequence numbers that can be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range64 {
    /// The first.
    pub start: u64,
    /// One past the last.
    pub end: u64,
}

impl From<Range64> for Range<u64> {
    fn from(range: Range64) -> Range<u64> {
        range.start..range.end
    }
}

/// What is to be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// This item.
    Item(&'a ItemMeta),
    /// The items of this fragment, once their metadata was [paged in](ContentView::page_in).
    PageIn(FragmentInfo),
    /// Nothing: everything held was sent.
    Nothing,
}

/// The window of one stream: metadata only, with tail ≤ current ≤ head.
///
/// The *tail* is the oldest fragment held, the *head* the newest item, *current* the next item to send. Items are grouped
/// into fragments; a fragment is closed by [`ItemFlags::FRAGMENT_END`], by the next [`ItemFlags::FRAGMENT_START`], or by
/// [`close_fragment`](ContentView::close_fragment).
///
/// The fragment that is *being sent* has at least one item sent in the present pass, and isn't both closed and sent in
/// full. Nothing ever removes it or a part of it; a rollback ends its sending.
///
/// The metadata of items far from being sent can be [paged out](ContentView::page_out), so that a backlog of any size costs
/// about a hundred bytes per fragment.
///
/// Appending, advancing and looking at the ends cost O(1); finding a fragment or an item O(log n); a rollback, and counting
/// what is left to send after one, O(number of fragments passed).
///
/// ```
/// use kvs_storage::{ContentView, ItemFlags, ItemMeta, Next, ViewLimits};
///
/// let mut view = ContentView::new(ViewLimits::default());
/// let key = ItemFlags::FRAGMENT_START.with(ItemFlags::KEY);
/// for (seq, flags) in [(0, key), (1, ItemFlags::NONE), (2, key)] {
///     let pts = seq as i64 * 40_000_000;
///     let _ = view.append(ItemMeta { seq, pts, dts: pts, duration: 40_000_000, track: 1, flags, len: 1_000 })?;
/// }
/// assert_eq!(view.advance().map(|item| item.seq), Some(0));
/// assert!(matches!(view.next(), Next::Item(item) if item.seq == 1));
/// // The connection is lost: start over with the first fragment.
/// view.rollback_to(0)?;
/// assert!(matches!(view.next(), Next::Item(item) if item.seq == 0));
/// # Ok::<(), kvs_storage::StoreError>(())
/// ```
#[derive(Debug, Default)]
pub struct ContentView {
    limits: ViewLimits,
    /// Held fragments, oldest first; between them, those removed out of turn until the tail passes them.
    fragments: VecDeque<Fragment>,
    /// Ordinal of the front fragment. Ordinals count fragments from the first ever.
    tail: u64,
    /// Ordinal of the fragment the next item is in; one past the last fragment if everything was sent.
    current: u64,
    /// One past the highest sequence number ever appended.
    next_seq: u64,
    held: Tally,
    unsent: Tally,
    /// Latest end of presentation of anything appended.
    head_end: i64,
    orphaning: Orphaning,
    /// Ordinals of delivered fragments that can go as soon as they aren't being sent.
    delivered: VecDeque<u64>,
    spare: Vec<VecDeque<ItemMeta>>,
}

/// Whether items of the open fragment are still wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Orphaning {
    #[default]
    No,
    UntilFragmentStart,
}

impl ContentView {
    /// An empty window.
    #[must_use]
    pub fn new(limits: ViewLimits) -> ContentView {
        ContentView {
            limits,
            ..ContentView::default()
        }
    }

    /// The limits it was made with.
    #[must_use]
    pub fn limits(&self) -> ViewLimits {
        self.limits
    }

    // ---- growing -------------------------------------------------------------------------------------------------

    /// Adds the newest item.
    ///
    /// # Errors
    /// `OutOfOrder` if the sequence number doesn't rise; `InvalidArgument` if the very first item doesn't start a fragment;
    /// `Full` if a limit is reached: make room with [`evict`](ContentView::evict) and try again.
    pub fn append(&mut self, meta: ItemMeta) -> Result<Appended, StoreError> {
        if meta.seq < self.next_seq || meta.seq == u64::MAX {
            return Err(StoreError::new(StoreErrorKind::OutOfOrder)
                .with_detail(format!("the next item must be {} or later", self.next_seq))
                .with_seq(meta.seq));
        }
        let starts = meta.flags.contains(ItemFlags::FRAGMENT_START);
        if !starts && self.orphaning == Orphaning::UntilFragmentStart {
            self.next_seq = meta.seq + 1;
            return Ok(Appended::Orphaned);
        }
        if !starts && !self.fragments.back().is_some_and(Fragment::is_open) {
            return Err(StoreError::new(StoreErrorKind::InvalidArgument)
                .with_detail("no fragment is open, and the item doesn't start one")
                .with_seq(meta.seq));
        }
        self.check_room(&meta)?;
        self.head_end = if self.is_empty() {
            meta.end_pts()
        } else {
            self.head_end.max(meta.end_pts())
        };
        if starts {
            self.close_fragment();
            let ring = self.spare.pop().unwrap_or_default();
            self.fragments.push_back(Fragment::open(&meta, ring));
        }
        self.change(self.end().saturating_sub(1), |open| open.push(meta));
        self.orphaning = Orphaning::No;
        self.next_seq = meta.seq + 1;
        if meta.flags.contains(ItemFlags::FRAGMENT_END) {
            self.close_fragment();
        }
        Ok(Appended::Held)
    }

    /// Declares the newest fragment complete, if it is open. The next item must start a fragment.
    pub fn close_fragment(&mut self) {
        let Some(last) = self.fragments.back_mut() else {
            return;
        };
        if last.is_open() {
            last.close();
            self.settle();
        }
    }

    /// Adds a fragment that the store holds from before: closed, unsent, its items not in memory. Limits don't apply to it.
    ///
    /// # Errors
    /// `OutOfOrder` if it doesn't follow everything held, `InvalidArgument` if it is empty.
    pub fn restore(&mut self, stored: StoredFragment) -> Result<(), StoreError> {
        if stored.first_seq < self.next_seq || stored.end_seq == u64::MAX {
            return Err(StoreError::new(StoreErrorKind::OutOfOrder)
                .with_detail(format!("the next item must be {} or later", self.next_seq))
                .with_seq(stored.first_seq));
        }
        if stored.end_seq <= stored.first_seq || stored.items == 0 {
            return Err(StoreError::new(StoreErrorKind::InvalidArgument)
                .with_detail("a stored fragment without items")
                .with_seq(stored.first_seq));
        }
        self.close_fragment();
        self.head_end = if self.is_empty() {
            stored.end_pts
        } else {
            self.head_end.max(stored.end_pts)
        };
        self.next_seq = stored.end_seq;
        let fragment = Fragment::stored(stored);
        self.held.add_all(fragment.held_tally());
        self.unsent.add_all(fragment.unsent_tally());
        self.fragments.push_back(fragment);
        Ok(())
    }

    /// Starts numbering here: everything below was used before, by items no longer held.
    pub fn skip_seqs_below(&mut self, next_seq: u64) {
        self.next_seq = self.next_seq.max(next_seq);
    }

    /// One past the highest sequence number ever seen: the lowest the next item may have.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    fn check_room(&self, meta: &ItemMeta) -> Result<(), StoreError> {
        let full = |detail: String| {
            Err(StoreError::new(StoreErrorKind::Full)
                .with_detail(detail)
                .with_seq(meta.seq))
        };
        if let Some(max) = self.limits.max_items
            && self.held.items >= max
        {
            return full(format!("{} items held, the limit is {max}", self.held.items));
        }
        let Some(max) = self.limits.max_duration else {
            return Ok(());
        };
        let Some(start) = self.start_pts() else {
            return Ok(());
        };
        let duration = span(start.min(meta.pts), self.head_end.max(meta.end_pts()));
        if duration > max {
            return full(format!(
                "{} ms held with this item, the limit is {} ms",
                duration.as_millis(),
                max.as_millis()
            ));
        }
        Ok(())
    }

    // ---- sending -------------------------------------------------------------------------------------------------

    /// What is to be sent next.
    #[must_use]
    pub fn next(&self) -> Next<'_> {
        let Some(fragment) = self.at(self.current) else {
            return Next::Nothing;
        };
        match fragment.next_item() {
            Some(item) => Next::Item(item),
            None if fragment.is_resident() => Next::Nothing,
            None => Next::PageIn(fragment.info()),
        }
    }

    /// The next item to send, if there is one and its metadata is in memory.
    #[must_use]
    pub fn current(&self) -> Option<&ItemMeta> {
        match self.next() {
            Next::Item(item) => Some(item),
            Next::PageIn(_) | Next::Nothing => None,
        }
    }

    /// Passes the current item: it was sent. Returns it.
    pub fn advance(&mut self) -> Option<ItemMeta> {
        let item = self.change(self.current, Fragment::advance)??;
        self.settle();
        Some(item)
    }

    /// The fragment that is being sent: nothing may remove it or a part of it.
    #[must_use]
    pub fn sending(&self) -> Option<FragmentInfo> {
        self.at(self.current)
            .filter(|fragment| fragment.is_being_sent())
            .map(Fragment::info)
    }

    /// Sends again from the fragment that starts with `first_seq`: everything from it on is unsent in the new pass. What is
    /// marked [delivered](ContentView::deliver) is skipped. A target that was already passed over as delivered is fine.
    ///
    /// # Errors
    /// `NotFound` if no such fragment is held, `NotAKeyFragment` if it has no key frame, `InvalidArgument` if it lies ahead
    /// of what was sent.
    pub fn rollback_to(&mut self, first_seq: u64) -> Result<(), StoreError> {
        let ordinal = self.find_start(first_seq)?;
        if !self.at(ordinal).is_some_and(Fragment::has_key) {
            return Err(StoreError::new(StoreErrorKind::NotAKeyFragment).with_seq(first_seq));
        }
        if ordinal > self.current {
            return Err(StoreError::new(StoreErrorKind::InvalidArgument)
                .with_detail("a rollback can't go forward")
                .with_seq(first_seq));
        }
        for passed in ordinal..=self.current {
            self.change(passed, Fragment::rewind);
        }
        self.current = ordinal;
        self.settle();
        Ok(())
    }

    // ---- acknowledging -------------------------------------------------------------------------------------------

    /// Records what the service said of the fragment that starts with `first_seq`. A weaker or repeated word changes
    /// nothing. Returns the state after it.
    ///
    /// # Errors
    /// `NotFound` if no such fragment is held.
    pub fn mark_ack(&mut self, first_seq: u64, ack: AckState) -> Result<AckState, StoreError> {
        let ordinal = self.find_start(first_seq)?;
        self.change(ordinal, |fragment| fragment.mark_ack(ack))
            .ok_or_else(|| not_found(first_seq))
    }

    /// The fragment that starts with `first_seq` is never to be sent again: it was delivered (or refused for good). It
    /// leaves the window through [`poll_delivered`](ContentView::poll_delivered): at once, or when it isn't being sent any
    /// more.
    ///
    /// # Errors
    /// `NotFound` if no such fragment is held.
    pub fn deliver(&mut self, first_seq: u64) -> Result<(), StoreError> {
        let ordinal = self.find_start(first_seq)?;
        if let Some(Ok(())) = self.change(ordinal, Fragment::mark_skip) {
            self.delivered.push_back(ordinal);
            self.settle();
        }
        Ok(())
    }

    /// The next delivered fragment to leave the window: release its sequence numbers in the store.
    pub fn poll_delivered(&mut self) -> Option<Removed> {
        let mut place = 0;
        while let Some(ordinal) = self.delivered.get(place).copied() {
            if self
                .at(ordinal)
                .is_some_and(|fragment| fragment.is_being_sent() || fragment.is_open())
            {
                place += 1;
                continue;
            }
            self.delivered.remove(place);
            // It may have been evicted meanwhile.
            if let Some(removed) = self.remove(ordinal) {
                return Some(removed);
            }
        }
        None
    }

    // ---- removing ------------------------------------------------------------------------------------------------

    /// Removes every fragment that ends at or before `seq`, the one being sent excepted.
    pub fn trim_to(&mut self, seq: u64) -> Vec<Removed> {
        let mut removed = Vec::new();
        for ordinal in self.tail..self.end() {
            let Some(fragment) = self.at(ordinal) else {
                continue;
            };
            if fragment.end_seq() > seq {
                break;
            }
            if fragment.is_held() && !fragment.is_being_sent() {
                removed.extend(self.remove(ordinal));
            }
        }
        removed
    }

    /// The oldest fragment that may be dropped: the oldest one that isn't being sent.
    #[must_use]
    pub fn oldest_evictable(&self) -> Option<FragmentInfo> {
        self.at(self.oldest_evictable_ordinal()?).map(Fragment::info)
    }

    /// Drops what the policy says is to go next, once: a fragment, or its oldest item. `None` if the policy drops nothing
    /// or nothing may go. The store has to release what is returned.
    pub fn evict(&mut self, policy: OverflowPolicy) -> Option<Removed> {
        match policy {
            OverflowPolicy::Refuse | OverflowPolicy::Wait(_) => None,
            OverflowPolicy::DropUntilFragmentStart => self.remove(self.oldest_evictable_ordinal()?),
            OverflowPolicy::DropTailItem => self.evict_item(self.oldest_evictable_ordinal()?),
        }
    }

    /// Drops the fragment that starts with `first_seq`.
    ///
    /// # Errors
    /// `NotFound` if no such fragment is held, `BeingSent` if it is being sent.
    pub fn evict_fragment(&mut self, first_seq: u64) -> Result<Removed, StoreError> {
        let ordinal = self.find_start(first_seq)?;
        if self.at(ordinal).is_some_and(Fragment::is_being_sent) {
            return Err(StoreError::new(StoreErrorKind::BeingSent).with_seq(first_seq));
        }
        self.remove(ordinal).ok_or_else(|| not_found(first_seq))
    }

    fn oldest_evictable_ordinal(&self) -> Option<u64> {
        (self.tail..self.end()).find(|ordinal| {
            self.at(*ordinal)
                .is_some_and(|fragment| fragment.is_held() && !fragment.is_being_sent())
        })
    }

    fn evict_item(&mut self, ordinal: u64) -> Option<Removed> {
        // A key frame, the last item, or items that aren't in memory: the rest of the fragment goes too.
        self.change(ordinal, Fragment::drop_front_item)?
            .or_else(|| self.remove(ordinal))
    }

    fn remove(&mut self, ordinal: u64) -> Option<Removed> {
        let fragment = self.at(ordinal)?;
        if !fragment.is_held() || fragment.is_being_sent() {
            return None;
        }
        if fragment.is_open() {
            self.orphaning = Orphaning::UntilFragmentStart;
        }
        let (removed, ring) = self.change(ordinal, Fragment::clear)?;
        self.recycle(ring);
        self.settle();
        Some(removed)
    }

    fn recycle(&mut self, ring: Option<VecDeque<ItemMeta>>) {
        if let Some(mut ring) = ring
            && self.spare.len() < SPARE_RINGS
        {
            ring.clear();
            self.spare.push(ring);
        }
    }

    /// Changes a fragment and keeps the totals true.
    fn change<R>(&mut self, ordinal: u64, change: impl FnOnce(&mut Fragment) -> R) -> Option<R> {
        let index = self.index(ordinal)?;
        let fragment = self.fragments.get_mut(index)?;
        let (held, unsent) = (fragment.held_tally(), fragment.unsent_tally());
        let result = change(fragment);
        self.held = self.held.plus(fragment.held_tally()).minus(held);
        self.unsent = self.unsent.plus(fragment.unsent_tally()).minus(unsent);
        Some(result)
    }

    /// Lets the current position pass what isn't to be sent, and the tail what is gone.
    fn settle(&mut self) {
        while self.at(self.current).is_some_and(Fragment::is_passed) {
            self.current += 1;
        }
        while self.fragments.front().is_some_and(|front| !front.is_held()) {
            self.fragments.pop_front();
            self.tail += 1;
        }
        self.current = self.current.max(self.tail);
    }

    // ---- paging --------------------------------------------------------------------------------------------------

    /// Lets go of the item metadata of the fragment that starts with `first_seq`; the fragment stays.
    ///
    /// # Errors
    /// `NotFound`; `BeingSent` if some of it was sent in this pass and some not, or if it is still open.
    pub fn page_out(&mut self, first_seq: u64) -> Result<(), StoreError> {
        let ordinal = self.find_start(first_seq)?;
        let fragment = self.at(ordinal).ok_or_else(|| not_found(first_seq))?;
        if fragment.is_being_sent() || fragment.is_open() {
            return Err(StoreError::new(StoreErrorKind::BeingSent).with_seq(first_seq));
        }
        let ring = self.change(ordinal, Fragment::page_out).flatten();
        self.recycle(ring);
        Ok(())
    }

    /// Brings the item metadata of the fragment that starts with `first_seq` back, as read from the store. Returns what
    /// the store lost: items that the fragment had and that aren't among `items`. They leave the window.
    ///
    /// # Errors
    /// `NotFound`; `OutOfOrder` or `InvalidArgument` if `items` don't rise or lie outside the fragment;
    /// `NotAKeyFragment` if the key frame is lost: drop the fragment, as nothing could decode the rest.
    pub fn page_in(&mut self, first_seq: u64, items: &[ItemMeta]) -> Result<Tally, StoreError> {
        let ordinal = self.find_start(first_seq)?;
        let ring = self.spare.pop().unwrap_or_default();
        let lost = self
            .change(ordinal, |fragment| fragment.page_in(items, ring))
            .ok_or_else(|| not_found(first_seq))?;
        self.settle();
        lost
    }

    // ---- looking -------------------------------------------------------------------------------------------------

    /// The held fragments, oldest first.
    pub fn fragments(&self) -> impl DoubleEndedIterator<Item = FragmentInfo> + '_ {
        self.fragments
            .iter()
            .filter(|fragment| fragment.is_held())
            .map(Fragment::info)
    }

    /// The held fragments from the one that holds `seq`, or the next after it, on.
    pub fn fragments_from(&self, seq: u64) -> impl DoubleEndedIterator<Item = FragmentInfo> + '_ {
        let start = self
            .fragments
            .partition_point(|fragment| fragment.end_seq() <= seq);
        self.fragments
            .range(start..)
            .filter(|fragment| fragment.is_held())
            .map(Fragment::info)
    }

    /// The fragment that `seq` belongs to.
    #[must_use]
    pub fn fragment(&self, seq: u64) -> Option<FragmentInfo> {
        self.fragments_from(seq)
            .next()
            .filter(|fragment| fragment.stored.first_seq <= seq)
    }

    /// The oldest fragment held.
    #[must_use]
    pub fn tail(&self) -> Option<FragmentInfo> {
        self.fragments().next()
    }

    /// The newest fragment held.
    #[must_use]
    pub fn head(&self) -> Option<FragmentInfo> {
        self.fragments().next_back()
    }

    /// The metadata of the items in `seqs` that are held and in memory, in order.
    pub fn items(&self, seqs: Range<u64>) -> impl Iterator<Item = &ItemMeta> + '_ {
        let start = self
            .fragments
            .partition_point(|fragment| fragment.end_seq() <= seqs.start);
        let end = seqs.end;
        self.fragments
            .range(start..)
            .flat_map(move |fragment| fragment.items_from(seqs.start))
            .take_while(move |item| item.seq < end)
    }

    /// The metadata of one item, if held and in memory.
    #[must_use]
    pub fn item(&self, seq: u64) -> Option<&ItemMeta> {
        let index = self
            .fragments
            .partition_point(|fragment| fragment.end_seq() <= seq);
        self.fragments
            .get(index)?
            .items_from(seq)
            .next()
            .filter(|item| item.seq == seq)
    }

    /// The first fragment from the tail that isn't marked delivered: where a rollback that resends only what wasn't
    /// delivered starts.
    #[must_use]
    pub fn first_undelivered(&self) -> Option<FragmentInfo> {
        self.fragments().find(|fragment| !fragment.skip)
    }

    /// Everything held, from tail to head.
    #[must_use]
    pub fn totals(&self) -> ViewTotals {
        let duration = self
            .start_pts()
            .map_or(Duration::ZERO, |start| span(start, self.head_end));
        ViewTotals {
            items: self.held.items,
            bytes: self.held.bytes,
            duration,
        }
    }

    /// What is still to be sent in this pass, from current to head.
    #[must_use]
    pub fn unsent(&self) -> ViewTotals {
        let start = match self.next() {
            Next::Item(item) => Some(item.pts),
            Next::PageIn(fragment) => Some(fragment.stored.timecode),
            Next::Nothing => None,
        };
        let duration = start.map_or(Duration::ZERO, |start| span(start, self.head_end));
        ViewTotals {
            items: self.unsent.items,
            bytes: self.unsent.bytes,
            duration,
        }
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.items == 0
    }

    fn start_pts(&self) -> Option<i64> {
        self.fragments
            .iter()
            .find(|fragment| fragment.is_held())
            .map(Fragment::timecode)
    }

    /// Ordinal one past the newest fragment.
    fn end(&self) -> u64 {
        self.tail + self.fragments.len() as u64
    }

    fn at(&self, ordinal: u64) -> Option<&Fragment> {
        self.fragments.get(self.index(ordinal)?)
    }

    fn index(&self, ordinal: u64) -> Option<usize> {
        usize::try_from(ordinal.checked_sub(self.tail)?)
            .ok()
            .filter(|index| *index < self.fragments.len())
    }

    fn find_start(&self, first_seq: u64) -> Result<u64, StoreError> {
        let index = self
            .fragments
            .partition_point(|fragment| fragment.first_seq() < first_seq);
        match self.fragments.get(index) {
            Some(fragment) if fragment.first_seq() == first_seq && fragment.is_held() => {
                Ok(self.tail + index as u64)
            }
            _ => Err(not_found(first_seq)),
        }
    }
}

impl Tally {
    fn of(items: &[ItemMeta]) -> Tally {
        let bytes = items.iter().map(|item| u64::from(item.len)).sum();
        Tally {
            items: items.len() as u64,
            bytes,
        }
    }

    fn add(&mut self, bytes: u64) {
        self.add_all(Tally { items: 1, bytes });
    }

    fn add_all(&mut self, other: Tally) {
        *self = self.plus(other);
    }

    fn sub_all(&mut self, other: Tally) {
        *self = self.minus(other);
    }

    fn plus(self, other: Tally) -> Tally {
        Tally {
            items: self.items + other.items,
            bytes: self.bytes + other.bytes,
        }
    }

    fn minus(self, other: Tally) -> Tally {
        debug_assert!(
            self.items >= other.items && self.bytes >= other.bytes,
            "{self:?} minus {other:?}"
        );
        Tally {
            items: self.items.saturating_sub(other.items),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

fn not_found(first_seq: u64) -> StoreError {
    StoreError::new(StoreErrorKind::NotFound)
        .with_detail("no held fragment starts with this item")
        .with_seq(first_seq)
}

/// The time from `start` to `end`, zero if it is negative.
fn span(start: i64, end: i64) -> Duration {
    Duration::from_nanos(end.saturating_sub(start).max(0).unsigned_abs())
}
