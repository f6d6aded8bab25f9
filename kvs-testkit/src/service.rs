//! The service itself, without sockets, threads or clocks.
//!
//! A [`Service`] holds streams, PutMedia sessions, GetMedia readers, the media kept for reading back, a fault
//! script and a [`Ledger`]. It is a state machine: every call carries the time, and it never waits. Who drives
//! it - the mock server on a socket, a simulator in virtual time - does four things:
//!
//! 1. hands it what arrives: [`Service::call`] for JSON operations, [`Service::open_put_media`] and
//!    [`Service::put_media_data`] for media, [`Service::open_get_media`] for readers;
//! 2. carries out what [`Service::poll`] says for a connection: send these bytes, end the response, reset;
//! 3. calls [`Service::advance`] when [`Service::next_timeout`] is reached;
//! 4. polls the connections that [`Service::take_woken`] names: something was queued for them by another's
//!    doing or by time.
//!
//! ```
//! use kvs_mkv::Timestamp;
//! use kvs_testkit::service::*;
//!
//! let now = Timestamp::from_secs(1_700_000_000);
//! let mut service = Service::new(ServiceConfig::default());
//! let reply = service.call(
//!     Operation::CreateStream,
//!     br#"{"StreamName":"cam","DataRetentionInHours":1}"#,
//!     "http://localhost:1234",
//!     now,
//! );
//! assert_eq!(reply.status, 200);
//!
//! let opened = service.open_put_media(
//!     &PutMediaRequest {
//!         stream: StreamSelector::Name("cam".into()),
//!         timecodes: TimecodeType::Absolute,
//!         start_timestamp: None,
//!         acks_required: true,
//!     },
//!     now,
//! )?;
//! service.put_media_data(opened.connection, (&b"this is no Matroska"[..]).into(), now);
//! let Some(Action::Send(ack)) = service.poll(opened.connection, now) else { panic!("no ack") };
//! assert_eq!(&ack[..], b"{\"EventType\":\"ERROR\",\"ErrorId\":4006,\"ErrorCode\":\"INVALID_MKV_DATA\"}\r\n");
//! assert_eq!(service.poll(opened.connection, now), Some(Action::End));
//! # Ok::<(), ServiceError>(())
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use kvs_mkv::Timestamp;

mod ack;
mod config;
mod conserved;
mod control;
pub(crate) mod digest;
mod error;
mod expectation;
mod ingest;
mod keeping;
mod ledger;
pub(crate) mod matroska;
mod media;
mod number;
mod operation;
mod put_media;
mod quota;
mod reader;
mod rule;
mod script;
mod state;
mod stream;
mod timer;
mod trail;

pub use ack::{Ack, AckEvent, AckForm, ErrorId};
pub use config::{ConnectionRule, IngestLimits, RepeatRule, ServiceConfig};
pub use conserved::{Delivery, NotConserved};
pub use control::Reply;
pub use error::{ServiceError, ServiceErrorKind};
pub use expectation::{Expectation, Unmet};
pub use ledger::{
    AckLedger, FragmentLedger, FragmentState, FrameLedger, Ledger, SessionEnd, SessionLedger, StreamLedger,
    StreamTotals, TagLedger, TimecodeType, TrackLedger, TrackTotals,
};
pub use number::FragmentNumber;
pub use operation::Operation;
pub use put_media::{Opened, PutMediaRequest};
pub use quota::Quotas;
pub use reader::{GetMediaRequest, StartSelector};
pub use rule::IngestRule;
pub use script::{Effect, Fault, FaultSink, Moment, When};
pub use state::Save;
pub use stream::{StreamSelector, StreamStatus};

/// A PutMedia or GetMedia connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// What a connection is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write these bytes of response body and flush them: one item, one write.
    Send(Bytes),
    /// End the response cleanly. The connection may serve another request if the request's body was read to
    /// its end, and is closed otherwise.
    End,
    /// Reset the connection (TCP RST), leaving unsent what is unsent.
    Reset,
}

