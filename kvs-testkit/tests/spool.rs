//! The producer over a durable spool: what one run leaves, the next delivers.

#![allow(clippy::unwrap_used)] // outside test functions too: a wrong set-up is a failed test

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use kvs_actors::{FlushUntil, Producer, ProducerHandle, StreamConfig, StreamHandle, TimeBase};
use kvs_mkv::{Codec, Frame, Timestamp, Track, TrackKind};
use kvs_storage::spool::SpoolOptions;
use kvs_testkit::MockKvs;

const PATIENCE: Duration = Duration::from_secs(20);

fn producer(kvs: &MockKvs, dir: &Path) -> ProducerHandle {
    producer_with(kvs, dir, SpoolOptions::default())
}

fn producer_with(kvs: &MockKvs, dir: &Path, options: SpoolOptions) -> ProducerHandle {
    Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .region(kvs.region())
        .spool(dir, options)
        .start()
        .unwrap()
}

fn video(name: &str) -> StreamConfig {
    let codec = Codec::Raw {
        codec_id: "V_UNCOMPRESSED".to_owned(),
        kind: TrackKind::Video,
    };
    let track = Track::new(1, codec).with_codec_private(Bytes::new()).unwrap();
    StreamConfig::realtime(name)
        .track(track)
        .time_base(TimeBase::Epoch)
}

/// Puts fragments of five frames, one each second of 2023.
async fn put(stream: &StreamHandle, fragments: std::ops::Range<i64>) {
    for fragment in fragments {
        for frame in 0..5 {
            let pts = Timestamp::from_millis(1_700_000_000_000 + 1_000 * fragment + 200 * frame);
            let frame = Frame::video(vec![u8::try_from(fragment).unwrap(); 1_000])
                .pts(pts)
                .key_if(frame == 0);
            stream.put_frame(frame).await.unwrap();
        }
    }
}

fn delivered(kvs: &MockKvs, stream: &str) -> Vec<i64> {
    let ledger = kvs.stream(stream).ledger();
    ledger
        .delivered()
        .map(|fragment| (fragment.timecode - 1_700_000_000_000) / 1_000)
        .collect()
}

#[tokio::test]
async fn what_a_run_could_not_deliver_the_next_one_delivers_first_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let kvs = MockKvs::start().await;
    let key = kvs.credentials();
    // Nothing gets through in the first run.
    kvs.revoke_credentials(key.access_key_id());
    let first = producer(&kvs, dir.path());
    let camera = first.open_stream(video("cam")).await.unwrap();
    put(&camera, 0..30).await;
    camera.flush(FlushUntil::Durable, PATIENCE).await.unwrap();
    let report = camera.stop(Duration::from_millis(50)).await.unwrap();
    assert_eq!(report.frames.buffered.frames, 150);
    first.stop(PATIENCE).await.unwrap();

    kvs.accept_credentials(&key);
    let second = producer(&kvs, dir.path());
    let camera = second.open_stream(video("cam")).await.unwrap();
    put(&camera, 40..45).await;
    let report = camera.stop(PATIENCE).await.unwrap();
    assert!(report.is_complete(), "{report:#?}");
    assert_eq!(
        report.frames.accepted.frames, 175,
        "the backlog counts as accepted"
    );
    assert_eq!(delivered(&kvs, "cam"), (0..30).chain(40..45).collect::<Vec<_>>());
    second.stop(PATIENCE).await.unwrap();

    let third = producer(&kvs, dir.path());
    let camera = third.open_stream(video("cam")).await.unwrap();
    let report = camera.stop(PATIENCE).await.unwrap();
    assert_eq!(
        report.frames.accepted.frames, 0,
        "what was persisted is not sent again"
    );
    third.stop(PATIENCE).await.unwrap();
}

/// Bytes of all files in a directory and those in it.
fn bytes_in(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                bytes_in(&entry.path())
            } else {
                meta.len()
            }
        })
        .sum()
}

#[tokio::test]
async fn a_flush_covers_frames_that_still_wait_for_room_in_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let kvs = MockKvs::start().await;
    kvs.revoke_credentials(kvs.credentials().access_key_id());
    // Every batch waits until the one before is on disk.
    let producer = producer_with(&kvs, dir.path(), SpoolOptions::default().memory(1));
    let camera = producer.open_stream(video("cam")).await.unwrap();
    put(&camera, 0..200).await;

    camera.flush(FlushUntil::Durable, PATIENCE).await.unwrap();
    assert!(bytes_in(dir.path()) > 200 * 5 * 1_000);
    producer.stop(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn two_producers_never_share_a_spool() {
    let dir = tempfile::tempdir().unwrap();
    let kvs = MockKvs::start().await;
    let first = producer(&kvs, dir.path());
    let second = Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .spool(dir.path(), SpoolOptions::default())
        .start();
    assert!(second.is_err());
    first.stop(PATIENCE).await.unwrap();
}
