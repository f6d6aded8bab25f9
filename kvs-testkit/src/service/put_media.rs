//! PutMedia sessions: media in, acknowledgements out.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use kvs_mkv::Timestamp;

use super::ingest::Ingest;
use super::ledger::{SessionEnd, SessionLedger, TimecodeType};
use super::number;
use super::quota::Rate;
use super::script::{Effect, Moment};
use super::timer::Due;
use super::{Action, ConnectionId, Operation, Service, ServiceError, StreamSelector};

mod acks;
mod effects;
mod ending;
mod fragments;
mod session;

pub(super) use session::Session;
use session::{Manner, Phase};

/// The head of a PutMedia request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutMediaRequest {
    /// `x-amzn-stream-name` or `x-amzn-stream-arn`.
    pub stream: StreamSelector,
    /// `x-amzn-fragment-timecode-type`.
    pub timecodes: TimecodeType,
    /// `x-amzn-producer-start-timestamp`; needed with [`TimecodeType::Relative`].
    pub start_timestamp: Option<Timestamp>,
    /// `x-amzn-fragment-acknowledgment-required: 1`.
    pub acks_required: bool,
}

/// A PutMedia request that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Names the connection from here on.
    pub connection: ConnectionId,
    /// For `x-amzn-RequestId`.
    pub request_id: String,
    /// Which PutMedia request of the stream it is, from 1.
    pub nth: u32,
    /// The stream's name.
    pub stream: String,
}

impl Service {
    /// A PutMedia request came. What it answers goes out before any byte of body is read.
    ///
    /// # Errors
    /// The refusal to answer with: an unknown stream, a second connection, a scripted fault.
    pub fn open_put_media(
        &mut self,
        request: &PutMediaRequest,
        now: Timestamp,
    ) -> Result<Opened, ServiceError> {
        self.advance(now);
        let name = self.resolve(&request.stream)?;
        let nth = self.count_call(&name, Operation::PutMedia);
        let request_id = number::request_id(&mut self.rng);
        let mut ledger = SessionLedger {
            put_media: nth,
            request_id: request_id.clone(),
            opened_ms: now.as_millis(),
            ended_ms: None,
            end: None,
            timecodes: request.timecodes,
            start_timestamp_ms: request.start_timestamp.map(Timestamp::as_millis),
            acks_required: request.acks_required,
            body_bytes: 0,
            timecode_scale_ns: None,
            tracks: Vec::new(),
            fragments: Vec::new(),
            fragments_let_go: 0,
            acks: Vec::new(),
            leading_tags: Vec::new(),
            trail: Vec::new(),
        };
        let effects = self.script.fire(Operation::PutMedia, &name, nth, Moment::Request);
        if let Err(error) = self.admit(&name, request, &effects, now) {
            ledger.ended_ms = ledger.opened_ms.into();
            ledger.end = Some(SessionEnd::Refused {
                status: error.status(),
                error_type: error.type_name().to_owned(),
            });
            let stream = self.ledger.streams.entry(name).or_default();
            stream.totals.refused_sessions += 1;
            stream.sessions.push(ledger);
            self.ledger_changed();
            return Err(error);
        }
        let entry = self.ledger.streams.entry(name.clone()).or_default();
        entry.totals.sessions += 1;
        entry.sessions.push(ledger);
        let ledger = entry.sessions.len() - 1;

        let id = self.next_connection();
        let limits = self.config.limits.clone();
        let start = request.start_timestamp.unwrap_or_default();
        let mut session = Session {
            id,
            stream: name.clone(),
            nth,
            ledger,
            acks_required: request.acks_required,
            ingest: Ingest::new(limits.clone(), request.timecodes, start),
            phase: Phase::Open,
            out: VecDeque::new(),
            pending: 0,
            body_bytes: 0,
            fragments: 0,
            header: None,
            current: None,
            manner: Manner::default(),
            last_data: now,
            idle_acks: 0,
            pause: None,
            fragment_rate: Rate::default(),
            reads_from: None,
            capture: BytesMut::new(),
        };
        self.timers.set(
            now.saturating_add(limits.idle_ack.min(limits.idle_close)),
            Due::Idle(id),
        );
        self.timers
            .set(now.saturating_add(limits.connection), Due::Expire(id));
        if let Some(quotas) = &self.config.quotas {
            let rate = quotas.put_media_bytes;
            self.slow_down(&mut session, rate, now);
        }
        self.apply(&mut session, effects, now);
        // None of the body has come yet, and a mark at its start is reached.
        self.fire(&mut session, Moment::AfterBytes(0), now);
        self.sessions.insert(id, session);
        self.ledger_changed();
        Ok(Opened {
            connection: id,
            request_id,
            nth,
            stream: name,
        })
    }

