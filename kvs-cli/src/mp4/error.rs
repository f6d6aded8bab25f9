use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file can't be read as MP4.
#[derive(Debug)]
pub(crate) struct Mp4Error {
    path: PathBuf,
    kind: Mp4ErrorKind,
}

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) enum Mp4ErrorKind {
    /// There is no such file.
    Missing,
    /// The system refused to open or read it.
    Unreadable(io::Error),
    /// It isn't an MP4 file, or a damaged one.
    NotMedia(&'static str),
    /// It is an MP4 file without H.264 or H.265 video; what it holds instead.
    NoSupportedTrack(Vec<String>),
}

impl Mp4Error {
    pub(super) fn new(path: &Path, kind: Mp4ErrorKind) -> Mp4Error {
        Mp4Error {
            path: path.to_path_buf(),
            kind,
        }
    }

    /// What is wrong.
    pub(crate) fn kind(&self) -> &Mp4ErrorKind {
        &self.kind
    }
}

impl fmt::Display for Mp4Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            Mp4ErrorKind::Missing => write!(f, "no such file: {path}"),
            Mp4ErrorKind::Unreadable(error) => write!(f, "can't read {path}: {error}"),
            Mp4ErrorKind::NotMedia(why) => write!(f, "not an mp4 file: {path}: {why}"),
            Mp4ErrorKind::NoSupportedTrack(found) if found.is_empty() => {
                write!(f, "no supported track in {path}: it has no tracks")
            }
            Mp4ErrorKind::NoSupportedTrack(found) => {
                write!(
                    f,
                    "no supported track in {path}: needs h264 or h265 video, found {}",
                    found.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for Mp4Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Mp4ErrorKind::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}
