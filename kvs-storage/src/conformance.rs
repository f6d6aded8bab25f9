//! The compliance suite of [`ContentStore`], for every implementation's own tests.
//!
//! Implement [`StoreFixture`] for your store and call [`content_store`] from a test. The suite panics with the name of the
//! promise that was broken, as tests do.

use std::future::Future;
use std::ops::Range;
use std::task::Poll;

use bytes::Bytes;

pub use crate::faulty::{Fault, FaultyStore, StoreCall};

use crate::faulty::poll_once;
use crate::fragment::{FragmentCutter, fragments_of};
use crate::{ByteBudget, ContentStore, Item, ItemFlags, ItemMeta, MemoryStore, StoreErrorKind};

/// How the suite gets at a store.
pub trait StoreFixture {
    /// The store under test.
    type Store: ContentStore;

    /// A new store that holds nothing.
    fn create(&mut self) -> impl Future<Output = Self::Store>;

    /// Closes the store and opens what it left behind; `None` if it leaves nothing behind by design.
    fn reopen(&mut self, store: Self::Store) -> impl Future<Output = Option<Self::Store>>;
}

/// The fixture of [`MemoryStore`].
#[derive(Debug, Default)]
pub struct MemoryFixture;

impl StoreFixture for MemoryFixture {
    type Store = MemoryStore;

