//! One fragment of the window: its items and how far they were sent.

use std::collections::VecDeque;

use super::{Range64, Removed, Tally};
use crate::{
    AckState, FragmentInfo, ItemFlags, ItemMeta, SentState, StoreError, StoreErrorKind, StoredFragment,
};

#[derive(Debug)]
pub(super) struct Fragment {
    stored: StoredFragment,
    /// First item still held: differs from `stored.first_seq`, the fragment's name, once items were dropped from its front.
    held_from: u64,
    phase: Phase,
    skip: Skip,
    ack: AckState,
    /// Sent in the present pass.
    sent: Tally,
    /// Most items sent in any pass, and one past the last of them.
    ever_sent: u32,
    ever_sent_end: u64,
    /// `None` while paged out.
    items: Option<VecDeque<ItemMeta>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
    /// Removed; waits for the tail to pass it.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    No,
    Delivered,
}

impl Fragment {
    /// A fragment that will begin with `first`, which is still to be pushed.
    pub(super) fn open(first: &ItemMeta, ring: VecDeque<ItemMeta>) -> Fragment {
        let empty = StoredFragment {
            items: 0,
            bytes: 0,
            ..StoredFragment::starting_with(first)
        };
        Fragment {
            items: Some(ring),
            phase: Phase::Open,
            ..Fragment::stored(empty)
        }
    }

    /// A closed fragment whose items are in the store only.
    pub(super) fn stored(stored: StoredFragment) -> Fragment {
        Fragment {
            held_from: stored.first_seq,
            ever_sent_end: stored.first_seq,
            stored,
            phase: Phase::Closed,
            skip: Skip::No,
            ack: AckState::None,
            sent: Tally::default(),
            ever_sent: 0,
            items: None,
        }
    }

    pub(super) fn push(&mut self, meta: ItemMeta) {
        self.stored.extend(&meta);
        if let Some(items) = &mut self.items {
            items.push_back(meta);
        }
    }

