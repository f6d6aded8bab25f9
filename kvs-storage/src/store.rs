//! The seam between the window and the place where bytes live.

use std::ops::Range;

use bytes::Bytes;

use crate::{Durability, Item, StoreFuture, StoredFragment};

/// Holds the items of one stream: in memory, on disk, or both.
///
/// Every call is asynchronous and may fail; an answer at hand costs no allocation ([`StoreFuture`]). Calls take `&self`, so
/// that appending never waits for a read. The trait is object safe and local: a store needn't be `Sync`.
///
/// An implementation proves itself with the suite `conformance::content_store` (feature `conformance`).
pub trait ContentStore {
    /// The lowest sequence number the next item may have: one past the highest ever appended, by an earlier process too.
    fn next_seq(&self) -> u64;

    /// Takes a batch over. Sequence numbers rise strictly within the batch and over all batches; gaps are allowed.
    ///
    /// On success `items` is empty and keeps its capacity, so that one vector serves a whole stream. On failure every item
    /// that was not taken is still in it: nothing is lost, and the call may be repeated. Dropping the future before it
    /// answered leaves `items` either whole or empty.
    ///
    /// # Errors
    /// `OutOfOrder`, `TooLarge`, `Full`, a disk error if the store can't hold more because of one, or `Closed`.
    fn append<'a>(&'a self, items: &'a mut Vec<Item>) -> StoreFuture<'a, Durability>;

    /// The payload of one item.
    ///
    /// # Errors
    /// `NotFound`, `Released`, `Corrupt` (this item only; others stay readable), a disk error, or `Closed`.
    fn read(&self, seq: u64) -> StoreFuture<'_, Bytes>;

    /// The items held in `seqs`, in order, up to about `max_bytes` of payload, but at least one if there is any. The answer
    /// ends early rather than exceed that; continue after its last item. An item that can't be read because its bytes are
    /// damaged is left out.
    ///
    /// Reading forward lets a disk store read ahead of need.
    ///
    /// # Errors
    /// A disk error, or `Closed`.
    fn read_range(&self, seqs: Range<u64>, max_bytes: usize) -> StoreFuture<'_, Vec<Item>>;

    /// These items are needed no more: they were delivered, or dropped. They are gone from every later answer, after a
    /// restart as well. Releasing what isn't held is no error.
    ///
    /// # Errors
    /// `Closed`. A durable store that can't write this down now keeps it and tries again.
    fn release(&self, seqs: Range<u64>) -> StoreFuture<'_, ()>;

    /// The fragments held now, oldest first: after a restart, what is left to deliver.
    ///
    /// # Errors
    /// A disk error, or `Closed`.
    fn backlog(&self) -> StoreFuture<'_, Vec<StoredFragment>>;

    /// Waits until everything appended and released so far is durable.
    ///
    /// # Errors
    /// A disk error, or `Closed`. What was appended is still held, and the call may be repeated.
    fn flush(&self) -> StoreFuture<'_, ()>;

    /// Keeps opaque bytes under a key, durably, in place of what was there: a stream's codec configuration, say. Keys are
    /// 1 to 64 characters out of `a-z`, `0-9`, `-`, `_` and `.`, and start with a letter or a digit.
    ///
    /// # Errors
    /// `InvalidArgument` for a key outside these limits, a disk error, or `Closed`. The old value stays on failure.
    fn put_blob<'a>(&'a self, key: &'a str, value: Bytes) -> StoreFuture<'a, ()>;

    /// What was last put under `key`.
    ///
    /// # Errors
    /// `InvalidArgument`, `Corrupt`, a disk error, or `Closed`.
    fn get_blob<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>>;

    /// Forgets what is kept under `key`. Forgetting what isn't there is no error.
    ///
    /// # Errors
    /// `InvalidArgument`, a disk error, or `Closed`.
    fn remove_blob<'a>(&'a self, key: &'a str) -> StoreFuture<'a, ()>;
}
