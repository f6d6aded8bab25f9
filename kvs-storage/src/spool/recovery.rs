//! What a stream's directory holds after whatever happened to it.
//!
//! Recovery only reads. It never appends to an old file, truncates nothing and repairs nothing, so a crash in the middle of
//! it leaves everything as it was, and a new segment is begun for what comes next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, EntryKind, read_full_at};
use super::entry::{HEADER_LEN as RECORD_LEN, Record, RecordBody};
use super::index::{Index, ScannedItem, join_scanned};
use super::released::ReleasedSet;
#[cfg(test)]
use super::sabotage::{self, Sabotage};
use super::scan::{Found, Scanner};
use super::segment::{self, Header, Part, SegmentIndex};
use crate::fragment::Dependence;
use crate::{StoreError, StoreErrorKind};

/// What was found damaged, up to this many places; the counts go on.
const MAX_REPORTED: usize = 256;

/// What recovery found, and what it could not save.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Segment files read.
    pub segments: u64,
    /// Of these, files without a whole index, which were scanned record by record.
    pub scanned_segments: u64,
    /// Items that are left to deliver.
    pub items: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Items whose payload fails its checksum.
    pub damaged_items: u64,
    /// Whole items that can't be decoded because their fragment's key frame is lost.
    pub orphaned_items: u64,
    /// Bytes that are no record: a torn tail, lost pages, flipped headers.
    pub garbage_bytes: u64,
    /// The first 256 places of damage.
    pub damage: Vec<Damage>,
}

/// A damaged place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in it the damage begins.
    pub offset: u64,
    /// Bytes that can't be used.
    pub len: u64,
    /// The item that was there, where its header is whole.
    pub seq: Option<u64>,
}

impl RecoveryReport {
    /// Whether nothing was lost.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damaged_items == 0 && self.orphaned_items == 0 && self.garbage_bytes == 0
    }

    fn note(&mut self, damage: Damage) {
        if self.damage.len() < MAX_REPORTED {
            self.damage.push(damage);
        }
    }
}

/// A stream's directory, understood.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) index: Index,
    /// The lowest number the next item may have.
    pub(crate) next_seq: u64,
    /// The lowest number the next segment may have.
    pub(crate) next_segment: u64,
    /// The newest segment with a whole header: it tells which numbers were given away before it.
    pub(crate) anchor: Option<u64>,
    pub(crate) report: RecoveryReport,
}

/// Reads a stream's directory. One that isn't there holds nothing.
pub(crate) fn recover(disk: &dyn Disk, dir: &Path) -> Result<Recovered, StoreError> {
    let mut recovery = Recovery::default();
    let ids = segment_ids(disk, dir)?;
    for (id, len) in &ids {
        recovery.read_segment(disk, dir, *id, *len)?;
    }
    Ok(recovery.finish(ids.last_key_value().map_or(0, |(id, _)| id.saturating_add(1))))
}

/// The numbers and lengths of the segment files in a directory.
pub(crate) fn segment_ids(disk: &dyn Disk, dir: &Path) -> Result<BTreeMap<u64, u64>, StoreError> {
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(StoreError::from_io(error).with_path(dir)),
    };
    let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
    Ok(files
        .filter_map(|entry| Some((segment::id_of(&entry.name)?, entry.len)))
        .collect())
}

#[derive(Default)]
struct Recovery {
    /// Parts of segments whose index is whole.
    parts: Vec<Part>,
    /// Items of the others, by sequence number. What was written twice is taken from the later segment.
    scanned: BTreeMap<u64, ScannedItem>,
    lens: BTreeMap<u64, u64>,
    released: ReleasedSet,
    next_seq: u64,
    anchor: Option<u64>,
    report: RecoveryReport,
}

