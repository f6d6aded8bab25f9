//! Opening sessions and handing items over to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kvs_client::{AckMode, ClientError, ClientErrorKind};
use kvs_mkv::{FragmentTimecodes, Timestamp};
use kvs_storage::{ItemMeta, Next, SentState};

use super::StreamMachine;
use super::life::{Progress, Step};
use super::output::{Output, SendOp, SessionPlan};
use super::retry::Urgency;
use super::session::{Phase, Session, SessionId};
use super::stopping::Stopping;
use super::timer::Timer;
use crate::config::{FragmentTimes, Handover, RollbackPolicy};
use crate::error::{StreamError, StreamErrorKind};
use crate::events::StreamEvent;

/// So many sessions that are over are kept, for acknowledgements that were still on their way.
const REMEMBERED_SESSIONS: usize = 8;

/// After so many connects in a row that never became a session the endpoint is asked for again.
const CONNECTS_BEFORE_RELOCATING: u32 = 2;

/// What the next item asks of the session in hand.
enum Boundary {
    /// It goes on with the fragment under way, or starts one that this session may carry.
    Fits,
    /// This session may not carry it.
    NewSession,
}

impl StreamMachine {
    /// Hands over whatever may be sent now, opening a session first if there is none.
    pub(super) fn pump(&mut self, now: Instant) {
        if !self.is_alive() {
            return;
        }
        self.page_in_what_is_next();
        self.open_session(now);
        while let Some(session) = self.sending()
            && session.has_room(self.config.window)
        {
            let id = session.id;
            let handed_over = match self.view.next() {
                Next::Item(item) => {
                    let item = *item;
                    self.offer(id, item, now)
                }
                Next::PageIn(_) | Next::Nothing => false,
            };
            if !handed_over {
                break;
            }
        }
        self.page_in_what_is_next();
        self.close_finished_fragment(now);
        self.give_way_to_rollback(now);
        self.end_idle_session(now);
    }

    /// The session that takes media, if there is one.
    pub(super) fn sending(&self) -> Option<&Session> {
        self.sessions.back().filter(|session| session.may_send())
    }

    fn sending_mut(&mut self) -> Option<&mut Session> {
        self.sessions.back_mut().filter(|session| session.may_send())
    }

    pub(super) fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// Opens a session if something waits to be sent and nothing stands against it.
    fn open_session(&mut self, now: Instant) {
        if self.step != Step::Done || self.progress != Progress::Due || self.sending().is_some() {
            return;
        }
        // A connection counts against the stream until its response has ended, so the one before is awaited.
        let awaits_last_ack = self
            .sessions
            .iter()
            .any(|session| session.phase == Phase::Finishing);
        let may_overlap = self.config.handover == Handover::Overlap && !self.is_rollback_due;
        if awaits_last_ack && !may_overlap {
            return;
        }
        let Next::Item(item) = self.view.next() else {
            return;
        };
        let first = item.seq;
        let Some(endpoint) = self.endpoint.clone() else {
            return self.proceed(Step::Locate);
        };
        if !self.can_be_declared(first, now) {
            return;
        }
        let Some((timecode, tracks)) = self.fragment_of(first) else {
            return;
        };
        let earliest = self.backoff.earliest_connect(now);
        if earliest > now {
            self.progress = Progress::Waiting;
            self.timers.arm(Timer::Retry, earliest);
            return;
        }
        let id = SessionId(self.next_session);
        self.next_session += 1;
        let start = Timestamp::from_millis(timecode.as_millis());
        let timecodes = match self.config.times {
            FragmentTimes::Absolute => FragmentTimecodes::Absolute,
            FragmentTimes::Relative => FragmentTimecodes::Relative { start },
        };
        self.backoff.connected_at(now);
        self.sessions_counters.connects += 1;
        self.timers
            .arm(Timer::Rollover, now + self.config.session_duration);
        self.sessions
            .push_back(Session::new(id, Arc::clone(&tracks), start, first));
        while self.sessions.len() > REMEMBERED_SESSIONS
            && self
                .sessions
                .front()
                .is_some_and(|session| session.phase == Phase::Over)
        {
            self.sessions.pop_front();
        }
        let acks = self.config.acks;
        self.push(Output::Open(SessionPlan {
            session: id,
            endpoint,
            tracks,
            timecodes,
            start,
            acks,
        }));
    }

