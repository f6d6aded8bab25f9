//! Archived media. These operations go to the data endpoint of their API
//! ([`HttpControlPlane::call_at`](crate::HttpControlPlane::call_at)).

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Operation, StreamId, streams::epoch_seconds};

/// Lists archived fragments, a page at a time, in no particular order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListFragments {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
    /// 1 to 1,000 per page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<u32>,
    /// Where the page before left off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// Which fragments; all unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragment_selector: Option<FragmentSelector>,
}

impl ListFragments {
    /// All fragments of the stream of this name.
    pub fn by_name(name: impl Into<String>) -> Self {
        Self {
            stream: StreamId::Name(name.into()),
            max_results: None,
            next_token: None,
            fragment_selector: None,
        }
    }

    /// Only those of a range.
    #[must_use]
    pub fn selected(mut self, selector: FragmentSelector) -> Self {
        self.fragment_selector = Some(selector);
        self
    }
}

impl Operation for ListFragments {
    const PATH: &'static str = "/listFragments";
    type Output = ListFragmentsOutput;
}

/// A range of fragments by one of their two times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FragmentSelector {
    /// Which time.
    pub fragment_selector_type: TimestampOrigin,
    /// From when to when.
    pub timestamp_range: TimestampRange,
}

/// Whose time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TimestampOrigin {
    /// The producer's.
    ProducerTimestamp,
    /// The service's.
    ServerTimestamp,
}

/// From when to when, both included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TimestampRange {
    /// From.
    pub start_timestamp: Timestamp,
    /// To.
    pub end_timestamp: Timestamp,
}

/// A time as it travels: seconds since the epoch with a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub SystemTime);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = match self.0.duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        };
        serializer.serialize_f64(seconds)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        epoch_seconds(seconds)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("time out of range"))
    }
}

/// The answer to [`ListFragments`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListFragmentsOutput {
    /// The fragments of this page.
    #[serde(default)]
    pub fragments: Vec<Fragment>,
    /// Where the next page starts, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// An archived fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Fragment {
    /// Its number.
    pub fragment_number: String,
    /// Its size in bytes.
    #[serde(default)]
    pub fragment_size_in_bytes: u64,
    /// When it was produced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer_timestamp: Option<Timestamp>,
    /// When the service received it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_timestamp: Option<Timestamp>,
    /// How long it is, in milliseconds.
    #[serde(default)]
    pub fragment_length_in_milliseconds: u64,
}
