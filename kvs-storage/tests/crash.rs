//! A producer is killed in the middle of its work, again and again: what it was promised is there, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test in which every step must succeed")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::{BufMut, Bytes, BytesMut};
use kvs_storage::spool::inspect::StreamInspection;
use kvs_storage::spool::{Spool, SpoolOptions, SpoolStore, StreamIdentity, SyncPolicy};
use kvs_storage::{ContentStore, Item, ItemFlags, ItemMeta, StoredFragment};

const STREAMS: [&str; 3] = ["front-door", "Yard.2", "gate"];
const DIR: &str = "KVS_CRASH_DIR";
const LIFE: &str = "KVS_CRASH_LIFE";

/// Kills of the everyday run; the environment variable `KVS_SPOOL_KILLS` asks for more.
fn kills() -> u64 {
    std::env::var("KVS_SPOOL_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(12)
}

/// Bytes that tell which life made them, and that are all there.
fn payload(life: u64, seq: u64, len: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(len + 16);
    bytes.put_u64(life);
    bytes.put_u64(seq);
    let pattern = (life ^ seq.rotate_left(17))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .to_le_bytes();
    bytes.extend((0..len).map(|place| pattern[place % 8].wrapping_add((place / 8) as u8)));
    bytes.freeze()
}

fn is_whole(item: &Item) -> bool {
    let number = |at: usize| u64::from_be_bytes(item.payload[at..at + 8].try_into().unwrap());
    item.payload.len() >= 16
        && number(8) == item.meta.seq
        && payload(number(0), item.meta.seq, item.payload.len() - 16) == item.payload
}

/// What the child told before it was killed.
#[derive(Debug, Default)]
struct Ledger {
    /// Told to be durable, or found on disk after a kill.
    promised: BTreeSet<u64>,
    /// Released, whether or not that was written down.
    released: BTreeSet<u64>,
    /// Released, and durably so.
    gone: BTreeSet<u64>,
}

#[test]
fn a_killed_producer_loses_nothing_it_was_promised() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = fastrand::Rng::with_seed(0xC0FFEE);
    let mut ledgers: BTreeMap<&str, Ledger> = STREAMS.iter().map(|name| (*name, Ledger::default())).collect();
    let (mut checked, mut came_back) = (0u64, 0u64);
    for life in 0..kills() {
        // Few lines hit the recovery, many the steady state.
        let lines = if rng.u8(..4) == 0 {
            rng.usize(0..4)
        } else {
            rng.usize(0..300)
        };
        run_and_kill(dir.path(), life, lines, &mut ledgers);
        for (name, ledger) in &mut ledgers {
            let (items, back) = check(dir.path(), name, ledger);
            checked += items;
            came_back += back;
        }
    }
    println!(
        "{} kills, {checked} records checked, 0 lost, {came_back} sent twice: their release was not durable",
        kills()
    );
    assert!(checked > 0);
}

