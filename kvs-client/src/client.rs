//! What all connections of a producer share.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{HOST, USER_AGENT},
};
use kvs_auth::{
    CachingCredentials, Credentials, PayloadHash, SharedCredentialsProvider, SignRequest, Signer,
};
use url::Url;

use crate::{
    ClientConfig, ClientError, ClientErrorKind, Clock, HttpControlPlane, HttpMediaTransport, ProxySettings,
    control_endpoint,
    dial::{Route, TcpDial},
};

/// A signer, the cached credentials, the clock and the TLS configuration: shared by every connection.
///
/// Cheap to clone and safe to send to other threads. What talks to the network belongs to one thread, and is
/// made there: [`control_plane`](Self::control_plane), [`media_transport`](Self::media_transport).
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    endpoint: Url,
    signer: Signer,
    credentials: CachingCredentials<SharedCredentialsProvider>,
    clock: Clock,
    tls: Arc<rustls::ClientConfig>,
    route: Route,
    call_timeout: Duration,
    user_agent: HeaderValue,
}

/// A request with its signature, and the keys that made it.
pub(crate) struct Signed {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) credentials: Credentials,
}

impl Client {
    /// Builds the client. Reads the CA files.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ClientErrorKind::Configuration), with the setting or file that is wrong.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let endpoint = match config.endpoint {
            Some(endpoint) => endpoint,
            None => control_endpoint(&config.region, config.endpoint_variant)?,
        };
        check_endpoint(&endpoint)?;
        let proxy = match config.proxy {
            Some(proxy) => proxy,
            None => ProxySettings::from_environment()?,
        };
        let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|source| {
            let text = format!("user agent {:?} is not visible ascii", config.user_agent);
            ClientError::new(ClientErrorKind::Configuration, text).with_source(source)
        })?;
        Ok(Self(Arc::new(Shared {
            endpoint,
            signer: Signer::new(config.region),
            credentials: CachingCredentials::new(config.credentials),
            clock: config.clock,
            tls: config.tls.client_config()?,
            route: Route {
                connect_timeout: config.connect_timeout,
                proxy,
            },
            call_timeout: config.call_timeout,
            user_agent,
        })))
    }

    /// A control plane for this thread.
    pub fn control_plane(&self) -> HttpControlPlane {
        HttpControlPlane::new(self)
    }

    /// A media transport for this thread.
    pub fn media_transport(&self) -> HttpMediaTransport {
        HttpMediaTransport::new(self)
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        self.0.signer.region()
    }

    /// The URL of the control plane.
    pub fn control_endpoint(&self) -> &Url {
        &self.0.endpoint
    }

    /// The clock that requests are signed with, and its correction.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The credentials, shared by all connections.
    pub fn credentials(&self) -> &CachingCredentials<SharedCredentialsProvider> {
        &self.0.credentials
    }

    pub(crate) fn call_timeout(&self) -> Duration {
        self.0.call_timeout
    }

    pub(crate) fn tls(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.0.tls)
    }

    pub(crate) fn route(&self) -> &Route {
        &self.0.route
    }

    pub(crate) fn dialer(&self) -> TcpDial {
        TcpDial::new(self.0.route.clone(), self.tls())
    }

    /// Signs a POST to `path` below `endpoint` with the credentials and the time of now.
    pub(crate) async fn sign_post(
        &self,
        endpoint: &Url,
        path: &str,
        mut headers: HeaderMap,
        payload: PayloadHash<'_>,
    ) -> Result<Signed, ClientError> {
        let shared = &*self.0;
        let now = shared.clock.now();
        let credentials = shared.credentials.get(now).await.map_err(credentials_error)?;
        let uri = join(endpoint, path)?;
        headers.insert(USER_AGENT, shared.user_agent.clone());
        let method = Method::POST;
        let request = SignRequest {
            method: &method,
            uri: &uri,
            headers: &headers,
            payload,
        };
        let added = shared
            .signer
            .sign(&request, &credentials, now)
            .map_err(|source| {
                ClientError::new(ClientErrorKind::Credentials, "signing the request").with_source(source)
            })?;
        // Host goes first, as RFC 9110 §7.2 recommends.
        let mut all = HeaderMap::with_capacity(headers.len() + added.len());
        let (host, added): (Vec<_>, Vec<_>) = added.into_iter().partition(|(name, _)| name == HOST);
        all.extend(host);
        all.extend(headers);
        all.extend(added);
        Ok(Signed {
            method,
            uri,
            headers: all,
            credentials,
        })
    }

    /// Draws the consequences of a refusal: corrects the clock if the answer shows that it is off, else has
    /// the credentials asked for again before the next request. True if the clock was corrected, so that
    /// trying again makes sense.
    pub(crate) fn refused(&self, error: &ClientError, date: Option<&str>, used: &Credentials) -> bool {
        if !error.is_auth() {
            return false;
        }
        let service_time: Option<SystemTime> = date.and_then(|date| httpdate::parse_http_date(date).ok());
        if service_time.is_some_and(|time| self.0.clock.learn(time)) {
            return true;
        }
        self.0.credentials.reject(used);
        false
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("region", &self.region())
            .field("endpoint", &self.0.endpoint.as_str())
            .field("clock", &self.0.clock)
            .finish_non_exhaustive()
    }
}

fn check_endpoint(endpoint: &Url) -> Result<(), ClientError> {
    if matches!(endpoint.scheme(), "http" | "https") && endpoint.has_host() {
        return Ok(());
    }
    Err(ClientError::new(
        ClientErrorKind::Configuration,
        format!("endpoint {endpoint} is not an http or https url"),
    ))
}

/// `path` below the endpoint, keeping a path the endpoint may have.
fn join(endpoint: &Url, path: &str) -> Result<Uri, ClientError> {
    let mut url = endpoint.clone();
    url.set_path(&format!("{}{path}", endpoint.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    let no_user = url.set_username("").and_then(|()| url.set_password(None));
    let uri = no_user.ok().and_then(|()| url.as_str().parse().ok());
    uri.ok_or_else(|| {
        ClientError::new(
            ClientErrorKind::Configuration,
            format!("endpoint {endpoint} can't be used"),
        )
    })
}

/// The text of what went wrong at the provider: of our own error if it is one, which names the endpoint, else
/// the innermost.
fn credentials_error(error: kvs_auth::CredentialsError) -> ClientError {
    let mut telling: &dyn std::error::Error = &error;
    while let Some(source) = telling.source() {
        if telling.is::<ClientError>() {
            break;
        }
        telling = source;
    }
    let text = telling.to_string();
    ClientError::new(ClientErrorKind::Credentials, text).with_source(error)
}