/// The sans-IO model of the service. See the [module](self) page.
#[derive(Debug)]
pub struct Service {
    config: ServiceConfig,
    rng: fastrand::Rng,
    streams: BTreeMap<String, stream::Stream>,
    sessions: HashMap<ConnectionId, put_media::Session>,
    readers: HashMap<ConnectionId, reader::Reader>,
    media: media::MediaStore,
    /// By signaling channel, the stream its media is stored in.
    media_storage: BTreeMap<String, Option<String>>,
    /// Per stream, the number of the first fragment of each producer timestamp.
    producer_times: HashMap<String, BTreeMap<Timestamp, FragmentNumber>>,
    captures: HashMap<(String, u32), Bytes>,
    script: script::Script,
    ledger: Ledger,
    kept: keeping::Kept,
    timers: timer::Timers,
    woken: VecDeque<ConnectionId>,
    connections: u64,
    fragments: u64,
    endpoint_generation: u32,
    changes: u64,
    /// Changes to be saved, where somebody saves them.
    saves: Option<VecDeque<state::Save>>,
    call_rates: quota::CallRates,
    /// The latest time any call carried.
    clock: Timestamp,
}

impl Service {
    /// A service without streams.
    pub fn new(mut config: ServiceConfig) -> Service {
        if let Some(quotas) = &config.quotas {
            config.limits.fragment_minimum = quotas.fragment_duration;
        }
        Service {
            rng: fastrand::Rng::with_seed(config.seed),
            media: media::MediaStore::new(config.media_cap),
            config,
            streams: BTreeMap::new(),
            media_storage: BTreeMap::new(),
            sessions: HashMap::new(),
            readers: HashMap::new(),
            producer_times: HashMap::new(),
            captures: HashMap::new(),
            script: script::Script::default(),
            ledger: Ledger::default(),
            kept: keeping::Kept::default(),
            timers: timer::Timers::default(),
            woken: VecDeque::new(),
            connections: 0,
            fragments: 0,
            endpoint_generation: 0,
            changes: 0,
            saves: None,
            call_rates: quota::CallRates::default(),
            clock: Timestamp::ZERO,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &ServiceConfig {
        &self.config
    }

    /// What it saw so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Rises whenever the ledger changes.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Adds a fault to the script.
    pub fn add_fault(&mut self, fault: Fault) {
        self.script.add(fault);
    }

    /// The faults that are still to come.
    pub fn faults(&self) -> &[Fault] {
        self.script.faults()
    }

    /// Forgets the faults that are still to come.
    pub fn clear_faults(&mut self) {
        self.script.clear();
    }

    /// When [`advance`](Service::advance) has something to do.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Does everything that has fallen due.
    pub fn advance(&mut self, now: Timestamp) {
        self.clock = self.clock.max(now);
        while let Some((at, due)) = self.timers.take(now) {
            match due {
                timer::Due::Persist(fragment) => {
                    let session = self.sessions.remove(&fragment.connection);
                    let Some(mut session) = session else {
                        self.persist(None, &fragment, at);
                        continue;
                    };
                    self.persist(Some(&mut session), &fragment, at);
                    self.sessions.insert(fragment.connection, session);
                }
                timer::Due::Idle(id) => self.check_idle(id, at),
                timer::Due::Expire(id) => self.expire(id, at),
                timer::Due::Resume(id) => self.resume(id, at),
                timer::Due::ReaderIdle(id) => self.check_reader(id, at),
                timer::Due::Status { arn } => self.finish_change(&arn, at),
            }
        }
    }

    /// The next thing a connection is to do now; `None` when there is nothing, until it is woken.
    pub fn poll(&mut self, id: ConnectionId, now: Timestamp) -> Option<Action> {
        self.advance(now);
        if self.readers.contains_key(&id) {
            return self.poll_reader(id, now);
        }
        self.poll_session(id, now)
    }

    /// How many bytes of body a PutMedia connection may read now. 0 means none: its session is stalled,
    /// slowed down, or takes nothing more; a wake-up says when to ask again.
    pub fn wants(&self, id: ConnectionId, now: Timestamp) -> usize {
        self.sessions.get(&id).map_or(0, |session| session.wants(now))
    }

    /// Takes the name of a connection that has something to do.
    pub fn take_woken(&mut self) -> Option<ConnectionId> {
        self.woken.pop_front()
    }

    fn wake(&mut self, id: ConnectionId) {
        if self.woken.back() != Some(&id) {
            self.woken.push_back(id);
        }
    }

    fn next_connection(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId(self.connections)
    }

    fn next_fragment_number(&mut self) -> FragmentNumber {
        // Gaps, as the service's numbers have them, so that nobody counts on their absence.
        self.fragments += self.rng.u64(1..1_000);
        FragmentNumber::new(self.fragments)
    }

    fn ledger_changed(&mut self) {
        self.changes += 1;
    }

    /// Counts a call on a stream and says which one it is, from 1.
    fn count_call(&mut self, stream: &str, operation: Operation) -> u32 {
        let calls = &mut self.ledger.streams.entry(stream.to_owned()).or_default().calls;
        let count = calls.entry(operation.name().to_owned()).or_default();
        *count += 1;
        u32::try_from(*count).unwrap_or(u32::MAX)
    }

    /// Answers whether a PutMedia connection may begin beside those the stream has.
    fn admit_connection(&mut self, name: &str, now: Timestamp) -> Result<(), ServiceError> {
        if self.sessions_of(name).is_empty() {
            return Ok(());
        }
        match self.config.connection_rule {
            ConnectionRule::RefuseNewer => Err(ServiceError::new(
                ServiceErrorKind::ConnectionLimitExceeded,
                "the stream has an open PutMedia connection",
            )),
            ConnectionRule::CloseOlder => {
                self.supersede(name, now);
                Ok(())
            }
        }
    }

    /// Endpoints given out so far become stale.
    pub fn expire_endpoints(&mut self) {
        self.endpoint_generation += 1;
    }

    /// The path that data endpoints carry at present; empty until endpoints have been expired.
    fn endpoint_path(&self) -> String {
        match self.endpoint_generation {
            0 => String::new(),
            generation => format!("/endpoint-{generation}"),
        }
    }

    /// Splits a request path into the operation it names, checking the endpoint it came through.
    ///
    /// # Errors
    /// `InvalidEndpointException` for a data operation through a stale endpoint; `UnknownOperationException`
    /// for a path without an operation.
    pub fn route(&self, path: &str) -> Result<Operation, ServiceError> {
        let name_at = path.rfind('/').unwrap_or(0);
        let (endpoint, name) = path.split_at(name_at);
        let Some(operation) = Operation::from_path(name) else {
            return Err(ServiceError::new(
                ServiceErrorKind::UnknownOperation,
                format!("no operation at {path:?}"),
            ));
        };
        if operation.is_data() && endpoint != self.endpoint_path() {
            return Err(ServiceError::new(
                ServiceErrorKind::InvalidEndpoint,
                "the endpoint is stale, call GetDataEndpoint again",
            ));
        }
        // Control operations live at the root; data endpoints pass them on.
        if !(operation.is_data() || endpoint.is_empty() || endpoint.starts_with("/endpoint-")) {
            return Err(ServiceError::new(
                ServiceErrorKind::UnknownOperation,
                format!("no operation at {path:?}"),
            ));
        }
        Ok(operation)
    }

    /// Ends every connection, as a server does that is stopped.
    pub fn stop(&mut self, now: Timestamp) {
        self.advance(now);
        self.stop_sessions(now);
        self.readers.clear();
    }
}

/// Media of a stream without retention stays readable for about this long ("DataRetentionInHours" in the API
/// reference).
const UNRETAINED: Duration = Duration::from_secs(5 * 60);
