//! Credentials for things: an AWS IoT role alias, proven with a client certificate.
//!
//! Source: AWS IoT Core developer guide, "Authorizing direct calls to AWS services using AWS IoT Core
//! credential provider".

use std::{fs, io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use bytes::BytesMut;
use http::HeaderValue;
use kvs_auth::{Credentials, CredentialsError, ProvideCredentials, Secret, future};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};
use url::Url;

use crate::{
    ClientError, ClientErrorKind, ProxySettings, TlsOptions,
    dial::{Route, connect_tls, host_of},
    http1::{BodyDecoder, Decoded, HeadParser, ResponseHead},
    service_error::service_error,
};

/// As in the C producer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For everything, connecting included; as in the C producer.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest answer taken; real ones have about 1 kB.
const MAX_ANSWER: u64 = 64 * 1024;

/// The limit of the service for a thing's name and a role alias, in characters.
const MAX_NAME: usize = 128;

/// Gets temporary credentials for an IoT thing through a role alias, over mutual TLS.
///
/// Every request asks the service; put it into a [`ClientConfig`](crate::ClientConfig), which caches. It
/// takes 5 seconds at most. The thing's name is a setting of its own and has nothing to do with any stream's
/// name.
///
/// ```no_run
/// use kvs_client::{ClientConfig, IotCredentials};
///
/// let credentials = IotCredentials::builder("https://c1a2b3.credentials.iot.us-west-2.amazonaws.com".parse()?)
///     .role_alias("camera-role")
///     .thing_name("camera-7")
///     .certificate_file("/etc/camera/certificate.pem")
///     .private_key_file("/etc/camera/private.pem")
///     .build()?;
/// let client = ClientConfig::new("us-west-2", credentials).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// *Provider error*, with a [`ClientError`] that names the endpoint as its source.
#[derive(Clone)]
pub struct IotCredentials {
    endpoint: Url,
    target: String,
    thing_name: HeaderValue,
    tls: Arc<rustls::ClientConfig>,
    route: Route,
}

/// Settings of [`IotCredentials`].
#[derive(Debug, Clone)]
pub struct IotCredentialsBuilder {
    endpoint: Url,
    role_alias: String,
    thing_name: String,
    certificate_file: PathBuf,
    private_key_file: PathBuf,
    tls: TlsOptions,
    proxy: Option<ProxySettings>,
}

impl IotCredentialsBuilder {
    /// The role alias to take on; required.
    #[must_use]
    pub fn role_alias(mut self, role_alias: impl Into<String>) -> Self {
        self.role_alias = role_alias.into();
        self
    }

    /// The name of the thing; required.
    #[must_use]
    pub fn thing_name(mut self, thing_name: impl Into<String>) -> Self {
        self.thing_name = thing_name.into();
        self
    }

    /// The thing's certificate, and the chain above it if there is one, as PEM; required.
    #[must_use]
    pub fn certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.certificate_file = path.into();
        self
    }

    /// The certificate's private key as PEM; required.
    #[must_use]
    pub fn private_key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.private_key_file = path.into();
        self
    }

    /// Whom to trust; the bundled roots unless set.
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = tls;
        self
    }

    /// Chooses the proxy; the usual environment variables do unless set.
    #[must_use]
    pub fn proxy(mut self, proxy: ProxySettings) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Builds the provider. Reads the files.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ClientErrorKind::Configuration), with the setting or file that is wrong.
    pub fn build(self) -> Result<IotCredentials, ClientError> {
        let alias = check_name("role alias", &self.role_alias)?;
        let thing_name = HeaderValue::from_str(check_name("thing name", &self.thing_name)?)
            .map_err(|source| wrong("thing name is not visible ascii").with_source(source))?;
        if self.endpoint.scheme() != "https" {
            return Err(wrong(format!(
                "iot endpoint {} is not an https url",
                self.endpoint
            )));
        }
        let proxy = match self.proxy {
            Some(proxy) => proxy,
            None => ProxySettings::from_environment()?,
        };
        let mut target = self.endpoint.clone();
        target.set_path("");
        if let Ok(mut segments) = target.path_segments_mut() {
            segments.extend(["role-aliases", alias, "credentials"]);
        }
        let identity = (
            certificates(&self.certificate_file)?,
            private_key(&self.private_key_file)?,
        );
        Ok(IotCredentials {
            target: target.path().to_owned(),
            endpoint: self.endpoint,
            thing_name,
            tls: self.tls.client_config_with_identity(identity)?,
            route: Route {
                connect_timeout: CONNECT_TIMEOUT,
                proxy,
            },
        })
    }
}

fn wrong(text: impl Into<String>) -> ClientError {
    ClientError::new(ClientErrorKind::Configuration, text)
}

