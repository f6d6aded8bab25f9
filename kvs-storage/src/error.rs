//! The crate's error: a kind to decide by, and the context to find the cause.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{error, fmt, io};

/// What went wrong, to decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// A sequence number that doesn't rise.
    OutOfOrder,
    /// No room now: a limit on items, bytes or time is reached. Releasing items makes room.
    Full,
    /// Larger than the whole limit: no release can make room.
    TooLarge,
    /// No such item or fragment was ever held here.
    NotFound,
    /// The item was held and has been released.
    Released,
    /// The operation needs a fragment that starts with a key frame, and this isn't one.
    NotAKeyFragment,
    /// The operation would take part of the fragment that is being sent.
    BeingSent,
    /// A value outside its limits; the detail names it.
    InvalidArgument,
    /// Stored bytes fail their checksum.
    Corrupt,
    /// The disk is full, or a quota on it is.
    NoSpace,
    /// The device failed to read, write or sync.
    Device,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The directory or a file in it is gone.
    Vanished,
    /// The operating system refuses access.
    PermissionDenied,
    /// Any other failure of the operating system.
    Io,
    /// Another process holds the spool.
    Locked,
    /// The spool belongs to another account, region or stream.
    IdentityMismatch,
    /// Written by a version whose format this one doesn't know.
    UnsupportedFormat,
    /// The store was closed.
    Closed,
}

impl StoreErrorKind {
    fn text(self) -> &'static str {
        match self {
            StoreErrorKind::OutOfOrder => "sequence numbers must rise",
            StoreErrorKind::Full => "no room left",
            StoreErrorKind::TooLarge => "larger than the whole limit",
            StoreErrorKind::NotFound => "not held here",
            StoreErrorKind::Released => "already released",
            StoreErrorKind::NotAKeyFragment => "not the start of a key-frame fragment",
            StoreErrorKind::BeingSent => "the fragment is being sent",
            StoreErrorKind::InvalidArgument => "invalid argument",
            StoreErrorKind::Corrupt => "stored bytes fail their checksum",
            StoreErrorKind::NoSpace => "no space left on the disk",
            StoreErrorKind::Device => "the storage device failed",
            StoreErrorKind::ReadOnly => "the file system is read-only",
            StoreErrorKind::Vanished => "the file or directory is gone",
            StoreErrorKind::PermissionDenied => "permission denied",
            StoreErrorKind::Io => "input or output failed",
            StoreErrorKind::Locked => "another process uses this spool",
            StoreErrorKind::IdentityMismatch => "the spool belongs to something else",
            StoreErrorKind::UnsupportedFormat => "unknown format version",
            StoreErrorKind::Closed => "the store is closed",
        }
    }
}

/// Any failure of this crate. Cheap to clone, so that one disk error can answer every waiting call.
#[derive(Debug, Clone)]
pub struct StoreError {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    kind: StoreErrorKind,
    detail: Option<Cow<'static, str>>,
    stream: Option<String>,
    seq: Option<u64>,
    path: Option<PathBuf>,
    source: Option<Arc<io::Error>>,
}

impl StoreError {
    /// An error of this kind without context.
    #[must_use]
    pub fn new(kind: StoreErrorKind) -> StoreError {
        let inner = Inner {
            kind,
            detail: None,
            stream: None,
            seq: None,
            path: None,
            source: None,
        };
        StoreError {
            inner: Arc::new(inner),
        }
    }

    /// Wraps a failure of the operating system, with the kind that its code stands for.
    #[must_use]
    pub fn from_io(source: io::Error) -> StoreError {
        let kind = kind_of(&source);
        StoreError::new(kind).amend(|inner| inner.source = Some(Arc::new(source)))
    }

