//! Virtual time, and the device's wall clock, which is wrong at times.

use std::time::{Duration, Instant};

use kvs_mkv::Timestamp;

/// When the world begins, by the service's clock: 2023-11-14T22:13:20Z.
const EPOCH: Timestamp = Timestamp::from_secs(1_700_000_000);

/// More than this between a request's date and the service's clock, and the signature is refused (SigV4).
const SKEW_ALLOWED: Duration = Duration::from_secs(5 * 60);

/// Time as each party tells it. Within the world it is the time since the beginning.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    now: Duration,
    /// How far the device's wall clock is off, in nanoseconds.
    wall_offset: i64,
    /// How far the client believes it is off, learnt from a response's date.
    learnt_offset: i64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock {
            start: Instant::now(),
            now: Duration::ZERO,
            wall_offset: 0,
            learnt_offset: 0,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Goes on to a time; it never goes back.
    pub(super) fn advance_to(&mut self, time: Duration) {
        self.now = self.now.max(time);
    }

    /// The device's monotonic clock.
    pub(super) fn instant(&self) -> Instant {
        self.start + self.now
    }

    /// The time of an instant of the monotonic clock.
    pub(super) fn time_of(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.start)
    }

    /// The service's clock.
    pub(super) fn service(&self) -> Timestamp {
        EPOCH.saturating_add(self.now)
    }

    /// The time of a moment of the service's clock.
    pub(super) fn time_of_service(at: Timestamp) -> Duration {
        Duration::from_nanos(at.since(EPOCH).max(0).unsigned_abs())
    }

    /// The device's wall clock.
    pub(super) fn wall(&self) -> Timestamp {
        self.service().saturating_shift(self.wall_offset)
    }

    /// Somebody sets the wall clock: it jumps by so many nanoseconds.
    pub(super) fn step_wall(&mut self, nanos: i64) {
        self.wall_offset = self.wall_offset.saturating_add(nanos);
    }

    /// Whether a request signed now carries a date that the service takes. If not, the client learns from the answer how
    /// far its clock is off, as the one in `kvs-client` does.
    pub(super) fn signs_in_time(&mut self) -> bool {
        let error = self.wall_offset.abs_diff(self.learnt_offset);
        let in_time = u128::from(error) <= SKEW_ALLOWED.as_nanos();
        if !in_time {
            self.learnt_offset = self.wall_offset;
        }
        in_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skewed_clock_fails_one_request_and_is_learnt() {
        let mut clock = Clock::new();
        assert!(clock.signs_in_time());
        clock.step_wall(-3_600_000_000_000);
        assert!(!clock.signs_in_time());
        assert!(clock.signs_in_time());
    }
}
