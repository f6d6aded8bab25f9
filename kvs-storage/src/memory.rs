//! The store in memory.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::fragment::fragments_of;
use crate::{
    ContentStore, Durability, Item, ItemMeta, Reservation, StoreError, StoreErrorKind, StoreFuture,
    StoredFragment, blob_key,
};

/// Slots kept allocated when a store runs empty; a larger backlog's memory goes back to the allocator.
const IDLE_SLOTS: usize = 1024;

/// Keeps items in memory: nothing survives the process, and every answer is at hand.
///
/// Payloads are shared, never copied, and no call allocates per item. What bounds the memory is the byte budget whose
/// charges the items carry; a limit of the store's own can be set besides.
///
/// ```
/// use bytes::Bytes;
/// use kvs_storage::{ContentStore, Item, ItemFlags, ItemMeta, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kvs_storage::StoreError> {
/// let store = MemoryStore::new();
/// let meta = ItemMeta {
///     seq: 1, pts: 0, dts: 0, duration: 0, track: 1,
///     flags: ItemFlags::KEY.with(ItemFlags::FRAGMENT_START), len: 5,
/// };
/// let mut batch = vec![Item::new(meta, Bytes::from_static(b"hello"))];
/// store.append(&mut batch).await?;
/// assert_eq!(store.read(1).await?, "hello");
/// store.release(1..2).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    max_bytes: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    slots: VecDeque<Slot>,
    /// One past the highest sequence number ever taken.
    next_seq: u64,
    /// What the held items cost, overhead included.
    used: u64,
    blobs: BTreeMap<String, Bytes>,
}

#[derive(Debug)]
struct Slot {
    meta: ItemMeta,
    /// `None` once released behind an item that is still held.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    payload: Bytes,
    /// Only kept: dropping it gives the bytes back to the budget.
    _charge: Option<Reservation>,
}

impl MemoryStore {
    /// A store without a limit of its own.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// A store that holds at most this many bytes, counting [`ITEM_OVERHEAD`](crate::ITEM_OVERHEAD) per item.
    #[must_use]
    pub fn with_limit(max_bytes: u64) -> MemoryStore {
        MemoryStore {
            max_bytes: Some(max_bytes),
            ..MemoryStore::default()
        }
    }

    /// Bytes held now, counting [`ITEM_OVERHEAD`](crate::ITEM_OVERHEAD) per item.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state().used
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_room(&self, state: &State, items: &[Item]) -> Result<(), StoreError> {
        let Some(max) = self.max_bytes else { return Ok(()) };
        let need: u64 = items.iter().map(|item| item.meta.cost()).sum();
        if need > max {
            return Err(StoreError::new(StoreErrorKind::TooLarge)
                .with_detail(format!("{need} bytes with overhead, the limit is {max}")));
        }
        if state.used + need > max {
            return Err(StoreError::new(StoreErrorKind::Full)
                .with_detail(format!("{need} bytes asked for, {} of {max} in use", state.used)));
        }
        Ok(())
    }

    fn take(&self, items: &mut Vec<Item>) -> Result<Durability, StoreError> {
        let mut state = self.state();
        check_batch(items, state.next_seq)?;
        self.check_room(&state, items)?;
        for Item {
            meta,
            payload,
            charge,
        } in items.drain(..)
        {
            state.used += meta.cost();
            state.next_seq = meta.seq.saturating_add(1);
            state.slots.push_back(Slot {
                meta,
                held: Some(Held {
                    payload,
                    _charge: charge,
                }),
            });
        }
        Ok(Durability::reached(state.next_seq))
    }
}

/// Checks what every store asks of a batch: rising sequence numbers from `next_seq` on, and lengths that are true.
pub(crate) fn check_batch(items: &[Item], next_seq: u64) -> Result<(), StoreError> {
    let mut expected = next_seq;
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

impl State {
    /// Index of the first slot at or after `seq`.
    fn position(&self, seq: u64) -> usize {
        self.slots.partition_point(|slot| slot.meta.seq < seq)
    }

    fn read(&self, seq: u64) -> Result<Bytes, StoreError> {
        let slot = self
            .slots
            .get(self.position(seq))
            .filter(|slot| slot.meta.seq == seq);
        if let Some(held) = slot.and_then(|slot| slot.held.as_ref()) {
            return Ok(held.payload.clone());
        }
        let before_tail = self.slots.front().map_or(self.next_seq, |tail| tail.meta.seq);
        let kind = if slot.is_some() || seq < before_tail {
            StoreErrorKind::Released
        } else {
            StoreErrorKind::NotFound
        };
        Err(StoreError::new(kind).with_seq(seq))
    }

    fn read_range(&self, seqs: &Range<u64>, max_bytes: usize) -> Vec<Item> {
        let mut items = Vec::new();
        let mut bytes = 0usize;
        for slot in self.slots.range(self.position(seqs.start)..) {
            if slot.meta.seq >= seqs.end {
                break;
            }
            let Some(held) = &slot.held else { continue };
            bytes = bytes.saturating_add(held.payload.len());
            if bytes > max_bytes && !items.is_empty() {
                break;
            }
            items.push(Item::new(slot.meta, held.payload.clone()));
        }
        items
    }

    fn release(&mut self, seqs: &Range<u64>) {
        let start = self.position(seqs.start);
        let end = self.position(seqs.end).max(start);
        for slot in self.slots.range_mut(start..end) {
            if slot.held.take().is_some() {
                self.used -= slot.meta.cost();
            }
        }
        while self.slots.front().is_some_and(|slot| slot.held.is_none()) {
            self.slots.pop_front();
        }
        if self.slots.is_empty() && self.slots.capacity() > IDLE_SLOTS {
            self.slots.shrink_to(IDLE_SLOTS);
        }
    }
}

impl ContentStore for MemoryStore {
    fn append<'a>(&'a self, items: &'a mut Vec<Item>) -> StoreFuture<'a, Durability> {
        StoreFuture::ready(self.take(items))
    }

    fn read(&self, seq: u64) -> StoreFuture<'_, Bytes> {
        StoreFuture::ready(self.state().read(seq))
    }

    fn read_range(&self, seqs: Range<u64>, max_bytes: usize) -> StoreFuture<'_, Vec<Item>> {
        StoreFuture::ready(Ok(self.state().read_range(&seqs, max_bytes)))
    }

    fn release(&self, seqs: Range<u64>) -> StoreFuture<'_, ()> {
        self.state().release(&seqs);
        StoreFuture::ready(Ok(()))
    }

    fn backlog(&self) -> StoreFuture<'_, Vec<StoredFragment>> {
        let state = self.state();
        let held = state.slots.iter().filter(|slot| slot.held.is_some());
        StoreFuture::ready(Ok(fragments_of(held.map(|slot| &slot.meta))))
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        StoreFuture::ready(Ok(()))
    }

    fn put_blob<'a>(&'a self, key: &'a str, value: Bytes) -> StoreFuture<'a, ()> {
        StoreFuture::ready(blob_key::check(key).map(|()| {
            self.state().blobs.insert(key.to_owned(), value);
        }))
    }

    fn get_blob<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        StoreFuture::ready(blob_key::check(key).map(|()| self.state().blobs.get(key).cloned()))
    }

    fn remove_blob<'a>(&'a self, key: &'a str) -> StoreFuture<'a, ()> {
        StoreFuture::ready(blob_key::check(key).map(|()| {
            self.state().blobs.remove(key);
        }))
    }
}
