//! The time to sign with, corrected by what the service says it is.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// A refused signature is blamed on the clock from this difference on: the service tolerates 5 minutes, the
/// answer took some time to come.
const BLAMED_FROM: Duration = Duration::from_secs(4 * 60);

/// A wall clock with a correction that all its clones share.
///
/// The correction is learnt from the `Date` of an answer that refuses a signature, so that a machine whose
/// clock is wrong by days can still send. It moves signing dates and the expiry of credentials, never the
/// time of media.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// Milliseconds to add to the source's time.
    correction: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::from_fn(SystemTime::now)
    }

    /// A clock that reads `source`, for simulations and tests.
    pub fn from_fn(source: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self {
            source: Arc::new(source),
            correction: Arc::default(),
        }
    }

    /// The time, corrected.
    pub fn now(&self) -> SystemTime {
        let now = (self.source)();
        let correction = self.correction.load(Ordering::Relaxed);
        let distance = Duration::from_millis(correction.unsigned_abs());
        let corrected = if correction < 0 {
            now.checked_sub(distance)
        } else {
            now.checked_add(distance)
        };
        corrected.unwrap_or(now)
    }

    /// What is added to the source's time, in milliseconds.
    pub fn correction_ms(&self) -> i64 {
        self.correction.load(Ordering::Relaxed)
    }

    /// Takes the service's time from an answer that refused a signature. True if the clock was off by 4
    /// minutes or more and has been corrected, so that signing once more is worthwhile.
    pub(crate) fn learn(&self, service_time: SystemTime) -> bool {
        if distance(self.now(), service_time) < BLAMED_FROM {
            return false;
        }
        let local = (self.source)();
        let behind = service_time
            .duration_since(local)
            .ok()
            .and_then(|behind| i64::try_from(behind.as_millis()).ok());
        let ahead = local
            .duration_since(service_time)
            .ok()
            .and_then(|ahead| i64::try_from(ahead.as_millis()).ok());
        let Some(correction) = behind.or(ahead.map(|ahead| -ahead)) else {
            return false;
        };
        tracing::warn!(
            correction_ms = correction,
            "the clock differs from the service's, signing with the service's time"
        );
        self.correction.store(correction, Ordering::Relaxed);
        true
    }
}

fn distance(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("correction_ms", &self.correction_ms())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_clock_that_is_off_either_way_is_corrected_for_all_its_clones() {
        for local in [at(0), at(1_700_000_000) - DAY, at(1_700_000_000) + DAY] {
            let clock = Clock::from_fn(move || local);
            let clone = clock.clone();

            assert!(clock.learn(at(1_700_000_000)));

            assert_eq!(clone.now(), at(1_700_000_000));
        }
    }

    #[test]
    fn a_clock_that_is_nearly_right_stays() {
        let clock = Clock::from_fn(|| at(1_700_000_000));

        assert!(!clock.learn(at(1_700_000_239)));

        assert_eq!(clock.correction_ms(), 0);
    }

    #[test]
    fn a_correction_is_learnt_once() {
        let clock = Clock::from_fn(|| at(0));

        assert!(clock.learn(at(1_700_000_000)));
        assert!(!clock.learn(at(1_700_000_001)));
    }
}
