//! The JSON calls over real sockets, plain and TLS.

mod peer;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kvs_auth::VerifyBody;
use kvs_client::{
    ApiName, ClientErrorKind, Clock, ControlPlane, CreateStream, HttpControlPlane, LocalFuture, StreamInfo,
    StreamStatus, TlsOptions,
};
use peer::{DAY, Peer, Session, WIRES, Wire, http_date};
use serde_json::{Value, json};

/// Serves one request: checks the signature, gives the request, answers.
async fn serve(peer: &Peer, status: &str, headers: &str, answer: &str) -> (Session, Value) {
    let mut session = Session::read_head(peer.accept().await).await;
    let body = session.read_content_length().await;
    session
        .verify(VerifyBody::Bytes(&body), SystemTime::now())
        .expect("verifies");
    session.send_json(status, headers, answer).await;
    let json = serde_json::from_slice(&body).expect("is json");
    (session, json)
}

async fn exchange<T>(
    peer: &Peer,
    answer: Value,
    call: impl for<'a> FnOnce(&'a HttpControlPlane) -> LocalFuture<'a, T>,
) -> (T, Session, Value) {
    let control = peer.client().control_plane();
    let answer = answer.to_string();
    let (result, (session, request)) = tokio::join!(call(&control), serve(peer, "200 OK", "", &answer));
    (result, session, request)
}

#[actix_rt::test]
async fn a_stream_is_described() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let answer = json!({"StreamInfo": {
            "StreamName": "front-door", "StreamARN": "arn:x", "Status": "ACTIVE", "DataRetentionInHours": 24,
            "MediaType": "video/h264", "Version": "abc", "CreationTime": 1704164645.5, "NewMember": [1],
        }});

        let (described, session, request) =
            exchange(&peer, answer, |control| control.describe_stream("front-door")).await;

        let mut expected = StreamInfo::new("front-door", "arn:x");
        expected.status = StreamStatus::Active;
        expected.retention_hours = 24;
        expected.media_type = Some("video/h264".into());
        expected.version = Some("abc".into());
        expected.created = Some(UNIX_EPOCH + Duration::from_millis(1_704_164_645_500));
        assert_eq!(described.expect("answers"), expected);
        assert_eq!(session.target, "/describeStream");
        assert_eq!(request, json!({"StreamName": "front-door"}));
        assert!(
            session
                .header("user-agent")
                .is_some_and(|agent| agent.starts_with("kvs-rust/"))
        );
    }
}

#[actix_rt::test]
async fn a_stream_is_created() {
    let peer = Peer::listen(Wire::Plain).await;
    let stream = CreateStream::new("front-door")
        .retention_hours(24)
        .media_type("video/h264")
        .tag("site", "north");

    let (created, session, request) = exchange(&peer, json!({"StreamARN": "arn:x"}), |control| {
        control.create_stream(stream)
    })
    .await;

    assert_eq!(created.expect("answers"), "arn:x");
    assert_eq!(session.target, "/createStream");
    assert_eq!(
        request,
        json!({
            "StreamName": "front-door", "DataRetentionInHours": 24, "MediaType": "video/h264", "Tags": {"site": "north"},
        })
    );
}

#[actix_rt::test]
async fn a_data_endpoint_is_asked_for() {
    let peer = Peer::listen(Wire::Plain).await;

    let (endpoint, session, request) = exchange(
        &peer,
        json!({"DataEndpoint": "https://s-1.example.com"}),
        |control| control.get_data_endpoint("front-door", ApiName::PutMedia),
    )
    .await;

    assert_eq!(endpoint.expect("answers").as_str(), "https://s-1.example.com/");
    assert_eq!(session.target, "/getDataEndpoint");
    assert_eq!(
        request,
        json!({"StreamName": "front-door", "APIName": "PUT_MEDIA"})
    );
}

#[actix_rt::test]
async fn a_stream_is_tagged_and_an_empty_answer_is_enough() {
    let peer = Peer::listen(Wire::Plain).await;
    let tags = BTreeMap::from([("site".to_owned(), "north".to_owned())]);
    let control = peer.client().control_plane();

    let (tagged, (session, request)) =
        tokio::join!(control.tag_stream("arn:x", &tags), serve(&peer, "200 OK", "", ""));

    tagged.expect("answers");
    assert_eq!(session.target, "/tagStream");
    assert_eq!(request, json!({"StreamARN": "arn:x", "Tags": {"site": "north"}}));
}