    /// Adds what exactly was wrong: lower case, no trailing dot.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<Cow<'static, str>>) -> StoreError {
        self.amend(|inner| inner.detail = Some(detail.into()))
    }

    /// Adds the stream it happened to.
    #[must_use]
    pub fn with_stream(self, stream: &str) -> StoreError {
        self.amend(|inner| inner.stream = Some(stream.to_owned()))
    }

    /// Adds the item it happened to.
    #[must_use]
    pub fn with_seq(self, seq: u64) -> StoreError {
        self.amend(|inner| inner.seq = Some(seq))
    }

    /// Adds the file or directory it happened to.
    #[must_use]
    pub fn with_path(self, path: &Path) -> StoreError {
        self.amend(|inner| inner.path = Some(path.to_owned()))
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.inner.kind
    }

    /// The stream it happened to, where known.
    #[must_use]
    pub fn stream(&self) -> Option<&str> {
        self.inner.stream.as_deref()
    }

    /// The item it happened to, where known.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        self.inner.seq
    }

    /// The file or directory it happened to, where known.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// Whether the same call may succeed later without anything changing in the program: room was made, or the disk
    /// recovered.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        use StoreErrorKind as Kind;
        matches!(
            self.kind(),
            Kind::Full | Kind::NoSpace | Kind::Device | Kind::ReadOnly | Kind::Io | Kind::Vanished
        )
    }

    /// Whether the disk, rather than the caller or a limit, is the cause.
    #[must_use]
    pub fn is_disk(&self) -> bool {
        use StoreErrorKind as Kind;
        matches!(
            self.kind(),
            Kind::NoSpace
                | Kind::Device
                | Kind::ReadOnly
                | Kind::Vanished
                | Kind::PermissionDenied
                | Kind::Io
        )
    }

    fn amend(self, change: impl FnOnce(&mut Inner)) -> StoreError {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        change(&mut inner);
        StoreError {
            inner: Arc::new(inner),
        }
    }
}

fn kind_of(source: &io::Error) -> StoreErrorKind {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreErrorKind::NoSpace
        }
        io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::ReadOnly,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::StaleNetworkFileHandle => {
            StoreErrorKind::Vanished
        }
        io::ErrorKind::PermissionDenied => StoreErrorKind::PermissionDenied,
        // The standard library has no kind of its own for a failing device.
        _ if is_device_failure(source) => StoreErrorKind::Device,
        _ => StoreErrorKind::Io,
    }
}

#[cfg(unix)]
fn is_device_failure(source: &io::Error) -> bool {
    // EIO and ENXIO are 5 and 6 on every Unix (POSIX leaves the numbers open; history does not).
    matches!(source.raw_os_error(), Some(5 | 6))
}

#[cfg(windows)]
fn is_device_failure(source: &io::Error) -> bool {
    // ERROR_CRC, ERROR_WRITE_FAULT, ERROR_READ_FAULT, ERROR_GEN_FAILURE, ERROR_IO_DEVICE (winerror.h).
    matches!(source.raw_os_error(), Some(23 | 29 | 30 | 31 | 1117))
}

#[cfg(not(any(unix, windows)))]
fn is_device_failure(_source: &io::Error) -> bool {
    false
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.inner.kind.text())?;
        if let Some(detail) = &self.inner.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(stream) = &self.inner.stream {
            write!(f, ", stream {stream}")?;
        }
        if let Some(seq) = self.inner.seq {
            write!(f, ", item {seq}")?;
        }
        if let Some(path) = &self.inner.path {
            write!(f, ", at {}", path.display())?;
        }
        Ok(())
    }
}

impl error::Error for StoreError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_system_codes_become_kinds() {
        let cases = [
            (
                io::Error::from(io::ErrorKind::StorageFull),
                StoreErrorKind::NoSpace,
            ),
            (
                io::Error::from(io::ErrorKind::ReadOnlyFilesystem),
                StoreErrorKind::ReadOnly,
            ),
            (io::Error::from(io::ErrorKind::NotFound), StoreErrorKind::Vanished),
            (
                io::Error::from(io::ErrorKind::PermissionDenied),
                StoreErrorKind::PermissionDenied,
            ),
            (io::Error::other("odd"), StoreErrorKind::Io),
        ];
        for (source, kind) in cases {
            assert_eq!(StoreError::from_io(source).kind(), kind);
        }
        #[cfg(unix)]
        assert_eq!(
            StoreError::from_io(io::Error::from_raw_os_error(5)).kind(),
            StoreErrorKind::Device
        );
    }

    #[test]
    fn the_text_names_the_cause_and_the_place() {
        let error = StoreError::new(StoreErrorKind::Corrupt)
            .with_detail("header checksum")
            .with_stream("front-door")
            .with_seq(7);
        assert_eq!(
            error.to_string(),
            "stored bytes fail their checksum: header checksum, stream front-door, item 7"
        );
    }

    #[test]
    fn the_error_crosses_threads() {
        fn assert_send_sync<T: Send + Sync + 'static>() {}
        assert_send_sync::<StoreError>();
    }
}
