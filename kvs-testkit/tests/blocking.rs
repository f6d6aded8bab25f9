//! The producer from threads that have no runtime, against the mock.

#![allow(clippy::unwrap_used)] // outside test functions too: a wrong set-up is a failed test

use std::thread;
use std::time::Duration;

use bytes::Bytes;
use kvs_actors::{
    FlushUntil, Producer, ProducerHandle, PutErrorKind, StreamConfig, StreamErrorKind, StreamHandle,
};
use kvs_mkv::{Frame, Timestamp, Track, TrackKind};
use kvs_storage::OverflowPolicy;
use kvs_testkit::MockKvs;

const PATIENCE: Duration = Duration::from_secs(20);

/// The mock, started and stopped from a thread without a runtime.
fn mock() -> MockKvs {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(MockKvs::start())
}

fn producer(kvs: &MockKvs) -> ProducerHandle {
    Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .buffer_bytes(1 << 20)
        .start()
        .unwrap()
}

fn video(name: &str) -> StreamConfig {
    StreamConfig::realtime(name).track(Track::raw(1, TrackKind::Video, "V_UNCOMPRESSED", Bytes::new()))
}

fn frame(number: i64, bytes: usize) -> Frame {
    Frame::video(vec![1; bytes])
        .pts(Timestamp::from_millis(200 * number))
        .key_if(number % 5 == 0)
}

fn put(stream: &StreamHandle, numbers: std::ops::Range<i64>) {
    for number in numbers {
        stream.blocking_put_frame(frame(number, 100)).unwrap();
    }
}

#[test]
fn a_thread_without_a_runtime_streams_flushes_and_stops() {
    let kvs = mock();
    let producer = producer(&kvs);
    let stream = producer.blocking_open_stream(video("cam")).unwrap();
    put(&stream, 0..20);
    stream.blocking_flush(FlushUntil::Delivered, PATIENCE).unwrap();
    assert_eq!(stream.status().sessions.fragments_persisted, 4);
    let other = stream.clone();
    thread::spawn(move || put(&other, 20..30)).join().unwrap();
    let report = stream.blocking_stop(PATIENCE).unwrap();
    assert!(report.is_complete(), "{report:#?}");
    assert_eq!(report.frames.delivered.frames, 30);
    assert!(producer.blocking_stop(PATIENCE).unwrap().is_empty());
}

#[test]
fn what_is_wrong_is_told_as_from_async_code() {
    let kvs = mock();
    let producer = producer(&kvs);
    let stream = producer.blocking_open_stream(video("cam")).unwrap();
    let again = producer.blocking_open_stream(video("cam")).unwrap_err();
    assert_eq!(again.kind(), StreamErrorKind::StreamName);
    let large = stream.blocking_put_frame(frame(0, 2 << 20)).unwrap_err();
    assert!(matches!(large.kind(), PutErrorKind::TooLarge { .. }), "{large}");
    assert_eq!(large.into_frame().data.len(), 2 << 20);
    stream.blocking_stop(PATIENCE).unwrap();
    let stopped = stream.blocking_stop(PATIENCE).unwrap_err();
    assert_eq!(stopped.kind(), StreamErrorKind::Stopped);
    producer.blocking_stop(PATIENCE).unwrap();
    let stopped = producer.blocking_open_stream(video("cam")).unwrap_err();
    assert_eq!(stopped.kind(), StreamErrorKind::Stopped);
}

#[test]
fn a_put_into_a_full_buffer_returns_by_its_timeout() {
    let kvs = mock();
    kvs.stream("cam").withhold_persisted();
    let producer = producer(&kvs);
    let stream = producer
        .blocking_open_stream(video("cam").overflow(OverflowPolicy::Refuse))
        .unwrap();
    let full = (0..)
        .map(|number| stream.blocking_put_frame_within(frame(number, 100_000), Duration::from_millis(50)))
        .find_map(Result::err)
        .unwrap();
    assert!(matches!(full.kind(), PutErrorKind::Full { .. }), "{full}");
    assert!(full.is_retryable());
    producer.blocking_stop(Duration::ZERO).unwrap();
}

#[test]
fn a_thread_that_waits_for_room_goes_on_when_there_is_some() {
    let kvs = mock();
    let producer = producer(&kvs);
    let stream = producer
        .blocking_open_stream(video("cam").overflow(OverflowPolicy::Refuse))
        .unwrap();
    // Four times as much as the buffer holds.
    for number in 0..40 {
        stream
            .blocking_put_frame_within(frame(number, 100_000), PATIENCE)
            .unwrap();
    }
    let report = stream.blocking_stop(PATIENCE).unwrap();
    assert!(report.is_complete(), "{report:#?}");
    producer.blocking_stop(PATIENCE).unwrap();
}

#[tokio::test]
async fn inside_a_runtime_nothing_panics() {
    let kvs = MockKvs::start().await;
    let producer = producer(&kvs);
    let stream = producer.blocking_open_stream(video("cam")).unwrap();
    put(&stream, 0..10);
    let report = stream.blocking_stop(PATIENCE).unwrap();
    assert!(report.is_complete(), "{report:#?}");
    producer.blocking_stop(PATIENCE).unwrap();
}
