//! Storage tiers, and the signaling channels whose media is stored in streams.

use kvs_mkv::Timestamp;
use serde_json::{Value, json};

use super::input::{Input, Shape, required};
use super::{Operation, Service, ServiceError, ServiceErrorKind};
use crate::service::StreamSelector;
use crate::service::stream::StreamStatus;

/// Reads `StreamStorageConfiguration`.
pub(super) fn storage_tier(configuration: &Input) -> Result<&'static str, ServiceError> {
    const TIERS: [&str; 2] = ["HOT", "WARM"];
    required(
        "DefaultStorageTier",
        configuration.word("DefaultStorageTier", &TIERS)?,
    )
}

impl Service {
    pub(super) fn describe_stream_storage(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::DescribeStreamStorageConfiguration, input)?;
        Ok(self.streams.get(&name).map_or_else(
            || json!({}),
            |stream| {
                json!({
                    "StreamName": stream.name,
                    "StreamARN": stream.arn,
                    "StreamStorageConfiguration": { "DefaultStorageTier": stream.storage_tier },
                })
            },
        ))
    }

    pub(super) fn update_stream_storage(
        &mut self,
        input: &Input,
        now: Timestamp,
    ) -> Result<Value, ServiceError> {
        let version = required(
            "CurrentVersion",
            input.text("CurrentVersion", 1..=64, Shape::Alphanumeric)?,
        )?;
        let configuration = required(
            "StreamStorageConfiguration",
            input.object("StreamStorageConfiguration")?,
        )?;
        let tier = storage_tier(&configuration)?;
        let name = self.called_stream(Operation::UpdateStreamStorageConfiguration, input)?;
        self.require_unchanging(&name)?;
        self.check_version(&name, Some(version))?;
        if let Some(stream) = self.streams.get_mut(&name) {
            tier.clone_into(&mut stream.storage_tier);
        }
        self.begin_change(&name, StreamStatus::Updating, now);
        Ok(json!({}))
    }

    pub(super) fn describe_mapped_resource(&mut self, input: &Input) -> Result<Value, ServiceError> {
        input.number("MaxResults", 1..=1)?;
        input.text("NextToken", 0..=1_024, Shape::Token)?;
        let name = self.called_stream(Operation::DescribeMappedResourceConfiguration, input)?;
        let stream_arn = self.streams.get(&name).map(|stream| stream.arn.clone());
        let mapped: Vec<Value> = self
            .media_storage
            .iter()
            .filter(|(_, stored)| **stored == stream_arn && stored.is_some())
            .map(|(channel, _)| json!({ "Type": "SIGNALING_CHANNEL", "ARN": channel }))
            .take(1)
            .collect();
        Ok(json!({ "MappedResourceConfigurationList": mapped }))
    }

    pub(super) fn describe_media_storage(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let channel_name = input.text("ChannelName", 1..=256, Shape::Name)?;
        let channel_arn = input.arn("ChannelARN")?;
        if channel_name.is_none() && channel_arn.is_none() {
            return Err(ServiceError::invalid(
                "either ChannelName or ChannelARN must be given",
            ));
        }
        let is_asked_for = |arn: &str| match channel_arn {
            Some(asked) => arn == asked,
            None => arn.split('/').nth(1) == channel_name,
        };
        let found = self.media_storage.iter().find(|(arn, _)| is_asked_for(arn));
        let Some((_, stored)) = found else {
            return Err(ServiceError::new(
                ServiceErrorKind::ResourceNotFound,
                "the channel has no media storage configuration",
            ));
        };
        let configuration = match stored {
            Some(stream_arn) => json!({ "Status": "ENABLED", "StreamARN": stream_arn }),
            None => json!({ "Status": "DISABLED" }),
        };
        Ok(json!({ "MediaStorageConfiguration": configuration }))
    }

    /// Channels themselves aren't modelled, so any channel's ARN will do.
    pub(super) fn update_media_storage(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let channel = required("ChannelARN", input.arn("ChannelARN")?)?.to_owned();
        let configuration = required(
            "MediaStorageConfiguration",
            input.object("MediaStorageConfiguration")?,
        )?;
        let status = required("Status", configuration.word("Status", &["ENABLED", "DISABLED"])?)?;
        let stream_arn = configuration.arn("StreamARN")?;
        if status == "DISABLED" {
            self.media_storage.insert(channel, None);
            return Ok(json!({}));
        }
        let stream_arn = required("StreamARN", stream_arn)?.to_owned();
        let name = self.resolve(&StreamSelector::Arn(stream_arn.clone()))?;
        self.require_unchanging(&name)?;
        self.require_retention(&name)?;
        self.media_storage.insert(channel, Some(stream_arn));
        Ok(json!({}))
    }
}
