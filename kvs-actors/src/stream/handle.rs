//! [`StreamHandle`]: the door to a stream, from any thread and any runtime.

use std::sync::Arc;
use std::time::Duration;

use kvs_mkv::{FragmentEvent, Frame, MkvError, Tag};
use kvs_storage::{ITEM_OVERHEAD, Reservation};
use tokio::sync::{broadcast, watch};

use super::intake::Accepted;
use super::messages::{Flush, FlushUntil, Observe, ResetConnection, ResetStream, Stop};
use super::shared::StreamShared;
use crate::error::{PutError, PutErrorKind, StreamError, StreamErrorKind};
use crate::events::StreamEvent;
use crate::report::{StopReport, StreamStatus};

/// What adapting a frame usually adds to it: a longer length field for each of its NAL units.
const ADAPTATION_SLACK: u64 = 64;

/// How much longer than its own timeout an answer of the actor is waited for.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// A stream. Clones are the same stream; they are `Send` and `Sync`.
///
/// Dropping all handles changes nothing: what was accepted is delivered, and the stream goes on until it is stopped here or
/// with its producer.
#[derive(Clone)]
pub struct StreamHandle {
    pub(super) shared: Arc<StreamShared>,
}

impl std::fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamHandle")
            .field("stream", &self.name())
            .finish_non_exhaustive()
    }
}

impl StreamHandle {
    pub(crate) fn new(shared: Arc<StreamShared>) -> Self {
        StreamHandle { shared }
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// Puts a frame, waiting for room as long as the stream's put timeout says.
    ///
    /// Once accepted, the frame is validated, stamped and charged to the byte budget; it is delivered, or reported as
    /// dropped with a reason. Dropping the future means that it was not accepted.
    ///
    /// # Errors
    /// [`PutError`] gives the frame back and says why it was not accepted.
    pub async fn put_frame(&self, frame: Frame) -> Result<Accepted, PutError> {
        self.put_frame_within(frame, self.shared.config.put_timeout).await
    }

    /// Puts a frame, waiting for room for `timeout` at most.
    ///
    /// # Errors
    /// As [`put_frame`](Self::put_frame).
    pub async fn put_frame_within(&self, frame: Frame, timeout: Duration) -> Result<Accepted, PutError> {
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
        match tokio::time::timeout(timeout, self.shared.budget.reserve(needed)).await {
            Ok(Ok(charge)) => self.accept(frame, charge),
            Ok(Err(_)) | Err(_) => Err(PutError::new(self.full(needed), frame)),
        }
    }

    /// Puts a frame if there is room for it now.
    ///
    /// # Errors
    /// As [`put_frame`](Self::put_frame).
    pub fn try_put_frame(&self, frame: Frame) -> Result<Accepted, PutError> {
        let needed = match self.needed_by(&frame) {
            Ok(needed) => needed,
            Err(kind) => return Err(PutError::new(kind, frame)),
        };
        match self.shared.budget.try_reserve(needed) {
            Some(charge) => self.accept(frame, charge),
            None => {
                self.shared.suggest_room(needed);
                Err(PutError::new(self.full(needed), frame))
            }
        }
    }

    /// Puts a tag on the fragment that is open: at most 10 for each fragment, names of up to 128 bytes and values of up to
    /// 256.
    ///
    /// # Errors
    /// [`StreamErrorKind::Metadata`] for a tag over these limits or with a name that begins with `AWS`.
    pub fn put_metadata(&self, name: impl Into<String>, value: impl Into<String>) -> Result<(), StreamError> {
        let tag = Tag::new(name, value).map_err(|error| self.refused_metadata(error))?;
        self.shared
            .intake()
            .metadata
            .put(tag)
            .map_err(|error| self.refused_metadata(error))
    }

    /// Puts a tag on the fragment that is open and on all that follow, until it is replaced by one of the same name, or
    /// taken away by an empty value.
    ///
    /// # Errors
    /// As [`put_metadata`](Self::put_metadata).
    pub fn put_persistent_metadata(
        &self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), StreamError> {
        let tag = Tag::new(name, value).map_err(|error| self.refused_metadata(error))?;
        self.shared
            .intake()
            .metadata
            .put_persistent(tag)
            .map_err(|error| self.refused_metadata(error))
    }

    /// Asks the service to do something when it has the fragment that is open.
    ///
    /// # Errors
    /// [`StreamErrorKind::Metadata`] for an event the fragment has already, or tags over the limits.
    pub fn put_event(&self, event: FragmentEvent) -> Result<(), StreamError> {
        self.shared
            .intake()
            .metadata
            .put_event(event)
            .map_err(|error| self.refused_metadata(error))
    }

    fn refused_metadata(&self, error: MkvError) -> StreamError {
        StreamError::new(StreamErrorKind::Metadata, error.to_string())
            .with_source(error)
            .on_stream(self.name())
    }

    /// Waits until what was accepted is durable in the content store or, asked so, delivered.
    ///
    /// # Errors
    /// [`StreamErrorKind::Timeout`] after `timeout`, [`StreamErrorKind::Store`] where the store failed,
    /// [`StreamErrorKind::Stopped`] where the stream has stopped.
    pub async fn flush(&self, until: FlushUntil, timeout: Duration) -> Result<(), StreamError> {
        self.ask(timeout, || Flush { until }).await?
    }

    /// Delivers what is buffered and stops the stream, at the latest after `timeout`.
    ///
    /// # Errors
    /// [`StreamErrorKind::Stopped`] where the stream had stopped before.
    pub async fn stop(&self, timeout: Duration) -> Result<StopReport, StreamError> {
        self.ask(timeout.saturating_add(GRACE), || Stop { timeout })
            .await?
    }

    /// Ends the session in hand and opens another, keeping all media.
    ///
    /// # Errors
    /// [`StreamErrorKind::Stopped`] where the stream has stopped.
    pub async fn reset_connection(&self) -> Result<(), StreamError> {
        self.ask(GRACE, || ResetConnection).await
    }

    /// Drops all media that is held, and begins anew with asking the service for the stream.
    ///
    /// # Errors
    /// [`StreamErrorKind::Stopped`] where the stream has stopped.
    pub async fn reset_stream(&self) -> Result<(), StreamError> {
        self.ask(GRACE, || ResetStream).await
    }

    /// The status as it is at this moment, asked of the stream's actor.
    ///
    /// # Errors
    /// [`StreamErrorKind::Stopped`] where the stream has stopped, [`StreamErrorKind::Timeout`] where its thread is held up.
    pub async fn observe(&self) -> Result<StreamStatus, StreamError> {
        self.ask(GRACE, || Observe).await
    }

    /// The status as it was told last: at each change of state, acknowledgement and event. Still there after the end.
    #[must_use]
    pub fn status(&self) -> StreamStatus {
        self.shared.status.borrow().clone()
    }

    /// Follows the status.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<StreamStatus> {
        self.shared.status.subscribe()
    }

