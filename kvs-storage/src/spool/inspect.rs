//! Looks into a spool's directory without opening it: to list, verify and export. Reads only, and needs no lock, so it may
//! run beside a producer; what that one has not written yet isn't seen.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{Disk, EntryKind, OsDisk};
use super::identity::{self, StreamIdentity};
use super::load::Loader;
use super::name::{self, Component};
use super::options::SpoolOptions;
use super::recovery::{self, RecoveryReport};
use super::segment;
use super::stream::{Gauge, Stream};
use super::{blob, scan};
use crate::{Item, StoreError, StoreErrorKind, StoredFragment};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// The names of the streams in a spool's directory, sorted. Blocks on the disk.
///
/// # Errors
/// A disk error; one that isn't there at all is [`Vanished`](StoreErrorKind::Vanished).
pub fn streams(dir: &Path) -> Result<Vec<String>, StoreError> {
    streams_on(&OsDisk, dir)
}

pub(crate) fn streams_on(disk: &dyn Disk, root: &Path) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let mut open = vec![(root.to_owned(), Vec::new())];
    while let Some((dir, prefix)) = open.pop() {
        let entries = disk
            .list(&dir)
            .map_err(|error| StoreError::from_io(error).with_path(&dir))?;
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Directory) {
            let path = dir.join(&entry.name);
            match name::decode(&entry.name) {
                Some(Component::Last(piece)) => {
                    found.extend(String::from_utf8([&prefix[..], &piece].concat()));
                }
                Some(Component::Continued(piece)) => open.push((path, [&prefix[..], &piece].concat())),
                None => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What a stream's directory holds. Every call blocks on the disk.
pub struct StreamInspection {
    stream: Stream,
    report: RecoveryReport,
}

/// What a full check of a stream's files found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Items whose checksums are right, delivered ones not yet removed included.
    pub whole_items: u64,
    /// Their payload bytes.
    pub whole_bytes: u64,
    /// Items whose payload fails its checksum.
    pub damaged_items: u64,
    /// Bytes that are no record.
    pub garbage_bytes: u64,
}

impl StreamInspection {
    /// Reads what the stream's directory holds. Nothing is changed.
    ///
    /// # Errors
    /// `NotFound` if the stream has no directory here, `UnsupportedFormat`, or a disk error.
    pub fn open(dir: &Path, stream: &str) -> Result<StreamInspection, StoreError> {
        StreamInspection::open_on(Arc::new(OsDisk), dir, stream)
    }

    /// The same on another [`Disk`].
    ///
    /// # Errors
    /// See [`open`](StreamInspection::open).
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, stream: &str) -> Result<StreamInspection, StoreError> {
        let dir = dir.join(name::encode(stream));
        if disk
            .list(&dir)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        {
            return Err(StoreError::new(StoreErrorKind::NotFound)
                .with_stream(stream)
                .with_path(&dir));
        }
        let mut recovered = recovery::recover(&*disk, &dir).map_err(|error| error.with_stream(stream))?;
        let report = std::mem::take(&mut recovered.report);
        let (options, gauge) = (SpoolOptions::default(), Arc::new(Gauge::default()));
        let stream = Stream::new(stream.to_owned(), dir, disk, options, gauge, recovered);
        Ok(StreamInspection { stream, report })
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.stream.name
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.stream.dir
    }

    /// What recovery would find.
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// Bytes of segment files.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.stream.state().index.disk_bytes()
    }

    /// What the directory was made for; `None` if nothing was written down.
    ///
    /// # Errors
    /// `Corrupt`, or a disk error.
    pub fn identity(&self) -> Result<Option<StreamIdentity>, StoreError> {
        identity::read(&*self.stream.disk, &self.stream.dir).map_err(|error| self.stream.error(error))
    }

    /// The keys of the opaque blobs kept for the stream, sorted.
    ///
    /// # Errors
    /// A disk error.
    pub fn blob_keys(&self) -> Result<Vec<String>, StoreError> {
        blob::keys(&*self.stream.disk, &self.stream.dir).map_err(|error| self.stream.error(error))
    }

    /// One of the blobs.
    ///
    /// # Errors
    /// `Corrupt`, or a disk error.
    pub fn blob(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        crate::blob_key::check(key)?;
        blob::get(&*self.stream.disk, &self.stream.dir, key).map_err(|error| self.stream.error(error))
    }

    /// The fragments that are left to deliver, oldest first. Of one that was delivered in part, sizes and times are those
    /// of the whole.
    #[must_use]
    pub fn fragments(&self) -> Vec<StoredFragment> {
        let mut fragments: Vec<(u64, StoredFragment)> = Vec::new();
        for part in self.stream.state().index.live_parts() {
            match fragments.last_mut() {
                Some((last, fragment)) if *last == part.fragment => {
                    *fragment = fragment.joined_with(&part.items);
                }
                _ => fragments.push((part.fragment, part.items)),
            }
        }
        fragments.into_iter().map(|(_, fragment)| fragment).collect()
    }

    /// The items that are left to deliver, in order, read as they are asked for. Items that are damaged are left out.
    pub fn items(&self) -> Items<'_> {
        Items {
            stream: &self.stream,
            loader: Loader::default(),
            ready: VecDeque::new(),
            from: 0,
        }
    }

    /// Checks every byte of every segment file, also of those whose index is whole.
    ///
    /// # Errors
    /// A disk error.
    pub fn verify(&self) -> Result<Verification, StoreError> {
        let mut verification = Verification::default();
        for (id, len) in recovery::segment_ids(&*self.stream.disk, &self.stream.dir)? {
            let path = segment::path(&self.stream.dir, id);
            self.verify_segment(&path, id, len, &mut verification)
                .map_err(|error| self.stream.error(StoreError::from_io(error).with_path(&path)))?;
        }
        Ok(verification)
    }

    fn verify_segment(
        &self,
        path: &Path,
        id: u64,
        len: u64,
        verification: &mut Verification,
    ) -> std::io::Result<()> {
        let file = self.stream.disk.open(path)?;
        let trailer = recovery::trailer_len(&*file, id, len)?;
        let start = (segment::HEADER_LEN as u64).min(len);
        let mut scanner = scan::Scanner::new(&*file, id, start, (len - trailer).max(start));
        while let Some(found) = scanner.next()? {
            match found {
                scan::Found::Record { record, .. } if record.is_item() => {
                    verification.whole_items += 1;
                    verification.whole_bytes += u64::from(record.len);
                }
                scan::Found::Record { .. } => {}
                scan::Found::DamagedPayload { .. } => verification.damaged_items += 1,
                scan::Found::Garbage { len, .. } => verification.garbage_bytes += len,
            }
        }
        Ok(())
    }
}

