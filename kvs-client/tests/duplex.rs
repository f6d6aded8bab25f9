//! PutMedia in full duplex over real sockets, plain and TLS. What is asserted is order, never time.

mod peer;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use kvs_auth::VerifyBody;
use kvs_client::{
    Ack, AckEvent, AckMode, ClientErrorKind, Clock, Dial, Duplex, ExpectContinue, LocalFuture, MediaEvent,
    MediaTransport, TlsOptions, Url,
};
use peer::{DAY, OK, Peer, Session, WIRES, Wire, http_date};
use tokio::io::AsyncWrite;

fn received(timecode: i64) -> Ack {
    Ack::new(AckEvent::Received).timecode(timecode)
}

fn head() -> MediaEvent {
    MediaEvent::Head {
        request_id: Some("id-1".into()),
    }
}

#[tokio::test]
async fn the_head_arrives_before_any_body_and_is_signed_over_an_empty_body() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let transport = peer.client().media_transport();

        let (_connection, session) = peer.session(&transport).await;

        assert!(session.nothing_read());
        assert_eq!(
            (session.method.as_str(), session.target.as_str()),
            ("POST", "/putMedia")
        );
        assert_eq!(session.header("transfer-encoding"), Some("chunked"));
        assert_eq!(session.header("x-amzn-stream-name"), Some("front-door"));
        assert_eq!(session.header("x-amzn-fragment-timecode-type"), Some("ABSOLUTE"));
        assert_eq!(
            session.header("x-amzn-fragment-acknowledgment-required"),
            Some("1")
        );
        assert_eq!(session.header("x-amzn-producer-start-timestamp"), None);
        assert_eq!(session.header("x-amz-security-token"), Some("the-token"));
        assert_eq!(session.header("expect"), None);
        session
            .verify(VerifyBody::Streaming, SystemTime::now())
            .expect("verifies");
    }
}

#[tokio::test]
async fn acks_reach_the_reader_while_the_body_is_open() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;

        session.send(OK).await;
        assert_eq!(connection.reader.next().await.expect("reads"), head());
        for round in 0..3 {
            let mut chunks = vec![
                Bytes::from_static(b"clus"),
                Bytes::new(),
                Bytes::from_static(b"ter"),
            ];
            connection.writer.write(&mut chunks).await.expect("writes");
            assert!(chunks.is_empty());
            assert_eq!(session.read(12).await, b"7\r\ncluster\r\n");
            session.send_chunk(&received(round).to_json()).await;
            assert_eq!(
                connection.reader.next().await.expect("reads"),
                MediaEvent::Ack(received(round))
            );
        }
        connection.writer.finish().await.expect("finishes");
        assert_eq!(session.read(5).await, b"0\r\n\r\n");
        session.send_chunk(&received(9).to_json()).await;
        session.send("0\r\n\r\n").await;

        assert_eq!(
            connection.reader.next().await.expect("reads"),
            MediaEvent::Ack(received(9))
        );
        assert_eq!(connection.reader.next().await.expect("reads"), MediaEvent::End);
        assert_eq!(connection.reader.next().await.expect("reads"), MediaEvent::End);
    }
}

#[tokio::test]
async fn media_may_flow_before_the_service_has_said_anything() {
    let peer = Peer::listen(Wire::Plain).await;
    let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;

    connection
        .writer
        .write(&mut vec![Bytes::from_static(b"frame")])
        .await
        .expect("writes");

    assert_eq!(session.read(10).await, b"5\r\nframe\r\n");
}

#[tokio::test]
async fn a_100_continue_is_passed_over() {
    for expect in [ExpectContinue::No, ExpectContinue::Yes] {
        let peer = Peer::listen(Wire::Plain).await;
        let transport = peer.client().media_transport().expect_continue(expect);
        let (mut connection, mut session) = peer.session(&transport).await;
        assert_eq!(session.header("expect").is_some(), expect == ExpectContinue::Yes);

        session.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        session.send(OK).await;

        assert_eq!(connection.reader.next().await.expect("reads"), head());
    }
}

