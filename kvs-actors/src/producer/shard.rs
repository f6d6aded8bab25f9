//! One thread's part of a producer: it makes its services once and keeps its streams driven.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use actix_rt::{Arbiter, ArbiterHandle};
use kvs_storage::MemoryStore;
use tokio::sync::{mpsc, oneshot};

use crate::error::{StreamError, StreamErrorKind};
use crate::events::StreamEvents;
use crate::machine::{MachineConfig, StreamMachine};
use crate::services::{Services, ServicesFactory};
use crate::stream::{StreamShared, StreamSlot, supervise};

/// A stream to be driven on a thread.
pub(super) struct OpenOnShard {
    pub(super) shared: Arc<StreamShared>,
    pub(super) machine: MachineConfig,
    pub(super) callbacks: Arc<dyn StreamEvents>,
    pub(super) opened: oneshot::Sender<Result<(), StreamError>>,
    pub(super) ended: Box<dyn FnOnce() + Send>,
}

/// A thread that streams live on.
pub(super) struct Shard {
    /// The thread, where it is the producer's own.
    own: Option<Arbiter>,
    commands: mpsc::UnboundedSender<OpenOnShard>,
}

impl Shard {
    /// Uses the thread that runs this.
    pub(super) fn here(services: ServicesFactory) -> Self {
        let (commands, queue) = mpsc::unbounded_channel();
        actix_rt::spawn(serve(services, queue));
        Shard { own: None, commands }
    }

    /// Starts a thread.
    pub(super) fn start(services: ServicesFactory) -> Self {
        let arbiter = Arbiter::new();
        let shard = Self::on(&arbiter.handle(), services);
        Shard {
            own: Some(arbiter),
            commands: shard,
        }
    }

    fn on(arbiter: &ArbiterHandle, services: ServicesFactory) -> mpsc::UnboundedSender<OpenOnShard> {
        let (commands, queue) = mpsc::unbounded_channel();
        arbiter.spawn_fn(move || {
            actix_rt::spawn(serve(services, queue));
        });
        commands
    }

    pub(super) fn open(&self, stream: OpenOnShard) -> Result<(), StreamError> {
        self.commands
            .send(stream)
            .map_err(|_| StreamError::new(StreamErrorKind::Stopped, "the producer's thread has stopped"))
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        if let Some(arbiter) = self.own.take() {
            arbiter.stop();
        }
    }
}

/// Opens streams on this thread as they come.
async fn serve(factory: ServicesFactory, mut queue: mpsc::UnboundedReceiver<OpenOnShard>) {
    let mut services: Option<Services> = None;
    while let Some(stream) = queue.recv().await {
        let made = match &services {
            Some(services) => Ok(services.clone()),
            None => factory().inspect(|made| services = Some(made.clone())),
        };
        let answer = made.map(|services| {
            drive(
                services,
                stream.shared,
                stream.machine,
                stream.callbacks,
                stream.ended,
            );
        });
        // Whoever asked may have given up; the stream runs all the same and can be found by its name.
        let _ = stream.opened.send(answer);
    }
}

fn drive(
    services: Services,
    shared: Arc<StreamShared>,
    machine: MachineConfig,
    callbacks: Arc<dyn StreamEvents>,
    ended: Box<dyn FnOnce() + Send>,
) {
    let slot = Rc::new(StreamSlot {
        shared,
        machine: RefCell::new(StreamMachine::new(machine)),
        store: Rc::new(MemoryStore::new()),
        services,
        callbacks,
        uploaders: RefCell::new(HashMap::new()),
        // Matroska forbids a UID of nothing but zeros.
        segment_uid: fastrand::u128(1..).to_be_bytes(),
        stopping: RefCell::new(Vec::new()),
    });
    actix_rt::spawn(async move {
        let name = slot.name().to_owned();
        let exit = supervise(slot).await;
        tracing::debug!(stream = name, ?exit, "stream ended");
        ended();
    });
}
