//! The transports this crate ships, against the suite that every transport has to pass.

#![cfg(feature = "conformance")]

mod peer;

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use kvs_client::{
    Ack, AckMode, ClientError, FileDumpTransport, HttpMediaTransport, LocalFuture, LoopbackListener,
    LoopbackSession, LoopbackTransport, MediaEvent, MediaTransport, PutMediaRequest, TimecodeType,
    conformance::{MediaFixture, MediaPeer, media_transport},
};
use peer::{OK, Peer, Session, WIRES, Wire};

struct Http {
    peer: Peer,
    transport: HttpMediaTransport,
}

impl MediaFixture for Http {
    fn transport(&self) -> &dyn MediaTransport {
        &self.transport
    }

    fn request(&self) -> PutMediaRequest {
        self.peer.request()
    }

    fn accept(&self) -> LocalFuture<'_, Box<dyn MediaPeer>> {
        Box::pin(async {
            let session = Session::read_head(self.peer.accept().await).await;
            Box::new(HttpPeer {
                session,
                body: Vec::new(),
                ended: false,
            }) as Box<dyn MediaPeer>
        })
    }
}

struct HttpPeer {
    session: Session,
    body: Vec<u8>,
    ended: bool,
}

impl MediaPeer for HttpPeer {
    fn request(&self) -> PutMediaRequest {
        let header = |name| self.session.header(name).unwrap_or_default();
        let endpoint = format!("http://{}", header("host")).parse().expect("is a url");
        let mut request = PutMediaRequest::new(endpoint, header("x-amzn-stream-name"));
        if header("x-amzn-fragment-timecode-type") == "RELATIVE" {
            request.timecodes = TimecodeType::Relative;
        }
        if header("x-amzn-fragment-acknowledgment-required") == "0" {
            request.acks = AckMode::Off;
        }
        if let Some((seconds, millis)) = header("x-amzn-producer-start-timestamp").split_once('.') {
            let millis: u64 = format!("{seconds}{millis}").parse().expect("is a number");
            request.start_timestamp = Some(UNIX_EPOCH + Duration::from_millis(millis));
        }
        request
    }

    fn read(&mut self, count: usize) -> LocalFuture<'_, Vec<u8>> {
        Box::pin(async move {
            while self.body.len() < count && !self.ended {
                let chunk = self.session.read_chunk().await;
                self.ended = chunk.is_empty();
                self.body.extend(chunk);
            }
            self.body.drain(..count.min(self.body.len())).collect()
        })
    }

    fn accept(&mut self) -> LocalFuture<'_, ()> {
        Box::pin(self.session.send(OK))
    }

    fn refuse<'a>(&'a mut self, status: u16, error_type: &'a str) -> LocalFuture<'a, ()> {
        Box::pin(async move {
            let headers = format!("x-amzn-ErrorType: {error_type}\r\n");
            self.session
                .send_json(&format!("{status} Refused"), &headers, "{}")
                .await;
        })
    }

    fn send_ack(&mut self, ack: Ack) -> LocalFuture<'_, ()> {
        Box::pin(async move { self.session.send_chunk(&ack.to_json()).await })
    }

    fn end(&mut self) -> LocalFuture<'_, ()> {
        Box::pin(self.session.send("0\r\n\r\n"))
    }

    fn reset(self: Box<Self>) {
        self.session.reset();
    }
}

#[tokio::test]
async fn http_conforms_plain_and_over_tls() {
    for wire in WIRES {
        let peer = Peer::listen(wire).await;
        let transport = peer.client().media_transport();

        media_transport(&Http { peer, transport }).await;
    }
}

#[tokio::test]
async fn http_with_a_copy_in_files_conforms_and_the_copy_is_complete() {
    struct Teed(Http, FileDumpTransport);
    impl MediaFixture for Teed {
        fn transport(&self) -> &dyn MediaTransport {
            &self.1
        }
        fn request(&self) -> PutMediaRequest {
            self.0.request()
        }
        fn accept(&self) -> LocalFuture<'_, Box<dyn MediaPeer>> {
            self.0.accept()
        }
    }
    let directory = tempfile::tempdir().expect("creates a directory");
    let peer = Peer::listen(Wire::Plain).await;
    let transport = peer.client().media_transport();
    let teed = FileDumpTransport::tee(transport.clone(), directory.path());
    let fixture = Teed(Http { peer, transport }, teed);

    media_transport(&fixture).await;

    let files = std::fs::read_dir(directory.path()).expect("lists").count();
    assert!(files > 10, "{files}");
    let large = std::fs::read_dir(directory.path()).expect("lists").any(|file| {
        file.and_then(|file| file.metadata())
            .is_ok_and(|data| data.len() == 8 * 1024 * 1024)
    });
    assert!(large, "the large body of the suite is among the files");
}

