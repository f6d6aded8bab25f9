//! What outlives a stream's actor: its machine, its store and its sessions; and the watch that builds a new actor.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, Addr};
use kvs_storage::{ContentStore, StoreError};
use tokio::sync::oneshot;

use super::actor::StreamActor;
use super::appending::Appending;
use super::shared::{Seat, StreamShared};
use crate::error::{StreamError, StreamErrorKind};
use crate::events::{StreamEvent, StreamEvents, dispatch};
use crate::machine::{Input, SessionId, StreamMachine};
use crate::report::StopReport;
use crate::services::Services;
use crate::stored::StoredTracks;
use crate::uploader::UploaderActor;

/// After so many panics in a row a stream is given up; its media stays in its store.
const MAX_REBUILDS: u32 = 16;

/// Everything of a stream that its actor works on but does not own.
pub(crate) struct StreamSlot {
    pub(crate) shared: Arc<StreamShared>,
    pub(crate) machine: RefCell<StreamMachine>,
    pub(crate) store: Rc<dyn ContentStore>,
    /// The tracks of what is stored.
    pub(crate) formats: RefCell<StoredTracks>,
    pub(crate) services: Services,
    pub(crate) callbacks: Arc<dyn StreamEvents>,
    pub(crate) uploaders: RefCell<HashMap<SessionId, Addr<UploaderActor>>>,
    /// The Segment's UID: one for all sessions of the stream.
    pub(crate) segment_uid: [u8; 16],
    /// What was taken from the intake and is not with the machine yet.
    pub(crate) appending: RefCell<Appending>,
    /// When a stop that was asked for has its deadline, until the machine knows of it.
    pub(crate) stop_at: Cell<Option<Instant>>,
    /// Who waits for the stream to have stopped.
    pub(crate) stopping: RefCell<Vec<oneshot::Sender<Result<StopReport, StreamError>>>>,
}

impl StreamSlot {
    pub(crate) fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// Tells the application.
    pub(crate) fn tell(&self, event: StreamEvent) {
        dispatch(self.callbacks.as_ref(), self.name(), &event);
        // Nobody may listen.
        let _ = self.shared.events.send(event);
    }
}

impl StreamSlot {
    /// The content store failed at something that no frame waits for.
    pub(crate) fn store_failed(&self, error: StoreError) {
        let error = StreamError::new(StreamErrorKind::Store, error.to_string()).with_source(error);
        self.tell(StreamEvent::Error(error.on_stream(self.name())));
    }
}

/// Why a stream's actor is gone for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamExit {
    /// It was stopped.
    Stopped,
    /// It panicked again and again.
    GivenUp,
}

/// Keeps a stream driven: builds its actor, and a new one over the same slot whenever one panics.
pub(crate) async fn supervise(slot: Rc<StreamSlot>) -> StreamExit {
    let mut rebuilds = 0;
    let exit = loop {
        let (exit, exited) = oneshot::channel();
        let actor = StreamActor::new(Rc::clone(&slot), exit).start();
        slot.shared.seat(Seat::Taken(actor));
        match exited.await {
            Ok(exit) => break exit,
            Err(_) if rebuilds < MAX_REBUILDS => {
                rebuilds += 1;
                slot.tell(StreamEvent::Rebuilt);
                let now = slot.shared.clock.now();
                // Its sessions and calls answered to the actor that is gone.
                slot.machine.borrow_mut().handle(Input::DriverReplaced, now);
            }
            Err(_) => break StreamExit::GivenUp,
        }
    };
    slot.shared.intake().close();
    slot.shared.intake().give_up_flushes();
    slot.shared.seat(Seat::Ended);
    for waiting in slot.stopping.borrow_mut().drain(..) {
        let _ = waiting.send(Err(slot.shared.stopped()));
    }
    exit
}
