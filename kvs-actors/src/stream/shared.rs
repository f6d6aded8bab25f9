//! What the handles of a stream and its actor share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::Addr;
use kvs_storage::ByteBudget;
use tokio::sync::{Notify, broadcast, watch};

use super::actor::StreamActor;
use super::intake::Intake;
use crate::clock::Clock;
use crate::config::StreamConfig;
use crate::error::{StreamError, StreamErrorKind};
use crate::events::StreamEvent;
use crate::report::StreamStatus;

/// How many events a slow reader may lag behind before it misses some.
const EVENT_BACKLOG: usize = 1024;

/// Who drives the stream.
#[derive(Debug, Clone)]
pub(crate) enum Seat {
    /// Nobody yet.
    Starting,
    /// This actor.
    Taken(Addr<StreamActor>),
    /// Nobody any more.
    Ended,
}

pub(crate) struct StreamShared {
    pub(crate) config: StreamConfig,
    pub(crate) budget: ByteBudget,
    pub(crate) clock: Arc<dyn Clock>,
    /// Wakes the stream's thread: something is ready, or room is wanted.
    pub(crate) wake: Notify,
    pub(crate) status: watch::Sender<StreamStatus>,
    pub(crate) events: broadcast::Sender<StreamEvent>,
    intake: Mutex<Intake>,
    seat: watch::Sender<Seat>,
    wishes: Mutex<Vec<u64>>,
    room_suggested: AtomicU64,
}

impl StreamShared {
    pub(crate) fn new(
        config: StreamConfig,
        budget: ByteBudget,
        clock: Arc<dyn Clock>,
        status: StreamStatus,
    ) -> Result<Self, StreamError> {
        let intake = Intake::new(&config)?;
        Ok(StreamShared {
            config,
            budget,
            clock,
            wake: Notify::new(),
            status: watch::Sender::new(status),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            intake: Mutex::new(intake),
            seat: watch::Sender::new(Seat::Starting),
            wishes: Mutex::new(Vec::new()),
            room_suggested: AtomicU64::new(0),
        })
    }

    /// The intake. A caller that panicked while it held the lock left no half-made change worth stopping the stream for.
    pub(crate) fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the stream's thread to make room for a frame that waits, as long as the wish is held.
    pub(crate) fn want_room(&self, bytes: u64) -> RoomWish<'_> {
        self.wishes().push(bytes);
        self.wake.notify_one();
        RoomWish { shared: self, bytes }
    }

    /// Asks the stream's thread to make room for a frame that was given back and may come again.
    pub(crate) fn suggest_room(&self, bytes: u64) {
        self.room_suggested.fetch_max(bytes, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// How much room the largest frame lacks that waits or was given back since this was asked last.
    pub(crate) fn lacking_room(&self) -> u64 {
        let suggested = self.room_suggested.swap(0, Ordering::AcqRel);
        let wanted = self.wishes().iter().max().copied().unwrap_or(0).max(suggested);
        if wanted == 0 {
            0
        } else {
            wanted.saturating_sub(self.budget.available())
        }
    }

    fn wishes(&self) -> MutexGuard<'_, Vec<u64>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seat(&self, seat: Seat) {
        self.seat.send_replace(seat);
    }

    /// The stream's actor, waiting for a new one where `gone` was the last.
    pub(crate) async fn actor(
        &self,
        gone: Option<&Addr<StreamActor>>,
    ) -> Result<Addr<StreamActor>, StreamError> {
        let mut seat = self.seat.subscribe();
        let settled = seat.wait_for(|seat| match seat {
            Seat::Starting => false,
            Seat::Taken(actor) => Some(actor) != gone,
            Seat::Ended => true,
        });
        match settled.await.as_deref() {
            Ok(Seat::Taken(actor)) => Ok(actor.clone()),
            _ => Err(self.stopped()),
        }
    }

    pub(crate) fn stopped(&self) -> StreamError {
        StreamError::new(StreamErrorKind::Stopped, "the stream has stopped").on_stream(&self.config.name)
    }
}

/// A frame waits for so much room until this is dropped.
pub(crate) struct RoomWish<'a> {
    shared: &'a StreamShared,
    bytes: u64,
}

impl Drop for RoomWish<'_> {
    fn drop(&mut self) {
        let mut wishes = self.shared.wishes();
        if let Some(at) = wishes.iter().position(|bytes| *bytes == self.bytes) {
            wishes.swap_remove(at);
        }
    }
}
