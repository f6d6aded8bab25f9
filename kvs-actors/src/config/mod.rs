//! Settings of a producer and of a stream, with their defaults and limits.
//!
//! They are set through builders, or read from files and variables, or from any form that serde knows. One table for each
//! kind of configuration (`stream_keys`, `producer`) holds the names and limits, whichever way a setting comes.

#[cfg(feature = "config-files")]
mod environment;
mod key;
mod producer;
mod setting;
#[cfg(feature = "config-files")]
mod settings;
mod stream;
mod stream_keys;
#[cfg(test)]
mod tests;
mod tracks;
mod value;

pub use key::SettingInfo;
pub use producer::ProducerConfig;
#[cfg(feature = "config-files")]
pub use settings::{Settings, SettingsSources};
pub use stream::{FragmentTimes, Handover, RollbackPolicy, StreamConfig};
