//! Media and calls through a proxy.

mod peer;

use kvs_client::{ApiName, ClientErrorKind, ControlPlane, MediaTransport, ProxySettings, Url};
use peer::{Peer, Session, Wire};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// A proxy that answers every tunnel so, and if that was with success leads them all to one place.
struct Proxy {
    listener: TcpListener,
    answer: &'static str,
}

impl Proxy {
    async fn listen(answer: &'static str) -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.expect("listens"),
            answer,
        }
    }

    fn settings(&self) -> ProxySettings {
        let port = self.listener.local_addr().expect("is bound").port();
        let url = format!("http://user:p%40ss@127.0.0.1:{port}")
            .parse()
            .expect("is a url");
        ProxySettings::url(&url).expect("is a proxy")
    }

    /// Serves one tunnel and gives the head of its request once the tunnel is closed.
    async fn serve(&self, target: &Url) -> String {
        let (mut near, _) = self.listener.accept().await.expect("accepts");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(near.read_u8().await.expect("reads")));
        }
        near.write_all(self.answer.as_bytes()).await.expect("writes");
        if self.answer.contains(" 200 ") {
            let port = target.port().expect("has a port");
            let mut far = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
            let _ = copy_bidirectional(&mut near, &mut far).await;
        }
        head
    }
}

/// A name that isn't loopback and resolves nowhere: only the proxy can know it.
fn hidden(endpoint: &Url) -> Url {
    let mut hidden = endpoint.clone();
    hidden
        .set_host(Some("s-1.kinesisvideo.invalid"))
        .expect("is a host");
    hidden
}

#[tokio::test]
async fn a_media_session_goes_through_the_tunnel() {
    let peer = Peer::listen(Wire::Tls).await;
    let proxy = Proxy::listen("HTTP/1.1 200 Connection Established\r\n\r\n").await;
    let transport = peer
        .config()
        .proxy(proxy.settings())
        .build()
        .expect("builds")
        .media_transport();
    let target = peer.endpoint();
    let mut request = peer.request();
    request.endpoint = hidden(&target);

    let session = async {
        let (connection, session) = peer.try_session(&transport, request).await;
        let mut connection = connection.expect("opens");
        let mut session = session;
        connection
            .writer
            .write(&mut vec![bytes::Bytes::from_static(b"frame")])
            .await
            .expect("writes");
        assert_eq!(session.read_chunk().await, b"frame");
        session.header("host").expect("has a host").to_owned()
    };
    let (host, head) = tokio::join!(session, proxy.serve(&target));

    let port = target.port().expect("has a port");
    assert_eq!(host, format!("s-1.kinesisvideo.invalid:{port}"));
    assert!(
        head.starts_with(&format!("CONNECT s-1.kinesisvideo.invalid:{port} HTTP/1.1\r\n")),
        "{head}"
    );
    assert!(
        head.contains("proxy-authorization: Basic dXNlcjpwQHNz\r\n"),
        "{head}"
    );
}

#[actix_rt::test]
async fn a_call_goes_through_the_tunnel() {
    let peer = Peer::listen(Wire::Tls).await;
    let proxy = Proxy::listen("HTTP/1.1 200 OK\r\n\r\n").await;
    let target = peer.endpoint();
    let config = peer.config().endpoint(hidden(&target)).proxy(proxy.settings());
    let control = config.build().expect("builds").control_plane();

    let call = async {
        let endpoint = control
            .get_data_endpoint("x", ApiName::PutMedia)
            .await
            .expect("answers");
        drop(control);
        endpoint
    };
    let serve = async {
        let mut session = Session::read_head(peer.accept().await).await;
        session.read_content_length().await;
        session
            .send_json(
                "200 OK",
                "connection: close\r\n",
                r#"{"DataEndpoint":"https://s-1.example.com"}"#,
            )
            .await;
        session.close().await;
    };
    let (endpoint, (), head) = tokio::join!(call, serve, proxy.serve(&target));

    assert_eq!(endpoint.as_str(), "https://s-1.example.com/");
    assert!(head.starts_with("CONNECT s-1.kinesisvideo.invalid:"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_a_connect_error_without_its_password() {
    let peer = Peer::listen(Wire::Tls).await;
    let proxy =
        Proxy::listen("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    let transport = peer
        .config()
        .proxy(proxy.settings())
        .build()
        .expect("builds")
        .media_transport();
    let mut request = peer.request();
    request.endpoint = hidden(&peer.endpoint());

    let target = peer.endpoint();
    let (opened, _) = tokio::join!(transport.open(request), proxy.serve(&target));

    let error = opened.expect_err("is refused");
    assert_eq!(error.kind(), ClientErrorKind::Connect);
    assert!(
        error.to_string().contains("407") && !error.to_string().contains("p@ss"),
        "{error}"
    );
}
