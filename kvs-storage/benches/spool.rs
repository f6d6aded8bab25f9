//! Append throughput of the spool, each run beside a plain buffered write of the same bytes: `cargo bench -p kvs-storage`.
//!
//! A disk's sequential rate swings, so runs are interleaved and compared in pairs; the median of the pairs is printed. This
//! is a program rather than a criterion group, because a pair can't be timed apart.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvs_storage::spool::{Spool, SpoolOptions, StreamIdentity, SyncPolicy};
use kvs_storage::{ContentStore, Item, ItemFlags, ItemMeta};

const PAIRS: usize = 5;
const FRAMES_PER_FRAGMENT: u64 = 30;

fn main() {
    let root = std::env::var_os("KVS_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let megabytes: u64 = std::env::var("KVS_BENCH_MB")
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(256);
    let policies = [
        ("never", SyncPolicy::Never),
        ("every 100 ms", SyncPolicy::Interval(Duration::from_millis(100))),
        ("each fragment", SyncPolicy::EachFragment),
    ];
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").expect("stdout");
    for frame in [10_000usize, 100_000] {
        for (name, policy) in policies {
            let mut runs: Vec<Run> = (0..PAIRS)
                .map(|_| pair(&root, megabytes << 20, frame, policy))
                .collect();
            runs.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
            let median = &runs[PAIRS / 2];
            say(format!(
                "append, {frame} B frames, sync {name}: {:.0} MB/s, {:.0} records/s, {:.2} of a plain write ({:.0} MB/s), \
                 append p99 {:.1} µs",
                median.spool_rate() / 1e6,
                median.spool_rate() / frame as f64,
                median.ratio(),
                median.plain_rate() / 1e6,
                median.p99.as_secs_f64() * 1e6,
            ));
        }
    }
    let (seconds, gigabytes, memory) = recovery(&root, megabytes << 20);
    say(format!(
        "recovery: {:.2} ms per GB, {memory} KiB of resident memory more",
        seconds * 1e3 / gigabytes
    ));
}

struct Run {
    bytes: u64,
    spool: Duration,
    plain: Duration,
    p99: Duration,
}

impl Run {
    fn spool_rate(&self) -> f64 {
        self.bytes as f64 / self.spool.as_secs_f64()
    }

    fn plain_rate(&self) -> f64 {
        self.bytes as f64 / self.plain.as_secs_f64()
    }

    fn ratio(&self) -> f64 {
        self.spool_rate() / self.plain_rate()
    }
}

fn pair(root: &Path, bytes: u64, frame: usize, policy: SyncPolicy) -> Run {
    let dir = tempfile::tempdir_in(root).expect("a directory");
    let payload = Bytes::from((0..frame).map(|place| (place * 31) as u8).collect::<Vec<u8>>());
    let plain = plain_write(&dir.path().join("plain"), bytes, &payload);
    let (spool, p99) = spool_write(&dir.path().join("spool"), bytes, &payload, policy);
    Run {
        bytes,
        spool,
        plain,
        p99,
    }
}

/// Pieces of 64 KiB, and one sync at the end.
fn plain_write(path: &Path, bytes: u64, payload: &Bytes) -> Duration {
    let start = Instant::now();
    let mut file = std::io::BufWriter::with_capacity(64 << 10, File::create(path).expect("a file"));
    for _ in 0..bytes / payload.len() as u64 {
        // A piece at a time, so that the buffer isn't passed by.
        payload
            .chunks(32 << 10)
            .for_each(|piece| file.write_all(piece).expect("a write"));
    }
    file.into_inner().expect("a flush").sync_all().expect("a sync");
    let elapsed = start.elapsed();
    fs::remove_file(path).expect("a removal");
    elapsed
}

fn options(policy: SyncPolicy) -> SpoolOptions {
    SpoolOptions::default().sync(policy).max_bytes_per_stream(1 << 40)
}

fn spool_write(dir: &Path, bytes: u64, payload: &Bytes, policy: SyncPolicy) -> (Duration, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let spool = Spool::open(dir, options(policy)).expect("a spool");
        let store = spool
            .open_stream("bench", &StreamIdentity::new())
            .await
            .expect("a stream")
            .store;
        let mut waits = Vec::new();
        let mut batch = Vec::with_capacity(1);
        let start = Instant::now();
        for seq in 0..bytes / payload.len() as u64 {
            let key = seq.is_multiple_of(FRAMES_PER_FRAGMENT);
            let flags = if key {
                ItemFlags::FRAGMENT_START.with(ItemFlags::KEY)
            } else {
                ItemFlags::NONE
            };
            let (pts, len) = (seq as i64 * 40_000_000, payload.len() as u32);
            let meta = ItemMeta {
                seq,
                pts,
                dts: pts,
                duration: 40_000_000,
                track: 1,
                flags,
                len,
            };
            batch.push(Item::new(meta, payload.clone()));
            let asked = Instant::now();
            store.append(&mut batch).await.expect("an append");
            waits.push(asked.elapsed());
        }
        store.flush().await.expect("a flush");
        let elapsed = start.elapsed();
        waits.sort();
        let p99 = waits[waits.len() * 99 / 100];
        drop(store);
        spool.close().await;
        (elapsed, p99)
    })
}

/// Seconds to open a backlog, its size, and what it costs in memory.
fn recovery(root: &Path, bytes: u64) -> (f64, f64, u64) {
    let dir = tempfile::tempdir_in(root).expect("a directory");
    let payload = Bytes::from(vec![7; 10_000]);
    spool_write(dir.path(), bytes, &payload, SyncPolicy::Never);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let before = resident_kib();
        let start = Instant::now();
        let spool = Spool::open(dir.path(), options(SyncPolicy::Never)).expect("a spool");
        let opened = spool
            .open_stream("bench", &StreamIdentity::new())
            .await
            .expect("a stream");
        let elapsed = start.elapsed().as_secs_f64();
        let mut from = 0;
        loop {
            let items = opened
                .store
                .read_range(from..u64::MAX, 1 << 20)
                .await
                .expect("a range");
            let Some(last) = items.last() else { break };
            from = last.meta.seq + 1;
        }
        assert_eq!(from, bytes / payload.len() as u64, "the whole backlog is read");
        (elapsed, bytes as f64 / 1e9, resident_kib().saturating_sub(before))
    })
}

/// Resident memory, where the system tells (Linux).
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
