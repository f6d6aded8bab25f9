//! [`ProducerHandle`]: the door to a producer, from any thread and any runtime.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use actix::Addr;

use super::actor::{ObserveProducer, OpenStream, ProducerActor, ProducerState, StopProducer};
use crate::config::StreamConfig;
use crate::error::{StreamError, StreamErrorKind};
use crate::events::{LogEvents, StreamEvents};
use crate::report::StopReport;
use crate::stream::StreamHandle;

/// How long an answer of the producer's thread is waited for.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// A producer. Clones are the same producer; they are `Send` and `Sync`.
///
/// Dropping all handles leaves its streams running until the process ends; [`stop`](Self::stop) ends them in good order.
#[derive(Clone)]
pub struct ProducerHandle {
    pub(super) actor: Addr<ProducerActor>,
    pub(super) thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for ProducerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerHandle").finish_non_exhaustive()
    }
}

impl ProducerHandle {
    pub(super) fn new(actor: Addr<ProducerActor>, thread: Option<JoinHandle<()>>) -> Self {
        ProducerHandle {
            actor,
            thread: Arc::new(Mutex::new(thread)),
        }
    }

    /// The actor behind it, for use inside actix.
    #[must_use]
    pub fn actor(&self) -> &Addr<ProducerActor> {
        &self.actor
    }

    /// Opens a stream whose events are logged.
    ///
    /// It returns at once; the stream is prepared with the service meanwhile, and frames can be put. Being offline is a
    /// normal state.
    ///
    /// # Errors
    /// [`StreamErrorKind::InvalidConfig`] naming the setting, [`StreamErrorKind::StreamName`] for a second stream of the same
    /// name, [`StreamErrorKind::Stopped`] after the producer's end.
    pub async fn open_stream(&self, config: StreamConfig) -> Result<StreamHandle, StreamError> {
        self.open_stream_with(config, LogEvents).await
    }

    /// Opens a stream with callbacks of one's own.
    ///
    /// # Errors
    /// As [`open_stream`](Self::open_stream).
    pub async fn open_stream_with(
        &self,
        config: StreamConfig,
        events: impl StreamEvents,
    ) -> Result<StreamHandle, StreamError> {
        let open = OpenStream {
            config,
            callbacks: Arc::new(events),
        };
        self.ask(open, ANSWER).await?
    }

    /// What the producer is doing now.
    ///
    /// # Errors
    /// [`StreamErrorKind::Stopped`] after its end.
    pub async fn observe(&self) -> Result<ProducerState, StreamError> {
        self.ask(ObserveProducer, ANSWER).await
    }

    /// Stops all streams, at the latest after `timeout`, and ends the producer's threads. Reports come for every stream that
    /// was still open.
    ///
    /// # Errors
    /// [`StreamErrorKind::Stopped`] after its end.
    pub async fn stop(&self, timeout: Duration) -> Result<Vec<StopReport>, StreamError> {
        let reports = self
            .ask(StopProducer { timeout }, timeout.saturating_add(ANSWER))
            .await?;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Its system ends with its actor; joining takes no longer than that.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        Ok(reports)
    }

    async fn ask<M>(&self, message: M, timeout: Duration) -> Result<M::Result, StreamError>
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        ProducerActor: actix::Handler<M>,
    {
        match tokio::time::timeout(timeout, self.actor.send(message)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(stopped()),
            Err(_) => Err(no_answer(timeout)),
        }
    }
}

pub(super) fn stopped() -> StreamError {
    StreamError::new(StreamErrorKind::Stopped, "the producer has stopped")
}

pub(super) fn no_answer(timeout: Duration) -> StreamError {
    let text = format!("the producer did not answer within {timeout:?}");
    StreamError::new(StreamErrorKind::Timeout, text)
}
