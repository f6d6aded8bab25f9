//! A mock endpoint of Kinesis Video Streams with PutMedia, fault scripts and a ledger.
//!
//! Anything that talks to Kinesis Video Streams, in any language, can be pointed at the mock and tested: it
//! verifies signatures, keeps to the service's rules of ingestion, acknowledges in full duplex, hands media back,
//! and misbehaves on request.
//!
//! # A test
//!
//! ```
//! # async fn service_under_test(_: &kvs_testkit::MockKvs) {}
//! # async fn doc() -> Result<(), kvs_testkit::MockError> {
//! use kvs_testkit::MockKvs;
//! use kvs_testkit::service::Expectation;
//!
//! let kvs = MockKvs::builder().with_stream("front-door", 24).start().await?;
//!
//! // What goes wrong, as sentences …
//! kvs.stream("front-door").on_put_media(1).after_fragment(3).reset_connection();
//! kvs.stream("front-door").on_put_media(2).on_fragment(1).error(5000);
//! // … what has to come of it all the same …
//! kvs.expect(Expectation { persisted: Some(10), ..Expectation::of("front-door") });
//! // … and the test, which reaches the mock at its endpoint with its credentials.
//! service_under_test(&kvs).await;
//!
//! // The ledger knows every fragment, frame and acknowledgement.
//! for fragment in kvs.ledger().stream("front-door").delivered() {
//!     println!("{} {} ms {:?}", fragment.number, fragment.duration_ms, fragment.tracks);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Each mock is isolated: a port, a thread, streams and a ledger of its own. Its expectations are checked when
//! it is dropped. Tests in other languages use `kvs mock` and the admin API (see [`MockKvs`]).
//!
//! # The parts
//!
//! - [`service`] is the service itself as a state machine without sockets, threads or clocks: streams, PutMedia
//!   sessions with the rules of ingestion, acknowledgements, GetMedia readers, fault scripts, the ledger. A
//!   simulator in virtual time can drive it as well as the server does.
//! - [`MockKvs`] is the server over it: HTTP/1.1, plain or TLS, on one port.
//! - [`media`] has deterministic sources of real bitstreams to upload.
//! - `truth` holds the mock against the real service: the same cases have to pass on both.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `mock` | yes | the server |
//! | `truth` | no | the truth check: cases that an endpoint has to pass, the mock and the real service alike |
//! | `conformance` | no | the suites of every seam of the framework, in one place |
//! | `sim` | no | `sim`: a stream's machine against the service, through hours of faults in virtual time |

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
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "truth")]
pub mod truth;

pub use service::digest::digest;

#[cfg(feature = "mock")]
pub use mock::{
    DEFAULT_ACCESS_KEY_ID, DEFAULT_SECRET_ACCESS_KEY, MockError, MockErrorKind, MockKvs, MockKvsBuilder,
    ScriptFile, ScriptStream, StreamScript,
};