    async fn create(&mut self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn reopen(&mut self, _store: MemoryStore) -> Option<MemoryStore> {
        None
    }
}

/// Runs the whole suite.
///
/// # Panics
/// If the store breaks a promise of the trait; the message says which.
pub async fn content_store(fixture: &mut impl StoreFixture) {
    what_is_appended_is_read_back(&fixture.create().await).await;
    sequence_numbers_must_rise(&fixture.create().await).await;
    untrue_lengths_are_refused(&fixture.create().await).await;
    gaps_are_allowed(&fixture.create().await).await;
    reads_outside_what_is_held_say_so(&fixture.create().await).await;
    released_items_are_gone_from_every_answer(&fixture.create().await).await;
    ranges_end_at_the_byte_limit(&fixture.create().await).await;
    receipts_are_reached_after_a_flush(&fixture.create().await).await;
    charges_return_with_what_is_released(&fixture.create().await).await;
    a_cancelled_append_leaves_the_batch_whole_or_empty(&fixture.create().await).await;
    calls_overlap(&fixture.create().await).await;
    blobs_are_kept_replaced_and_forgotten(&fixture.create().await).await;
    large_batches_survive(&fixture.create().await).await;
    a_reopened_store_holds_what_was_flushed(fixture).await;
    a_reopened_store_never_reuses_numbers(fixture).await;
}

const START: ItemFlags = ItemFlags::FRAGMENT_START.with(ItemFlags::KEY);

/// An item whose payload follows from its number.
fn item(seq: u64, flags: ItemFlags, len: u32) -> Item {
    let pts = seq.cast_signed() * 40_000_000;
    let meta = ItemMeta {
        seq,
        pts,
        dts: pts - 1,
        duration: 40_000_000,
        track: (seq % 2) as u8 + 1,
        flags,
        len,
    };
    Item::new(meta, payload(seq, len))
}

fn payload(seq: u64, len: u32) -> Bytes {
    let mut state = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let bytes = (0..len).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    bytes.collect()
}

/// Fragments of three items of a hundred bytes.
fn batch(seqs: Range<u64>) -> Vec<Item> {
    seqs.map(|seq| item(seq, if seq % 3 == 0 { START } else { ItemFlags::NONE }, 100))
        .collect()
}

async fn append(store: &impl ContentStore, mut items: Vec<Item>) {
    let end = items.last().map_or(0, |item| item.meta.seq + 1);
    let receipt = store
        .append(&mut items)
        .await
        .expect("an append in order succeeds");
    assert_eq!(receipt.end_seq(), end, "the receipt names the last item taken");
    assert!(items.is_empty(), "a successful append leaves the batch empty");
}

async fn range(store: &impl ContentStore, seqs: Range<u64>) -> Vec<u64> {
    let items = store
        .read_range(seqs, usize::MAX)
        .await
        .expect("a range is readable");
    for found in &items {
        assert_eq!(
            found.payload,
            payload(found.meta.seq, found.meta.len),
            "bytes come back as they were put"
        );
    }
    items.iter().map(|item| item.meta.seq).collect()
}

async fn what_is_appended_is_read_back(store: &impl ContentStore) {
    let metas: Vec<ItemMeta> = batch(0..9).iter().map(|item| item.meta).collect();
    let mut items = batch(0..5);
    let capacity = items.capacity();
    store
        .append(&mut items)
        .await
        .expect("an append in order succeeds");
    assert!(
        items.is_empty() && items.capacity() == capacity,
        "a batch vector is given back for reuse"
    );
    append(store, batch(5..9)).await;
    store.append(&mut items).await.expect("an empty batch is fine");
    for meta in &metas {
        let bytes = store.read(meta.seq).await.expect("a held item is readable");
        assert_eq!(
            bytes,
            payload(meta.seq, meta.len),
            "bytes come back as they were put"
        );
    }
    let found = store
        .read_range(0..9, usize::MAX)
        .await
        .expect("a range is readable");
    assert_eq!(
        found.iter().map(|item| item.meta).collect::<Vec<_>>(),
        metas,
        "metadata comes back whole"
    );
    let mut cutter = FragmentCutter::default();
    let fragments = fragments_of(metas.iter().map(|meta| (cutter.place(meta).fragment, meta)));
    assert_eq!(
        store.backlog().await.expect("a backlog"),
        fragments,
        "the backlog lists the fragments"
    );
    assert_eq!(store.next_seq(), 9, "numbers go on after the last item");
}

async fn sequence_numbers_must_rise(store: &impl ContentStore) {
    append(store, batch(0..3)).await;
    let mut late = batch(2..5);
    let error = store
        .append(&mut late)
        .await
        .expect_err("an old number is refused");
    assert_eq!(error.kind(), StoreErrorKind::OutOfOrder);
    assert_eq!(late.len(), 3, "a refused batch is given back whole");
    let mut twisted = batch(3..6);
    twisted.swap(1, 2);
    let error = store
        .append(&mut twisted)
        .await
        .expect_err("a batch out of order is refused");
    assert_eq!(error.kind(), StoreErrorKind::OutOfOrder);
    assert_eq!(twisted.len(), 3, "a refused batch is given back whole");
    append(store, batch(3..6)).await;
    assert_eq!(
        range(store, 0..9).await,
        [0, 1, 2, 3, 4, 5],
        "nothing of a refused batch is held"
    );
}

async fn untrue_lengths_are_refused(store: &impl ContentStore) {
    let mut items = batch(0..1);
    items[0].meta.len += 1;
    let error = store
        .append(&mut items)
        .await
        .expect_err("a length that isn't the payload's is refused");
    assert_eq!(error.kind(), StoreErrorKind::InvalidArgument);
    assert_eq!(items.len(), 1, "a refused batch is given back whole");
}

async fn gaps_are_allowed(store: &impl ContentStore) {
    append(
        store,
        vec![
            item(10, START, 5),
            item(12, ItemFlags::NONE, 0),
            item(1_000, START, 7),
        ],
    )
    .await;
    assert_eq!(range(store, 0..u64::MAX).await, [10, 12, 1_000]);
    assert_eq!(range(store, 11..1_000).await, [12]);
    assert_eq!(
        store.read(12).await.expect("an empty payload is readable"),
        Bytes::new()
    );
    assert_eq!(
        store.read(11).await.expect_err("a gap holds nothing").kind(),
        StoreErrorKind::NotFound
    );
}

async fn reads_outside_what_is_held_say_so(store: &impl ContentStore) {
    assert_eq!(range(store, 0..10).await, [0u64; 0], "a new store is empty");
    assert_eq!(
        store.read(0).await.expect_err("nothing is held").kind(),
        StoreErrorKind::NotFound
    );
    append(store, batch(0..6)).await;
    assert_eq!(
        store.read(6).await.expect_err("not appended yet").kind(),
        StoreErrorKind::NotFound
    );
    store.release(0..3).await.expect("a release");
    assert_eq!(
        store.read(1).await.expect_err("released").kind(),
        StoreErrorKind::Released
    );
}

async fn released_items_are_gone_from_every_answer(store: &impl ContentStore) {
    append(store, batch(0..12)).await;
    store.release(3..6).await.expect("a release in the middle");
    store.release(3..6).await.expect("releasing twice is no error");
    store
        .release(50..60)
        .await
        .expect("releasing what isn't held is no error");
    #[expect(
        clippy::reversed_empty_ranges,
        reason = "a caller's mistake that must do no harm"
    )]
    store.release(9..7).await.expect("an empty range is no error");
    assert_eq!(range(store, 0..12).await, [0, 1, 2, 6, 7, 8, 9, 10, 11]);
    assert_eq!(
        store.read(4).await.expect_err("released").kind(),
        StoreErrorKind::Released
    );
    let first_seqs =
        |backlog: Vec<crate::StoredFragment>| backlog.iter().map(|f| f.first_seq).collect::<Vec<_>>();
    assert_eq!(first_seqs(store.backlog().await.expect("a backlog")), [0, 6, 9]);
    store.release(0..9).await.expect("a release of the prefix");
    assert_eq!(first_seqs(store.backlog().await.expect("a backlog")), [9]);
    store.release(0..u64::MAX).await.expect("a release of everything");
    assert_eq!(store.backlog().await.expect("a backlog"), []);
    append(store, batch(12..15)).await;
    assert_eq!(
        range(store, 0..20).await,
        [12, 13, 14],
        "what comes after a release is held"
    );
}

