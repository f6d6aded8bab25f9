//! [`Producer`]: builds and starts a producer.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use actix::Actor;
use kvs_auth::{ProvideCredentials, SharedCredentialsProvider};
use kvs_client::{Client, ClientConfig, TlsOptions, Url};
use kvs_storage::spool::{SpoolOptions, StreamIdentity};

use super::actor::{ProducerActor, ProducerSetup};
use super::handle::ProducerHandle;
use crate::clock::{Clock, SystemClock};
use crate::config::ProducerConfig;
use crate::error::{StreamError, StreamErrorKind};
use crate::events::{LogEvents, ProducerEvents};
use crate::services::{Services, ServicesFactory};
use crate::stores::{ContentStores, MemoryStores, SpoolStores};

/// The entry to everything: [`Producer::builder`].
#[derive(Debug, Clone, Copy)]
pub struct Producer;

impl Producer {
    /// A producer with the default settings.
    #[must_use]
    pub fn builder() -> ProducerBuilder {
        ProducerBuilder::default()
    }
}

/// What reaches the service.
enum Reach {
    /// The service's HTTP API, as the settings say.
    Http {
        tls: TlsOptions,
        credentials: Option<SharedCredentialsProvider>,
    },
    /// A client that was built already.
    Client(Client),
    /// Seams of the caller's own.
    Services(ServicesFactory),
}

/// Settings of a producer before it starts.
pub struct ProducerBuilder {
    config: ProducerConfig,
    reach: Reach,
    /// Where media lives, if not where the settings say.
    stores: Option<Arc<dyn ContentStores>>,
    clock: Arc<dyn Clock>,
    events: Arc<dyn ProducerEvents>,
}

impl Default for ProducerBuilder {
    fn default() -> Self {
        ProducerBuilder {
            config: ProducerConfig::default(),
            reach: Reach::Http {
                tls: TlsOptions::default(),
                credentials: None,
            },
            stores: None,
            clock: Arc::new(SystemClock),
            events: Arc::new(LogEvents),
        }
    }
}

impl std::fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl ProducerBuilder {
    /// The region, such as `us-west-2`, which is the default.
    #[must_use]
    pub fn region(mut self, to: impl Into<String>) -> Self {
        self.config.region = to.into();
        self
    }

    /// The control plane to talk to instead of the region's: `http://…` or `https://…`.
    #[must_use]
    pub fn endpoint(mut self, to: impl Into<String>) -> Self {
        self.config.endpoint = Some(to.into());
        self
    }

    /// Where credentials come from. They are cached and refreshed ahead of their expiry.
    #[must_use]
    pub fn credentials(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        if let Reach::Http { credentials, .. } = &mut self.reach {
            *credentials = Some(SharedCredentialsProvider::new(provider));
        }
        self
    }

