//! Writes a stream's segments.

use std::io::IoSlice;
use std::ops::Range;
use std::path::PathBuf;

use super::disk::{DiskFile, write_all};
use super::entry::{HEADER_LEN as RECORD_LEN, Record};
use super::options::SyncPolicy;
use super::recovery::Recovered;
use super::segment::{self, SegmentIndex};
use super::stream::{BatchItem, Stream};
use crate::{ItemFlags, StoreError, StoreErrorKind};

/// The writing side of a stream. It holds nothing that the stream's state couldn't restore: after a failure it begins a
/// new segment, and everything that isn't durable is written again.
pub(crate) struct StreamWriter {
    active: Option<Active>,
    next_segment: u64,
    /// The newest segment that would survive: it keeps the numbers that were given away.
    durable_segment: Option<u64>,
    /// Files that were given up with data in them that counts as written, and that no sync has reached yet.
    unsynced: Vec<(PathBuf, Box<dyn DiskFile>)>,
}

struct Active {
    id: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
    name: Name,
}

/// Whether a file's name would survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    New,
    Durable,
}

/// Whether there is more to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Done,
}

impl StreamWriter {
    pub(crate) fn new(recovered: &Recovered) -> StreamWriter {
        StreamWriter {
            active: None,
            next_segment: recovered.next_segment,
            durable_segment: recovered.anchor,
            unsynced: Vec::new(),
        }
    }

    /// Writes a batch of what waits. A failure is told to the stream and returned.
    pub(crate) fn write(&mut self, stream: &Stream) -> Result<Progress, StoreError> {
        self.try_write(stream)
            .map_err(|error| self.abandon(stream, error))
    }

    /// Makes everything written durable, and removes segments that nobody needs any more. A failure is told to the stream
    /// and returned.
    pub(crate) fn sync(&mut self, stream: &Stream) -> Result<(), StoreError> {
        self.try_sync(stream).map_err(|error| self.abandon(stream, error))
    }

    fn try_write(&mut self, stream: &Stream) -> Result<Progress, StoreError> {
        let batch = stream.take_batch();
        if batch.items.is_empty() && batch.releases.is_empty() {
            return Ok(Progress::Done);
        }
        // A new segment begins with everything released so far, these included.
        let releases = if self.active.is_none() {
            Vec::new()
        } else {
            batch.releases
        };
        if self.active.is_none() {
            self.begin(stream)?;
        }
        self.write_releases(stream, &releases)?;
        let mut rest = &batch.items[..];
        while let Some(first) = rest.first() {
            if self.is_full_before(stream, first, self.len()) {
                self.complete(stream)?;
                self.begin(stream)?;
            }
            let mut len = self.len();
            let run = rest
                .iter()
                .enumerate()
                .take_while(|(place, item)| {
                    let goes_on = *place == 0 || !self.is_full_before(stream, item, len);
                    len += RECORD_LEN as u64 + u64::from(item.meta.len);
                    goes_on
                })
                .count();
            let (now, later) = rest.split_at(run);
            self.write_items(stream, now)?;
            rest = later;
        }
        Ok(if stream.state().has_unwritten() {
            Progress::More
        } else {
            Progress::Done
        })
    }

