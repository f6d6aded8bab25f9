//! The producer's actors over real sockets against the mock.

#![allow(clippy::unwrap_used)] // outside test functions too: a wrong set-up is a failed test

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kvs_actors::machine::DropReason;
use kvs_actors::{
    FlushUntil, FragmentAck, Producer, ProducerHandle, PutErrorKind, StopReport, StreamConfig,
    StreamErrorKind, StreamEvent, StreamEvents, StreamHandle,
};
use kvs_client::{ClientErrorKind, TlsOptions};
use kvs_mkv::{Codec, Frame, Timestamp, Track, TrackKind};
use kvs_storage::OverflowPolicy;
use kvs_testkit::MockKvs;
use kvs_testkit::service::Delivery;

const PATIENCE: Duration = Duration::from_secs(20);

fn producer(kvs: &MockKvs) -> ProducerHandle {
    Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .region(kvs.region())
        .start()
        .unwrap()
}

fn video(name: &str) -> StreamConfig {
    let codec = Codec::Raw {
        codec_id: "V_UNCOMPRESSED".to_owned(),
        kind: TrackKind::Video,
    };
    StreamConfig::realtime(name).track(Track::new(1, codec).with_codec_private(Bytes::new()).unwrap())
}

/// Puts fragments of five frames, 200 ms each.
async fn put(stream: &StreamHandle, fragments: std::ops::Range<i64>) {
    for fragment in fragments {
        for frame in 0..5 {
            let pts = Timestamp::from_millis(1_000 * fragment + 200 * frame);
            let payload = vec![u8::try_from(fragment).unwrap(); 100];
            let frame = Frame::video(payload).pts(pts).key_if(frame == 0);
            stream.put_frame(frame).await.unwrap();
        }
    }
}

fn assert_complete(report: &StopReport) {
    assert!(report.is_complete(), "{report:#?}");
    assert!(report.unacknowledged.is_empty());
}

