//! The spool on a simulated disk: many lives, each ended by a power cut, checked against a model after each.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

mod disk;

use disk::{Faults, SimDisk};

use super::disk::Disk;
use super::load::Loader;
use super::options::{SpoolOptions, SyncPolicy};
use super::recovery;
use super::sabotage::{self, Sabotage};
use super::stream::{Gauge, Stream, TryAppend};
use super::writer::{Progress, StreamWriter};
use crate::{Item, ItemFlags, ItemMeta, StoreErrorKind};

/// What the world knows of the stream, apart from the spool.
#[derive(Debug, Default)]
struct Model {
    /// Everything appended and not known to be lost: which appending of that number it was, and the item.
    items: BTreeMap<u64, ModelItem>,
    /// Below this, everything was promised to survive.
    promised_end: u64,
    /// Released, whether or not that would survive.
    released: BTreeSet<u64>,
    /// Released, and promised to stay so.
    gone: BTreeSet<u64>,
    /// The numbers that were promised or found in use before the last crash end here.
    used_end: u64,
    appended: u64,
    next_seq: u64,
    fragment: u64,
    /// A sync failed in a life that has no syncs of its own: like a file that rots later, a complete segment may then go on
    /// with a fragment whose key frame is lost in an earlier one. That shows when it is read, not when it is recovered.
    may_lack_keys: bool,
}

#[derive(Debug, Clone, Copy)]
struct ModelItem {
    nonce: u64,
    meta: ItemMeta,
    fragment: u64,
}

/// Bytes that no other appending has: a pattern of its number.
fn payload(nonce: u64, len: u32) -> Bytes {
    let pattern = nonce.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    Bytes::from(pattern.repeat((len as usize).div_ceil(pattern.len()))).slice(..len as usize)
}

/// One spool in one life.
struct Life {
    stream: Stream,
    writer: StreamWriter,
    loader: Loader,
    sync_failed: bool,
}

struct World {
    rng: fastrand::Rng,
    disk: SimDisk,
    model: Model,
    options: SpoolOptions,
}

/// What a run had to do with.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    lives: u64,
    checked: u64,
    lost_unpromised: u64,
    came_back: u64,
}

type Verdict = Result<(), String>;

