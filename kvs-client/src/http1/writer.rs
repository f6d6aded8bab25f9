//! The sending half: a chunked body in vectored writes.

use std::{
    cell::Cell,
    future::poll_fn,
    io::{self, IoSlice, Write},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use crate::ClientError;

/// How many pieces go into one system call.
const PIECES_PER_WRITE: usize = 64;

/// Ends a chunk (RFC 9112 §7.1).
const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk, of size 0, and an empty trailer section.
const BODY_END: &[u8] = b"0\r\n\r\n";

/// Room for a chunk's size in hexadecimal and a line end.
const CHUNK_HEAD: usize = 2 * size_of::<u64>() + 2;

/// Writes a request head, then a body in chunks: one per batch. What a dropped future leaves unsent is sent
/// first the next time, so that the framing never breaks.
pub(crate) struct ChunkedWriter {
    io: Box<dyn AsyncWrite + Unpin>,
    /// The pieces under way: what was queued last, framed.
    pieces: Vec<Piece>,
    /// The first piece not wholly written, and how much of it is.
    index: usize,
    written: usize,
    flushed: Flushed,
    body: BodyState,
    /// Tells the reader that the connection broke, as the sockets of some systems report that only once.
    lost: Rc<Cell<bool>>,
}

enum Piece {
    Payload(Bytes),
    Head(Vec<u8>),
    Size([u8; CHUNK_HEAD], usize),
    Fixed(&'static [u8]),
}

impl Piece {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Payload(bytes) => bytes,
            Self::Head(bytes) => bytes,
            Self::Size(bytes, len) => &bytes[..*len],
            Self::Fixed(bytes) => bytes,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Flushed {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq)]
enum BodyState {
    Open,
    Finished,
}

impl ChunkedWriter {
    /// A writer that sends `head` first.
    pub(crate) fn new(io: Box<dyn AsyncWrite + Unpin>, head: Vec<u8>, lost: Rc<Cell<bool>>) -> Self {
        Self {
            io,
            pieces: vec![Piece::Head(head)],
            index: 0,
            written: 0,
            flushed: Flushed::No,
            body: BodyState::Open,
            lost,
        }
    }

    /// Sends what is queued and flushes.
    pub(crate) async fn drain(&mut self) -> Result<(), ClientError> {
        let result = poll_fn(|context| self.poll_drain(context)).await;
        result.map_err(|error| {
            self.lost.set(true);
            ClientError::from_io(error)
        })
    }

    /// Takes all of `chunks` and sends them as one chunk.
    pub(crate) async fn write(&mut self, chunks: &mut Vec<Bytes>) -> Result<(), ClientError> {
        self.drain().await?;
        let len: usize = chunks.iter().map(Bytes::len).sum();
        if len == 0 || self.body == BodyState::Finished {
            chunks.clear();
            return Ok(());
        }
        self.pieces.push(chunk_size(len));
        self.pieces.extend(
            chunks
                .drain(..)
                .filter(|chunk| !chunk.is_empty())
                .map(Piece::Payload),
        );
        self.pieces.push(Piece::Fixed(CHUNK_END));
        self.flushed = Flushed::No;
        self.drain().await
    }

    /// Ends the body.
    pub(crate) async fn finish(&mut self) -> Result<(), ClientError> {
        if self.body == BodyState::Open {
            self.body = BodyState::Finished;
            self.pieces.push(Piece::Fixed(BODY_END));
            self.flushed = Flushed::No;
        }
        self.drain().await
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.index < self.pieces.len() {
            let count = ready!(self.poll_write(context))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            self.advance(count);
        }
        self.pieces.clear();
        self.index = 0;
        if self.flushed == Flushed::No {
            ready!(Pin::new(&mut self.io).poll_flush(context))?;
            self.flushed = Flushed::Yes;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces[self.index..]) {
            let skipped = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&piece.as_bytes()[skipped..]);
            count += 1;
        }
        Pin::new(&mut self.io).poll_write_vectored(context, &slices[..count])
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(piece) = self.pieces.get_mut(self.index) {
            let left = piece.as_bytes().len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            // A sent payload is let go at once, not with its batch.
            *piece = Piece::Fixed(&[]);
            self.index += 1;
            self.written = 0;
        }
    }
}

fn chunk_size(len: usize) -> Piece {
    let mut text = [0; CHUNK_HEAD];
    let mut rest = &mut text[..];
    // The buffer holds any length, so this can't fail.
    let _ = write!(rest, "{len:x}\r\n");
    let used = CHUNK_HEAD - rest.len();
    Piece::Size(text, used)
}
