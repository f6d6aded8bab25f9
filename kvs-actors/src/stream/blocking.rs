//! The door to a stream for code that isn't asynchronous.

use std::time::Duration;

use kvs_mkv::Frame;

use super::StreamHandle;
use super::handle::GRACE;
use super::intake::Accepted;
use super::messages::{Flush, FlushUntil, Stop};
use crate::blocking::wait_within;
use crate::error::{PutError, StreamError};
use crate::report::StopReport;

/// # For code that isn't asynchronous
///
/// These hold the calling thread up, for as long as their timeouts say, and need no runtime around them. Inside
/// asynchronous code they would hold up all other tasks of the thread: call their namesakes there. On a thread of the
/// producer itself, as after [`start_here`](crate::ProducerBuilder::start_here), nobody is left to answer, so that they end
/// at their timeouts.
impl StreamHandle {
    /// Puts a frame, waiting for room as long as the stream's put timeout says.
    ///
    /// # Errors
    /// As [`put_frame`](Self::put_frame).
    pub fn blocking_put_frame(&self, frame: Frame) -> Result<Accepted, PutError> {
        self.blocking_put_frame_within(frame, self.shared.config.put_timeout)
    }

    /// Puts a frame, waiting for room for `timeout` at most.
    ///
    /// # Errors
    /// As [`put_frame`](Self::put_frame).
    pub fn blocking_put_frame_within(&self, frame: Frame, timeout: Duration) -> Result<Accepted, PutError> {
        let needed = match self.needed_by(&frame) {
            Ok(needed) => needed,
            Err(kind) => return Err(PutError::new(kind, frame)),
        };
        if let Some(charge) = self.shared.budget.try_reserve(needed) {
            return self.accept(frame, charge);
        }
        if timeout.is_zero() {
            return Err(PutError::new(self.full(needed), frame));
        }
        let _wish = self.shared.want_room(needed);
        match wait_within(timeout, self.shared.budget.reserve(needed)) {
            Some(Ok(charge)) => self.accept(frame, charge),
            Some(Err(_)) | None => Err(PutError::new(self.full(needed), frame)),
        }
    }

    /// Waits until what was accepted is durable in the content store or, asked so, delivered.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn blocking_flush(&self, until: FlushUntil, timeout: Duration) -> Result<(), StreamError> {
        wait_within(timeout, self.asking(|| Flush { until }))
            .unwrap_or_else(|| Err(self.no_answer(timeout)))?
    }

    /// Delivers what is buffered and stops the stream, at the latest after `timeout`.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub fn blocking_stop(&self, timeout: Duration) -> Result<StopReport, StreamError> {
        let patience = timeout.saturating_add(GRACE);
        wait_within(patience, self.asking(|| Stop { timeout }))
            .unwrap_or_else(|| Err(self.no_answer(patience)))?
    }
}
