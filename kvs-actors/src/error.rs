//! The error type of this crate, and the refusal of a frame.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use kvs_client::{ClientError, ClientErrorKind};
use kvs_mkv::{Frame, MkvError, OrderErrorKind};

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamErrorKind {
    /// A setting is out of its range.
    InvalidConfig,
    /// The service or the way to it failed.
    Service(ClientErrorKind),
    /// The service answered a fragment with an error acknowledgement of this code.
    Ack(u32),
    /// The stream doesn't exist and may not be created.
    StreamNotFound,
    /// The content store failed.
    Store,
    /// Media could not be muxed.
    Mux,
    /// A tag or an event is over the service's limits.
    Metadata,
    /// The producer has no stream with this name, or already has one.
    StreamName,
    /// The stream or the producer has stopped.
    Stopped,
    /// Something inside did not answer in time.
    Timeout,
}

/// A failure of a stream or a producer.
#[derive(Debug, Clone)]
pub struct StreamError {
    kind: StreamErrorKind,
    stream: Option<String>,
    message: String,
    fatal: bool,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StreamError {
    /// An error of a kind, with a text that says what it was about. Drivers of a machine report with it what they couldn't do.
    pub fn new(kind: StreamErrorKind, message: impl Into<String>) -> Self {
        StreamError {
            kind,
            stream: None,
            message: message.into(),
            fatal: false,
            source: None,
        }
    }

    pub(crate) fn service(error: &Arc<ClientError>) -> Self {
        StreamError {
            kind: StreamErrorKind::Service(error.kind()),
            stream: None,
            message: error.to_string(),
            fatal: false,
            source: Some(Arc::clone(error) as Arc<dyn Error + Send + Sync>),
        }
    }

    pub(crate) fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn on_stream(mut self, stream: &str) -> Self {
        self.stream = Some(stream.to_owned());
        self
    }

    pub(crate) fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> StreamErrorKind {
        self.kind
    }

    /// The stream that failed.
    #[must_use]
    pub fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }

    /// Whether the stream has ended by it. All other failures are retried for as long as the stream lives.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stream {
            Some(stream) => write!(f, "stream {stream}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// Why a frame was not accepted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PutErrorKind {
    /// The byte budget had no room within the time given.
    Full {
        /// What the frame would have taken of the budget, in bytes.
        needed: u64,
        /// What was left of it.
        available: u64,
    },
    /// The frame alone is larger than the whole byte budget.
    TooLarge {
        /// What the frame would take of the budget, in bytes.
        needed: u64,
        /// The whole budget.
        limit: u64,
    },
    /// The frame, its codec data or its time is not valid; the source says where.
    Invalid(Arc<MkvError>),
    /// The frame's track or time does not fit the stream's.
    Order {
        /// What doesn't fit.
        kind: OrderErrorKind,
        /// The same in words, with the tracks and times in question.
        text: String,
    },
    /// The stream was stopped.
    Stopped,
}

/// A frame was not accepted. It is given back, and nothing of it was kept.
#[derive(Debug, Clone)]
pub struct PutError {
    kind: PutErrorKind,
    frame: Box<Frame>,
}

impl PutError {
    pub(crate) fn new(kind: PutErrorKind, frame: Frame) -> Self {
        PutError {
            kind,
            frame: Box::new(frame),
        }
    }

    /// Why the frame was not accepted.
    #[must_use]
    pub fn kind(&self) -> &PutErrorKind {
        &self.kind
    }

    /// The frame as it was put.
    #[must_use]
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Gives the frame back.
    #[must_use]
    pub fn into_frame(self) -> Frame {
        *self.frame
    }

    /// Whether the same frame may be accepted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, PutErrorKind::Full { .. })
    }
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            PutErrorKind::Full { needed, available } => {
                write!(
                    f,
                    "buffer full: the frame needs {needed} bytes and {available} are free"
                )
            }
            PutErrorKind::TooLarge { needed, limit } => {
                write!(
                    f,
                    "frame too large: it needs {needed} bytes and the whole buffer has {limit}"
                )
            }
            PutErrorKind::Invalid(error) => write!(f, "invalid frame: {error}"),
            PutErrorKind::Order { text, .. } => write!(f, "frame out of order: {text}"),
            PutErrorKind::Stopped => f.write_str("the stream was stopped"),
        }
    }
}

impl Error for PutError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            PutErrorKind::Invalid(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
