//! TCP, and TLS over it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::{Host, Url};

use super::{Dial, Duplex};
use crate::{ClientError, ClientErrorKind, LocalFuture, ProxySettings, tls::handshake_error};

/// How to reach hosts: shared by the media connections and the JSON calls.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) connect_timeout: Duration,
    pub(crate) proxy: ProxySettings,
}

/// Dials over TCP without delay (Nagle's algorithm would hold small frames back), with TLS for `https`.
#[derive(Clone)]
pub(crate) struct TcpDial {
    route: Route,
    tls: Arc<ClientConfig>,
}

impl TcpDial {
    pub(crate) fn new(route: Route, tls: Arc<ClientConfig>) -> Self {
        Self { route, tls }
    }

    async fn duplex(&self, endpoint: &Url) -> Result<Duplex, ClientError> {
        let deadline = Instant::now() + self.route.connect_timeout;
        let host = host_of(endpoint)?;
        let port = endpoint.port_or_known_default().unwrap_or(443);
        let stream = self
            .route
            .connect(endpoint.scheme(), &host, port, deadline)
            .await?;
        if endpoint.scheme() != "https" {
            let (read, write) = stream.into_split();
            return Ok(Duplex {
                read: Box::new(read),
                write: Box::new(write),
            });
        }
        let stream = connect_tls(Arc::clone(&self.tls), &host, stream, deadline).await?;
        let (read, write) = tokio::io::split(stream);
        Ok(Duplex {
            read: Box::new(read),
            write: Box::new(write),
        })
    }
}

impl Dial for TcpDial {
    fn dial<'a>(&'a self, endpoint: &'a Url) -> LocalFuture<'a, Result<Duplex, ClientError>> {
        Box::pin(async move {
            self.duplex(endpoint)
                .await
                .map_err(|error| error.with_endpoint(endpoint.origin().ascii_serialization()))
        })
    }
}

impl Route {
    /// Connects to a host, through the proxy if there is one for it.
    pub(crate) async fn connect(
        &self,
        scheme: &str,
        host: &Host<String>,
        port: u16,
        deadline: Instant,
    ) -> Result<TcpStream, ClientError> {
        let Some(proxy) = self.proxy.for_host(host, scheme) else {
            return connect_directly(host, port, deadline).await;
        };
        let mut stream = connect_directly(proxy.host(), proxy.port(), deadline).await?;
        proxy.tunnel(&mut stream, host, port, deadline).await?;
        Ok(stream)
    }
}

/// Shakes hands over a connection that stands.
pub(crate) async fn connect_tls(
    tls: Arc<ClientConfig>,
    host: &Host<String>,
    stream: TcpStream,
    deadline: Instant,
) -> Result<TlsStream<TcpStream>, ClientError> {
    let connecting = TlsConnector::from(tls).connect(server_name(host)?, stream);
    timeout_at(deadline, connecting)
        .await
        .map_err(|_| ClientError::new(ClientErrorKind::Timeout, "tls handshake"))?
        .map_err(handshake_error)
}

/// Connects to a host. The name is looked up off this thread; its addresses are tried in order and share the
/// time.
async fn connect_directly(
    host: &Host<String>,
    port: u16,
    deadline: Instant,
) -> Result<TcpStream, ClientError> {
    let addresses = resolve(host, port, deadline).await?;
    let mut last = None;
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(ClientError::from_io)?;
                return Ok(stream);
            }
            Ok(Err(error)) => {
                last = Some(
                    ClientError::new(ClientErrorKind::Connect, format!("{address}: {error}"))
                        .with_source(error),
                );
            }
            Err(_) => {
                let text = format!("connecting to {address}");
                last = Some(ClientError::new(ClientErrorKind::Timeout, text));
            }
        }
    }
    Err(last.unwrap_or_else(|| ClientError::new(ClientErrorKind::Connect, format!("{host} has no address"))))
}

async fn resolve(host: &Host<String>, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, ClientError> {
    let name = match host {
        Host::Ipv4(address) => return Ok(vec![SocketAddr::from((*address, port))]),
        Host::Ipv6(address) => return Ok(vec![SocketAddr::from((*address, port))]),
        Host::Domain(name) => name,
    };
    let addresses = timeout_at(deadline, lookup_host((name.as_str(), port)))
        .await
        .map_err(|_| ClientError::new(ClientErrorKind::Timeout, format!("looking up {name}")))?
        .map_err(|source| {
            ClientError::new(ClientErrorKind::Connect, format!("looking up {name}: {source}"))
                .with_source(source)
        })?;
    Ok(addresses.collect())
}

/// The host of an http or https URL.
pub(crate) fn host_of(endpoint: &Url) -> Result<Host<String>, ClientError> {
    let has_http = matches!(endpoint.scheme(), "http" | "https");
    endpoint
        .host()
        .filter(|_| has_http)
        .map(|host| host.to_owned())
        .ok_or_else(|| {
            ClientError::new(
                ClientErrorKind::Configuration,
                format!("endpoint {endpoint} is not an http or https url"),
            )
        })
}

fn server_name(host: &Host<String>) -> Result<ServerName<'static>, ClientError> {
    Ok(match host {
        Host::Ipv4(address) => ServerName::IpAddress(std::net::IpAddr::from(*address).into()),
        Host::Ipv6(address) => ServerName::IpAddress(std::net::IpAddr::from(*address).into()),
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|source| {
            ClientError::new(ClientErrorKind::Tls, format!("host name {name}")).with_source(source)
        })?,
    })
}