macro_rules! verify {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

fn dir() -> PathBuf {
    PathBuf::from("/spool/s-cam")
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5EED);
        let sync = if rng.u8(..4) == 0 {
            SyncPolicy::Never
        } else {
            SyncPolicy::EachFragment
        };
        let mut options = SpoolOptions::default()
            .sync(sync)
            .memory(rng.u64(2_000..20_000))
            .read_ahead(4_096);
        // Below the limits of the public settings, so that a short run crosses many segments.
        options.segment_bytes = rng.u64(600..4_000);
        World {
            rng,
            disk: SimDisk::new(seed),
            model: Model::default(),
            options,
        }
    }

    fn run(&mut self, lives: u32, tally: &mut Tally) -> Verdict {
        for _ in 0..lives {
            let mut life = self.begin(tally)?;
            tally.lives += 1;
            let faults = |rng: &mut fastrand::Rng| if rng.bool() { 0 } else { rng.u32(5..60) };
            let faults = Faults {
                no_space: faults(&mut self.rng),
                device: faults(&mut self.rng),
                short_write: if self.rng.bool() { 0 } else { self.rng.u32(2..20) },
            };
            self.disk.set_faults(faults);
            self.disk.cut_power_after(self.rng.u32(1..100));
            let mut n = 0;
            while !self.disk.is_off() {
                n += 1;
                if n > 100000 {
                    panic!("steps loop {:?}", life.stream.state().failure);
                }
                self.step(&mut life)?;
            }
            self.model.may_lack_keys |= life.sync_failed && self.options.sync == SyncPolicy::Never;
            drop(life);
            self.disk.crash();
        }
        self.begin(tally).map(|_| ())
    }

    /// Opens what the last life left, and checks it.
    fn begin(&mut self, tally: &mut Tally) -> Result<Life, String> {
        // The power may go during recovery too: reading changes nothing, so it may be done again.
        if self.rng.u8(..4) == 0 {
            self.disk.cut_power_after(self.rng.u32(1..6));
            let _ = recovery::recover(&self.disk, &dir());
            self.disk.crash();
        }
        let recovered =
            recovery::recover(&self.disk, &dir()).map_err(|error| format!("recovery failed: {error}"))?;
        let (next_seq, writer) = (recovered.next_seq, StreamWriter::new(&recovered));
        let gauge = Arc::new(Gauge::default());
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let stream = Stream::new(
            "cam".to_owned(),
            dir(),
            disk,
            self.options.clone(),
            gauge,
            recovered,
        );
        let mut life = Life {
            stream,
            writer,
            loader: Loader::default(),
            sync_failed: false,
        };
        let found = life.read(0..next_seq)?;
        self.check(&found, next_seq, tally)?;
        Ok(life)
    }

    fn check(&mut self, found: &[(ItemMeta, Bytes)], next_seq: u64, tally: &mut Tally) -> Verdict {
        verify!(
            found.is_sorted_by(|a, b| a.0.seq < b.0.seq),
            "items out of order or twice"
        );
        for (meta, bytes) in found {
            let Some(item) = self.model.items.get(&meta.seq) else {
                return Err(format!(
                    "item {} was never appended, or known to be lost",
                    meta.seq
                ));
            };
            verify!(
                item.meta == *meta && payload(item.nonce, meta.len) == *bytes,
                "item {} is corrupt",
                meta.seq
            );
            verify!(
                !self.model.gone.contains(&meta.seq),
                "item {} came back after a durable release",
                meta.seq
            );
            tally.checked += 1;
        }
        let seqs: BTreeSet<u64> = found.iter().map(|(meta, _)| meta.seq).collect();
        let needed = |seq: &u64| *seq < self.model.promised_end && !self.model.released.contains(seq);
        if let Some(lost) = self
            .model
            .items
            .keys()
            .filter(|seq| needed(seq))
            .find(|seq| !seqs.contains(seq))
        {
            return Err(format!("item {lost} was promised to survive, and is lost"));
        }
        let used_end = self.model.used_end.max(self.model.promised_end);
        verify!(
            next_seq >= used_end,
            "numbers from {next_seq} on would be used again, up to {used_end} were"
        );
        for (meta, _) in found {
            let item = self.model.items[&meta.seq];
            let mut earlier = self
                .model
                .items
                .range(item.fragment..meta.seq)
                .map(|(_, item)| item.meta);
            let key = earlier.rfind(|meta| meta.flags.contains(ItemFlags::KEY));
            let is_key = meta.flags.contains(ItemFlags::KEY);
            let there = |key: ItemMeta| seqs.contains(&key.seq) || self.model.released.contains(&key.seq);
            let decodable = is_key || key.is_none_or(there) || self.model.may_lack_keys;
            verify!(decodable, "item {} is left without its key frame", meta.seq);
        }
        // What is there is there for good; what isn't never comes back.
        let before = self.model.items.len() as u64;
        self.model.items.retain(|seq, _| seqs.contains(seq));
        tally.lost_unpromised += before - self.model.items.len() as u64;
        tally.came_back += seqs
            .iter()
            .filter(|seq| self.model.released.contains(seq))
            .count() as u64;
        self.model.released.clear();
        self.model.gone.clear();
        self.model.promised_end = next_seq;
        self.model.used_end = next_seq;
        self.model.next_seq = next_seq;
        self.model.fragment = next_seq;
        Ok(())
    }

    fn step(&mut self, life: &mut Life) -> Verdict {
        match self.rng.u8(..20) {
            0..=6 => self.append(life),
            7..=11 => self.release(life),
            12..=15 => drop(life.write()),
            16..=17 => self.sync(life),
            18 => self.flush(life),
            _ => self.read_back(life)?,
        }
        if self.options.sync != SyncPolicy::Never {
            self.model.promised_end = self.model.promised_end.max(life.stream.state().durable_end());
        }
        Ok(())
    }

    fn append(&mut self, life: &mut Life) {
        let mut batch = Vec::new();
        let mut accepted = Vec::new();
        let (mut seq, mut fragment) = (self.model.next_seq, self.model.fragment);
        for _ in 0..self.rng.u8(1..5) {
            seq += u64::from(self.rng.u8(..8) == 0);
            let opening = seq == self.model.next_seq && !self.model.items.contains_key(&fragment);
            let mut flags = ItemFlags::NONE;
            if opening || self.rng.u8(..5) == 0 {
                fragment = seq;
                flags = ItemFlags::FRAGMENT_START;
                if self.rng.u8(..5) > 0 {
                    flags.insert(ItemFlags::KEY);
                }
            } else if self.rng.u8(..9) == 0 {
                flags.insert(ItemFlags::KEY);
            }
            let len = if self.rng.u8(..20) == 0 {
                self.rng.u32(..9_000)
            } else {
                self.rng.u32(..500)
            };
            self.model.appended += 1;
            let pts = self.rng.i64(..);
            let meta = ItemMeta {
                seq,
                pts,
                dts: pts,
                duration: self.rng.u64(..),
                track: 1,
                flags,
                len,
            };
            let item = ModelItem {
                nonce: self.model.appended,
                meta,
                fragment,
            };
            batch.push(Item::new(meta, payload(item.nonce, len)));
            accepted.push(item);
            seq += 1;
        }
        match life.stream.try_append(&mut batch) {
            TryAppend::Taken(_) => {
                self.model
                    .items
                    .extend(accepted.into_iter().map(|item| (item.meta.seq, item)));
                (self.model.next_seq, self.model.fragment) = (seq, fragment);
            }
            TryAppend::NoRoom => self.flush(life),
            TryAppend::Refused(error) => {
                assert!(error.is_disk() || error.kind() == StoreErrorKind::Full, "{error}");
            }
        }
    }

    fn release(&mut self, life: &mut Life) {
        let held: Vec<u64> = self
            .model
            .items
            .keys()
            .copied()
            .filter(|seq| !self.model.released.contains(seq))
            .collect();
        let Some(first) = held.first().copied() else {
            return;
        };
        let range = match self.rng.u8(..4) {
            0 => first..held[self.rng.usize(..held.len())] + 1,
            1 => 0..held[self.rng.usize(..held.len().div_ceil(2))] + 1,
            _ => {
                let fragment = self.model.items[&held[self.rng.usize(..held.len())]].fragment;
                let end = self
                    .model
                    .items
                    .values()
                    .filter(|item| item.fragment == fragment)
                    .map(|item| item.meta.seq);
                fragment..end.max().unwrap_or(fragment) + 1
            }
        };
        life.stream.release(range.clone());
        self.model
            .released
            .extend(self.model.items.range(range).map(|(seq, _)| *seq));
    }

    fn sync(&mut self, life: &mut Life) {
        let written = life.stream.state().written_end();
        let releases_written = !life.stream.state().has_pending_releases();
        let synced = life.writer.sync(&life.stream);
        // Without syncs of its own the spool can't know what a failed one left: nothing more is promised.
        life.sync_failed |= synced.is_err();
        if synced.is_ok() {
            if !life.sync_failed
                && self.options.sync == SyncPolicy::Never
                && !life.stream.state().has_unsynced()
            {
                self.model.promised_end = self.model.promised_end.max(written);
            }
            if releases_written {
                self.model.gone.extend(&self.model.released);
            }
        }
    }

    fn flush(&mut self, life: &mut Life) {
        let mut n = 0;
        loop {
            n += 1;
            if n > 1000 {
                panic!("flush loops");
            }
            match life.write() {
                Ok(Progress::More) => {}
                Ok(Progress::Done) => break,
                Err(_) => return,
            }
        }
        self.sync(life);
    }

    /// Reads beside all the trouble: an error is fine, a wrong answer isn't.
    fn read_back(&mut self, life: &mut Life) -> Verdict {
        let (hot, items): (u64, Vec<(ItemMeta, Bytes)>) = {
            let state = life.stream.state();
            let items = state
                .ring()
                .items_from(0)
                .map(|item| (*item.meta, item.payload.clone()))
                .collect();
            (state.ring().first_seq(), items)
        };
        let from = self.rng.u64(..=hot);
        let Ok(cold) = life.read(from..hot) else {
            return Ok(());
        };
        let found: BTreeSet<u64> = cold.iter().chain(&items).map(|(meta, _)| meta.seq).collect();
        for (meta, bytes) in cold.iter().chain(&items) {
            let item = self
                .model
                .items
                .get(&meta.seq)
                .ok_or_else(|| format!("read {} from nowhere", meta.seq))?;
            verify!(
                item.meta == *meta && payload(item.nonce, meta.len) == *bytes,
                "read {} corrupt",
                meta.seq
            );
        }
        let held = self
            .model
            .items
            .range(from..)
            .map(|(seq, _)| *seq)
            .filter(|seq| !self.model.released.contains(seq));
        let missing: Vec<u64> = held.filter(|seq| !found.contains(seq)).collect();
        verify!(missing.is_empty(), "items {missing:?} are held and can't be read");
        Ok(())
    }
}

