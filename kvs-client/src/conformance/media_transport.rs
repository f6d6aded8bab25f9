//! The suite for media transports.

use bytes::Bytes;

use crate::{
    Ack, AckErrorCode, AckEvent, AckMode, ClientError, ClientErrorKind, LocalFuture, MediaConnection,
    MediaEvent, MediaTransport, PutMediaRequest,
};

/// Connects the suite with an implementation.
pub trait MediaFixture {
    /// The transport under test.
    fn transport(&self) -> &dyn MediaTransport;

    /// A session request that reaches the fixture.
    fn request(&self) -> PutMediaRequest;

    /// Takes the session that the transport opens meanwhile.
    fn accept(&self) -> LocalFuture<'_, Box<dyn MediaPeer>>;
}

/// The service's side of a session, as the suite drives it.
pub trait MediaPeer {
    /// What the session is about, as it was received.
    fn request(&self) -> PutMediaRequest;

    /// So many bytes of the body, or fewer at its end.
    fn read(&mut self, count: usize) -> LocalFuture<'_, Vec<u8>>;

    /// Accepts the session (HTTP 200).
    fn accept(&mut self) -> LocalFuture<'_, ()>;

    /// Refuses the session with a status and an error type.
    fn refuse<'a>(&'a mut self, status: u16, error_type: &'a str) -> LocalFuture<'a, ()>;

    /// Sends an ACK.
    fn send_ack(&mut self, ack: Ack) -> LocalFuture<'_, ()>;

    /// Ends the response cleanly.
    fn end(&mut self) -> LocalFuture<'_, ()>;

    /// Breaks the connection off.
    fn reset(self: Box<Self>);
}

/// Checks a media transport.
///
/// # Panics
///
/// Where the implementation falls short.
pub async fn media_transport(fixture: &dyn MediaFixture) {
    the_request_arrives_as_it_was_made(fixture).await;
    acks_come_while_the_body_is_open(fixture).await;
    batches_are_taken_whole_and_in_order(fixture).await;
    large_batches_wait_for_the_peer_and_arrive(fixture).await;
    a_finished_body_ends_and_the_reader_goes_on(fixture).await;
    a_refusal_is_an_error_and_never_an_ack(fixture).await;
    a_reset_gives_what_had_arrived_and_then_connection_lost(fixture).await;
    writing_after_a_reset_fails_and_the_reader_keeps_its_acks(fixture).await;
    dropping_the_readers_future_loses_nothing(fixture).await;
    sessions_are_independent(fixture).await;
}

async fn open(fixture: &dyn MediaFixture, request: PutMediaRequest) -> (MediaConnection, Box<dyn MediaPeer>) {
    let (connection, peer) = tokio::join!(fixture.transport().open(request), fixture.accept());
    (connection.expect("a session must open"), peer)
}

async fn open_accepted(fixture: &dyn MediaFixture) -> (MediaConnection, Box<dyn MediaPeer>) {
    let (mut connection, mut peer) = open(fixture, fixture.request()).await;
    peer.accept().await;
    let head = connection
        .reader
        .next()
        .await
        .expect("an accepted session must say so");
    assert!(
        matches!(head, MediaEvent::Head { .. }),
        "the head must come first, not {head:?}"
    );
    (connection, peer)
}

fn every_kind_of_ack() -> Vec<Ack> {
    vec![
        Ack::new(AckEvent::Buffering).timecode(0),
        Ack::new(AckEvent::Received)
            .timecode(1_700_000_000_000)
            .fragment_number("91343852333181432392682062"),
        Ack::new(AckEvent::Persisted).timecode(-1),
        Ack::new(AckEvent::Idle),
        Ack::of_error(AckErrorCode::FragmentTimecodeLesserThanPrevious).timecode(5),
        Ack::new(AckEvent::Unknown("ARCHIVED".into())),
    ]
}

async fn next_ack(connection: &mut MediaConnection) -> Ack {
    match connection.reader.next().await {
        Ok(MediaEvent::Ack(ack)) => ack,
        other => panic!("an ack must be read, not {other:?}"),
    }
}

async fn expect_lost(connection: &mut MediaConnection) {
    let error = connection
        .reader
        .next()
        .await
        .expect_err("a broken connection must be told");
    assert_eq!(error.kind(), ClientErrorKind::ConnectionLost, "{error}");
}

async fn the_request_arrives_as_it_was_made(fixture: &dyn MediaFixture) {
    let start = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_704_164_645_007);
    for request in [
        fixture.request(),
        fixture.request().relative_to(start),
        fixture.request().acks(AckMode::Off),
    ] {
        let (_connection, peer) = open(fixture, request.clone()).await;
        let received = peer.request();
        assert_eq!(received.stream, request.stream);
        assert_eq!(received.timecodes, request.timecodes);
        assert_eq!(received.start_timestamp, request.start_timestamp);
        assert_eq!(received.acks, request.acks);
    }
}

async fn acks_come_while_the_body_is_open(fixture: &dyn MediaFixture) {
    let (mut connection, mut peer) = open_accepted(fixture).await;
    for ack in every_kind_of_ack() {
        connection
            .writer
            .write(&mut vec![Bytes::from_static(b"frame")])
            .await
            .expect("a write must succeed");
        assert_eq!(peer.read(5).await, b"frame");
        peer.send_ack(ack.clone()).await;
        assert_eq!(next_ack(&mut connection).await, ack);
    }
}

