//! Operations on streams.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{Nothing, Operation};
use crate::{ApiName, StreamInfo, StreamStatus};

/// A stream by its name or its ARN; one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamId {
    /// By name.
    #[serde(rename = "StreamName")]
    Name(String),
    /// By Amazon resource name.
    #[serde(rename = "StreamARN")]
    Arn(String),
}

/// Describes a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeStream {
    /// Which one.
    #[serde(flatten)]
    pub stream: StreamId,
}

impl DescribeStream {
    /// The stream of this name.
    pub fn by_name(name: impl Into<String>) -> Self {
        Self {
            stream: StreamId::Name(name.into()),
        }
    }
}

impl Operation for DescribeStream {
    const PATH: &'static str = "/describeStream";
    type Output = DescribeStreamOutput;
}

/// The answer to [`DescribeStream`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeStreamOutput {
    /// The stream.
    pub stream_info: StreamDescription,
}

/// A stream as it is on the wire; [`StreamInfo`] is the form to work with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamDescription {
    /// The name.
    pub stream_name: String,
    /// The Amazon resource name.
    #[serde(rename = "StreamARN")]
    pub stream_arn: String,
    /// Whether it can be used.
    pub status: String,
    /// How long media is kept, in hours.
    #[serde(default)]
    pub data_retention_in_hours: u32,
    /// The kind of media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// Seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<f64>,
}

impl From<StreamDescription> for StreamInfo {
    fn from(wire: StreamDescription) -> Self {
        Self {
            name: wire.stream_name,
            arn: wire.stream_arn,
            status: StreamStatus::from(wire.status.as_str()),
            retention_hours: wire.data_retention_in_hours,
            media_type: wire.media_type,
            version: wire.version,
            kms_key_id: wire.kms_key_id,
            device_name: wire.device_name,
            created: wire.creation_time.and_then(epoch_seconds),
        }
    }
}

/// Times travel as seconds since the epoch with a fraction.
pub(super) fn epoch_seconds(seconds: f64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// The answer to [`CreateStream`](crate::CreateStream).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateStreamOutput {
    /// The new stream's ARN.
    #[serde(rename = "StreamARN")]
    pub stream_arn: String,
}

/// Asks where an API of a stream is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetDataEndpoint {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
    /// Which API.
    #[serde(rename = "APIName")]
    pub api: ApiName,
}

impl GetDataEndpoint {
    /// For the stream of this name.
    pub fn by_name(name: impl Into<String>, api: ApiName) -> Self {
        Self {
            stream: StreamId::Name(name.into()),
            api,
        }
    }
}

impl Operation for GetDataEndpoint {
    const PATH: &'static str = "/getDataEndpoint";
    type Output = GetDataEndpointOutput;
}

/// The answer to [`GetDataEndpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetDataEndpointOutput {
    /// A URL without path.
    pub data_endpoint: String,
}

/// Adds tags to a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagStream {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
    /// 1 to 50 tags.
    #[serde(rename = "Tags")]
    pub tags: BTreeMap<String, String>,
}

impl TagStream {
    /// To the stream of this ARN.
    pub fn by_arn(arn: impl Into<String>, tags: BTreeMap<String, String>) -> Self {
        Self {
            stream: StreamId::Arn(arn.into()),
            tags,
        }
    }
}

impl Operation for TagStream {
    const PATH: &'static str = "/tagStream";
    type Output = Nothing;
}

/// Changes a stream's media type or device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateStream {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
    /// The version as last described.
    pub current_version: String,
    /// The new media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The new device name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
}

impl Operation for UpdateStream {
    const PATH: &'static str = "/updateStream";
    type Output = Nothing;
}

/// Deletes a stream and its media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteStream {
    /// Which stream.
    #[serde(rename = "StreamARN")]
    pub stream_arn: String,
    /// The version as last described; any version unless set.
    #[serde(rename = "CurrentVersion", default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<String>,
}

impl Operation for DeleteStream {
    const PATH: &'static str = "/deleteStream";
    type Output = Nothing;
}

/// Lists streams, a page at a time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListStreams {
    /// 1 to 10,000 per page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<u32>,
    /// Where the page before left off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// Which names to list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_name_condition: Option<StreamNameCondition>,
}

impl ListStreams {
    /// Lists the streams whose names begin so.
    pub fn beginning_with(prefix: impl Into<String>) -> Self {
        let condition = StreamNameCondition {
            comparison_operator: Comparison::BeginsWith,
            comparison_value: prefix.into(),
        };
        Self {
            stream_name_condition: Some(condition),
            ..Self::default()
        }
    }
}

impl Operation for ListStreams {
    const PATH: &'static str = "/listStreams";
    type Output = ListStreamsOutput;
}

/// A condition on stream names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamNameCondition {
    /// How to compare.
    pub comparison_operator: Comparison,
    /// With what.
    pub comparison_value: String,
}

/// How names are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Comparison {
    /// By prefix.
    BeginsWith,
}

/// The answer to [`ListStreams`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListStreamsOutput {
    /// The streams of this page.
    #[serde(default)]
    pub stream_info_list: Vec<StreamDescription>,
    /// Where the next page starts, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Keeps media for a longer or shorter time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateDataRetention {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
    /// The version as last described.
    pub current_version: String,
    /// Longer or shorter.
    pub operation: RetentionChange,
    /// By how many hours; 1 or more.
    pub data_retention_change_in_hours: u32,
}

impl Operation for UpdateDataRetention {
    const PATH: &'static str = "/updateDataRetention";
    type Output = Nothing;
}

/// Which way a retention changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetentionChange {
    /// Longer.
    #[serde(rename = "INCREASE_DATA_RETENTION")]
    Increase,
    /// Shorter; media that is older is gone at once.
    #[serde(rename = "DECREASE_DATA_RETENTION")]
    Decrease,
}

/// Removes tags from a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagStream {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
    /// 1 to 50 names.
    pub tag_key_list: Vec<String>,
}

impl Operation for UntagStream {
    const PATH: &'static str = "/untagStream";
    type Output = Nothing;
}

/// Lists the tags of a stream, a page at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagsForStream {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
    /// Where the page before left off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Operation for ListTagsForStream {
    const PATH: &'static str = "/listTagsForStream";
    type Output = ListTagsForStreamOutput;
}

/// The answer to [`ListTagsForStream`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagsForStreamOutput {
    /// The tags of this page.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Where the next page starts, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
