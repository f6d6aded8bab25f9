//! Sending acknowledgements, refusals among them.

use kvs_mkv::Timestamp;

use super::session::{Phase, Session};
use crate::service::ack::{Ack, AckEvent, ErrorId};
use crate::service::ledger::{AckLedger, FragmentState, SessionEnd};
use crate::service::rule::Violation;
use crate::service::{Action, Service};

impl Service {
    pub(super) fn violated(&mut self, session: &mut Session, violation: &Violation, now: Timestamp) {
        if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
            entry.trail = session.ingest.trail();
        }
        self.refuse_current(session, violation.rule.error_id(), violation.to_string(), now);
    }

    /// Refuses the fragment under way with an ERROR, which ends the session.
    pub(in crate::service) fn refuse_current(
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
    pub(super) fn ack_current(
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
    pub(super) fn write_ack(&mut self, session: &mut Session, ack: &Ack) -> bool {
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
}