async fn batches_are_taken_whole_and_in_order(fixture: &dyn MediaFixture) {
    let (mut connection, mut peer) = open_accepted(fixture).await;
    let mut chunks: Vec<Bytes> = (0..=255)
        .map(|byte| Bytes::from(vec![byte; usize::from(byte)]))
        .collect();
    let expected = chunks.concat();

    connection
        .writer
        .write(&mut chunks)
        .await
        .expect("a write must succeed");
    assert!(chunks.is_empty(), "a write must take every chunk");
    connection
        .writer
        .write(&mut chunks)
        .await
        .expect("an empty write must succeed");

    assert_eq!(peer.read(expected.len()).await, expected);
}

async fn large_batches_wait_for_the_peer_and_arrive(fixture: &dyn MediaFixture) {
    const SIZE: usize = 8 * 1024 * 1024;
    let (mut connection, mut peer) = open_accepted(fixture).await;
    let write = async {
        connection
            .writer
            .write(&mut vec![Bytes::from(vec![7; SIZE])])
            .await
            .expect("a write must succeed");
        connection.writer.finish().await.expect("a body must end");
    };
    let ((), body) = tokio::join!(write, peer.read(SIZE + 1));
    assert_eq!(body.len(), SIZE);
}

async fn a_finished_body_ends_and_the_reader_goes_on(fixture: &dyn MediaFixture) {
    let (mut connection, mut peer) = open_accepted(fixture).await;
    connection
        .writer
        .write(&mut vec![Bytes::from_static(b"last")])
        .await
        .expect("a write must succeed");
    connection.writer.finish().await.expect("a body must end");
    assert_eq!(peer.read(100).await, b"last");

    let ack = Ack::new(AckEvent::Persisted).timecode(1);
    peer.send_ack(ack.clone()).await;
    peer.end().await;

    assert_eq!(next_ack(&mut connection).await, ack);
    for _ in 0..2 {
        let end = connection
            .reader
            .next()
            .await
            .expect("a clean end must be no error");
        assert_eq!(end, MediaEvent::End);
    }
}

async fn a_refusal_is_an_error_and_never_an_ack(fixture: &dyn MediaFixture) {
    for (status, error_type, kind) in [
        (400, "ClientLimitExceededException", ClientErrorKind::Throttled),
        (403, "ExpiredTokenException", ClientErrorKind::Forbidden),
        (404, "ResourceNotFoundException", ClientErrorKind::NotFound),
    ] {
        let (mut connection, mut peer) = open(fixture, fixture.request()).await;
        peer.refuse(status, error_type).await;
        let error: ClientError = connection
            .reader
            .next()
            .await
            .expect_err("a refusal must be an error");
        assert_eq!((error.kind(), error.status()), (kind, Some(status)));
        assert_eq!(error.error_type(), Some(error_type));
    }
}

async fn a_reset_gives_what_had_arrived_and_then_connection_lost(fixture: &dyn MediaFixture) {
    let (mut connection, mut peer) = open_accepted(fixture).await;
    for ack in every_kind_of_ack() {
        peer.send_ack(ack).await;
    }
    peer.reset();

    for ack in every_kind_of_ack() {
        assert_eq!(next_ack(&mut connection).await, ack);
    }
    expect_lost(&mut connection).await;
    expect_lost(&mut connection).await;
}

async fn writing_after_a_reset_fails_and_the_reader_keeps_its_acks(fixture: &dyn MediaFixture) {
    let (mut connection, mut peer) = open_accepted(fixture).await;
    let ack = Ack::new(AckEvent::Received).timecode(1);
    peer.send_ack(ack.clone()).await;
    peer.reset();

    let error = loop {
        let written = connection
            .writer
            .write(&mut vec![Bytes::from_static(b"frame")])
            .await;
        match written {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ClientErrorKind::ConnectionLost, "{error}");
    assert_eq!(next_ack(&mut connection).await, ack);
    expect_lost(&mut connection).await;
}

async fn dropping_the_readers_future_loses_nothing(fixture: &dyn MediaFixture) {
    let (mut connection, mut peer) = open_accepted(fixture).await;
    let mut acks = Vec::new();
    for ack in every_kind_of_ack() {
        for _ in 0..3 {
            tokio::select! {
                biased;
                event = connection.reader.next() => match event {
                    Ok(MediaEvent::Ack(ack)) => acks.push(ack),
                    other => panic!("an ack must be read, not {other:?}"),
                },
                () = tokio::task::yield_now() => {}
            }
        }
        peer.send_ack(ack).await;
    }
    while acks.len() < every_kind_of_ack().len() {
        acks.push(next_ack(&mut connection).await);
    }
    assert_eq!(acks, every_kind_of_ack());
}

async fn sessions_are_independent(fixture: &dyn MediaFixture) {
    let (mut one, mut one_peer) = open_accepted(fixture).await;
    let (mut other, other_peer) = open_accepted(fixture).await;
    other_peer.reset();
    expect_lost(&mut other).await;

    one.writer
        .write(&mut vec![Bytes::from_static(b"frame")])
        .await
        .expect("the other session must not matter");
    assert_eq!(one_peer.read(5).await, b"frame");
}
