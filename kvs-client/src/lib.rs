//! The HTTP API of Kinesis Video Streams, with PutMedia in true full duplex.

mod ack;
pub mod api;
mod client;
mod clock;
mod config;
mod control_plane;
mod dial;
mod endpoint;
mod error;
mod http1;
mod http_control;
mod http_media;
mod media;
mod service_error;
mod tls;

pub use ack::{Ack, AckDecodeError, AckDecodeErrorKind, AckDecoder, AckError, AckErrorCode, AckEvent};
pub use client::Client;
pub use clock::Clock;
pub use config::ClientConfig;
pub use control_plane::{ApiName, ControlPlane, CreateStream, LocalFuture, StreamInfo, StreamStatus};
pub use dial::{Dial, Duplex};
pub use endpoint::{DEFAULT_REGION, EndpointVariant, control_endpoint};
pub use error::{ClientError, ClientErrorKind};
pub use http_control::HttpControlPlane;
pub use http_media::{ExpectContinue, HttpMediaTransport};
pub use media::{
    AckMode, MediaConnection, MediaEvent, MediaReader, MediaTransport, MediaWriter, PutMediaRequest,
    TimecodeType,
};
pub use tls::{TlsOptions, TrustedRoots};
pub use url::Url;
