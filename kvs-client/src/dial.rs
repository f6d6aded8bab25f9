//! Making connections.

mod tcp;

use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

pub(crate) use self::tcp::{Route, TcpDial, connect_tls, host_of};
use crate::{ClientError, LocalFuture};

/// Makes the connections that carry media. Replace it to go through a tunnel of your own.
pub trait Dial {
    /// Connects to the host of `endpoint`, with TLS for `https`, ready for HTTP/1.1.
    ///
    /// # Errors
    ///
    /// [`Connect`](crate::ClientErrorKind::Connect), [`Tls`](crate::ClientErrorKind::Tls) or
    /// [`Timeout`](crate::ClientErrorKind::Timeout), with the endpoint.
    fn dial<'a>(&'a self, endpoint: &'a Url) -> LocalFuture<'a, Result<Duplex, ClientError>>;
}

/// A byte stream in both directions, whose halves work independently of each other.
pub struct Duplex {
    /// What the peer sends.
    pub read: Box<dyn AsyncRead + Unpin>,
    /// What the peer gets. Written to with vectored writes where it supports them.
    pub write: Box<dyn AsyncWrite + Unpin>,
}

impl std::fmt::Debug for Duplex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Duplex").finish_non_exhaustive()
    }
}