async fn ranges_end_at_the_byte_limit(store: &impl ContentStore) {
    append(store, batch(0..9)).await;
    let seqs = |items: Vec<Item>| items.iter().map(|item| item.meta.seq).collect::<Vec<_>>();
    assert_eq!(seqs(store.read_range(0..9, 250).await.expect("a range")), [0, 1]);
    assert_eq!(
        seqs(store.read_range(2..9, 1).await.expect("a range")),
        [2],
        "at least one item comes"
    );
    assert_eq!(
        seqs(store.read_range(7..100, 10_000).await.expect("a range")),
        [7, 8]
    );
    assert_eq!(
        seqs(store.read_range(9..100, 10_000).await.expect("a range")),
        [0u64; 0]
    );
}

async fn receipts_are_reached_after_a_flush(store: &impl ContentStore) {
    let mut items = batch(0..4);
    let receipt = store.append(&mut items).await.expect("an append");
    store.flush().await.expect("a flush");
    assert!(receipt.is_reached(), "a flush makes everything durable");
    receipt.wait().await.expect("a reached receipt answers at once");
}

async fn charges_return_with_what_is_released(store: &impl ContentStore) {
    let budget = ByteBudget::new(1 << 20);
    let charged = batch(0..6).into_iter().map(|item| {
        let charge = budget.try_reserve(item.meta.cost()).expect("room in the budget");
        item.with_charge(charge)
    });
    append(store, charged.collect()).await;
    store.release(0..3).await.expect("a release");
    store.flush().await.expect("a flush");
    let left: u64 = batch(3..6).iter().map(|item| item.meta.cost()).sum();
    assert!(budget.used() <= left, "released items hold no charge");
    store.release(3..6).await.expect("a release");
    store.flush().await.expect("a flush");
    assert_eq!(budget.used(), 0, "an empty store holds no charge");
}

async fn a_cancelled_append_leaves_the_batch_whole_or_empty(store: &impl ContentStore) {
    let mut items = batch(0..6);
    let answered = poll_once(&mut store.append(&mut items)).await;
    let taken = items.is_empty();
    assert!(taken || items.len() == 6, "a batch is never split");
    assert!(
        taken || !matches!(answered, Poll::Ready(Ok(_))),
        "an accepted batch is taken"
    );
    if !taken {
        append(store, items).await;
    }
    assert_eq!(range(store, 0..6).await, [0, 1, 2, 3, 4, 5]);
}

async fn calls_overlap(store: &impl ContentStore) {
    append(store, batch(0..6)).await;
    let mut later = batch(6..9);
    let read = store.read(0);
    let ranged = store.read_range(0..6, usize::MAX);
    let appended = store.append(&mut later);
    let released = store.release(3..6);
    released.await.expect("a release beside other calls");
    appended.await.expect("an append beside other calls");
    assert!(ranged.await.expect("a range beside other calls").len() >= 3);
    assert_eq!(read.await.expect("a read beside other calls"), payload(0, 100));
    assert_eq!(range(store, 0..9).await, [0, 1, 2, 6, 7, 8]);
}

