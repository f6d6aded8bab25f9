//! The process that is killed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kvs_actors::machine::{DropReason, Reaction, Tally};
use kvs_actors::{FlushUntil, FragmentAck, Producer, StreamEvents, StreamHandle};
use kvs_auth::Credentials;
use kvs_client::AckEvent;
use kvs_mkv::Timestamp;
use kvs_storage::spool::{SpoolOptions, SyncPolicy};
use kvs_testkit::{DEFAULT_ACCESS_KEY_ID, DEFAULT_SECRET_ACCESS_KEY};
use serde::{Deserialize, Serialize};

use crate::claims::Line;
use crate::media::{self, FRAGMENTS_PER_PROCESS, Place, STREAMS};

/// The environment variable that makes this program the child.
pub(crate) const ORDERS: &str = "KVS_CRASH_CHILD";

const PATIENCE: Duration = Duration::from_secs(60);

/// What a child is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Put frames until it is killed.
    Produce,
    /// The same, waiting now and then until everything is delivered.
    ProduceAndAwait,
    /// Put none, deliver what the spool holds, and end in good order.
    Drain,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) task: Task,
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) dir: PathBuf,
    pub(crate) first_fragment: u64,
    pub(crate) seed: u64,
}

/// Does what the environment asks for; without orders, nothing.
pub(crate) fn run() {
    let Ok(orders) = std::env::var(ORDERS) else {
        return;
    };
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(obey(orders));
}

/// Tiny segments, and now and then so little memory that appends wait for the disk and reads come from it.
fn spool_options(choices: &mut fastrand::Rng) -> SpoolOptions {
    let sync = match choices.u8(..3) {
        0 => SyncPolicy::EachFragment,
        1 => SyncPolicy::Interval(Duration::from_millis(5)),
        _ => SyncPolicy::Never,
    };
    let memory = if choices.bool() { 128 << 10 } else { 64 << 20 };
    SpoolOptions::default()
        .sync(sync)
        .memory(memory)
        .read_ahead(64 << 10)
        .segment_bytes(64 << 10)
}

async fn obey(orders: Orders) {
    let mut choices = fastrand::Rng::with_seed(orders.seed);
    let options = spool_options(&mut choices);
    let credentials = Credentials::new(
        DEFAULT_ACCESS_KEY_ID,
        DEFAULT_SECRET_ACCESS_KEY,
        None,
        None,
        "crash",
    );
    Line::Opening.tell();
    let producer = Producer::builder()
        .endpoint(&orders.endpoint)
        .region(&orders.region)
        .credentials(credentials)
        .spool(&orders.dir, options)
        .start()
        .unwrap();
    let mut cameras = Vec::new();
    for stream in 0..STREAMS.len() {
        let ear = Ear {
            stream,
            persisted: Arc::default(),
        };
        let persisted = Arc::clone(&ear.persisted);
        let handle = producer
            .open_stream_with(media::config(stream), ear)
            .await
            .unwrap();
        Line::Opened.tell();
        cameras.push(Camera {
            stream,
            handle,
            persisted,
            choices: choices.fork(),
        });
    }
    let working: Vec<_> = cameras
        .into_iter()
        .map(|camera| {
            tokio::spawn(async move {
                match orders.task {
                    Task::Produce | Task::ProduceAndAwait => {
                        camera.produce(orders.first_fragment, orders.task).await;
                    }
                    Task::Drain => camera.drain().await,
                }
            })
        })
        .collect();
    for camera in working {
        camera.await.unwrap();
    }
    producer.stop(PATIENCE).await.unwrap();
}

/// Hears which fragments were persisted, and what must not happen.
struct Ear {
    stream: usize,
    persisted: Arc<Mutex<Vec<i64>>>,
}

impl Ear {
    fn fault(&self, text: &str) {
        Line::Fault(format!("{}: {text}", STREAMS[self.stream])).tell();
    }
}

impl StreamEvents for Ear {
    fn fragment_ack(&self, _: &str, ack: &FragmentAck) {
        if let (AckEvent::Persisted, Some(timecode)) = (&ack.event, ack.timecode) {
            let mut persisted = self.persisted.lock().unwrap_or_else(PoisonError::into_inner);
            persisted.push(timecode.as_millis());
        }
    }

    fn dropped(&self, _: &str, from: Timestamp, tally: Tally, reason: DropReason) {
        self.fault(&format!("dropped {tally:?} from {from:?}, {reason:?}"));
    }

    fn fragment_refused(&self, _: &str, timecode: Timestamp, reaction: &Reaction) {
        self.fault(&format!("refused {timecode:?}, {reaction:?}"));
    }
}

struct Camera {
    stream: usize,
    handle: StreamHandle,
    persisted: Arc<Mutex<Vec<i64>>>,
    choices: fastrand::Rng,
}

impl Camera {
    async fn produce(mut self, first_fragment: u64, task: Task) {
        let mut place = Place::start_of(first_fragment);
        while place.fragment < first_fragment + FRAGMENTS_PER_PROCESS {
            let frame = media::frame(self.stream, place);
            if let Err(error) = self.handle.put_frame(frame).await {
                return Line::Fault(format!("{}: put: {error}", STREAMS[self.stream])).tell();
            }
            place = place.next();
            // A fragment that is closed goes on with a key frame only, so this is for where one begins anyway.
            if task == Task::ProduceAndAwait && place.frame == 0 && self.choices.u8(..16) == 0 {
                if let Err(error) = self.handle.flush(FlushUntil::Delivered, PATIENCE).await {
                    return Line::Fault(format!("{}: flush: {error}", STREAMS[self.stream])).tell();
                }
                self.make_durable(place).await;
            }
            // Anywhere in a fragment.
            if self.choices.u8(..8) == 0 {
                self.make_durable(place).await;
            }
        }
    }

    /// Says what is durable only after the flush said so, and that only of what was there before it.
    async fn make_durable(&self, place: Place) {
        let persisted = std::mem::take(&mut *self.persisted.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = self.handle.flush(FlushUntil::Durable, PATIENCE).await {
            return Line::Fault(format!("{}: flush: {error}", STREAMS[self.stream])).tell();
        }
        let durable = media::in_order_before(self.stream, place);
        Line::Durable {
            stream: self.stream,
            fragment: durable.fragment,
            frame: durable.frame,
        }
        .tell();
        if !persisted.is_empty() {
            Line::Recorded {
                stream: self.stream,
                timecodes: persisted,
            }
            .tell();
        }
    }

    async fn drain(self) {
        let report = self.handle.stop(PATIENCE).await.unwrap();
        if report.is_complete() {
            Line::Drained.tell();
        } else {
            Line::Fault(format!("{}: not drained: {report:?}", STREAMS[self.stream])).tell();
        }
    }
}
