//! The store in memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::ring::{ItemRing, RangeAnswer};
use crate::{
    ContentStore, Durability, Item, StoreError, StoreErrorKind, StoreFuture, StoredFragment, blob_key,
};

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
    ring: ItemRing,
    blobs: BTreeMap<String, Bytes>,
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
        self.state().ring.cost()
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
        if state.ring.cost() + need > max {
            return Err(StoreError::new(StoreErrorKind::Full).with_detail(format!(
                "{need} bytes asked for, {} of {max} in use",
                state.ring.cost()
            )));
        }
        Ok(())
    }

    fn take(&self, items: &mut Vec<Item>) -> Result<Durability, StoreError> {
        let mut state = self.state();
        state.ring.check_batch(items)?;
        self.check_room(&state, items)?;
        items.drain(..).for_each(|item| state.ring.push(item));
        Ok(Durability::reached(state.ring.next_seq()))
    }
}

impl State {
    fn read_range(&self, seqs: &Range<u64>, max_bytes: usize) -> Vec<Item> {
        let mut answer = RangeAnswer::new(max_bytes);
        for item in self.ring.items_from(seqs.start) {
            if item.meta.seq >= seqs.end || !answer.has_room_for(item.payload.len()) {
                break;
            }
            answer.push(*item.meta, item.payload.clone());
        }
        answer.items
    }
}

impl ContentStore for MemoryStore {
    fn next_seq(&self) -> u64 {
        self.state().ring.next_seq()
    }

    fn append<'a>(&'a self, items: &'a mut Vec<Item>) -> StoreFuture<'a, Durability> {
        StoreFuture::ready(self.take(items))
    }

    fn read(&self, seq: u64) -> StoreFuture<'_, Bytes> {
        StoreFuture::ready(self.state().ring.read(seq))
    }

    fn read_range(&self, seqs: Range<u64>, max_bytes: usize) -> StoreFuture<'_, Vec<Item>> {
        StoreFuture::ready(Ok(self.state().read_range(&seqs, max_bytes)))
    }

    fn release(&self, seqs: Range<u64>) -> StoreFuture<'_, ()> {
        self.state().ring.release(&seqs);
        StoreFuture::ready(Ok(()))
    }

    fn backlog(&self) -> StoreFuture<'_, Vec<StoredFragment>> {
        StoreFuture::ready(Ok(self.state().ring.fragments()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, MemoryFixture};
    use crate::{ItemFlags, ItemMeta};

    #[tokio::test]
    async fn the_memory_store_keeps_every_promise_of_the_seam() {
        conformance::content_store(&mut MemoryFixture).await;
    }

    #[tokio::test]
    async fn a_limit_refuses_what_has_no_room_and_what_never_will() {
        let item = |seq, len: u32| {
            let flags = ItemFlags::FRAGMENT_START;
            let meta = ItemMeta {
                seq,
                pts: 0,
                dts: 0,
                duration: 0,
                track: 1,
                flags,
                len,
            };
            Item::new(meta, Bytes::from(vec![0; len as usize]))
        };
        let store = MemoryStore::with_limit(1_000);
        store.append(&mut vec![item(0, 500)]).await.unwrap();
        let mut more = vec![item(1, 500)];
        assert_eq!(
            store.append(&mut more).await.unwrap_err().kind(),
            StoreErrorKind::Full
        );
        assert_eq!(
            store.append(&mut vec![item(1, 1_000)]).await.unwrap_err().kind(),
            StoreErrorKind::TooLarge
        );
        store.release(0..1).await.unwrap();
        store.append(&mut more).await.unwrap();
        assert_eq!(store.used(), 500 + crate::ITEM_OVERHEAD);
    }
}