    /// Sets a fragment aside whose tracks no session can declare.
    fn can_be_declared(&mut self, seq: u64, now: Instant) -> bool {
        let Some(first_seq) = self.view.fragment(seq).map(|info| info.stored.first_seq) else {
            return false;
        };
        if self
            .fragments
            .get(first_seq)
            .is_some_and(|fragment| fragment.tracks.is_ready())
        {
            return true;
        }
        let text = "the codec private data of a track never came; its fragment can't be sent";
        self.report(StreamError::new(StreamErrorKind::Mux, text));
        self.evict(first_seq, super::DropReason::IncompleteFragment);
        // The fragment after it may do better.
        self.timers.arm(Timer::Pace, now);
        false
    }

    /// Waits longer after each session in a row of which nothing came.
    fn fruitless_wait(&mut self, now: Instant) {
        let wait = self.fruitless.next_wait(Urgency::Failed);
        self.progress = Progress::Waiting;
        self.timers.arm(Timer::Retry, now + wait);
    }

    /// Offers the next item to a session; says whether it was handed over.
    fn offer(&mut self, id: SessionId, item: ItemMeta, now: Instant) -> bool {
        let Some(first_seq) = self.view.fragment(item.seq).map(|info| info.stored.first_seq) else {
            return false;
        };
        let starts = self
            .sending()
            .is_some_and(|session| session.open_fragment != Some(first_seq));
        let wait = if starts {
            self.pacer.fragment_wait(now)
        } else {
            self.pacer.bytes_wait(now)
        };
        if starts && matches!(self.boundary(first_seq), Boundary::NewSession) {
            self.finish_session(now);
            return false;
        }
        if wait > Duration::ZERO {
            self.timers.arm(Timer::Pace, now + wait);
            return false;
        }
        if starts {
            self.start_fragment(id, first_seq, now);
        }
        self.view.advance();
        let bytes = u64::from(item.len);
        self.pacer.sent(bytes);
        self.sessions_counters.bytes_sent += bytes;
        if let Some(session) = self.sending_mut() {
            session.hand_over(item.seq, bytes);
        }
        self.await_word(now);
        self.push(Output::Send {
            session: id,
            op: SendOp::Item { meta: item },
        });
        true
    }

    fn boundary(&self, first_seq: u64) -> Boundary {
        let (Some(session), Some((timecode, tracks))) = (self.sending(), self.fragment_of(first_seq)) else {
            return Boundary::NewSession;
        };
        let same_tracks = Arc::ptr_eq(&session.tracks, &tracks);
        let rises = session
            .last_timecode()
            .is_none_or(|last| self.wire_timecode(session, timecode) > last);
        if same_tracks && rises && !session.is_expiring {
            Boundary::Fits
        } else {
            Boundary::NewSession
        }
    }

    fn start_fragment(&mut self, id: SessionId, first_seq: u64, now: Instant) {
        let Some((timecode, _)) = self.fragment_of(first_seq) else {
            return;
        };
        // The next cluster is the end of the one before.
        self.complete_fragment(now);
        self.pacer.fragment_started();
        self.sessions_counters.fragments_started += 1;
        if let Some(wire) = self
            .sending()
            .map(|session| self.wire_timecode(session, timecode))
            && let Some(session) = self.sending_mut()
        {
            session.start_fragment(wire, first_seq);
        }
        self.push(Output::Send {
            session: id,
            op: SendOp::Fragment { timecode },
        });
    }

    /// What acknowledgements on this session call a fragment of this time.
    fn wire_timecode(&self, session: &Session, timecode: Timestamp) -> i64 {
        let scale = self.config.scale;
        // Each time is rounded to units before one is taken from the other, as the muxer does: where a unit is no divisor of
        // the start's millisecond, the rounded difference is another number.
        match self.config.times {
            FragmentTimes::Absolute => scale.to_units(timecode),
            FragmentTimes::Relative => scale
                .to_units(timecode)
                .saturating_sub(scale.to_units(session.start)),
        }
    }

