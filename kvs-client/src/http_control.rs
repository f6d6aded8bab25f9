//! The control plane over HTTP: JSON calls through `awc`.

use std::{collections::BTreeMap, io, rc::Rc, time::Duration};

use actix_service::Service;
use actix_tls::connect::{ConnectError as TcpConnectError, ConnectInfo, Connection};
use awc::{
    Connector,
    error::{ConnectError, PayloadError, SendRequestError},
    http::Uri,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use kvs_auth::PayloadHash;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use url::{Host, Url};

use crate::{
    ApiName, Client, ClientError, ClientErrorKind, ControlPlane, CreateStream, LocalFuture, StreamInfo,
    api::{self, Operation},
    dial::Route,
    service_error::service_error,
    tls::handshake_error,
};

/// The largest answer taken: a full page of ListStreams (10,000 streams) stays below it.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How long an idle connection is kept. Below the 5 seconds of common servers, so that a call rarely meets a
/// connection that the peer is just closing.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// The control plane of a region over HTTP.
///
/// Belongs to one thread, which must run an actix or tokio `LocalSet`. Clones share connections. A call is
/// tried once more if the service's answer shows that the clock is off (see [`Clock`](crate::Clock)); all
/// other retries are the caller's.
#[derive(Clone)]
pub struct HttpControlPlane {
    client: Client,
    http: Rc<awc::Client>,
}

impl HttpControlPlane {
    /// A control plane for this thread.
    pub fn new(client: &Client) -> Self {
        let connector = Connector::new()
            .connector(TcpConnector(client.route().clone()))
            .rustls_0_23(client.tls())
            .timeout(client.route().connect_timeout)
            .handshake_timeout(client.route().connect_timeout)
            .conn_keep_alive(KEEP_ALIVE)
            // Calls are few and short; a limit would only make them wait for each other.
            .limit(0);
        let http = awc::Client::builder()
            .connector(connector)
            .no_default_headers()
            .disable_redirects()
            .timeout(client.call_timeout())
            .finish();
        Self {
            client: client.clone(),
            http: Rc::new(http),
        }
    }

    /// Performs any operation of the API.
    ///
    /// # Errors
    ///
    /// The service's error, or what kept the call from being answered.
    pub async fn call<O: Operation>(&self, operation: &O) -> Result<O::Output, ClientError> {
        self.call_at(self.client.control_endpoint(), operation).await
    }

    /// Performs an operation at a data endpoint, as those of archived media need it.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn call_at<O: Operation>(
        &self,
        endpoint: &Url,
        operation: &O,
    ) -> Result<O::Output, ClientError> {
        let body = serde_json::to_vec(operation).map_err(|source| {
            ClientError::new(ClientErrorKind::InvalidArgument, O::PATH).with_source(source)
        })?;
        let answer = self
            .send(endpoint, O::PATH, body.into())
            .await
            .map_err(|error| error.with_endpoint(endpoint.origin().ascii_serialization()))?;
        // Operations without a result answer with an empty object or nothing at all.
        let json: &[u8] = if answer.is_empty() { b"{}" } else { &answer };
        serde_json::from_slice(json).map_err(|source| {
            let text = format!("the answer to {} can't be read", O::PATH);
            ClientError::new(ClientErrorKind::Protocol, text).with_source(source)
        })
    }

    async fn send(&self, endpoint: &Url, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let limit = self.client.call_timeout();
        let timed_out = || {
            ClientError::new(
                ClientErrorKind::Timeout,
                format!("{path} took longer than {limit:?}"),
            )
        };
        let mut clock_corrected = false;
        loop {
            let sent = timeout(limit, self.send_once(endpoint, path, body.clone()));
            match sent.await.map_err(|_| timed_out())? {
                Ok(answer) => return Ok(answer),
                Err(Refused::ByClock(_)) if !clock_corrected => clock_corrected = true,
                Err(Refused::ByClock(error) | Refused::Otherwise(error)) => return Err(error),
            }
        }
    }

    async fn send_once(&self, endpoint: &Url, path: &str, body: Bytes) -> Result<Bytes, Refused> {
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let signed = self
            .client
            .sign_post(
                endpoint,
                path,
                HeaderMap::from_iter(headers),
                PayloadHash::Body(&body),
            )
            .await?;
        let mut request = self.http.post(signed.uri.to_string()).no_decompress();
        for (name, value) in &signed.headers {
            request = request.insert_header((name.as_str(), value.as_bytes()));
        }
        let mut response = request.send_body(body).await.map_err(send_error)?;
        let answer = response.body().limit(MAX_ANSWER).await;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(answer.map_err(payload_error)?);
        }
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let error = service_error(status, header, &answer.unwrap_or_default());
        match self.client.refused(&error, header("date"), &signed.credentials) {
            true => Err(Refused::ByClock(error)),
            false => Err(Refused::Otherwise(error)),
        }
    }
}

