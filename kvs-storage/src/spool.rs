//! A durable spool: media that survives the process and the power.
//!
//! Each stream has a directory with an append-only log of segment files. One thread writes all streams and syncs them in
//! groups; another reads and recovers; nothing blocks a caller. What is appended is readable at once, from memory; when it
//! is durable is the [`SyncPolicy`]'s matter, and the receipt of the append tells. What was released is written down too, so
//! that a restart delivers only what is left.
//!
//! # After a crash
//!
//! Opening a stream reads what its directory holds: the index at the end of each complete segment, and record by record
//! what the crash left incomplete. Torn tails, lost pages, flipped bits and half-made headers cost exactly the records they
//! hit; the rest is delivered, and the [`RecoveryReport`] names each place. A fragment whose key frame is lost is dropped as
//! a whole. Old files are never changed, so a crash during recovery is harmless.
//!
//! # While the disk fails
//!
//! A full, failing or vanished disk is a typed error on receipts, flushes and [`Spool::watch_failures`], never a silent
//! loss: items stay in memory, are written again elsewhere once the disk recovers, and when memory is full, appends are
//! refused with the disk's error and give the items back.
//!
//! ```
//! use bytes::Bytes;
//! use kvs_storage::spool::{Spool, SpoolOptions, StreamIdentity};
//! use kvs_storage::{ContentStore, Item, ItemFlags, ItemMeta};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let spool = Spool::open(dir.path(), SpoolOptions::default())?;
//! let opened = spool.open_stream("front-door", &StreamIdentity::new().fixed("region", "us-west-2")).await?;
//! let meta = ItemMeta {
//!     seq: opened.store.next_seq(), pts: 0, dts: 0, duration: 0, track: 1,
//!     flags: ItemFlags::KEY.with(ItemFlags::FRAGMENT_START), len: 5,
//! };
//! let receipt = opened.store.append(&mut vec![Item::new(meta, Bytes::from_static(b"frame"))]).await?;
//! opened.store.flush().await?;
//! assert!(receipt.is_reached());
//! # Ok(())
//! # }
//! ```

mod blob;
mod disk;
mod engine;
mod entry;
mod identity;
mod index;
pub mod inspect;
mod load;
mod name;
mod options;
mod reader;
mod recovery;
mod released;
#[cfg(test)]
mod sabotage;
mod scan;
mod segment;
#[cfg(test)]
mod sim;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

pub use disk::{DirEntry, Disk, DiskFile, DiskLock, EntryKind, OsDisk};
pub use engine::Failures;
pub use identity::{IdentityChange, StreamIdentity};
pub use options::{SpoolOptions, SyncPolicy};
pub use recovery::{Damage, RecoveryReport};
pub use store::SpoolStore;

use crate::{StoreError, StoreErrorKind};
use engine::Engine;
use stream::Stream;
use writer::StreamWriter;

/// A directory of streams on disk, opened by one process at a time.
pub struct Spool {
    engine: Arc<Engine>,
    open: Mutex<BTreeMap<String, Weak<Stream>>>,
}

/// A stream, opened.
pub struct OpenedStream {
    /// Its store. What is left to deliver is its [backlog](crate::ContentStore::backlog).
    pub store: SpoolStore,
    /// What was found, and what could not be saved.
    pub recovery: RecoveryReport,
    /// Facts that are others than when it was last open.
    pub changes: Vec<IdentityChange>,
}

impl Spool {
    /// Opens a spool, making its directory if it isn't there. Blocks for a few system calls.
    ///
    /// # Errors
    /// `Locked` if another process, or this one, has it open; otherwise a disk error.
    pub fn open(dir: impl AsRef<Path>, options: SpoolOptions) -> Result<Spool, StoreError> {
        Spool::open_on(Arc::new(OsDisk), dir, options)
    }

