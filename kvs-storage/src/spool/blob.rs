//! Small files that are replaced as a whole: opaque blobs, and the stream's identity.
//!
//! `KVSBLOB` and a version byte, length (u64), CRC-32C of the value (u32), then the value. A new value is written beside the
//! old one, synced, and renamed over it: whatever happens, one of the two is there.

use std::io::{self, IoSlice};
use std::path::Path;

use bytes::Bytes;

use super::disk::{Disk, read_full_at, write_all};
use super::entry::{u32_at, u64_at};
use crate::{StoreError, StoreErrorKind};

const MAGIC: [u8; 8] = *b"KVSBLOB\x01";
const HEADER_LEN: usize = 20;
const PREFIX: &str = "blob-";
const TEMPORARY_PREFIX: &str = "new-";

pub(crate) fn put(disk: &dyn Disk, dir: &Path, key: &str, value: &[u8]) -> Result<(), StoreError> {
    put_file(disk, dir, &format!("{PREFIX}{key}"), value)
}

pub(crate) fn get(disk: &dyn Disk, dir: &Path, key: &str) -> Result<Option<Bytes>, StoreError> {
    get_file(disk, dir, &format!("{PREFIX}{key}"))
}

pub(crate) fn remove(disk: &dyn Disk, dir: &Path, key: &str) -> Result<(), StoreError> {
    let path = dir.join(format!("{PREFIX}{key}"));
    match disk.remove(&path) {
        Ok(()) => disk
            .sync_dir(dir)
            .map_err(|error| StoreError::from_io(error).with_path(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::from_io(error).with_path(&path)),
    }
}

/// The keys of the blobs in a directory, sorted.
pub(crate) fn keys(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, StoreError> {
    let entries = disk
        .list(dir)
        .map_err(|error| StoreError::from_io(error).with_path(dir))?;
    let mut keys: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.name.strip_prefix(PREFIX))
        .map(str::to_owned)
        .collect();
    keys.sort();
    Ok(keys)
}

pub(crate) fn put_file(disk: &dyn Disk, dir: &Path, name: &str, value: &[u8]) -> Result<(), StoreError> {
    let temporary = dir.join(format!("{TEMPORARY_PREFIX}{name}"));
    let path = dir.join(name);
    write_new(disk, &temporary, value).map_err(|error| StoreError::from_io(error).with_path(&temporary))?;
    disk.rename(&temporary, &path)
        .map_err(|error| StoreError::from_io(error).with_path(&path))?;
    disk.sync_dir(dir)
        .map_err(|error| StoreError::from_io(error).with_path(dir))
}

fn write_new(disk: &dyn Disk, path: &Path, value: &[u8]) -> io::Result<()> {
    match disk.remove(path) {
        // Left over from an attempt that a crash ended.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = disk.create(path)?;
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&(value.len() as u64).to_le_bytes());
    header[16..].copy_from_slice(&crc32c::crc32c(value).to_le_bytes());
    write_all(&mut *file, &mut [IoSlice::new(&header), IoSlice::new(value)])?;
    file.sync()
}

pub(crate) fn get_file(disk: &dyn Disk, dir: &Path, name: &str) -> Result<Option<Bytes>, StoreError> {
    let path = dir.join(name);
    let bytes = match read_whole(disk, &path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::from_io(error).with_path(&path)),
    };
    let corrupt = |detail: &'static str| {
        StoreError::new(StoreErrorKind::Corrupt)
            .with_detail(detail)
            .with_path(&path)
    };
    let Some((header, value)) = bytes.split_at_checked(HEADER_LEN) else {
        return Err(corrupt("too short"));
    };
    if header[..7] != MAGIC[..7] {
        return Err(corrupt("not a blob"));
    }
    if header[7] != MAGIC[7] {
        return Err(StoreError::new(StoreErrorKind::UnsupportedFormat)
            .with_detail(format!("version {}, known is {}", header[7], MAGIC[7]))
            .with_path(&path));
    }
    if u64_at(header, 8) != value.len() as u64 || u32_at(header, 16) != crc32c::crc32c(value) {
        return Err(corrupt("checksum"));
    }
    Ok(Some(Bytes::copy_from_slice(value)))
}

fn read_whole(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let len = usize::try_from(file.len()?).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut bytes = vec![0; len];
    let read = read_full_at(&*file, 0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
