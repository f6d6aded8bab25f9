//! A content store of one's own: a directory in which each item is an object, as in an object store.
//!
//! It shows what the seam asks for, and runs the conformance suite over itself:
//! `cargo run -p kvs-storage --features conformance --example directory_store`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kvs_storage::conformance::{StoreFixture, content_store};
use kvs_storage::{
    ContentStore, Durability, Item, ItemFlags, ItemMeta, StoreError, StoreErrorKind, StoreFuture,
    StoredFragment,
};

/// An object per item, named by its number; what was put last decides which numbers are free.
struct DirectoryStore {
    dir: PathBuf,
    /// What is held, without the payloads.
    held: RefCell<BTreeMap<u64, ItemMeta>>,
    next_seq: Cell<u64>,
}

impl DirectoryStore {
    fn open(dir: &Path) -> io::Result<DirectoryStore> {
        fs::create_dir_all(dir)?;
        let mut held = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("item-") {
                let meta = decode(&fs::read(entry.path())?).0;
                held.insert(meta.seq, meta);
            }
        }
        // Kept apart from the items, because all of them may be gone.
        let next_seq = match fs::read_to_string(dir.join("next")) {
            Ok(text) => text.parse().unwrap_or(0),
            Err(_) => 0,
        };
        Ok(DirectoryStore {
            dir: dir.to_owned(),
            held: RefCell::new(held),
            next_seq: Cell::new(next_seq),
        })
    }

    fn item_path(&self, seq: u64) -> PathBuf {
        self.dir.join(format!("item-{seq:020}"))
    }

    fn blob_path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        let starts_well = key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if starts_well && key.len() <= 64 && key.chars().all(allowed) {
            return Ok(self.dir.join(format!("blob-{key}")));
        }
        Err(StoreError::new(StoreErrorKind::InvalidArgument).with_detail(format!("blob key {key:?}")))
    }

    fn take(&self, items: &mut Vec<Item>) -> Result<Durability, StoreError> {
        let mut expected = self.next_seq.get();
        for item in items.iter() {
            if item.meta.seq < expected {
                return Err(StoreError::new(StoreErrorKind::OutOfOrder).with_seq(item.meta.seq));
            }
            if item.meta.len as usize != item.payload.len() {
                return Err(StoreError::new(StoreErrorKind::InvalidArgument).with_seq(item.meta.seq));
            }
            expected = item.meta.seq + 1;
        }
        // The number first: an item that is there is then never numbered again.
        fs::write(self.dir.join("next"), expected.to_string()).map_err(StoreError::from_io)?;
        for item in items.iter() {
            fs::write(self.item_path(item.meta.seq), encode(item)).map_err(StoreError::from_io)?;
        }
        self.held
            .borrow_mut()
            .extend(items.drain(..).map(|item| (item.meta.seq, item.meta)));
        self.next_seq.set(expected);
        Ok(Durability::reached(expected))
    }

    fn load(&self, seq: u64) -> Result<Bytes, StoreError> {
        if !self.held.borrow().contains_key(&seq) {
            let before_tail = self.held.borrow().keys().next().is_none_or(|tail| seq < *tail);
            let released = seq < self.next_seq.get() && (before_tail || self.was_fragment(seq));
            let kind = if released {
                StoreErrorKind::Released
            } else {
                StoreErrorKind::NotFound
            };
            return Err(StoreError::new(kind).with_seq(seq));
        }
        let bytes = fs::read(self.item_path(seq)).map_err(StoreError::from_io)?;
        Ok(decode(&bytes).1)
    }

    /// A removed object leaves a mark, so that a release can be told from a gap.
    fn was_fragment(&self, seq: u64) -> bool {
        self.dir.join(format!("released-{seq:020}")).exists()
    }

    fn forget(&self, seqs: Range<u64>) -> Result<(), StoreError> {
        if seqs.is_empty() {
            return Ok(());
        }
        let gone: Vec<u64> = self.held.borrow().range(seqs).map(|(seq, _)| *seq).collect();
        for seq in gone {
            fs::rename(self.item_path(seq), self.dir.join(format!("released-{seq:020}")))
                .map_err(StoreError::from_io)?;
            self.held.borrow_mut().remove(&seq);
        }
        Ok(())
    }

    fn range(&self, seqs: Range<u64>, max_bytes: usize) -> Result<Vec<Item>, StoreError> {
        let metas: Vec<ItemMeta> = self.held.borrow().range(seqs).map(|(_, meta)| *meta).collect();
        let (mut items, mut bytes) = (Vec::new(), 0usize);
        for meta in metas {
            bytes = bytes.saturating_add(meta.len as usize);
            if bytes > max_bytes && !items.is_empty() {
                break;
            }
            items.push(Item::new(meta, self.load(meta.seq)?));
        }
        Ok(items)
    }

    fn fragments(&self) -> Vec<StoredFragment> {
        let mut fragments: Vec<StoredFragment> = Vec::new();
        for meta in self.held.borrow().values() {
            match fragments.last_mut() {
                Some(open) if !meta.flags.contains(ItemFlags::FRAGMENT_START) => open.extend(meta),
                _ => fragments.push(StoredFragment::starting_with(meta)),
            }
        }
        fragments
    }
}

