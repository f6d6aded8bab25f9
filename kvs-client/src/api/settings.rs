//! What the service does with the media of a stream besides keeping it: still images, notifications, storage
//! tiers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Nothing, Operation, StreamId};

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConfigurationStatus {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// Describes how still images are made from a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeImageGenerationConfiguration {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
}

impl Operation for DescribeImageGenerationConfiguration {
    const PATH: &'static str = "/describeImageGenerationConfiguration";
    type Output = ImageGeneration;
}

/// Changes how still images are made from a stream. Takes effect after about a minute, and needs a retention
/// above 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateImageGenerationConfiguration {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
    /// The new configuration; none removes it.
    #[serde(flatten)]
    pub configuration: ImageGeneration,
}

impl Operation for UpdateImageGenerationConfiguration {
    const PATH: &'static str = "/updateImageGenerationConfiguration";
    type Output = Nothing;
}

/// An image-generation configuration, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageGeneration {
    /// The configuration.
    #[serde(
        rename = "ImageGenerationConfiguration",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub configuration: Option<ImageGenerationConfiguration>,
}

/// How still images are made from a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageGenerationConfiguration {
    /// Whether they are.
    pub status: ConfigurationStatus,
    /// By which clock they are spaced.
    pub image_selector_type: ImageSelector,
    /// Where they go.
    pub destination_config: ImageDestination,
    /// The time between two images in milliseconds; 200 or more.
    pub sampling_interval: u32,
    /// JPEG or PNG.
    pub format: ImageFormat,
    /// `JPEGQuality` from 1 to 100.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub format_config: BTreeMap<String, String>,
    /// 1 to 3840 pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width_pixels: Option<u32>,
    /// 1 to 2160 pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_pixels: Option<u32>,
}

/// The clock that spaces images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ImageSelector {
    /// The service's.
    ServerTimestamp,
    /// The producer's.
    ProducerTimestamp,
}

/// The format of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ImageFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
}

/// Where images go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageDestination {
    /// An S3 URI.
    pub uri: String,
    /// The bucket's region.
    pub destination_region: String,
}

/// Describes the notifications of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeNotificationConfiguration {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
}

impl Operation for DescribeNotificationConfiguration {
    const PATH: &'static str = "/describeNotificationConfiguration";
    type Output = Notification;
}

/// Changes the notifications of a stream. Takes effect after about a minute, and needs a retention above 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateNotificationConfiguration {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
    /// The new configuration; none removes it.
    #[serde(flatten)]
    pub configuration: Notification,
}

impl Operation for UpdateNotificationConfiguration {
    const PATH: &'static str = "/updateNotificationConfiguration";
    type Output = Nothing;
}

/// A notification configuration, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The configuration.
    #[serde(
        rename = "NotificationConfiguration",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub configuration: Option<NotificationConfiguration>,
}

/// How a stream notifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NotificationConfiguration {
    /// Whether it does.
    pub status: ConfigurationStatus,
    /// Where to.
    pub destination_config: NotificationDestination,
}

/// Where notifications go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NotificationDestination {
    /// The URI of an SNS topic.
    pub uri: String,
}

/// Describes where a stream's media is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeStreamStorageConfiguration {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
}

impl Operation for DescribeStreamStorageConfiguration {
    const PATH: &'static str = "/describeStreamStorageConfiguration";
    type Output = DescribeStreamStorageConfigurationOutput;
}

/// The answer to [`DescribeStreamStorageConfiguration`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeStreamStorageConfigurationOutput {
    /// The stream's name.
    #[serde(default)]
    pub stream_name: String,
    /// Its ARN.
    #[serde(rename = "StreamARN", default)]
    pub stream_arn: String,
    /// Where its media is kept.
    pub stream_storage_configuration: StreamStorageConfiguration,
}

/// Changes where a stream's media is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateStreamStorageConfiguration {
    /// Which stream.
    #[serde(flatten)]
    pub stream: StreamId,
    /// The version as last described.
    pub current_version: String,
    /// The new place.
    pub stream_storage_configuration: StreamStorageConfiguration,
}

impl Operation for UpdateStreamStorageConfiguration {
    const PATH: &'static str = "/updateStreamStorageConfiguration";
    type Output = Nothing;
}

/// Where media is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamStorageConfiguration {
    /// The tier new media goes to.
    pub default_storage_tier: StorageTier,
}

/// A storage tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StorageTier {
    /// Quick to read, dear to keep.
    Hot,
    /// Slow to read, cheap to keep.
    Warm,
}