#[tokio::test]
async fn a_response_may_be_chunked_of_known_length_or_end_with_the_connection() {
    let ack = received(1).to_json();
    for (headers, body) in [
        (
            "transfer-encoding: chunked\r\n".to_owned(),
            format!("{:x}\r\n{ack}\r\n0\r\n\r\n", ack.len()),
        ),
        (format!("content-length: {}\r\n", ack.len()), ack.clone()),
        (String::new(), ack.clone()),
    ] {
        for wire in WIRES {
            let peer = Peer::listen(wire).await;
            let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;

            session
                .send(format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}"))
                .await;
            session.close().await;

            assert_eq!(
                connection.reader.next().await.expect("reads"),
                MediaEvent::Head { request_id: None }
            );
            assert_eq!(
                connection.reader.next().await.expect("reads"),
                MediaEvent::Ack(received(1))
            );
            assert_eq!(
                connection.reader.next().await.expect("reads"),
                MediaEvent::End,
                "{wire:?} {headers}"
            );
        }
    }
}

#[tokio::test]
async fn acks_may_come_one_byte_at_a_time() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;

        let send = async {
            for byte in OK.chars() {
                session.send(byte.to_string()).await;
                tokio::task::yield_now().await;
            }
            for byte in format!("{}\n{}", received(1).to_json(), received(2).to_json()).chars() {
                session.send_chunk(&byte.to_string()).await;
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            let reader = &mut connection.reader;
            [reader.next().await, reader.next().await, reader.next().await].map(|event| event.expect("reads"))
        };
        let ((), events) = tokio::join!(send, read);

        assert_eq!(
            events,
            [head(), MediaEvent::Ack(received(1)), MediaEvent::Ack(received(2))]
        );
    }
}

#[tokio::test]
async fn a_reset_gives_the_acks_that_had_arrived_and_then_connection_lost() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;
        connection
            .writer
            .write(&mut vec![Bytes::from_static(b"half a clus")])
            .await
            .expect("writes");

        session.send(OK).await;
        session.send_chunk(&received(1).to_json()).await;
        session.send_chunk(&received(2).to_json()).await;
        session.reset();

        assert_eq!(connection.reader.next().await.expect("reads"), head());
        assert_eq!(
            connection.reader.next().await.expect("reads"),
            MediaEvent::Ack(received(1))
        );
        assert_eq!(
            connection.reader.next().await.expect("reads"),
            MediaEvent::Ack(received(2))
        );
        for _ in 0..2 {
            let error = connection.reader.next().await.expect_err("fails");
            assert!(
                error.is_connection_lost() && error.is_retryable(),
                "{wire:?} {error}"
            );
            assert!(
                error
                    .endpoint()
                    .is_some_and(|endpoint| endpoint.contains("localhost"))
            );
        }
    }
}

