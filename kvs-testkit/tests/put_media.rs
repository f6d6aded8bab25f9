//! PutMedia over a raw socket.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

mod common;

use common::media;
use common::{RawClient, Request, put_media_head};
use kvs_auth::PayloadHash;
use kvs_testkit::MockKvs;
use kvs_testkit::service::{AckEvent, FragmentState, SessionEnd};

/// An epoch time in milliseconds, for absolute timecodes.
const T: u64 = 1_700_000_000_000;

#[tokio::test]
async fn fragments_are_acknowledged_as_they_arrive() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    // The head comes before any byte of body.
    assert_eq!(client.put_media(&kvs, "cam").status, 200);

    client.send_chunk(media::header(&[1]));
    client.send_chunk(media::fragment(T));
    let ack = client.read_ack();
    assert_eq!(
        (&ack["EventType"], &ack["FragmentTimecode"]),
        (&"BUFFERING".into(), &T.into())
    );
    assert_eq!(ack["FragmentNumber"].as_str().unwrap().len(), 47);

    client.send_chunk(media::fragment(T + 1_000));
    client.send_last_chunk();
    let expected = [
        format!("RECEIVED {T}"),
        format!("PERSISTED {T}"),
        format!("BUFFERING {}", T + 1_000),
        format!("RECEIVED {}", T + 1_000),
        format!("PERSISTED {}", T + 1_000),
    ];
    assert_eq!(client.read_acks_to_end(), expected);

    let ledger = kvs.ledger();
    let session = &ledger.stream("cam").sessions[0];
    assert_eq!(session.end, Some(SessionEnd::Complete));
    assert_eq!(session.fragments.len(), 2);
    let first = &session.fragments[0];
    assert_eq!((first.state, first.frames.len()), (FragmentState::Persisted, 3));
    assert_eq!(first.producer_timestamp_ms, T as i64);
    assert_eq!(first.bytes, media::fragment(T).len() as u64);
    assert_eq!(
        first.frames[1].digest,
        kvs_testkit::digest(format!("frame {T}+1").as_bytes())
    );
    assert_eq!(first.frames[1].timecode, T as i64 + 100);
}

#[tokio::test]
async fn without_retention_received_is_the_last_acknowledgement() {
    let kvs = MockKvs::builder().with_stream("cam", 0).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    client.send_chunk([media::header(&[1]), media::fragment(T)].concat());
    client.send_last_chunk();
    assert_eq!(
        client.read_acks_to_end(),
        [format!("BUFFERING {T}"), format!("RECEIVED {T}")]
    );
    assert_eq!(kvs.ledger().stream("cam").totals.fragments_persisted, 0);
}

#[tokio::test]
async fn the_end_of_fragment_tag_closes_a_fragment() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    let body = [
        media::header(&[1]),
        media::fragment(T),
        media::tags(&[("place", "door")]),
        media::end_of_fragment(),
    ];
    client.send_chunk(body.concat());
    let acks: Vec<String> = (0..3).map(|_| common::ack_text(&client.read_ack())).collect();
    assert_eq!(
        acks,
        [
            format!("BUFFERING {T}"),
            format!("RECEIVED {T}"),
            format!("PERSISTED {T}")
        ]
    );
    let ledger = kvs.ledger();
    let tags = &ledger.stream("cam").sessions[0].fragments[0].tags;
    assert_eq!((tags[0].name.as_str(), tags[0].value.as_str()), ("place", "door"));
    assert_eq!(tags.len(), 1);
}

#[tokio::test]
async fn a_reset_discards_the_half_cluster() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    client.send_chunk(
        [
            media::header(&[1]),
            media::fragment(T),
            media::fragment(T + 1_000),
        ]
        .concat(),
    );
    for _ in 0..4 {
        client.read_ack();
    }
    drop(client);
    kvs.stream("cam").expect_ended_sessions(1).await;

    let ledger = kvs.ledger();
    let session = &ledger.stream("cam").sessions[0];
    assert_eq!(session.end, Some(SessionEnd::Lost));
    assert_eq!(session.fragments[0].state, FragmentState::Persisted);
    assert_eq!(session.fragments[1].state, FragmentState::Discarded);
    assert!(!session.fragments[1].was_acked(AckEvent::Received));
}

#[tokio::test]
async fn any_byte_split_of_the_body_is_the_same_session() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    for byte in [media::header(&[1]), media::fragment(T), media::fragment(T + 500)].concat() {
        client.send_chunk([byte]);
    }
    client.send_last_chunk();
    assert_eq!(client.read_acks_to_end().len(), 6);
}

#[tokio::test]
async fn relative_timecodes_count_from_the_start_timestamp() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    let head = put_media_head("cam")
        .header("x-amzn-fragment-timecode-type", "RELATIVE")
        .header("x-amzn-producer-start-timestamp", "1700000000.250");
    client.send(head.signed(&kvs, PayloadHash::Empty));
    assert_eq!(client.read_head().status, 200);
    client.send_chunk([media::header(&[1]), media::fragment(40)].concat());
    client.send_last_chunk();
    assert_eq!(client.read_acks_to_end()[0], "BUFFERING 40");
    assert_eq!(
        kvs.ledger().stream("cam").sessions[0].fragments[0].producer_timestamp_ms,
        T as i64 + 290
    );
}

