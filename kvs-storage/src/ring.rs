//! Items in memory, in order: what the memory store is, and what a disk store keeps of the newest.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use crate::fragment::{FragmentCutter, Placement, fragments_of};
use crate::{Item, ItemMeta, Reservation, StoreError, StoreErrorKind, StoredFragment};

/// Slots kept allocated when a ring runs empty; a larger backlog's memory goes back to the allocator.
const IDLE_SLOTS: usize = 1024;

/// Items by rising sequence number; appending and releasing at the ends cost O(1), finding one O(log n).
#[derive(Debug, Default)]
pub(crate) struct ItemRing {
    slots: VecDeque<Slot>,
    cutter: FragmentCutter,
    /// One past the highest sequence number ever pushed.
    next_seq: u64,
    /// What the held items cost, overhead included.
    cost: u64,
}

#[derive(Debug)]
struct Slot {
    meta: ItemMeta,
    placement: Placement,
    /// `None` once released behind an item that is still held.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    payload: Bytes,
    /// Only kept: dropping it gives the bytes back to the budget.
    _charge: Option<Reservation>,
}

/// An item of a ring, borrowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingItem<'a> {
    pub(crate) meta: &'a ItemMeta,
    pub(crate) placement: Placement,
    pub(crate) payload: &'a Bytes,
}

impl ItemRing {
    /// An empty ring that goes on numbering at `next_seq`.
    pub(crate) fn starting_at(next_seq: u64) -> ItemRing {
        ItemRing {
            next_seq,
            ..ItemRing::default()
        }
    }

    /// Checks what every store asks of a batch: rising sequence numbers, and lengths that are true.
    pub(crate) fn check_batch(&self, items: &[Item]) -> Result<(), StoreError> {
        let mut expected = self.next_seq;
        for item in items {
            if item.meta.seq < expected || item.meta.seq == u64::MAX {
                return Err(StoreError::new(StoreErrorKind::OutOfOrder)
                    .with_detail(format!("the next item must be {expected} or later"))
                    .with_seq(item.meta.seq));
            }
            if item.payload.len() != item.meta.len as usize {
                return Err(StoreError::new(StoreErrorKind::InvalidArgument)
                    .with_detail(format!(
                        "length {} for a payload of {} bytes",
                        item.meta.len,
                        item.payload.len()
                    ))
                    .with_seq(item.meta.seq));
            }
            expected = item.meta.seq + 1;
        }
        Ok(())
    }

    /// Takes an item that [`check_batch`](ItemRing::check_batch) found right.
    pub(crate) fn push(
        &mut self,
        Item {
            meta,
            payload,
            charge,
        }: Item,
    ) {
        self.cost += meta.cost();
        self.next_seq = meta.seq + 1;
        let placement = self.cutter.place(&meta);
        self.slots.push_back(Slot {
            meta,
            placement,
            held: Some(Held {
                payload,
                _charge: charge,
            }),
        });
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// What the held items cost, overhead included.
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    /// Sequence number of the oldest item held; `next_seq` if none is.
    pub(crate) fn first_seq(&self) -> u64 {
        self.slots.front().map_or(self.next_seq, |slot| slot.meta.seq)
    }

    pub(crate) fn read(&self, seq: u64) -> Result<Bytes, StoreError> {
        let slot = self
            .slots
            .get(self.position(seq))
            .filter(|slot| slot.meta.seq == seq);
        if let Some(held) = slot.and_then(|slot| slot.held.as_ref()) {
            return Ok(held.payload.clone());
        }
        let released = slot.is_some() || seq < self.first_seq();
        let kind = if released {
            StoreErrorKind::Released
        } else {
            StoreErrorKind::NotFound
        };
        Err(StoreError::new(kind).with_seq(seq))
    }

    /// The items held from `seq` on.
    pub(crate) fn items_from(&self, seq: u64) -> impl Iterator<Item = RingItem<'_>> {
        self.slots.range(self.position(seq)..).filter_map(|slot| {
            let held = slot.held.as_ref()?;
            Some(RingItem {
                meta: &slot.meta,
                placement: slot.placement,
                payload: &held.payload,
            })
        })
    }

    /// Lets go of what is held in `seqs`.
    pub(crate) fn release(&mut self, seqs: &Range<u64>) {
        let start = self.position(seqs.start);
        let end = self.position(seqs.end).max(start);
        for slot in self.slots.range_mut(start..end) {
            if slot.held.take().is_some() {
                self.cost -= slot.meta.cost();
            }
        }
        self.drop_released_front();
    }

    /// Lets go of the oldest item, if it lies below `end`. Returns whether it did.
    pub(crate) fn pop_front_below(&mut self, end: u64) -> Option<ItemMeta> {
        if self.slots.front()?.meta.seq >= end {
            return None;
        }
        let slot = self.slots.pop_front()?;
        if slot.held.is_some() {
            self.cost -= slot.meta.cost();
        }
        self.drop_released_front();
        Some(slot.meta)
    }

    pub(crate) fn fragments(&self) -> Vec<StoredFragment> {
        fragments_of(
            self.items_from(0)
                .map(|item| (item.placement.fragment, item.meta)),
        )
    }

    fn drop_released_front(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.held.is_none()) {
            self.slots.pop_front();
        }
        if self.slots.is_empty() && self.slots.capacity() > IDLE_SLOTS {
            self.slots.shrink_to(IDLE_SLOTS);
        }
    }

    /// Index of the first slot at or after `seq`.
    fn position(&self, seq: u64) -> usize {
        self.slots.partition_point(|slot| slot.meta.seq < seq)
    }
}

/// Collects items up to about `max_bytes` of payload, but at least one.
#[derive(Debug)]
pub(crate) struct RangeAnswer {
    pub(crate) items: Vec<Item>,
    bytes: usize,
    max_bytes: usize,
}

impl RangeAnswer {
    pub(crate) fn new(max_bytes: usize) -> RangeAnswer {
        RangeAnswer {
            items: Vec::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// Whether an item of this length still fits.
    pub(crate) fn has_room_for(&self, len: usize) -> bool {
        self.items.is_empty() || self.bytes.saturating_add(len) <= self.max_bytes
    }

    pub(crate) fn push(&mut self, meta: ItemMeta, payload: Bytes) {
        self.bytes = self.bytes.saturating_add(payload.len());
        self.items.push(Item::new(meta, payload));
    }
}
