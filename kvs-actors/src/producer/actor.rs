//! [`ProducerActor`]: opens streams, spreads them over threads, and stops them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;
use kvs_storage::{ByteBudget, Pressure, Share};
use serde::Serialize;
use tokio::sync::oneshot;

use super::shard::{OpenOnShard, Shard};
use crate::clock::Clock;
use crate::config::{ProducerConfig, StreamConfig};
use crate::error::{StreamError, StreamErrorKind};
use crate::events::{ProducerEvents, StreamEvents};
use crate::machine::{MachineConfig, StreamMachine, Tally};
use crate::report::{StopReport, StreamStatus};
use crate::services::ServicesFactory;
use crate::stores::ContentStores;
use crate::stream::{StreamHandle, StreamShared};

/// How long the content stores may take to close.
const STORES_CLOSE: Duration = Duration::from_secs(5);

/// Everything a producer is made of.
#[derive(Clone)]
pub struct ProducerSetup {
    /// The settings.
    pub config: ProducerConfig,
    /// Makes the seams of each thread.
    pub services: ServicesFactory,
    /// Opens the content stores of streams.
    pub stores: Arc<dyn ContentStores>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The producer's callbacks.
    pub events: Arc<dyn ProducerEvents>,
}

/// Opens streams, spreads them over threads, and stops them.
pub struct ProducerActor {
    setup: ProducerSetup,
    budget: ByteBudget,
    shards: Vec<Shard>,
    next_shard: usize,
    streams: HashMap<String, StreamHandle>,
    /// Dropped with the actor: whoever keeps its thread alive waits for that.
    _ended: Option<oneshot::Sender<()>>,
}

impl ProducerActor {
    /// A producer whose first thread is the one it is started on; further ones are its own.
    ///
    /// # Errors
    /// [`StreamErrorKind::InvalidConfig`] naming the setting.
    pub fn new(setup: ProducerSetup) -> Result<Self, StreamError> {
        setup.config.validate()?;
        let budget = ByteBudget::new(setup.config.buffer_bytes);
        Ok(ProducerActor {
            setup,
            budget,
            shards: Vec::new(),
            next_shard: 0,
            streams: HashMap::new(),
            _ended: None,
        })
    }

    /// Tells the application whenever little of the byte budget is left.
    fn watch_pressure(&self, ctx: &mut Context<Self>) {
        let (budget, events) = (self.budget.clone(), Arc::clone(&self.setup.events));
        let mut pressure = budget.watch_pressure();
        let watching = async move {
            while pressure.changed().await.is_ok() {
                if *pressure.borrow_and_update() == Pressure::High {
                    events.storage_overflow_pressure(budget.available(), budget.limit());
                }
            }
        };
        ctx.spawn(watching.into_actor(self));
    }

    /// Tells `ended`, by dropping it, when the actor is gone.
    pub(super) fn until(mut self, ended: oneshot::Sender<()>) -> Self {
        self._ended = Some(ended);
        self
    }

    fn open(
        &mut self,
        config: StreamConfig,
        callbacks: Arc<dyn StreamEvents>,
        ended: Box<dyn FnOnce() + Send>,
    ) -> Result<(StreamHandle, oneshot::Receiver<Result<(), StreamError>>), StreamError> {
        config.validate()?;
        let name = config.name.clone();
        if self.streams.contains_key(&name) {
            let text = "the producer already has a stream of this name";
            return Err(StreamError::new(StreamErrorKind::StreamName, text).on_stream(&name));
        }
        let mut machine = machine_config(&config);
        machine.window.bytes = send_window(self.setup.config.buffer_bytes);
        let status = StreamStatus::of(&name, &StreamMachine::new(machine.clone()), Tally::default());
        let budget = self.budget.share(Share::default()).map_err(|error| {
            StreamError::new(StreamErrorKind::Store, error.to_string())
                .with_source(error)
                .on_stream(&name)
        })?;
        let shared = Arc::new(StreamShared::new(
            config,
            budget,
            Arc::clone(&self.setup.clock),
            status,
        )?);
        let handle = StreamHandle::new(Arc::clone(&shared));
        let (opened, answer) = oneshot::channel();
        let shard = self.next_shard % self.shards.len().max(1);
        self.next_shard += 1;
        let Some(shard) = self.shards.get(shard) else {
            return Err(StreamError::new(
                StreamErrorKind::Stopped,
                "the producer has stopped",
            ));
        };
        let stores = Arc::clone(&self.setup.stores);
        shard.open(OpenOnShard {
            shared,
            machine,
            callbacks,
            stores,
            opened,
            ended,
        })?;
        self.streams.insert(name, handle.clone());
        Ok((handle, answer))
    }
}

/// How many payload bytes a session may have in hand: nothing of that can make room, so it stays a small part of the buffer.
fn send_window(buffer_bytes: u64) -> u64 {
    (buffer_bytes / 8).clamp(64 << 10, 1 << 20)
}