#[tokio::test]
async fn after_a_write_error_the_reader_still_yields_the_acks_that_had_arrived() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;
        session.send(OK).await;
        session.send_chunk(&received(1).to_json()).await;
        session.reset();

        let error = loop {
            let mut chunks = vec![Bytes::from(vec![0; 4096])];
            if let Err(error) = connection.writer.write(&mut chunks).await {
                break error;
            }
            tokio::task::yield_now().await;
        };

        assert!(error.is_connection_lost(), "{error}");
        assert_eq!(connection.reader.next().await.expect("reads"), head());
        assert_eq!(
            connection.reader.next().await.expect("reads"),
            MediaEvent::Ack(received(1))
        );
        assert!(
            connection
                .reader
                .next()
                .await
                .expect_err("fails")
                .is_connection_lost(),
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn an_end_without_an_answer_is_connection_lost() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (mut connection, session) = peer.session(&peer.client().media_transport()).await;

        session.close().await;

        assert!(
            connection
                .reader
                .next()
                .await
                .expect_err("fails")
                .is_connection_lost(),
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_is_its_error_and_never_an_ack() {
    let body = r#"{"EventType":"PERSISTED","message":"The security token is expired"}"#;
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;

        let headers = "x-amzn-ErrorType: ExpiredTokenException:\r\nx-amzn-RequestId: id-2\r\n";
        session.send_json("403 Forbidden", headers, body).await;

        let error = connection.reader.next().await.expect_err("is refused");
        assert_eq!(error.kind(), ClientErrorKind::Forbidden);
        assert_eq!(error.error_type(), Some("ExpiredTokenException"));
        assert_eq!((error.status(), error.request_id()), (Some(403), Some("id-2")));
        assert_eq!(connection.reader.next().await.expect("reads"), MediaEvent::End);
    }
}

#[tokio::test]
async fn each_kind_of_refusal_is_told_from_the_others() {
    for (status, error_type, kind) in [
        (
            "400 Bad Request",
            "ClientLimitExceededException",
            ClientErrorKind::Throttled,
        ),
        (
            "400 Bad Request",
            "ConnectionLimitExceededException",
            ClientErrorKind::ConnectionLimit,
        ),
        (
            "400 Bad Request",
            "InvalidEndpointException",
            ClientErrorKind::InvalidEndpoint,
        ),
        (
            "401 Unauthorized",
            "NotAuthorizedException",
            ClientErrorKind::NotAuthorized,
        ),
        (
            "404 Not Found",
            "ResourceNotFoundException",
            ClientErrorKind::NotFound,
        ),
    ] {
        let peer = Peer::listen(Wire::Plain).await;
        let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;

        session
            .send_json(status, &format!("x-amzn-ErrorType: {error_type}\r\n"), "{}")
            .await;

        assert_eq!(
            connection.reader.next().await.expect_err("is refused").kind(),
            kind
        );
    }
}

#[tokio::test]
async fn refused_credentials_are_asked_for_again_before_the_next_session() {
    let peer = Peer::listen(Wire::Plain).await;
    let transport = peer.client().media_transport();
    let (mut connection, mut session) = peer.session(&transport).await;
    session
        .send_json(
            "403 Forbidden",
            "x-amzn-ErrorType: ExpiredTokenException\r\n",
            "{}",
        )
        .await;
    connection.reader.next().await.expect_err("is refused");
    assert_eq!(peer.keys.asked(), 1);

    for _ in 0..2 {
        peer.session(&transport).await;
    }

    assert_eq!(peer.keys.asked(), 2);
}

#[tokio::test]
async fn the_clock_is_learnt_from_a_refusal_and_the_next_session_is_signed_by_it() {
    let now = SystemTime::now();
    for (local, service) in [(UNIX_EPOCH, now), (now - DAY, now), (now + DAY, now)] {
        let peer = Peer::listen(Wire::Plain).await;
        let client = peer
            .config()
            .clock(Clock::from_fn(move || local))
            .build()
            .expect("builds");
        let transport = client.media_transport();
        let (mut connection, mut session) = peer.session(&transport).await;
        session
            .verify(VerifyBody::Streaming, service)
            .expect_err("is out of date");

        let headers = format!(
            "x-amzn-ErrorType: InvalidSignatureException\r\ndate: {}\r\n",
            http_date(service)
        );
        session.send_json("403 Forbidden", &headers, "{}").await;
        connection.reader.next().await.expect_err("is refused");
        let (_connection, session) = peer.session(&transport).await;

        session.verify(VerifyBody::Streaming, service).expect("verifies");
        assert_eq!(peer.keys.asked(), 1, "the keys were not at fault");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_never_comes_is_still_told() {
    let peer = Peer::listen(Wire::Plain).await;
    let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;

    session
        .send("HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\n")
        .await;

    assert_eq!(
        connection.reader.next().await.expect_err("is refused").kind(),
        ClientErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_bad_ack_is_a_protocol_error_and_the_next_one_is_read() {
    let peer = Peer::listen(Wire::Plain).await;
    let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;
    session.send(OK).await;
    session.send_chunk(r#"{"EventType":}"#).await;
    session.send_chunk(&received(1).to_json()).await;
    connection.reader.next().await.expect("reads");

    assert_eq!(
        connection.reader.next().await.expect_err("fails").kind(),
        ClientErrorKind::Protocol
    );
    assert_eq!(
        connection.reader.next().await.expect("reads"),
        MediaEvent::Ack(received(1))
    );
}

#[tokio::test]
async fn a_peer_that_speaks_no_http_is_a_protocol_error() {
    let peer = Peer::listen(Wire::Plain).await;
    let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;

    session.send("220 mail.example.com ESMTP\r\n").await;

    assert_eq!(
        connection.reader.next().await.expect_err("fails").kind(),
        ClientErrorKind::Protocol
    );
}

#[tokio::test]
async fn dropping_the_readers_future_loses_nothing() {
    let peer = Peer::listen(Wire::Tls).await;
    let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;
    let text = format!(
        "{OK}{:x}\r\n{}\r\n",
        received(1).to_json().len(),
        received(1).to_json()
    );

    let mut events = Vec::new();
    for byte in text.bytes() {
        session.send([byte]).await;
        tokio::select! {
            biased;
            event = connection.reader.next() => events.push(event.expect("reads")),
            () = tokio::task::yield_now() => {}
        }
    }
    while events.len() < 2 {
        events.push(connection.reader.next().await.expect("reads"));
    }

    assert_eq!(events, [head(), MediaEvent::Ack(received(1))]);
}

/// The chunked body of a session, framing taken off, up to its end.
async fn read_body(session: &mut Session) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let chunk = session.read_chunk().await;
        if chunk.is_empty() {
            return body;
        }
        body.extend(chunk);
    }
}

#[tokio::test]
async fn large_batches_of_many_pieces_arrive_whole_through_a_slow_peer() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;
        let pieces: Vec<Bytes> = (0..300u32)
            .map(|index| Bytes::from(vec![index as u8; 1 + (index as usize * 37) % 20_000]))
            .collect();
        let expected = pieces.concat();

        let write = async {
            for batch in pieces.chunks(150) {
                connection
                    .writer
                    .write(&mut batch.to_vec())
                    .await
                    .expect("writes");
            }
            connection.writer.finish().await.expect("finishes");
        };
        let ((), body) = tokio::join!(write, read_body(&mut session));

        assert!(
            body == expected,
            "{wire:?}: {} of {} bytes",
            body.len(),
            expected.len()
        );
    }
}

#[tokio::test]
async fn what_a_dropped_write_left_unsent_goes_first_the_next_time() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;
        let payload = Bytes::from(vec![7; 16 * 1024 * 1024]);

        let mut chunks = vec![payload.clone()];
        tokio::select! {
            biased;
            result = connection.writer.write(&mut chunks) => panic!("nobody reads: {result:?}"),
            () = tokio::task::yield_now() => {}
        }
        let rest = async {
            connection
                .writer
                .write(&mut vec![Bytes::from_static(b"end")])
                .await
                .expect("writes");
            connection.writer.finish().await.expect("finishes");
        };
        let ((), body) = tokio::join!(rest, read_body(&mut session));

        assert_eq!(body.len(), payload.len() + 3, "{wire:?}");
        assert!(body.ends_with(b"end"));
    }
}