    /// Whom to trust.
    #[must_use]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        if let Reach::Http { tls, .. } = &mut self.reach {
            *tls = options;
        }
        self
    }

    /// A client that was built already, in place of region, endpoint, credentials and TLS options.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.reach = Reach::Client(client);
        self
    }

    /// Seams of one's own, in place of the HTTP client: made once on each of the producer's threads.
    #[must_use]
    pub fn services(
        mut self,
        factory: impl Fn() -> Result<Services, StreamError> + Send + Sync + 'static,
    ) -> Self {
        self.reach = Reach::Services(Arc::new(factory));
        self
    }

    /// The byte budget over all streams. Default 128 MiB; at least 1 MiB.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: u64) -> Self {
        self.config.buffer_bytes = bytes;
        self
    }

    /// Threads that streams are spread over. Default 1.
    #[must_use]
    pub fn arbiters(mut self, arbiters: usize) -> Self {
        self.config.arbiters = arbiters;
        self
    }

    /// All settings at once, region and endpoint included.
    #[must_use]
    pub fn config(mut self, config: ProducerConfig) -> Self {
        self.config = config;
        self
    }

    /// A directory in which the media of all streams survives the process and the power: what is not delivered when the
    /// producer ends is delivered first when a producer with the same directory opens the stream again.
    #[must_use]
    pub fn spool(mut self, dir: impl Into<PathBuf>, options: SpoolOptions) -> Self {
        self.config.spool_directory = Some(dir.into());
        self.config.spool = options;
        self
    }

    /// Content stores of one's own, in place of memory or a spool.
    #[must_use]
    pub fn stores(mut self, stores: impl ContentStores) -> Self {
        self.stores = Some(Arc::new(stores));
        self
    }

    /// The time. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The producer's callbacks. Default: they log.
    #[must_use]
    pub fn events(mut self, events: impl ProducerEvents) -> Self {
        self.events = Arc::new(events);
        self
    }

    /// Everything [`ProducerActor`] needs, for starting it by hand.
    ///
    /// # Errors
    /// [`StreamErrorKind::InvalidConfig`] naming the setting that is wrong or missing.
    pub fn setup(self) -> Result<ProducerSetup, StreamError> {
        self.config.validate()?;
        let mut identity = StreamIdentity::new();
        let services = match self.reach {
            Reach::Services(factory) => factory,
            Reach::Client(client) => {
                identity = identity_of(&client);
                http_services(client)
            }
            Reach::Http { tls, credentials } => {
                let credentials =
                    credentials.ok_or_else(|| invalid("no credentials are set: credentials(…) is needed"))?;
                let client = client_config(&self.config, tls, credentials)?.build();
                let client = client.map_err(|error| invalid(&error.to_string()).with_source(error))?;
                identity = identity_of(&client);
                http_services(client)
            }
        };
        let stores = match (self.stores, &self.config.spool_directory) {
            (Some(stores), _) => stores,
            (None, Some(dir)) => Arc::new(SpoolStores::open(dir, self.config.spool.clone(), identity)?),
            (None, None) => Arc::new(MemoryStores),
        };
        Ok(ProducerSetup {
            config: self.config,
            services,
            stores,
            clock: self.clock,
            events: self.events,
        })
    }

    /// Starts the producer on threads of its own, for use from any runtime, or from none.
    ///
    /// # Errors
    /// [`StreamErrorKind::InvalidConfig`] naming the setting that is wrong or missing.
    pub fn start(self) -> Result<ProducerHandle, StreamError> {
        let actor = ProducerActor::new(self.setup()?)?;
        let (started, address) = std::sync::mpsc::channel();
        let thread = thread::Builder::new()
            .name("kvs-producer".to_owned())
            .spawn(move || {
                let system = actix_rt::System::new();
                system.block_on(async move {
                    let (ended, end) = tokio::sync::oneshot::channel::<()>();
                    let address = actor.until(ended).start();
                    // Whoever started it waits for this.
                    let _ = started.send(address);
                    let _ = end.await;
                });
            })
            .map_err(|error| {
                StreamError::new(
                    StreamErrorKind::Stopped,
                    format!("no thread could be started: {error}"),
                )
            })?;
        let address = address.recv().map_err(|_| {
            StreamError::new(
                StreamErrorKind::Stopped,
                "the producer's thread ended before it began",
            )
        })?;
        Ok(ProducerHandle::new(address, Some(thread)))
    }

    /// Starts the producer on the running actix system's current thread, and on further threads where more arbiters are set.
    ///
    /// # Errors
    /// [`StreamErrorKind::InvalidConfig`] naming the setting that is wrong or missing.
    pub fn start_here(self) -> Result<ProducerHandle, StreamError> {
        let actor = ProducerActor::new(self.setup()?)?;
        Ok(ProducerHandle::new(actor.start(), None))
    }
}

/// To whom the media of a spool belongs.
fn identity_of(client: &Client) -> StreamIdentity {
    StreamIdentity::new().fixed("region", client.region()).fixed(
        "endpoint",
        client.control_endpoint().host_str().unwrap_or_default(),
    )
}

/// What a producer's settings mean for its client.
fn client_config(
    config: &ProducerConfig,
    mut tls: TlsOptions,
    credentials: SharedCredentialsProvider,
) -> Result<ClientConfig, StreamError> {
    if let Some(file) = &config.ca_file {
        tls = tls.extra_ca_file(file);
    }
    let mut client = ClientConfig::new(&config.region, credentials)
        .tls(tls)
        .endpoint_variant(config.endpoint_variant)
        .connect_timeout(config.connect_timeout)
        .call_timeout(config.call_timeout);
    if let Some(endpoint) = &config.endpoint {
        let url = Url::parse(endpoint).map_err(|error| {
            invalid(&format!("setting endpoint is {endpoint:?}: {error}")).with_source(error)
        })?;
        client = client.endpoint(url);
    }
    if let Some(name) = &config.user_agent {
        client = client.user_agent(name);
    }
    Ok(client)
}

fn http_services(client: Client) -> ServicesFactory {
    Arc::new(move || Ok(Services::new(client.control_plane(), client.media_transport())))
}

fn invalid(text: &str) -> StreamError {
    StreamError::new(StreamErrorKind::InvalidConfig, text)
}
