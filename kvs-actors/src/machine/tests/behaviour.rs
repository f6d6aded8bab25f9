//! One test for each behaviour.

use std::time::Duration;

use bytes::Bytes;
use kvs_client::{Ack, AckErrorCode, AckEvent, AckMode, ClientError, ClientErrorKind, CreateStream};
use kvs_mkv::{Muxer, SegmentInfo, TimecodeScale, Timestamp};
use kvs_storage::{ItemFlags, ItemMeta, StoredFragment};

use super::rig::{Rig, config, lost};
use crate::config::{FragmentTimes, Handover, RollbackPolicy};
use crate::events::{StreamEvent, StreamState};
use crate::machine::{
    CreatePolicy, DropReason, Input, MachineConfig, Paging, RateLimits, SendOp, SendWindow, ServiceCall,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_stream_is_prepared_and_opens_a_session_only_when_a_frame_is_there() {
    let mut rig = Rig::ready(config());
    assert!(matches!(rig.events[..], [StreamEvent::Ready]));
    assert_eq!(rig.machine.state(), StreamState::Ready);
    assert!(rig.plans.is_empty());
    rig.open_fragment(1_000);
    assert_eq!(rig.plans.len(), 1);
    assert_eq!(rig.sent_fragments(rig.session()), [1_000]);
    assert_eq!(rig.sent_items(rig.session()), [1, 2, 3]);
    assert_eq!(rig.machine.state(), StreamState::Connecting);
    rig.opened();
    assert_eq!(rig.machine.state(), StreamState::Streaming);
}

#[test]
fn a_missing_stream_is_created_and_awaited() {
    let create = CreateStream::new("cam").retention_hours(2);
    let mut rig = Rig::new(MachineConfig {
        create: CreatePolicy::Create(create.clone()),
        ..config()
    });
    rig.calls.clear();
    let missing = || {
        Err(ClientError::from_response(
            404,
            Some("ResourceNotFoundException"),
            "",
        ))
    };
    rig.input(Input::Described(missing()));
    assert_eq!(rig.calls.pop(), Some(ServiceCall::Create(create)));
    rig.input(Input::Created(Ok("arn:cam".to_owned())));
    rig.describe_active(2);
    rig.locate();
    assert_eq!(rig.machine.state(), StreamState::Ready);
}

#[test]
fn a_missing_stream_that_may_not_be_created_is_fatal() {
    let mut rig = Rig::new(config());
    rig.input(Input::Described(Err(ClientError::from_response(
        404,
        Some("ResourceNotFoundException"),
        "",
    ))));
    assert!(
        rig.machine
            .failure()
            .is_some_and(crate::error::StreamError::is_fatal)
    );
    rig.open_fragment(0);
    assert!(rig.plans.is_empty());
    rig.input(Input::Stop {
        deadline: rig.now + SECOND,
    });
    assert!(rig.stopped);
    assert_eq!(
        rig.machine.frames().buffered.frames,
        3,
        "what is held is reported, not lost"
    );
}

#[test]
fn being_offline_at_the_start_is_retried_for_ever() {
    let mut rig = Rig::new(config());
    for _ in 0..100 {
        rig.calls.clear();
        rig.input(Input::Described(Err(ClientError::new(
            ClientErrorKind::Connect,
            "refused",
        ))));
        rig.pass(4 * SECOND);
        assert_eq!(rig.calls, [ServiceCall::Describe]);
    }
    assert!(rig.machine.failure().is_none());
}

#[test]
fn what_is_persisted_is_released_and_counted_as_delivered() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.opened();
    rig.written();
    for event in [AckEvent::Buffering, AckEvent::Received] {
        rig.ack(event, 1_000);
        assert!(rig.released.is_empty());
    }
    rig.ack(AckEvent::Persisted, 1_000);
    assert_eq!(rig.released, [1, 2, 3]);
    assert_eq!(rig.machine.frames().delivered.frames, 3);
    rig.ack(AckEvent::Persisted, 1_000);
    assert_eq!(
        rig.machine.frames().delivered.frames,
        3,
        "a repeated ack changes nothing"
    );
    assert_eq!(rig.machine.sessions().fragments_persisted, 1);
}

