//! The link between the device and the service: how long things take, and what holds them up.

use std::collections::VecDeque;
use std::time::Duration;

use super::seed::Dice;

/// The state of the link.
#[derive(Debug)]
pub(super) struct Link {
    /// How long anything takes at least, one way.
    pub(super) latency: Duration,
    /// How much longer it may take.
    pub(super) jitter: Duration,
    /// Bodies are held up.
    pub(super) is_stalled: bool,
    /// Nothing passes.
    pub(super) is_black: bool,
    /// Connects are refused.
    pub(super) refuses: bool,
    /// Acknowledgements take so much longer.
    pub(super) ack_delay: Duration,
    dice: Dice,
}

impl Link {
    pub(super) fn new(mut dice: Dice) -> Self {
        Link {
            latency: dice.millis(1, 20),
            jitter: Duration::ZERO,
            is_stalled: false,
            is_black: false,
            refuses: false,
            ack_delay: Duration::ZERO,
            dice,
        }
    }

    /// How long the next thing takes, one way.
    pub(super) fn travel(&mut self) -> Duration {
        if self.jitter.is_zero() {
            return self.latency;
        }
        let most = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        self.latency + self.dice.millis(0, most)
    }
}

/// One direction of a connection: what was put in comes out later, in order.
#[derive(Debug)]
pub(super) struct Pipe<T> {
    under_way: VecDeque<(Duration, T)>,
}

impl<T> Pipe<T> {
    pub(super) fn new() -> Self {
        Pipe {
            under_way: VecDeque::new(),
        }
    }

    /// Puts something in that arrives at `arrival`, or with what is before it, if that is later. Returns when.
    pub(super) fn put(&mut self, arrival: Duration, thing: T) -> Duration {
        let arrival = self
            .under_way
            .back()
            .map_or(arrival, |(last, _)| arrival.max(*last));
        self.under_way.push_back((arrival, thing));
        arrival
    }

    /// Takes what has arrived.
    pub(super) fn take(&mut self, now: Duration) -> Option<T> {
        let is_due = self.under_way.front().is_some_and(|(arrival, _)| *arrival <= now);
        if is_due {
            self.under_way.pop_front().map(|(_, thing)| thing)
        } else {
            None
        }
    }

    /// Has everything arrive by now.
    pub(super) fn hasten(&mut self, now: Duration) {
        for (arrival, _) in &mut self.under_way {
            *arrival = now.min(*arrival);
        }
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) {
        self.under_way.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overtakes_in_a_pipe() {
        let mut pipe = Pipe::new();
        let at = Duration::from_millis;
        assert_eq!(pipe.put(at(9), "slow"), at(9));
        assert_eq!(pipe.put(at(3), "fast"), at(9));
        assert_eq!(pipe.take(at(8)), None);
        assert_eq!(pipe.take(at(9)), Some("slow"));
        assert_eq!(pipe.take(at(9)), Some("fast"));
    }
}