    fn len(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.len)
    }

    /// Whether the next segment should begin with this item: at a fragment start, if one comes in time.
    fn is_full_before(&self, stream: &Stream, item: &BatchItem, len: u64) -> bool {
        let limit = stream.options.segment_bytes;
        let starts = item.meta.flags.contains(ItemFlags::FRAGMENT_START);
        len >= 2 * limit || (len >= limit && starts)
    }

    fn begin(&mut self, stream: &Stream) -> Result<(), StoreError> {
        let id = self.next_segment;
        self.next_segment += 1;
        let path = segment::path(&stream.dir, id);
        let failed = |error| StoreError::from_io(error).with_path(&path);
        let file = stream.disk.create(&path).map_err(failed)?;
        let active = Active {
            id,
            path: path.clone(),
            file,
            len: 0,
            name: Name::New,
        };
        let active = self.active.insert(active);
        let (base_seq, released) = {
            let mut state = stream.state();
            state.releases_recorded();
            state.active = Some(id);
            state.index.set_len(id, 0);
            (state.ring().next_seq(), state.index.released().clone())
        };
        #[cfg(test)]
        let released = match super::sabotage::is(super::sabotage::Sabotage::NoSnapshot) {
            true => super::released::ReleasedSet::default(),
            false => released,
        };
        let mut bytes = segment::encode_header(id, base_seq).to_vec();
        released
            .iter()
            .for_each(|range| bytes.extend_from_slice(&Record::release(range).encode(id)));
        active.append(stream, &mut [IoSlice::new(&bytes)])
    }

    fn write_releases(&mut self, stream: &Stream, releases: &[Range<u64>]) -> Result<(), StoreError> {
        let Some(active) = self.active.as_mut().filter(|_| !releases.is_empty()) else {
            return Ok(());
        };
        let mut bytes = Vec::with_capacity(releases.len() * RECORD_LEN);
        releases
            .iter()
            .for_each(|range| bytes.extend_from_slice(&Record::release(range.clone()).encode(active.id)));
        active.append(stream, &mut [IoSlice::new(&bytes)])
    }

    fn write_items(&mut self, stream: &Stream, items: &[BatchItem]) -> Result<(), StoreError> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let headers: Vec<[u8; RECORD_LEN]> = items
            .iter()
            .map(|item| Record::item(item.meta, item.placement, &item.payload).encode(active.id))
            .collect();
        let mut slices: Vec<IoSlice<'_>> = headers
            .iter()
            .zip(items)
            .flat_map(|(header, item)| [IoSlice::new(header), IoSlice::new(&item.payload)])
            .collect();
        let offset = active.len;
        active.append(stream, &mut slices)?;
        stream.written(active.id, offset, items);
        Ok(())
    }

    /// Ends the active segment with its index. Everything before it is durable first, so an index that is whole never
    /// speaks of records that aren't.
    fn complete(&mut self, stream: &Stream) -> Result<(), StoreError> {
        self.try_sync(stream)?;
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let index = {
            let state = stream.state();
            SegmentIndex::encode(&state.index.parts_in(active.id), state.index.released())
        };
        // An index too long for a record is left out: the segment is then scanned.
        if let Some(record) = Record::index(&index) {
            let header = record.encode(active.id);
            let trailer = segment::encode_trailer(active.id, active.len);
            active.append(
                stream,
                &mut [
                    IoSlice::new(&header),
                    IoSlice::new(&index),
                    IoSlice::new(&trailer),
                ],
            )?;
        }
        // The index itself may wait for the operating system: without it the segment is scanned.
        self.active = None;
        Ok(())
    }

    fn try_sync(&mut self, stream: &Stream) -> Result<(), StoreError> {
        let (end, dead) = {
            let state = stream.state();
            // A segment may go once every release that made it useless would survive.
            let recorded = !state.has_pending_releases() && self.active.is_some();
            let dead = if recorded {
                state.index.dead_segments(state.active)
            } else {
                Vec::new()
            };
            (state.written_end(), dead)
        };
        #[cfg(test)]
        if super::sabotage::is(super::sabotage::Sabotage::RemoveBeforeSync) {
            remove(stream, &dead)?;
        }
        while let Some((path, file)) = self.unsynced.pop() {
            file.sync()
                .map_err(|error| StoreError::from_io(error).with_path(&path))?;
        }
        if let Some(active) = &mut self.active {
            active.sync(stream)?;
            self.durable_segment = Some(active.id);
        }
        stream.synced(end);
        remove(stream, &dead)
    }

    fn abandon(&mut self, stream: &Stream, error: StoreError) -> StoreError {
        let error = stream.error(error);
        if let Some(active) = self.active.take() {
            let len = active.file.len().unwrap_or(active.len);
            stream.state().index.set_len(active.id, len);
            if stream.options.sync == SyncPolicy::Never {
                // Elsewhere what isn't durable is written again; here it counts as written, and memory may have let go of it.
                self.unsynced.push((active.path, active.file));
            }
        }
        stream.failed(&error);
        if error.kind() == StoreErrorKind::NoSpace {
            self.make_space(stream);
        }
        error
    }

    /// Removes useless segments although nothing can be written down now: the oldest only, one durably after the other, so
    /// that no segment is left whose releases stood in one that is gone.
    fn make_space(&self, stream: &Stream) {
        let Some(keep) = self.durable_segment else { return };
        let dead = stream.state().index.dead_prefix(keep);
        for id in dead {
            let gone = remove(stream, &[id]).is_ok() && stream.disk.sync_dir(&stream.dir).is_ok();
            if !gone {
                // The disk is in trouble already; the next sync tries again.
                return;
            }
        }
    }
}

impl Active {
    fn append(&mut self, stream: &Stream, slices: &mut [IoSlice<'_>]) -> Result<(), StoreError> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        #[cfg(test)]
        if super::sabotage::is(super::sabotage::Sabotage::IgnoreShortWrite) {
            self.file
                .write(slices)
                .map_err(|error| StoreError::from_io(error).with_path(&self.path))?;
            self.len += len as u64;
            stream.state().index.set_len(self.id, self.len);
            return Ok(());
        }
        // Also after a failure: some of it may have been written.
        stream.state().mark_unsynced();
        write_all(&mut *self.file, slices)
            .map_err(|error| StoreError::from_io(error).with_path(&self.path))?;
        self.len += len as u64;
        stream.state().index.set_len(self.id, self.len);
        Ok(())
    }

    fn sync(&mut self, stream: &Stream) -> Result<(), StoreError> {
        self.file
            .sync()
            .map_err(|error| StoreError::from_io(error).with_path(&self.path))?;
        #[cfg(test)]
        if super::sabotage::is(super::sabotage::Sabotage::NoDirectorySync) {
            return Ok(());
        }
        if self.name == Name::New {
            let synced = stream.disk.sync_dir(&stream.dir);
            synced.map_err(|error| StoreError::from_io(error).with_path(&stream.dir))?;
            self.name = Name::Durable;
        }
        Ok(())
    }
}

/// Removes segments that nobody needs any more.
fn remove(stream: &Stream, dead: &[u64]) -> Result<(), StoreError> {
    for id in dead {
        let path = segment::path(&stream.dir, *id);
        match stream.disk.remove(&path) {
            Ok(()) => {}
            // Gone is gone, whoever did it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::from_io(error).with_path(&path)),
        }
        let mut state = stream.state();
        state.index.remove_segment(*id);
        state.refresh(&stream.gauge);
    }
    stream.room.notify_waiters();
    Ok(())
}