    fn fragment_of(&self, seq: u64) -> Option<(Timestamp, Arc<kvs_mkv::TrackSet>)> {
        let first_seq = self.view.fragment(seq)?.stored.first_seq;
        let fragment = self.fragments.get(first_seq)?;
        Some((fragment.timecode, Arc::clone(&fragment.tracks)))
    }

    /// Notes that the fragment under way has been handed over to its end.
    fn complete_fragment(&mut self, now: Instant) {
        let Some(session) = self.sending_mut() else { return };
        let (id, Some(first_seq)) = (session.id, session.open_fragment) else {
            return;
        };
        session.complete_fragment(now);
        let written_at = session.wire.back().and_then(|wire| wire.written_at);
        let Some(fragment) = self.fragments.get_mut(first_seq) else {
            return;
        };
        fragment.written_at = written_at;
        let tags = fragment.tags.clone();
        if !fragment.sent {
            fragment.sent = true;
            self.sessions_counters.fragments_sent += 1;
        }
        if !tags.is_empty() {
            self.push(Output::Send {
                session: id,
                op: SendOp::Tags(tags),
            });
        }
    }

    /// Tells the service about the end of a fragment that nothing follows yet, so that it need not wait for more.
    fn close_finished_fragment(&mut self, now: Instant) {
        let Some(session) = self.sending() else { return };
        let (id, Some(first_seq)) = (session.id, session.open_fragment) else {
            return;
        };
        let is_sent = self
            .view
            .fragment(first_seq)
            .is_none_or(|info| info.sent == SentState::Sent);
        if is_sent && matches!(self.view.next(), Next::Nothing) {
            self.complete_fragment(now);
            self.push(Output::Send {
                session: id,
                op: SendOp::EndOfFragment,
            });
            self.deliver_what_is_written(id);
        }
    }

    /// Ends the session's body after the fragment that was handed over last.
    pub(super) fn finish_session(&mut self, now: Instant) {
        let Some(session) = self.sending() else { return };
        let (id, is_open) = (session.id, session.open_fragment.is_some());
        if is_open {
            self.complete_fragment(now);
            self.push(Output::Send {
                session: id,
                op: SendOp::EndOfFragment,
            });
        }
        if let Some(session) = self.sending_mut() {
            session.phase = Phase::Finishing;
        }
        self.timers.cancel(Timer::Rollover);
        self.timers.cancel(Timer::Pace);
        self.await_last_ack(now);
        self.push(Output::Finish(id));
        self.deliver_what_is_written(id);
    }

    /// Waits for the last acknowledgement of an ended session, counted from the last progress on it.
    fn await_last_ack(&mut self, now: Instant) {
        // A service that is slower than the limit gets twice the time after each session that was given up for it.
        let wait = self
            .config
            .last_ack_timeout
            .saturating_mul(1 << self.late_last_acks.min(5));
        self.timers.arm(Timer::LastAck, now + wait);
    }

    /// Something was written or heard on a session that is to end.
    fn note_progress(&mut self, id: SessionId, now: Instant) {
        if self
            .session_mut(id)
            .is_some_and(|session| session.phase == Phase::Finishing)
        {
            self.await_last_ack(now);
        }
    }

    fn end_idle_session(&mut self, now: Instant) {
        let nothing_open = self
            .sending()
            .is_some_and(|session| session.open_fragment.is_none());
        if self.is_idle && nothing_open && matches!(self.view.next(), Next::Nothing) {
            self.finish_session(now);
        }
    }

    /// The service accepted a session.
    pub(super) fn session_opened(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.session_mut(id) else {
            return;
        };
        if session.phase == Phase::Over {
            return;
        }
        if session.phase == Phase::Opening {
            session.phase = Phase::Open;
        }
        session.accepted = true;
        self.sessions_counters.sessions += 1;
        self.heard(id, now);
        self.push(Output::Event(StreamEvent::SessionOpened { session: id }));
    }

