//! Where keys come from.

mod caching;
mod chain;
mod environment;
mod expiry;
mod file;
mod ini;
mod process;
mod profile;
mod statics;

pub use caching::CachingCredentials;
pub use chain::CredentialChain;
pub use environment::EnvironmentCredentials;
pub use expiry::{InvalidExpiry, parse_expiry};
pub use file::FileCredentials;
pub use profile::ProfileCredentials;
pub use statics::StaticCredentials;
