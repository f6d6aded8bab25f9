//! Settings of a mock endpoint.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvs_auth::{Credentials, Verifier};
use tokio::sync::mpsc;

use super::error::{MockError, MockErrorKind};
use super::host::Host;
use super::script_file::ScriptFile;
use super::state_dir::StateDir;
use super::tls::{Identity, Source};
use super::{DEFAULT_ACCESS_KEY_ID, DEFAULT_SECRET_ACCESS_KEY, MockKvs, server};
use crate::service::{
    ConnectionRule, Expectation, Fault, IngestLimits, Quotas, RepeatRule, Service, ServiceConfig,
};

/// Settings of a [`MockKvs`]; [`MockKvs::builder`] gives one.
///
/// ```
/// # async fn doc() -> Result<(), kvs_testkit::MockError> {
/// use std::time::Duration;
/// use kvs_testkit::MockKvs;
///
/// let kvs = MockKvs::builder()
///     .https()
///     .region("eu-central-1")
///     .with_stream("cam", 24)
///     .persist_delay(Duration::from_millis(20))
///     .start()
///     .await?;
/// assert!(kvs.endpoint().starts_with("https://"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct MockKvsBuilder {
    listen: SocketAddr,
    https: Option<Source>,
    credentials: Vec<Credentials>,
    any_region: Option<()>,
    config: ServiceConfig,
    streams: Vec<(String, u32)>,
    faults: Vec<Fault>,
    capture: Option<PathBuf>,
    state: Option<PathBuf>,
    max_skew: Option<Duration>,
    expectations: Vec<Expectation>,
}

impl Default for MockKvsBuilder {
    fn default() -> MockKvsBuilder {
        MockKvsBuilder {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            https: None,
            credentials: Vec::new(),
            any_region: None,
            config: ServiceConfig::default(),
            streams: Vec::new(),
            faults: Vec::new(),
            capture: None,
            state: None,
            max_skew: None,
            expectations: Vec::new(),
        }
    }
}