async fn blobs_are_kept_replaced_and_forgotten(store: &impl ContentStore) {
    assert_eq!(store.get_blob("tracks").await.expect("no blob"), None);
    store
        .put_blob("tracks", Bytes::from_static(b"one"))
        .await
        .expect("a blob");
    store
        .put_blob("tracks.2", payload(1, 70_000))
        .await
        .expect("a large blob");
    store
        .put_blob("tracks", Bytes::from_static(b"two"))
        .await
        .expect("a replacement");
    assert_eq!(
        store.get_blob("tracks").await.expect("a blob").as_deref(),
        Some(&b"two"[..])
    );
    assert_eq!(
        store.get_blob("tracks.2").await.expect("a blob"),
        Some(payload(1, 70_000))
    );
    store.remove_blob("tracks").await.expect("a removal");
    store
        .remove_blob("tracks")
        .await
        .expect("removing twice is no error");
    assert_eq!(store.get_blob("tracks").await.expect("no blob"), None);
    for key in ["", "..", "a/b", "UPPER"] {
        let error = store
            .put_blob(key, Bytes::new())
            .await
            .expect_err("a key outside the limits is refused");
        assert_eq!(error.kind(), StoreErrorKind::InvalidArgument);
    }
}

async fn large_batches_survive(store: &impl ContentStore) {
    let items = (0..500u64).map(|seq| item(seq, if seq % 25 == 0 { START } else { ItemFlags::NONE }, 9_001));
    append(store, items.collect()).await;
    store.flush().await.expect("a flush");
    let mut next = 0;
    while next < 500 {
        let found = store.read_range(next..500, 100_000).await.expect("a range");
        let last = found
            .last()
            .expect("a range that holds items answers with one at least")
            .meta
            .seq;
        for found in found {
            assert_eq!(found.meta.seq, next, "no item is left out");
            assert_eq!(
                found.payload,
                payload(next, 9_001),
                "bytes come back as they were put"
            );
            next += 1;
        }
        assert_eq!(next, last + 1);
    }
}

async fn a_reopened_store_holds_what_was_flushed(fixture: &mut impl StoreFixture) {
    let store = fixture.create().await;
    append(&store, batch(0..12)).await;
    store.release(0..3).await.expect("a release");
    store.release(6..9).await.expect("a release");
    store
        .put_blob("tracks", Bytes::from_static(b"codec"))
        .await
        .expect("a blob");
    store.flush().await.expect("a flush");
    let before = store.backlog().await.expect("a backlog");
    let Some(store) = fixture.reopen(store).await else {
        return;
    };
    assert_eq!(
        range(&store, 0..20).await,
        [3, 4, 5, 9, 10, 11],
        "what was released stays released"
    );
    assert_eq!(
        store.backlog().await.expect("a backlog"),
        before,
        "the backlog survives"
    );
    assert_eq!(
        store.get_blob("tracks").await.expect("a blob").as_deref(),
        Some(&b"codec"[..])
    );
    append(&store, batch(12..15)).await;
    assert_eq!(range(&store, 0..20).await, [3, 4, 5, 9, 10, 11, 12, 13, 14]);
}

async fn a_reopened_store_never_reuses_numbers(fixture: &mut impl StoreFixture) {
    let store = fixture.create().await;
    append(&store, batch(0..6)).await;
    store.release(0..6).await.expect("a release");
    store.flush().await.expect("a flush");
    let Some(store) = fixture.reopen(store).await else {
        return;
    };
    assert_eq!(store.backlog().await.expect("a backlog"), []);
    assert_eq!(store.next_seq(), 6, "numbers go on after the last item");
    let error = store
        .append(&mut batch(3..6))
        .await
        .expect_err("used numbers are refused after a restart as well");
    assert_eq!(error.kind(), StoreErrorKind::OutOfOrder);
    append(&store, batch(6..9)).await;
    assert_eq!(range(&store, 0..20).await, [6, 7, 8]);
}
