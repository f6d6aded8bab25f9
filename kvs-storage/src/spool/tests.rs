//! The spool on a real disk, threads and all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::entry::HEADER_LEN as RECORD_LEN;
use super::inspect::{self, StreamInspection};
use super::*;
use crate::conformance::{self, StoreFixture};
use crate::{ByteBudget, ContentStore, Item, ItemFlags, ItemMeta};

const START: ItemFlags = ItemFlags::FRAGMENT_START.with(ItemFlags::KEY);
const MS: u64 = 1_000_000;

struct SpoolFixture {
    dir: TempDir,
    options: SpoolOptions,
    spool: Option<Spool>,
    streams: u32,
}

impl SpoolFixture {
    fn new(options: SpoolOptions) -> SpoolFixture {
        SpoolFixture {
            dir: TempDir::new().unwrap(),
            options,
            spool: None,
            streams: 0,
        }
    }

    async fn open(&mut self) -> SpoolStore {
        if self.spool.is_none() {
            self.spool = Some(Spool::open(self.dir.path(), self.options.clone()).unwrap());
        }
        let spool = self.spool.as_ref().unwrap();
        spool
            .open_stream(&format!("Stream.{}", self.streams), &StreamIdentity::new())
            .await
            .unwrap()
            .store
    }
}

impl StoreFixture for SpoolFixture {
    type Store = SpoolStore;

    async fn create(&mut self) -> SpoolStore {
        self.streams += 1;
        self.open().await
    }

    async fn reopen(&mut self, store: SpoolStore) -> Option<SpoolStore> {
        drop(store);
        self.spool.take().unwrap().close().await;
        Some(self.open().await)
    }
}

#[tokio::test]
async fn the_spool_keeps_every_promise_of_the_seam() {
    for sync in [
        SyncPolicy::EachFragment,
        SyncPolicy::Interval(Duration::from_millis(1)),
        SyncPolicy::Never,
    ] {
        conformance::content_store(&mut SpoolFixture::new(SpoolOptions::default().sync(sync))).await;
    }
}

#[tokio::test]
async fn the_spool_keeps_its_promises_with_hardly_any_memory() {
    let options = SpoolOptions::default().memory(1).segment_bytes(1).read_ahead(1);
    conformance::content_store(&mut SpoolFixture::new(options)).await;
}

fn item(seq: u64, len: u32) -> Item {
    let flags = if seq.is_multiple_of(10) {
        START
    } else {
        ItemFlags::NONE
    };
    let pts = (seq * 40 * MS).cast_signed();
    let meta = ItemMeta {
        seq,
        pts,
        dts: pts,
        duration: 40 * MS,
        track: 1,
        flags,
        len,
    };
    Item::new(meta, payload(seq, len))
}

fn payload(seq: u64, len: u32) -> Bytes {
    (0..len)
        .map(|place| (u64::from(place) * 31 + seq * 7) as u8)
        .collect()
}

async fn append(store: &SpoolStore, seqs: std::ops::Range<u64>, len: u32) {
    for first in seqs.clone().step_by(10) {
        let mut batch: Vec<Item> = (first..seqs.end.min(first + 10))
            .map(|seq| item(seq, len))
            .collect();
        store.append(&mut batch).await.unwrap();
    }
}

/// Reads everything from `from` on and checks each byte; returns the numbers found.
async fn read_all(store: &SpoolStore, mut from: u64, len: u32) -> Vec<u64> {
    let mut seqs = Vec::new();
    loop {
        let items = store.read_range(from..u64::MAX, 100_000).await.unwrap();
        let Some(last) = items.last() else { return seqs };
        from = last.meta.seq + 1;
        for item in items {
            assert_eq!(item.payload, payload(item.meta.seq, len));
            seqs.push(item.meta.seq);
        }
    }
}

