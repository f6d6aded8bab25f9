//! Client-side rate limits, so that recordings go up as fast as the service's quotas allow and no faster.

use std::time::{Duration, Instant};

/// What one stream may send per second; the defaults are the service's quotas for `PutMedia`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Fragments started per second; default 5.
    pub fragments_per_second: Option<u32>,
    /// Payload bytes per second; default 12,500,000.
    pub bytes_per_second: Option<u64>,
}

impl Default for RateLimits {
    fn default() -> Self {
        RateLimits {
            fragments_per_second: Some(5),
            bytes_per_second: Some(12_500_000),
        }
    }
}

impl RateLimits {
    /// No limit of our own; the service may still refuse.
    pub const OFF: RateLimits = RateLimits {
        fragments_per_second: None,
        bytes_per_second: None,
    };

    /// Sets how many fragments may start per second; `None` lifts the limit.
    #[must_use]
    pub fn with_fragments_per_second(mut self, fragments: Option<u32>) -> Self {
        self.fragments_per_second = fragments;
        self
    }

    /// Sets how many payload bytes may be sent per second; `None` lifts the limit.
    #[must_use]
    pub fn with_bytes_per_second(mut self, bytes: Option<u64>) -> Self {
        self.bytes_per_second = bytes;
        self
    }
}

/// One second's worth of tokens that refill as time passes; going into debt is allowed and paid back by waiting.
#[derive(Debug, Clone)]
struct Bucket {
    rate: f64,
    level: f64,
    filled_at: Option<Instant>,
}

impl Bucket {
    fn new(rate: f64) -> Self {
        Bucket {
            rate,
            level: rate,
            filled_at: None,
        }
    }

    fn refill(&mut self, now: Instant) {
        if let Some(last) = self.filled_at {
            let gained = now.saturating_duration_since(last).as_secs_f64() * self.rate;
            self.level = (self.level + gained).min(self.rate);
        }
        self.filled_at = Some(now);
    }

    /// How long until at least `amount` tokens are there.
    fn wait_for(&mut self, amount: f64, now: Instant) -> Duration {
        self.refill(now);
        let lacking = amount - self.level;
        // A remainder below a billionth of a token is rounding, not debt.
        if lacking <= 1e-9 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(lacking / self.rate)
        }
    }

    fn take(&mut self, amount: f64) {
        self.level -= amount;
    }
}

/// The state of a stream's rate limits.
#[derive(Debug, Clone)]
pub(super) struct Pacer {
    fragments: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Pacer {
    pub(super) fn new(limits: RateLimits) -> Self {
        Pacer {
            fragments: limits
                .fragments_per_second
                .map(|n| Bucket::new(f64::from(n.max(1)))),
            bytes: limits.bytes_per_second.map(|n| Bucket::new(n.max(1) as f64)),
        }
    }

    /// How long the next fragment has to wait.
    pub(super) fn fragment_wait(&mut self, now: Instant) -> Duration {
        let fragments = self
            .fragments
            .as_mut()
            .map_or(Duration::ZERO, |bucket| bucket.wait_for(1.0, now));
        fragments.max(self.bytes_wait(now))
    }

    /// How long the next frame has to wait.
    pub(super) fn bytes_wait(&mut self, now: Instant) -> Duration {
        self.bytes
            .as_mut()
            .map_or(Duration::ZERO, |bucket| bucket.wait_for(0.0, now))
    }

    pub(super) fn fragment_started(&mut self) {
        if let Some(bucket) = &mut self.fragments {
            bucket.take(1.0);
        }
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.bytes {
            bucket.take(bytes as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_five_fragments_start_in_any_second_after_the_first_burst() {
        let mut now = Instant::now();
        let start = now;
        let mut pacer = Pacer::new(RateLimits::default());
        let mut starts = Vec::new();
        for _ in 0..30 {
            now += pacer.fragment_wait(now);
            pacer.fragment_started();
            starts.push(now.duration_since(start));
        }
        assert_eq!(
            starts.iter().filter(|at| **at < Duration::from_millis(1)).count(),
            5
        );
        assert!(starts[29] >= Duration::from_millis(4_990), "{:?}", starts[29]);
    }

    #[test]
    fn a_large_frame_is_paid_back_by_waiting() {
        let now = Instant::now();
        let mut pacer = Pacer::new(RateLimits::OFF.with_bytes_per_second(Some(1_000)));
        assert_eq!(pacer.bytes_wait(now), Duration::ZERO);
        pacer.sent(3_000);
        let wait = pacer.bytes_wait(now);
        assert!(
            wait >= Duration::from_millis(1_999) && wait <= Duration::from_millis(2_001),
            "{wait:?}"
        );
    }
}