    /// The events from now on. A reader that lags more than 1,024 events behind misses the oldest.
    #[must_use]
    pub fn events(&self) -> EventStream {
        EventStream {
            events: self.shared.events.subscribe(),
        }
    }

    /// What the frame takes of the budget, at least.
    pub(super) fn needed_by(&self, frame: &Frame) -> Result<u64, PutErrorKind> {
        let needed = frame.data.len() as u64 + ITEM_OVERHEAD + ADAPTATION_SLACK;
        let limit = self.shared.budget.limit();
        if needed > limit {
            Err(PutErrorKind::TooLarge { needed, limit })
        } else {
            Ok(needed)
        }
    }

    pub(super) fn full(&self, needed: u64) -> PutErrorKind {
        PutErrorKind::Full {
            needed,
            available: self.shared.budget.available(),
        }
    }

    pub(super) fn accept(&self, frame: Frame, charge: Reservation) -> Result<Accepted, PutError> {
        let wall = self.shared.clock.wall();
        let budget = &self.shared.budget;
        let extra = |more| budget.try_reserve(more).ok_or_else(|| self.full(more));
        let mut intake = self.shared.intake();
        let accepted = intake.put(frame, charge, wall, extra)?;
        let has_ready = intake.has_ready();
        drop(intake);
        if has_ready {
            self.shared.wake.notify_one();
        }
        Ok(accepted)
    }

    async fn ask<M>(&self, timeout: Duration, message: impl Fn() -> M) -> Result<M::Result, StreamError>
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        super::StreamActor: actix::Handler<M>,
    {
        tokio::time::timeout(timeout, self.asking(message))
            .await
            .unwrap_or_else(|_| Err(self.no_answer(timeout)))
    }

    /// Asks the stream's actor, and its successor where it panics before it answers.
    pub(super) async fn asking<M>(&self, message: impl Fn() -> M) -> Result<M::Result, StreamError>
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        super::StreamActor: actix::Handler<M>,
    {
        let mut gone = None;
        loop {
            let actor = self.shared.actor(gone.as_ref()).await?;
            match actor.send(message()).await {
                Ok(answer) => return Ok(answer),
                Err(_) => gone = Some(actor),
            }
        }
    }

    pub(super) fn no_answer(&self, timeout: Duration) -> StreamError {
        let text = format!("no answer within {timeout:?}");
        StreamError::new(StreamErrorKind::Timeout, text).on_stream(self.name())
    }
}

/// The events of a stream, one after another.
#[derive(Debug)]
pub struct EventStream {
    events: broadcast::Receiver<StreamEvent>,
}

impl EventStream {
    /// The next event; `None` after the stream's end. Cancel-safe.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            match self.events.recv().await {
                Ok(event) => return Some(event),
                // The oldest were missed; go on with what is there.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
