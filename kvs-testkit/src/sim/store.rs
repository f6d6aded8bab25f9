//! Where the bytes of items lie, under a byte budget, on a disk that fails at times.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use kvs_storage::{ITEM_OVERHEAD, ItemMeta};

/// The store of one stream.
#[derive(Debug)]
pub(super) struct Store {
    budget: u64,
    /// What others have taken of the budget.
    taken: u64,
    used: u64,
    first: u64,
    items: VecDeque<Option<(ItemMeta, Bytes)>>,
    held: u64,
    /// Of a hundred reads so many fail.
    pub(super) read_failures: u32,
    /// Of a hundred appends so many fail.
    pub(super) append_failures: u32,
}

impl Store {
    pub(super) fn new(budget: u64) -> Self {
        Store {
            budget,
            taken: 0,
            used: 0,
            first: 1,
            items: VecDeque::new(),
            held: 0,
            read_failures: 0,
            append_failures: 0,
        }
    }

    /// Others take all of the budget but for so many bytes, or give it back.
    pub(super) fn leave(&mut self, room: Option<u64>) {
        self.taken = room.map_or(0, |room| self.budget.saturating_sub(room));
    }

    /// How many bytes the budget lacks for a frame.
    pub(super) fn lacks(&self, len: usize) -> u64 {
        (self.used + self.taken + cost(len)).saturating_sub(self.budget)
    }

    pub(super) fn append(&mut self, meta: ItemMeta, payload: Bytes) {
        let seq = meta.seq;
        if self.items.is_empty() {
            self.first = seq;
        }
        while self.first + (self.items.len() as u64) < seq {
            self.items.push_back(None);
        }
        self.used += cost(payload.len());
        self.held += 1;
        self.items.push_back(Some((meta, payload)));
    }

    pub(super) fn read(&self, seq: u64) -> Option<Bytes> {
        let index = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        let (_, payload) = self.items.get(index)?.as_ref()?;
        Some(payload.clone())
    }

    /// What the items in a range are.
    pub(super) fn metas(&self, seqs: &Range<u64>) -> Vec<ItemMeta> {
        self.items
            .iter()
            .flatten()
            .map(|(meta, _)| *meta)
            .filter(|meta| seqs.contains(&meta.seq))
            .collect()
    }

    /// Forgets an item; says whether it was there.
    pub(super) fn release(&mut self, seq: u64) -> bool {
        let Some(index) = seq
            .checked_sub(self.first)
            .and_then(|index| usize::try_from(index).ok())
        else {
            return false;
        };
        let Some((_, payload)) = self.items.get_mut(index).and_then(Option::take) else {
            return false;
        };
        self.used -= cost(payload.len());
        self.held -= 1;
        while self.items.front().is_some_and(Option::is_none) {
            self.items.pop_front();
            self.first += 1;
        }
        true
    }

    /// How many items are held.
    pub(super) fn held(&self) -> u64 {
        self.held
    }
}

fn cost(len: usize) -> u64 {
    len as u64 + ITEM_OVERHEAD
}
