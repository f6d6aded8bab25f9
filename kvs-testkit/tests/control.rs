//! The JSON operations, without a socket.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

mod common;

use std::time::Duration;

use kvs_mkv::Timestamp;
use kvs_testkit::service::{Operation, Reply, Service, ServiceConfig};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn call(service: &mut Service, operation: Operation, body: &Value) -> Reply {
    service.call(operation, body.to_string().as_bytes(), "http://localhost:1", NOW)
}

fn ok(service: &mut Service, operation: Operation, body: &Value) -> Value {
    let reply = call(service, operation, body);
    assert_eq!(reply.status, 200, "{operation:?} {body}: {reply:?}");
    reply.body
}

fn error(service: &mut Service, operation: Operation, body: &Value) -> (u16, String) {
    let reply = call(service, operation, body);
    assert!(reply.body["Message"].is_string(), "{reply:?}");
    (reply.status, reply.error_type.unwrap_or_default())
}

fn with_stream() -> Service {
    let mut service = Service::new(ServiceConfig::default());
    ok(
        &mut service,
        Operation::CreateStream,
        &json!({ "StreamName": "cam", "DataRetentionInHours": 2 }),
    );
    service
}

fn info(service: &mut Service) -> Value {
    ok(
        service,
        Operation::DescribeStream,
        &json!({ "StreamName": "cam" }),
    )["StreamInfo"]
        .clone()
}

#[test]
fn a_new_stream_is_described_as_it_was_asked_for() {
    let mut service = Service::new(ServiceConfig::default());
    let arn = ok(
        &mut service,
        Operation::CreateStream,
        &json!({
            "StreamName": "cam",
            "DeviceName": "door",
            "MediaType": "video/h264,audio/aac",
            "DataRetentionInHours": 24,
            "Tags": { "site": "north" },
        }),
    );
    let info = info(&mut service);
    assert_eq!(info["StreamARN"], arn["StreamARN"]);
    assert_eq!(
        info["StreamARN"],
        "arn:aws:kinesisvideo:us-west-2:123456789012:stream/cam/1700000000000"
    );
    assert_eq!(info["Status"], "ACTIVE");
    assert_eq!(info["DataRetentionInHours"], 24);
    assert_eq!(info["MediaType"], "video/h264,audio/aac");
    assert_eq!(info["DeviceName"], "door");
    assert_eq!(info["CreationTime"].as_f64(), Some(1_700_000_000.0));
    assert!(
        info["Version"]
            .as_str()
            .unwrap()
            .chars()
            .all(|c| c.is_ascii_alphanumeric())
    );
    assert!(
        info["KmsKeyId"]
            .as_str()
            .unwrap()
            .ends_with("alias/aws/kinesisvideo")
    );
    let tags = ok(
        &mut service,
        Operation::ListTagsForStream,
        &json!({ "StreamName": "cam" }),
    );
    assert_eq!(tags["Tags"], json!({ "site": "north" }));
}

#[test]
fn wrong_members_are_invalid_arguments() {
    let mut service = with_stream();
    let tags: serde_json::Map<String, Value> = (0..51).map(|n| (format!("k{n}"), json!("v"))).collect();
    for (operation, body) in [
        (Operation::CreateStream, json!({})),
        (Operation::CreateStream, json!({ "StreamName": "a b" })),
        (
            Operation::CreateStream,
            json!({ "StreamName": "x", "DataRetentionInHours": -1 }),
        ),
        (
            Operation::CreateStream,
            json!({ "StreamName": "x", "MediaType": "video" }),
        ),
        (
            Operation::CreateStream,
            json!({ "StreamName": "x", "Tags": tags }),
        ),
        (Operation::DescribeStream, json!({})),
        (
            Operation::DescribeStream,
            json!({ "StreamARN": "arn:of:nothing" }),
        ),
        (Operation::GetDataEndpoint, json!({ "StreamName": "cam" })),
        (
            Operation::GetDataEndpoint,
            json!({ "StreamName": "cam", "APIName": "PUT" }),
        ),
        (Operation::TagStream, json!({ "StreamName": "cam" })),
        (
            Operation::TagStream,
            json!({ "StreamName": "cam", "Tags": { "a#": "b" } }),
        ),
        (
            Operation::UntagStream,
            json!({ "StreamName": "cam", "TagKeyList": [] }),
        ),
        (Operation::ListStreams, json!({ "MaxResults": 0 })),
        (Operation::ListStreams, json!({ "NextToken": "made/up" })),
        (
            Operation::UpdateDataRetention,
            json!({ "StreamName": "cam", "CurrentVersion": "!" }),
        ),
        (Operation::DeleteStream, json!({ "StreamName": "cam" })),
    ] {
        let expected = (400, "InvalidArgumentException".to_owned());
        assert_eq!(
            error(&mut service, operation, &body),
            expected,
            "{operation:?} {body}"
        );
    }
    let wrong_type = json!({ "StreamName": 7 });
    assert_eq!(
        error(&mut service, Operation::DescribeStream, &wrong_type),
        (400, "SerializationException".to_owned())
    );
}

