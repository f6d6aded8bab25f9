//! What acknowledgements mean: which fragment they name, and what becomes of it and of the stream.

use std::ops::Range;
use std::time::Instant;

use kvs_client::{Ack, AckEvent};
use kvs_mkv::Timestamp;
use kvs_storage::AckState;

use super::StreamMachine;
use super::counters::DropReason;
use super::fragment::Unconfirmed;
use super::life::Step;
use super::output::Output;
use super::reaction::{FragmentFate, NextStep, Reaction, reaction_to};
use super::retry::Urgency;
use super::session::SessionId;
use super::timer::Timer;
use crate::error::{StreamError, StreamErrorKind};
use crate::events::{FragmentAck, StreamEvent};

impl StreamMachine {
    /// An acknowledgement came on a session, which may be over by now.
    pub(super) fn acked(&mut self, id: SessionId, ack: Ack, now: Instant) {
        if self.session_mut(id).is_none() {
            self.sessions_counters.unknown_acks += 1;
            return;
        }
        let mut told = FragmentAck::new(id, ack.event.clone());
        told.fragment_number.clone_from(&ack.fragment_number);
        match ack.event {
            AckEvent::Idle => self.sessions_counters.idle_acks += 1,
            AckEvent::Error => {
                self.sessions_counters.error_acks += 1;
                let named = self.named(id, ack.timecode);
                told.timecode = named.and_then(|first_seq| self.timecode_of(first_seq));
                self.push(Output::Event(StreamEvent::FragmentAck(told)));
                let (number, name) = ack.error.map_or((None, None), |error| (error.id, error.code));
                self.refused(id, named, reaction_to(number, name.as_deref()), now);
                return;
            }
            AckEvent::Buffering | AckEvent::Received | AckEvent::Persisted => {
                // The service lives and takes media: the next failure waits briefly again.
                self.backoff.reset();
                let Some(first_seq) = self.named(id, ack.timecode) else {
                    self.sessions_counters.unknown_acks += 1;
                    self.heard(id, now);
                    return;
                };
                told.timecode = self.timecode_of(first_seq);
                told.latency = self
                    .fragments
                    .get(first_seq)
                    .and_then(|fragment| fragment.written_at)
                    .map(|written| now.saturating_duration_since(written));
                self.note(id, first_seq, &ack.event, ack.timecode, now);
            }
            _ => self.sessions_counters.unknown_acks += 1,
        }
        self.heard(id, now);
        self.push(Output::Event(StreamEvent::FragmentAck(told)));
    }

    /// The fragment that a timecode names on a session.
    fn named(&mut self, id: SessionId, timecode: Option<i64>) -> Option<u64> {
        let session = self.session_mut(id)?;
        Some(session.find_mut(timecode?)?.first_seq)
    }

    fn timecode_of(&self, first_seq: u64) -> Option<Timestamp> {
        self.fragments.get(first_seq).map(|fragment| fragment.timecode)
    }

    fn note(&mut self, id: SessionId, first_seq: u64, event: &AckEvent, timecode: Option<i64>, now: Instant) {
        let (state, is_last) = match event {
            AckEvent::Received => {
                self.sessions_counters.received_acks += 1;
                (AckState::Received, self.retention_hours == 0)
            }
            AckEvent::Persisted => {
                self.sessions_counters.persisted_acks += 1;
                (AckState::Persisted, true)
            }
            _ => {
                self.sessions_counters.buffering_acks += 1;
                (AckState::Buffering, false)
            }
        };
        // Gone fragments can't be marked; what they left behind is settled below.
        let _ = self.view.mark_ack(first_seq, state);
        let Some(session) = self.session_mut(id) else {
            return;
        };
        let Some(wire) = timecode.and_then(|timecode| session.find_mut(timecode)) else {
            return;
        };
        // A fragment whose end never left can't be complete at the service, whatever it says.
        if !wire.complete {
            return;
        }
        wire.settled |= is_last;
        session.has_delivered |= is_last;
        if state >= AckState::Received
            && let Some(fragment) = self.fragments.get_mut(first_seq)
            && fragment.received_at.is_none()
        {
            fragment.received_at = Some(now);
            self.sessions_counters.fragments_received += 1;
            if let Some(limit) = self.config.received_limit
                && !is_last
                && !self.timers.is_armed(Timer::Received)
            {
                self.timers.arm(Timer::Received, now + limit);
            }
        }
        if is_last {
            self.late_last_acks = 0;
            self.fruitless.reset();
            if state == AckState::Persisted {
                self.note_persisted(first_seq);
            }
            self.deliver(first_seq);
        }
    }

