//! How sessions end: silence, age, a deleted stream, a newer connection, or their own end.

use kvs_mkv::Timestamp;

use super::session::{Phase, Session};
use crate::service::ack::{Ack, AckEvent};
use crate::service::ledger::{AckLedger, FragmentState, SessionEnd};
use crate::service::rule::{IngestRule, Violation};
use crate::service::timer::Due;
use crate::service::{Action, ConnectionId, Service};

impl Service {
    /// Sends IDLE, or ends the session, if no data came for long enough.
    pub(in crate::service) fn check_idle(&mut self, id: ConnectionId, now: Timestamp) {
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
    pub(in crate::service) fn expire(&mut self, id: ConnectionId, now: Timestamp) {
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
    pub(in crate::service) fn stream_deleted(&mut self, name: &str, now: Timestamp) {
        for id in self.sessions_of(name) {
            self.with_session(id, |service, session| {
                let violation = Violation::new(IngestRule::StreamActive, "the stream was deleted");
                service.violated(session, &violation, now);
            });
        }
    }

    /// Ends the older connections of a stream because a newer one came.
    pub(in crate::service) fn supersede(&mut self, name: &str, now: Timestamp) {
        for id in self.sessions_of(name) {
            self.with_session(id, |service, session| {
                session.out.push_back(Action::End);
                service.close_session(session, SessionEnd::Superseded, now);
            });
        }
    }

    /// Ends every session because the server stops.
    pub(in crate::service) fn stop_sessions(&mut self, now: Timestamp) {
        let mut ids: Vec<ConnectionId> = self.sessions.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.with_session(id, |service, session| {
                session.out.push_back(Action::End);
                service.close_session(session, SessionEnd::Stopped, now);
            });
        }
    }

    /// Takes nothing more; the response ends when the last PERSISTED is out.
    pub(super) fn end_session(&mut self, session: &mut Session, end: SessionEnd, now: Timestamp) {
        if session.phase != Phase::Open {
            return;
        }
        session.phase = Phase::Ending(end);
        self.settle(session, now);
    }

    pub(super) fn settle(&mut self, session: &mut Session, now: Timestamp) {
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
    pub(super) fn close_session(&mut self, session: &mut Session, end: SessionEnd, now: Timestamp) {
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
}
