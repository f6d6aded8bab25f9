//! The seam between the spool and the file system.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::Path;

/// What the spool needs of a file system, all of it blocking.
///
/// [`OsDisk`] is the real one. A simulated disk loses, reorders and tears what wasn't synced, and fails any call.
pub trait Disk: Send + Sync + 'static {
    /// Makes a directory and its parents, if they aren't there.
    ///
    /// # Errors
    /// What the operating system says; so too in the other calls.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// What a directory holds, in any order.
    ///
    /// # Errors
    /// See [`create_dir_all`](Disk::create_dir_all).
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Makes a new, empty file to append to; fails if it exists.
    ///
    /// # Errors
    /// See [`create_dir_all`](Disk::create_dir_all).
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// See [`create_dir_all`](Disk::create_dir_all).
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, atomically replacing what had it.
    ///
    /// # Errors
    /// See [`create_dir_all`](Disk::create_dir_all).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// See [`create_dir_all`](Disk::create_dir_all).
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable: files created, renamed and removed.
    ///
    /// # Errors
    /// See [`create_dir_all`](Disk::create_dir_all).
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file, making it if it isn't there, until the result is dropped or the process ends.
    ///
    /// # Errors
    /// `WouldBlock` if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Appends from the slices; may write less than all of it.
    ///
    /// # Errors
    /// What the operating system says; so too in the other calls.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Reads from `offset`; may read less than asked for, and nothing only at the end of the file.
    ///
    /// # Errors
    /// See [`write`](DiskFile::write).
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes everything written durable.
    ///
    /// # Errors
    /// See [`write`](DiskFile::write). After a failure nothing written since the last success can be relied on.
    fn sync(&self) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// See [`write`](DiskFile::write).
    fn len(&self) -> io::Result<u64>;

    /// Whether the file is empty.
    ///
    /// # Errors
    /// See [`write`](DiskFile::write).
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A lock that is held until it is dropped.
pub trait DiskLock: Send + Sync {}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without the directory. Names that aren't Unicode are none of the spool's and left out.
    pub name: String,
    /// What the name stands for.
    pub kind: EntryKind,
    /// Length in bytes of a file, 0 otherwise.
    pub len: u64,
}

/// What a name in a directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else; left alone.
    Other,
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let (kind, len) = match metadata.file_type() {
                kind if kind.is_file() => (EntryKind::File, metadata.len()),
                kind if kind.is_dir() => (EntryKind::Directory, 0),
                _ => (EntryKind::Other, 0),
            };
            entries.push(DirEntry { name, kind, len });
        }
        Ok(entries)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .open(path)?;
        Ok(Box::new(OsFile { file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OsFile {
            file: File::open(path)?,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    // Elsewhere a directory can't be opened as a file; its names are journalled by the file system.
    #[cfg(not(unix))]
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(Box::new(OsLock { _file: file }))
    }
}

#[derive(Debug)]
struct OsFile {
    file: File,
}

impl DiskFile for OsFile {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.file.write_vectored(slices)
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)
    }

    #[cfg(not(any(unix, windows)))]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        file.read(buffer)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Closing the file gives the lock back.
#[derive(Debug)]
struct OsLock {
    _file: File,
}

impl DiskLock for OsLock {}

/// Reads until the buffer is full or the file ends; returns how much was read.
pub(crate) fn read_full_at(file: &dyn DiskFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(offset + filled as u64, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes all of it, however little the disk takes at a time.
pub(crate) fn write_all(file: &mut dyn DiskFile, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write(&slices[..slices.len().min(MAX_SLICES)]) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Slices per write: IOV_MAX is 1024 on Linux and the BSDs, and 16 is all that POSIX promises; what is too much is cut.
const MAX_SLICES: usize = 1024;
