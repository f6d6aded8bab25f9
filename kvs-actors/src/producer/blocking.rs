//! The door to a producer for code that isn't asynchronous.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::actor::{OpenStream, ProducerActor, StopProducer};
use super::handle::{ANSWER, ProducerHandle, no_answer, stopped};
use crate::blocking::wait_within;
use crate::config::StreamConfig;
use crate::error::StreamError;
use crate::events::{LogEvents, StreamEvents};
use crate::report::StopReport;
use crate::stream::StreamHandle;

/// # For code that isn't asynchronous
///
/// These hold the calling thread up, for as long as their timeouts say, and need no runtime around them. Inside
/// asynchronous code they would hold up all other tasks of the thread: call their namesakes there. On a thread of the
/// producer itself, as after [`start_here`](crate::ProducerBuilder::start_here), nobody is left to answer, so that they end
/// at their timeouts.
///
/// ```no_run
/// use std::time::Duration;
/// use kvs_actors::{Producer, StreamConfig};
/// # fn example(frames: Vec<kvs_mkv::Frame>) -> Result<(), Box<dyn std::error::Error>> {
/// let producer = Producer::builder()
///     .credentials(kvs_auth::EnvironmentCredentials::new())
///     .start()?;
/// let stream = producer.blocking_open_stream(StreamConfig::realtime("front-door").h264())?;
/// for frame in frames {
///     stream.blocking_put_frame(frame)?;
/// }
/// let report = stream.blocking_stop(Duration::from_secs(10))?;
/// println!("{} frames delivered", report.frames.delivered.frames);
/// producer.blocking_stop(Duration::from_secs(1))?;
/// # Ok(())
/// # }
/// ```
impl ProducerHandle {
    /// Opens a stream whose events are logged.
    ///
    /// # Errors
    /// As [`open_stream`](Self::open_stream).
    pub fn blocking_open_stream(&self, config: StreamConfig) -> Result<StreamHandle, StreamError> {
        self.blocking_open_stream_with(config, LogEvents)
    }

    /// Opens a stream with callbacks of one's own.
    ///
    /// # Errors
    /// As [`open_stream`](Self::open_stream).
    pub fn blocking_open_stream_with(
        &self,
        config: StreamConfig,
        events: impl StreamEvents,
    ) -> Result<StreamHandle, StreamError> {
        let open = OpenStream {
            config,
            callbacks: Arc::new(events),
        };
        self.wait_for(open, ANSWER)?
    }

    /// Stops all streams, at the latest after `timeout`, and ends the producer's threads. Reports come for every stream that
    /// was still open.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub fn blocking_stop(&self, timeout: Duration) -> Result<Vec<StopReport>, StreamError> {
        let reports = self.wait_for(StopProducer { timeout }, timeout.saturating_add(ANSWER))?;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Its system ends with its actor; joining takes no longer than that.
            let _ = thread.join();
        }
        Ok(reports)
    }

    fn wait_for<M>(&self, message: M, timeout: Duration) -> Result<M::Result, StreamError>
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        ProducerActor: actix::Handler<M>,
    {
        match wait_within(timeout, self.actor.send(message)) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) => Err(stopped()),
            None => Err(no_answer(timeout)),
        }
    }
}