    /// Items were written to the connection.
    pub(super) fn written(&mut self, id: SessionId, seq: u64, bytes: u64, now: Instant) {
        let acks = self.config.acks;
        self.note_progress(id, now);
        let Some(session) = self.session_mut(id) else {
            return;
        };
        session.written_up_to(seq, bytes, now);
        session.waiting_since = session.is_owed(acks).then_some(now);
        let written: Vec<u64> = session
            .wire
            .iter()
            .filter(|wire| wire.written_at == Some(now))
            .map(|wire| wire.first_seq)
            .collect();
        for first_seq in written {
            if let Some(fragment) = self.fragments.get_mut(first_seq) {
                fragment.written_at = Some(now);
            }
        }
        self.deliver_what_is_written(id);
        self.release_held_back();
    }

    /// Where acknowledgements are off, what was written counts as delivered.
    fn deliver_what_is_written(&mut self, id: SessionId) {
        if self.config.acks != AckMode::Off {
            return;
        }
        let Some(session) = self.session_mut(id) else {
            return;
        };
        let done: Vec<u64> = session
            .wire
            .iter()
            .filter(|wire| wire.complete && wire.written_at.is_some() && !wire.settled)
            .map(|wire| wire.first_seq)
            .collect();
        for wire in &mut session.wire {
            wire.settled |= wire.complete && wire.written_at.is_some();
        }
        if done.is_empty() {
            return;
        }
        session.has_delivered = true;
        self.fruitless.reset();
        for first_seq in done {
            self.deliver(first_seq);
        }
    }

    /// A session is over.
    pub(super) fn session_ended(&mut self, id: SessionId, result: Result<(), ClientError>, now: Instant) {
        let Some(session) = self.session_mut(id) else {
            return;
        };
        if session.phase == Phase::Over {
            return;
        }
        let was_finishing = session.phase == Phase::Finishing;
        let (was_accepted, was_fruitful) = (session.accepted, session.has_delivered);
        self.close_session(id);
        let error = result.err().map(Arc::new);
        let told = error
            .as_ref()
            .map(|error| StreamError::service(error).on_stream(&self.config.stream));
        self.push(Output::Event(StreamEvent::SessionClosed {
            session: id,
            error: told,
        }));
        match error {
            // The service or we ended it in good order; what isn't delivered goes up again, ever more slowly while nothing
            // comes of it.
            None if self.counters.buffered.frames > 0 && !was_fruitful => {
                let text = "the session ended before anything was delivered";
                self.report(StreamError::new(StreamErrorKind::Timeout, text));
                self.fruitless_wait(now);
            }
            None => {}
            Some(_) if was_finishing && self.counters.buffered.frames == 0 => {}
            Some(error) => {
                let unreachable = !was_accepted && is_unreachable(error.kind());
                let again = if unreachable && self.backoff.attempts() >= CONNECTS_BEFORE_RELOCATING {
                    self.endpoint = None;
                    self.push(Output::ForgetEndpoint);
                    Step::Locate
                } else {
                    Step::Done
                };
                self.step_failed(&error, again, now);
            }
        }
    }

    /// Marks a session as over and takes up sending from the first fragment that is not delivered.
    pub(super) fn close_session(&mut self, id: SessionId) {
        let Some(session) = self.session_mut(id) else {
            return;
        };
        session.phase = Phase::Over;
        session.open_fragment = None;
        self.release_held_back();
        if !self.sessions.iter().any(Session::may_send) {
            self.timers.cancel(Timer::Rollover);
            self.timers.cancel(Timer::Pace);
            self.timers.cancel(Timer::Stale);
        }
        if !self
            .sessions
            .iter()
            .any(|session| session.phase == Phase::Finishing)
        {
            self.timers.cancel(Timer::LastAck);
        }
        if self.sending().is_none() {
            self.is_rollback_due = false;
            self.roll_back();
            self.leave_behind_by_policy();
        } else if self.left_something_behind(id) {
            // A younger session is in the middle of sending: it ends at its next boundary, and then it is sent again.
            self.is_rollback_due = true;
            if let Some(session) = self.sending_mut() {
                session.is_expiring = true;
            }
        }
        self.release_delivered();
    }

