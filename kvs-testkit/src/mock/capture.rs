//! Raw PutMedia bodies in files.

use std::fs::File;
use std::io::Write;
use std::path::Path;

/// One session's body, written as it comes.
#[derive(Debug)]
pub(super) struct Capture {
    file: Option<File>,
}

impl Capture {
    /// Opens `<stream>-<nth>.mkv`. Capturing is a side show: when it fails, the session goes on without.
    pub(super) fn create(folder: &Path, stream: &str, nth: u32) -> Option<Capture> {
        // A stream's name can't hold a separator, but `..` it could be.
        let path = folder.join(format!("{stream}-{nth}.mkv"));
        match File::create(&path) {
            Ok(file) => Some(Capture { file: Some(file) }),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a session's body isn't captured");
                None
            }
        }
    }

    pub(super) fn write(&mut self, data: &[u8]) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(data) {
            tracing::warn!(%error, "capturing a session's body ended early");
            self.file = None;
        }
    }
}