#[test]
fn where_nothing_is_retained_received_is_the_last_word() {
    let mut rig = Rig::new(config());
    rig.describe_active(0);
    rig.locate();
    rig.fragment(1_000);
    rig.ack(AckEvent::Received, 1_000);
    assert_eq!(rig.machine.frames().delivered.frames, 3);
}

#[test]
fn where_acks_are_off_written_is_delivered() {
    let mut rig = Rig::ready(MachineConfig {
        acks: AckMode::Off,
        ..config()
    });
    rig.fragment(1_000);
    assert_eq!(rig.machine.frames().delivered.frames, 0);
    rig.written();
    assert_eq!(rig.machine.frames().delivered.frames, 3);
}

#[test]
fn where_acks_are_off_a_session_that_was_written_to_was_not_in_vain() {
    let mut rig = Rig::ready(MachineConfig {
        acks: AckMode::Off,
        ..config()
    });
    rig.fragment(1_000);
    rig.opened();
    rig.written();
    rig.open_fragment(2_000);
    rig.end(Ok(()));
    rig.pass(SECOND);
    assert_eq!(
        rig.plans.len(),
        2,
        "the next one is only as far away as connects are"
    );
    assert!(
        !rig.events
            .iter()
            .any(|event| matches!(event, StreamEvent::Error(_))),
        "{:?}",
        rig.events
    );
}

#[test]
fn the_end_of_a_fragment_is_told_when_nothing_follows_it() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    assert_eq!(rig.sent.last().unwrap().1, SendOp::EndOfFragment);
    rig.fragment(2_000);
    let told = rig
        .sent
        .iter()
        .filter(|(_, op)| *op == SendOp::EndOfFragment)
        .count();
    assert_eq!(told, 2);
}

#[test]
fn after_a_reset_sending_starts_at_the_first_fragment_that_is_not_persisted() {
    let mut rig = Rig::ready(config());
    for start in [1_000, 2_000, 3_000] {
        rig.fragment(start);
    }
    rig.open_fragment(4_000);
    rig.opened();
    rig.written();
    rig.ack(AckEvent::Persisted, 1_000);
    rig.ack(AckEvent::Persisted, 3_000);
    rig.end(Err(lost()));
    rig.pass(2 * SECOND);
    assert_eq!(rig.plans.len(), 2);
    assert_eq!(rig.plans[1].start.as_millis(), 2_000);
    assert_eq!(
        rig.sent_fragments(rig.session()),
        [2_000, 4_000],
        "what is persisted is passed over"
    );
    rig.ack(AckEvent::Persisted, 2_000);
    assert_eq!(rig.machine.frames().delivered.frames, 9);
}

#[test]
fn a_late_ack_of_the_session_before_still_counts() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    let first = rig.session();
    rig.end(Err(lost()));
    rig.pass(2 * SECOND);
    assert_eq!(rig.plans.len(), 2);
    rig.input(Input::Acked {
        session: first,
        ack: Ack::new(AckEvent::Persisted).timecode(1_000),
    });
    assert_eq!(rig.machine.frames().delivered.frames, 3);
}

#[test]
fn what_is_delivered_while_it_is_sent_again_is_released_when_it_is_written() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.written();
    let first = rig.session();
    rig.end(Err(lost()));
    rig.pass(2 * SECOND);
    assert_eq!(rig.sent_items(rig.session()), [1, 2, 3]);
    rig.input(Input::Acked {
        session: first,
        ack: Ack::new(AckEvent::Persisted).timecode(1_000),
    });
    assert_eq!(rig.machine.frames().delivered.frames, 3);
    assert!(rig.released.is_empty(), "the session still has to read them");
    rig.written();
    assert_eq!(rig.released, [1, 2, 3]);
}