    /// Whether a session that is over sent something that is not delivered.
    fn left_something_behind(&self, id: SessionId) -> bool {
        let is_undelivered = |first_seq: u64| {
            self.view
                .fragment(first_seq)
                .is_some_and(|info| info.stored.first_seq == first_seq && !info.skip)
        };
        self.sessions
            .iter()
            .filter(|session| session.id == id)
            .flat_map(|session| &session.wire)
            .any(|wire| is_undelivered(wire.first_seq))
    }

    /// Ends the session in hand once nothing is open on it, if media of an older one has to be sent again.
    fn give_way_to_rollback(&mut self, now: Instant) {
        let nothing_open = self
            .sending()
            .is_some_and(|session| session.open_fragment.is_none());
        if self.is_rollback_due && nothing_open {
            self.finish_session(now);
        }
    }

    /// What the rollback policy does not send again is given up, and reported as such.
    fn leave_behind_by_policy(&mut self) {
        let (mut last_sent, mut last_received) = (None, None);
        for (first_seq, fragment) in self.fragments.iter() {
            if fragment.sent {
                last_sent = Some(fragment.timecode);
            }
            if fragment.received_at.is_some() {
                last_received = Some(first_seq);
            }
        }
        let given_up = |first_seq: u64, timecode: Timestamp| match self.config.rollback {
            RollbackPolicy::Unpersisted => false,
            RollbackPolicy::AfterReceived => last_received.is_some_and(|last| first_seq <= last),
            RollbackPolicy::Replay(span) => {
                last_sent.is_some_and(|last| timecode < last.saturating_sub(span))
            }
        };
        let left: Vec<u64> = self
            .fragments
            .iter()
            .filter(|(first_seq, fragment)| fragment.sent && given_up(*first_seq, fragment.timecode))
            .map(|(first_seq, _)| first_seq)
            .collect();
        for first_seq in left {
            // A session that is finishing may still be writing it.
            if self
                .view
                .fragment(first_seq)
                .is_some_and(|info| self.may_go(&info))
            {
                self.evict(first_seq, super::DropReason::StreamFailed);
            }
        }
    }

    /// Sends again from the first fragment that is not delivered; later ones that are will be passed over.
    fn roll_back(&mut self) {
        // A fragment that was delivered while it was being sent again would else be gone on with in the middle.
        if let Some(under_way) = self.view.sending() {
            let _ = self.view.rollback_to(under_way.stored.first_seq);
        }
        while let Some(first) = self.view.first_undelivered() {
            match self.view.rollback_to(first.stored.first_seq) {
                Ok(()) => return,
                Err(error) if error.kind() == kvs_storage::StoreErrorKind::NotAKeyFragment => {
                    let reason = super::DropReason::IncompleteFragment;
                    if !self.evict(first.stored.first_seq, reason) {
                        return;
                    }
                }
                // It lies ahead of what was sent: nothing has to be sent again.
                Err(_) => return,
            }
        }
    }

    /// Closes a session's connection at once and opens another as soon as the connect spacing allows.
    pub(super) fn abandon(&mut self, id: SessionId, why: Option<StreamError>) {
        let alive = self
            .session_mut(id)
            .is_some_and(|session| session.phase != Phase::Over);
        if alive {
            self.push(Output::Abort(id));
            self.close_session(id);
            let error = why.map(|error| error.on_stream(&self.config.stream));
            self.push(Output::Event(StreamEvent::SessionClosed { session: id, error }));
        }
    }

    pub(super) fn reset_connection(&mut self, _now: Instant) {
        let ids: Vec<SessionId> = self.sessions.iter().map(|session| session.id).collect();
        for id in ids {
            self.abandon(id, None);
        }
    }