#[actix_rt::test]
async fn errors_carry_type_message_request_id_and_endpoint() {
    let peer = Peer::listen(Wire::Plain).await;
    let control = peer.client().control_plane();
    let headers = "x-amzn-ErrorType: ResourceNotFoundException:\r\nx-amzn-RequestId: id-1\r\n";

    let (described, _) = tokio::join!(
        control.describe_stream("nope"),
        serve(&peer, "404 Not Found", headers, r#"{"Message":"no such stream"}"#)
    );

    let error = described.expect_err("is refused");
    assert_eq!(error.kind(), ClientErrorKind::NotFound);
    assert_eq!(
        (error.context(), error.request_id()),
        ("no such stream", Some("id-1"))
    );
    assert!(
        error
            .endpoint()
            .is_some_and(|endpoint| endpoint.starts_with("http://localhost:"))
    );
}

#[actix_rt::test]
async fn answers_that_make_no_sense_are_protocol_errors() {
    for answer in ["<html>", "{}", r#"{"StreamInfo":3}"#] {
        let peer = Peer::listen(Wire::Plain).await;
        let control = peer.client().control_plane();

        let (described, _) = tokio::join!(control.describe_stream("x"), serve(&peer, "200 OK", "", answer));

        assert_eq!(
            described.expect_err("fails").kind(),
            ClientErrorKind::Protocol,
            "{answer}"
        );
    }
}

#[actix_rt::test]
async fn a_wrong_clock_is_corrected_and_the_call_tried_once_more() {
    let now = SystemTime::now();
    for local in [UNIX_EPOCH, now - DAY, now + DAY] {
        let peer = Peer::listen(Wire::Plain).await;
        let client = peer
            .config()
            .clock(Clock::from_fn(move || local))
            .build()
            .expect("builds");
        let control = client.control_plane();
        let refuse_then_serve = async {
            let mut session = Session::read_head(peer.accept().await).await;
            let body = session.read_content_length().await;
            session
                .verify(VerifyBody::Bytes(&body), now)
                .expect_err("is out of date");
            let headers = format!(
                "x-amzn-ErrorType: InvalidSignatureException\r\nconnection: close\r\ndate: {}\r\n",
                http_date(now)
            );
            session.send_json("403 Forbidden", &headers, "{}").await;
            serve(
                &peer,
                "200 OK",
                "",
                r#"{"DataEndpoint":"https://s-1.example.com"}"#,
            )
            .await
        };

        let (endpoint, _) = tokio::join!(
            control.get_data_endpoint("x", ApiName::PutMedia),
            refuse_then_serve
        );

        endpoint.expect("answers");
        assert_eq!(peer.keys.asked(), 1);
    }
}

#[actix_rt::test]
async fn a_refused_key_is_an_error_at_once_and_the_next_call_asks_for_new_keys() {
    let peer = Peer::listen(Wire::Plain).await;
    let control = peer.client().control_plane();
    let headers = format!(
        "x-amzn-ErrorType: ExpiredTokenException\r\nconnection: close\r\ndate: {}\r\n",
        http_date(SystemTime::now())
    );

    let (refused, _) = tokio::join!(
        control.describe_stream("x"),
        serve(&peer, "403 Forbidden", &headers, "{}")
    );

    assert!(refused.expect_err("is refused").is_auth());
    assert_eq!(peer.keys.asked(), 1);
    let _ = tokio::join!(control.describe_stream("x"), serve(&peer, "200 OK", "", "{}"));
    assert_eq!(peer.keys.asked(), 2);
}

#[actix_rt::test]
async fn a_refused_connection_is_a_connect_error() {
    let peer = Peer::listen(Wire::Plain).await;
    let control = peer.client().control_plane();
    drop(peer);

    assert_eq!(
        control.describe_stream("x").await.expect_err("fails").kind(),
        ClientErrorKind::Connect
    );
}

#[actix_rt::test]
async fn an_unknown_certificate_is_a_tls_error() {
    let peer = Peer::listen(Wire::Tls).await;
    let control = peer
        .config()
        .tls(TlsOptions::default())
        .build()
        .expect("builds")
        .control_plane();

    let (described, ()) = tokio::join!(control.describe_stream("x"), peer.refuse_handshake());

    assert_eq!(described.expect_err("fails").kind(), ClientErrorKind::Tls);
}

#[actix_rt::test]
async fn a_connection_that_breaks_before_the_answer_is_lost() {
    let peer = Peer::listen(Wire::Plain).await;
    let control = peer.client().control_plane();
    let reset = async { Session::read_head(peer.accept().await).await.reset() };

    let (described, ()) = tokio::join!(control.describe_stream("x"), reset);

    assert_eq!(
        described.expect_err("fails").kind(),
        ClientErrorKind::ConnectionLost
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_times_out() {
    let local = tokio::task::LocalSet::new();
    let error = local
        .run_until(async {
            let peer = Peer::listen(Wire::Plain).await;
            peer.client()
                .control_plane()
                .describe_stream("x")
                .await
                .expect_err("times out")
        })
        .await;

    assert_eq!(error.kind(), ClientErrorKind::Timeout);
}