#[tokio::test]
async fn an_aborted_session_ends_without_the_end_of_its_body() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (mut connection, mut session) = peer.session(&peer.client().media_transport()).await;
        connection
            .writer
            .write(&mut vec![Bytes::from_static(b"half")])
            .await
            .expect("writes");

        connection.writer.abort();
        drop(connection.reader);

        assert_eq!(session.read(9).await, b"4\r\nhalf\r\n");
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(session.wired.io(), &mut rest).await;
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[tokio::test]
async fn a_relative_session_names_its_start_and_acks_can_be_off() {
    let peer = Peer::listen(Wire::Plain).await;
    let request = peer
        .request()
        .relative_to(UNIX_EPOCH + Duration::from_millis(1_704_164_645_007))
        .acks(AckMode::Off);

    let (connection, session) = peer.try_session(&peer.client().media_transport(), request).await;

    connection.expect("opens");
    assert_eq!(session.header("x-amzn-fragment-timecode-type"), Some("RELATIVE"));
    assert_eq!(
        session.header("x-amzn-producer-start-timestamp"),
        Some("1704164645.007")
    );
    assert_eq!(
        session.header("x-amzn-fragment-acknowledgment-required"),
        Some("0")
    );
    session
        .verify(VerifyBody::Streaming, SystemTime::now())
        .expect("verifies");
}

