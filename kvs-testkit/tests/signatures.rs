//! Who may call, over a raw socket.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

mod common;

use std::time::{Duration, SystemTime};

use common::{RawClient, Request, Response, media, put_media_head};
use kvs_auth::{Credentials, PayloadHash};
use kvs_testkit::MockKvs;

const BODY: &[u8] = br#"{"StreamName":"cam"}"#;

async fn start() -> MockKvs {
    MockKvs::builder().with_stream("cam", 1).start().await.unwrap()
}

fn describe() -> Request {
    Request::new("/describeStream").header("content-length", BODY.len().to_string())
}

fn answer(kvs: &MockKvs, head: impl AsRef<[u8]>) -> Response {
    let mut client = RawClient::connect(kvs);
    client.send(head);
    client.send(BODY);
    client.read_response()
}

#[tokio::test]
async fn a_rightly_signed_call_is_answered() {
    let kvs = start().await;
    let reply = answer(&kvs, describe().signed(&kvs, PayloadHash::Body(BODY)));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-amzn-requestid").unwrap().len(), 36);
    assert!(reply.header("date").is_some());
}

#[tokio::test]
async fn each_kind_of_wrong_signature_is_refused() {
    let kvs = start().await;
    let stranger = Credentials::new("AKIASTRANGER00000000", "secret", None, None, "test");
    let guess = Credentials::new(kvs.credentials().access_key_id(), "wrong", None, None, "test");
    let body = PayloadHash::Body(BODY);
    let hour = Duration::from_secs(3_600);
    let unsigned = format!(
        "POST /describeStream HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        BODY.len()
    );
    let garbled = format!(
        "POST /describeStream HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4-HMAC-SHA256 nonsense\r\n\
         Content-Length: {}\r\n\r\n",
        BODY.len()
    );
    let cases: [(&str, Vec<u8>, u16, &str); 8] = [
        (
            "unsigned",
            unsigned.into(),
            403,
            "MissingAuthenticationTokenException",
        ),
        ("garbled", garbled.into(), 400, "IncompleteSignatureException"),
        (
            "unknown key",
            describe().signed_with(&kvs, &stranger, body).into(),
            403,
            "UnrecognizedClientException",
        ),
        (
            "wrong secret",
            describe().signed_with(&kvs, &guess, body).into(),
            403,
            "InvalidSignatureException",
        ),
        (
            "another body",
            describe().signed(&kvs, PayloadHash::Body(b"{}")).into(),
            403,
            "InvalidSignatureException",
        ),
        (
            "too late",
            describe().at(SystemTime::now() - hour).signed(&kvs, body).into(),
            403,
            "InvalidSignatureException",
        ),
        (
            "too early",
            describe().at(SystemTime::now() + hour).signed(&kvs, body).into(),
            403,
            "InvalidSignatureException",
        ),
        (
            "another path",
            String::from_utf8(describe().signed(&kvs, body).into())
                .unwrap()
                .replace("/describeStream", "/listTagsForStream")
                .into(),
            403,
            "InvalidSignatureException",
        ),
    ];
    for (what, head, status, error) in cases {
        let refused = answer(&kvs, head);
        assert_eq!(
            (refused.status, refused.header("x-amzn-errortype")),
            (status, Some(error)),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_host_without_its_port_verifies_as_it_was_signed() {
    let kvs = start().await;
    let head = describe().host("127.0.0.1").signed(&kvs, PayloadHash::Body(BODY));
    assert_eq!(answer(&kvs, head).status, 200);
}

#[tokio::test]
async fn put_media_takes_each_claim_about_its_payload() {
    let kvs = start().await;
    for payload in [
        PayloadHash::Empty,
        PayloadHash::Unsigned,
        PayloadHash::Precomputed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
    ] {
        let mut client = RawClient::connect(&kvs);
        client.send(put_media_head("cam").signed(&kvs, payload));
        assert_eq!(client.read_head().status, 200, "{payload:?}");
        client.send_chunk([media::header(&[1]), media::fragment(1_700_000_000_000)].concat());
        client.send_last_chunk();
        client.read_to_end();
    }
}

#[tokio::test]
async fn a_put_media_that_is_not_signed_is_refused_before_its_body() {
    let kvs = start().await;
    let guess = Credentials::new(kvs.credentials().access_key_id(), "wrong", None, None, "test");
    let mut client = RawClient::connect(&kvs);
    client.send(put_media_head("cam").signed_with(&kvs, &guess, PayloadHash::Empty));
    assert_eq!(client.read_response().status, 403);
    assert!(kvs.ledger().stream("cam").sessions.is_empty());
}

#[tokio::test]
async fn temporary_credentials_work_until_they_are_revoked() {
    let kvs = start().await;
    let temporary = Credentials::new(
        "ASIATEMPORARY0000000",
        "secret",
        Some("token".into()),
        None,
        "test",
    );
    kvs.accept_credentials(&temporary);
    let signed = || describe().signed_with(&kvs, &temporary, PayloadHash::Body(BODY));
    assert_eq!(answer(&kvs, signed()).status, 200);
    kvs.revoke_credentials("ASIATEMPORARY0000000");
    assert_eq!(answer(&kvs, signed()).status, 403);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_by_the_date_of_the_answer() {
    let kvs = start().await;
    kvs.shift_clock(-86_400);
    let refused = answer(&kvs, describe().signed(&kvs, PayloadHash::Body(BODY)));
    assert_eq!(refused.status, 403);
    let date = httpdate::parse_http_date(refused.header("date").unwrap()).unwrap();
    let retried = answer(&kvs, describe().at(date).signed(&kvs, PayloadHash::Body(BODY)));
    assert_eq!(retried.status, 200);
}
