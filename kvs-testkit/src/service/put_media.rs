//! One PutMedia session: media in, acknowledgements out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvs_mkv::{Block, SimpleTag, Timestamp};

use super::ack::{Ack, AckEvent, AckForm, ErrorId};
use super::config::RepeatRule;
use super::digest::digest;
use super::ingest::{Ingest, IngestEvent, SessionHeader};
use super::ledger::{
    AckLedger, FragmentLedger, FragmentState, FrameLedger, SessionEnd, SessionLedger, TagLedger,
    TimecodeType, TrackLedger,
};
use super::media::Fragment;
use super::number::{self, FragmentNumber};
use super::rule::{IngestRule, Violation};
use super::script::{Effect, Moment};
use super::timer::{Due, FragmentRef};
use super::{Action, ConnectionId, Operation, Service, ServiceError, StreamSelector};

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

/// A session's state.
#[derive(Debug)]
pub(super) struct Session {
    id: ConnectionId,
    pub(super) stream: String,
    nth: u32,
    /// Its place among the stream's sessions in the ledger.
    pub(super) ledger: usize,
    acks_required: bool,
    ingest: Ingest,
    phase: Phase,
    out: VecDeque<Action>,
    /// PERSISTED acknowledgements still to come.
    pending: usize,
    body_bytes: u64,
    fragments: u32,
    header: Option<Arc<SessionHeader>>,
    current: Option<Current>,
    manner: Manner,
    last_data: Timestamp,
    idle_acks: u32,
    pause: Option<Pause>,
    capture: BytesMut,
}

/// How far a session is.
#[derive(Debug, PartialEq)]
enum Phase {
    /// The body is coming.
    Open,
    /// Nothing more is taken; the response ends once no PERSISTED is pending.
    Ending(SessionEnd),
    /// The response has ended, or the connection is gone.
    Ended,
}

/// What fault scripts made of the session.
#[derive(Debug, Default)]
struct Manner {
    form: AckForm,
    splits_acks: bool,
    withholds_acks: bool,
    withholds_persisted: bool,
    cuts_next_ack: bool,
    slow_read: Option<SlowRead>,
}

/// Reading no faster than a rate: `taken` bytes since `since`.
#[derive(Debug)]
struct SlowRead {
    rate: u32,
    since: Timestamp,
    taken: u64,
}

/// A scripted stall. What was queued before it still goes out.
#[derive(Debug)]
struct Pause {
    until: Timestamp,
    queued_before: usize,
}

/// How often a slowed-down read is looked at.
const SLOW_READ_STEP: Duration = Duration::from_millis(20);

/// The fragment under way.
#[derive(Debug)]
struct Current {
    number: FragmentNumber,
    timecode: i64,
    producer: Timestamp,
    server: Timestamp,
    blocks: Vec<Block>,
    tags: Vec<TagLedger>,
}

impl Session {
    /// A connection counts until its response has ended.
    pub(super) fn counts(&self) -> bool {
        self.phase != Phase::Ended || !self.out.is_empty()
    }

    fn next_action(&mut self, now: Timestamp) -> Option<Action> {
        match &mut self.pause {
            Some(pause) if now < pause.until => {
                pause.queued_before = pause.queued_before.checked_sub(1)?;
            }
            _ => {}
        }
        self.out.pop_front()
    }

    fn is_paused(&self, now: Timestamp) -> bool {
        self.pause.as_ref().is_some_and(|pause| now < pause.until)
    }

    pub(super) fn wants(&self, now: Timestamp) -> usize {
        if self.phase != Phase::Open || self.is_paused(now) {
            return 0;
        }
        let Some(slow) = &self.manner.slow_read else {
            return usize::MAX;
        };
        let elapsed = u128::from(now.since(slow.since).max(0).unsigned_abs());
        let due = elapsed * u128::from(slow.rate) / 1_000_000_000;
        usize::try_from(due.saturating_sub(u128::from(slow.taken))).unwrap_or(usize::MAX)
    }

