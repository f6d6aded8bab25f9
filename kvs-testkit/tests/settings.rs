//! Settings out of a file do what they say, seen from the service's side.

#![allow(clippy::unwrap_used)] // outside test functions too: a wrong set-up is a failed test

use std::time::Duration;

use kvs_actors::{Producer, Settings, StreamHandle};
use kvs_mkv::{Frame, Timestamp};
use kvs_testkit::MockKvs;
use kvs_testkit::service::TimecodeType;

const PATIENCE: Duration = Duration::from_secs(20);

async fn open(kvs: &MockKvs, stream: &str) -> StreamHandle {
    let toml = format!(
        r#"
        [producer]
        endpoint = "{}"
        region = "{}"
        arbiters = 2

        [stream]
        tracks = [{{ codec = "raw", kind = "video", codec_id = "V_UNCOMPRESSED", codec_private = "" }}]
        rate.fragments_per_second = "none"
        {stream}
        "#,
        kvs.endpoint(),
        kvs.region(),
    );
    let settings = Settings::sources().toml(toml).load().unwrap();
    let producer = Producer::builder()
        .config(settings.producer.clone())
        .credentials(kvs.credentials())
        .start()
        .unwrap();
    producer
        .open_stream(settings.stream("cam").unwrap())
        .await
        .unwrap()
}

/// So many frames, 200 ms each, of which every so many-th is a key frame.
async fn put(stream: &StreamHandle, frames: i64, key_every: i64) {
    for number in 0..frames {
        let frame = Frame::video(vec![1; 100])
            .pts(Timestamp::from_millis(200 * number))
            .key_if(number % key_every == 0);
        stream.put_frame(frame).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_is_created_as_its_settings_say_and_sent_in_their_form() {
    let kvs = MockKvs::start().await;
    let stream = open(
        &kvs,
        "retention_hours = 7\nfragment_times = \"relative\"\ntags.site = \"north\"",
    )
    .await;
    put(&stream, 20, 5).await;
    let report = stream.stop(PATIENCE).await.unwrap();
    assert!(report.is_complete(), "{report:#?}");
    let ledger = kvs.ledger();
    let sessions = &ledger.stream("cam").sessions;
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].fragments.len(), 4);
    assert_eq!(sessions[0].timecodes, TimecodeType::Relative);
    assert_eq!(sessions[0].fragments[0].timecode, 0);
}

#[tokio::test]
async fn without_key_frames_a_fragment_is_cut_at_its_limit_where_that_is_set() {
    let kvs = MockKvs::start().await;
    let limits = "order.key_frames = \"cut_anywhere\"\norder.max_fragment = \"2s\"";
    let stream = open(&kvs, limits).await;
    put(&stream, 100, 1_000).await;
    let report = stream.stop(PATIENCE).await.unwrap();
    assert!(report.is_complete(), "{report:#?}");
    assert_eq!(report.frames.delivered.frames, 100);
    assert!(report.sessions.fragments_persisted >= 10, "{report:#?}");
}

#[tokio::test]
async fn after_a_reset_what_has_no_key_frame_to_begin_with_is_counted_as_unconfirmed() {
    let kvs = MockKvs::start().await;
    kvs.stream("cam")
        .on_put_media(1)
        .on_fragment(4)
        .reset_connection();
    let limits = "order.key_frames = \"cut_anywhere\"
order.max_fragment = \"2s\"";
    let stream = open(&kvs, limits).await;
    put(&stream, 100, 1_000).await;
    let report = stream.stop(PATIENCE).await.unwrap();
    let frames = &report.frames;
    assert!(
        frames.is_conserved() && frames.unconfirmed.frames > 0,
        "{report:#?}"
    );
    assert_eq!(frames.buffered.frames, 0, "{report:#?}");
}

#[tokio::test]
async fn without_key_frames_the_rest_is_dropped_and_reported_where_that_is_set() {
    let kvs = MockKvs::start().await;
    let stream = open(&kvs, "order.max_fragment = \"2s\"").await;
    put(&stream, 20, 1_000).await;
    let report = stream.stop(PATIENCE).await.unwrap();
    let dropped = report.frames.dropped_total().frames;
    assert!(dropped >= 9, "{report:#?}");
    assert_eq!(report.frames.delivered.frames + dropped, 20);
}
