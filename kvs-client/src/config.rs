//! Settings of a client.

use std::{fmt, time::Duration};

use kvs_auth::{ProvideCredentials, SharedCredentialsProvider};
use url::Url;

use crate::{Client, ClientError, Clock, EndpointVariant, ProxySettings, TlsOptions};

/// Everything a [`Client`] is built from.
///
/// ```
/// use kvs_auth::EnvironmentCredentials;
/// use kvs_client::ClientConfig;
///
/// let client = ClientConfig::new("us-west-2", EnvironmentCredentials::new()).build()?;
/// assert_eq!(client.control_endpoint().as_str(), "https://kinesisvideo.us-west-2.amazonaws.com/");
/// # Ok::<(), kvs_client::ClientError>(())
/// ```
#[derive(Clone)]
pub struct ClientConfig {
    pub(crate) region: String,
    pub(crate) credentials: SharedCredentialsProvider,
    pub(crate) endpoint: Option<Url>,
    pub(crate) endpoint_variant: EndpointVariant,
    pub(crate) tls: TlsOptions,
    /// `None` asks the environment.
    pub(crate) proxy: Option<ProxySettings>,
    pub(crate) connect_timeout: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) user_agent: String,
    pub(crate) clock: Clock,
}

impl ClientConfig {
    /// The time a connection may take, name lookup and TLS included, unless set. As in the C producer.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    /// The time a call may take as a whole, unless set; media sessions have no such limit. As in the C
    /// producer.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

    /// Settings for a region such as `us-west-2`. The credentials are cached and refreshed ahead of expiry.
    pub fn new(region: impl Into<String>, credentials: impl ProvideCredentials + 'static) -> Self {
        Self {
            region: region.into(),
            credentials: SharedCredentialsProvider::new(credentials),
            endpoint: None,
            endpoint_variant: EndpointVariant::Standard,
            tls: TlsOptions::default(),
            proxy: None,
            connect_timeout: Self::CONNECT_TIMEOUT,
            call_timeout: Self::CALL_TIMEOUT,
            user_agent: concat!("kvs-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            clock: Clock::system(),
        }
    }

    /// Talks to this control plane instead of the region's: a VPC endpoint, a proxy, a mock. `http` or
    /// `https`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Url) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Chooses among the region's hosts.
    #[must_use]
    pub fn endpoint_variant(mut self, variant: EndpointVariant) -> Self {
        self.endpoint_variant = variant;
        self
    }

    /// Chooses whom to trust.
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = tls;
        self
    }

    /// Chooses the proxy. Unless set, the usual environment variables do
    /// ([`ProxySettings::from_environment`]).
    #[must_use]
    pub fn proxy(mut self, proxy: ProxySettings) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// The time a connection may take: 5 seconds unless set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The time a call may take as a whole: 10 seconds unless set.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// How the client names itself.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// The clock to sign with.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the client. Reads the CA files.
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::ClientErrorKind::Configuration), with the setting or file that is wrong.
    pub fn build(self) -> Result<Client, ClientError> {
        Client::new(self)
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("region", &self.region)
            .field("endpoint", &self.endpoint.as_ref().map(Url::as_str))
            .field("endpoint_variant", &self.endpoint_variant)
            .field("tls", &self.tls)
            .field("proxy", &self.proxy)
            .field("connect_timeout", &self.connect_timeout)
            .field("call_timeout", &self.call_timeout)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}