    /// Whether a session may begin.
    fn admit(
        &mut self,
        name: &str,
        request: &PutMediaRequest,
        effects: &[Effect],
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        for effect in effects {
            if let Effect::Refuse { status, error_type } = effect {
                return Err(ServiceError::with_status(
                    *status,
                    error_type,
                    "refused by the fault script",
                ));
            }
        }
        self.check_rate(Operation::PutMedia, name)?;
        if request.timecodes == TimecodeType::Relative && request.start_timestamp.is_none() {
            return Err(ServiceError::invalid(
                "x-amzn-producer-start-timestamp is needed with RELATIVE fragment timecodes",
            ));
        }
        self.require_active(name)?;
        self.admit_connection(name, now)
    }

    /// The next thing a session's connection is to do.
    pub(super) fn poll_session(&mut self, id: ConnectionId, now: Timestamp) -> Option<Action> {
        let session = self.sessions.get_mut(&id)?;
        let action = session.next_action(now)?;
        if matches!(action, Action::End | Action::Reset) {
            self.with_session(id, |service, session| {
                if let Phase::Ending(end) = &session.phase {
                    let end = end.clone();
                    service.close_session(session, end, now);
                }
            });
            self.sessions.remove(&id);
        }
        Some(action)
    }

    /// Media came.
    pub fn put_media_data(&mut self, id: ConnectionId, mut data: Bytes, now: Timestamp) {
        self.advance(now);
        self.with_session(id, |service, session| {
            if session.phase != Phase::Open {
                return;
            }
            let mark = service
                .script
                .next_byte_mark(&session.stream, session.nth, session.body_bytes);
            let room = mark.map_or(u64::MAX, |mark| mark - session.body_bytes);
            let reached = room <= data.len() as u64;
            if reached {
                // A scripted cut is exact to the byte.
                data.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            }
            service.count_data(session, &data, now);
            session.ingest.push(data);
            service.digest_body(session, now);
            if reached && session.phase == Phase::Open {
                let at = Moment::AfterBytes(session.body_bytes);
                service.fire(session, at, now);
            }
        });
    }

    /// The body ended cleanly: a closed chunked body, or all of its Content-Length.
    pub fn put_media_end(&mut self, id: ConnectionId, now: Timestamp) {
        self.advance(now);
        self.with_session(id, |service, session| {
            if session.phase != Phase::Open {
                return;
            }
            session.ingest.finish();
            service.digest_body(session, now);
            service.end_session(session, SessionEnd::Complete, now);
        });
    }

    /// The connection is gone, or its body broke off. A half fragment is thrown away.
    pub fn connection_lost(&mut self, id: ConnectionId, now: Timestamp) {
        self.advance(now);
        self.readers.remove(&id);
        self.with_session(id, |service, session| {
            let end = match std::mem::replace(&mut session.phase, Phase::Open) {
                Phase::Ended => {
                    session.phase = Phase::Ended;
                    return;
                }
                Phase::Ending(end) => end,
                Phase::Open => SessionEnd::Lost,
            };
            service.close_session(session, end, now);
        });
        self.sessions.remove(&id);
    }

    /// The raw body of a session, as far as [`capture_limit`](super::ServiceConfig::capture_limit) kept it;
    /// `nth` is the number of the PutMedia request on its stream.
    pub fn captured_body(&self, stream: &str, nth: u32) -> Option<Bytes> {
        if let Some(session) = self
            .sessions
            .values()
            .find(|s| s.stream == stream && s.nth == nth)
        {
            return Some(Bytes::copy_from_slice(session.captured()));
        }
        self.captures.get(&(stream.to_owned(), nth)).cloned()
    }

    fn count_data(&mut self, session: &mut Session, data: &Bytes, now: Timestamp) {
        session.last_data = now;
        session.idle_acks = 0;
        session.body_bytes += data.len() as u64;
        if let Some(slow) = &mut session.manner.slow_read {
            slow.take(data.len() as u64, now);
        }
        let room = self.config.capture_limit.saturating_sub(session.capture.len());
        session.capture.extend_from_slice(&data[..data.len().min(room)]);
        let stream = self.ledger.streams.entry(session.stream.clone()).or_default();
        stream.totals.body_bytes += data.len() as u64;
        if let Some(entry) = stream.sessions.get_mut(session.ledger) {
            entry.body_bytes = session.body_bytes;
        }
    }

    pub(super) fn sessions_of(&self, name: &str) -> Vec<ConnectionId> {
        let mut ids: Vec<ConnectionId> = self
            .sessions
            .values()
            .filter(|session| session.stream == name && session.counts())
            .map(|session| session.id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Runs `work` on a session that is taken out of the table for as long.
    pub(super) fn with_session(&mut self, id: ConnectionId, work: impl FnOnce(&mut Service, &mut Session)) {
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        work(self, &mut session);
        self.sessions.insert(id, session);
    }
}
