//! A process that is killed in the middle of whatever it does: what it knew to be durable is delivered by the next one.
//!
//! A child process produces three streams over a durable spool and is killed again and again, with no chance to tidy up:
//! while it puts frames, while segments are begun and removed, while it reads the spool after the kill before. It tells
//! over its standard output what it knows to be durable and which fragments' PERSISTED it has made durable. The parent
//! is the service, and the judge.
//!
//! `KVS_CRASH_KILLS=200 cargo test --release -p kvs-testkit --test crash -- --nocapture` kills as often as one likes and
//! prints what happened. `KVS_CRASH_SEED` repeats the choices of a run; the moments are the operating system's, too.

#![allow(clippy::unwrap_used)] // outside test functions too: a wrong set-up is a failed test

#[path = "crash/child.rs"]
mod child;
#[path = "crash/claims.rs"]
mod claims;
#[path = "crash/judge.rs"]
mod judge;
#[path = "crash/media.rs"]
mod media;
#[path = "crash/moment.rs"]
mod moment;
#[path = "crash/rounds.rs"]
mod rounds;

use rounds::{Reachable, Rounds};

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test]
async fn what_was_durable_when_the_process_was_killed_is_delivered_by_the_next() {
    let kills = setting("KVS_CRASH_KILLS").unwrap_or(12);
    let seed = setting("KVS_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut rounds = Rounds::new(seed);
    while rounds.tally.kills() < kills {
        let reachable = match rounds.tally.rounds % 3 {
            0 => Reachable::Always,
            1 => Reachable::AfterAllKills,
            _ => Reachable::AfterTheFirstKill,
        };
        let judged = rounds.play(reachable).await;
        let faults = judged.faults();
        assert!(faults.is_empty(), "seed {seed}: {}", faults.join("\n"));
    }
    rounds.tally.print(seed);
    assert!(rounds.tally.records_checked > 0);
}

#[tokio::test]
async fn the_judge_sees_a_lost_record_and_a_fragment_sent_after_it_was_recorded() {
    let mut rounds = Rounds::new(1);
    let judged = rounds.play(Reachable::Always).await;
    assert_eq!(judged.faults(), Vec::<String>::new());

    let mut doctored = judged.clone();
    doctored.claim_one_frame_more();
    assert!(doctored.faults().iter().any(|fault| fault.contains("lost")));

    let mut doctored = judged.clone();
    doctored.claim_everything_recorded_before();
    assert!(doctored.faults().iter().any(|fault| fault.contains("recorded")));

    let mut doctored = judged;
    doctored.change_a_byte_on_the_way();
    assert!(doctored.faults().iter().any(|fault| fault.contains("differs")));
}

#[test]
#[ignore = "the process that the other tests start and kill"]
fn child() {
    child::run();
}