/// The items of a stream, read from disk as they are asked for.
pub struct Items<'a> {
    stream: &'a Stream,
    loader: Loader,
    ready: VecDeque<Item>,
    from: u64,
}

impl Iterator for Items<'_> {
    type Item = Result<Item, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            let end = self.stream.state().ring().next_seq();
            if self.from >= end {
                return None;
            }
            match self.loader.load(self.stream, self.from, end, CHUNK) {
                Ok(loaded) => {
                    self.from = loaded.covered_to;
                    let items = loaded.chunks.into_iter().flat_map(|chunk| chunk.items);
                    let state = self.stream.state();
                    let held = items.filter(|(meta, _)| !state.index.released().contains(meta.seq));
                    self.ready
                        .extend(held.map(|(meta, payload)| Item::new(meta, payload)));
                }
                Err(error) => {
                    // The rest can't be told from what was read already.
                    self.from = u64::MAX;
                    return Some(Err(error));
                }
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// The directory of a stream in a spool's.
#[must_use]
pub fn stream_dir(dir: &Path, stream: &str) -> PathBuf {
    dir.join(name::encode(stream))
}

/// Bytes for a segment file that reach what lies behind the checksums: for fuzzing.
///
/// The first byte decides: an even one leaves the rest as it is; an odd one puts a whole header before it, and makes of each
/// further 64 bytes a record with those fields and right checksums, followed by as many bytes of payload as its first byte
/// says.
#[doc(hidden)]
#[must_use]
pub fn mended(input: &[u8], id: u64) -> Vec<u8> {
    let Some((choice, mut rest)) = input.split_first() else {
        return Vec::new();
    };
    if choice % 2 == 0 {
        return rest.to_vec();
    }
    let mut bytes = segment::encode_header(id, u64::from(*choice)).to_vec();
    while let Some((fields, after)) = rest.split_first_chunk::<64>() {
        let (payload, after) = after.split_at(usize::from(fields[0]).min(after.len()));
        bytes.extend_from_slice(&super::entry::mended_record(*fields, payload, id));
        bytes.extend_from_slice(payload);
        rest = after;
    }
    bytes.extend_from_slice(rest);
    bytes
}
