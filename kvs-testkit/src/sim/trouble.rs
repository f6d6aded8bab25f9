//! Faults as they begin and end.

use std::time::Duration;

use kvs_actors::machine::{Input, SessionId};

use super::control;
use super::doors::Doors;
use super::fault::{Episode, FaultKind};
use super::scenario::STREAM;
use super::session::Session;
use super::world::{Event, World};
use crate::service::{AckForm, Effect, ErrorId, Fault, Moment, Operation};

const NANOS: i64 = 1_000_000_000;

/// The calls that a stream needs.
const CALLS: [Operation; 5] = [
    Operation::DescribeStream,
    Operation::CreateStream,
    Operation::TagStream,
    Operation::GetDataEndpoint,
    Operation::PutMedia,
];

impl<D: Doors> World<D> {
    /// A fault begins.
    pub(super) fn begin(&mut self, episode: Episode) {
        let kind = episode.kind;
        self.note_event(|| format!("! {kind} until {:?}", episode.ends));
        self.break_recovery();
        *self.faults.entry(kind).or_default() += 1;
        self.active.push(kind);
        self.at(episode.ends, Event::End(kind));
        self.apply(kind);
    }

    fn apply(&mut self, kind: FaultKind) {
        use FaultKind as K;
        match kind {
            K::Latency => self.link.latency = self.dice.millis(100, 900),
            K::Jitter => self.link.jitter = self.dice.millis(20, 500),
            K::Stall => self.link.is_stalled = true,
            K::Cut => {
                let bytes = usize::try_from(self.dice.number(1, 4_000)).unwrap_or(1);
                if let Some(session) = self.live_session() {
                    session.cut_after = Some(bytes);
                }
            }
            K::Refused => {
                self.link.refuses = true;
                self.reset_some(50);
            }
            K::BlackHole => self.link.is_black = true,
            K::LateAcks => self.link.ack_delay = self.dice.seconds(1, 10),
            K::LostAcks => self.lose_percent = 40,
            K::RepeatedAcks => self.repeats = true,
            K::WithheldAcks => self.damage(Effect::WithholdAcks),
            K::WithheldPersisted => self.damage(Effect::WithholdPersisted),
            K::SplitAcks => self.upset(Effect::SplitAcks),
            K::AckForm => {
                let form = self.dice.pick(&[AckForm::Nested, AckForm::UnknownKeys]);
                self.upset(Effect::AckForm(form));
            }
            K::CutAck => self.upset(Effect::CutAck),
            K::ErrorAck => {
                let id = self.error_id();
                self.upset(Effect::Error(id));
            }
            K::FatalErrorAck => {
                let id = self.dice.pick(&[
                    ErrorId::MORE_THAN_ONE_TRACK_FOUND,
                    ErrorId::MORE_THAN_ALLOWED_TRACKS_FOUND,
                ]);
                self.upset(Effect::Error(id));
            }
            K::Close => self.upset(Effect::Close),
            K::ServiceStall => {
                let pause = self.dice.seconds(1, 40);
                // It may outlast the fault.
                self.damage(Effect::Stall(pause));
            }
            K::SlowRead => {
                let rate = u32::try_from(self.dice.number(200, 20_000)).unwrap_or(200);
                self.damage(Effect::SlowRead(rate));
            }
            K::Throttle | K::Unavailable | K::ExpiredCredentials => {
                self.refuse_calls(kind);
                self.reset_some(70);
            }
            K::StaleEndpoint => {
                self.service.expire_endpoints();
                self.reset_some(100);
            }
            K::Restart => {
                self.service.stop(self.clock.service());
                self.serve();
                self.link.refuses = true;
            }
            K::Deleted => {
                control::delete(&mut self.service, STREAM, self.clock.service());
                self.serve();
            }
            K::ReadFailure => self.store.read_failures = 20,
            K::AppendFailure => self.store.append_failures = 20,
            K::Pressure => {
                let room = self.dice.number(500, 20_000);
                self.store.leave(Some(room));
            }
            K::ClockForward | K::ClockBack => {
                let far = i64::try_from(self.dice.number(1, 3_600)).unwrap_or(1);
                let step = if kind == K::ClockBack { -far } else { far };
                self.clock.step_wall(step * NANOS);
                if let Some(camera) = &mut self.camera {
                    camera.jump(step * NANOS);
                }
            }
            K::ClockSkew => {
                let far = i64::try_from(self.dice.number(400, 86_400)).unwrap_or(400);
                let sign = self.dice.pick(&[-1, 1]);
                self.clock.step_wall(sign * far * NANOS);
                self.reset_some(100);
            }
            K::Silence => self.with_camera(|camera| {
                camera.is_silent = true;
                camera.begin_fragment();
            }),
            K::Burst => self.with_camera(|camera| camera.is_bursting = true),
            K::FormatChange => self.with_camera(super::camera::Camera::change_format),
            K::ResetConnection => self.tell(Input::ResetConnection),
            K::ResetStream => self.tell(Input::ResetStream),
            K::SessionCap => {}
        }
    }

