//! One thread's part of a producer: it makes its services once and keeps its streams driven.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use actix_rt::{Arbiter, ArbiterHandle};
use kvs_storage::StoreError;
use tokio::sync::{mpsc, oneshot};

use crate::error::{StreamError, StreamErrorKind};
use crate::events::StreamEvents;
use crate::machine::{Input, MachineConfig, Paging, StreamMachine};
use crate::services::{Services, ServicesFactory};
use crate::stored::StoredTracks;
use crate::stores::ContentStores;
use crate::stream::{Appending, StreamShared, StreamSlot, supervise};

/// A stream to be driven on a thread.
pub(super) struct OpenOnShard {
    pub(super) shared: Arc<StreamShared>,
    pub(super) machine: MachineConfig,
    pub(super) callbacks: Arc<dyn StreamEvents>,
    pub(super) stores: Arc<dyn ContentStores>,
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
        match made {
            // Opening a store may take its time; other streams don't wait for it.
            Ok(services) => {
                actix_rt::spawn(drive(services, stream));
            }
            // Whoever asked may have given up.
            Err(error) => drop(stream.opened.send(Err(error))),
        }
    }
}

/// Opens a stream's store, and keeps the stream driven to its end.
async fn drive(services: Services, stream: OpenOnShard) {
    let name = stream.shared.config.name.clone();
    let slot = match slot(
        services,
        stream.shared,
        stream.machine,
        stream.callbacks,
        stream.stores,
    )
    .await
    {
        Ok(slot) => slot,
        Err(error) => return drop(stream.opened.send(Err(error))),
    };
    let _ = stream.opened.send(Ok(()));
    let exit = supervise(slot).await;
    tracing::debug!(stream = name, ?exit, "stream ended");
    (stream.ended)();
}

async fn slot(
    services: Services,
    shared: Arc<StreamShared>,
    mut machine: MachineConfig,
    callbacks: Arc<dyn StreamEvents>,
    stores: Arc<dyn ContentStores>,
) -> Result<Rc<StreamSlot>, StreamError> {
    let failed = |error: StoreError| {
        StreamError::new(StreamErrorKind::Store, error.to_string())
            .with_source(error)
            .on_stream(&shared.config.name)
    };
    let opened = stores.open(&shared.config.name).await?;
    if opened.paging == Paging::On {
        machine.paging = Paging::On;
        // How much a durable store holds is for its own caps to say.
        machine.buffer_duration = None;
    }
    let formats = StoredTracks::load(opened.store.as_ref()).await.map_err(failed)?;
    let held = opened.store.backlog().await.map_err(failed)?;
    let mut machine = StreamMachine::new(machine);
    let mut fragments = Vec::with_capacity(held.len());
    for fragment in held {
        match formats.at(fragment.first_seq) {
            Some(tracks) => fragments.push((fragment, tracks)),
            None => {
                let stream = &shared.config.name;
                tracing::error!(
                    stream,
                    ?fragment,
                    "the tracks of a stored fragment are lost; it stays in the store"
                );
            }
        }
    }
    machine.handle(
        Input::Backlog {
            fragments,
            next_seq: opened.store.next_seq(),
        },
        shared.clock.now(),
    );
    Ok(Rc::new(StreamSlot {
        shared,
        machine: RefCell::new(machine),
        store: opened.store,
        formats: RefCell::new(formats),
        services,
        callbacks,
        uploaders: RefCell::new(HashMap::new()),
        // Matroska forbids a UID of nothing but zeros.
        segment_uid: fastrand::u128(1..).to_be_bytes(),
        appending: RefCell::new(Appending::default()),
        stop_at: Cell::new(None),
        stopping: RefCell::new(Vec::new()),
    }))
}
