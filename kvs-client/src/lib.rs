//! The HTTP API of Kinesis Video Streams, with PutMedia in true full duplex.
//!
//! # A client
//!
//! A [`Client`] holds what all connections share: the signer, the credentials (cached, refreshed ahead of
//! expiry, asked for again after a refusal), the clock (corrected from the service's answers), the TLS
//! configuration. It is cheap to clone and goes to any thread. What talks to the network stays on the thread
//! that made it, which needs a tokio runtime; for [`HttpControlPlane`] also a `LocalSet` or an actix system.
//!
//! ```no_run
//! use bytes::Bytes;
//! use kvs_auth::EnvironmentCredentials;
//! use kvs_client::{ApiName, ClientConfig, ControlPlane, MediaEvent, MediaTransport, PutMediaRequest};
//!
//! # async fn example(matroska: Vec<Bytes>) -> Result<(), kvs_client::ClientError> {
//! let client = ClientConfig::new("us-west-2", EnvironmentCredentials::new()).build()?;
//! let endpoint = client.control_plane().get_data_endpoint("front-door", ApiName::PutMedia).await?;
//!
//! let request = PutMediaRequest::new(endpoint, "front-door");
//! let mut session = client.media_transport().open(request).await?;
//! let mut chunks = matroska;
//! session.writer.write(&mut chunks).await?;
//! session.writer.finish().await?;
//! loop {
//!     match session.reader.next().await? {
//!         MediaEvent::Ack(ack) => println!("{} {:?}", ack.event, ack.timecode),
//!         MediaEvent::End => break,
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # PutMedia
//!
//! A session is one HTTP request that lasts as long as the camera runs, and whose response runs beside it.
//! [`MediaWriter`] and [`MediaReader`] are its halves and work independently: the head goes out when the
//! session opens, the response is read from then on, each batch is written at once (one HTTP chunk, vectored,
//! flushed, without Nagle's delay), ACKs are decoded in whatever pieces they come. A payload isn't copied on
//! its way from the caller to the socket, except by TLS.
//!
//! When the connection breaks, both halves say so in one way ([`ClientErrorKind::ConnectionLost`]); the
//! reader gives out the ACKs that had arrived first.
//!
//! # Credentials for things
//!
//! [`IotCredentials`] takes on an IoT role alias with a client certificate; it lives here and not beside the
//! other providers because it needs this crate's TLS and proxies.
//!
//! # Seams
//!
//! | seam | ships with |
//! |---|---|
//! | [`ControlPlane`] | [`HttpControlPlane`], [`CachedControlPlane`] |
//! | [`MediaTransport`] | [`HttpMediaTransport`], [`LoopbackTransport`], [`FileDumpTransport`] |
//! | [`Dial`] | TCP, and TLS over it, directly or through a proxy ([`ProxySettings`]) |
//!
//! # Features
//!
//! - `consumer`: frames out of GetMedia, through `kvs-mkv`.
//! - `conformance`: the suites that implementations of the seams have to pass, for their authors' tests.
//!
//! # What is left to the caller
//!
//! Retries: [`ClientError`] says what may succeed later ([`is_retryable`](ClientError::is_retryable)), what
//! asks to slow down ([`is_throttle`](ClientError::is_throttle)) and what wants fresh credentials
//! ([`is_auth`](ClientError::is_auth)); when to try is the caller's choice. The one exception is a signature
//! refused because the local clock is wrong: calls correct the clock and try once more by themselves.

mod ack;
pub mod api;
mod cached;
mod client;
mod clock;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "consumer")]
pub mod consumer;
mod control_plane;
mod dial;
mod endpoint;
mod error;
mod file_dump;
mod get_media;
mod http1;
mod http_control;
mod http_media;
mod iot;
mod loopback;
mod media;
mod proxy;
mod service_error;
mod tls;

pub use ack::{Ack, AckDecodeError, AckDecodeErrorKind, AckDecoder, AckError, AckErrorCode, AckEvent};
pub use cached::{CachePolicy, CachedControlPlane};
pub use client::Client;
pub use clock::Clock;
pub use config::ClientConfig;
pub use control_plane::{ApiName, ControlPlane, CreateStream, LocalFuture, StreamInfo, StreamStatus};
pub use dial::{Dial, Duplex};
pub use endpoint::{DEFAULT_REGION, EndpointVariant, control_endpoint};
pub use error::{ClientError, ClientErrorKind};
pub use file_dump::FileDumpTransport;
pub use get_media::{GetMedia, GetMediaForFragmentList, MediaBody, MediaOperation, StartSelector};
pub use http_control::HttpControlPlane;
pub use http_media::{ExpectContinue, HttpMediaTransport};
pub use iot::{IotCredentials, IotCredentialsBuilder};
pub use loopback::{LoopbackListener, LoopbackSession, LoopbackTransport};
pub use media::{
    AckMode, MediaConnection, MediaEvent, MediaReader, MediaTransport, MediaWriter, PutMediaRequest,
    TimecodeType,
};
pub use proxy::ProxySettings;
pub use tls::{TlsOptions, TrustedRoots};
pub use url::Url;