fn run_and_kill(dir: &Path, life: u64, lines: usize, ledgers: &mut BTreeMap<&str, Ledger>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "the_producer_that_is_killed",
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .env(DIR, dir)
        .env(LIFE, life.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let first: Vec<String> = told
        .by_ref()
        .filter(|line| line.starts_with('@'))
        .take(lines)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had told by then holds as well.
    for line in first.into_iter().chain(told.filter(|line| line.starts_with('@'))) {
        note(&line, ledgers);
    }
}

fn note(line: &str, ledgers: &mut BTreeMap<&str, Ledger>) {
    // A line cut short by the kill has no end mark, and says nothing.
    let Some(line) = line.strip_suffix(" .") else {
        return;
    };
    let words: Vec<&str> = line.split(' ').collect();
    let [event, name, start, end] = words[..] else {
        panic!("{line}")
    };
    let (start, end): (u64, u64) = (start.parse().unwrap(), end.parse().unwrap());
    let ledger = ledgers.get_mut(name).unwrap();
    match event {
        "@durable" => ledger.promised.extend(start..end),
        "@releasing" => ledger.released.extend(start..end),
        "@released" => ledger.gone.extend(start..end),
        other => panic!("{other}"),
    }
}

/// Compares what is on disk with what was told. Returns how many items were there, and how many had been released.
fn check(dir: &Path, name: &str, ledger: &mut Ledger) -> (u64, u64) {
    let Ok(inspection) = StreamInspection::open(dir, name) else {
        assert!(ledger.promised.is_empty(), "the directory of {name} is gone");
        return (0, 0);
    };
    let items: Vec<Item> = inspection.items().map(Result::unwrap).collect();
    assert!(
        items.is_sorted_by(|a, b| a.meta.seq < b.meta.seq),
        "{name}: in order, and once each"
    );
    for item in &items {
        assert!(is_whole(item), "{name}: item {} is corrupt", item.meta.seq);
        assert!(
            !ledger.gone.contains(&item.meta.seq),
            "{name}: item {} came back",
            item.meta.seq
        );
    }
    let seqs: BTreeSet<u64> = items.iter().map(|item| item.meta.seq).collect();
    for seq in ledger.promised.difference(&ledger.released) {
        assert!(seqs.contains(seq), "{name}: item {seq} is lost");
    }
    let came_back = seqs.intersection(&ledger.released).count() as u64;
    // What came back is there to be delivered again, and is released again.
    ledger.released.retain(|seq| !seqs.contains(seq));
    // A process that is killed takes nothing with it that was written: what is there now stays.
    ledger.promised.clone_from(&seqs);
    (items.len() as u64, came_back)
}

/// The child. Without a directory to work in it is no test and does nothing.
#[test]
fn the_producer_that_is_killed() {
    let (Some(dir), Ok(life)) = (std::env::var_os(DIR), std::env::var(LIFE)) else {
        return;
    };
    let life: u64 = life.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(produce(Path::new(&dir), life));
}

async fn produce(dir: &Path, life: u64) {
    let sync = [SyncPolicy::EachFragment, SyncPolicy::Never][(life % 2) as usize];
    let options = SpoolOptions::default()
        .segment_bytes(64 << 10)
        .max_bytes_per_stream(1 << 20)
        .memory(128 << 10)
        .sync(sync);
    let spool = Spool::open(dir, options).unwrap();
    let mut cameras = Vec::new();
    for name in STREAMS {
        let store = spool
            .open_stream(name, &StreamIdentity::new().fixed("stream", name))
            .await
            .unwrap()
            .store;
        let fragments: VecDeque<StoredFragment> = store.backlog().await.unwrap().into();
        let first_seq = store.next_seq();
        cameras.push(Camera {
            name,
            store,
            first_seq,
            fragments,
            rng: fastrand::Rng::with_seed(life),
        });
    }
    loop {
        for camera in &mut cameras {
            camera.step(life).await;
        }
    }
}

struct Camera {
    name: &'static str,
    store: SpoolStore,
    /// Numbers below this were given away in earlier lives; some of them before a kill and for nothing.
    first_seq: u64,
    fragments: VecDeque<StoredFragment>,
    rng: fastrand::Rng,
}

impl Camera {
    fn tell(&self, event: &str, start: u64, end: u64) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n@{event} {} {start} {end} .", self.name).unwrap();
        out.flush().unwrap();
    }

    async fn step(&mut self, life: u64) {
        let first = self.store.next_seq();
        let mut batch: Vec<Item> = (first..first + 10)
            .map(|seq| self.item(life, seq, first))
            .collect();
        let metas: Vec<ItemMeta> = batch.iter().map(|item| item.meta).collect();
        while self.store.append(&mut batch).await.is_err() {
            self.release_oldest().await;
        }
        let mut fragment = StoredFragment::starting_with(&metas[0]);
        metas[1..].iter().for_each(|meta| fragment.extend(meta));
        self.fragments.push_back(fragment);
        if self.rng.u8(..3) == 0 {
            self.store.flush().await.unwrap();
            self.tell("durable", self.first_seq, self.store.next_seq());
        }
        if self.rng.u8(..3) == 0 {
            self.release_oldest().await;
        }
    }

    fn item(&mut self, life: u64, seq: u64, first: u64) -> Item {
        let payload = payload(life, seq, self.rng.usize(..3_000));
        let flags = if seq == first {
            ItemFlags::FRAGMENT_START.with(ItemFlags::KEY)
        } else {
            ItemFlags::NONE
        };
        let pts = seq.cast_signed() * 40_000_000;
        let len = u32::try_from(payload.len()).unwrap();
        Item::new(
            ItemMeta {
                seq,
                pts,
                dts: pts,
                duration: 40_000_000,
                track: 1,
                flags,
                len,
            },
            payload,
        )
    }

    async fn release_oldest(&mut self) {
        let Some(oldest) = self.fragments.pop_front() else {
            return;
        };
        self.tell("releasing", oldest.first_seq, oldest.end_seq);
        self.store
            .release(oldest.first_seq..oldest.end_seq)
            .await
            .unwrap();
        if self.rng.bool() {
            self.store.flush().await.unwrap();
            self.tell("released", oldest.first_seq, oldest.end_seq);
        }
    }
}