#[test]
fn a_stream_that_is_not_there_is_not_found() {
    let mut service = with_stream();
    let arn = "arn:aws:kinesisvideo:us-west-2:123456789012:stream/none/1";
    for (operation, body) in [
        (Operation::DescribeStream, json!({ "StreamName": "none" })),
        (Operation::DescribeStream, json!({ "StreamARN": arn })),
        (
            Operation::GetDataEndpoint,
            json!({ "StreamName": "none", "APIName": "PUT_MEDIA" }),
        ),
        (
            Operation::TagStream,
            json!({ "StreamName": "none", "Tags": { "a": "b" } }),
        ),
        (Operation::DeleteStream, json!({ "StreamARN": arn })),
    ] {
        let expected = (404, "ResourceNotFoundException".to_owned());
        assert_eq!(error(&mut service, operation, &body), expected, "{operation:?}");
    }
}

#[test]
fn a_name_is_taken_once() {
    let mut service = with_stream();
    let again = error(
        &mut service,
        Operation::CreateStream,
        &json!({ "StreamName": "cam" }),
    );
    assert_eq!(again, (400, "ResourceInUseException".to_owned()));
}

#[test]
fn every_change_needs_the_latest_version_and_makes_a_new_one() {
    let mut service = with_stream();
    let version = info(&mut service)["Version"].clone();
    let change = |version: &Value| {
        json!({
            "StreamName": "cam",
            "CurrentVersion": version,
            "Operation": "INCREASE_DATA_RETENTION",
            "DataRetentionChangeInHours": 3,
        })
    };
    ok(&mut service, Operation::UpdateDataRetention, &change(&version));
    assert_eq!(info(&mut service)["DataRetentionInHours"], 5);
    let stale = error(&mut service, Operation::UpdateDataRetention, &change(&version));
    assert_eq!(stale, (400, "VersionMismatchException".to_owned()));
    let media_type = json!({
        "StreamName": "cam",
        "CurrentVersion": info(&mut service)["Version"],
        "MediaType": "video/h265",
    });
    ok(&mut service, Operation::UpdateStream, &media_type);
    assert_eq!(info(&mut service)["MediaType"], "video/h265");
}

#[test]
fn changes_take_their_time_where_a_delay_is_set() {
    let mut config = ServiceConfig::default();
    config.status_delay = Duration::from_secs(2);
    let mut service = Service::new(config);
    ok(
        &mut service,
        Operation::CreateStream,
        &json!({ "StreamName": "cam" }),
    );
    assert_eq!(info(&mut service)["Status"], "CREATING");
    let endpoint = json!({ "StreamName": "cam", "APIName": "PUT_MEDIA" });
    assert_eq!(error(&mut service, Operation::GetDataEndpoint, &endpoint).0, 404);
    let at = NOW.saturating_add(Duration::from_secs(2));
    assert_eq!(service.next_timeout(), Some(at));
    service.advance(at);
    assert_eq!(info(&mut service)["Status"], "ACTIVE");

    let arn = info(&mut service)["StreamARN"].clone();
    ok(
        &mut service,
        Operation::DeleteStream,
        &json!({ "StreamARN": arn }),
    );
    assert_eq!(info(&mut service)["Status"], "DELETING");
    let again = error(
        &mut service,
        Operation::CreateStream,
        &json!({ "StreamName": "cam" }),
    );
    assert_eq!(again.1, "ResourceInUseException");
    service.advance(at.saturating_add(Duration::from_secs(2)));
    assert_eq!(
        error(
            &mut service,
            Operation::DescribeStream,
            &json!({ "StreamName": "cam" })
        )
        .0,
        404
    );
}