    pub(super) fn captured(&self) -> &[u8] {
        &self.capture
    }
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
            capture: BytesMut::new(),
        };
        self.timers.set(
            now.saturating_add(limits.idle_ack.min(limits.idle_close)),
            Due::Idle(id),
        );
        self.timers
            .set(now.saturating_add(limits.connection), Due::Expire(id));
        self.apply(&mut session, effects, now);
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
            slow.taken += data.len() as u64;
        }
        let room = self.config.capture_limit.saturating_sub(session.capture.len());
        session.capture.extend_from_slice(&data[..data.len().min(room)]);
        let stream = self.ledger.streams.entry(session.stream.clone()).or_default();
        stream.totals.body_bytes += data.len() as u64;
        if let Some(entry) = stream.sessions.get_mut(session.ledger) {
            entry.body_bytes = session.body_bytes;
        }
    }

    fn digest_body(&mut self, session: &mut Session, now: Timestamp) {
        while session.phase == Phase::Open {
            match session.ingest.poll() {
                Ok(Some(event)) => self.ingested(session, event, now),
                Ok(None) => break,
                Err(violation) => self.violated(session, &violation, now),
            }
        }
    }

    fn ingested(&mut self, session: &mut Session, event: IngestEvent, now: Timestamp) {
        match event {
            IngestEvent::Header(header) => {
                if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
                    entry.timecode_scale_ns = Some(header.scale.as_nanos());
                    entry.tracks = header.tracks.iter().map(TrackLedger::from).collect();
                }
                session.header = Some(header);
            }
            IngestEvent::FragmentStart { timecode, producer } => {
                self.begin_fragment(session, timecode, producer, now);
            }
            IngestEvent::Frame(block) => self.take_frame(session, block),
            IngestEvent::Tags(tags) => self.take_tags(session, tags),
            IngestEvent::FragmentEnd { bytes, duration } => {
                self.finish_fragment(session, bytes, duration, now);
            }
        }
    }

    fn begin_fragment(&mut self, session: &mut Session, timecode: i64, producer: Timestamp, now: Timestamp) {
        let number = self.next_fragment_number();
        let seen = self.producer_times.entry(session.stream.clone()).or_default();
        let repeat_of = seen.get(&producer).copied();
        session.fragments += 1;
        session.current = Some(Current {
            number,
            timecode,
            producer,
            server: now,
            blocks: Vec::new(),
            tags: Vec::new(),
        });
        let fragment = FragmentLedger {
            number: number.to_string(),
            timecode,
            producer_timestamp_ms: producer.as_millis(),
            server_timestamp_ms: now.as_millis(),
            duration_ms: 0,
            bytes: 0,
            state: FragmentState::Open,
            tracks: Default::default(),
            frames: Vec::new(),
            frames_let_go: false,
            tags: Vec::new(),
            acks: Vec::new(),
            repeat_of: repeat_of.map(|number| number.to_string()),
        };
        if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
            entry.fragments.push(fragment);
        }
        if repeat_of.is_some() && self.config.repeat_rule == RepeatRule::Refuse {
            let detail = format!("the fragment at {timecode} came before");
            return self.violated(session, &Violation::new(IngestRule::NoRepeat, detail), now);
        }
        self.ack_current(session, AckEvent::Buffering, None, now);
        self.fire(session, Moment::OnFragment(session.fragments), now);
    }

    fn take_frame(&mut self, session: &mut Session, block: Block) {
        let frame = FrameLedger {
            track: block.track,
            key: block.key,
            len: u32::try_from(block.data.len()).unwrap_or(u32::MAX),
            timecode: block.timecode,
            digest: digest(&block.data),
        };
        if let Some(fragment) = self.ledger.last_fragment_mut(&session.stream, session.ledger) {
            let totals = fragment.tracks.entry(block.track).or_default();
            totals.frames += 1;
            totals.bytes += u64::from(frame.len);
            fragment.frames.push(frame);
        }
        if let Some(current) = &mut session.current {
            current.blocks.push(block);
        }
    }

    fn take_tags(&mut self, session: &mut Session, tags: Vec<SimpleTag>) {
        let tags = tags.into_iter().map(|tag| TagLedger {
            name: tag.name,
            value: tag.value,
        });
        match &mut session.current {
            Some(current) => {
                current.tags.extend(tags.clone());
                if let Some(fragment) = self.ledger.last_fragment_mut(&session.stream, session.ledger) {
                    fragment.tags.extend(tags);
                }
            }
            None => {
                if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
                    entry.leading_tags.extend(tags);
                }
            }
        }
    }

    fn finish_fragment(&mut self, session: &mut Session, bytes: u64, duration: Duration, now: Timestamp) {
        let duration_ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let mut ordinal = 0;
        let mut frames = 0;
        if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
            ordinal = entry.fragments_let_go + entry.fragments.len() as u64 - 1;
        }
        if let Some(fragment) = self.ledger.last_fragment_mut(&session.stream, session.ledger) {
            fragment.bytes = bytes;
            fragment.duration_ms = duration_ms;
            fragment.state = FragmentState::Received;
            frames = fragment.frames.len();
        }
        self.ledger.count_received(&session.stream, session.ledger);
        self.ack_current(session, AckEvent::Received, None, now);
        let Some(current) = session.current.take() else {
            return;
        };
        let times = self.producer_times.entry(session.stream.clone()).or_default();
        times.entry(current.producer).or_insert(current.number);
        if let Some(header) = &session.header {
            let mut fragment = Fragment {
                number: current.number,
                header: header.clone(),
                timecode: current.timecode,
                producer: current.producer,
                server: current.server,
                duration_ms,
                bytes,
                blocks: current.blocks,
                tags: current.tags,
            };
            fragment.settle();
            self.keep(&session.stream, fragment, now);
        }
        self.limit_ledger(session, ordinal, frames);
        if self.retention_hours(&session.stream) > 0 {
            session.pending += 1;
            let fragment = FragmentRef {
                connection: session.id,
                stream: session.stream.clone(),
                session: session.ledger,
                ordinal,
                number: current.number,
                timecode: current.timecode,
            };
            if self.config.persist_delay.is_zero() {
                self.persist(Some(session), &fragment, now);
            } else {
                self.timers.set(
                    now.saturating_add(self.config.persist_delay),
                    Due::Persist(fragment),
                );
            }
        }
        self.fire(session, Moment::AfterFragment(session.fragments), now);
    }

    /// A received fragment becomes stored; its session may be gone by then.
    pub(super) fn persist(&mut self, session: Option<&mut Session>, fragment: &FragmentRef, now: Timestamp) {
        self.ledger.totals_mut(&fragment.stream).fragments_persisted += 1;
        let entry = self
            .ledger
            .fragment_mut(&fragment.stream, fragment.session, fragment.ordinal);
        if let Some(entry) = entry {
            entry.state = FragmentState::Persisted;
        }
        self.ledger_changed();
        let Some(session) = session else { return };
        session.pending = session.pending.saturating_sub(1);
        let ack = Ack {
            event: AckEvent::Persisted,
            timecode: Some(fragment.timecode),
            fragment_number: Some(fragment.number.to_string()),
            error: None,
        };
        if !session.manner.withholds_persisted && self.write_ack(session, &ack) {
            let note = AckLedger {
                event: AckEvent::Persisted,
                at_ms: now.as_millis(),
                error: None,
            };
            let entry = self
                .ledger
                .fragment_mut(&fragment.stream, fragment.session, fragment.ordinal);
            if let Some(entry) = entry {
                entry.acks.push(note);
            }
        }
        self.settle(session, now);
    }

    fn violated(&mut self, session: &mut Session, violation: &Violation, now: Timestamp) {
        self.refuse_current(session, violation.rule.error_id(), violation.to_string(), now);
    }

    /// Refuses the fragment under way with an ERROR, which ends the session.
    pub(super) fn refuse_current(
        &mut self,
        session: &mut Session,
        id: ErrorId,
        reason: String,
        now: Timestamp,
    ) {
        if session.phase != Phase::Open {
            return;
        }
        if session.current.is_some() {
            if let Some(fragment) = self.ledger.last_fragment_mut(&session.stream, session.ledger) {
                fragment.state = FragmentState::Refused;
            }
            self.ledger.totals_mut(&session.stream).fragments_refused += 1;
        }
        self.ack_current(session, AckEvent::Error, Some(id), now);
        session.current = None;
        self.end_session(session, SessionEnd::Error { id, reason }, now);
    }

    /// Acknowledges the fragment under way, or the session when there is none.
    fn ack_current(
        &mut self,
        session: &mut Session,
        event: AckEvent,
        error: Option<ErrorId>,
        now: Timestamp,
    ) {
        let current = session.current.as_ref();
        let ack = Ack {
            event,
            timecode: current
                .map(|c| c.timecode)
                .or_else(|| session.ingest.open_timecode()),
            fragment_number: current.map(|c| c.number.to_string()),
            error,
        };
        let belongs = current.is_some();
        if !self.write_ack(session, &ack) {
            return;
        }
        let note = AckLedger {
            event,
            at_ms: now.as_millis(),
            error,
        };
        if belongs && let Some(fragment) = self.ledger.last_fragment_mut(&session.stream, session.ledger) {
            fragment.acks.push(note);
        } else if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
            entry.acks.push(note);
        }
        self.ledger_changed();
    }

    /// Queues an acknowledgement in the session's manner; says whether it will go out whole.
    fn write_ack(&mut self, session: &mut Session, ack: &Ack) -> bool {
        if !session.acks_required || session.manner.withholds_acks || session.phase == Phase::Ended {
            return false;
        }
        let line = ack.to_line(session.manner.form);
        self.wake(session.id);
        if session.manner.cuts_next_ack {
            session.out.push_back(Action::Send(line.slice(..line.len() / 2)));
            session.out.push_back(Action::Reset);
            session.phase = Phase::Ending(SessionEnd::ResetByScript);
            return false;
        }
        if session.manner.splits_acks {
            session
                .out
                .extend((0..line.len()).map(|i| Action::Send(line.slice(i..=i))));
        } else {
            session.out.push_back(Action::Send(line));
        }
        true
    }

    fn fire(&mut self, session: &mut Session, at: Moment, now: Timestamp) {
        let effects = self
            .script
            .fire(Operation::PutMedia, &session.stream, session.nth, at);
        self.apply(session, effects, now);
    }

    fn apply(&mut self, session: &mut Session, effects: Vec<Effect>, now: Timestamp) {
        for effect in effects {
            match effect {
                // Answered before there was a session.
                Effect::Refuse { .. } => {}
                Effect::Error(id) => {
                    self.refuse_current(session, id, "by the fault script".to_owned(), now);
                }
                Effect::Reset => {
                    session.out.push_back(Action::Reset);
                    self.close_session(session, SessionEnd::ResetByScript, now);
                }
                Effect::CutAck => session.manner.cuts_next_ack = true,
                Effect::Close => {
                    session.out.push_back(Action::End);
                    self.close_session(session, SessionEnd::ClosedByScript, now);
                }
                Effect::Stall(pause) => {
                    let until = now.saturating_add(pause);
                    session.pause = Some(Pause {
                        until,
                        queued_before: session.out.len(),
                    });
                    self.timers.set(until, Due::Resume(session.id));
                }
                Effect::WithholdAcks => session.manner.withholds_acks = true,
                Effect::WithholdPersisted => session.manner.withholds_persisted = true,
                Effect::SplitAcks => session.manner.splits_acks = true,
                Effect::AckForm(form) => session.manner.form = form,
                Effect::SlowRead(rate) => {
                    session.manner.slow_read = Some(SlowRead {
                        rate,
                        since: now,
                        taken: 0,
                    });
                    self.timers
                        .set(now.saturating_add(SLOW_READ_STEP), Due::Resume(session.id));
                }
                Effect::ExpireEndpoints => self.expire_endpoints(),
            }
        }
    }

    /// A pause is over, or a slowed-down read may go on.
    pub(super) fn resume(&mut self, id: ConnectionId, now: Timestamp) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.pause.as_ref().is_some_and(|pause| pause.until <= now) {
            session.pause = None;
            session.last_data = now;
        }
        if session.phase == Phase::Open && session.manner.slow_read.is_some() {
            self.timers
                .set(now.saturating_add(SLOW_READ_STEP), Due::Resume(id));
        }
        self.wake(id);
    }

    /// Sends IDLE, or ends the session, if no data came for long enough.
    pub(super) fn check_idle(&mut self, id: ConnectionId, now: Timestamp) {
        self.with_session(id, |service, session| {
            if session.phase != Phase::Open {
                return;
            }
            if session.is_paused(now) {
                // The service isn't reading, so the silence isn't the producer's.
                session.last_data = now;
            }
            let limits = service.config.limits.clone();
            let close_at = session.last_data.saturating_add(limits.idle_close);
            if now >= close_at {
                return service.end_session(session, SessionEnd::Idle, now);
            }
            let ack_at = |acks: u32| {
                session
                    .last_data
                    .saturating_add(limits.idle_ack.saturating_mul(acks + 1))
            };
            if now >= ack_at(session.idle_acks) {
                session.idle_acks += 1;
                let idle = Ack {
                    event: AckEvent::Idle,
                    timecode: None,
                    fragment_number: None,
                    error: None,
                };
                if service.write_ack(session, &idle)
                    && let Some(entry) = service.ledger.session_mut(&session.stream, session.ledger)
                {
                    let note = AckLedger {
                        event: AckEvent::Idle,
                        at_ms: now.as_millis(),
                        error: None,
                    };
                    entry.acks.push(note);
                }
            }
            let next = session
                .last_data
                .saturating_add(limits.idle_ack.saturating_mul(session.idle_acks + 1))
                .min(close_at);
            service.timers.set(next, Due::Idle(id));
        });
    }

    /// A session has lived as long as a connection may.
    pub(super) fn expire(&mut self, id: ConnectionId, now: Timestamp) {
        let limit = self.config.limits.connection;
        self.with_session(id, |service, session| {
            let detail = format!("open for {} s", limit.as_secs());
            service.violated(
                session,
                &Violation::new(IngestRule::ConnectionDuration, detail),
                now,
            );
        });
    }

    /// Ends every session of a stream because it was deleted.
    pub(super) fn stream_deleted(&mut self, name: &str, now: Timestamp) {
        for id in self.sessions_of(name) {
            self.with_session(id, |service, session| {
                let violation = Violation::new(IngestRule::StreamActive, "the stream was deleted");
                service.violated(session, &violation, now);
            });
        }
    }

    /// Ends the older connections of a stream because a newer one came.
    pub(super) fn supersede(&mut self, name: &str, now: Timestamp) {
        for id in self.sessions_of(name) {
            self.with_session(id, |service, session| {
                session.out.push_back(Action::End);
                service.close_session(session, SessionEnd::Superseded, now);
            });
        }
    }

    /// Ends every session because the server stops.
    pub(super) fn stop_sessions(&mut self, now: Timestamp) {
        let mut ids: Vec<ConnectionId> = self.sessions.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.with_session(id, |service, session| {
                session.out.push_back(Action::End);
                service.close_session(session, SessionEnd::Stopped, now);
            });
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

    /// Takes nothing more; the response ends when the last PERSISTED is out.
    fn end_session(&mut self, session: &mut Session, end: SessionEnd, now: Timestamp) {
        if session.phase != Phase::Open {
            return;
        }
        session.phase = Phase::Ending(end);
        self.settle(session, now);
    }

    fn settle(&mut self, session: &mut Session, now: Timestamp) {
        if session.pending > 0 {
            return;
        }
        let Phase::Ending(end) = &session.phase else {
            return;
        };
        let end = end.clone();
        if end != SessionEnd::ResetByScript {
            session.out.push_back(Action::End);
        }
        self.close_session(session, end, now);
    }

    /// The session is over for the service; its queue may still hold what the connection is to send.
    fn close_session(&mut self, session: &mut Session, end: SessionEnd, now: Timestamp) {
        if session.phase == Phase::Ended {
            return;
        }
        session.phase = Phase::Ended;
        if session.current.take().is_some() {
            if let Some(fragment) = self.ledger.last_fragment_mut(&session.stream, session.ledger) {
                fragment.state = FragmentState::Discarded;
            }
            self.ledger.totals_mut(&session.stream).fragments_discarded += 1;
        }
        if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
            entry.ended_ms = Some(now.as_millis());
            entry.end = Some(end);
        }
        if !session.capture.is_empty() {
            let body = std::mem::take(&mut session.capture).freeze();
            self.captures.insert((session.stream.clone(), session.nth), body);
        }
        self.wake(session.id);
        self.ledger_changed();
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