impl Recovery {
    fn read_segment(&mut self, disk: &dyn Disk, dir: &Path, id: u64, len: u64) -> Result<(), StoreError> {
        let path = segment::path(dir, id);
        let failed = |error| StoreError::from_io(error).with_path(&path);
        let file = disk.open(&path).map_err(failed)?;
        // The listing may be older than the file.
        let len = file.len().map_err(failed)?.max(len);
        self.report.segments += 1;
        self.lens.insert(id, len);
        let mut header = [0; segment::HEADER_LEN];
        let read = read_full_at(&*file, 0, &mut header).map_err(failed)?;
        match segment::decode_header(&header[..read], id) {
            Header::Valid { base_seq } => {
                self.next_seq = self.next_seq.max(base_seq);
                self.anchor = Some(id);
            }
            Header::Foreign { version } => {
                return Err(StoreError::new(StoreErrorKind::UnsupportedFormat)
                    .with_detail(format!("version {version}, known is {}", segment::FORMAT_VERSION))
                    .with_path(&path));
            }
            Header::Damaged => self.garbage(&path, 0, len.min(segment::HEADER_LEN as u64)),
        }
        if let Some(index) = read_index(&*file, id, len).map_err(failed)? {
            self.take_index(index);
            return Ok(());
        }
        self.report.scanned_segments += 1;
        self.scan(&*file, &path, id, len).map_err(failed)
    }

    fn take_index(&mut self, index: SegmentIndex) {
        index.released.iter().for_each(|range| self.take_release(range));
        for part in index.parts {
            self.next_seq = self.next_seq.max(part.items.end_seq);
            self.parts.push(part);
        }
    }

    fn take_release(&mut self, seqs: std::ops::Range<u64>) {
        self.next_seq = self.next_seq.max(seqs.end);
        self.released.insert(seqs);
    }

    fn scan(&mut self, file: &dyn DiskFile, path: &Path, id: u64, len: u64) -> std::io::Result<()> {
        let mut scanner = Scanner::new(file, id, (segment::HEADER_LEN as u64).min(len), len);
        while let Some(found) = scanner.next()? {
            #[cfg(test)]
            if sabotage::is(Sabotage::StopAtDamage) && !matches!(found, Found::Record { .. }) {
                return Ok(());
            }
            match found {
                Found::Record { offset, record } => self.take_record(id, offset, record),
                Found::DamagedPayload { offset, record } => self.damaged(path, offset, &record),
                Found::Garbage { offset, len } => self.garbage(path, offset, len),
            }
        }
        Ok(())
    }

    fn take_record(&mut self, segment: u64, offset: u64, record: Record) {
        match record.body {
            RecordBody::Item { meta, placement } => {
                self.next_seq = self.next_seq.max(meta.seq + 1);
                self.scanned.insert(
                    meta.seq,
                    ScannedItem {
                        segment,
                        offset,
                        meta,
                        placement,
                    },
                );
            }
            RecordBody::Release(seqs) => self.take_release(seqs),
            // The index of a segment whose trailer is lost says nothing that the records don't.
            RecordBody::Index => {}
        }
    }

    fn damaged(&mut self, path: &Path, offset: u64, record: &Record) {
        let seq = match &record.body {
            RecordBody::Item { meta, .. } => {
                self.report.damaged_items += 1;
                // Its number was given away all the same.
                self.next_seq = self.next_seq.max(meta.seq + 1);
                Some(meta.seq)
            }
            RecordBody::Release(_) | RecordBody::Index => {
                self.report.garbage_bytes += record.file_len();
                None
            }
        };
        self.report.note(Damage {
            path: path.to_owned(),
            offset,
            len: record.file_len(),
            seq,
        });
    }

    fn garbage(&mut self, path: &Path, offset: u64, len: u64) {
        self.report.garbage_bytes += len;
        self.report.note(Damage {
            path: path.to_owned(),
            offset,
            len,
            seq: None,
        });
    }

    fn finish(mut self, next_segment: u64) -> Recovered {
        #[cfg(test)]
        if sabotage::is(Sabotage::ReuseNumbers) {
            self.next_seq = self.scanned.last_key_value().map_or(0, |(seq, _)| seq + 1);
        }
        self.drop_orphans();
        let released = &self.released;
        self.scanned.retain(|seq, _| !released.contains(*seq));
        let indexed = without_overlaps(std::mem::take(&mut self.parts));
        // A segment with an index is complete, so what it has in common with a scanned one is the same.
        self.scanned.retain(|seq, _| !covers(&indexed, *seq));
        let mut parts = join_scanned(self.scanned.values());
        parts.extend(indexed);
        parts.sort_by_key(|part| part.items.first_seq);
        let mut index = Index::new(parts, self.lens, self.released, self.next_seq);
        index.raise_watermark(index.first_live_seq().unwrap_or(self.next_seq));
        for part in index.live_parts() {
            self.report.items += u64::from(part.items.items);
            self.report.bytes += part.items.bytes;
        }
        Recovered {
            index,
            next_seq: self.next_seq,
            next_segment,
            anchor: self.anchor,
            report: self.report,
        }
    }