    pub(super) fn close(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closed;
        }
    }

    // ---- facts ---------------------------------------------------------------------------------------------------

    pub(super) fn info(&self) -> FragmentInfo {
        let sent_items = u32::try_from(self.sent.items).unwrap_or(u32::MAX);
        let sent = match (sent_items, self.is_finished()) {
            (0, false) => SentState::Unsent,
            (_, true) => SentState::Sent,
            (items, false) => SentState::Sending { items },
        };
        FragmentInfo {
            stored: self.stored,
            closed: self.phase != Phase::Open,
            sent,
            ever_sent: self.ever_sent,
            ack: self.ack,
            skip: self.skip == Skip::Delivered,
            resident: self.is_resident(),
        }
    }

    pub(super) fn first_seq(&self) -> u64 {
        self.stored.first_seq
    }

    pub(super) fn end_seq(&self) -> u64 {
        self.stored.end_seq
    }

    pub(super) fn timecode(&self) -> i64 {
        self.stored.timecode
    }

    pub(super) fn has_key(&self) -> bool {
        self.stored.has_key()
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(super) fn is_held(&self) -> bool {
        self.phase != Phase::Gone
    }

    pub(super) fn is_resident(&self) -> bool {
        self.items.is_some()
    }

    /// Closed, and sent in full in this pass.
    fn is_finished(&self) -> bool {
        self.phase != Phase::Open && self.sent.items == u64::from(self.stored.items)
    }

    pub(super) fn is_being_sent(&self) -> bool {
        self.is_held() && self.sent.items > 0 && !self.is_finished()
    }

    /// Whether sending has nothing to do here any more.
    pub(super) fn is_passed(&self) -> bool {
        !self.is_held() || self.is_finished() || self.is_skipped()
    }

    fn is_skipped(&self) -> bool {
        self.skip == Skip::Delivered && self.sent.items == 0
    }

    pub(super) fn held_tally(&self) -> Tally {
        if !self.is_held() {
            return Tally::default();
        }
        Tally {
            items: u64::from(self.stored.items),
            bytes: self.stored.bytes,
        }
    }

    /// What is left to send of it in this pass.
    pub(super) fn unsent_tally(&self) -> Tally {
        if !self.is_held() || self.is_skipped() {
            return Tally::default();
        }
        self.held_tally().minus(self.sent)
    }

    pub(super) fn items_from(&self, seq: u64) -> impl Iterator<Item = &ItemMeta> {
        self.items.iter().flat_map(move |items| {
            let start = items.partition_point(|item| item.seq < seq);
            items.range(start..)
        })
    }

    pub(super) fn next_item(&self) -> Option<&ItemMeta> {
        self.items.as_ref()?.get(usize::try_from(self.sent.items).ok()?)
    }

    // ---- sending -------------------------------------------------------------------------------------------------

    pub(super) fn advance(&mut self) -> Option<ItemMeta> {
        let item = *self.next_item()?;
        self.sent.add(u64::from(item.len));
        let sent_items = u32::try_from(self.sent.items).unwrap_or(u32::MAX);
        if sent_items > self.ever_sent {
            self.ever_sent = sent_items;
            self.ever_sent_end = item.seq + 1;
        }
        Some(item)
    }

    /// Makes all of it unsent again.
    pub(super) fn rewind(&mut self) {
        self.sent = Tally::default();
    }

    pub(super) fn mark_ack(&mut self, ack: AckState) -> AckState {
        self.ack = self.ack.max(ack);
        self.ack
    }

    /// Marks it as never to be sent again; `false` if it was already.
    pub(super) fn mark_skip(&mut self) -> Result<(), AlreadyMarked> {
        match std::mem::replace(&mut self.skip, Skip::Delivered) {
            Skip::No => Ok(()),
            Skip::Delivered => Err(AlreadyMarked),
        }
    }

    // ---- removing ------------------------------------------------------------------------------------------------

    /// Drops the oldest item, unless that is a key frame, the last item, or not in memory.
    pub(super) fn drop_front_item(&mut self) -> Option<Removed> {
        let items = self.items.as_mut()?;
        let front = *items.front()?;
        if items.len() < 2 || front.flags.contains(ItemFlags::KEY) {
            return None;
        }
        let fragment = self.info();
        let items = self.items.as_mut()?;
        items.pop_front();
        let next = items.front()?.seq;
        let one = Tally {
            items: 1,
            bytes: u64::from(front.len),
        };
        let was_sent = self.ever_sent > 0;
        self.ever_sent = self.ever_sent.saturating_sub(1);
        if self.sent.items > 0 {
            self.sent.sub_all(one);
        }
        self.stored.items -= 1;
        self.stored.bytes -= one.bytes;
        self.held_from = next;
        let seqs = Range64 {
            start: front.seq,
            end: next,
        };
        let (sent, unsent) = if was_sent {
            (one, Tally::default())
        } else {
            (Tally::default(), one)
        };
        Some(Removed {
            fragment,
            seqs,
            sent,
            unsent,
            sent_end: if was_sent { seqs.end } else { seqs.start },
        })
    }

    /// Empties it for good; what is left waits for the tail to pass. Returns what was removed, and the ring for reuse.
    pub(super) fn clear(&mut self) -> (Removed, Option<VecDeque<ItemMeta>>) {
        let fragment = self.info();
        let all = self.held_tally();
        let sent = self.ever_sent_tally(all);
        let sent_end = if self.ever_sent == 0 {
            self.held_from
        } else {
            self.ever_sent_end
        };
        self.phase = Phase::Gone;
        let removed = Removed {
            fragment,
            seqs: Range64 {
                start: self.held_from,
                end: self.stored.end_seq,
            },
            sent,
            unsent: all.minus(sent),
            sent_end,
        };
        (removed, self.items.take())
    }

    fn ever_sent_tally(&self, all: Tally) -> Tally {
        let items = u64::from(self.ever_sent);
        let bytes = match &self.items {
            Some(held) => held
                .iter()
                .take(self.ever_sent as usize)
                .map(|item| u64::from(item.len))
                .sum(),
            None if all.items == 0 => 0,
            None => {
                let share = u128::from(all.bytes) * u128::from(items) / u128::from(all.items);
                u64::try_from(share).unwrap_or(all.bytes)
            }
        };
        Tally { items, bytes }
    }

    // ---- paging --------------------------------------------------------------------------------------------------

    pub(super) fn page_out(&mut self) -> Option<VecDeque<ItemMeta>> {
        self.items.take()
    }

    /// Brings the items back; returns how many of them the store lost.
    pub(super) fn page_in(
        &mut self,
        items: &[ItemMeta],
        mut ring: VecDeque<ItemMeta>,
    ) -> Result<Tally, StoreError> {
        if self.is_resident() {
            return Ok(Tally::default());
        }
        self.check_page(items)?;
        let (all, found) = (self.held_tally(), Tally::of(items));
        let was_finished = self.is_finished();
        ring.extend(items.iter().copied());
        self.items = Some(ring);
        self.stored.items = u32::try_from(found.items).unwrap_or(u32::MAX);
        self.stored.bytes = found.bytes;
        self.ever_sent = self.ever_sent.min(self.stored.items);
        self.sent = if was_finished { found } else { Tally::default() };
        Ok(all.minus(found))
    }

    fn check_page(&self, items: &[ItemMeta]) -> Result<(), StoreError> {
        let mut expected = self.held_from;
        for item in items {
            if item.seq < expected || item.seq >= self.stored.end_seq {
                return Err(StoreError::new(StoreErrorKind::OutOfOrder)
                    .with_detail(format!("items of {expected}..{} expected", self.stored.end_seq))
                    .with_seq(item.seq));
            }
            expected = item.seq + 1;
        }
        let all = self.held_tally();
        let found = Tally::of(items);
        if found.items > all.items || found.bytes > all.bytes {
            return Err(StoreError::new(StoreErrorKind::InvalidArgument)
                .with_detail(format!(
                    "{} items of {} bytes paged in, the fragment has {} of {}",
                    found.items, found.bytes, all.items, all.bytes
                ))
                .with_seq(self.stored.first_seq));
        }
        let key_lost = self.has_key() && !items.iter().any(|item| item.flags.contains(ItemFlags::KEY));
        if items.is_empty() || key_lost {
            return Err(StoreError::new(StoreErrorKind::NotAKeyFragment)
                .with_detail("the key frame can't be read any more")
                .with_seq(self.stored.first_seq));
        }
        Ok(())
    }
}

/// The fragment was marked delivered before.
pub(super) struct AlreadyMarked;
