//! The operations of the API as types: each is its request body, and names its path and its answer.
//!
//! Source: the API reference of Kinesis Video Streams.
//! [`HttpControlPlane::call`](crate::HttpControlPlane::call) performs any of them.

mod archived;
mod settings;
mod streams;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{archived::*, settings::*, streams::*};
use crate::CreateStream;

/// An operation: what is serialized is the request body.
pub trait Operation: Serialize {
    /// Where it is posted to.
    const PATH: &'static str;

    /// What the service answers.
    type Output: DeserializeOwned;
}

/// The answer of an operation that has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

impl Operation for CreateStream {
    const PATH: &'static str = "/createStream";
    type Output = CreateStreamOutput;
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};

    use super::*;

    fn body(operation: &impl Operation) -> Value {
        serde_json::to_value(operation).expect("serializes")
    }

    fn by_name() -> StreamId {
        StreamId::Name("front-door".into())
    }

    #[test]
    fn request_bodies_have_the_members_of_the_api_reference() {
        let version = || "abc".to_owned();
        let tier = StreamStorageConfiguration {
            default_storage_tier: StorageTier::Warm,
        };
        let images = ImageGenerationConfiguration {
            status: ConfigurationStatus::Enabled,
            image_selector_type: ImageSelector::ProducerTimestamp,
            destination_config: ImageDestination {
                uri: "s3://b".into(),
                destination_region: "us-west-2".into(),
            },
            sampling_interval: 200,
            format: ImageFormat::Jpeg,
            format_config: [("JPEGQuality".to_owned(), "80".to_owned())].into(),
            width_pixels: Some(640),
            height_pixels: None,
        };
        let notification = NotificationConfiguration {
            status: ConfigurationStatus::Disabled,
            destination_config: NotificationDestination {
                uri: "arn:sns".into(),
            },
        };
        let time = |millis| Timestamp(UNIX_EPOCH + Duration::from_millis(millis));
        let range = TimestampRange {
            start_timestamp: time(1_500),
            end_timestamp: time(2_250),
        };
        let selector = FragmentSelector {
            fragment_selector_type: TimestampOrigin::ServerTimestamp,
            timestamp_range: range,
        };

        let update = UpdateStream {
            stream: by_name(),
            current_version: version(),
            media_type: Some("video/h265".into()),
            device_name: None,
        };
        assert_eq!(
            body(&update),
            json!({"StreamName": "front-door", "CurrentVersion": "abc", "MediaType": "video/h265"})
        );
        let delete = DeleteStream {
            stream_arn: "arn:x".into(),
            current_version: None,
        };
        assert_eq!(body(&delete), json!({"StreamARN": "arn:x"}));
        assert_eq!(
            body(&ListStreams::beginning_with("front")),
            json!({"StreamNameCondition": {"ComparisonOperator": "BEGINS_WITH", "ComparisonValue": "front"}})
        );
        let retention = UpdateDataRetention {
            stream: StreamId::Arn("arn:x".into()),
            current_version: version(),
            operation: RetentionChange::Increase,
            data_retention_change_in_hours: 24,
        };
        assert_eq!(
            body(&retention),
            json!({
                "StreamARN": "arn:x", "CurrentVersion": "abc", "Operation": "INCREASE_DATA_RETENTION",
                "DataRetentionChangeInHours": 24,
            })
        );
        let untag = UntagStream {
            stream: by_name(),
            tag_key_list: vec!["site".into()],
        };
        assert_eq!(
            body(&untag),
            json!({"StreamName": "front-door", "TagKeyList": ["site"]})
        );
        let storage = UpdateStreamStorageConfiguration {
            stream: by_name(),
            current_version: version(),
            stream_storage_configuration: tier,
        };
        assert_eq!(
            body(&storage),
            json!({
                "StreamName": "front-door", "CurrentVersion": "abc",
                "StreamStorageConfiguration": {"DefaultStorageTier": "WARM"},
            })
        );
        let images = UpdateImageGenerationConfiguration {
            stream: by_name(),
            configuration: ImageGeneration {
                configuration: Some(images),
            },
        };
        assert_eq!(
            body(&images),
            json!({
                "StreamName": "front-door",
                "ImageGenerationConfiguration": {
                    "Status": "ENABLED", "ImageSelectorType": "PRODUCER_TIMESTAMP", "SamplingInterval": 200,
                    "DestinationConfig": {"Uri": "s3://b", "DestinationRegion": "us-west-2"}, "Format": "JPEG",
                    "FormatConfig": {"JPEGQuality": "80"}, "WidthPixels": 640,
                },
            })
        );
        let notification = UpdateNotificationConfiguration {
            stream: by_name(),
            configuration: Notification {
                configuration: Some(notification),
            },
        };
        assert_eq!(
            body(&notification),
            json!({
                "StreamName": "front-door",
                "NotificationConfiguration": {"Status": "DISABLED", "DestinationConfig": {"Uri": "arn:sns"}},
            })
        );
        assert_eq!(
            body(&ListFragments::by_name("front-door").selected(selector)),
            json!({
                "StreamName": "front-door",
                "FragmentSelector": {
                    "FragmentSelectorType": "SERVER_TIMESTAMP",
                    "TimestampRange": {"StartTimestamp": 1.5, "EndTimestamp": 2.25},
                },
            })
        );
    }

    #[test]
    fn answers_are_read_with_members_missing_and_unknown() {
        let fragments: ListFragmentsOutput = serde_json::from_value(json!({
            "Fragments": [{
                "FragmentNumber": "7", "FragmentSizeInBytes": 3, "ProducerTimestamp": 1.5, "FragmentLengthInMilliseconds": 40,
                "New": true,
            }],
            "NextToken": null,
        }))
        .expect("reads");
        let streams: ListStreamsOutput = serde_json::from_value(json!({})).expect("reads");
        let images: ImageGeneration = serde_json::from_value(json!({})).expect("reads");

        let fragment = &fragments.fragments[0];
        assert_eq!(
            fragment.producer_timestamp,
            Some(Timestamp(UNIX_EPOCH + Duration::from_millis(1_500)))
        );
        assert_eq!(
            (
                fragment.server_timestamp,
                fragment.fragment_length_in_milliseconds
            ),
            (None, 40)
        );
        assert!(streams.stream_info_list.is_empty() && images.configuration.is_none());
    }
}