#[tokio::test]
async fn everything_put_is_persisted() {
    let kvs = MockKvs::start().await;
    let producer = producer(&kvs);
    let camera = producer.open_stream(video("front-door")).await.unwrap();
    put(&camera, 0..4).await;
    camera.flush(FlushUntil::Delivered, PATIENCE).await.unwrap();
    kvs.stream("front-door").expect_persisted(4).await;
    put(&camera, 4..6).await;
    let report = camera.stop(PATIENCE).await.unwrap();
    assert_complete(&report);
    assert_eq!(report.frames.accepted.frames, 30);
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_recording_with_a_key_frame_every_twelve_seconds_loses_nothing() {
    let kvs = MockKvs::start().await;
    let producer = producer(&kvs);
    let config = StreamConfig::offline("archive").track(video("archive").tracks.remove(0));
    let archive = producer.open_stream(config).await.unwrap();
    for second in 0..36 {
        let pts = Timestamp::from_secs(second);
        let frame = Frame::video(vec![1; 100]).pts(pts).key_if(second % 12 == 0);
        archive.put_frame(frame).await.unwrap();
    }
    let report = archive.stop(PATIENCE).await.unwrap();
    assert_complete(&report);
    assert_eq!(report.sessions.fragments_persisted, 3);
    producer.stop(PATIENCE).await.unwrap();
}

fn account(report: &StopReport) -> Delivery {
    Delivery {
        accepted: report.frames.accepted.frames,
        delivered: report.frames.delivered.frames,
        dropped: report.frames.dropped_total().frames,
        unconfirmed: report.frames.unconfirmed.frames,
        refused: report.frames.refused.frames,
        buffered: report.frames.buffered.frames,
        ..Delivery::new(&report.stream)
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_fragment_loses_nothing_and_repeats_nothing_persisted() {
    let kvs = MockKvs::start().await;
    kvs.stream("cam")
        .on_put_media(1)
        .on_fragment(4)
        .reset_connection();
    let producer = producer(&kvs);
    let camera = producer.open_stream(video("cam")).await.unwrap();
    put(&camera, 0..3).await;
    kvs.stream("cam").expect_persisted(2).await;
    put(&camera, 3..8).await;
    let report = camera.stop(PATIENCE).await.unwrap();
    assert_complete(&report);
    assert_eq!(report.sessions.sessions, 2);
    kvs.assert_conserved(account(&report));
    let ledger = kvs.stream("cam").ledger();
    let persisted: Vec<i64> = ledger.delivered().map(|fragment| fragment.timecode).collect();
    assert_eq!(persisted.len(), 8, "{}", ledger.summary());
    assert!(
        persisted.is_sorted_by(|one, next| one < next),
        "{}",
        ledger.summary()
    );
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn over_tls_with_a_ca_of_its_own() {
    let kvs = MockKvs::builder().https().start().await.unwrap();
    let ca = kvs.ca_pem().unwrap();
    let producer = Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .region(kvs.region())
        .tls(TlsOptions::default().extra_ca_pem(ca))
        .start()
        .unwrap();
    let camera = producer.open_stream(video("cam")).await.unwrap();
    put(&camera, 0..4).await;
    assert_complete(&camera.stop(PATIENCE).await.unwrap());
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn refused_credentials_are_told_and_nothing_is_lost_meanwhile() {
    let kvs = MockKvs::start().await;
    let key = kvs.credentials();
    kvs.revoke_credentials(key.access_key_id());
    let producer = producer(&kvs);
    let camera = producer.open_stream(video("cam")).await.unwrap();
    let mut events = camera.events();
    put(&camera, 0..3).await;
    loop {
        if let Some(StreamEvent::Error(error)) = events.next().await {
            assert_eq!(
                error.kind(),
                StreamErrorKind::Service(ClientErrorKind::Forbidden),
                "{error}"
            );
            break;
        }
    }
    kvs.accept_credentials(&key);
    let report = camera.stop(PATIENCE).await.unwrap();
    assert_complete(&report);
    assert!(report.sessions.auth_failures >= 1);
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_stop_at_its_deadline_lists_the_fragments_that_are_not_acknowledged() {
    let kvs = MockKvs::start().await;
    kvs.stream("cam").withhold_persisted();
    let producer = producer(&kvs);
    let camera = producer.open_stream(video("cam")).await.unwrap();
    put(&camera, 0..3).await;
    kvs.stream("cam").expect_received(2).await;
    let report = camera.stop(Duration::from_millis(300)).await.unwrap();
    assert!(!report.is_complete());
    assert_eq!(report.unacknowledged.len(), 3);
    assert_eq!(report.frames.buffered.frames, 15);
    kvs.assert_conserved(account(&report));
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn where_nothing_is_retained_received_delivers() {
    let kvs = MockKvs::start().await;
    let producer = producer(&kvs);
    let camera = producer
        .open_stream(video("cam").retention_hours(0))
        .await
        .unwrap();
    put(&camera, 0..3).await;
    let report = camera.stop(PATIENCE).await.unwrap();
    assert_complete(&report);
    assert_eq!(report.sessions.fragments_persisted, 0);
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_refused_fragment_is_set_aside_and_the_rest_goes_on() {
    let kvs = MockKvs::start().await;
    kvs.stream("cam").on_put_media(1).on_fragment(2).error(4001);
    let producer = producer(&kvs);
    let camera = producer.open_stream(video("cam")).await.unwrap();
    put(&camera, 0..5).await;
    let report = camera.stop(PATIENCE).await.unwrap();
    assert_eq!(report.frames.refused.frames, 5, "{report:#?}");
    assert_eq!(report.frames.delivered.frames, 20);
    kvs.assert_conserved(account(&report));
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_put_against_a_stalled_endpoint_and_a_full_buffer_gives_the_frame_back() {
    let kvs = MockKvs::start().await;
    kvs.stream("cam")
        .on_put_media(1)
        .after_bytes(1_000)
        .stall(PATIENCE);
    let producer = Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .region(kvs.region())
        .buffer_bytes(1 << 20)
        .start()
        .unwrap();
    let camera = producer
        .open_stream(video("cam").overflow(OverflowPolicy::Refuse))
        .await
        .unwrap();
    let payload = Bytes::from(vec![7; 100_000]);
    let mut refused = None;
    for n in 0..40 {
        let frame = Frame::video(payload.clone())
            .pts(Timestamp::from_millis(100 * n))
            .key_if(n % 10 == 0);
        if let Err(error) = camera
            .put_frame_within(frame.clone(), Duration::from_millis(50))
            .await
        {
            assert!(matches!(error.kind(), PutErrorKind::Full { .. }), "{error}");
            assert_eq!(error.into_frame(), frame);
            refused = Some(n);
            break;
        }
    }
    assert!(refused.is_some_and(|n| n >= 9), "{refused:?}");
    let huge = Frame::video(vec![0; 2 << 20]);
    assert!(matches!(
        camera.put_frame(huge).await.unwrap_err().kind(),
        PutErrorKind::TooLarge { .. }
    ));
    let report = camera.stop(Duration::from_millis(100)).await.unwrap();
    assert!(report.frames.is_conserved());
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn when_the_buffer_is_full_the_oldest_fragments_go_and_are_reported() {
    let kvs = MockKvs::start().await;
    kvs.stream("cam")
        .on_put_media(1)
        .after_bytes(1_000)
        .stall(PATIENCE);
    let producer = Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .region(kvs.region())
        .buffer_bytes(1 << 20)
        .start()
        .unwrap();
    let camera = producer.open_stream(video("cam")).await.unwrap();
    let payload = Bytes::from(vec![7; 50_000]);
    for n in 0..100 {
        let frame = Frame::video(payload.clone())
            .pts(Timestamp::from_millis(100 * n))
            .key_if(n % 5 == 0);
        camera.put_frame(frame).await.unwrap();
    }
    let report = camera.stop(Duration::from_millis(100)).await.unwrap();
    assert!(
        report.dropped(DropReason::StoragePressure).frames >= 50,
        "{report:#?}"
    );
    assert!(report.frames.is_conserved());
    producer.stop(PATIENCE).await.unwrap();
}

/// Callbacks that panic at the first acknowledgement.
#[derive(Default)]
struct Clumsy {
    fell: AtomicBool,
}

impl StreamEvents for Clumsy {
    fn fragment_ack(&self, _: &str, _: &FragmentAck) {
        if !self.fell.swap(true, Ordering::Relaxed) {
            panic!("a callback that panics, on purpose");
        }
    }
}

#[tokio::test]
async fn a_panic_in_one_stream_rebuilds_that_stream_and_touches_no_other() {
    let kvs = MockKvs::start().await;
    let producer = producer(&kvs);
    let clumsy = producer
        .open_stream_with(video("clumsy"), Clumsy::default())
        .await
        .unwrap();
    let steady = producer.open_stream(video("steady")).await.unwrap();
    let mut events = clumsy.events();
    put(&clumsy, 0..4).await;
    put(&steady, 0..4).await;
    while !matches!(
        events.next().await.expect("the stream lives"),
        StreamEvent::Rebuilt
    ) {}
    put(&clumsy, 4..6).await;
    assert_complete(&clumsy.stop(PATIENCE).await.unwrap());
    let untouched = steady.stop(PATIENCE).await.unwrap();
    assert_complete(&untouched);
    assert_eq!(untouched.sessions.sessions, 1);
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_second_stream_of_the_same_name_is_refused_until_the_first_has_stopped() {
    let kvs = MockKvs::start().await;
    let producer = producer(&kvs);
    let first = producer.open_stream(video("cam")).await.unwrap();
    let error = producer.open_stream(video("cam")).await.unwrap_err();
    assert_eq!(error.kind(), StreamErrorKind::StreamName);
    first.stop(PATIENCE).await.unwrap();
    assert_eq!(
        first.stop(PATIENCE).await.unwrap_err().kind(),
        StreamErrorKind::Stopped
    );
    let frame = Frame::video("x").key();
    assert!(matches!(
        first.put_frame(frame).await.unwrap_err().kind(),
        PutErrorKind::Stopped
    ));
    while producer
        .observe()
        .await
        .unwrap()
        .streams
        .iter()
        .any(|name| name == "cam")
    {
        tokio::task::yield_now().await;
    }
    producer.open_stream(video("cam")).await.unwrap();
    producer.stop(PATIENCE).await.unwrap();
    assert_eq!(
        producer.observe().await.unwrap_err().kind(),
        StreamErrorKind::Stopped
    );
}

#[tokio::test]
async fn streams_spread_over_several_threads() {
    let kvs = MockKvs::start().await;
    let producer = Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .region(kvs.region())
        .arbiters(3)
        .start()
        .unwrap();
    let mut cameras = Vec::new();
    for n in 0..12 {
        cameras.push(producer.open_stream(video(&format!("cam-{n}"))).await.unwrap());
    }
    for camera in &cameras {
        put(camera, 0..3).await;
    }
    let reports = producer.stop(PATIENCE).await.unwrap();
    assert_eq!(reports.len(), 12);
    for report in &reports {
        assert_complete(report);
    }
}

#[tokio::test]
async fn metadata_reaches_the_fragment_it_was_put_on_and_the_persistent_kind_all_that_follow() {
    let kvs = MockKvs::start().await;
    let producer = producer(&kvs);
    let camera = producer.open_stream(video("cam")).await.unwrap();
    put(&camera, 0..1).await;
    camera.put_metadata("door", "open").unwrap();
    camera.put_persistent_metadata("site", "north").unwrap();
    let refused = camera.put_metadata("AWS_SECRET", "x").unwrap_err();
    assert_eq!(refused.kind(), StreamErrorKind::Metadata, "{refused}");
    put(&camera, 1..3).await;
    assert_complete(&camera.stop(PATIENCE).await.unwrap());
    let ledger = kvs.stream("cam").ledger();
    let tags: Vec<Vec<String>> = ledger
        .fragments()
        .map(|fragment| {
            fragment
                .tags
                .iter()
                .map(|tag| format!("{}={}", tag.name, tag.value))
                .collect()
        })
        .collect();
    assert_eq!(tags.len(), 3);
    assert!(tags[0].contains(&"door=open".to_owned()), "{tags:?}");
    assert!(!tags[1].contains(&"door=open".to_owned()), "{tags:?}");
    assert!(
        tags.iter().all(|tags| tags.contains(&"site=north".to_owned())),
        "{tags:?}"
    );
    producer.stop(PATIENCE).await.unwrap();
}

/// Callbacks that panic when they are first asked for a key frame: in the middle of taking frames over.
#[derive(Default)]
struct ClumsyAtKeyFrames {
    fell: AtomicBool,
}

impl StreamEvents for ClumsyAtKeyFrames {
    fn key_frame_wanted(&self, _: &str, _: u8, _: Duration) {
        if !self.fell.swap(true, Ordering::Relaxed) {
            panic!("a callback that panics, on purpose");
        }
    }
}

#[tokio::test]
async fn a_panic_while_frames_are_taken_over_loses_none_of_them() {
    let kvs = MockKvs::start().await;
    let producer = producer(&kvs);
    let camera = producer
        .open_stream_with(video("cam"), ClumsyAtKeyFrames::default())
        .await
        .unwrap();
    let mut accepted = 0;
    for n in 0..200 {
        let is_key = n == 0 || n == 110 || n == 160;
        let frame = Frame::video(vec![7; 100])
            .pts(Timestamp::from_millis(100 * n))
            .key_if(is_key);
        if camera.put_frame(frame).await.is_ok() {
            accepted += 1;
        }
    }
    let report = camera.stop(PATIENCE).await.unwrap();
    assert_eq!(report.frames.accepted.frames, accepted);
    assert!(report.frames.is_conserved(), "{report:#?}");
    assert_eq!(report.frames.buffered.frames, 0, "{report:#?}");
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_format_told_by_a_refused_key_frame_is_kept_for_the_next() {
    let kvs = MockKvs::start().await;
    let producer = producer(&kvs);
    let camera = producer
        .open_stream(StreamConfig::realtime("cam").h264().aac())
        .await
        .unwrap();
    let mut key = vec![0, 0, 0, 1, 0x67, 0x42, 0x00, 0x0a, 0xf8, 0x41, 0xa2];
    key.extend([0, 0, 0, 1, 0x68, 0xce, 0x38, 0x80, 0, 0, 0, 1, 0x65]);
    key.extend([0x88; 400]);
    let adts = [0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 0x21, 0x10];
    let at = Timestamp::from_millis;
    camera
        .put_frame(Frame::audio(adts.to_vec()).pts(at(0)))
        .await
        .unwrap();
    let far = Frame::video(key.clone()).pts(at(365 * 86_400_000)).key();
    let refused = camera.put_frame(far).await.unwrap_err();
    assert!(matches!(refused.kind(), PutErrorKind::Order { .. }), "{refused}");
    for second in 0..4 {
        camera
            .put_frame(Frame::video(key.clone()).pts(at(1_000 * second)).key())
            .await
            .unwrap();
        for n in 0..40 {
            camera
                .put_frame(Frame::audio(adts.to_vec()).pts(at(1_000 * second + 25 * n + 1)))
                .await
                .unwrap();
        }
    }
    assert_complete(&camera.stop(PATIENCE).await.unwrap());
    producer.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_new_resolution_opens_a_new_session_with_its_own_codec_private_data() {
    let kvs = MockKvs::start().await;
    let producer = producer(&kvs);
    let camera = producer
        .open_stream(StreamConfig::realtime("cam").h264())
        .await
        .unwrap();
    let key = |sps: &[u8]| {
        let mut unit = vec![0, 0, 0, 1];
        unit.extend_from_slice(sps);
        unit.extend([0, 0, 0, 1, 0x68, 0xce, 0x38, 0x80, 0, 0, 0, 1, 0x65]);
        unit.extend([0x88; 100]);
        unit
    };
    let small = key(&[0x67, 0x42, 0x00, 0x0a, 0xf8, 0x41, 0xa2]);
    let large = key(&[0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x3d, 0xb0]);
    for (second, unit) in [&small, &small, &large, &large].into_iter().enumerate() {
        let pts = Timestamp::from_secs(i64::try_from(second).unwrap());
        camera
            .put_frame(Frame::video(unit.clone()).pts(pts).key())
            .await
            .unwrap();
    }
    assert_complete(&camera.stop(PATIENCE).await.unwrap());
    let ledger = kvs.stream("cam").ledger();
    let sessions: Vec<(u64, usize)> = ledger
        .sessions
        .iter()
        .map(|session| (session.tracks[0].codec_private_digest, session.fragments.len()))
        .collect();
    assert_eq!(sessions.len(), 2, "{}", ledger.summary());
    assert_ne!(sessions[0].0, sessions[1].0);
    assert_eq!((sessions[0].1, sessions[1].1), (2, 2), "{}", ledger.summary());
    producer.stop(PATIENCE).await.unwrap();
}
