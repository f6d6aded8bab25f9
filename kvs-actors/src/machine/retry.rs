//! How long to wait before the next attempt.

use std::time::{Duration, Instant};

/// Exponential back-off with full jitter, and a floor between two connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The wait grows from here, doubling with each failed attempt. Default 100 ms.
    pub base: Duration,
    /// The longest wait after an ordinary failure. Default 4 s.
    pub cap: Duration,
    /// The longest wait after the service asked for less. Default 30 s.
    pub throttle_cap: Duration,
    /// The shortest time between the starts of two connects. Default 1 s.
    pub connect_spacing: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            base: Duration::from_millis(100),
            cap: Duration::from_secs(4),
            throttle_cap: Duration::from_secs(30),
            connect_spacing: Duration::from_secs(1),
        }
    }
}

impl RetryPolicy {
    /// Sets where the wait grows from.
    #[must_use]
    pub fn with_base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets the longest wait after an ordinary failure.
    #[must_use]
    pub fn with_cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Sets the longest wait after a throttle.
    #[must_use]
    pub fn with_throttle_cap(mut self, cap: Duration) -> Self {
        self.throttle_cap = cap;
        self
    }

    /// Sets the shortest time between the starts of two connects.
    #[must_use]
    pub fn with_connect_spacing(mut self, spacing: Duration) -> Self {
        self.connect_spacing = spacing;
        self
    }
}

/// Whether the service asked for less, or something merely failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    Failed,
    Throttled,
}

/// The state of the back-off of one stream.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    policy: RetryPolicy,
    attempts: u32,
    last_connect: Option<Instant>,
    random: fastrand::Rng,
}

impl Backoff {
    pub(super) fn new(policy: RetryPolicy, seed: u64) -> Self {
        Backoff {
            policy,
            attempts: 0,
            last_connect: None,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// How often in a row something has failed.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The service lives: the next failure waits briefly again.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The wait after one more failure: anything from nothing to the exponential bound.
    pub(super) fn next_wait(&mut self, urgency: Urgency) -> Duration {
        let cap = match urgency {
            Urgency::Failed => self.policy.cap,
            Urgency::Throttled => self.policy.throttle_cap,
        };
        let bound = self
            .policy
            .base
            .saturating_mul(1 << self.attempts.min(16))
            .min(cap);
        self.attempts = self.attempts.saturating_add(1);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.u64(0..=nanos))
    }

    /// The earliest moment for the next connect, at or after `from`.
    pub(super) fn earliest_connect(&self, from: Instant) -> Instant {
        match self.last_connect {
            Some(last) => from.max(last + self.policy.connect_spacing),
            None => from,
        }
    }

    pub(super) fn connected_at(&mut self, now: Instant) {
        self.last_connect = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_under_a_doubling_bound_and_the_cap() {
        for seed in 0..50 {
            let mut backoff = Backoff::new(RetryPolicy::default(), seed);
            let mut bound = Duration::from_millis(100);
            for _ in 0..12 {
                assert!(backoff.next_wait(Urgency::Failed) <= bound.min(Duration::from_secs(4)));
                bound *= 2;
            }
        }
    }

    #[test]
    fn a_throttle_may_wait_longer_than_a_failure() {
        let longest = (0..200)
            .map(|seed| {
                let mut backoff = Backoff::new(RetryPolicy::default(), seed);
                (0..12)
                    .map(|_| backoff.next_wait(Urgency::Throttled))
                    .max()
                    .unwrap()
            })
            .max()
            .unwrap();
        assert!(longest > Duration::from_secs(4) && longest <= Duration::from_secs(30));
    }

    #[test]
    fn two_connects_keep_their_distance() {
        let start = Instant::now();
        let mut backoff = Backoff::new(RetryPolicy::default(), 1);
        assert_eq!(backoff.earliest_connect(start), start);
        backoff.connected_at(start);
        assert_eq!(backoff.earliest_connect(start), start + Duration::from_secs(1));
        let later = start + Duration::from_secs(7);
        assert_eq!(backoff.earliest_connect(later), later);
    }
}
