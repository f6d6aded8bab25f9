//! A connection's socket, plain or TLS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Free space made in a buffer before it is read into.
const READ_SIZE: usize = 64 * 1024;

/// How long a closed connection waits for its peer to take the last bytes.
const LINGER: Duration = Duration::from_secs(1);

/// A connection's socket.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Reads what is there into the buffer; 0 at the end. Cancel-safe.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if buffer.capacity() - buffer.len() < READ_SIZE / 4 {
            buffer.reserve(READ_SIZE);
        }
        self.read_buf(buffer).await
    }

    /// Writes all of it, now.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        self.flush().await
    }

    fn stream(&self) -> &TcpStream {
        match self {
            Socket::Plain(stream) => stream,
            Socket::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Our end's address; unspecified once the connection is gone.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.stream()
            .local_addr()
            .unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    /// Closes the connection with a reset (RST) instead of an orderly end.
    pub(super) fn reset(self) {
        if let Err(error) = self.stream().set_zero_linger() {
            tracing::debug!(%error, "the connection is closed instead of reset");
        }
    }

    /// Ends our half, then reads away what the peer still sends: a socket closed with unread bytes is reset,
    /// and a reset can overtake the answer.
    pub(super) async fn close(mut self) {
        let drained = async {
            self.shutdown().await?;
            let mut scratch = BytesMut::new();
            while self.read(&mut scratch).await? > 0 {
                scratch.advance(scratch.len());
            }
            io::Result::Ok(())
        };
        // The peer may be gone or never stop sending; either way it had its chance.
        let _ = tokio::time::timeout(LINGER, drained).await;
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