#[test]
fn streams_are_listed_in_pages_by_prefix() {
    let mut service = Service::new(ServiceConfig::default());
    for n in 0..7 {
        ok(
            &mut service,
            Operation::CreateStream,
            &json!({ "StreamName": format!("cam{n}") }),
        );
    }
    ok(
        &mut service,
        Operation::CreateStream,
        &json!({ "StreamName": "door" }),
    );
    let mut names = Vec::new();
    let mut asked = json!({
        "MaxResults": 3,
        "StreamNameCondition": { "ComparisonOperator": "BEGINS_WITH", "ComparisonValue": "cam" },
    });
    loop {
        let page = ok(&mut service, Operation::ListStreams, &asked);
        let streams = page["StreamInfoList"].as_array().unwrap();
        assert!(streams.len() <= 3);
        names.extend(
            streams
                .iter()
                .map(|stream| stream["StreamName"].as_str().unwrap().to_owned()),
        );
        match page["NextToken"].as_str() {
            Some(token) => asked["NextToken"] = token.into(),
            None => break,
        }
    }
    assert_eq!(names, ["cam0", "cam1", "cam2", "cam3", "cam4", "cam5", "cam6"]);
}

#[test]
fn tags_are_added_replaced_removed_and_limited() {
    let mut service = with_stream();
    let tag = |pairs: Value| json!({ "StreamName": "cam", "Tags": pairs });
    ok(
        &mut service,
        Operation::TagStream,
        &tag(json!({ "a": "1", "b": "" })),
    );
    ok(&mut service, Operation::TagStream, &tag(json!({ "a": "2" })));
    ok(
        &mut service,
        Operation::UntagStream,
        &json!({ "StreamName": "cam", "TagKeyList": ["b"] }),
    );
    let tags = ok(
        &mut service,
        Operation::ListTagsForStream,
        &json!({ "StreamName": "cam" }),
    );
    assert_eq!(tags["Tags"], json!({ "a": "2" }));
    let many: serde_json::Map<String, Value> = (0..50).map(|n| (format!("k{n}"), json!("v"))).collect();
    let refused = error(&mut service, Operation::TagStream, &tag(many.into()));
    assert_eq!(refused.1, "TagsPerResourceExceededLimitException");
}

#[test]
fn each_api_has_an_endpoint_without_a_path() {
    let mut service = with_stream();
    for api in [
        "PUT_MEDIA",
        "GET_MEDIA",
        "LIST_FRAGMENTS",
        "GET_MEDIA_FOR_FRAGMENT_LIST",
        "GET_HLS_STREAMING_SESSION_URL",
        "GET_DASH_STREAMING_SESSION_URL",
        "GET_CLIP",
        "GET_IMAGES",
    ] {
        let asked = json!({ "StreamName": "cam", "APIName": api });
        let endpoint = ok(&mut service, Operation::GetDataEndpoint, &asked);
        assert_eq!(endpoint["DataEndpoint"], "http://localhost:1");
    }
}