#[test]
fn a_fragment_delivered_in_the_middle_of_being_sent_again_is_not_gone_on_with() {
    let mut rig = Rig::ready(MachineConfig {
        window: SendWindow {
            items: 2,
            bytes: 1 << 20,
        },
        ..config()
    });
    rig.fragment(1_000);
    rig.written();
    rig.written();
    let first = rig.session();
    rig.end(Err(lost()));
    rig.pass(2 * SECOND);
    assert_eq!(rig.sent_items(rig.session()), [1, 2]);
    rig.input(Input::Acked {
        session: first,
        ack: Ack::new(AckEvent::Persisted).timecode(1_000),
    });
    rig.end(Err(lost()));
    rig.fragment(2_000);
    rig.pass(2 * SECOND);
    assert_eq!(rig.sent_fragments(rig.session()), [2_000]);
    assert_eq!(rig.released, [1, 2, 3]);
}

#[test]
fn an_ack_for_a_fragment_cut_in_the_middle_delivers_nothing() {
    let mut rig = Rig::ready(config());
    rig.open_fragment(1_000);
    rig.end(Err(lost()));
    let first = rig.session();
    rig.input(Input::Acked {
        session: first,
        ack: Ack::new(AckEvent::Persisted).timecode(1_000),
    });
    assert_eq!(rig.machine.frames().delivered.frames, 0);
}

#[test]
fn connects_are_at_least_a_second_apart() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    for connects in 1..20 {
        assert!(rig.plans.len() <= connects);
        rig.end(Err(lost()));
        rig.pass(SECOND);
    }
}

#[test]
fn relative_timecodes_count_from_the_sessions_start() {
    let mut rig = Rig::ready(MachineConfig {
        times: FragmentTimes::Relative,
        ..config()
    });
    rig.fragment(1_000);
    rig.fragment(2_500);
    rig.ack(AckEvent::Persisted, 1_500);
    assert_eq!(rig.machine.frames().delivered.frames, 3);
    assert_eq!(rig.machine.last_persisted().unwrap().as_millis(), 2_500);
}

#[test]
fn relative_timecodes_are_rounded_as_the_muxer_rounds_them() {
    let scale = TimecodeScale::new(700_000).unwrap();
    let mut rig = Rig::ready(MachineConfig {
        times: FragmentTimes::Relative,
        scale,
        ..config()
    });
    rig.fragment(1_000);
    rig.fragment(2_500);
    let plan = rig.plans.last().unwrap();
    let mut muxer = Muxer::new(
        SegmentInfo {
            scale,
            ..SegmentInfo::new([0; 16])
        },
        &plan.tracks,
        plan.timecodes,
    )
    .unwrap();
    let mut wire: Vec<Bytes> = Vec::new();
    for millis in [1_000, 2_500] {
        let echoed = muxer
            .start_fragment(Timestamp::from_millis(millis), &mut wire)
            .unwrap();
        rig.ack(AckEvent::Persisted, echoed);
    }
    assert_eq!(rig.machine.frames().delivered.frames, 6);
}

#[test]
fn a_fragment_that_is_refused_for_its_content_is_set_aside() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.fragment(2_000);
    let error = Ack::of_error(AckErrorCode::MaxFragmentSizeReached);
    let session = rig.session();
    rig.input(Input::Acked {
        session,
        ack: error.timecode(1_000),
    });
    assert_eq!(rig.machine.frames().refused.frames, 3);
    assert_eq!(rig.aborted, [session]);
    rig.pass(2 * SECOND);
    assert_eq!(rig.sent_fragments(rig.session()), [2_000]);
}

#[test]
fn a_repeated_error_is_one_refusal() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.pass(SECOND);
    let session = rig.session();
    for _ in 0..2 {
        let error = Ack::of_error(AckErrorCode::FragmentTimecodeLesserThanPrevious);
        rig.input(Input::Acked { session, ack: error });
    }
    assert_eq!(rig.sent_items(rig.session()), [1, 2, 3], "sent once more");
    assert!(rig.released.is_empty());
    rig.ack(AckEvent::Persisted, 1_000);
    assert_eq!(rig.machine.frames().delivered.frames, 3);
}

