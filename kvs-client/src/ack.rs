//! Fragment acknowledgements: what the service says about a fragment while a session lasts.
//!
//! Source: the API reference of PutMedia, "Response". For each fragment come BUFFERING (its first bytes
//! arrived), RECEIVED (it is complete in the service's memory) and, with a retention above 0, PERSISTED; or
//! ERROR.

mod code;
mod decoder;

use std::fmt;

use serde_json::{Map, Value};

pub use self::{
    code::AckErrorCode,
    decoder::{AckDecodeError, AckDecodeErrorKind, AckDecoder},
};

/// One acknowledgement.
///
/// ```
/// use kvs_client::{Ack, AckEvent};
///
/// let ack = Ack::new(AckEvent::Persisted).timecode(1_700_000_000_000).fragment_number("91343852333181432392682062");
/// assert_eq!(
///     ack.to_json(),
///     r#"{"EventType":"PERSISTED","FragmentNumber":"91343852333181432392682062","FragmentTimecode":1700000000000}"#
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ack {
    /// What happened.
    pub event: AckEvent,
    /// The fragment's cluster timecode as it was on the wire, in units of the segment's timecode scale
    /// (milliseconds by default). Can be missing on IDLE and on some ERRORs.
    pub timecode: Option<i64>,
    /// The number the service gave the fragment: decimal digits, up to 128 of them.
    pub fragment_number: Option<String>,
    /// What went wrong, on ERROR.
    pub error: Option<AckError>,
}

impl Ack {
    /// An ACK about no fragment in particular.
    pub fn new(event: AckEvent) -> Self {
        Self {
            event,
            timecode: None,
            fragment_number: None,
            error: None,
        }
    }

    /// An ERROR ack with a code of the service.
    pub fn of_error(code: AckErrorCode) -> Self {
        let error = AckError {
            id: code.id(),
            code: Some(code.name().to_owned()),
        };
        Self {
            error: Some(error),
            ..Self::new(AckEvent::Error)
        }
    }

    /// Names the fragment by its timecode.
    #[must_use]
    pub fn timecode(mut self, timecode: i64) -> Self {
        self.timecode = Some(timecode);
        self
    }

    /// Names the fragment by its number.
    #[must_use]
    pub fn fragment_number(mut self, number: impl Into<String>) -> Self {
        self.fragment_number = Some(number.into());
        self
    }

    /// The flat JSON object that goes on the wire, without a line end.
    pub fn to_json(&self) -> String {
        let mut object = Map::new();
        object.insert("EventType".to_owned(), Value::from(self.event.as_str()));
        if let Some(timecode) = self.timecode {
            object.insert("FragmentTimecode".to_owned(), Value::from(timecode));
        }
        if let Some(number) = &self.fragment_number {
            object.insert("FragmentNumber".to_owned(), Value::from(number.as_str()));
        }
        if let Some(error) = &self.error {
            if let Some(id) = error.id {
                object.insert("ErrorId".to_owned(), Value::from(id));
            }
            if let Some(code) = &error.code {
                object.insert("ErrorCode".to_owned(), Value::from(code.as_str()));
            }
        }
        Value::Object(object).to_string()
    }
}

/// What an ACK says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AckEvent {
    /// The fragment's first bytes have arrived.
    Buffering,
    /// The whole fragment has arrived. The last ACK of a fragment in a stream without retention.
    Received,
    /// The fragment is stored.
    Persisted,
    /// The fragment, or the session, was refused.
    Error,
    /// No data has come for a while; the service is about to close the session.
    Idle,
    /// An event this version doesn't know.
    Unknown(String),
}

impl AckEvent {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Buffering => "BUFFERING",
            Self::Received => "RECEIVED",
            Self::Persisted => "PERSISTED",
            Self::Error => "ERROR",
            Self::Idle => "IDLE",
            Self::Unknown(name) => name,
        }
    }
}

impl From<&str> for AckEvent {
    fn from(name: &str) -> Self {
        match name {
            "BUFFERING" => Self::Buffering,
            "RECEIVED" => Self::Received,
            "PERSISTED" => Self::Persisted,
            "ERROR" => Self::Error,
            "IDLE" => Self::Idle,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

impl fmt::Display for AckEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a fragment or session was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AckError {
    /// The number, such as 4004.
    pub id: Option<u32>,
    /// The name, such as `FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS`.
    pub code: Option<String>,
}

impl AckError {
    /// The code among those the service documents, by its number, else by its name.
    pub fn known(&self) -> Option<AckErrorCode> {
        let by_id = self.id.and_then(AckErrorCode::from_id);
        by_id.or_else(|| AckErrorCode::from_name(self.code.as_deref()?))
    }
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.id, &self.code) {
            (Some(id), Some(code)) => write!(f, "{id} {code}"),
            (Some(id), None) => write!(f, "{id}"),
            (None, Some(code)) => f.write_str(code),
            (None, None) => f.write_str("unknown error"),
        }
    }
}
