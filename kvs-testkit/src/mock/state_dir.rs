//! Streams and stored fragments in a directory, so that they outlive the server.
//!
//! `streams.json` holds the streams; `fragments/<stream>@<created>/<number>.mkv` one stored fragment each, a
//! Matroska file that any tool reads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::{MockError, MockErrorKind};
use crate::service::{FragmentNumber, Save, Service};

/// A server's state on disk.
#[derive(Debug)]
pub(super) struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Opens a directory, made if need be, and gives the service what it holds.
    pub(super) fn open(root: &Path, service: &mut Service) -> Result<StateDir, MockError> {
        let failed = |path: &Path, error: io::Error| {
            MockError::new(
                MockErrorKind::File,
                format!("can't use {}", path.display()),
                error,
            )
        };
        let fragments = root.join("fragments");
        fs::create_dir_all(&fragments).map_err(|error| failed(&fragments, error))?;
        let streams = root.join("streams.json");
        match fs::read_to_string(&streams) {
            Ok(document) => service.restore_streams(&document).map_err(|error| {
                let context = format!("{} does not hold streams", streams.display());
                MockError::new(MockErrorKind::File, context, error)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&streams, error)),
        }
        for folder in entries(&fragments).map_err(|error| failed(&fragments, error))? {
            let stream = folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            for file in entries(&folder).map_err(|error| failed(&folder, error))? {
                let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                let Some(number) = FragmentNumber::parse(&stem) else {
                    continue;
                };
                let document = fs::read(&file).map_err(|error| failed(&file, error))?;
                // A half-written file of a server that was killed: what it held was lost, the rest wasn't.
                if let Err(error) = service.restore_fragment(&stream, number, Bytes::from(document)) {
                    tracing::warn!(path = %file.display(), %error, "a fragment can't be read back");
                }
            }
        }
        service.begin_saving();
        Ok(StateDir {
            root: root.to_owned(),
        })
    }

    /// Carries out a change. The server goes on when the disk doesn't.
    pub(super) fn save(&self, save: &Save) {
        let (path, result) = match save {
            Save::Streams(document) => {
                let path = self.root.join("streams.json");
                let result = replace(&path, document.as_bytes());
                (path, result)
            }
            Save::Fragment {
                stream,
                number,
                document,
            } => {
                let path = self.fragment_path(stream, *number);
                let result = path.parent().map_or(Ok(()), fs::create_dir_all);
                let result = result.and_then(|()| replace(&path, document));
                (path, result)
            }
            Save::Forgotten { stream, number } => {
                let path = self.fragment_path(stream, *number);
                let result = match fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    other => other,
                };
                (path, result)
            }
        };
        if let Err(error) = result {
            tracing::warn!(path = %path.display(), %error, "the mock's state can't be saved");
        }
    }

    fn fragment_path(&self, stream: &str, number: FragmentNumber) -> PathBuf {
        self.root
            .join("fragments")
            .join(stream)
            .join(format!("{number}.mkv"))
    }
}

/// The paths in a folder, in order.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

/// Writes a file so that a reader sees the old or the new one, never half of it.
fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("part");
    fs::write(&unfinished, contents)?;
    fs::rename(&unfinished, path)
}
