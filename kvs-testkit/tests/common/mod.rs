//! A client of nothing but a socket, and media made by hand.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test support, of which each binary uses its part"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use kvs_auth::{PayloadHash, SignRequest, Signer};
use kvs_testkit::MockKvs;
use rustls::pki_types::pem::PemObject as _;

pub mod media;

/// A plain or TLS socket.
pub trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

/// A socket to a mock. Every read gives up after five seconds, so that a failing test ends.
pub struct RawClient {
    socket: Box<dyn Wire>,
    received: Vec<u8>,
}

/// A response's head.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

impl RawClient {
    pub fn connect(kvs: &MockKvs) -> RawClient {
        let socket = TcpStream::connect(kvs.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.set_nodelay(true).unwrap();
        let Some(pem) = kvs.ca_pem() else {
            return RawClient {
                socket: Box::new(socket),
                received: Vec::new(),
            };
        };
        let mut roots = rustls::RootCertStore::empty();
        let certificate = rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes());
        roots.add(certificate.unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "127.0.0.1".try_into().unwrap();
        let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = rustls::StreamOwned::new(session, socket);
        RawClient {
            socket: Box::new(socket),
            received: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
        self.socket.flush().unwrap();
    }

    /// Sends a piece of a chunked body.
    pub fn send_chunk(&mut self, data: impl AsRef<[u8]>) {
        let data = data.as_ref();
        let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
        chunk.extend_from_slice(data);
        chunk.extend_from_slice(b"\r\n");
        self.send(chunk);
    }

    pub fn send_last_chunk(&mut self) {
        self.send("0\r\n\r\n");
    }

    fn read_more(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let read = self.socket.read(&mut buffer)?;
        self.received.extend_from_slice(&buffer[..read]);
        Ok(read)
    }

    /// Takes what comes up to and including a mark.
    fn take_until(&mut self, mark: &[u8]) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self
                .received
                .windows(mark.len())
                .position(|window| window == mark)
            {
                return Ok(self.received.drain(..at + mark.len()).collect());
            }
            if self.read_more()? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take_bytes(&mut self, n: usize) -> std::io::Result<Vec<u8>> {
        while self.received.len() < n {
            if self.read_more()? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.received.drain(..n).collect())
    }

    /// Reads a response's head.
    pub fn read_head(&mut self) -> Response {
        let text = String::from_utf8(self.take_until(b"\r\n\r\n").unwrap()).unwrap();
        let mut lines = text.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Response {
            status,
            headers,
            body: String::new(),
        }
    }

    /// Reads a response with a Content-Length.
    pub fn read_response(&mut self) -> Response {
        let mut response = self.read_head();
        let length = response
            .header("content-length")
            .expect("a content-length")
            .parse()
            .unwrap();
        response.body = String::from_utf8(self.take_bytes(length).unwrap()).unwrap();
        response
    }

    /// Reads a chunk of a response; empty at its end.
    pub fn read_chunk(&mut self) -> std::io::Result<Vec<u8>> {
        let line = String::from_utf8(self.take_until(b"\r\n")?).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        let data = self.take_bytes(size)?;
        self.take_bytes(2)?;
        Ok(data)
    }

    /// Reads the rest of a chunked response.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.read_chunk().unwrap();
            if chunk.is_empty() {
                return body;
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// Reads an acknowledgement, however it was cut.
    pub fn read_ack(&mut self) -> serde_json::Value {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let chunk = self.read_chunk().unwrap();
            assert!(
                !chunk.is_empty(),
                "the response ended instead of an acknowledgement"
            );
            line.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&line).unwrap()
    }

    /// Reads acknowledgements until the response ends; each as `EVENT timecode` or `ERROR code`.
    pub fn read_acks_to_end(&mut self) -> Vec<String> {
        let body = String::from_utf8(self.read_to_end()).unwrap();
        body.lines()
            .map(|line| ack_text(&serde_json::from_str(line).unwrap()))
            .collect()
    }

    /// Whether the peer ended the connection in an orderly way.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.read_more(), Ok(0))
    }

    /// Whether the peer reset the connection, whatever came before.
    pub fn is_reset(&mut self) -> bool {
        loop {
            match self.read_more() {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    pub fn received_so_far(&self) -> &[u8] {
        &self.received
    }

    /// Calls a JSON operation.
    pub fn call(&mut self, kvs: &MockKvs, path: &str, body: &serde_json::Value) -> Response {
        let body = body.to_string();
        let head = Request::new(path).header("content-length", body.len().to_string());
        self.send(head.signed(kvs, PayloadHash::Body(body.as_bytes())));
        self.send(&body);
        self.read_response()
    }

    /// Begins a PutMedia session and reads the head of its response.
    pub fn put_media(&mut self, kvs: &MockKvs, stream: &str) -> Response {
        self.send(put_media_head(stream).signed(kvs, PayloadHash::Empty));
        self.read_head()
    }
}

pub fn ack_text(ack: &serde_json::Value) -> String {
    let event = ack["EventType"].as_str().unwrap();
    match (ack["ErrorId"].as_u64(), ack["FragmentTimecode"].as_i64()) {
        (Some(id), _) => format!("{event} {id}"),
        (None, Some(timecode)) => format!("{event} {timecode}"),
        (None, None) => event.to_owned(),
    }
}

/// The head of a PutMedia request with absolute timecodes and acknowledgements.
pub fn put_media_head(stream: &str) -> Request {
    Request::new("/putMedia")
        .header("x-amzn-stream-name", stream)
        .header("x-amzn-fragment-timecode-type", "ABSOLUTE")
        .header("x-amzn-fragment-acknowledgment-required", "1")
        .header("transfer-encoding", "chunked")
}

/// A request's head.
#[derive(Clone)]
pub struct Request {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    host: Option<String>,
    at: SystemTime,
}

impl Request {
    pub fn new(target: &str) -> Request {
        Request {
            method: Method::POST,
            target: target.to_owned(),
            headers: Vec::new(),
            host: None,
            at: SystemTime::now(),
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Request {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    pub fn target(mut self, target: &str) -> Request {
        target.clone_into(&mut self.target);
        self
    }

    pub fn host(mut self, host: &str) -> Request {
        self.host = Some(host.to_owned());
        self
    }

    pub fn at(mut self, at: SystemTime) -> Request {
        self.at = at;
        self
    }

    /// The head's bytes, signed with the mock's credentials.
    pub fn signed(&self, kvs: &MockKvs, payload: PayloadHash<'_>) -> Bytes {
        self.signed_with(kvs, &kvs.credentials(), payload)
    }

    pub fn signed_with(
        &self,
        kvs: &MockKvs,
        credentials: &kvs_auth::Credentials,
        payload: PayloadHash<'_>,
    ) -> Bytes {
        let host = self.host.clone().unwrap_or_else(|| kvs.address().to_string());
        let uri: Uri = format!("https://{host}{}", self.target).parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_str(&host).unwrap());
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let request = SignRequest {
            method: &self.method,
            uri: &uri,
            headers: &headers,
            payload,
        };
        let added = Signer::new(kvs.region())
            .sign(&request, credentials, self.at)
            .unwrap();
        for (name, value) in added {
            headers.insert(name, value);
        }
        self.bytes_with(&headers)
    }

    /// The head's bytes with these headers and nothing added.
    pub fn bytes_with(&self, headers: &HeaderMap) -> Bytes {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head.into()
    }
}