#[test]
fn a_session_that_hears_nothing_is_given_up() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.opened();
    rig.pass(29 * SECOND);
    assert!(rig.aborted.is_empty());
    rig.pass(2 * SECOND);
    assert_eq!(rig.aborted.len(), 1);
    rig.pass(8 * SECOND);
    assert_eq!(rig.plans.len(), 2);
    assert_eq!(rig.machine.sessions().stale_connections, 1);
}

#[test]
fn an_old_session_is_replaced_at_a_boundary_after_its_last_ack() {
    let mut rig = Rig::ready(MachineConfig {
        staleness: None,
        idle_timeout: None,
        ..config()
    });
    rig.open_fragment(1_000);
    rig.opened();
    rig.pass(41 * 60 * SECOND);
    rig.input(Input::FragmentEnd { tags: Vec::new() });
    rig.fragment(2_000);
    let first = rig.session();
    assert_eq!(rig.finished, [first]);
    assert_eq!(rig.plans.len(), 1, "the next one waits for the end of this");
    rig.ack(AckEvent::Persisted, 1_000);
    rig.end(Ok(()));
    assert_eq!(rig.plans.len(), 2);
    assert_eq!(rig.sent_fragments(rig.session()), [2_000]);
}

#[test]
fn what_an_overlapped_session_leaves_behind_waits_for_the_end_of_the_younger_ones_fragment() {
    let mut rig = Rig::ready(MachineConfig {
        handover: Handover::Overlap,
        ..config()
    });
    rig.fragment(1_000);
    let older = rig.session();
    rig.tracks = super::rig::tracks();
    rig.pass(SECOND);
    rig.open_fragment(2_000);
    let younger = rig.session();
    assert_ne!(older, younger);
    rig.input(Input::SessionEnded {
        session: older,
        result: Err(lost()),
    });
    assert_eq!(rig.sent_items(younger), [4, 5, 6], "nothing is sent twice on it");
    rig.input(Input::FragmentEnd { tags: Vec::new() });
    assert_eq!(rig.finished, [older, younger]);
    rig.ack(AckEvent::Persisted, 2_000);
    rig.end(Ok(()));
    rig.pass(2 * SECOND);
    assert_eq!(rig.sent_items(rig.session()), [1, 2, 3]);
}

#[test]
fn after_long_silence_the_session_ends_and_reopens_with_the_next_fragment() {
    let mut rig = Rig::ready(config());
    rig.open_fragment(1_000);
    rig.opened();
    rig.ack(AckEvent::Buffering, 1_000);
    rig.pass(21 * SECOND);
    assert_eq!(rig.closes, 1);
    rig.input(Input::FragmentEnd { tags: Vec::new() });
    rig.input(Input::FragmentClosed);
    assert_eq!(rig.finished, [rig.session()]);
    rig.ack(AckEvent::Persisted, 1_000);
    rig.end(Ok(()));
    rig.pass(300 * SECOND);
    assert_eq!(rig.plans.len(), 1);
    rig.fragment(400_000);
    assert_eq!(rig.plans.len(), 2);
}

#[test]
fn a_stop_waits_for_the_last_ack() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.input(Input::Stop {
        deadline: rig.now + 10 * SECOND,
    });
    assert_eq!(rig.finished, [rig.session()]);
    assert!(!rig.stopped);
    rig.ack(AckEvent::Persisted, 1_000);
    rig.end(Ok(()));
    assert!(rig.stopped);
    assert_eq!(rig.machine.next_timeout(), None);
    assert!(rig.machine.unacked().is_empty());
}