impl MockKvsBuilder {
    /// Where to listen. Default: a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> MockKvsBuilder {
        self.listen = address;
        self
    }

    /// Speak TLS, with a certificate made anew for `localhost`, `127.0.0.1` and `::1`;
    /// [`MockKvs::ca_pem`] is what a client has to trust. Default: plain HTTP.
    pub fn https(self) -> MockKvsBuilder {
        self.https_for(Vec::<String>::new())
    }

    /// As [`https`](MockKvsBuilder::https), with more names or addresses in the certificate.
    pub fn https_for(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> MockKvsBuilder {
        self.https = Some(Source::Made(names.into_iter().map(Into::into).collect()));
        self
    }

    /// Speak TLS with a certificate of one's own, from PEM files: the chain, leaf first, and the leaf's private
    /// key (PKCS #8, PKCS #1 or SEC1). They are read by [`start`](MockKvsBuilder::start); whom a client has to
    /// trust is the caller's to know, so [`MockKvs::ca_pem`] is `None`.
    pub fn https_files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> MockKvsBuilder {
        self.https = Some(Source::Files {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// A key that requests may be signed with; may be given several times. Default: one documented pair
    /// ([`DEFAULT_ACCESS_KEY_ID`], [`DEFAULT_SECRET_ACCESS_KEY`]).
    pub fn credentials(
        mut self,
        access_key_id: impl Into<String>,
        secret: impl Into<String>,
    ) -> MockKvsBuilder {
        self.credentials
            .push(Credentials::new(access_key_id, secret, None, None, "mock"));
        self
    }

    /// A key with a session token or an expiry, both of which are checked.
    pub fn temporary_credentials(mut self, credentials: Credentials) -> MockKvsBuilder {
        self.credentials.push(credentials);
        self
    }

    /// The region requests have to be signed for, and the one in ARNs. Default: `us-west-2`.
    pub fn region(mut self, region: impl Into<String>) -> MockKvsBuilder {
        self.config.region = region.into();
        self
    }

    /// Take requests signed for any region.
    pub fn any_region(mut self) -> MockKvsBuilder {
        self.any_region = Some(());
        self
    }

    /// How far a request's date may be from the server's clock. Default: 5 minutes.
    pub fn max_skew(mut self, max_skew: Duration) -> MockKvsBuilder {
        self.max_skew = Some(max_skew);
        self
    }

    /// A stream that is there from the start, with its retention in hours.
    pub fn with_stream(mut self, name: impl Into<String>, retention_hours: u32) -> MockKvsBuilder {
        self.streams.push((name.into(), retention_hours));
        self
    }

    /// Time from RECEIVED to PERSISTED. Default: 0.
    pub fn persist_delay(mut self, delay: Duration) -> MockKvsBuilder {
        self.config.persist_delay = delay;
        self
    }

    /// Time without data after which IDLE is sent, and after which the response is ended. Default: 15 s and
    /// 30 s.
    pub fn idle(mut self, ack: Duration, close: Duration) -> MockKvsBuilder {
        self.config.limits.idle_ack = ack;
        self.config.limits.idle_close = close;
        self
    }

    /// Life of a PutMedia connection, after which it is ended with 4003. Default: 45 min.
    pub fn max_connection(mut self, limit: Duration) -> MockKvsBuilder {
        self.config.limits.connection = limit;
        self
    }

    /// Limits on sessions.
    pub fn limits(mut self, limits: IngestLimits) -> MockKvsBuilder {
        self.config.limits = limits;
        self
    }

    /// What happens to a second connection on a stream.
    pub fn connection_rule(mut self, rule: ConnectionRule) -> MockKvsBuilder {
        self.config.connection_rule = rule;
        self
    }

    /// What happens to fragments that were sent before.
    pub fn repeat_rule(mut self, rule: RepeatRule) -> MockKvsBuilder {
        self.config.repeat_rule = rule;
        self
    }

    /// Bytes of media kept for reading back, over all streams. Default: 256 MiB.
    pub fn media_cap(mut self, bytes: u64) -> MockKvsBuilder {
        self.config.media_cap = bytes;
        self
    }

    /// Time without a fragment to send after which a GetMedia response ends. Default: 10 s.
    pub fn reader_idle(mut self, limit: Duration) -> MockKvsBuilder {
        self.config.reader_idle = limit;
        self
    }

    /// Every setting of the service model.
    pub fn configure(mut self, change: impl FnOnce(&mut ServiceConfig)) -> MockKvsBuilder {
        change(&mut self.config);
        self
    }

    /// Write each session's raw body to `<folder>/<stream>-<n>.mkv`.
    pub fn capture(mut self, folder: impl Into<PathBuf>) -> MockKvsBuilder {
        self.capture = Some(folder.into());
        self
    }

    /// Keep streams and stored fragments in a folder, and begin with those it holds. Default: in memory only.
    /// The cap on media holds for it, too; the ledger begins anew.
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> MockKvsBuilder {
        self.state = Some(folder.into());
        self
    }

    /// A fault that is in the script from the start.
    pub fn fault(mut self, fault: Fault) -> MockKvsBuilder {
        self.faults.push(fault);
        self
    }

    /// Streams, faults and expectations of a script file.
    pub fn script(mut self, script: ScriptFile) -> MockKvsBuilder {
        let streams = script
            .stream
            .into_iter()
            .map(|stream| (stream.name, stream.retention_hours));
        self.streams.extend(streams);
        self.faults.extend(script.fault);
        self.expectations.extend(script.expect);
        self
    }

    /// Limits on rates. Default: none.
    pub fn quotas(mut self, quotas: Quotas) -> MockKvsBuilder {
        self.config.quotas = Some(quotas);
        self
    }

    /// Starts the server on a thread of its own.
    ///
    /// # Errors
    /// The address is taken or isn't ours, a certificate or a key can't be used, the capture folder can't be made, or the system has no thread left.
    // Asynchronous so that it may come to wait; callers should not have to change then.
    #[allow(clippy::unused_async)]
    pub async fn start(self) -> Result<MockKvs, MockError> {
        if let Some(folder) = &self.capture {
            std::fs::create_dir_all(folder).map_err(|error| {
                MockError::new(
                    MockErrorKind::File,
                    format!("can't make {}", folder.display()),
                    error,
                )
            })?;
        }
        let identity = self.https.as_ref().map(Identity::of).transpose()?;
        let listener = TcpListener::bind(self.listen).map_err(|error| MockError::bind(self.listen, error))?;
        let prepared = listener
            .set_nonblocking(true)
            .and_then(|()| listener.local_addr());
        let address = prepared.map_err(|error| MockError::bind(self.listen, error))?;

        let credentials = match self.credentials.first() {
            Some(first) => first.clone(),
            None => Credentials::new(
                DEFAULT_ACCESS_KEY_ID,
                DEFAULT_SECRET_ACCESS_KEY,
                None,
                None,
                "mock",
            ),
        };
        let region = self.config.region.clone();
        let scope = if self.any_region.is_some() {
            None
        } else {
            Some(region.clone())
        };
        let mut verifier = Verifier::new(scope);
        if let Some(max_skew) = self.max_skew {
            verifier = verifier.max_skew(max_skew);
        }
        for credentials in self.credentials.iter().chain([&credentials]) {
            verifier.accept(credentials);
        }

        let scheme = if identity.is_some() { "https" } else { "http" };
        let mut service = Service::new(self.config);
        let state = self
            .state
            .as_deref()
            .map(|folder| StateDir::open(folder, &mut service))
            .transpose()?;
        let host = Arc::new(Host::new(service, verifier, scheme, self.capture, state));
        host.with(|service, now| {
            for (name, retention_hours) in &self.streams {
                service.ensure_stream(name, *retention_hours, now);
            }
            for fault in self.faults {
                service.add_fault(fault);
            }
        });

        let failed = |error| MockError::new(MockErrorKind::Runtime, "can't start the server's thread", error);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let (commands, told) = mpsc::unbounded_channel();
        let (acceptor, ca_pem) =
            identity.map_or((None, None), |identity| (Some(identity.acceptor), identity.pem));
        let served = host.clone();
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(failed)?
        };
        let thread = std::thread::Builder::new()
            .name("kvs-mock".to_owned())
            .spawn(move || runtime.block_on(server::run(listener, address, acceptor, served, told)))
            .map_err(failed)?;
        Ok(MockKvs {
            host,
            address,
            region,
            credentials,
            ca_pem,
            runtime: handle,
            commands,
            thread: Some(thread),
            expectations: Mutex::new(self.expectations),
        })
    }
}