    /// Fragments whose PERSISTED never came are let go, so that they hold up nothing; a late one still counts.
    pub(super) fn let_go_of_received(&mut self, now: Instant) {
        let Some(limit) = self.config.received_limit else {
            return;
        };
        let is_due = |at: &Instant| now >= *at + limit;
        let due: Vec<u64> = self
            .fragments
            .iter()
            .filter(|(_, fragment)| {
                fragment.tally.frames > 0 && fragment.received_at.as_ref().is_some_and(is_due)
            })
            .map(|(first_seq, _)| first_seq)
            .collect();
        let mut is_any_kept = false;
        for first_seq in due {
            // One that is being sent again is looked at later.
            let may_go = self
                .view
                .fragment(first_seq)
                .is_some_and(|info| self.may_go(&info));
            if !may_go || !self.evict(first_seq, DropReason::FragmentDropped) {
                is_any_kept = true;
            }
        }
        if is_any_kept {
            self.timers.arm(Timer::Received, now + limit);
        }
        let next = self
            .fragments
            .iter()
            .filter_map(|(_, fragment)| fragment.received_at)
            .filter(|at| !is_due(at))
            .min();
        if let Some(at) = next {
            // Sooner than a second look at what was kept.
            self.timers.arm(Timer::Received, at + limit);
        }
    }

    fn note_persisted(&mut self, first_seq: u64) {
        let held = self.fragments.get(first_seq).map(|fragment| fragment.timecode);
        let Some(timecode) = held.or_else(|| self.fragments.unconfirmed_timecode(first_seq)) else {
            return;
        };
        // A fragment that is delivered already was counted.
        if self.view.fragment(first_seq).is_none_or(|info| !info.skip) {
            self.sessions_counters.fragments_persisted += 1;
        }
        self.last_persisted = self.last_persisted.max(Some(timecode));
    }

    /// A fragment has arrived for good: it is never sent again and its items are released.
    pub(super) fn deliver(&mut self, first_seq: u64) {
        if let Some(late) = self.fragments.recall(first_seq) {
            self.counters.deliver_late(late.tally);
            return;
        }
        if self.view.fragment(first_seq).is_some_and(|info| info.skip) {
            return;
        }
        if let (Ok(()), Some(fragment)) = (self.view.deliver(first_seq), self.fragments.get_mut(first_seq)) {
            let tally = std::mem::take(&mut fragment.tally);
            self.counters.deliver(tally);
            self.release_delivered();
        }
    }

    /// Releases what left the window because it needs never be sent again.
    pub(super) fn release_delivered(&mut self) {
        while let Some(removed) = self.view.poll_delivered() {
            self.fragments.remove(removed.fragment.stored.first_seq);
            let seqs: Range<u64> = removed.seqs.into();
            if self.is_writing_any(&seqs) {
                self.held_back.push(seqs);
            } else {
                self.push(Output::Release { seqs });
            }
        }
    }

    /// Releases what was delivered while a session was about to read it once more, as soon as it isn't.
    pub(super) fn release_held_back(&mut self) {
        let held_back = std::mem::take(&mut self.held_back);
        for seqs in held_back {
            if self.is_writing_any(&seqs) {
                self.held_back.push(seqs);
            } else {
                self.push(Output::Release { seqs });
            }
        }
    }

