//! The acknowledgements of a PutMedia session and their form on the wire.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What an acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AckEvent {
    /// The first bytes of a fragment arrived.
    Buffering,
    /// The whole fragment is in the service's memory.
    Received,
    /// The fragment is stored; sent only where the stream has a retention.
    Persisted,
    /// The fragment or the session was refused.
    Error,
    /// No data has come for a while.
    Idle,
}

impl AckEvent {
    /// The value of `EventType`.
    pub fn name(self) -> &'static str {
        match self {
            AckEvent::Buffering => "BUFFERING",
            AckEvent::Received => "RECEIVED",
            AckEvent::Persisted => "PERSISTED",
            AckEvent::Error => "ERROR",
            AckEvent::Idle => "IDLE",
        }
    }
}

/// The number of an ERROR acknowledgement (`ErrorId`).
///
/// The codes and names are those of the PutMedia page of the API reference; any other number may be
/// scripted too, and is then named `UNKNOWN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorId(pub u32);

macro_rules! error_ids {
    ($($id:literal $name:ident $doc:literal,)+) => {
        impl ErrorId {
            $(#[doc = $doc] pub const $name: ErrorId = ErrorId($id);)+

            /// Every code the service documents.
            pub const ALL: &'static [ErrorId] = &[$(ErrorId::$name),+];

            /// The value of `ErrorCode`.
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($id => stringify!($name),)+
                    _ => "UNKNOWN",
                }
            }
        }
    };
}

error_ids! {
    4000 STREAM_READ_ERROR "The service failed to read the body.",
    4001 MAX_FRAGMENT_SIZE_REACHED "The fragment is larger than 50 MB.",
    4002 MAX_FRAGMENT_DURATION_REACHED "The fragment is longer than the limit.",
    4003 MAX_CONNECTION_DURATION_REACHED "The connection lived its 45 minutes.",
    4004 FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS "The fragment is not after the one before.",
    4005 MORE_THAN_ONE_TRACK_FOUND "The older name of 4012.",
    4006 INVALID_MKV_DATA "The body is not the Matroska the service takes.",
    4007 INVALID_PRODUCER_TIMESTAMP "The fragment's producer timestamp can't be one.",
    4008 STREAM_NOT_ACTIVE "The stream was deleted meanwhile.",
    4009 FRAGMENT_METADATA_LIMIT_REACHED "Too many or too large tags on one fragment.",
    4010 TRACK_NUMBER_MISMATCH "A frame's track isn't declared.",
    4011 FRAMES_MISSING_FOR_TRACK "A declared track has no frame in the fragment.",
    4012 MORE_THAN_ALLOWED_TRACKS_FOUND "More than three tracks.",
    4013 MIN_FRAGMENT_DURATION_REACHED "The fragment is too short. The quotas page names it; its number is this mock's.",
    4500 KMS_KEY_ACCESS_DENIED "The stream's key can't be used.",
    4501 KMS_KEY_DISABLED "The stream's key is disabled.",
    4502 KMS_KEY_VALIDATION_ERROR "The stream's key failed its validation.",
    4503 KMS_KEY_UNAVAILABLE "The stream's key is not available.",
    4504 KMS_KEY_INVALID_USAGE "The stream's key is not for this use.",
    4505 KMS_KEY_INVALID_STATE "The stream's key is in a wrong state.",
    4506 KMS_KEY_NOT_FOUND "The stream's key was not found.",
    4507 STREAM_DELETED "The stream or its data was deleted.",
    5000 INTERNAL_ERROR "The service failed.",
    5001 ARCHIVAL_ERROR "The service failed to store the fragment.",
}

/// One acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// What it says.
    pub event: AckEvent,
    /// The cluster's timecode as it stood on the wire, in units of the session's timecode scale.
    pub timecode: Option<i64>,
    /// The number the service gave the fragment.
    pub fragment_number: Option<String>,
    /// Only with [`AckEvent::Error`].
    pub error: Option<ErrorId>,
}

/// How acknowledgements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AckForm {
    /// A flat object per line: what the service sends and every producer parses.
    #[default]
    Flat,
    /// Under an `Acknowledgement` member, as the example of the API page prints it.
    Nested,
    /// Flat, with members no producer knows around the known ones.
    UnknownKeys,
}

impl Ack {
    /// The acknowledgement as one line of JSON, line feed included.
    ///
    /// ```
    /// use kvs_testkit::service::{Ack, AckEvent, AckForm};
    /// let ack = Ack { event: AckEvent::Idle, timecode: None, fragment_number: None, error: None };
    /// assert_eq!(&ack.to_line(AckForm::Flat)[..], b"{\"EventType\":\"IDLE\"}\r\n");
    /// ```
    pub fn to_line(&self, form: AckForm) -> Bytes {
        let mut members = format!("\"EventType\":\"{}\"", self.event.name());
        // Writing to a String can't fail.
        if let Some(timecode) = self.timecode {
            let _ = write!(members, ",\"FragmentTimecode\":{timecode}");
        }
        if let Some(number) = &self.fragment_number {
            let _ = write!(members, ",\"FragmentNumber\":\"{number}\"");
        }
        if let Some(error) = self.error {
            let _ = write!(
                members,
                ",\"ErrorId\":{},\"ErrorCode\":\"{}\"",
                error.0,
                error.name()
            );
        }
        Bytes::from(match form {
            AckForm::Flat => format!("{{{members}}}\r\n"),
            AckForm::Nested => format!("{{\"Acknowledgement\":{{{members}}}}}\r\n"),
            AckForm::UnknownKeys => {
                format!("{{\"Future\":[1,{{\"EventType\":\"NO\"}}],{members},\"Note\":null}}\r\n")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received() -> Ack {
        Ack {
            event: AckEvent::Received,
            timecode: Some(1_500),
            fragment_number: Some("9134".to_owned()),
            error: None,
        }
    }

    #[test]
    fn the_flat_form_is_one_json_object_per_line() {
        let line = received().to_line(AckForm::Flat);
        assert_eq!(
            &line[..],
            b"{\"EventType\":\"RECEIVED\",\"FragmentTimecode\":1500,\"FragmentNumber\":\"9134\"}\r\n"
        );
    }

    #[test]
    fn every_form_is_valid_json_with_the_same_members() {
        for form in [AckForm::Flat, AckForm::Nested, AckForm::UnknownKeys] {
            let value: serde_json::Value = serde_json::from_slice(&received().to_line(form)).unwrap();
            let members = value.get("Acknowledgement").unwrap_or(&value);
            assert_eq!(members["EventType"], "RECEIVED");
            assert_eq!(members["FragmentTimecode"], 1_500);
        }
    }

    #[test]
    fn an_error_carries_its_number_and_its_name() {
        let ack = Ack {
            event: AckEvent::Error,
            error: Some(ErrorId::INVALID_MKV_DATA),
            ..received()
        };
        let value: serde_json::Value = serde_json::from_slice(&ack.to_line(AckForm::Flat)).unwrap();
        assert_eq!(value["ErrorId"], 4006);
        assert_eq!(value["ErrorCode"], "INVALID_MKV_DATA");
    }
}