#[test]
fn nothing_follows_a_stop() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.input(Input::Stop { deadline: rig.now });
    rig.pass(SECOND);
    assert!(rig.stopped);
    let told = rig.events.len();
    rig.ack(AckEvent::Persisted, 1_000);
    rig.end(Ok(()));
    assert_eq!(rig.events.len(), told);
    assert_eq!(
        rig.machine.frames().buffered.frames,
        3,
        "the last report stays true"
    );
}

#[test]
fn a_stop_at_its_deadline_lists_what_is_not_acknowledged() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.fragment(2_000);
    rig.ack(AckEvent::Persisted, 1_000);
    rig.ack(AckEvent::Received, 2_000);
    rig.input(Input::Stop {
        deadline: rig.now + 3 * SECOND,
    });
    rig.pass(4 * SECOND);
    assert!(rig.stopped);
    let unacked = rig.machine.unacked();
    assert_eq!(unacked.len(), 1);
    assert_eq!(unacked[0].timecode_ns, 2_000_000_000);
    assert!(unacked[0].sent && unacked[0].received);
    assert_eq!(rig.machine.frames().buffered.frames, 3);
}

#[test]
fn the_oldest_fragment_makes_room_and_never_the_one_being_sent() {
    let mut rig = Rig::new(config());
    for start in [1_000, 2_000, 3_000] {
        rig.fragment(start);
    }
    rig.input(Input::MakeRoom { bytes: 1 });
    assert_eq!(rig.released, [1, 2, 3]);
    assert_eq!(
        rig.machine.frames().dropped[&DropReason::StoragePressure].frames,
        3
    );
    rig.describe_active(24);
    rig.locate();
    rig.input(Input::MakeRoom { bytes: 1 << 30 });
    assert_eq!(
        rig.released,
        [1, 2, 3],
        "everything left was handed over and is not written yet"
    );
    rig.written();
    rig.input(Input::MakeRoom { bytes: 1 << 30 });
    assert_eq!(rig.machine.frames().unconfirmed.frames, 6);
    rig.ack(AckEvent::Persisted, 2_000);
    assert_eq!(rig.machine.frames().unconfirmed.frames, 3);
    assert_eq!(rig.machine.frames().delivered.frames, 3, "a late ack moves them");
}

#[test]
fn a_fragment_whose_end_is_not_told_yet_is_not_dropped() {
    let rate = RateLimits::OFF.with_fragments_per_second(Some(1));
    let mut rig = Rig::new(MachineConfig { rate, ..config() });
    for start in [1_000, 2_000] {
        rig.fragment(start);
    }
    rig.describe_active(24);
    rig.locate();
    rig.written();
    // All of the first fragment is on the wire; the next one, which tells its end, has to wait.
    assert_eq!(rig.sent_fragments(rig.session()), [1_000]);
    rig.input(Input::MakeRoom { bytes: 1 });
    assert_eq!(rig.released, [4, 5, 6], "the waiting one goes");
    rig.pass(SECOND);
    rig.ack(AckEvent::Persisted, 1_000);
    assert_eq!(rig.machine.frames().delivered.frames, 3);
}

#[test]
fn new_tracks_open_a_new_session() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.tracks = super::rig::tracks();
    rig.fragment(2_000);
    assert_eq!(rig.finished.len(), 1);
    rig.ack(AckEvent::Persisted, 1_000);
    rig.end(Ok(()));
    rig.pass(SECOND);
    assert_eq!(rig.plans.len(), 2);
    assert!(
        rig.events
            .iter()
            .any(|event| matches!(event, StreamEvent::FormatChanged { .. }))
    );
}

#[test]
fn a_stale_endpoint_is_asked_for_again() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.end(Err(ClientError::from_response(
        400,
        Some("InvalidEndpointException"),
        "",
    )));
    rig.pass(4 * SECOND);
    assert_eq!(rig.calls, [ServiceCall::Locate]);
}