    /// Drops all media and begins anew.
    pub(super) fn reset_stream(&mut self, now: Instant) {
        self.reset_connection(now);
        let held: Vec<u64> = self.fragments.iter().map(|(first_seq, _)| first_seq).collect();
        for first_seq in held {
            self.evict(first_seq, super::DropReason::StreamReset);
        }
        self.endpoint = None;
        self.push(Output::ForgetEndpoint);
        self.proceed(Step::Describe);
    }

    /// An item handed over can't be sent: its bytes are lost, or it can't be muxed.
    pub(super) fn unsendable(&mut self, id: SessionId, seq: u64, error: StreamError, now: Instant) {
        self.report(error.clone());
        self.abandon(id, Some(error));
        let fragment = self.view.fragment(seq).map(|info| info.stored.first_seq);
        if let Some(first_seq) = fragment {
            self.evict(first_seq, super::DropReason::StoreFailure);
        }
        self.wait_then(self.step, Urgency::Failed, now);
    }

    /// The session is old enough to be replaced at the next boundary.
    pub(super) fn roll_over(&mut self, now: Instant) {
        if let Some(session) = self.sending_mut() {
            session.is_expiring = true;
            if session.open_fragment.is_none() {
                self.finish_session(now);
            }
        }
    }

    /// An ended session has not had its last acknowledgement in time: what it lacks is sent again.
    pub(super) fn last_ack_is_late(&mut self, now: Instant) {
        let late: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|session| session.phase == Phase::Finishing)
            .map(|session| session.id)
            .collect();
        for id in late {
            self.late_last_acks += 1;
            let text = "the last acknowledgement of the session did not come in time";
            self.abandon(id, Some(StreamError::new(StreamErrorKind::Timeout, text)));
            self.wait_then(self.step, Urgency::Failed, now);
        }
    }

    /// No frame has come for long.
    pub(super) fn fell_idle(&mut self, now: Instant) {
        let (Some(timeout), Some(last)) = (self.config.idle_timeout, self.last_item_at) else {
            return;
        };
        if now < last + timeout {
            self.timers.arm(Timer::Idle, last + timeout);
        } else if !self.is_idle && matches!(self.stopping, Stopping::No) {
            // With or without a session: the fragment is to be complete when the next one carries it.
            self.push(Output::CloseFragment);
        }
    }

    /// Something was handed over: from now on a word from the service is due.
    fn await_word(&mut self, now: Instant) {
        let Some(staleness) = self.config.staleness else {
            return;
        };
        let Some(session) = self.sending_mut() else { return };
        if session.waiting_since.is_none() {
            session.waiting_since = Some(now);
        }
        if !self.timers.is_armed(Timer::Stale) {
            self.timers.arm(Timer::Stale, now + staleness);
        }
    }

    /// The service said something on a session.
    pub(super) fn heard(&mut self, id: SessionId, now: Instant) {
        let acks = self.config.acks;
        let Some(session) = self.session_mut(id) else {
            return;
        };
        session.waiting_since = session.is_owed(acks).then_some(now);
        self.note_progress(id, now);
    }

    pub(super) fn check_staleness(&mut self, now: Instant) {
        let (Some(staleness), Some(session)) = (self.config.staleness, self.sending()) else {
            return;
        };
        let (id, Some(since)) = (session.id, session.waiting_since) else {
            return;
        };
        if now < since + staleness {
            self.timers.arm(Timer::Stale, since + staleness);
            return;
        }
        self.sessions_counters.stale_connections += 1;
        let silence = now.saturating_duration_since(since);
        self.push(Output::Event(StreamEvent::ConnectionStale { silence }));
        let text = format!("nothing was written or acknowledged for {} s", silence.as_secs());
        self.abandon(id, Some(StreamError::new(StreamErrorKind::Timeout, text)));
        self.wait_then(self.step, Urgency::Failed, now);
    }
}

/// Whether the failure says that nobody answers there.
fn is_unreachable(kind: ClientErrorKind) -> bool {
    matches!(
        kind,
        ClientErrorKind::Connect | ClientErrorKind::Tls | ClientErrorKind::Timeout
    )
}
