//! A scripted peer over a real socket, plain or TLS: it does what the test says, byte by byte.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use kvs_auth::{
    Credentials, Identity, ProvideCredentials, Secret, Verifier, VerifyBody, VerifyError, VerifyRequest,
    future,
};
use kvs_client::{
    Client, ClientConfig, ClientError, MediaConnection, MediaTransport, PutMediaRequest, TlsOptions, Url,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub const ID: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub const OK: &str = "HTTP/1.1 200 OK\r\nx-amzn-RequestId: id-1\r\ntransfer-encoding: chunked\r\n\r\n";

/// What lies between client and peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Plain,
    Tls,
}

pub const WIRES: [Wire; 2] = [Wire::Plain, Wire::Tls];

/// Keys that count how often they were asked for.
#[derive(Debug, Clone, Default)]
pub struct CountedKeys(Arc<AtomicUsize>);

impl CountedKeys {
    pub fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl ProvideCredentials for CountedKeys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.fetch_add(1, Ordering::SeqCst);
        future::ProvideCredentials::ready(Ok(Credentials::new(
            ID,
            SECRET,
            Some("the-token".into()),
            None,
            "test",
        )))
    }
}

/// Waits for connections.
pub struct Peer {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    ca_pem: String,
    pub keys: CountedKeys,
}

impl Peer {
    pub async fn listen(wire: Wire) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned(), "s-1.kinesisvideo.invalid".to_owned()])
                .expect("makes a certificate");
        let tls = (wire == Wire::Tls).then(|| {
            let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("is a key");
            let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("has versions")
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], key)
                .expect("takes the certificate");
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        Self {
            listener,
            tls,
            ca_pem: cert.pem(),
            keys: CountedKeys::default(),
        }
    }

    pub fn endpoint(&self) -> Url {
        let port = self.listener.local_addr().expect("is bound").port();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{port}").parse().expect("is a url")
    }

    pub fn config(&self) -> ClientConfig {
        let tls = TlsOptions::default().extra_ca_pem(&self.ca_pem);
        ClientConfig::new("us-west-2", self.keys.clone())
            .endpoint(self.endpoint())
            .tls(tls)
    }

    pub fn client(&self) -> Client {
        self.config().build().expect("builds")
    }

    pub fn request(&self) -> PutMediaRequest {
        PutMediaRequest::new(self.endpoint(), "front-door")
    }

    pub async fn accept(&self) -> Wired {
        let (stream, _) = self.listener.accept().await.expect("accepts");
        // Or a reset would throw away what Nagle's algorithm still holds back.
        stream.set_nodelay(true).expect("sets nodelay");
        match &self.tls {
            None => Wired::Plain(stream),
            Some(acceptor) => Wired::Tls(Box::new(acceptor.accept(stream).await.expect("shakes hands"))),
        }
    }

    /// Shakes hands with a client that won't.
    pub async fn refuse_handshake(&self) {
        let (stream, _) = self.listener.accept().await.expect("accepts");
        let acceptor = self.tls.as_ref().expect("speaks tls");
        assert!(
            acceptor.accept(stream).await.is_err(),
            "the client trusted the certificate"
        );
    }

    /// A session up to the request head.
    pub async fn session(&self, transport: &impl MediaTransport) -> (MediaConnection, Session) {
        let (connection, session) = self.try_session(transport, self.request()).await;
        (connection.expect("opens"), session)
    }

    pub async fn try_session(
        &self,
        transport: &impl MediaTransport,
        request: PutMediaRequest,
    ) -> (Result<MediaConnection, ClientError>, Session) {
        let (connection, wired) = tokio::join!(transport.open(request), self.accept());
        (connection, Session::read_head(wired).await)
    }
}

/// An accepted connection.
pub enum Wired {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

impl Wired {
    pub fn io(&mut self) -> &mut dyn Io {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }

    pub fn alpn(&self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// A connection whose request head has been read.
pub struct Session {
    pub wired: Wired,
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    buffer: Vec<u8>,
}

impl Session {
    pub async fn read_head(mut wired: Wired) -> Self {
        let mut buffer = Vec::new();
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut headers);
            if let httparse::Status::Complete(length) = request.parse(&buffer).expect("is http") {
                let headers = request
                    .headers
                    .iter()
                    .map(|header| {
                        let name = HeaderName::from_bytes(header.name.as_bytes()).expect("is a name");
                        (name, HeaderValue::from_bytes(header.value).expect("is a value"))
                    })
                    .collect();
                let method = request
                    .method
                    .expect("has a method")
                    .parse()
                    .expect("is a method");
                let target = request.path.expect("has a target").to_owned();
                buffer.drain(..length);
                return Self {
                    wired,
                    method,
                    target,
                    headers,
                    buffer,
                };
            }
            let read = wired.io().read_buf(&mut buffer).await.expect("reads");
            assert!(read > 0, "the client closed inside the head");
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("is text"))
    }

    pub fn verify(&self, body: VerifyBody<'_>, now: SystemTime) -> Result<Identity, VerifyError> {
        let verifier = Verifier::new(Some("us-west-2".into())).with_credentials(ID, Secret::new(SECRET));
        let request = VerifyRequest {
            method: &self.method,
            target: &self.target,
            headers: &self.headers,
            body,
        };
        verifier.verify(&request, now)
    }

    /// So many bytes of the body, framing and all.
    pub async fn read(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            let read = self.wired.io().read_buf(&mut self.buffer).await.expect("reads");
            assert!(
                read > 0,
                "the client closed early, after {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
        self.buffer.drain(..count).collect()
    }

    /// The next chunk of the body, framing taken off; empty at its end.
    pub async fn read_chunk(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.read(1).await);
        }
        let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).expect("is a size");
        let chunk = self.read(size).await;
        assert_eq!(self.read(2).await, b"\r\n");
        chunk
    }

    pub async fn read_content_length(&mut self) -> Vec<u8> {
        let length = self
            .header("content-length")
            .expect("has a length")
            .parse()
            .expect("is a number");
        self.read(length).await
    }

    /// True if nothing of the body has come.
    pub fn nothing_read(&self) -> bool {
        self.buffer.is_empty()
    }

    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.wired.io().write_all(text.as_ref()).await.expect("writes");
        self.wired.io().flush().await.expect("flushes");
    }

    pub async fn send_chunk(&mut self, text: &str) {
        self.send(format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    pub async fn send_json(&mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        self.send(format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    /// Breaks the connection off (RST).
    pub fn reset(self) {
        self.wired.tcp().set_zero_linger().expect("sets linger");
    }

    /// Ends the connection in an orderly way.
    pub async fn close(mut self) {
        self.wired.io().shutdown().await.expect("shuts down");
    }
}

/// An HTTP date so long from now.
pub fn http_date(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

pub const DAY: Duration = Duration::from_secs(86_400);