/// Why a call failed, as far as trying again is concerned.
enum Refused {
    /// The clock was off, and is now corrected.
    ByClock(ClientError),
    Otherwise(ClientError),
}

impl From<ClientError> for Refused {
    fn from(error: ClientError) -> Self {
        Self::Otherwise(error)
    }
}

impl ControlPlane for HttpControlPlane {
    fn describe_stream<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<StreamInfo, ClientError>> {
        Box::pin(async move {
            let answer = self.call(&api::DescribeStream::by_name(name)).await?;
            Ok(answer.stream_info.into())
        })
    }

    fn create_stream(&self, stream: CreateStream) -> LocalFuture<'_, Result<String, ClientError>> {
        Box::pin(async move { Ok(self.call(&stream).await?.stream_arn) })
    }

    fn get_data_endpoint<'a>(
        &'a self,
        name: &'a str,
        api: ApiName,
    ) -> LocalFuture<'a, Result<Url, ClientError>> {
        Box::pin(async move {
            let answer = self.call(&api::GetDataEndpoint::by_name(name, api)).await?;
            Url::parse(&answer.data_endpoint).map_err(|source| {
                let text = format!("data endpoint {:?} is not a url", answer.data_endpoint);
                ClientError::new(ClientErrorKind::Protocol, text).with_source(source)
            })
        })
    }

    fn tag_stream<'a>(
        &'a self,
        arn: &'a str,
        tags: &'a BTreeMap<String, String>,
    ) -> LocalFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            self.call(&api::TagStream::by_arn(arn, tags.clone())).await?;
            Ok(())
        })
    }
}

impl std::fmt::Debug for HttpControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpControlPlane")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Connects for `awc` the way media connections are made; `awc` adds TLS.
#[derive(Clone)]
struct TcpConnector(Route);

impl Service<ConnectInfo<Uri>> for TcpConnector {
    type Response = Connection<Uri, TcpStream>;
    type Error = TcpConnectError;
    type Future = LocalFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let route = self.0.clone();
        Box::pin(async move {
            let uri = info.request().clone();
            let scheme = uri.scheme_str().unwrap_or("https");
            let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
            let host = Host::parse(uri.host().unwrap_or_default())
                .map_err(|error| TcpConnectError::Io(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
            let deadline = Instant::now() + route.connect_timeout;
            let stream = route
                .connect(scheme, &host, port, deadline)
                .await
                .map_err(|error| TcpConnectError::Io(io::Error::other(error)))?;
            Ok(Connection::new(uri, stream))
        })
    }
}

/// What `awc` reports when no answer came. Its errors can't be sent to other threads, so only their text is
/// kept.
fn send_error(error: SendRequestError) -> ClientError {
    let text = error.to_string();
    let of_kind = |kind| ClientError::new(kind, text.clone());
    match error {
        SendRequestError::Url(_) => of_kind(ClientErrorKind::Configuration),
        SendRequestError::Connect(ConnectError::Timeout) => {
            ClientError::new(ClientErrorKind::Timeout, "connecting")
        }
        SendRequestError::Connect(ConnectError::Io(error)) => connect_error(error),
        SendRequestError::Connect(ConnectError::Disconnected) => of_kind(ClientErrorKind::ConnectionLost),
        SendRequestError::Connect(_) => of_kind(ClientErrorKind::Connect),
        SendRequestError::Timeout => ClientError::new(ClientErrorKind::Timeout, "no answer in time"),
        SendRequestError::Send(error) => ClientError::from_io(error),
        SendRequestError::Response(error) => match io_kind(&error) {
            Some(kind) => ClientError::from_io(io::Error::new(kind, text)),
            None => of_kind(ClientErrorKind::Protocol),
        },
        SendRequestError::H2(_) => of_kind(ClientErrorKind::Protocol),
        _ => of_kind(ClientErrorKind::Other),
    }
}

/// The kind of the socket error inside an error of parsing the answer, if that is what it is.
fn io_kind(error: &dyn std::error::Error) -> Option<io::ErrorKind> {
    error.source()?.downcast_ref::<io::Error>().map(io::Error::kind)
}

/// Our own connector's error, as it was; else one of the TLS handshake, or of the socket.
fn connect_error(error: io::Error) -> ClientError {
    error.downcast::<ClientError>().unwrap_or_else(handshake_error)
}

fn payload_error(error: PayloadError) -> ClientError {
    match error {
        PayloadError::Io(error) => ClientError::from_io(error),
        PayloadError::Incomplete(_) => ClientError::from_io(io::ErrorKind::UnexpectedEof.into()),
        other => ClientError::new(ClientErrorKind::Protocol, other.to_string()),
    }
}
