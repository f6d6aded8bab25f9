//! What isn't a request, or not one the service takes, gets a clear answer and harms nothing.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use common::{RawClient, media, put_media_head};
use kvs_auth::PayloadHash;
use kvs_testkit::MockKvs;
use kvs_testkit::service::{Action, PutMediaRequest, Service, ServiceConfig, StreamSelector, TimecodeType};
use proptest::prelude::*;

/// What the server says to these bytes, all of them.
fn answer(kvs: &MockKvs, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(kvs.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The server may refuse and close before it has read everything.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_alive(kvs: &MockKvs) -> bool {
    let mut client = RawClient::connect(kvs);
    client
        .call(
            kvs,
            "/describeStream",
            &serde_json::json!({ "StreamName": "cam" }),
        )
        .status
        == 200
}

#[tokio::test]
async fn requests_that_make_no_sense_get_a_clear_refusal() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    for (bytes, status) in [
        (&b"\x00\x01\x02\x03\r\n\r\n"[..], 400),
        (b"GET /describeStream HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (
            b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
            404,
        ),
        (
            b"POST /describeStream HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n",
            400,
        ),
        (
            b"POST /describeStream HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
            413,
        ),
        (
            b"POST /describeStream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
        ),
        (
            b"POST /describeStream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ] {
        let answer = answer(&kvs, bytes);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(
            answer.starts_with(&expected),
            "{:?}: {answer:?}",
            String::from_utf8_lossy(bytes)
        );
        assert!(
            answer.to_ascii_lowercase().contains("x-amzn-errortype"),
            "{answer:?}"
        );
    }
    assert!(is_alive(&kvs));
}

#[tokio::test]
async fn put_media_heads_that_lack_something_are_refused() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let whole = put_media_head("cam");
    let arn = "arn:aws:kinesisvideo:us-west-2:123456789012:stream/cam/1";
    for (what, head, error) in [
        (
            "no stream",
            whole.clone().without("x-amzn-stream-name"),
            "InvalidArgumentException",
        ),
        (
            "two streams",
            whole.clone().header("x-amzn-stream-arn", arn),
            "InvalidArgumentException",
        ),
        (
            "unknown stream",
            whole.clone().header("x-amzn-stream-name", "none"),
            "ResourceNotFoundException",
        ),
        (
            "no type",
            whole.clone().without("x-amzn-fragment-timecode-type"),
            "InvalidArgumentException",
        ),
        (
            "wrong type",
            whole.clone().header("x-amzn-fragment-timecode-type", "absolute"),
            "InvalidArgumentException",
        ),
        (
            "no start",
            whole.clone().header("x-amzn-fragment-timecode-type", "RELATIVE"),
            "InvalidArgumentException",
        ),
        (
            "wrong start",
            whole.clone().header("x-amzn-producer-start-timestamp", "now"),
            "InvalidArgumentException",
        ),
    ] {
        let mut client = RawClient::connect(&kvs);
        client.send(head.signed(&kvs, PayloadHash::Empty));
        let refused = client.read_response();
        assert_eq!(refused.header("x-amzn-errortype"), Some(error), "{what}");
    }
    assert!(is_alive(&kvs));
}

#[tokio::test]
async fn a_broken_chunk_in_a_session_loses_its_connection_only() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    client.send_chunk([media::header(&[1]), media::fragment(1_700_000_000_000)].concat());
    client.read_ack();
    client.send("no chunk size\r\n");
    kvs.stream("cam").expect_ended_sessions(1).await;
    assert!(is_alive(&kvs));
}

#[test]
fn random_bytes_never_stop_the_server() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let kvs = runtime
        .block_on(MockKvs::builder().with_stream("cam", 1).start())
        .unwrap();
    let valid: Vec<u8> = [
        &put_media_head("cam").signed(&kvs, PayloadHash::Empty)[..],
        b"5f\r\n",
        &media::header(&[1])[..95],
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let config = ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(noise in proptest::collection::vec(any::<u8>(), 0..300), at in 0..600_usize, keep in 0..600_usize)| {
        answer(&kvs, &noise);
        let mut mutated = valid.clone();
        mutated.truncate(keep.max(1));
        let at = at.min(mutated.len() - 1);
        for (place, byte) in mutated[at..].iter_mut().zip(noise.iter().take(4)) {
            *place = *byte;
        }
        answer(&kvs, &mutated);
    });
    assert!(is_alive(&kvs));
}

#[test]
fn random_bodies_end_a_session_with_an_error_or_are_waited_for() {
    let now = kvs_mkv::Timestamp::from_secs(1_700_000_000);
    let config = ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let good = [
        media::header(&[1, 2]),
        media::fragment(1_700_000_000_000),
        media::tags(&[("a", "b")]),
    ]
    .concat();
    proptest!(config, |(noise in proptest::collection::vec(any::<u8>(), 1..64), at in 0..400_usize, cut in 1..90_usize)| {
        let mut service = Service::new(ServiceConfig::default());
        service.ensure_stream("cam", 1, now);
        let request = PutMediaRequest {
            stream: StreamSelector::Name("cam".into()),
            timecodes: TimecodeType::Absolute,
            start_timestamp: None,
            acks_required: true,
        };
        let id = service.open_put_media(&request, now).unwrap().connection;
        let mut body = good.clone();
        let at = at.min(body.len() - 1);
        body.splice(at..at + 1, noise);
        for piece in body.chunks(cut) {
            service.put_media_data(id, bytes::Bytes::copy_from_slice(piece), now);
        }
        service.put_media_end(id, now);
        let mut ended = false;
        while let Some(action) = service.poll(id, now) {
            ended |= action == Action::End;
        }
        prop_assert!(ended);
    });
}
