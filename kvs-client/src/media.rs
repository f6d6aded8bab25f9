//! PutMedia as a seam: a duplex connection that takes Matroska and gives ACKs.

use std::time::SystemTime;

use bytes::Bytes;
use url::Url;

use crate::{Ack, ClientError, LocalFuture};

/// Opens PutMedia sessions.
///
/// Ships with [`HttpMediaTransport`](crate::HttpMediaTransport),
/// [`LoopbackTransport`](crate::LoopbackTransport) and [`FileDumpTransport`](crate::FileDumpTransport). The
/// futures are local: one value serves one thread.
pub trait MediaTransport {
    /// Opens a session. When the future resolves the connection stands and the request head is on its way;
    /// whether the service takes the session is told by the reader, as [`MediaEvent::Head`] or as an error.
    ///
    /// # Errors
    ///
    /// [`Connect`](crate::ClientErrorKind::Connect), [`Tls`](crate::ClientErrorKind::Tls),
    /// [`Timeout`](crate::ClientErrorKind::Timeout),
    /// [`ConnectionLost`](crate::ClientErrorKind::ConnectionLost) or
    /// [`Credentials`](crate::ClientErrorKind::Credentials).
    fn open(&self, request: PutMediaRequest) -> LocalFuture<'_, Result<MediaConnection, ClientError>>;
}

/// What a PutMedia session is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutMediaRequest {
    /// The data endpoint for [`ApiName::PutMedia`](crate::ApiName::PutMedia), without path.
    pub endpoint: Url,
    /// The stream's name.
    pub stream: String,
    /// What the cluster timecodes mean.
    pub timecodes: TimecodeType,
    /// The time that relative timecodes count from; sent in seconds with three decimals, rounded down.
    /// Required by the service for relative timecodes.
    pub start_timestamp: Option<SystemTime>,
    /// Whether the service shall acknowledge fragments.
    pub acks: AckMode,
}

impl PutMediaRequest {
    /// A session with absolute timecodes and ACKs.
    pub fn new(endpoint: Url, stream: impl Into<String>) -> Self {
        Self {
            endpoint,
            stream: stream.into(),
            timecodes: TimecodeType::Absolute,
            start_timestamp: None,
            acks: AckMode::Required,
        }
    }

    /// Timecodes count from `start`.
    #[must_use]
    pub fn relative_to(mut self, start: SystemTime) -> Self {
        self.timecodes = TimecodeType::Relative;
        self.start_timestamp = Some(start);
        self
    }

    /// Asks for ACKs or not.
    #[must_use]
    pub fn acks(mut self, acks: AckMode) -> Self {
        self.acks = acks;
        self
    }
}

/// What the cluster timecodes of a session mean (`x-amzn-fragment-timecode-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimecodeType {
    /// Time since the epoch.
    Absolute,
    /// Time since the start timestamp of the session.
    Relative,
}

/// Whether the service acknowledges fragments (`x-amzn-fragment-acknowledgment-required`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckMode {
    /// It does.
    Required,
    /// It doesn't; what was written counts as delivered.
    Off,
}

/// An open session. The halves live apart: the reader works while the writer waits, and goes on after it
/// failed.
pub struct MediaConnection {
    /// Takes the media.
    pub writer: Box<dyn MediaWriter>,
    /// Gives the answers.
    pub reader: Box<dyn MediaReader>,
}

impl std::fmt::Debug for MediaConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaConnection").finish_non_exhaustive()
    }
}

/// The sending half of a session.
pub trait MediaWriter {
    /// Writes a batch: takes every chunk out of `chunks`, sends them as one, and flushes. The payloads aren't
    /// copied (except by TLS). An empty batch writes nothing.
    ///
    /// When the future is dropped before it resolves, what was not yet sent stays with the writer and goes
    /// first the next time.
    ///
    /// # Errors
    ///
    /// [`ConnectionLost`](crate::ClientErrorKind::ConnectionLost) if the connection broke. The reader may
    /// still hold ACKs, and the service's verdict: read on until it ends.
    fn write<'a>(&'a mut self, chunks: &'a mut Vec<Bytes>) -> LocalFuture<'a, Result<(), ClientError>>;

    /// Ends the body cleanly; the reader goes on until the service has ended the response.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    fn finish(&mut self) -> LocalFuture<'_, Result<(), ClientError>>;

    /// Gives the session up without ending the body; the service discards the fragment under way. The
    /// connection closes once the reader is dropped, too.
    fn abort(self: Box<Self>);
}

/// The receiving half of a session.
pub trait MediaReader {
    /// The next event. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// An answer other than 2xx is the error that it stands for and never an ACK. The end of the connection
    /// in the middle of the response is [`ConnectionLost`](crate::ClientErrorKind::ConnectionLost), after all
    /// ACKs that had arrived. An ACK that can't be read is [`Protocol`](crate::ClientErrorKind::Protocol);
    /// reading may go on after it.
    fn next(&mut self) -> LocalFuture<'_, Result<MediaEvent, ClientError>>;
}

/// What the service says during a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaEvent {
    /// The service has taken the session (HTTP 200).
    Head {
        /// The id the service gave the request.
        request_id: Option<String>,
    },
    /// An acknowledgement.
    Ack(Ack),
    /// The service has ended the response. Every later call gives this again.
    End,
}