    fn is_writing_any(&self, seqs: &Range<u64>) -> bool {
        self.sessions
            .iter()
            .any(|session| session.is_writing_any(seqs.start, seqs.end))
    }

    /// The service refused a fragment, or the session as a whole.
    fn refused(&mut self, id: SessionId, named: Option<u64>, reaction: Reaction, now: Instant) {
        // An error ends its session, so there is one for each; a repeated one says nothing new.
        let is_repeated = self
            .session_mut(id)
            .is_none_or(|session| std::mem::replace(&mut session.is_refused, true));
        if is_repeated {
            return;
        }
        let text = format!(
            "the service answered with error {} {}",
            reaction.code, reaction.name
        );
        let error = StreamError::new(StreamErrorKind::Ack(reaction.code), text);
        // Without a timecode it means the oldest fragment of the session that isn't settled.
        let blamed = named.or_else(|| {
            let session = self.session_mut(id)?;
            session
                .wire
                .iter()
                .find(|wire| !wire.settled)
                .map(|wire| wire.first_seq)
        });
        self.abandon(id, Some(error.clone()));
        if let Some(first_seq) = blamed {
            self.judge(first_seq, reaction);
        }
        match reaction.next {
            NextStep::Fatal => return self.fail(error.on_stream(&self.config.stream).fatal()),
            NextStep::Reopen => {}
            NextStep::BackOff => self.wait_then(self.step, Urgency::Failed, now),
            NextStep::Redescribe => self.wait_then(Step::Describe, Urgency::Throttled, now),
        }
        self.report(error);
    }

    fn judge(&mut self, first_seq: u64, reaction: Reaction) {
        let Some(fragment) = self.fragments.get_mut(first_seq) else {
            return;
        };
        fragment.refusals += 1;
        let is_final = match reaction.fragment {
            FragmentFate::Refuse => true,
            FragmentFate::ResendOnce => fragment.refusals > 1,
            FragmentFate::Resend => false,
        };
        // Where a younger session is sending it already, that one will hear the same.
        let may_go = self
            .view
            .fragment(first_seq)
            .is_some_and(|info| self.may_go(&info));
        if is_final && may_go {
            self.set_aside(first_seq, reaction);
        }
    }

    /// A fragment that can't be delivered leaves the window, so that it never blocks what follows.
    fn set_aside(&mut self, first_seq: u64, reaction: Reaction) {
        let _ = self.view.mark_ack(first_seq, AckState::Refused);
        let is_open = self.view.fragment(first_seq).is_some_and(|info| !info.closed);
        let Ok(removed) = self.view.evict_fragment(first_seq) else {
            return;
        };
        if is_open {
            self.skipping = Some(DropReason::FragmentDropped);
        }
        if let Some(fragment) = self.fragments.remove(first_seq) {
            self.counters.refuse(fragment.tally);
            self.sessions_counters.fragments_refused += 1;
            self.push(Output::Event(StreamEvent::FragmentRefused {
                timecode: fragment.timecode,
                reaction,
            }));
        }
        self.push(Output::Release {
            seqs: removed.seqs.into(),
        });
    }

    /// Notes that a fragment left the window without being delivered, as what it now is.
    pub(super) fn leave_behind(&mut self, first_seq: u64, reason: DropReason) {
        let Some(fragment) = self.fragments.remove(first_seq) else {
            return;
        };
        let (timecode, tally) = (fragment.timecode, fragment.tally);
        if fragment.sent {
            self.counters.lose_sight(tally);
            self.fragments
                .remember(first_seq, Unconfirmed { timecode, tally });
        } else {
            self.counters.drop_unsent(tally, reason);
            self.push(Output::Event(StreamEvent::Dropped {
                from: timecode,
                tally,
                reason,
            }));
        }
    }
}
