//! What a stream's actor can be asked.

use std::time::Duration;

use actix::Message;

use crate::error::StreamError;
use crate::report::{StopReport, StreamStatus};

/// Deliver what is buffered and stop.
#[derive(Debug, Message)]
#[rtype(result = "Result<StopReport, StreamError>")]
pub(crate) struct Stop {
    pub(crate) timeout: Duration,
}

/// How far a flush waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushUntil {
    /// Until what is in order is durable in the content store.
    Durable,
    /// Until everything accepted is delivered. The open fragment is closed for it, so the next one starts with a key frame.
    Delivered,
}

/// Wait until what was accepted is safe.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), StreamError>")]
pub(crate) struct Flush {
    pub(crate) until: FlushUntil,
}

/// End the session in hand and open another.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ResetConnection;

/// Drop all media and begin anew.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ResetStream;

/// Tell the state.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "StreamStatus")]
pub struct Observe;