impl Life {
    /// A write may complete a segment, which syncs it.
    fn write(&mut self) -> Result<Progress, crate::StoreError> {
        let progress = self.writer.write(&self.stream);
        self.sync_failed |= progress.is_err();
        progress
    }

    fn read(&mut self, seqs: Range<u64>) -> Result<Vec<(ItemMeta, Bytes)>, String> {
        let (mut from, mut found) = (seqs.start, Vec::new());
        while from < seqs.end {
            let loaded = self
                .loader
                .load(&self.stream, from, seqs.end, 4_096)
                .map_err(|error| error.to_string())?;
            if loaded.covered_to <= from {
                return Err(format!("reading stands still at {from}"));
            }
            from = loaded.covered_to;
            let state = self.stream.state();
            let items = loaded.chunks.into_iter().flat_map(|chunk| chunk.items);
            found.extend(items.filter(|(meta, _)| !state.index.released().contains(meta.seq)));
        }
        Ok(found)
    }
}

fn simulate(seeds: Range<u64>, sabotaged: Option<Sabotage>) -> Result<Tally, (u64, String)> {
    let _guard = sabotage::make(sabotaged);
    let mut tally = Tally::default();
    for seed in seeds {
        World::new(seed)
            .run(4, &mut tally)
            .map_err(|verdict| (seed, verdict))?;
    }
    Ok(tally)
}

