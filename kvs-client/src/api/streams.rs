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
