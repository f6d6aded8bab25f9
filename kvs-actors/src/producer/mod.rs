//! A producer at run time: its actor, its handle, its builder and the threads its streams live on.

mod actor;
mod blocking;
mod builder;
mod handle;
mod shard;

pub use actor::{ProducerActor, ProducerSetup, ProducerState};
pub use builder::{Producer, ProducerBuilder};
pub use handle::ProducerHandle;