/// Seeds of the everyday run; the environment variable `KVS_SPOOL_SEEDS` asks for more.
fn seeds() -> u64 {
    std::env::var("KVS_SPOOL_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(500)
}

#[test]
fn no_power_cut_or_disk_fault_loses_what_was_promised() {
    match simulate(0..seeds(), None) {
        Ok(tally) => {
            assert!(
                tally.checked > 0 && tally.lost_unpromised > 0 && tally.came_back > 0,
                "{tally:?}"
            );
            println!("{} seeds: {tally:?}", seeds());
        }
        Err((seed, verdict)) => panic!("seed {seed}: {verdict} {:?}", World::new(seed).options),
    }
}

#[test]
fn deliberately_broken_spools_are_caught() {
    for sabotaged in [
        Sabotage::MarkBeforeSync,
        Sabotage::TrustFailedSync,
        Sabotage::NoSnapshot,
        Sabotage::RemoveBeforeSync,
        Sabotage::NoPayloadCheck,
        Sabotage::NoDirectorySync,
        Sabotage::IgnoreShortWrite,
        Sabotage::ReuseNumbers,
    ] {
        match simulate(0..1_000, Some(sabotaged)) {
            Ok(tally) => panic!("{sabotaged:?} went unnoticed: {tally:?}"),
            Err((seed, verdict)) => println!("{sabotaged:?}: seed {seed}: {verdict}"),
        }
    }
}

/// Flips single bits in what a life left behind: nothing corrupt is ever read, and a flip costs one fragment at most.
fn flip_bits(seeds: Range<u64>, sabotaged: Option<Sabotage>) -> Result<(), (u64, String)> {
    let _guard = sabotage::make(sabotaged);
    for seed in seeds {
        let mut world = World::new(seed);
        world
            .run(1, &mut Tally::default())
            .map_err(|verdict| (seed, verdict))?;
        let before = survivors(&world);
        if !world.disk.flip_a_bit() {
            continue;
        }
        let after = survivors(&world);
        let lost = before.keys().filter(|seq| !after.contains_key(seq));
        let fragments: BTreeSet<u64> = lost.map(|seq| world.model.items[seq].fragment).collect();
        if fragments.len() > 1 {
            return Err((seed, format!("one flip cost fragments {fragments:?}")));
        }
        for (seq, bytes) in &after {
            // A flipped release may bring back what was delivered; it is whole all the same.
            let Some(item) = world.model.items.get(seq) else {
                continue;
            };
            if payload(item.nonce, item.meta.len) != *bytes {
                return Err((seed, format!("item {seq} is corrupt")));
            }
        }
    }
    Ok(())
}

#[test]
fn flipped_bits_are_skipped_and_never_delivered() {
    if let Err((seed, verdict)) = flip_bits(0..seeds(), None) {
        panic!("seed {seed}: {verdict}");
    }
}

#[test]
fn a_recovery_that_gives_up_early_is_caught() {
    let (seed, verdict) = flip_bits(0..1_000, Some(Sabotage::StopAtDamage)).unwrap_err();
    println!("{:?}: seed {seed}: {verdict}", Sabotage::StopAtDamage);
}

fn survivors(world: &World) -> BTreeMap<u64, Bytes> {
    let recovered = recovery::recover(&world.disk, Path::new(&dir())).unwrap();
    let (next_seq, gauge) = (recovered.next_seq, Arc::new(Gauge::default()));
    let writer = StreamWriter::new(&recovered);
    let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
    let stream = Stream::new(
        "cam".to_owned(),
        dir(),
        disk,
        world.options.clone(),
        gauge,
        recovered,
    );
    let mut life = Life {
        stream,
        writer,
        loader: Loader::default(),
        sync_failed: false,
    };
    life.read(0..next_seq)
        .unwrap()
        .into_iter()
        .map(|(meta, bytes)| (meta.seq, bytes))
        .collect()
}