#[test]
fn tags_are_put_once() {
    let tags = [("site".to_owned(), "north".to_owned())].into();
    let mut rig = Rig::new(MachineConfig { tags, ..config() });
    rig.describe_active(24);
    assert!(matches!(rig.calls.pop(), Some(ServiceCall::Tag { .. })));
    rig.input(Input::Tagged(Ok(())));
    rig.locate();
    assert_eq!(rig.machine.state(), StreamState::Ready);
}

#[test]
fn metadata_follows_its_fragments_last_block_and_goes_again_with_it() {
    let tag = kvs_mkv::Tag::new("door", "open").unwrap();
    let mut rig = Rig::ready(config());
    rig.open_fragment(1_000);
    rig.input(Input::FragmentEnd {
        tags: vec![tag.clone()],
    });
    let ops = |rig: &Rig| rig.sent.iter().map(|(_, op)| op.clone()).collect::<Vec<_>>();
    assert_eq!(
        ops(&rig)[4..],
        [SendOp::Tags(vec![tag.clone()]), SendOp::EndOfFragment]
    );
    rig.end(Err(lost()));
    rig.pass(2 * SECOND);
    assert_eq!(ops(&rig)[10..], [SendOp::Tags(vec![tag]), SendOp::EndOfFragment]);
}

#[test]
fn a_fragment_received_and_never_persisted_is_let_go_and_counted() {
    let mut rig = Rig::ready(MachineConfig {
        staleness: None,
        idle_timeout: None,
        ..config()
    });
    rig.fragment(1_000);
    rig.written();
    rig.ack(AckEvent::Received, 1_000);
    rig.pass(59 * SECOND);
    assert_eq!(rig.machine.frames().unconfirmed.frames, 0);
    rig.pass(2 * SECOND);
    assert_eq!(rig.machine.frames().unconfirmed.frames, 3);
    rig.ack(AckEvent::Persisted, 1_000);
    assert_eq!(rig.machine.frames().delivered.frames, 3);
}

#[test]
fn with_overlap_the_next_session_opens_before_the_last_ack_of_the_one_before() {
    let mut rig = Rig::ready(MachineConfig {
        handover: Handover::Overlap,
        ..config()
    });
    rig.fragment(1_000);
    rig.pass(2 * SECOND);
    rig.tracks = super::rig::tracks();
    rig.fragment(2_000);
    assert_eq!(rig.plans.len(), 2);
    let first = rig.plans[0].session;
    rig.input(Input::Acked {
        session: first,
        ack: Ack::new(AckEvent::Persisted).timecode(1_000),
    });
    rig.ack(AckEvent::Persisted, 2_000);
    assert_eq!(rig.machine.frames().delivered.frames, 6);
}

#[test]
fn piled_up_media_is_told_once_until_it_is_clearly_less() {
    let told = |rig: &Rig| {
        rig.events
            .iter()
            .filter(|event| matches!(event, StreamEvent::LatencyPressure { .. }))
            .count()
    };
    let mut rig = Rig::new(MachineConfig {
        max_latency: Some(5 * SECOND),
        ..config()
    });
    for start in 0..20 {
        rig.fragment(1_000 * start);
    }
    assert_eq!(told(&rig), 1);
    rig.describe_active(24);
    rig.locate();
    rig.written();
    rig.end(Err(lost()));
    assert_eq!(told(&rig), 2, "after the rollback as much waits as before");
}

#[test]
fn a_reset_drops_what_is_held_and_begins_anew() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.input(Input::ResetStream);
    assert_eq!(rig.calls, [ServiceCall::Describe]);
    assert_eq!(rig.aborted, [rig.session()]);
    assert_eq!(rig.machine.frames().buffered.frames, 0);
    assert_eq!(rig.machine.frames().unconfirmed.frames, 3);
}

#[test]
fn with_replay_only_the_last_moments_are_sent_again() {
    let mut rig = Rig::ready(MachineConfig {
        rollback: RollbackPolicy::Replay(2 * SECOND),
        ..config()
    });
    for start in 1..8 {
        rig.fragment(1_000 * start);
    }
    rig.end(Err(lost()));
    rig.pass(2 * SECOND);
    assert_eq!(rig.sent_fragments(rig.session()), [5_000, 6_000, 7_000]);
    assert_eq!(rig.machine.frames().unconfirmed.frames, 12);
}