    /// Opens a spool on another [`Disk`].
    ///
    /// # Errors
    /// See [`open`](Spool::open).
    pub fn open_on(
        disk: Arc<dyn Disk>,
        dir: impl AsRef<Path>,
        options: SpoolOptions,
    ) -> Result<Spool, StoreError> {
        let dir = dir.as_ref();
        disk.create_dir_all(dir)
            .map_err(|error| StoreError::from_io(error).with_path(dir))?;
        let lock_path = dir.join("lock");
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => StoreError::new(StoreErrorKind::Locked).with_path(dir),
            _ => StoreError::from_io(error).with_path(&lock_path),
        })?;
        let engine = Engine::start(disk, dir.to_owned(), options.clamped(), lock)?;
        Ok(Spool {
            engine,
            open: Mutex::default(),
        })
    }

    /// Opens a stream: makes its directory, or recovers what is in it.
    ///
    /// # Errors
    /// `Locked` if the stream is open already, `IdentityMismatch` if its directory was made for something else,
    /// `UnsupportedFormat`, or a disk error.
    pub async fn open_stream(
        &self,
        name: &str,
        identity: &StreamIdentity,
    ) -> Result<OpenedStream, StoreError> {
        if self.is_open(name) {
            return Err(StoreError::new(StoreErrorKind::Locked)
                .with_detail("opened twice")
                .with_stream(name));
        }
        let dir = self.engine.root.join(name::encode(name));
        let (disk, root) = (Arc::clone(&self.engine.disk), self.engine.root.clone());
        let (options, gauge) = (self.engine.options.clone(), Arc::clone(&self.engine.gauge));
        let (stream_name, identity) = (name.to_owned(), identity.clone());
        let opening = self.engine.on_reader(move || {
            disk.create_dir_all(&dir)
                .map_err(|error| StoreError::from_io(error).with_path(&dir))?;
            // Each directory from the stream's up to the spool's may be new.
            for made in dir.ancestors().skip(1).take_while(|made| made.starts_with(&root)) {
                disk.sync_dir(made)
                    .map_err(|error| StoreError::from_io(error).with_path(made))?;
            }
            let changes = identity::check(&*disk, &dir, &identity)?;
            let mut recovered = recovery::recover(&*disk, &dir)?;
            let report = std::mem::take(&mut recovered.report);
            let writer = StreamWriter::new(&recovered);
            let stream = Arc::new(Stream::new(stream_name, dir, disk, options, gauge, recovered));
            Ok((stream, writer, report, changes))
        });
        let (stream, writer, recovery, changes) = opening.await.map_err(|error| error.with_stream(name))?;
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|_, stream| stream.strong_count() > 0);
            if open.contains_key(name) {
                return Err(StoreError::new(StoreErrorKind::Locked)
                    .with_detail("opened twice")
                    .with_stream(name));
            }
            open.insert(name.to_owned(), Arc::downgrade(&stream));
        }
        self.engine.register(&stream, writer);
        if !recovery.is_clean() {
            tracing::warn!(
                stream = name,
                ?recovery,
                "the spool was damaged; what is whole will be delivered"
            );
        }
        Ok(OpenedStream {
            store: SpoolStore::new(Arc::clone(&self.engine), stream),
            recovery,
            changes,
        })
    }

    fn is_open(&self, name: &str) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(name).is_some_and(|stream| stream.strong_count() > 0)
    }

    /// The names of the streams that have a directory here, sorted.
    ///
    /// # Errors
    /// A disk error.
    pub async fn streams(&self) -> Result<Vec<String>, StoreError> {
        let (disk, root) = (Arc::clone(&self.engine.disk), self.engine.root.clone());
        self.engine
            .on_reader(move || inspect::streams_on(&*disk, &root))
            .await
    }

    /// Streams whose disk fails now, and how: empty while all is well.
    #[must_use]
    pub fn watch_failures(&self) -> watch::Receiver<Failures> {
        self.engine.failures.subscribe()
    }

    /// Bytes of segment files still needed over all open streams, and of items on their way there.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.engine.gauge.disk.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Bytes of items in memory over all open streams, overhead included.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.engine
            .gauge
            .memory
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Waits until everything is written and durable, and the lock given back. Stores that are still open keep it from
    /// ending. Dropping a spool does the same in the background.
    pub async fn close(self) {
        let ended = self.engine.take_ended();
        drop(self);
        for thread in ended {
            // The sender is dropped, never used: its end is the message.
            let _ = thread.await;
        }
    }
}
