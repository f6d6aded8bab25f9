//! The stream machine and the actors of a Kinesis Video Streams producer.
//!
//! A [`Producer`] owns threads, a byte budget and streams. A stream takes frames through its [`StreamHandle`], orders them
//! into fragments, keeps them until the service has acknowledged them, and sends them again when a connection is lost.
//! Every frame it accepted is delivered, or reported with a reason.
//!
//! Underneath, three actors exchange messages: [`ProducerActor`] opens streams and spreads them over threads,
//! [`StreamActor`] drives one stream, [`UploaderActor`] owns one `PutMedia` session. They decide nothing: what is to be
//! done is decided by the [`machine`], which knows neither sockets nor clocks and can be driven by a simulator as well.

mod blocking;
mod clock;
mod config;
mod error;
mod events;
pub mod machine;
mod producer;
mod report;
mod services;
mod stored;
mod stores;
mod stream;
mod time_base;
mod uploader;

pub use clock::{Clock, SystemClock};
pub use config::{FragmentTimes, Handover, ProducerConfig, RollbackPolicy, SettingInfo, StreamConfig};
#[cfg(feature = "config-files")]
pub use config::{Settings, SettingsSources};
pub use error::{PutError, PutErrorKind, StreamError, StreamErrorKind};
pub use events::{FragmentAck, LogEvents, ProducerEvents, StreamEvent, StreamEvents, StreamState};
pub use producer::{Producer, ProducerActor, ProducerBuilder, ProducerHandle, ProducerSetup, ProducerState};
pub use report::{StopReport, StreamStatus};
pub use services::{Services, ServicesFactory};
pub use stored::{StoredTracks, stored_frame};
pub use stores::{ContentStores, MemoryStores, OpenedStore, SpoolStores};
pub use stream::{Accepted, EventStream, FlushUntil, Observe, StreamActor, StreamHandle};
pub use time_base::TimeBase;
pub use uploader::UploaderActor;
