//! The machine against a random world: whatever happens, its invariants hold and it always finds its way back.

use std::time::Duration;

use kvs_client::{Ack, AckEvent, ClientError, ClientErrorKind, StreamInfo, StreamStatus, Url};
use proptest::prelude::*;

use super::rig::{Rig, config, lost};
use crate::machine::{CreatePolicy, Input, MachineConfig, SendOp, ServiceCall};

fn answer(rig: &mut Rig, dice: &mut fastrand::Rng, healthy: bool) {
    let Some(call) = rig.calls.pop() else { return };
    let fails = !healthy && dice.u8(..4) == 0;
    let is_throttle = dice.bool();
    let error = || match is_throttle {
        true => ClientError::from_response(400, Some("ClientLimitExceededException"), ""),
        false => ClientError::new(ClientErrorKind::Connect, "refused"),
    };
    let input = match call {
        ServiceCall::Describe if fails => Input::Described(Err(error())),
        ServiceCall::Describe => {
            let mut info = StreamInfo::new("cam", "arn:cam");
            info.retention_hours = 24;
            if !healthy && dice.u8(..4) == 0 {
                info.status = StreamStatus::Updating;
            }
            Input::Described(Ok(info))
        }
        ServiceCall::Create(_) => Input::Created(Ok("arn:cam".to_owned())),
        ServiceCall::Tag { .. } => Input::Tagged(Ok(())),
        ServiceCall::Locate if fails => Input::Located(Err(error())),
        ServiceCall::Locate => Input::Located(Ok(Url::parse("http://127.0.0.1:1").unwrap())),
    };
    rig.input(input);
}

/// The fragments started on the session in hand, and whether each came to its end.
fn on_the_wire(rig: &Rig) -> Vec<i64> {
    rig.sent_fragments(rig.session())
}

fn misbehave(rig: &mut Rig, dice: &mut fastrand::Rng) {
    if rig.plans.is_empty() {
        return;
    }
    let session = dice.choice(&rig.plans).map_or(rig.session(), |plan| plan.session);
    let timecodes = on_the_wire(rig);
    let timecode = dice.choice(&timecodes).copied().unwrap_or(dice.i64(..5_000));
    match dice.u8(..14) {
        0 => rig.input(Input::SessionEnded {
            session,
            result: Err(lost()),
        }),
        1 => rig.input(Input::SessionEnded {
            session,
            result: Ok(()),
        }),
        2 => rig.input(Input::ResetConnection),
        3 => {
            let code = *dice
                .choice(&[4000, 4001, 4003, 4004, 4006, 4008, 4011, 4503, 5000, 5999, 4999])
                .unwrap();
            let error = kvs_client::AckError {
                id: Some(code),
                code: None,
            };
            let mut ack = Ack::new(AckEvent::Error);
            ack.error = Some(error);
            ack.timecode = dice.bool().then_some(timecode);
            rig.input(Input::Acked { session, ack });
        }
        4 => rig.input(Input::MakeRoom {
            bytes: dice.u64(..4_000),
        }),
        5 => {
            let refused = ClientError::from_response(403, Some("AccessDeniedException"), "");
            rig.input(Input::SessionEnded {
                session,
                result: Err(refused),
            });
        }
        6 => {
            let stale = ClientError::from_response(400, Some("InvalidEndpointException"), "");
            rig.input(Input::SessionEnded {
                session,
                result: Err(stale),
            });
        }
        7 => rig.input(Input::SessionOpened(session)),
        8 => rig.input(Input::Acked {
            session,
            ack: Ack::new(AckEvent::Idle),
        }),
        9..11 => rig.written(),
        _ => {
            let event = dice
                .choice(&[AckEvent::Buffering, AckEvent::Received, AckEvent::Persisted])
                .unwrap()
                .clone();
            rig.input(Input::Acked {
                session,
                ack: Ack::new(event).timecode(timecode),
            });
        }
    }
}

/// A healthy service: everything that was sent to its end is written and persisted, ended bodies end.
fn heal(rig: &mut Rig, dice: &mut fastrand::Rng) {
    for _ in 0..200 {
        rig.pass(Duration::from_millis(500));
        answer(rig, dice, true);
        if rig.plans.is_empty() {
            continue;
        }
        rig.opened();
        rig.written();
        for timecode in on_the_wire(rig) {
            rig.ack(AckEvent::Persisted, timecode);
        }
        if rig.finished.contains(&rig.session()) {
            rig.end(Ok(()));
        }
        if rig.stopped {
            return;
        }
    }
}

fn live(seed: u64, steps: usize) -> Rig {
    let mut dice = fastrand::Rng::with_seed(seed);
    let create = CreatePolicy::Create(kvs_client::CreateStream::new("cam"));
    let buffer_duration = dice.bool().then_some(Duration::from_secs(5));
    let mut rig = Rig::new(MachineConfig {
        seed,
        create,
        buffer_duration,
        ..config()
    });
    let mut time = 1_000;
    for _ in 0..steps {
        match dice.u8(..8) {
            0..3 => {
                rig.open_fragment(time);
                if dice.bool() {
                    rig.input(Input::FragmentEnd { tags: Vec::new() });
                }
                time += 200;
            }
            3 => answer(&mut rig, &mut dice, false),
            4 => rig.pass(Duration::from_millis(dice.u64(..3_000))),
            _ => misbehave(&mut rig, &mut dice),
        }
        if rig.closes > 0 {
            rig.closes = 0;
            rig.input(Input::FragmentEnd { tags: Vec::new() });
            rig.input(Input::FragmentClosed);
        }
    }
    let deadline = rig.now + Duration::from_secs(600);
    rig.input(Input::Stop { deadline });
    heal(&mut rig, &mut dice);
    rig
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn once_the_service_is_healthy_everything_held_is_delivered_and_the_stream_stops(seed: u64) {
        let rig = live(seed, 120);
        prop_assert!(rig.stopped, "{:?}", rig.machine);
        prop_assert_eq!(rig.machine.frames().buffered.frames, 0);
        prop_assert!(rig.machine.frames().is_conserved());
        prop_assert_eq!(rig.machine.next_timeout(), None);
    }

    #[test]
    fn every_session_starts_with_a_fragment_and_fragments_rise(seed: u64) {
        let rig = live(seed, 120);
        for plan in &rig.plans {
            let first = rig.sent.iter().find(|(session, _)| *session == plan.session);
            if let Some((_, op)) = first {
                prop_assert!(matches!(op, SendOp::Fragment { .. }), "{op:?}");
            }
            let fragments = rig.sent_fragments(plan.session);
            prop_assert!(fragments.is_sorted_by(|one, next| one < next), "{fragments:?}");
        }
    }
}
