//! Fault scripts: what goes wrong, where, and how often.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ack::{AckForm, ErrorId};
use super::error::ServiceError;
use super::operation::Operation;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// On which stream; on any, if `None`.
    #[serde(default)]
    pub stream: Option<String>,
    /// On which operation.
    #[serde(default = "put_media")]
    pub call: Operation,
    /// On which call of that operation on the stream, counted from 1; on any, if `None`.
    #[serde(default)]
    pub nth: Option<u32>,
    /// At which moment of the call.
    #[serde(default)]
    pub at: Moment,
    /// What happens.
    pub effect: Effect,
    /// How often it happens; without end, if `None`.
    #[serde(default)]
    pub times: Option<u32>,
}

fn put_media() -> Operation {
    Operation::PutMedia
}

/// A moment of a PutMedia session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Moment {
    /// When the request comes.
    #[default]
    Request,
    /// When so many bytes of body have come; the rest of what came with them is not looked at. 0 is when the
    /// request was accepted, before any body.
    AfterBytes(u64),
    /// When the timecode of the session's n-th fragment, from 1, has come. Its BUFFERING goes out first.
    OnFragment(u32),
    /// When the session's n-th fragment, from 1, is complete: the next one begins, its end-of-fragment tag
    /// came, or the body ended. Its RECEIVED goes out first.
    AfterFragment(u32),
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effect {
    /// The request is answered with this status and exception. Only at [`Moment::Request`].
    Refuse {
        /// HTTP status.
        status: u16,
        /// Exception name.
        error_type: String,
    },
    /// An ERROR acknowledgement with this code refuses the fragment under way and ends the session.
    Error(ErrorId),
    /// The connection is reset (TCP RST); what was not yet sent is lost.
    Reset,
    /// Half of the next acknowledgement is sent, then the connection is reset.
    CutAck,
    /// The response is ended cleanly (HTTP 200, end of body) and the connection closed.
    Close,
    /// Nothing is read and nothing is sent for this long.
    Stall(#[serde(with = "seconds")] Duration),
    /// Media is taken, but no acknowledgement is sent any more.
    WithholdAcks,
    /// PERSISTED acknowledgements are not sent (the fragments are stored).
    WithholdPersisted,
    /// Every acknowledgement goes out byte by byte.
    SplitAcks,
    /// Acknowledgements take another form.
    AckForm(AckForm),
    /// The body is read no faster than this, in bytes per second.
    SlowRead(u32),
    /// Endpoints given out so far answer `InvalidEndpointException` from now on.
    ExpireEndpoints,
}

impl Effect {
    /// Whether it changes how a session goes on, as against an event that happens at a moment.
    fn is_lasting(&self) -> bool {
        matches!(
            self,
            Effect::WithholdAcks
                | Effect::WithholdPersisted
                | Effect::SplitAcks
                | Effect::AckForm(_)
                | Effect::SlowRead(_)
        )
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        value.as_secs_f64().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(crate) struct Script {
    faults: Vec<Fault>,
}

impl Script {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Takes the effects due at a moment of the `nth` call on a stream, in the order they were written.
    pub(crate) fn fire(&mut self, call: Operation, stream: &str, nth: u32, at: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        for fault in &mut self.faults {
            let hit = fault.call == call
                && fault.at == at
                && fault.nth.is_none_or(|n| n == nth)
                && fault.stream.as_deref().is_none_or(|name| name == stream)
                && fault.times != Some(0);
            if hit {
                fault.times = fault.times.map(|times| times - 1);
                effects.push(fault.effect.clone());
            }
        }
        self.faults.retain(|fault| fault.times != Some(0));
        effects
    }

    /// The next byte count of a session at which something is to happen.
    pub(crate) fn next_byte_mark(&self, stream: &str, nth: u32, after: u64) -> Option<u64> {
        self.faults
            .iter()
            .filter(|fault| {
                fault.call == Operation::PutMedia
                    && fault.nth.is_none_or(|n| n == nth)
                    && fault.stream.as_deref().is_none_or(|name| name == stream)
            })
            .filter_map(|fault| match fault.at {
                Moment::AfterBytes(mark) if mark > after => Some(mark),
                _ => None,
            })
            .min()
    }
}

/// Where a written fault goes.
pub trait FaultSink {
    /// Adds a fault to the script.
    fn add_fault(&self, fault: Fault);
}

impl FaultSink for std::cell::RefCell<super::Service> {
    fn add_fault(&self, fault: Fault) {
        self.borrow_mut().add_fault(fault);
    }
}

impl FaultSink for std::sync::Mutex<super::Service> {
    fn add_fault(&self, fault: Fault) {
        self.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .add_fault(fault);
    }
}

/// The first half of a sentence such as "on the 2nd PutMedia, after fragment 3, …".
///
/// Its ending (`reset_connection`, `error`, …) adds the fault to the script. An event happens once, a lasting
/// change ([`withhold_persisted`](When::withhold_persisted), [`split_acks`](When::split_acks), …) is made
/// to every connection it fits; [`times`](When::times) and [`always`](When::always) say otherwise.
///
/// ```
/// use std::cell::RefCell;
/// use kvs_testkit::service::{ErrorId, Service, ServiceConfig, When};
///
/// let service = RefCell::new(Service::new(ServiceConfig::default()));
/// When::put_media(&service, "cam").on_put_media(2).after_fragment(3).reset_connection();
/// When::put_media(&service, "cam").on_fragment(5).error(ErrorId::INVALID_MKV_DATA);
/// ```
#[must_use = "a sentence needs its ending: what goes wrong"]
pub struct When<'a> {
    sink: &'a dyn FaultSink,
    stream: Option<String>,
    call: Operation,
    nth: Option<u32>,
    at: Moment,
    times: Option<Option<u32>>,
}

impl<'a> When<'a> {
    /// Begins a sentence about the PutMedia connections of a stream.
    pub fn put_media(sink: &'a dyn FaultSink, stream: impl Into<String>) -> When<'a> {
        When::call(sink, stream, Operation::PutMedia)
    }

    /// Begins a sentence about an operation on a stream.
    pub fn call(sink: &'a dyn FaultSink, stream: impl Into<String>, call: Operation) -> When<'a> {
        When {
            sink,
            stream: Some(stream.into()),
            call,
            nth: None,
            at: Moment::Request,
            times: None,
        }
    }

    /// Only on the stream's n-th PutMedia request, from 1. Refused requests count.
    pub fn on_put_media(mut self, n: u32) -> When<'a> {
        self.nth = Some(n);
        self
    }

    /// Only on the n-th call of the operation, from 1.
    pub fn nth(mut self, n: u32) -> When<'a> {
        self.nth = Some(n);
        self
    }

    /// When the session's n-th fragment, from 1, begins (after its BUFFERING).
    pub fn on_fragment(mut self, n: u32) -> When<'a> {
        self.at = Moment::OnFragment(n);
        self
    }

    /// When the session's n-th fragment, from 1, is complete (after its RECEIVED).
    pub fn after_fragment(mut self, n: u32) -> When<'a> {
        self.at = Moment::AfterFragment(n);
        self
    }

    /// When n bytes of the session's body have come.
    pub fn after_bytes(mut self, n: u64) -> When<'a> {
        self.at = Moment::AfterBytes(n);
        self
    }

    /// The first n times.
    pub fn times(mut self, n: u32) -> When<'a> {
        self.times = Some(Some(n));
        self
    }

    /// Every time.
    pub fn always(mut self) -> When<'a> {
        self.times = Some(None);
        self
    }

    /// … the connection is reset.
    pub fn reset_connection(self) {
        self.end(Effect::Reset);
    }

    /// … half of the next acknowledgement is sent, then the connection is reset.
    pub fn cut_ack(self) {
        self.end(Effect::CutAck);
    }

    /// … the response ends cleanly and the connection is closed.
    pub fn close(self) {
        self.end(Effect::Close);
    }

    /// … an ERROR acknowledgement is sent, which ends the session.
    pub fn error(self, id: impl Into<ErrorId>) {
        self.end(Effect::Error(id.into()));
    }

    /// … nothing is read or sent for a while.
    pub fn stall(self, pause: Duration) {
        self.end(Effect::Stall(pause));
    }

    /// … no acknowledgement is sent any more.
    pub fn withhold_acks(self) {
        self.end(Effect::WithholdAcks);
    }

    /// … PERSISTED is not sent.
    pub fn withhold_persisted(self) {
        self.end(Effect::WithholdPersisted);
    }

    /// … acknowledgements go out byte by byte.
    pub fn split_acks(self) {
        self.end(Effect::SplitAcks);
    }

    /// … acknowledgements take another form.
    pub fn ack_form(self, form: AckForm) {
        self.end(Effect::AckForm(form));
    }

    /// … the body is read slowly.
    pub fn slow_read(self, bytes_per_second: u32) {
        self.end(Effect::SlowRead(bytes_per_second));
    }

    /// … the endpoints given out so far become stale.
    pub fn expire_endpoints(self) {
        self.end(Effect::ExpireEndpoints);
    }

    /// … the request is answered with this status and exception.
    pub fn refuse(self, error: &ServiceError) {
        let effect = Effect::Refuse {
            status: error.status(),
            error_type: error.type_name().to_owned(),
        };
        self.end(effect);
    }

    fn end(self, effect: Effect) {
        let once = if effect.is_lasting() { None } else { Some(1) };
        self.sink.add_fault(Fault {
            stream: self.stream,
            call: self.call,
            nth: self.nth,
            at: self.at,
            times: self.times.unwrap_or(once),
            effect,
        });
    }
}

impl From<u32> for ErrorId {
    fn from(id: u32) -> ErrorId {
        ErrorId(id)
    }
}
