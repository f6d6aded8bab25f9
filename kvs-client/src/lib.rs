//! The HTTP API of Kinesis Video Streams, with PutMedia in true full duplex.

mod ack;
mod control_plane;
mod error;
mod media;

pub use ack::{Ack, AckDecodeError, AckDecodeErrorKind, AckDecoder, AckError, AckErrorCode, AckEvent};
pub use control_plane::{ApiName, ControlPlane, CreateStream, LocalFuture, StreamInfo, StreamStatus};
pub use error::{ClientError, ClientErrorKind};
pub use media::{
    AckMode, MediaConnection, MediaEvent, MediaReader, MediaTransport, MediaWriter, PutMediaRequest,
    TimecodeType,
};
pub use url::Url;
