//! Dice: everything that is left to chance, by the seed.

use std::time::Duration;

/// A source of chance for one part of the world. Each part has its own, so that a change in one leaves the others' luck as
/// it was.
#[derive(Debug, Clone)]
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    /// The dice of the part named by `part`.
    pub(super) fn new(seed: u64, part: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mixed = rng.u64(..) ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Dice(fastrand::Rng::with_seed(mixed))
    }

    /// Whether something happens that happens `percent` times in a hundred.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.0.u32(..100) < percent
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn number(&mut self, low: u64, high: u64) -> u64 {
        self.0.u64(low..=high)
    }

    /// A time from `low` to `high` milliseconds.
    pub(super) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.0.u64(low * 1_000..=high * 1_000))
    }

    /// A time from `low` to `high` seconds.
    pub(super) fn seconds(&mut self, low: u64, high: u64) -> Duration {
        self.millis(low * 1_000, high * 1_000)
    }

    /// One of several things.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.usize(..of.len())]
    }
}
