//! AWS's SDK for Rust against `kvs mock`: control plane, GetMedia, archived media.
//!
//! `interop-rust-sdk control ENDPOINT STREAM` makes the stream; `interop-rust-sdk media ENDPOINT STREAM FRAGMENTS`
//! reads what was put meanwhile, and deletes it. Credentials and region come from the environment.

use std::error::Error;

use aws_sdk_kinesisvideo::Client;
use aws_sdk_kinesisvideo::config::{
    BehaviorVersion, Config, Credentials, Region, StalledStreamProtectionConfig,
};
use aws_sdk_kinesisvideo::types::{ApiName, Status};
use aws_sdk_kinesisvideoarchivedmedia as archived;
use aws_sdk_kinesisvideomedia as media;
use aws_sdk_kinesisvideomedia::types::{StartSelector, StartSelectorType};
use aws_smithy_http_client::Builder;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The settings of a client, whose types each SDK crate has for itself.
macro_rules! settings {
    ($builder:expr, $endpoint:expr) => {
        $builder
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url($endpoint)
            .region(Region::new(std::env::var("AWS_REGION")?))
            .credentials_provider(credentials()?)
            .http_client(Builder::new().build_http())
            // A live reader waits for the next fragment for longer than the 5 s that the SDK calls a stall.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build()
    };
}

fn credentials() -> Outcome<Credentials> {
    let (id, secret) = (
        std::env::var("AWS_ACCESS_KEY_ID")?,
        std::env::var("AWS_SECRET_ACCESS_KEY")?,
    );
    Ok(Credentials::new(id, secret, None, None, "environment"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["control", endpoint, stream] => control(endpoint, stream).await,
        ["media", endpoint, stream, fragments] => read(endpoint, stream, fragments.parse()?).await,
        _ => Err("control ENDPOINT STREAM, or media ENDPOINT STREAM FRAGMENTS".into()),
    }
}

async fn control(endpoint: &str, stream: &str) -> Outcome {
    let video = Client::from_conf(settings!(Config::builder(), endpoint));
    assert_not_found(&video, stream).await;

    let made = video
        .create_stream()
        .stream_name(stream)
        .data_retention_in_hours(2)
        .send()
        .await?;
    let described = video
        .describe_stream()
        .set_stream_arn(made.stream_arn)
        .send()
        .await?;
    let info = described.stream_info.ok_or("no stream info")?;
    assert_eq!(info.status, Some(Status::Active));
    assert_eq!(info.data_retention_in_hours, Some(2));
    assert!(info.creation_time.is_some());

    video
        .tag_stream()
        .stream_name(stream)
        .tags("place", "front door")
        .send()
        .await?;
    let tags = video
        .list_tags_for_stream()
        .stream_name(stream)
        .send()
        .await?
        .tags;
    let place = tags.as_ref().and_then(|tags| tags.get("place"));
    assert_eq!(place.map(String::as_str), Some("front door"));
    Ok(())
}

async fn read(endpoint: &str, stream: &str, fragments: usize) -> Outcome {
    let video = Client::from_conf(settings!(Config::builder(), endpoint));
    for api in [ApiName::GetMedia, ApiName::ListFragments] {
        let given = video
            .get_data_endpoint()
            .stream_name(stream)
            .api_name(api)
            .send()
            .await?;
        assert_eq!(given.data_endpoint(), Some(endpoint));
    }

    let reader = media::Client::from_conf(settings!(media::Config::builder(), endpoint));
    let earliest = StartSelector::builder()
        .start_selector_type(StartSelectorType::Earliest)
        .build()?;
    let output = reader
        .get_media()
        .stream_name(stream)
        .start_selector(earliest)
        .send()
        .await?;
    let body = output.payload.collect().await?.into_bytes();
    assert_eq!(count(&body, b"AWS_KINESISVIDEO_FRAGMENT_NUMBER"), fragments);

    let archive = archived::Client::from_conf(settings!(archived::Config::builder(), endpoint));
    let listed = archive.list_fragments().stream_name(stream).send().await?;
    assert_eq!(listed.fragments().len(), fragments);
    assert!(
        listed
            .fragments()
            .iter()
            .all(|fragment| fragment.producer_timestamp.is_some())
    );
    let numbers = listed
        .fragments()
        .iter()
        .filter_map(|fragment| fragment.fragment_number.clone());
    let output = archive
        .get_media_for_fragment_list()
        .stream_name(stream)
        .set_fragments(Some(numbers.collect()))
        .send()
        .await?;
    let body = output.payload.collect().await?.into_bytes();
    assert_eq!(
        count(&body, b"AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP"),
        fragments
    );

    let streams = video.list_streams().send().await?;
    let [only] = streams.stream_info_list() else {
        return Err(format!("it listed {:?}", streams.stream_info_list()).into());
    };
    assert_eq!(only.stream_name(), Some(stream));
    video
        .delete_stream()
        .set_stream_arn(only.stream_arn.clone())
        .send()
        .await?;
    assert_not_found(&video, stream).await;
    Ok(())
}

async fn assert_not_found(video: &Client, stream: &str) {
    let refused = video.describe_stream().stream_name(stream).send().await;
    let error = refused.expect_err("the stream is not there");
    assert_eq!(
        error.raw_response().map(|response| response.status().as_u16()),
        Some(404)
    );
    assert!(error.into_service_error().is_resource_not_found_exception());
}

/// How often a text stands in a body.
fn count(body: &[u8], text: &[u8]) -> usize {
    body.windows(text.len()).filter(|window| *window == text).count()
}