#[tokio::test]
async fn a_body_with_a_length_and_an_expectation_is_taken() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    let body = [media::header(&[1]), media::fragment(T)].concat();
    let head = put_media_head("cam")
        .without("transfer-encoding")
        .header("content-length", body.len().to_string())
        .header("expect", "100-continue");
    client.send(head.signed(&kvs, PayloadHash::Empty));
    assert_eq!(client.read_head().status, 100);
    assert_eq!(client.read_head().status, 200);
    client.send(body);
    assert_eq!(client.read_acks_to_end().len(), 3);
}

#[tokio::test]
async fn a_connection_serves_json_calls_and_sessions_in_turn() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    let asked = serde_json::json!({ "StreamName": "cam" });
    for n in 0..3 {
        assert_eq!(client.call(&kvs, "/describeStream", &asked).status, 200);
        client.put_media(&kvs, "cam");
        client.send_chunk([media::header(&[1]), media::fragment(T + n * 1_000)].concat());
        client.send_last_chunk();
        assert_eq!(client.read_acks_to_end().len(), 3);
    }
    assert_eq!(kvs.ledger().stream("cam").sessions.len(), 3);
}

#[tokio::test]
async fn pipelined_calls_are_answered_in_order() {
    let kvs = MockKvs::builder()
        .with_stream("a", 1)
        .with_stream("b", 2)
        .start()
        .await
        .unwrap();
    let mut client = RawClient::connect(&kvs);
    let mut wire = Vec::new();
    for name in ["a", "b", "a"] {
        let body = format!("{{\"StreamName\":\"{name}\"}}");
        let head = Request::new("/describeStream").header("content-length", body.len().to_string());
        wire.extend_from_slice(&head.signed(&kvs, PayloadHash::Body(body.as_bytes())));
        wire.extend_from_slice(body.as_bytes());
    }
    client.send(wire);
    let hours: Vec<i64> = (0..3)
        .map(|_| {
            client.read_response().json()["StreamInfo"]["DataRetentionInHours"]
                .as_i64()
                .unwrap()
        })
        .collect();
    assert_eq!(hours, [1, 2, 1]);
}

#[tokio::test]
async fn a_second_connection_is_refused_until_the_first_ones_response_has_ended() {
    let kvs = MockKvs::builder()
        .with_stream("cam", 1)
        .persist_delay(std::time::Duration::from_secs(3_600))
        .start()
        .await
        .unwrap();
    let mut first = RawClient::connect(&kvs);
    first.put_media(&kvs, "cam");
    first.send_chunk([media::header(&[1]), media::fragment(T)].concat());
    first.send_last_chunk();
    // Its body has ended, its PERSISTED is to come.
    assert_eq!(common::ack_text(&first.read_ack()), format!("BUFFERING {T}"));
    assert_eq!(common::ack_text(&first.read_ack()), format!("RECEIVED {T}"));
    let mut second = RawClient::connect(&kvs);
    second.send(put_media_head("cam").signed(&kvs, PayloadHash::Empty));
    let refused = second.read_response();
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.header("x-amzn-errortype"),
        Some("ConnectionLimitExceededException")
    );

    // An hour later …
    kvs.shift_clock(3_600);
    assert_eq!(first.read_acks_to_end(), [format!("PERSISTED {T}")]);
    kvs.shift_clock(0);
    let mut third = RawClient::connect(&kvs);
    assert_eq!(third.put_media(&kvs, "cam").status, 200);
}

#[tokio::test]
async fn the_newer_connection_wins_where_the_older_rule_is_set() {
    use kvs_testkit::service::ConnectionRule;
    let builder = MockKvs::builder()
        .with_stream("cam", 1)
        .connection_rule(ConnectionRule::CloseOlder);
    let kvs = builder.start().await.unwrap();
    let mut first = RawClient::connect(&kvs);
    first.put_media(&kvs, "cam");
    first.send_chunk([media::header(&[1]), media::fragment(T)].concat());
    first.read_ack();
    let mut second = RawClient::connect(&kvs);
    assert_eq!(second.put_media(&kvs, "cam").status, 200);
    assert!(first.read_acks_to_end().is_empty());
    assert_eq!(
        kvs.ledger().stream("cam").sessions[0].end,
        Some(SessionEnd::Superseded)
    );
}

#[tokio::test]
async fn a_repeated_fragment_is_taken_and_marked() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    for _ in 0..2 {
        let mut client = RawClient::connect(&kvs);
        client.put_media(&kvs, "cam");
        client.send_chunk([media::header(&[1]), media::fragment(T)].concat());
        client.send_last_chunk();
        assert_eq!(client.read_acks_to_end().len(), 3);
    }
    let ledger = kvs.ledger();
    let fragments: Vec<_> = ledger.stream("cam").fragments().collect();
    assert_eq!(fragments[0].repeat_of, None);
    assert_eq!(fragments[1].repeat_of.as_ref(), Some(&fragments[0].number));
    assert!(fragments[1].number > fragments[0].number);
    assert_eq!(ledger.stream("cam").totals.frames_distinct, 3);
}
