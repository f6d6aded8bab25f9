//! One stream of a mock: what is to go wrong on it, and what is expected of it.

use std::time::Duration;

use super::MockKvs;
use crate::service::{AckForm, Effect, Fault, Moment, Operation, ServiceError, StreamLedger, When};

/// How long an expectation waits unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// A stream of a [`MockKvs`], to script and to wait for; [`MockKvs::stream`] gives one.
///
/// Faults read as sentences; see [`When`] for their endings:
///
/// ```
/// # async fn doc(kvs: kvs_testkit::MockKvs) {
/// kvs.stream("cam").on_put_media(2).after_fragment(3).reset_connection();
/// kvs.stream("cam").on_fragment(5).error(4006);
/// kvs.stream("cam").after_bytes(100_000).reset_connection();
/// kvs.stream("cam").refuse_once(403);
/// kvs.stream("cam").withhold_persisted();
/// kvs.stream("cam").split_acks();
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StreamScript<'a> {
    kvs: &'a MockKvs,
    name: String,
}

impl<'a> StreamScript<'a> {
    pub(super) fn new(kvs: &'a MockKvs, name: String) -> StreamScript<'a> {
        StreamScript { kvs, name }
    }

    fn when(&self) -> When<'a> {
        When::put_media(&**self.kvs.host(), self.name.clone())
    }

    /// On the stream's n-th PutMedia request, from 1; refused requests count.
    pub fn on_put_media(&self, n: u32) -> When<'a> {
        self.when().on_put_media(n)
    }

    /// On a call of another operation.
    pub fn on_call(&self, operation: Operation) -> When<'a> {
        When::call(&**self.kvs.host(), self.name.clone(), operation)
    }

    /// When the n-th fragment of a session begins.
    pub fn on_fragment(&self, n: u32) -> When<'a> {
        self.when().on_fragment(n)
    }

    /// When the n-th fragment of a session is complete.
    pub fn after_fragment(&self, n: u32) -> When<'a> {
        self.when().after_fragment(n)
    }

    /// When n bytes of a session's body have come.
    pub fn after_bytes(&self, n: u64) -> When<'a> {
        self.when().after_bytes(n)
    }

    /// The next PutMedia request is refused with this status, and the exception that goes with it.
    pub fn refuse_once(&self, status: u16) {
        self.when().refuse(&ServiceError::of_status(status));
    }

    /// No session gets a PERSISTED.
    pub fn withhold_persisted(&self) {
        self.when().withhold_persisted();
    }

    /// No session gets any acknowledgement.
    pub fn withhold_acks(&self) {
        self.when().withhold_acks();
    }

    /// Acknowledgements go out byte by byte.
    pub fn split_acks(&self) {
        self.when().split_acks();
    }

    /// Acknowledgements take another form.
    pub fn ack_form(&self, form: AckForm) {
        self.when().ack_form(form);
    }

    /// Adds any effect at any moment, once.
    pub fn once(&self, at: Moment, effect: Effect) {
        self.kvs.add_fault(Fault {
            stream: Some(self.name.clone()),
            call: Operation::PutMedia,
            nth: None,
            at,
            effect,
            times: Some(1),
        });
    }

    /// A copy of the stream's part of the ledger.
    pub fn ledger(&self) -> StreamLedger {
        self.kvs
            .host()
            .with(|service, _| service.ledger().stream(&self.name).clone())
    }

    /// The raw body of the stream's n-th PutMedia request, as far as
    /// [`capture_limit`](crate::service::ServiceConfig::capture_limit) kept it.
    pub fn captured_body(&self, nth: u32) -> Option<bytes::Bytes> {
        self.kvs
            .host()
            .with(|service, _| service.captured_body(&self.name, nth))
    }

    /// Waits until n fragments of the stream are stored.
    ///
    /// # Panics
    /// If they aren't within 10 s; the message lists what was received.
    pub async fn expect_persisted(&self, n: u64) {
        let what = format!("{n} persisted fragments");
        self.expect(&what, move |ledger| ledger.totals.fragments_persisted >= n)
            .await;
    }

    /// Waits until n fragments of the stream were received whole.
    ///
    /// # Panics
    /// If they aren't within 10 s; the message lists what was received.
    pub async fn expect_received(&self, n: u64) {
        let what = format!("{n} received fragments");
        self.expect(&what, move |ledger| ledger.totals.fragments_received >= n)
            .await;
    }

    /// Waits until n sessions of the stream have ended.
    ///
    /// # Panics
    /// If they haven't within 10 s; the message lists what was received.
    pub async fn expect_ended_sessions(&self, n: usize) {
        let ended = |ledger: &StreamLedger| {
            ledger
                .sessions
                .iter()
                .filter(|session| session.end.is_some())
                .count()
        };
        self.expect(&format!("{n} ended sessions"), |ledger| ended(ledger) >= n)
            .await;
    }

    /// Waits until the stream's ledger is as it should be.
    ///
    /// # Panics
    /// If it isn't within 10 s; the message says what was expected and lists what was received.
    pub async fn expect(&self, what: &str, holds: impl Fn(&StreamLedger) -> bool) {
        self.expect_within(PATIENCE, what, holds).await;
    }

    /// As [`expect`](StreamScript::expect), with another patience.
    ///
    /// # Panics
    /// If it isn't so in time; the message says what was expected and lists what was received.
    pub async fn expect_within(&self, patience: Duration, what: &str, holds: impl Fn(&StreamLedger) -> bool) {
        let mut changes = self.kvs.host().changes.subscribe();
        let mut deadline = self.kvs.deadline(patience);
        loop {
            if self
                .kvs
                .host()
                .with(|service, _| holds(service.ledger().stream(&self.name)))
            {
                deadline.abort();
                return;
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = &mut deadline => break,
            }
        }
        let received = self.ledger().summary();
        panic!(
            "expected {what} on stream {:?} within {patience:?}; received:\n{received}",
            self.name
        );
    }
}