#[test]
fn after_received_what_the_service_has_is_not_sent_again() {
    let mut rig = Rig::ready(MachineConfig {
        rollback: RollbackPolicy::AfterReceived,
        ..config()
    });
    for start in 1..5 {
        rig.fragment(1_000 * start);
    }
    rig.ack(AckEvent::Received, 2_000);
    rig.end(Err(lost()));
    rig.pass(2 * SECOND);
    assert_eq!(rig.sent_fragments(rig.session()), [3_000, 4_000]);
    assert_eq!(rig.machine.frames().unconfirmed.frames, 6);
}

#[test]
fn another_retention_than_was_set_is_told() {
    let mut rig = Rig::new(config());
    rig.describe_active(7);
    assert!(matches!(
        rig.events[..],
        [StreamEvent::RetentionDiffers {
            expected: 24,
            actual: 7
        }]
    ));
}

fn stored(first_seq: u64, millis: i64) -> StoredFragment {
    let pts = millis * 1_000_000;
    let flags = ItemFlags::FRAGMENT_START.with(ItemFlags::KEY);
    let meta = |seq, flags| ItemMeta {
        seq,
        pts,
        dts: pts,
        duration: 0,
        track: 1,
        flags,
        len: 100,
    };
    let mut fragment = StoredFragment::starting_with(&meta(first_seq, flags));
    fragment.extend(&meta(first_seq + 1, ItemFlags::NONE));
    fragment
}

#[test]
fn a_backlog_is_paged_in_and_sent_before_what_is_new() {
    let mut rig = Rig::new(MachineConfig {
        paging: Paging::On,
        ..config()
    });
    let tracks = std::sync::Arc::clone(&rig.tracks);
    let fragments = vec![(stored(5, 1_000), tracks.clone()), (stored(9, 2_000), tracks)];
    rig.input(Input::Backlog {
        fragments,
        next_seq: 20,
    });
    rig.fragment(3_000);
    rig.describe_active(24);
    rig.locate();
    assert_eq!(rig.machine.frames().accepted.frames, 7);
    for first in [5, 9] {
        assert_eq!(rig.paged.pop(), Some(first..first + 2));
        let flags = ItemFlags::FRAGMENT_START.with(ItemFlags::KEY);
        let meta = |seq, flags| ItemMeta {
            seq,
            pts: 0,
            dts: 0,
            duration: 0,
            track: 1,
            flags,
            len: 100,
        };
        let items = Ok(vec![meta(first, flags), meta(first + 1, ItemFlags::NONE)]);
        rig.input(Input::PagedIn {
            first_seq: first,
            items,
        });
    }
    assert_eq!(rig.sent_fragments(rig.session()), [1_000, 2_000, 3_000]);
    assert_eq!(rig.sent_items(rig.session()), [5, 6, 9, 10, 20, 21, 22]);
}

#[test]
fn a_stored_fragment_that_can_not_be_read_is_reported_and_passed_over() {
    let mut rig = Rig::new(MachineConfig {
        paging: Paging::On,
        ..config()
    });
    let fragments = vec![(stored(5, 1_000), std::sync::Arc::clone(&rig.tracks))];
    rig.input(Input::Backlog {
        fragments,
        next_seq: 7,
    });
    let lost = kvs_storage::StoreError::new(kvs_storage::StoreErrorKind::Corrupt);
    rig.input(Input::PagedIn {
        first_seq: 5,
        items: Err(lost),
    });
    assert_eq!(rig.machine.frames().dropped[&DropReason::StoreFailure].frames, 2);
    assert_eq!(rig.released, [5, 6]);
    assert!(
        rig.events
            .iter()
            .any(|event| matches!(event, StreamEvent::Error(_)))
    );
}