#[tokio::test]
async fn only_http_1_is_offered_over_tls() {
    let peer = Peer::listen(Wire::Tls).await;

    let (_connection, session) = peer.session(&peer.client().media_transport()).await;

    assert_eq!(session.wired.alpn().as_deref(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn an_unknown_certificate_is_a_tls_error_that_names_the_endpoint() {
    let peer = Peer::listen(Wire::Tls).await;
    let transport = peer
        .config()
        .tls(TlsOptions::default())
        .build()
        .expect("builds")
        .media_transport();

    let (opened, ()) = tokio::join!(transport.open(peer.request()), peer.refuse_handshake());

    let error = opened.expect_err("is refused");
    assert_eq!(error.kind(), ClientErrorKind::Tls);
    assert!(error.to_string().contains("https://localhost"), "{error}");
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_error_that_names_the_endpoint() {
    let peer = Peer::listen(Wire::Plain).await;
    let (transport, request) = (peer.client().media_transport(), peer.request());
    drop(peer);

    let error = transport.open(request).await.expect_err("is refused");

    assert_eq!(error.kind(), ClientErrorKind::Connect);
    assert!(
        error
            .endpoint()
            .is_some_and(|endpoint| endpoint.starts_with("http://localhost:")),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_ends_times_out() {
    let plain = Peer::listen(Wire::Plain).await;
    let mut endpoint = plain.endpoint();
    endpoint.set_scheme("https").expect("is a scheme");
    let request = kvs_client::PutMediaRequest::new(endpoint, "front-door");

    let error = plain
        .client()
        .media_transport()
        .open(request)
        .await
        .expect_err("times out");

    assert_eq!(error.kind(), ClientErrorKind::Timeout);
}

/// Remembers the addresses of what it is given to write.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<(usize, usize)>>>);

impl AsyncWrite for Recorder {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut seen = self.0.lock().expect("is not poisoned");
        seen.extend(slices.iter().map(|slice| (slice.as_ptr() as usize, slice.len())));
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Dial for Recorder {
    fn dial<'a>(&'a self, _: &'a Url) -> LocalFuture<'a, Result<Duplex, kvs_client::ClientError>> {
        let write = Box::new(self.clone());
        Box::pin(async {
            Ok(Duplex {
                read: Box::new(tokio::io::empty()),
                write,
            })
        })
    }
}

#[tokio::test]
async fn payloads_reach_the_socket_uncopied() {
    let peer = Peer::listen(Wire::Plain).await;
    let recorder = Recorder::default();
    let transport = peer.client().media_transport().with_dial(recorder.clone());
    let mut connection = transport.open(peer.request()).await.expect("opens");
    let payloads: Vec<Bytes> = (1..100).map(|size| Bytes::from(vec![0; size * 100])).collect();

    connection
        .writer
        .write(&mut payloads.clone())
        .await
        .expect("writes");

    let seen = recorder.0.lock().expect("is not poisoned").clone();
    for payload in payloads {
        assert!(seen.contains(&(payload.as_ptr() as usize, payload.len())));
    }
}
