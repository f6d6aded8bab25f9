//! The mock endpoint as a server on a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use kvs_auth::Credentials;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::service::{Delivery, Expectation, Fault, Ledger, Unmet};

mod admin;
mod body;
mod builder;
mod capture;
mod connection;
mod error;
mod get_media;
mod head;
mod host;
mod put_media;
mod response;
mod script_file;
mod server;
mod socket;
mod state_dir;
mod stream;
mod tls;

pub use builder::MockKvsBuilder;
pub use error::{MockError, MockErrorKind};
pub use script_file::{ScriptFile, ScriptStream};
pub use stream::StreamScript;

use host::Host;

/// The access key id a mock takes when none was set.
pub const DEFAULT_ACCESS_KEY_ID: &str = "AKIAKVSMOCKEXAMPLE00";

/// The secret access key that goes with [`DEFAULT_ACCESS_KEY_ID`]. It protects nothing.
pub const DEFAULT_SECRET_ACCESS_KEY: &str = "kvs/mock/secret/access/key/EXAMPLE000000";

/// A running mock endpoint, on a thread of its own: any host can use it, whatever runtime that has.
///
/// Each is isolated: its own port, streams and ledger. It stops when it is dropped, and then panics if an
/// expectation ([`MockKvs::expect`], or one of its script file) was not met.
///
/// ```
/// # async fn doc() {
/// use kvs_testkit::MockKvs;
///
/// let kvs = MockKvs::start().await;
/// kvs.create_stream("front-door", 24);
/// kvs.stream("front-door").on_put_media(2).after_fragment(3).reset_connection();
/// // … the service under test runs against kvs.endpoint(), with kvs.credentials() …
/// kvs.stream("front-door").expect_persisted(10).await;
/// # }
/// ```
///
/// # Admin API
///
/// Tests in other languages send a request with an `X-Kvs-Mock-Command` header, to any path, unsigned. It is
/// answered with JSON.
///
/// | command | body | does |
/// |---|---|---|
/// | `ledger` | – | answers the [`Ledger`] |
/// | `create-stream` | `{"stream": "cam", "retention_hours": 24}` | makes a stream |
/// | `add-faults` | `{"faults": [` [`Fault`]`, …]}` | adds to the script |
/// | `faults`, `clear-faults` | – | answers, or forgets, the faults still to come |
/// | `expire-endpoints` | – | makes the data endpoints given out so far stale |
/// | `shift-clock` | `{"seconds": -3600}` | sets the server's clock off the machine's |
#[derive(Debug)]
pub struct MockKvs {
    host: Arc<Host>,
    address: SocketAddr,
    region: String,
    credentials: Credentials,
    ca_pem: Option<String>,
    runtime: Handle,
    commands: mpsc::UnboundedSender<server::Command>,
    thread: Option<JoinHandle<()>>,
    expectations: Mutex<Vec<Expectation>>,
}

impl MockKvs {
    /// Starts one with default settings on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If the machine has no port or thread left; [`MockKvsBuilder::start`] returns that as an error.
    pub async fn start() -> MockKvs {
        match MockKvs::builder().start().await {
            Ok(kvs) => kvs,
            Err(error) => panic!("the mock endpoint did not start: {error}"),
        }
    }

    /// Settings for another kind of start.
    pub fn builder() -> MockKvsBuilder {
        MockKvsBuilder::default()
    }

    /// Its URL, such as `http://127.0.0.1:40321`; control plane and media alike. Where it listens on every address of the
    /// machine, the one of its own that reaches it: the loopback.
    pub fn endpoint(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("{}://{address}", self.host.scheme)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The region requests have to be signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The first key it takes.
    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// The certificate a client has to trust, as PEM; `None` over plain HTTP, and where the certificate was given.
    pub fn ca_pem(&self) -> Option<String> {
        self.ca_pem.clone()
    }

    /// Makes a stream, unless there is one of that name.
    pub fn create_stream(&self, name: &str, retention_hours: u32) {
        self.host
            .with(|service, now| service.ensure_stream(name, retention_hours, now));
    }

    /// A stream to script and to wait for. It need not exist yet.
    pub fn stream(&self, name: impl Into<String>) -> StreamScript<'_> {
        StreamScript::new(self, name.into())
    }