#[test]
fn what_a_stored_fragment_lost_is_reported() {
    let mut rig = Rig::new(MachineConfig {
        paging: Paging::On,
        ..config()
    });
    let fragments = vec![(stored(5, 1_000), std::sync::Arc::clone(&rig.tracks))];
    rig.input(Input::Backlog {
        fragments,
        next_seq: 7,
    });
    let left = ItemMeta {
        seq: 5,
        pts: 1_000_000_000,
        dts: 1_000_000_000,
        duration: 0,
        track: 1,
        flags: ItemFlags::FRAGMENT_START.with(ItemFlags::KEY),
        len: 100,
    };
    rig.input(Input::PagedIn {
        first_seq: 5,
        items: Ok(vec![left]),
    });
    let told = rig.events.iter().any(
        |event| matches!(event, StreamEvent::Dropped { tally, reason: DropReason::StoreFailure, .. } if tally.frames == 1),
    );
    assert!(told, "{:?}", rig.events);
}

#[test]
fn an_open_fragment_is_closed_on_idle_even_if_the_connection_was_lost_meanwhile() {
    let mut rig = Rig::ready(config());
    rig.open_fragment(1_000);
    rig.opened();
    rig.pass(10 * SECOND);
    rig.end(Err(lost()));
    rig.pass(15 * SECOND);
    assert_eq!(rig.closes, 1);
    rig.input(Input::FragmentEnd { tags: Vec::new() });
    rig.input(Input::FragmentClosed);
    rig.ack(AckEvent::Persisted, 1_000);
    assert_eq!(rig.machine.frames().delivered.frames, 3);
    rig.end(Ok(()));
    rig.pass(300 * SECOND);
    assert_eq!(rig.plans.len(), 2);
}

#[test]
fn the_end_of_a_session_is_awaited_as_long_as_it_makes_progress() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.opened();
    rig.input(Input::Stop {
        deadline: rig.now + 300 * SECOND,
    });
    let session = rig.session();
    for seq in 1..=3 {
        rig.pass(4 * SECOND);
        rig.input(Input::Written {
            session,
            seq,
            bytes: 100,
        });
    }
    rig.pass(4 * SECOND);
    rig.ack(AckEvent::Received, 1_000);
    rig.pass(4 * SECOND);
    assert!(rig.aborted.is_empty());
    rig.ack(AckEvent::Persisted, 1_000);
    rig.end(Ok(()));
    assert!(rig.stopped);
}

#[test]
fn a_service_that_is_slow_to_persist_gets_more_time_with_each_session() {
    let mut rig = Rig::ready(config());
    rig.fragment(1_000);
    rig.opened();
    rig.input(Input::Stop {
        deadline: rig.now + 300 * SECOND,
    });
    let mut seen = 1;
    for _ in 0..58 {
        rig.pass(SECOND);
        if rig.plans.len() > seen {
            seen = rig.plans.len();
            rig.opened();
        }
    }
    assert!(rig.plans.len() <= 4, "{}", rig.plans.len());
}

#[test]
fn sessions_that_end_well_and_deliver_nothing_come_ever_more_slowly() {
    let mut rig = Rig::ready(MachineConfig {
        idle_timeout: None,
        ..config()
    });
    rig.fragment(1_000);
    for _ in 0..200 {
        rig.opened();
        rig.end(Ok(()));
        let before = rig.plans.len();
        while rig.plans.len() == before {
            rig.pass(SECOND / 10);
        }
    }
    assert!(rig.now.duration_since(rig.began) > 300 * SECOND);
    assert!(
        rig.events
            .iter()
            .any(|event| matches!(event, StreamEvent::Error(_)))
    );
}

#[test]
fn a_call_that_died_with_its_driver_is_made_again() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.calls.pop(), Some(ServiceCall::Describe));
    rig.input(Input::DriverReplaced);
    assert_eq!(rig.calls, [ServiceCall::Describe]);
}