async fn open(dir: &Path, options: &SpoolOptions) -> (Spool, OpenedStream) {
    let spool = Spool::open(dir, options.clone()).unwrap();
    let opened = spool.open_stream("cam", &StreamIdentity::new()).await.unwrap();
    (spool, opened)
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(inspect::stream_dir(dir, "cam"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    paths
}

fn small() -> SpoolOptions {
    SpoolOptions::default()
        .segment_bytes(64 << 10)
        .max_bytes_per_stream(64 << 20)
        .memory(256 << 10)
}

#[tokio::test]
async fn a_backlog_larger_than_memory_is_read_back_in_order() {
    let dir = TempDir::new().unwrap();
    let (spool, opened) = open(dir.path(), &small()).await;
    append(&opened.store, 0..4_000, 1_000).await;
    assert!(opened.store.memory_bytes() <= 256 << 10);
    assert!(spool.memory_bytes() <= 256 << 10);
    assert_eq!(
        read_all(&opened.store, 0, 1_000).await,
        (0..4_000).collect::<Vec<_>>()
    );
    assert_eq!(
        read_all(&opened.store, 1_234, 1_000).await,
        (1_234..4_000).collect::<Vec<_>>(),
        "a rollback reads anew"
    );
}

#[tokio::test]
async fn memory_goes_back_to_the_budget_as_items_reach_the_disk() {
    let dir = TempDir::new().unwrap();
    let (_spool, opened) = open(dir.path(), &small()).await;
    let budget = ByteBudget::new(512 << 10);
    for seq in 0..2_000 {
        let charge = budget.reserve(1_000 + crate::ITEM_OVERHEAD).await.unwrap();
        opened
            .store
            .append(&mut vec![item(seq, 1_000).with_charge(charge)])
            .await
            .unwrap();
    }
    opened.store.flush().await.unwrap();
    assert!(budget.used() <= 256 << 10);
}

#[tokio::test]
async fn released_segments_leave_the_disk() {
    let dir = TempDir::new().unwrap();
    let (_spool, opened) = open(dir.path(), &small()).await;
    append(&opened.store, 0..1_000, 1_000).await;
    opened.store.flush().await.unwrap();
    let before = segments(dir.path()).len();
    opened.store.release(0..900).await.unwrap();
    opened.store.flush().await.unwrap();
    let after = segments(dir.path()).len();
    assert!(
        before >= 8 && after <= before / 3,
        "{before} segments before, {after} after"
    );
    assert_eq!(
        read_all(&opened.store, 0, 1_000).await,
        (900..1_000).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_restart_delivers_what_is_left_and_goes_on_numbering() {
    let dir = TempDir::new().unwrap();
    let (spool, opened) = open(dir.path(), &small()).await;
    append(&opened.store, 0..500, 1_000).await;
    opened.store.release(0..100).await.unwrap();
    opened.store.release(200..210).await.unwrap();
    drop(opened);
    spool.close().await;
    let (_spool, opened) = open(dir.path(), &small()).await;
    assert!(opened.recovery.is_clean());
    let expected: Vec<u64> = (100..200).chain(210..500).collect();
    assert_eq!(read_all(&opened.store, 0, 1_000).await, expected);
    assert_eq!(opened.store.next_seq(), 500);
    let backlog = opened.store.backlog().await.unwrap();
    assert_eq!(backlog.len(), 39);
    assert_eq!(
        (backlog[0].first_seq, backlog[0].timecode),
        (100, (100 * 40 * MS).cast_signed())
    );
}

#[tokio::test]
async fn a_full_spool_refuses_until_something_is_released() {
    let dir = TempDir::new().unwrap();
    let options = SpoolOptions::default().max_bytes_per_stream(1 << 20);
    let (_spool, opened) = open(dir.path(), &options).await;
    let mut seq = 0;
    let error = loop {
        match opened.store.append(&mut vec![item(seq, 5_000)]).await {
            Ok(_) => seq += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert!(seq > 150, "most of the cap is usable");
    opened.store.release(0..50).await.unwrap();
    opened.store.flush().await.unwrap();
    opened.store.append(&mut vec![item(seq, 5_000)]).await.unwrap();
    opened.store.flush().await.unwrap();
    let on_disk: u64 = segments(dir.path())
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!(on_disk <= 1 << 20, "{on_disk} bytes of files");
    let error = opened
        .store
        .append(&mut vec![item(seq + 1, 2 << 20)])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TooLarge);
}

#[tokio::test]
async fn a_cap_on_time_and_one_over_all_streams_refuse_too() {
    let dir = TempDir::new().unwrap();
    let options = SpoolOptions::default()
        .max_duration(Duration::from_secs(2))
        .max_bytes_total(256 << 10);
    let (spool, opened) = open(dir.path(), &options).await;
    append(&opened.store, 0..50, 10).await;
    let error = opened.store.append(&mut vec![item(50, 10)]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
    opened.store.release(0..10).await.unwrap();
    opened.store.append(&mut vec![item(50, 10)]).await.unwrap();
    let other = spool.open_stream("other", &StreamIdentity::new()).await.unwrap();
    let error = other.store.append(&mut vec![item(0, 200_000)]).await.unwrap_err();
    assert!(error.to_string().contains("over all streams"), "{error}");
}

#[tokio::test]
async fn a_spool_is_open_once() {
    let dir = TempDir::new().unwrap();
    let (spool, opened) = open(dir.path(), &small()).await;
    let again = Spool::open(dir.path(), small()).err().unwrap();
    assert_eq!(again.kind(), StoreErrorKind::Locked);
    let twice = spool
        .open_stream("cam", &StreamIdentity::new())
        .await
        .err()
        .unwrap();
    assert_eq!(twice.kind(), StoreErrorKind::Locked);
    drop(opened);
    spool.close().await;
    Spool::open(dir.path(), small()).unwrap();
}

#[tokio::test]
async fn media_of_another_account_is_refused_and_other_codecs_are_reported() {
    let dir = TempDir::new().unwrap();
    let mine = StreamIdentity::new()
        .fixed("account", "A")
        .noted("tracks", "h264");
    let spool = Spool::open(dir.path(), small()).unwrap();
    assert_eq!(spool.open_stream("cam", &mine).await.unwrap().changes, []);
    spool.close().await;
    let spool = Spool::open(dir.path(), small()).unwrap();
    let theirs = StreamIdentity::new().fixed("account", "B");
    let error = spool.open_stream("cam", &theirs).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::IdentityMismatch);
    assert!(error.to_string().contains("account is \"B\""), "{error}");
    let changed = StreamIdentity::new()
        .fixed("account", "A")
        .noted("tracks", "h265");
    let opened = spool.open_stream("cam", &changed).await.unwrap();
    assert_eq!(
        (
            opened.changes[0].before.as_deref(),
            opened.changes[0].now.as_deref()
        ),
        (Some("h264"), Some("h265"))
    );
}

#[tokio::test]
async fn streams_whose_names_differ_in_case_or_are_odd_live_side_by_side() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(dir.path(), small()).unwrap();
    let long = "L".repeat(256);
    let names = ["..", ".", "Cam", "cam", "con", long.as_str()];
    for name in names {
        let store = spool
            .open_stream(name, &StreamIdentity::new())
            .await
            .unwrap()
            .store;
        append(&store, 0..1, 10).await;
        store.flush().await.unwrap();
    }
    let mut expected: Vec<String> = names.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(spool.streams().await.unwrap(), expected);
    spool.close().await;
    assert_eq!(inspect::streams(dir.path()).unwrap(), expected);
    for name in names {
        assert_eq!(
            StreamInspection::open(dir.path(), name).unwrap().items().count(),
            1
        );
    }
}

async fn written(dir: &Path) {
    let (spool, opened) = open(dir, &small()).await;
    append(&opened.store, 0..200, 1_000).await;
    opened
        .store
        .put_blob("tracks", Bytes::from_static(b"codec"))
        .await
        .unwrap();
    drop(opened);
    spool.close().await;
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_flipped_payload_bit_costs_that_item_only() {
    let dir = TempDir::new().unwrap();
    written(dir.path()).await;
    let last = segments(dir.path()).pop().unwrap();
    let first = segments(dir.path()).remove(0);
    // The last segment is scanned when opened; the first has an index, and is found damaged when it is read.
    let len = last.metadata().unwrap().len() as usize;
    flip(&last, len - 10);
    flip(
        &first,
        segment::HEADER_LEN + RECORD_LEN + (1_000 + RECORD_LEN) * 3 + 500,
    );
    let (_spool, opened) = open(dir.path(), &small()).await;
    assert_eq!(
        (opened.recovery.damaged_items, opened.recovery.orphaned_items),
        (1, 0)
    );
    assert_eq!(opened.recovery.damage[0].seq, Some(199));
    let seqs = read_all(&opened.store, 0, 1_000).await;
    assert_eq!(seqs, (0..199).filter(|seq| *seq != 3).collect::<Vec<_>>());
    assert_eq!(
        opened.store.read(3).await.unwrap_err().kind(),
        StoreErrorKind::Corrupt
    );
    assert_eq!(
        opened.store.next_seq(),
        200,
        "a lost item's number isn't used again"
    );
}

#[tokio::test]
async fn a_flipped_header_or_index_costs_no_other_item() {
    let dir = TempDir::new().unwrap();
    written(dir.path()).await;
    for path in segments(dir.path()) {
        flip(&path, 3);
        let len = path.metadata().unwrap().len() as usize;
        if path != *segments(dir.path()).last().unwrap() {
            flip(&path, len - 1);
        }
    }
    let (_spool, opened) = open(dir.path(), &small()).await;
    assert_eq!(
        read_all(&opened.store, 0, 1_000).await,
        (0..200).collect::<Vec<_>>()
    );
    assert!(opened.recovery.garbage_bytes > 0);
}

#[tokio::test]
async fn a_lost_key_frame_takes_its_fragment_along() {
    let dir = TempDir::new().unwrap();
    let options = SpoolOptions::default();
    let (spool, opened) = open(dir.path(), &options).await;
    append(&opened.store, 0..30, 1_000).await;
    drop(opened);
    spool.close().await;
    let path = segments(dir.path()).remove(0);
    flip(&path, segment::HEADER_LEN + 10 * (1_000 + RECORD_LEN) + 200);
    let (_spool, opened) = open(dir.path(), &options).await;
    assert_eq!(
        (opened.recovery.damaged_items, opened.recovery.orphaned_items),
        (1, 9)
    );
    assert_eq!(
        read_all(&opened.store, 0, 1_000).await,
        (0..10).chain(20..30).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn files_cut_anywhere_keep_what_is_whole() {
    let dir = TempDir::new().unwrap();
    written(dir.path()).await;
    let last = segments(dir.path()).pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    let (_, opened) = open(dir.path(), &small()).await;
    let first_there = *read_all(&opened.store, 0, 1_000)
        .await
        .iter()
        .find(|seq| **seq % 10 == 0)
        .unwrap();
    assert_eq!(first_there, 0);
    drop(opened);
    for cut in [0, 1, 39, 40, 99, 100, 500, bytes.len() / 2, bytes.len() - 1] {
        // Each opening begins a new file; only the one cut is looked at.
        std::fs::write(&last, &bytes[..cut]).unwrap();
        let inspection = StreamInspection::open(dir.path(), "cam").unwrap();
        let seqs: Vec<u64> = inspection.items().map(|item| item.unwrap().meta.seq).collect();
        assert!(
            seqs.iter().copied().eq(0..seqs.len() as u64),
            "a prefix is left after a cut at {cut}"
        );
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    written(dir.path()).await;
    let path = segments(dir.path()).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 9;
    let crc = crc32c::crc32c(&bytes[..32]);
    bytes[32..36].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let spool = Spool::open(dir.path(), small()).unwrap();
    let error = spool
        .open_stream("cam", &StreamIdentity::new())
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), StoreErrorKind::UnsupportedFormat);
    assert!(error.to_string().contains("version 9"), "{error}");
}

#[tokio::test]
async fn an_inspection_lists_verifies_and_exports() {
    let dir = TempDir::new().unwrap();
    written(dir.path()).await;
    let inspection = StreamInspection::open(dir.path(), "cam").unwrap();
    assert_eq!(inspection.fragments().len(), 20);
    assert_eq!(inspection.blob_keys().unwrap(), ["tracks"]);
    assert_eq!(inspection.blob("tracks").unwrap().unwrap(), "codec");
    let verification = inspection.verify().unwrap();
    assert_eq!(
        (
            verification.whole_items,
            verification.damaged_items,
            verification.garbage_bytes
        ),
        (200, 0, 0)
    );
    let exported: Vec<Item> = inspection.items().map(Result::unwrap).collect();
    assert!(
        exported
            .iter()
            .all(|item| item.payload == payload(item.meta.seq, 1_000))
    );
    assert_eq!(exported.len(), 200);
    let missing = StreamInspection::open(dir.path(), "none").err().unwrap();
    assert_eq!(missing.kind(), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn receipts_follow_the_sync_policy() {
    let dir = TempDir::new().unwrap();
    let (_spool, opened) = open(dir.path(), &small()).await;
    let receipt = opened
        .store
        .append(&mut (0..10).map(|seq| item(seq, 10)).collect())
        .await
        .unwrap();
    // The next fragment's start completes this one.
    opened.store.append(&mut vec![item(10, 10)]).await.unwrap();
    receipt.wait().await.unwrap();
}