/// The body of a call that is right, for every operation of a stream.
fn right_call(service: &mut Service, operation: Operation) -> Option<Value> {
    let info = info(service);
    let (arn, version) = (info["StreamARN"].clone(), info["Version"].clone());
    let channel = "arn:aws:kinesisvideo:us-west-2:123456789012:channel/talk/1500000000000";
    let by_name = || json!({ "StreamName": "cam" });
    let destination = json!({ "Uri": "s3://bucket/path", "DestinationRegion": "us-west-2" });
    let media_source = json!({
        "MediaUriSecretArn": "arn:aws:secretsmanager:us-west-2:123456789012:secret:camera",
        "MediaUriType": "RTSP_URI",
    });
    let hub = "arn:aws:iot:us-west-2:123456789012:thing/hub";
    Some(match operation {
        Operation::CreateStream => json!({ "StreamName": "another" }),
        Operation::UpdateStream => {
            json!({ "StreamName": "cam", "CurrentVersion": version, "MediaType": "video/h264" })
        }
        Operation::DeleteStream => json!({ "StreamARN": arn, "CurrentVersion": version }),
        Operation::ListStreams => json!({}),
        Operation::GetDataEndpoint => json!({ "StreamName": "cam", "APIName": "GET_MEDIA" }),
        Operation::UpdateDataRetention => json!({
            "StreamARN": arn,
            "CurrentVersion": version,
            "Operation": "DECREASE_DATA_RETENTION",
            "DataRetentionChangeInHours": 1,
        }),
        Operation::TagStream => json!({ "StreamARN": arn, "Tags": { "a": "b" } }),
        Operation::UntagStream => json!({ "StreamName": "cam", "TagKeyList": ["a"] }),
        Operation::UpdateImageGenerationConfiguration => json!({
            "StreamName": "cam",
            "ImageGenerationConfiguration": {
                "Status": "ENABLED",
                "ImageSelectorType": "PRODUCER_TIMESTAMP",
                "DestinationConfig": destination,
                "SamplingInterval": 3_000,
                "Format": "JPEG",
                "FormatConfig": { "JPEGQuality": "80" },
                "WidthPixels": 640,
            },
        }),
        Operation::UpdateNotificationConfiguration => json!({
            "StreamName": "cam",
            "NotificationConfiguration": {
                "Status": "ENABLED",
                "DestinationConfig": { "Uri": "arn:aws:sns:us-west-2:123456789012:topic" },
            },
        }),
        Operation::UpdateStreamStorageConfiguration => json!({
            "StreamName": "cam",
            "CurrentVersion": version,
            "StreamStorageConfiguration": { "DefaultStorageTier": "WARM" },
        }),
        Operation::DescribeMediaStorageConfiguration => json!({ "ChannelARN": channel }),
        Operation::UpdateMediaStorageConfiguration => json!({
            "ChannelARN": channel,
            "MediaStorageConfiguration": { "Status": "ENABLED", "StreamARN": arn },
        }),
        Operation::StartEdgeConfigurationUpdate => json!({
            "StreamName": "cam",
            "EdgeConfig": {
                "HubDeviceArn": hub,
                "RecorderConfig": {
                    "MediaSourceConfig": media_source,
                    "ScheduleConfig": { "ScheduleExpression": "0 0 10 ? * * *", "DurationInSeconds": 60 },
                },
                "DeletionConfig": {
                    "EdgeRetentionInHours": 24,
                    "DeleteAfterUpload": true,
                    "LocalSizeConfig": {
                        "MaxLocalMediaSizeInMB": 2_000,
                        "StrategyOnFullSize": "DELETE_OLDEST_MEDIA",
                    },
                },
            },
        }),
        Operation::ListEdgeAgentConfigurations => json!({ "HubDeviceArn": hub }),
        Operation::TagResource => {
            json!({ "ResourceARN": arn, "Tags": [{ "Key": "a", "Value": "b" }] })
        }
        Operation::UntagResource => json!({ "ResourceARN": arn, "TagKeyList": ["a"] }),
        Operation::ListTagsForResource => json!({ "ResourceARN": arn }),
        operation if operation.is_data() || !operation.is_supported() => return None,
        _ => by_name(),
    })
}

#[test]
fn all_twenty_six_stream_operations_answer_a_right_call() {
    let mut service = with_stream();
    let mut answered = 0;
    // What is described or removed has to be set first, and the stream goes last.
    let mut order: Vec<Operation> = Operation::ALL.to_vec();
    order.sort_by_key(|operation| match operation.name() {
        "DeleteStream" => 3,
        name if name.starts_with("Delete") => 2,
        name if name.starts_with("Describe") || name.starts_with("List") => 1,
        _ => 0,
    });
    for operation in order {
        let Some(body) = right_call(&mut service, operation) else {
            continue;
        };
        ok(&mut service, operation, &body);
        answered += 1;
    }
    assert_eq!(answered, 26);
}