    /// Drops items whose key frame is lost: nothing could decode them. What stands before the key frame stays.
    fn drop_orphans(&mut self) {
        let is_there = |key: u64| {
            let scanned = self.scanned.contains_key(&key);
            scanned || self.released.contains(key) || self.parts.iter().any(|part| part.seqs().contains(&key))
        };
        let lost: BTreeSet<u64> = self
            .scanned
            .values()
            .filter_map(|item| match item.placement.dependence {
                Dependence::OnKey(key) => Some(key),
                Dependence::Independent => None,
            })
            .collect::<BTreeSet<u64>>()
            .into_iter()
            .filter(|key| !is_there(*key))
            .collect();
        if lost.is_empty() {
            return;
        }
        let follows_lost_key = |item: &&ScannedItem| matches!(item.placement.dependence, Dependence::OnKey(key) if lost.contains(&key));
        let orphans: Vec<u64> = self
            .scanned
            .values()
            .filter(follows_lost_key)
            .map(|item| item.meta.seq)
            .collect();
        // An item that was released anyway is no loss.
        for seq in orphans
            .into_iter()
            .filter(|seq| !self.released.contains(*seq))
            .collect::<Vec<_>>()
        {
            self.report.orphaned_items += 1;
            // Released, because its record may stand amid others that are read.
            self.released.insert(seq..seq + 1);
        }
    }
}

/// Length of a segment's trailer: none if the segment was never completed.
pub(crate) fn trailer_len(file: &dyn DiskFile, id: u64, len: u64) -> std::io::Result<u64> {
    let mut trailer = [0; segment::TRAILER_LEN];
    let Some(offset) = len.checked_sub(segment::TRAILER_LEN as u64) else {
        return Ok(0);
    };
    let whole = read_full_at(file, offset, &mut trailer)? == trailer.len();
    let complete = whole && segment::decode_trailer(id, &trailer).is_some();
    Ok(if complete { segment::TRAILER_LEN as u64 } else { 0 })
}

/// The index of a complete segment.
fn read_index(file: &dyn DiskFile, id: u64, len: u64) -> std::io::Result<Option<SegmentIndex>> {
    let mut trailer = [0; segment::TRAILER_LEN];
    let Some(trailer_offset) = len.checked_sub(segment::TRAILER_LEN as u64) else {
        return Ok(None);
    };
    if read_full_at(file, trailer_offset, &mut trailer)? < trailer.len() {
        return Ok(None);
    }
    let Some(offset) = segment::decode_trailer(id, &trailer) else {
        return Ok(None);
    };
    let mut header = [0; RECORD_LEN];
    if offset >= trailer_offset || read_full_at(file, offset, &mut header)? < header.len() {
        return Ok(None);
    }
    let Some(record) = Record::decode(&header, id).filter(|record| record.body == RecordBody::Index) else {
        return Ok(None);
    };
    // Nothing is allocated that the file doesn't hold.
    if offset.checked_add(record.file_len()) != Some(trailer_offset) {
        return Ok(None);
    }
    let mut payload = vec![0; record.len as usize];
    let read = read_full_at(file, offset + RECORD_LEN as u64, &mut payload)?;
    if read < payload.len() || crc32c::crc32c(&payload) != record.payload_crc {
        return Ok(None);
    }
    Ok(SegmentIndex::decode(id, &payload, offset))
}

/// Parts in order; of two that overlap, the one that begins first, or is in the later segment.
fn without_overlaps(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by_key(|part| (part.items.first_seq, std::cmp::Reverse(part.segment)));
    let mut end = 0;
    parts.retain(|part| {
        let follows = part.items.first_seq >= end;
        if follows {
            end = part.items.end_seq;
        }
        follows
    });
    parts
}

fn covers(parts: &[Part], seq: u64) -> bool {
    let next = parts.partition_point(|part| part.items.first_seq <= seq);
    next.checked_sub(1)
        .is_some_and(|before| parts[before].items.end_seq > seq)
}
