//! The machine through seeded hours of faults, seeds that once found something, and broken machines, which have to be caught.

mod sim;

use std::time::Duration;

use kvs_testkit::sim::Simulation;

const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

fn assert_sound(seed: u64, duration: Duration) {
    let verdict = Simulation::new(seed).run(duration);
    assert!(verdict.is_sound(), "{verdict}");
    assert!(verdict.frames.is_conserved());
}

#[test]
fn a_fixed_set_of_seeds_finds_nothing() {
    for seed in 1..=24 {
        assert_sound(seed, HALF_AN_HOUR);
    }
}

#[test]
fn a_fresh_seed_finds_nothing() {
    let seed = fastrand::u64(..);
    // The harness shows it where the test fails.
    let verdict = Simulation::new(seed).run(HALF_AN_HOUR);
    assert!(verdict.is_sound(), "fresh {verdict}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || Simulation::new(99).run(HALF_AN_HOUR);
    let (one, other) = (run(), run());
    assert_eq!(one.frames, other.frames);
    assert_eq!(one.sessions, other.sessions);
    assert_eq!(one.faults, other.faults);
    assert_eq!(one.coverage, other.coverage);
}

/// Seeds that found something once, named after it.
mod found {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn an_older_session_ending_under_a_younger_one_sent_items_twice() {
        assert_sound(7, HALF_AN_HOUR);
    }

    #[test]
    fn relative_timecodes_were_rounded_unlike_the_muxers() {
        assert_sound(40, HALF_AN_HOUR);
    }

    #[test]
    fn a_fragment_whose_end_was_still_to_be_told_was_dropped_as_unsent() {
        assert_sound(6, HALF_AN_HOUR);
    }

    #[test]
    fn an_acknowledgement_after_the_stop_was_told() {
        assert_sound(1_003, HOUR);
    }

    #[test]
    fn items_delivered_late_were_released_before_they_were_read_again() {
        assert_sound(2_354, HOUR);
    }

    #[test]
    fn a_session_began_in_the_middle_of_a_fragment_delivered_meanwhile() {
        assert_sound(2_253, HOUR);
    }

    #[test]
    fn a_repeated_error_set_aside_a_fragment_that_was_refused_once() {
        assert_sound(107_869, HOUR);
    }

    #[test]
    fn a_session_without_acknowledgements_counted_as_in_vain() {
        assert_sound(111_543, HOUR);
    }
}