#[test]
fn what_was_set_is_described() {
    let mut service = with_stream();
    for (update, describe, member) in [
        (
            Operation::UpdateImageGenerationConfiguration,
            Operation::DescribeImageGenerationConfiguration,
            "ImageGenerationConfiguration",
        ),
        (
            Operation::UpdateNotificationConfiguration,
            Operation::DescribeNotificationConfiguration,
            "NotificationConfiguration",
        ),
        (
            Operation::UpdateStreamStorageConfiguration,
            Operation::DescribeStreamStorageConfiguration,
            "StreamStorageConfiguration",
        ),
        (
            Operation::StartEdgeConfigurationUpdate,
            Operation::DescribeEdgeConfiguration,
            "EdgeConfig",
        ),
        (
            Operation::UpdateMediaStorageConfiguration,
            Operation::DescribeMediaStorageConfiguration,
            "MediaStorageConfiguration",
        ),
    ] {
        let body = right_call(&mut service, update).unwrap();
        ok(&mut service, update, &body);
        let describing = right_call(&mut service, describe).unwrap();
        assert_eq!(
            ok(&mut service, describe, &describing)[member],
            body[member],
            "{describe:?}"
        );
    }
    let mapped = Operation::DescribeMappedResourceConfiguration;
    let mapped = ok(&mut service, mapped, &json!({ "StreamName": "cam" }));
    assert_eq!(
        mapped["MappedResourceConfigurationList"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_removed_edge_configuration_is_not_found() {
    let mut service = with_stream();
    let body = right_call(&mut service, Operation::StartEdgeConfigurationUpdate).unwrap();
    assert_eq!(
        ok(&mut service, Operation::StartEdgeConfigurationUpdate, &body)["SyncStatus"],
        "SYNCING"
    );
    ok(
        &mut service,
        Operation::DeleteEdgeConfiguration,
        &json!({ "StreamName": "cam" }),
    );
    let gone = error(
        &mut service,
        Operation::DescribeEdgeConfiguration,
        &json!({ "StreamName": "cam" }),
    );
    assert_eq!(gone, (404, "StreamEdgeConfigurationNotFoundException".to_owned()));
}

#[test]
fn settings_about_stored_media_need_a_retention() {
    let mut service = Service::new(ServiceConfig::default());
    ok(
        &mut service,
        Operation::CreateStream,
        &json!({ "StreamName": "cam" }),
    );
    for operation in [
        Operation::UpdateImageGenerationConfiguration,
        Operation::UpdateNotificationConfiguration,
        Operation::UpdateMediaStorageConfiguration,
        Operation::StartEdgeConfigurationUpdate,
    ] {
        let body = right_call(&mut service, operation).unwrap();
        let refused = error(&mut service, operation, &body);
        assert_eq!(
            refused,
            (400, "NoDataRetentionException".to_owned()),
            "{operation:?}"
        );
    }
}

#[test]
fn nested_members_are_checked() {
    let mut service = with_stream();
    for (operation, path, wrong) in [
        (
            Operation::UpdateImageGenerationConfiguration,
            "/ImageGenerationConfiguration/SamplingInterval",
            json!(199),
        ),
        (
            Operation::UpdateImageGenerationConfiguration,
            "/ImageGenerationConfiguration/Format",
            json!("GIF"),
        ),
        (
            Operation::UpdateImageGenerationConfiguration,
            "/ImageGenerationConfiguration/FormatConfig/JPEGQuality",
            json!("101"),
        ),
        (
            Operation::UpdateImageGenerationConfiguration,
            "/ImageGenerationConfiguration/DestinationConfig/Uri",
            json!("s3://bucket/*"),
        ),
        (
            Operation::UpdateImageGenerationConfiguration,
            "/ImageGenerationConfiguration/WidthPixels",
            json!(3_841),
        ),
        (
            Operation::UpdateNotificationConfiguration,
            "/NotificationConfiguration/Status",
            json!("ON"),
        ),
        (
            Operation::UpdateStreamStorageConfiguration,
            "/StreamStorageConfiguration/DefaultStorageTier",
            json!("COLD"),
        ),
        (
            Operation::StartEdgeConfigurationUpdate,
            "/EdgeConfig/HubDeviceArn",
            json!("arn:aws:iot:x:1:hub"),
        ),
        (
            Operation::StartEdgeConfigurationUpdate,
            "/EdgeConfig/RecorderConfig/ScheduleConfig/DurationInSeconds",
            json!(59),
        ),
        (
            Operation::StartEdgeConfigurationUpdate,
            "/EdgeConfig/DeletionConfig/LocalSizeConfig/MaxLocalMediaSizeInMB",
            json!(63),
        ),
        (Operation::TagResource, "/Tags/0/Key", json!("")),
        (
            Operation::UpdateMediaStorageConfiguration,
            "/MediaStorageConfiguration/StreamARN",
            Value::Null,
        ),
    ] {
        let mut body = right_call(&mut service, operation).unwrap();
        *body.pointer_mut(path).unwrap() = wrong;
        let refused = error(&mut service, operation, &body);
        assert_eq!(
            refused,
            (400, "InvalidArgumentException".to_owned()),
            "{operation:?} {path}"
        );
    }
}

#[test]
fn operations_that_are_not_part_of_the_mock_say_so() {
    let mut service = with_stream();
    let unsupported: Vec<Operation> = Operation::ALL
        .iter()
        .copied()
        .filter(|operation| !operation.is_supported())
        .collect();
    assert_eq!(unsupported.len(), 10);
    for operation in unsupported {
        let refused = error(&mut service, operation, &json!({}));
        assert_eq!(
            refused,
            (400, "UnsupportedOperationException".to_owned()),
            "{operation:?}"
        );
    }
}
