//! Sessions written to files.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    rc::Rc,
};

use bytes::Bytes;
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
    sync::Notify,
};

use crate::{
    ClientError, ClientErrorKind, LocalFuture, MediaConnection, MediaEvent, MediaReader, MediaTransport,
    MediaWriter, PutMediaRequest,
};

/// Writes the body of each session to a file of its own: `<stream>_<n>.mkv`, n counting from 0, files that
/// exist are passed over.
///
/// Alone ([`new`](Self::new)) it stands in for the service and acknowledges nothing: open sessions with
/// [`AckMode::Off`](crate::AckMode::Off). [Around](Self::tee) another transport it keeps a copy for
/// debugging; a file that can't be written then is logged, and the session goes on.
pub struct FileDumpTransport {
    directory: PathBuf,
    inner: Option<Box<dyn MediaTransport>>,
}

impl FileDumpTransport {
    /// Writes to files in this directory, which is created if need be.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            inner: None,
        }
    }

    /// Sends through `inner`, and writes what is sent to files in this directory as well.
    pub fn tee(inner: impl MediaTransport + 'static, directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            inner: Some(Box::new(inner)),
        }
    }

    async fn open_session(&self, request: PutMediaRequest) -> Result<MediaConnection, ClientError> {
        let stream = request.stream.clone();
        let Some(inner) = &self.inner else {
            let dump = Dump::create(&self.directory, &stream).await?;
            let session = Rc::new(Session::default());
            let writer = FileWriter {
                dump,
                session: Rc::clone(&session),
            };
            let reader = FileReader {
                session,
                head_given: false,
            };
            return Ok(MediaConnection {
                writer: Box::new(writer),
                reader: Box::new(reader),
            });
        };
        let connection = inner.open(request).await?;
        match Dump::create(&self.directory, &stream).await {
            Ok(dump) => {
                let writer = TeeWriter {
                    inner: connection.writer,
                    dump: Some(dump),
                };
                Ok(MediaConnection {
                    writer: Box::new(writer),
                    ..connection
                })
            }
            Err(error) => {
                tracing::warn!(%error, stream, "the session is not dumped");
                Ok(connection)
            }
        }
    }
}

impl MediaTransport for FileDumpTransport {
    fn open(&self, request: PutMediaRequest) -> LocalFuture<'_, Result<MediaConnection, ClientError>> {
        Box::pin(self.open_session(request))
    }
}

impl std::fmt::Debug for FileDumpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileDumpTransport")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// A file being written.
struct Dump {
    path: PathBuf,
    file: File,
}

impl Dump {
    async fn create(directory: &Path, stream: &str) -> Result<Self, ClientError> {
        let fail = |path: &Path, source: std::io::Error| {
            let text = format!("dump file {}: {source}", path.display());
            ClientError::new(ClientErrorKind::Configuration, text).with_source(source)
        };
        fs::create_dir_all(directory)
            .await
            .map_err(|source| fail(directory, source))?;
        for number in 0u32.. {
            let path = directory.join(format!("{}_{number}.mkv", file_name(stream)));
            match File::create_new(&path).await {
                Ok(file) => return Ok(Self { path, file }),
                Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(fail(&path, source)),
            }
        }
        Err(ClientError::new(
            ClientErrorKind::Configuration,
            "the directory is full of dump files",
        ))
    }

    async fn write(&mut self, chunks: &[Bytes]) -> Result<(), ClientError> {
        let path = &self.path;
        let fail = |source: std::io::Error| {
            ClientError::new(
                ClientErrorKind::Other,
                format!("dump file {}: {source}", path.display()),
            )
            .with_source(source)
        };
        for chunk in chunks {
            self.file.write_all(chunk).await.map_err(fail)?;
        }
        self.file.flush().await.map_err(fail)
    }
}

/// Stream names hold nothing that a file name can't, as far as the service accepted them; others are made
/// harmless.
fn file_name(stream: &str) -> String {
    let harmless =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
    stream
        .chars()
        .map(|character| if harmless(character) { character } else { '_' })
        .collect()
}

/// What writer and reader of a session know of each other.
#[derive(Default)]
struct Session {
    over: Cell<Over>,
    changed: Notify,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Over {
    #[default]
    No,
    Finished,
    Aborted,
}

impl Session {
    fn end(&self, over: Over) {
        if self.over.get() == Over::No {
            self.over.set(over);
            self.changed.notify_one();
        }
    }
}

struct FileWriter {
    dump: Dump,
    session: Rc<Session>,
}

impl MediaWriter for FileWriter {
    fn write<'a>(&'a mut self, chunks: &'a mut Vec<Bytes>) -> LocalFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            let taken = std::mem::take(chunks);
            self.dump.write(&taken).await
        })
    }

    fn finish(&mut self) -> LocalFuture<'_, Result<(), ClientError>> {
        Box::pin(async move {
            self.session.end(Over::Finished);
            Ok(())
        })
    }

    fn abort(self: Box<Self>) {}
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        self.session.end(Over::Aborted);
    }
}

struct FileReader {
    session: Rc<Session>,
    head_given: bool,
}

impl MediaReader for FileReader {
    fn next(&mut self) -> LocalFuture<'_, Result<MediaEvent, ClientError>> {
        Box::pin(async move {
            if !std::mem::replace(&mut self.head_given, true) {
                return Ok(MediaEvent::Head { request_id: None });
            }
            loop {
                match self.session.over.get() {
                    Over::Finished => return Ok(MediaEvent::End),
                    Over::Aborted => return Err(ClientError::new(ClientErrorKind::ConnectionLost, "")),
                    Over::No => self.session.changed.notified().await,
                }
            }
        })
    }
}

struct TeeWriter {
    inner: Box<dyn MediaWriter>,
    /// Gone once it can't be written any more.
    dump: Option<Dump>,
}

impl MediaWriter for TeeWriter {
    fn write<'a>(&'a mut self, chunks: &'a mut Vec<Bytes>) -> LocalFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            if let Some(dump) = &mut self.dump
                && let Err(error) = dump.write(chunks).await
            {
                tracing::warn!(%error, "the rest of the session is not dumped");
                self.dump = None;
            }
            self.inner.write(chunks).await
        })
    }

    fn finish(&mut self) -> LocalFuture<'_, Result<(), ClientError>> {
        self.inner.finish()
    }

    fn abort(self: Box<Self>) {
        self.inner.abort();
    }
}
