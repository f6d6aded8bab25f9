//! Where the time comes from.

use std::time::{Instant, SystemTime};

/// The time, as an argument: so that hours can pass in a test within a moment.
pub trait Clock: Send + Sync + 'static {
    /// Time that only ever moves on; it paces and times everything.
    fn now(&self) -> Instant;

    /// The time of day; it anchors the first frame of a stream and signs requests.
    fn wall(&self) -> SystemTime;
}

/// The runtime's time, which a test may pause, and the system's time of day.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