struct Loopback {
    transport: LoopbackTransport,
    listener: LoopbackListener,
}

impl MediaFixture for Loopback {
    fn transport(&self) -> &dyn MediaTransport {
        &self.transport
    }

    fn request(&self) -> PutMediaRequest {
        PutMediaRequest::new("http://loopback".parse().expect("is a url"), "front-door")
    }

    fn accept(&self) -> LocalFuture<'_, Box<dyn MediaPeer>> {
        Box::pin(async {
            let session = self.listener.accept().await.expect("the transport is there");
            Box::new(LoopbackPeer {
                session,
                body: Vec::new(),
            }) as Box<dyn MediaPeer>
        })
    }
}

struct LoopbackPeer {
    session: LoopbackSession,
    body: Vec<u8>,
}

impl MediaPeer for LoopbackPeer {
    fn request(&self) -> PutMediaRequest {
        self.session.request().clone()
    }

    fn read(&mut self, count: usize) -> LocalFuture<'_, Vec<u8>> {
        Box::pin(async move {
            while self.body.len() < count {
                match self.session.read().await.expect("the near end is there") {
                    Some(bytes) => self.body.extend(bytes),
                    None => break,
                }
            }
            self.body.drain(..count.min(self.body.len())).collect()
        })
    }

    fn accept(&mut self) -> LocalFuture<'_, ()> {
        self.session.send(MediaEvent::Head { request_id: None });
        Box::pin(async {})
    }

    fn refuse<'a>(&'a mut self, status: u16, error_type: &'a str) -> LocalFuture<'a, ()> {
        self.session
            .refuse(ClientError::from_response(status, Some(error_type), ""));
        Box::pin(async {})
    }

    fn send_ack(&mut self, ack: Ack) -> LocalFuture<'_, ()> {
        self.session.send_ack(ack);
        Box::pin(async {})
    }

    fn end(&mut self) -> LocalFuture<'_, ()> {
        self.session.send(MediaEvent::End);
        Box::pin(async {})
    }

    fn reset(self: Box<Self>) {
        self.session.reset();
    }
}

#[tokio::test]
async fn the_loopback_conforms() {
    let (transport, listener) = LoopbackTransport::new();

    media_transport(&Loopback { transport, listener }).await;
}

#[tokio::test]
async fn the_loopback_tells_when_either_side_is_gone() {
    let (transport, listener) = LoopbackTransport::new();
    let request = PutMediaRequest::new("http://loopback".parse().expect("is a url"), "front-door");
    let near = transport.open(request.clone()).await.expect("opens");
    let mut far = listener.accept().await.expect("is there");
    near.writer.abort();
    assert!(far.read().await.expect_err("is aborted").is_connection_lost());

    drop(listener);
    transport.open(request).await.expect_err("nobody listens");

    let (transport, listener) = LoopbackTransport::new();
    drop(transport);
    assert!(listener.accept().await.is_none());
}

#[tokio::test]
async fn a_file_dump_takes_sessions_without_a_service() {
    let directory = tempfile::tempdir().expect("creates a directory");
    let transport = FileDumpTransport::new(directory.path().join("dumps"));
    for text in ["one", "two"] {
        let request = PutMediaRequest::new("http://nowhere".parse().expect("is a url"), "front/door")
            .acks(AckMode::Off);
        let mut connection = transport.open(request).await.expect("opens");
        assert_eq!(
            connection.reader.next().await.expect("reads"),
            MediaEvent::Head { request_id: None }
        );
        connection
            .writer
            .write(&mut vec![Bytes::from(text), Bytes::from("!")])
            .await
            .expect("writes");
        connection.writer.finish().await.expect("finishes");
        assert_eq!(connection.reader.next().await.expect("reads"), MediaEvent::End);
    }

    for (name, text) in [("front_door_0.mkv", "one!"), ("front_door_1.mkv", "two!")] {
        let written = std::fs::read_to_string(directory.path().join("dumps").join(name)).expect("is there");
        assert_eq!(written, text);
    }
}