/// What a stream's settings mean for its machine.
fn machine_config(config: &StreamConfig) -> MachineConfig {
    let mut machine = MachineConfig::new(&config.name);
    machine.create = config.create_policy();
    machine.tags = config.tags.clone();
    machine.scale = config.timecode_scale;
    machine.times = config.fragment_times;
    machine.acks = config.acks;
    machine.retention_hours = config.retention_hours;
    machine.rollback = config.rollback;
    machine.retry = config.retry;
    machine.rate = config.rate;
    machine.overflow = config.overflow;
    machine.buffer_duration = config.buffer_duration;
    machine.session_duration = config.session_duration;
    machine.last_ack_timeout = config.last_ack_timeout;
    machine.handover = config.handover;
    machine.received_limit = config.received_limit;
    machine.max_latency = config.max_latency;
    machine.idle_timeout = config.idle_timeout;
    machine.staleness = config.staleness;
    machine.seed = fastrand::u64(..);
    machine
}

impl Actor for ProducerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.shards.push(Shard::here(Arc::clone(&self.setup.services)));
        for _ in 1..self.setup.config.arbiters {
            self.shards.push(Shard::start(Arc::clone(&self.setup.services)));
        }
        self.setup.events.client_ready();
        self.watch_pressure(ctx);
    }
}

/// Open a stream.
#[derive(Message)]
#[rtype(result = "Result<StreamHandle, StreamError>")]
pub(crate) struct OpenStream {
    pub(crate) config: StreamConfig,
    pub(crate) callbacks: Arc<dyn StreamEvents>,
}

impl Handler<OpenStream> for ProducerActor {
    type Result = ResponseFuture<Result<StreamHandle, StreamError>>;

    fn handle(&mut self, message: OpenStream, ctx: &mut Self::Context) -> Self::Result {
        let producer = ctx.address();
        let name = message.config.name.clone();
        let ended = Box::new(move || producer.do_send(StreamEnded { name }));
        match self.open(message.config, message.callbacks, ended) {
            Err(error) => Box::pin(std::future::ready(Err(error))),
            Ok((handle, answer)) => {
                let producer = ctx.address();
                Box::pin(async move {
                    let stopped = || StreamError::new(StreamErrorKind::Stopped, "the producer has stopped");
                    let opened = answer.await.unwrap_or_else(|_| Err(stopped()));
                    if let Err(error) = opened {
                        producer.do_send(StreamEnded {
                            name: handle.name().to_owned(),
                        });
                        return Err(error.on_stream(handle.name()));
                    }
                    Ok(handle)
                })
            }
        }
    }
}

/// A stream's actor is gone for good.
#[derive(Message)]
#[rtype(result = "()")]
struct StreamEnded {
    name: String,
}

impl Handler<StreamEnded> for ProducerActor {
    type Result = ();

    fn handle(&mut self, StreamEnded { name }: StreamEnded, _: &mut Self::Context) {
        self.streams.remove(&name);
    }
}

/// Stop all streams, then the producer.
#[derive(Message)]
#[rtype(result = "Vec<StopReport>")]
pub(crate) struct StopProducer {
    pub(crate) timeout: Duration,
}

impl Handler<StopProducer> for ProducerActor {
    type Result = ResponseActFuture<Self, Vec<StopReport>>;

    fn handle(&mut self, StopProducer { timeout }: StopProducer, _: &mut Self::Context) -> Self::Result {
        let streams: Vec<StreamHandle> = self.streams.values().cloned().collect();
        let stores = Arc::clone(&self.setup.stores);
        let stopping = async move {
            let reports = join_all(streams.iter().map(|stream| stream.stop(timeout))).await;
            // Another producer may want what the stores hold; a disk that hangs must not hold up the end.
            let _ = tokio::time::timeout(STORES_CLOSE, stores.close()).await;
            reports.into_iter().flatten().collect::<Vec<_>>()
        };
        Box::pin(stopping.into_actor(self).map(|reports, actor, ctx| {
            actor.shards.clear();
            ctx.stop();
            reports
        }))
    }
}

/// What a producer is doing now.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ProducerState {
    /// The names of its streams.
    pub streams: Vec<String>,
    /// The byte budget over all streams.
    pub buffer_bytes: u64,
    /// How much of it is taken.
    pub buffer_used: u64,
    /// Threads that streams are spread over.
    pub arbiters: usize,
}

/// Tell the state of a producer.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "ProducerState")]
pub(crate) struct ObserveProducer;

impl Handler<ObserveProducer> for ProducerActor {
    type Result = MessageResult<ObserveProducer>;

    fn handle(&mut self, ObserveProducer: ObserveProducer, _: &mut Self::Context) -> Self::Result {
        let mut streams: Vec<String> = self.streams.keys().cloned().collect();
        streams.sort_unstable();
        MessageResult(ProducerState {
            streams,
            buffer_bytes: self.budget.limit(),
            buffer_used: self.budget.used(),
            arbiters: self.shards.len(),
        })
    }
}
