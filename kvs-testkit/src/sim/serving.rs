//! Between a session's two ends: dialling, what arrives where, and what the service does with it.

use std::time::Duration;

use bytes::Bytes;
use kvs_actors::machine::{Input, SessionId};
use kvs_actors::{StreamError, StreamErrorKind};
use kvs_client::{ClientError, ClientErrorKind};

use super::account::flaw;
use super::control;
use super::doors::Doors;
use super::scenario::STREAM;
use super::session::{Down, Stage, Up, Wrote};
use super::verdict::FindingKind;
use super::world::{BY_SCRIPT, Event, SYN_AGAIN, World};
use crate::service::{Action, ConnectionId, ErrorId, SessionEnd};

impl<D: Doors> World<D> {
    /// A session tries to connect.
    pub(super) fn dial(&mut self, id: SessionId) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Stage::Dialling { until } = session.stage else {
            return;
        };
        let failure = if self.link.is_black {
            if now < until {
                let again = SYN_AGAIN.min(until - now);
                return self.after(again, Event::Dial(id));
            }
            Some(ClientErrorKind::Timeout)
        } else if self.link.refuses {
            Some(ClientErrorKind::Connect)
        } else {
            None
        };
        if let Some(kind) = failure {
            session.leave(Stage::Over);
            // The service never knew of it.
            session.nth = u32::MAX;
            return self.tell(Input::SessionEnded {
                session: id,
                result: Err(ClientError::new(kind, "no connection")),
            });
        }
        session.stage = Stage::Connected;
        let is_in_time = self.clock.signs_in_time();
        self.send_up(id, Up::Request { is_in_time });
        self.write_all();
    }

    /// Lets every session write what its connection takes.
    pub(super) fn write_all(&mut self) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            while self.write(id) {}
        }
    }

    /// Writes one batch of a session; says whether another may follow.
    fn write(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let (store, dice, account) = (&self.store, &mut self.dice, &mut self.account);
        let mut lost = None;
        let wrote = session.write(
            |seq| {
                if store.read_failures > 0 && dice.percent(store.read_failures) {
                    return None;
                }
                let payload = store.read(seq);
                if payload.is_none() {
                    lost = Some(seq);
                }
                payload
            },
            |units| account.muxed(id, units),
        );
        if let Some(seq) = lost {
            let text = format!("item {seq} was handed to session {id} and is gone");
            self.hold(flaw(FindingKind::Store, text));
            return false;
        }
        match wrote {
            Wrote::Nothing => false,
            Wrote::Bytes {
                body,
                last_item,
                payload,
            } => {
                self.send_up(id, Up::Body(body));
                if let Some(seq) = last_item {
                    let written = Input::Written {
                        session: id,
                        seq,
                        bytes: payload,
                    };
                    self.after(Duration::ZERO, Event::Tell(written));
                }
                true
            }
            Wrote::End => {
                self.send_up(id, Up::End);
                false
            }
            Wrote::Unreadable { seq } => {
                let error = StreamError::new(StreamErrorKind::Store, "the item can't be read");
                let unsendable = Input::Unsendable {
                    session: id,
                    seq,
                    error,
                };
                self.after(Duration::ZERO, Event::Tell(unsendable));
                false
            }
            Wrote::Unmuxable { seq, error } => {
                let text = format!("session {id}, about item {seq:?}: {error}");
                self.hold(flaw(FindingKind::Wire, text));
                false
            }
        }
    }

    fn send_up(&mut self, id: SessionId, what: Up) {
        let arrival = self.clock.now() + self.link.travel();
        if let Some(session) = self.sessions.get_mut(&id) {
            let arrival = session.up.put(arrival, what);
            self.at(arrival, Event::Arrival(id));
        }
    }

    pub(super) fn send_down(&mut self, id: SessionId, what: Down) {
        let mut arrival = self.clock.now() + self.link.travel();
        if matches!(what, Down::Body(_)) {
            arrival += self.link.ack_delay;
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            let arrival = session.down.put(arrival, what);
            self.at(arrival, Event::Arrival(id));
        }
    }

    /// The device closes a session's connection.
    pub(super) fn hang_up(&mut self, id: SessionId, stage: Stage) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if !session.is_live() {
            return;
        }
        let was_connected = session.stage == Stage::Connected;
        session.leave(stage);
        if was_connected {
            self.send_up(id, Up::Reset);
        } else {
            session.nth = u32::MAX;
        }
    }

    /// Takes what has arrived at either end of a session, as far as the link lets it through.
    pub(super) fn arrival(&mut self, id: SessionId) {
        let now = self.clock.now();
        if !self.link.is_black && !self.link.is_stalled {
            while let Some(up) = self
                .sessions
                .get_mut(&id)
                .and_then(|session| session.up.take(now))
            {
                self.arrived_up(id, up);
            }
            self.feed(id);
            self.serve();
        }
        if !self.link.is_black {
            while let Some(down) = self
                .sessions
                .get_mut(&id)
                .and_then(|session| session.down.take(now))
            {
                self.arrived_down(id, down);
            }
        }
        self.write_all();
    }

    fn arrived_up(&mut self, id: SessionId, up: Up) {
        match up {
            Up::Request { is_in_time } => self.request(id, is_in_time),
            Up::Body(body) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.inbox.push_back(body);
                }
            }
            Up::End => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.has_body_end = true;
                }
            }
            Up::Reset => {
                self.feed(id);
                self.serve();
                self.lose(id);
            }
        }
    }

    fn request(&mut self, id: SessionId, is_in_time: bool) {
        let is_damaging = self.active.iter().any(|kind| kind.damages_sessions());
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if !is_in_time {
            session.nth = u32::MAX;
            return self.send_down(id, Down::Refusal(control::skewed()));
        }
        let path = format!("{}/putMedia", session.plan.endpoint.path().trim_end_matches('/'));
        let opened = self.service.route(&path).and_then(|_| {
            self.service
                .open_put_media(&session.request(STREAM), self.clock.service())
        });
        let down = match opened {
            Ok(opened) => {
                session.connection = Some(opened.connection);
                session.nth = opened.nth;
                session.is_damaged |= is_damaging;
                self.connections.insert(opened.connection, id);
                Down::Head
            }
            Err(error) => {
                session.nth = u32::MAX;
                Down::Refusal(control::client_error(&error))
            }
        };
        self.send_down(id, down);
        self.serve();
    }

    /// Gives the service what has come, as far as it wants it.
    pub(super) fn feed(&mut self, id: SessionId) {
        loop {
            let now = self.clock.service();
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            let Some(connection) = session.connection else {
                return;
            };
            if session.inbox.is_empty() {
                if std::mem::take(&mut session.has_body_end) {
                    self.service.put_media_end(connection, now);
                }
                return;
            }
            let wanted = self.service.wants(connection, now);
            if wanted == 0 {
                return;
            }
            let Some(mut body) = session.inbox.pop_front() else {
                return;
            };
            let cut = session.cut_after.filter(|left| *left <= body.len());
            let take = body.len().min(wanted).min(cut.unwrap_or(usize::MAX));
            let rest = body.split_off(take);
            if !rest.is_empty() {
                session.inbox.push_front(rest);
            }
            session.under_way = session.under_way.saturating_sub(take);
            session.cut_after = session.cut_after.map(|left| left.saturating_sub(take));
            let is_cut = session.cut_after == Some(0);
            self.service.put_media_data(connection, body, now);
            if is_cut {
                return self.reset_from_afar(id);
            }
        }
    }

    /// Does what the service has for its connections.
    pub(super) fn serve(&mut self) {
        let now = self.clock.service();
        while let Some(connection) = self.service.take_woken() {
            let Some(id) = self.connections.get(&connection).copied() else {
                continue;
            };
            while let Some(action) = self.service.poll(connection, now) {
                self.serve_action(connection, id, action);
            }
            self.feed(id);
        }
    }

    fn serve_action(&mut self, connection: ConnectionId, id: SessionId, action: Action) {
        match action {
            Action::Send(bytes) => self.send_ack(id, bytes),
            Action::End => {
                self.forget(connection, id);
                self.send_down(id, Down::End);
            }
            Action::Reset => {
                self.forget(connection, id);
                self.send_down(id, Down::Reset);
            }
        }
    }

    /// An acknowledgement, or a part of one, goes out, unless a fault has it lost.
    fn send_ack(&mut self, id: SessionId, bytes: Bytes) {
        let is_whole = bytes.starts_with(b"{") && bytes.ends_with(b"\n");
        if is_whole && self.lose_percent > 0 && self.dice.percent(self.lose_percent) {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.is_damaged = true;
            }
            return;
        }
        if is_whole && self.repeats && self.dice.percent(50) {
            self.send_down(id, Down::Body(bytes.clone()));
        }
        self.send_down(id, Down::Body(bytes));
    }

    fn forget(&mut self, connection: ConnectionId, id: SessionId) {
        self.connections.remove(&connection);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.connection = None;
        }
    }

    /// The service learns that a connection is gone.
    pub(super) fn lose(&mut self, id: SessionId) {
        let connection = self.sessions.get(&id).and_then(|session| session.connection);
        if let Some(connection) = connection {
            self.service.connection_lost(connection, self.clock.service());
            self.forget(connection, id);
        }
    }

    /// A connection is reset from outside, for both ends.
    pub(super) fn reset_from_afar(&mut self, id: SessionId) {
        self.lose(id);
        if self
            .sessions
            .get(&id)
            .is_some_and(|session| session.stage == Stage::Connected)
        {
            self.send_down(id, Down::Reset);
        }
    }

    fn arrived_down(&mut self, id: SessionId, down: Down) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        match session.stage {
            Stage::Connected => {}
            Stage::Abandoned { news_until } if now <= news_until => {}
            _ => return,
        }
        let end = match down {
            Down::Head => return self.tell(Input::SessionOpened(id)),
            Down::Body(bytes) => {
                session.decoder.push(&bytes);
                return self.read_acks(id);
            }
            Down::End => Ok(()),
            Down::Reset => Err(ClientError::new(ClientErrorKind::ConnectionLost, "reset")),
            Down::Refusal(error) => Err(error),
        };
        self.hang_up(id, Stage::Over);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.stage = Stage::Over;
            session.down.clear();
        }
        self.tell(Input::SessionEnded {
            session: id,
            result: end,
        });
    }

    fn read_acks(&mut self, id: SessionId) {
        loop {
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            match session.decoder.poll() {
                Ok(Some(ack)) => self.tell(Input::Acked { session: id, ack }),
                Ok(None) => return,
                Err(error) => {
                    let text = format!("session {id}: an acknowledgement that can't be read: {error}");
                    return self.hold(flaw(FindingKind::Wire, text));
                }
            }
        }
    }

    /// Looks whether the service refused anything that no fault made it refuse.
    pub(super) fn check_refusals(&mut self) {
        let ledger = self.service.ledger().stream(STREAM);
        let mut refused = None;
        for session in &ledger.sessions[self.sessions_checked.min(ledger.sessions.len())..] {
            let Some(end) = &session.end else { break };
            self.sessions_checked += 1;
            if let SessionEnd::Error { id, reason } = end
                && !self.is_expected(*id, reason)
            {
                refused = Some(format!("{} {}: {reason}", id.0, id.name()));
                break;
            }
        }
        if let Some(text) = refused {
            self.hold(flaw(FindingKind::Refused, text));
        }
    }

    fn is_expected(&self, id: ErrorId, reason: &str) -> bool {
        let is_scripted = reason == BY_SCRIPT;
        let is_cut = self.scenario.has_session_cap && id == ErrorId::MAX_CONNECTION_DURATION_REACHED;
        let is_deleted = id == ErrorId::STREAM_NOT_ACTIVE;
        // Where the store or the budget turned away the only sound of a fragment, the fragment lacks it.
        let lacks_sound = id == ErrorId::FRAMES_MISSING_FOR_TRACK && self.has_turned_frames_away;
        is_scripted || is_cut || is_deleted || lacks_sound
    }
}