fn encode(item: &Item) -> Vec<u8> {
    let ItemMeta {
        seq,
        pts,
        dts,
        duration,
        track,
        flags,
        ..
    } = item.meta;
    let mut bytes = Vec::with_capacity(40 + item.payload.len());
    for number in [seq, pts.cast_unsigned(), dts.cast_unsigned(), duration] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(
        &u64::from(track)
            .rotate_left(32)
            .wrapping_add(u64::from(flags.bits()))
            .to_be_bytes(),
    );
    bytes.extend_from_slice(&item.payload);
    bytes
}

fn decode(bytes: &[u8]) -> (ItemMeta, Bytes) {
    let number = |place: usize| {
        let bytes = bytes
            .get(place * 8..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .unwrap_or_default();
        u64::from_be_bytes(bytes)
    };
    let payload = bytes.get(40..).unwrap_or_default();
    let meta = ItemMeta {
        seq: number(0),
        pts: number(1).cast_signed(),
        dts: number(2).cast_signed(),
        duration: number(3),
        track: (number(4) >> 32) as u8,
        flags: ItemFlags::from_bits(number(4) as u16),
        len: payload.len() as u32,
    };
    (meta, Bytes::copy_from_slice(payload))
}

impl ContentStore for DirectoryStore {
    fn next_seq(&self) -> u64 {
        self.next_seq.get()
    }

    fn append<'a>(&'a self, items: &'a mut Vec<Item>) -> StoreFuture<'a, Durability> {
        StoreFuture::ready(self.take(items))
    }

    fn read(&self, seq: u64) -> StoreFuture<'_, Bytes> {
        StoreFuture::ready(self.load(seq))
    }

    fn read_range(&self, seqs: Range<u64>, max_bytes: usize) -> StoreFuture<'_, Vec<Item>> {
        StoreFuture::ready(self.range(seqs, max_bytes))
    }

    fn release(&self, seqs: Range<u64>) -> StoreFuture<'_, ()> {
        StoreFuture::ready(self.forget(seqs))
    }

    fn backlog(&self) -> StoreFuture<'_, Vec<StoredFragment>> {
        StoreFuture::ready(Ok(self.fragments()))
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        StoreFuture::ready(Ok(()))
    }

    fn put_blob<'a>(&'a self, key: &'a str, value: Bytes) -> StoreFuture<'a, ()> {
        StoreFuture::ready(
            self.blob_path(key)
                .and_then(|path| fs::write(path, value).map_err(StoreError::from_io)),
        )
    }

    fn get_blob<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        StoreFuture::ready(self.blob_path(key).and_then(|path| match fs::read(path) {
            Ok(value) => Ok(Some(value.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::from_io(error)),
        }))
    }

    fn remove_blob<'a>(&'a self, key: &'a str) -> StoreFuture<'a, ()> {
        StoreFuture::ready(self.blob_path(key).and_then(|path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::from_io(error)),
            _ => Ok(()),
        }))
    }
}

/// A directory for each store.
struct Fixture {
    root: tempfile::TempDir,
    stores: u32,
}

impl StoreFixture for Fixture {
    type Store = DirectoryStore;

    async fn create(&mut self) -> DirectoryStore {
        self.stores += 1;
        DirectoryStore::open(&self.root.path().join(self.stores.to_string())).expect("a directory")
    }

    async fn reopen(&mut self, store: DirectoryStore) -> Option<DirectoryStore> {
        Some(DirectoryStore::open(&store.dir).expect("a directory"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    content_store(&mut Fixture {
        root: tempfile::tempdir()?,
        stores: 0,
    })
    .await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_objects_keeps_every_promise_of_the_seam() {
        main().unwrap();
    }
}