    /// A fault is over.
    pub(super) fn end(&mut self, kind: FaultKind) {
        use FaultKind as K;
        let Some(place) = self.active.iter().position(|active| *active == kind) else {
            return;
        };
        self.active.swap_remove(place);
        self.note_event(|| format!("! end of {kind}"));
        let is_still_on = self.active.contains(&kind);
        if !is_still_on {
            match kind {
                K::Latency => self.link.latency = Duration::from_millis(10),
                K::Jitter => self.link.jitter = Duration::ZERO,
                K::Stall => self.link.is_stalled = false,
                K::Refused | K::Restart => {
                    self.link.refuses =
                        self.active.contains(&K::Refused) || self.active.contains(&K::Restart);
                }
                K::BlackHole => {
                    self.link.is_black = false;
                    // Its end of the connection may be long gone.
                    self.reset_some(50);
                }
                K::LateAcks => {
                    self.link.ack_delay = Duration::ZERO;
                    let now = self.clock.now();
                    for session in self.sessions.values_mut() {
                        session.down.hasten(now);
                    }
                }
                K::LostAcks => self.lose_percent = 0,
                K::RepeatedAcks => self.repeats = false,
                K::ReadFailure => self.store.read_failures = 0,
                K::AppendFailure => self.store.append_failures = 0,
                K::Pressure => self.store.leave(None),
                K::Silence => self.with_camera(|camera| camera.is_silent = false),
                K::Burst => self.with_camera(|camera| camera.is_bursting = false),
                _ => {}
            }
        }
        self.service.clear_faults();
        for kind in self.active.clone() {
            if matches!(kind, K::Throttle | K::Unavailable | K::ExpiredCredentials) {
                self.refuse_calls(kind);
            }
        }
        self.look_at_all();
        if self.active.is_empty() {
            self.heal();
            self.begin_recovery();
        }
    }

    /// Everything works again. What can't get well by itself is torn down by the service.
    pub(super) fn heal(&mut self) {
        self.service.clear_faults();
        let ids: Vec<SessionId> = self
            .sessions
            .values_mut()
            .filter(|session| session.is_damaged || !session.is_live())
            .map(|session| session.id())
            .collect();
        for id in ids {
            self.reset_from_afar(id);
        }
        if let Some(session) = self.live_session() {
            session.cut_after = None;
        }
        self.look_at_all();
    }

    fn look_at_all(&mut self) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.after(Duration::ZERO, Event::Arrival(id));
        }
    }

    fn live_session(&mut self) -> Option<&mut Session> {
        self.sessions.values_mut().rev().find(|session| session.is_live())
    }

    fn with_camera(&mut self, change: impl FnOnce(&mut super::camera::Camera)) {
        if let Some(camera) = &mut self.camera {
            change(camera);
        }
    }

    /// Resets the live connection, so many times in a hundred.
    fn reset_some(&mut self, percent: u32) {
        if !self.dice.percent(percent) {
            return;
        }
        if let Some(id) = self.live_session().map(|session| session.id()) {
            self.reset_from_afar(id);
        }
    }

    /// Something happens to the session in hand at its next fragment, or to the next session at its first.
    fn upset(&mut self, effect: Effect) {
        let ledger = self.service.ledger().stream(STREAM);
        let live = ledger.sessions.last().filter(|session| session.end.is_none());
        let next = live.map_or(1, |session| {
            u32::try_from(session.fragments.len()).unwrap_or(u32::MAX - 1) + 1
        });
        let at = if self.dice.percent(50) {
            Moment::OnFragment(next)
        } else {
            Moment::AfterFragment(next)
        };
        let nth = live.map(|session| session.put_media);
        self.service.add_fault(Fault {
            stream: Some(STREAM.to_owned()),
            call: Operation::PutMedia,
            nth,
            at,
            effect,
            times: Some(1),
        });
    }

    /// The same with an effect that lasts as long as the session.
    fn damage(&mut self, effect: Effect) {
        self.upset(effect);
        if let Some(session) = self.live_session() {
            session.is_damaged = true;
        }
    }

    /// Calls are refused for as long as the fault lasts.
    fn refuse_calls(&mut self, kind: FaultKind) {
        let (status, error_type) = match kind {
            FaultKind::Throttle => self.dice.pick(&[
                (400, "ClientLimitExceededException"),
                (400, "ConnectionLimitExceededException"),
                (429, "ThrottlingException"),
            ]),
            FaultKind::Unavailable => self.dice.pick(&[
                (500, "InternalFailure"),
                (502, ""),
                (503, "ServiceUnavailableException"),
            ]),
            _ => self.dice.pick(&[
                (403, "AccessDeniedException"),
                (401, "NotAuthorizedException"),
                (403, "ExpiredTokenException"),
            ]),
        };
        for call in CALLS {
            if call != Operation::PutMedia && self.dice.percent(30) {
                continue;
            }
            self.service.add_fault(Fault {
                stream: Some(STREAM.to_owned()),
                call,
                nth: None,
                at: Moment::Request,
                effect: Effect::Refuse {
                    status,
                    error_type: error_type.to_owned(),
                },
                times: None,
            });
        }
    }

    /// An error that doesn't end the stream, now and then one that nobody knows.
    fn error_id(&mut self) -> ErrorId {
        loop {
            let id = if self.dice.percent(10) {
                self.dice.pick(&[ErrorId(4_999), ErrorId(5_999)])
            } else {
                self.dice.pick(ErrorId::ALL)
            };
            let is_fatal =
                id == ErrorId::MORE_THAN_ONE_TRACK_FOUND || id == ErrorId::MORE_THAN_ALLOWED_TRACKS_FOUND;
            if !is_fatal {
                return id;
            }
        }
    }
}
