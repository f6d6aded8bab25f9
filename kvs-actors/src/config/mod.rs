//! Settings of a producer and of a stream, with their defaults and limits.

mod producer;
mod stream;

pub use producer::ProducerConfig;
pub use stream::{FragmentTimes, Handover, RollbackPolicy, StreamConfig};
