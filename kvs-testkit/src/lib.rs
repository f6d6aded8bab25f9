//! A mock endpoint of Kinesis Video Streams with PutMedia, fault scripts and a ledger.
//!
//! Two layers:
//!
//! - [`service`] is the service itself as a state machine without sockets, threads or clocks: streams, PutMedia
//!   sessions with the rules of ingestion, acknowledgements, GetMedia readers, fault scripts, the ledger.
//! - [`MockKvs`] is a server over it: HTTP/1.1, plain or TLS, on a loopback port, with verified signatures.
//!   Any producer, consumer or SDK in any language can be pointed at it.
//!
//! Beside them, [`media`] has deterministic sources of real bitstreams to upload.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `mock` | yes | the server |
//! | `truth` | no | the truth check: cases that an endpoint has to pass, the mock and the real service alike |
//! | `conformance` | no | the suites of every seam of the framework, in one place |

/// The conformance suites of every seam: functions that an implementation's own tests call.
#[cfg(feature = "conformance")]
pub mod conformance {
    pub use kvs_client::conformance::{MediaFixture, MediaPeer, control_plane, media_transport};
    pub use kvs_storage::conformance::{StoreFixture, content_store};
}
pub mod media;
#[cfg(feature = "mock")]
mod mock;
pub mod service;
#[cfg(feature = "truth")]
pub mod truth;

pub use service::digest::digest;

#[cfg(feature = "mock")]
pub use mock::{
    DEFAULT_ACCESS_KEY_ID, DEFAULT_SECRET_ACCESS_KEY, MockError, MockErrorKind, MockKvs, MockKvsBuilder,
    ScriptFile, ScriptStream, StreamScript,
};
