//! Why a mock endpoint couldn't start.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// The kinds of [`MockError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MockErrorKind {
    /// The address can't be listened on: in use, not of this machine, or not permitted.
    Bind,
    /// The certificate couldn't be made or read.
    Certificate,
    /// The server's thread or runtime couldn't be started.
    Runtime,
    /// A file or directory can't be read or written.
    File,
    /// A script, an address or another setting isn't valid.
    Setting,
}

/// Why a mock endpoint couldn't start.
#[derive(Debug)]
pub struct MockError {
    kind: MockErrorKind,
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl MockError {
    pub(super) fn bind(address: SocketAddr, source: io::Error) -> MockError {
        MockError {
            kind: MockErrorKind::Bind,
            context: format!("can't listen on {address}"),
            source: Some(source.into()),
        }
    }

    pub(super) fn new(
        kind: MockErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> MockError {
        MockError {
            kind,
            context: context.into(),
            source: Some(source.into()),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> MockErrorKind {
        self.kind
    }
}

impl fmt::Display for MockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for MockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| -> &(dyn std::error::Error + 'static) { source.as_ref() })
    }
}