    /// Adds a fault to the script.
    pub fn add_fault(&self, fault: Fault) {
        self.host.with(|service, _| service.add_fault(fault));
    }

    /// A copy of what arrived and was acknowledged so far.
    pub fn ledger(&self) -> Ledger {
        self.host.with(|service, _| service.ledger().clone())
    }

    /// Data endpoints given out so far answer `InvalidEndpointException` from now on.
    pub fn expire_endpoints(&self) {
        self.host.with(|service, _| service.expire_endpoints());
    }

    /// Takes a key from now on.
    pub fn accept_credentials(&self, credentials: &Credentials) {
        self.host.change_verifier(|verifier| verifier.accept(credentials));
    }

    /// No longer takes a key.
    pub fn revoke_credentials(&self, access_key_id: &str) {
        self.host
            .change_verifier(|verifier| verifier.revoke(access_key_id));
    }

    /// Sets the server's clock ahead of the machine's, or behind it with a negative number of seconds.
    pub fn shift_clock(&self, seconds: i64) {
        self.host.shift_clock(seconds);
    }

    /// Loses every connection and refuses new ones for a while, as a server does that is restarted. Streams,
    /// media, script and ledger stay. A call during an outage sets anew how long it lasts.
    pub fn outage(&self, length: Duration) {
        let _ = self.commands.send(server::Command::Outage(length));
    }

    /// Compares a producer's account of a stream with what arrived ([`Delivery::check`]).
    ///
    /// # Panics
    /// If they don't agree; the message says where, and lists what arrived.
    #[track_caller]
    pub fn assert_conserved(&self, report: impl Into<Delivery>) {
        let report = report.into();
        let outcome = self.host.with(|service, _| {
            let arrived = service.ledger().stream(&report.stream);
            report
                .check(arrived)
                .map_err(|error| format!("{error}\n{}", arrived.summary()))
        });
        if let Err(text) = outcome {
            panic!("{text}");
        }
    }

    /// Adds an expectation that is checked when the mock is dropped (or by [`verify`](MockKvs::verify)).
    pub fn expect(&self, expectation: Expectation) {
        self.expectations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(expectation);
    }

    /// Checks the expectations so far, and forgets them.
    ///
    /// # Errors
    /// The first that isn't met: what was missed, and the conversation that took place.
    pub fn verify(&self) -> Result<(), Unmet> {
        let expectations =
            std::mem::take(&mut *self.expectations.lock().unwrap_or_else(PoisonError::into_inner));
        self.host.with(|service, _| {
            expectations
                .iter()
                .try_for_each(|expectation| expectation.check(service.ledger()))
        })
    }

    /// Stops the server: open connections are ended, the port is free when this returns.
    // Waiting takes a moment at most; callers need not know that it blocks meanwhile.
    #[allow(clippy::unused_async)]
    pub async fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // An error only says that the thread has ended already.
        let _ = self.commands.send(server::Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the mock server's thread panicked");
        }
    }

    fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// A timer of the server's runtime, so that waiting needs none of the caller's.
    fn deadline(&self, limit: Duration) -> tokio::task::JoinHandle<()> {
        // The sleep is made inside the task: outside it there may be no timer.
        self.runtime.spawn(async move { tokio::time::sleep(limit).await })
    }
}

impl Drop for MockKvs {
    fn drop(&mut self) {
        let verdict = self.verify();
        self.end();
        // A test that fails already has its reason.
        if let Err(unmet) = verdict
            && !std::thread::panicking()
        {
            panic!("{unmet}");
        }
    }
}
