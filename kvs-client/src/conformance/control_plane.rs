//! The suite for control planes.

use std::collections::BTreeMap;

use crate::{ApiName, ClientErrorKind, ControlPlane, CreateStream, StreamStatus};

/// Checks a control plane against a service that has no stream named `kvs-conformance-…` yet. It creates such
/// streams; a stream must be active at once or after `settle` resolves.
///
/// # Panics
///
/// Where the implementation falls short.
pub async fn control_plane(control: &dyn ControlPlane, settle: impl AsyncFn()) {
    a_missing_stream_is_not_found(control).await;
    a_created_stream_is_described_as_it_was_created(control, &settle).await;
    a_stream_is_created_once(control).await;
    a_data_endpoint_is_a_url_without_path(control).await;
    tags_are_taken(control).await;
}

const STREAM: &str = "kvs-conformance-one";

async fn a_missing_stream_is_not_found(control: &dyn ControlPlane) {
    let described = control.describe_stream("kvs-conformance-missing").await;
    let kind = described
        .expect_err("describing a missing stream must fail")
        .kind();
    assert_eq!(kind, ClientErrorKind::NotFound);

    let endpoint = control
        .get_data_endpoint("kvs-conformance-missing", ApiName::PutMedia)
        .await;
    let kind = endpoint
        .expect_err("a missing stream must have no endpoint")
        .kind();
    assert_eq!(kind, ClientErrorKind::NotFound);
}

async fn a_created_stream_is_described_as_it_was_created(
    control: &dyn ControlPlane,
    settle: &impl AsyncFn(),
) {
    let stream = CreateStream::new(STREAM)
        .retention_hours(24)
        .media_type("video/h264");
    let arn = control
        .create_stream(stream)
        .await
        .expect("a new stream must be created");
    settle().await;

    let info = control
        .describe_stream(STREAM)
        .await
        .expect("a created stream must be described");
    assert_eq!((info.name.as_str(), info.arn.as_str()), (STREAM, arn.as_str()));
    assert_eq!(info.status, StreamStatus::Active);
    assert_eq!(info.retention_hours, 24);
    assert_eq!(info.media_type.as_deref(), Some("video/h264"));
}

async fn a_stream_is_created_once(control: &dyn ControlPlane) {
    let again = control.create_stream(CreateStream::new(STREAM)).await;
    assert_eq!(
        again.expect_err("a stream must not be created twice").kind(),
        ClientErrorKind::ResourceInUse
    );
}

async fn a_data_endpoint_is_a_url_without_path(control: &dyn ControlPlane) {
    for api in [ApiName::PutMedia, ApiName::GetMedia] {
        let endpoint = control
            .get_data_endpoint(STREAM, api)
            .await
            .expect("a stream must have endpoints");
        assert!(matches!(endpoint.scheme(), "http" | "https"), "{endpoint}");
        assert_eq!(endpoint.path(), "/", "{endpoint}");
    }
}

async fn tags_are_taken(control: &dyn ControlPlane) {
    let arn = control
        .describe_stream(STREAM)
        .await
        .expect("a created stream must be described")
        .arn;
    let tags = BTreeMap::from([("site".to_owned(), "north".to_owned())]);
    control.tag_stream(&arn, &tags).await.expect("tags must be taken");
}