fn check_name<'a>(what: &str, name: &'a str) -> Result<&'a str, ClientError> {
    match name.chars().count() {
        1..=MAX_NAME => Ok(name),
        length => Err(wrong(format!(
            "{what} has {length} characters, allowed are 1 to {MAX_NAME}"
        ))),
    }
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, ClientError> {
    fs::read(path).map_err(|source| wrong(format!("{what} {}: {source}", path.display())).with_source(source))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let pem = read("certificate file", path)?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let named = |reason: String| wrong(format!("certificate file {}: {reason}", path.display()));
    match parsed {
        Ok(chain) if chain.is_empty() => Err(named("holds no certificate".into())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(named(error.to_string())),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ClientError> {
    let pem = zeroize::Zeroizing::new(read("private key file", path)?);
    // The error's text may quote the file.
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        wrong(format!(
            "private key file {}: holds no private key in pem form",
            path.display()
        ))
    })
}

/// The answer of the credential provider.
#[derive(Deserialize)]
struct Answer {
    credentials: Granted,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Secret,
    expiration: String,
}

impl IotCredentials {
    /// A provider for an endpoint `https://<id>.credentials.iot.<region>.amazonaws.com`, which IoT's
    /// DescribeEndpoint gives for the type `iot:CredentialProvider`.
    pub fn builder(endpoint: Url) -> IotCredentialsBuilder {
        IotCredentialsBuilder {
            endpoint,
            role_alias: String::new(),
            thing_name: String::new(),
            certificate_file: PathBuf::new(),
            private_key_file: PathBuf::new(),
            tls: TlsOptions::default(),
            proxy: None,
        }
    }

    async fn load(&self) -> Result<Credentials, ClientError> {
        let (head, body) = timeout(TOTAL_TIMEOUT, self.ask()).await.unwrap_or_else(|_| {
            Err(ClientError::new(
                ClientErrorKind::Timeout,
                "the iot credential provider",
            ))
        })?;
        if !head.is_success() {
            return Err(service_error(head.status, |name| head.header(name), &body));
        }
        let protocol = |text: &str| ClientError::new(ClientErrorKind::Protocol, text);
        // What can't be parsed may hold secrets, so the parser's text isn't kept.
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| protocol("the iot credential provider's answer can't be read"))?;
        let granted = answer.credentials;
        let expiry = kvs_auth::parse_expiry(&granted.expiration).map_err(|source| {
            ClientError::new(ClientErrorKind::Protocol, "iot credentials").with_source(source)
        })?;
        Ok(Credentials::new(
            granted.access_key_id,
            granted.secret_access_key.expose(),
            Some(granted.session_token.expose().to_owned()),
            Some(expiry),
            "iot",
        ))
    }

    async fn ask(&self) -> Result<(ResponseHead, Vec<u8>), ClientError> {
        let host = host_of(&self.endpoint)?;
        let port = self.endpoint.port_or_known_default().unwrap_or(443);
        let deadline = Instant::now() + self.route.connect_timeout;
        let stream = self.route.connect("https", &host, port, deadline).await?;
        let mut stream = connect_tls(Arc::clone(&self.tls), &host, stream, deadline).await?;

        let authority = self
            .endpoint
            .port()
            .map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let mut request = format!("GET {} HTTP/1.1\r\nhost: {authority}\r\n", self.target).into_bytes();
        request.extend_from_slice(b"connection: close\r\nx-amzn-iot-thingname: ");
        request.extend_from_slice(self.thing_name.as_bytes());
        request.extend_from_slice(b"\r\n\r\n");
        stream.write_all(&request).await.map_err(ClientError::from_io)?;
        stream.flush().await.map_err(ClientError::from_io)?;
        read_answer(stream).await
    }
}

/// Reads a response that ends with the connection, or before.
async fn read_answer(stream: impl AsyncRead + Unpin) -> Result<(ResponseHead, Vec<u8>), ClientError> {
    let mut stream = stream.take(MAX_ANSWER);
    let mut buffer = BytesMut::new();
    let mut parser = HeadParser::default();
    let mut head: Option<(ResponseHead, BodyDecoder)> = None;
    let mut body = Vec::new();
    loop {
        if head.is_none()
            && let Some(parsed) = parser.parse(&mut buffer)?
        {
            let decoder = BodyDecoder::of_response(parsed.status, &parsed.headers)?;
            head = Some((parsed, decoder));
        }
        if let Some((_, decoder)) = &mut head {
            loop {
                match decoder.decode(&mut buffer)? {
                    Decoded::Data(data) => body.extend_from_slice(&data),
                    Decoded::NeedMore => break,
                    Decoded::End => return head.map(|(head, _)| (head, body)).ok_or_else(unexpected_end),
                }
            }
        }
        if stream.read_buf(&mut buffer).await.map_err(ClientError::from_io)? == 0 {
            let complete = head.filter(|(_, decoder)| decoder.may_end());
            return complete.map(|(head, _)| (head, body)).ok_or_else(unexpected_end);
        }
    }
}

fn unexpected_end() -> ClientError {
    ClientError::from_io(io::ErrorKind::UnexpectedEof.into())
}

impl ProvideCredentials for IotCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.load().await.map_err(|error| {
                CredentialsError::provider_error(
                    error.with_endpoint(self.endpoint.origin().ascii_serialization()),
                )
            })
        })
    }
}

impl std::fmt::Debug for IotCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IotCredentials")
            .field("endpoint", &self.endpoint.as_str())
            .field("target", &self.target)
            .field("thing_name", &self.thing_name)
            .finish_non_exhaustive()
    }
}
