//! GetMedia over real sockets.

mod peer;

use std::time::{SystemTime, UNIX_EPOCH};

use kvs_auth::VerifyBody;
use kvs_client::{Client, ClientError, ClientErrorKind, Clock, GetMedia, MediaBody, StartSelector};
use peer::{Peer, Session, WIRES, Wire, http_date};

fn earliest() -> GetMedia {
    GetMedia::new("front-door", StartSelector::Earliest)
}

async fn open(
    peer: &Peer,
    client: &Client,
    answer: &str,
) -> (Result<MediaBody, ClientError>, Session, Vec<u8>) {
    let serve = async {
        let mut session = Session::read_head(peer.accept().await).await;
        let body = session.read_content_length().await;
        session.send(answer).await;
        (session, body)
    };
    let endpoint = peer.endpoint();
    let request = earliest();
    let (opened, (session, body)) = tokio::join!(client.open_media(&endpoint, &request), serve);
    (opened, session, body)
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: video/webm\r\nx-amzn-RequestId: id-1\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn media_comes_as_it_arrives() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (body, mut session, request) = open(&peer, &peer.client(), HEAD).await;
        let mut body = body.expect("opens");
        assert_eq!(session.target, "/getMedia");
        assert_eq!(
            request,
            br#"{"StreamName":"front-door","StartSelector":{"StartSelectorType":"EARLIEST"}}"#
        );
        session
            .verify(VerifyBody::Bytes(&request), SystemTime::now())
            .expect("verifies");
        assert_eq!(
            (body.content_type(), body.request_id()),
            (Some("video/webm"), Some("id-1"))
        );

        for piece in ["first", "second"] {
            session.send_chunk(piece).await;
            assert_eq!(body.next().await.expect("goes on").expect("reads"), piece);
        }
        session.send("0\r\n\r\n").await;

        assert!(body.next().await.is_none());
        assert!(body.next().await.is_none());
    }
}

#[tokio::test]
async fn an_end_inside_the_media_is_connection_lost() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let (body, mut session, _) = open(&peer, &peer.client(), HEAD).await;
        let mut body = body.expect("opens");
        session.send_chunk("half").await;
        session.close().await;

        assert_eq!(body.next().await.expect("goes on").expect("reads"), "half");
        assert!(
            body.next()
                .await
                .expect("goes on")
                .expect_err("fails")
                .is_connection_lost()
        );
        assert!(body.next().await.is_none());
    }
}

#[tokio::test]
async fn a_refusal_is_its_error() {
    let peer = Peer::listen(Wire::Plain).await;
    let answer = "HTTP/1.1 404 Not Found\r\nx-amzn-ErrorType: ResourceNotFoundException\r\ncontent-length: 2\r\n\r\n{}";

    let (body, ..) = open(&peer, &peer.client(), answer).await;

    assert_eq!(body.expect_err("is refused").kind(), ClientErrorKind::NotFound);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_and_the_request_tried_once_more() {
    let peer = Peer::listen(Wire::Plain).await;
    let client = peer
        .config()
        .clock(Clock::from_fn(|| UNIX_EPOCH))
        .build()
        .expect("builds");
    let now = SystemTime::now();
    let serve = async {
        let mut session = Session::read_head(peer.accept().await).await;
        session.read_content_length().await;
        session
            .send(format!(
                "HTTP/1.1 403 Forbidden\r\ndate: {}\r\ncontent-length: 0\r\n\r\n",
                http_date(now)
            ))
            .await;
        let mut session = Session::read_head(peer.accept().await).await;
        let body = session.read_content_length().await;
        session.verify(VerifyBody::Bytes(&body), now).expect("verifies");
        session.send(HEAD).await;
    };

    let endpoint = peer.endpoint();
    let request = earliest();
    let (body, ()) = tokio::join!(client.open_media(&endpoint, &request), serve);

    body.expect("opens");
}

#[cfg(feature = "consumer")]
#[tokio::test]
async fn frames_are_demuxed_as_they_arrive() {
    use kvs_client::consumer::{ConsumerEvent, FrameReader};

    // EBML header, Segment, Info with a scale of 1 ms, a Cluster at 1,000 ms with one key frame of track 1 at
    // +40 ms.
    const MEDIA: &[u8] =
        b"\x1A\x45\xDF\xA3\x8B\x42\x82\x88matroska\x18\x53\x80\x67\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\
        \x15\x49\xA9\x66\x87\x2A\xD7\xB1\x83\x0F\x42\x40\
        \x1F\x43\xB6\x75\x8E\xE7\x82\x03\xE8\xA3\x88\x81\x00\x28\x80abcd";
    let peer = Peer::listen(Wire::Plain).await;
    let (body, mut session, _) = open(&peer, &peer.client(), "HTTP/1.1 200 OK\r\n\r\n").await;
    for byte in MEDIA {
        session.send([*byte]).await;
    }
    session.close().await;

    let mut frames = FrameReader::new(body.expect("opens"));
    let mut events = Vec::new();
    while let Some(event) = frames.next().await {
        events.push(event.expect("reads"));
    }

    let [
        ConsumerEvent::FragmentStart,
        ConsumerEvent::Frame(frame),
        ConsumerEvent::FragmentEnd,
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        (frame.track, frame.pts.as_millis(), frame.is_key()),
        (1, 1040, true)
    );
    assert_eq!(frame.data, "abcd");
}
