//! After faults: how soon the stream has to be well again.

use std::time::Duration;

/// The stream streams again within this, once everything works.
const PROMPT: Duration = Duration::from_secs(5);

/// The same after the service asked for less.
const AFTER_THROTTLE: Duration = Duration::from_secs(30);

/// What the round trips of a few calls take on a healthy link, and the repetition of a lost SYN.
const ROUND_TRIPS: Duration = Duration::from_millis(1_500);

/// What the faults left behind shows within this, counted from the failure before: failures on their way when the last fault
/// ended; then an endpoint, a clock or a stream found wrong at the next attempt, which may be a back-off away.
const AFTERMATH: Duration = Duration::from_secs(6);

/// So many such failures can follow each other: one on its way, the clock, the endpoint, a stream that is gone and comes anew
/// over some changes of its status.
const MOST_FAILURES: u32 = 12;

/// Stored fragments go up at five per second at most; two frames make the shortest.
const FRAMES_PER_SECOND: f64 = 8.0;

/// The wait between the end of all faults and the time by which all is well.
#[derive(Debug)]
pub(super) struct Recovery {
    failures_left: u32,
    /// The last failure that the machine heard of, or the end of the faults.
    since: Duration,
    limit: Duration,
    /// When there was first something to deliver.
    wanted_at: Option<Duration>,
    has_streamed: bool,
    /// The last item that has to be gone, and by when.
    pub(super) last_item: u64,
    delivered_by: Duration,
}

/// What a recovery came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Waiting,
    /// The stream doesn't stream.
    Late,
    /// It is time for all that was held to be gone.
    Due,
}

impl Recovery {
    /// Begins at the end of all faults. `is_throttled` says whether the last failure was one that calls for longer waits,
    /// `held` how many frames wait.
    pub(super) fn begin(now: Duration, is_throttled: bool, held: u64, last_item: u64) -> Self {
        let limit = if is_throttled { AFTER_THROTTLE } else { PROMPT };
        let backlog = Duration::from_secs_f64(held as f64 / FRAMES_PER_SECOND);
        Recovery {
            failures_left: MOST_FAILURES,
            since: now,
            limit,
            wanted_at: None,
            has_streamed: false,
            last_item,
            delivered_by: now + limit + backlog + Duration::from_secs(25),
        }
    }

    /// The machine heard of a failure.
    pub(super) fn failed(&mut self, now: Duration, is_throttle: bool) {
        if self.failures_left == 0 || now > self.since + self.limit.max(AFTERMATH) {
            return;
        }
        self.failures_left -= 1;
        self.delivered_by += now - self.since;
        self.since = now;
        if is_throttle {
            let longer = AFTER_THROTTLE.saturating_sub(self.limit);
            self.delivered_by += longer;
            self.limit = AFTER_THROTTLE;
        }
    }

    /// Looks at the stream.
    pub(super) fn look(&mut self, now: Duration, is_streaming: bool, is_wanted: bool) -> Outcome {
        self.has_streamed |= is_streaming;
        if !is_wanted {
            self.wanted_at = None;
        } else if self.wanted_at.is_none() {
            self.wanted_at = Some(now);
        }
        if let Some(wanted) = self.wanted_at
            && !self.has_streamed
            && now > wanted.max(self.since) + self.limit + ROUND_TRIPS
        {
            return Outcome::Late;
        }
        if now > self.delivered_by {
            Outcome::Due
        } else {
            Outcome::Waiting
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_with_something_to_deliver_has_to_stream_soon() {
        let at = Duration::from_secs;
        let mut recovery = Recovery::begin(at(100), false, 0, 0);
        assert_eq!(recovery.look(at(101), false, true), Outcome::Waiting);
        assert_eq!(recovery.look(at(108), false, true), Outcome::Late);
        let mut recovery = Recovery::begin(at(100), true, 0, 0);
        assert_eq!(recovery.look(at(101), false, true), Outcome::Waiting);
        assert_eq!(recovery.look(at(130), false, true), Outcome::Waiting);
        assert_eq!(recovery.look(at(131), true, true), Outcome::Waiting);
        assert_eq!(recovery.look(at(190), false, true), Outcome::Due);
    }
}
