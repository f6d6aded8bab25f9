//! What fault scripts do to a session.

use std::time::Duration;

use kvs_mkv::Timestamp;

use super::session::{Pause, Phase, Session, SlowRead};
use crate::service::ledger::SessionEnd;
use crate::service::script::{Effect, Moment};
use crate::service::timer::Due;
use crate::service::{Action, ConnectionId, Operation, Service};

/// How often a slowed-down read is looked at.
const SLOW_READ_STEP: Duration = Duration::from_millis(20);

impl Service {
    pub(super) fn fire(&mut self, session: &mut Session, at: Moment, now: Timestamp) {
        let effects = self
            .script
            .fire(Operation::PutMedia, &session.stream, session.nth, at);
        self.apply(session, effects, now);
    }

    pub(super) fn apply(&mut self, session: &mut Session, effects: Vec<Effect>, now: Timestamp) {
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
                Effect::SlowRead(rate) => self.slow_down(session, rate, now),
                Effect::ExpireEndpoints => self.expire_endpoints(),
            }
        }
    }

    /// Has a session's body read no faster than a rate.
    pub(super) fn slow_down(&mut self, session: &mut Session, rate: u32, now: Timestamp) {
        session.manner.slow_read = Some(SlowRead::new(rate, now));
        self.timers
            .set(now.saturating_add(SLOW_READ_STEP), Due::Resume(session.id));
    }

    /// A pause is over, or a slowed-down read may go on.
    pub(in crate::service) fn resume(&mut self, id: ConnectionId, now: Timestamp) {
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
}
