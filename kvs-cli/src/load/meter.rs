//! What is measured while the load runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use kvs_actors::{FragmentAck, StreamEvents};
use kvs_client::AckEvent;
use tokio::sync::Notify;

/// Times up to a minute, to three digits.
const LONGEST_US: u64 = 60_000_000;

pub(super) struct Meter {
    /// What the times in the frames count from.
    pub(super) start: Instant,
    put_ns: Mutex<Histogram<u64>>,
    wire_us: Mutex<Histogram<u64>>,
    ack_us: Mutex<Histogram<u64>>,
    /// When the first PERSISTED came, in microseconds from the start of the measurement; 0 before.
    first_persisted_us: AtomicU64,
}

impl Meter {
    pub(super) fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Meter {
            start: Instant::now(),
            put_ns: Mutex::new(Histogram::new_with_max(1_000 * LONGEST_US, 3)?),
            wire_us: Mutex::new(Histogram::new_with_max(LONGEST_US, 3)?),
            ack_us: Mutex::new(Histogram::new_with_max(LONGEST_US, 3)?),
            first_persisted_us: AtomicU64::new(0),
        })
    }

    pub(super) fn put(&self, took: Duration) {
        lock(&self.put_ns).saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The frames with these times were written.
    pub(super) fn written(&self, stamps: &mut Vec<Duration>) {
        let now = self.start.elapsed();
        let mut histogram = lock(&self.wire_us);
        for stamp in stamps.drain(..) {
            histogram.saturating_record(micros(now.saturating_sub(stamp)));
        }
    }

    fn persisted(&self, latency: Option<Duration>) {
        let now = micros(self.start.elapsed()).max(1);
        // Only the first sets it.
        let _ = self
            .first_persisted_us
            .compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
        if let Some(latency) = latency {
            lock(&self.ack_us).saturating_record(micros(latency));
        }
    }

    /// The put time at a quantile, in microseconds.
    pub(super) fn put_us(&self, quantile: f64) -> f64 {
        lock(&self.put_ns).value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// From a frame's put to its last byte written, at a quantile, in milliseconds.
    pub(super) fn wire_ms(&self, quantile: f64) -> f64 {
        lock(&self.wire_us).value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// From the last byte of a fragment written to its PERSISTED, at a quantile, in milliseconds.
    pub(super) fn ack_ms(&self, quantile: f64) -> f64 {
        lock(&self.ack_us).value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// When the first PERSISTED came, from the start of the measurement.
    pub(super) fn first_persisted(&self) -> Option<Duration> {
        Some(self.first_persisted_us.load(Ordering::Acquire))
            .filter(|us| *us > 0)
            .map(Duration::from_micros)
    }
}

/// What one stream has underway, and whoever waits for it to become less.
pub(super) struct Outstanding {
    fragments: AtomicU64,
    less: Notify,
    meter: std::sync::Arc<Meter>,
}

impl Outstanding {
    pub(super) fn new(meter: std::sync::Arc<Meter>) -> Self {
        Outstanding {
            fragments: AtomicU64::new(0),
            less: Notify::new(),
            meter,
        }
    }

    /// Takes one more fragment on, waiting until fewer than `most` are under way.
    pub(super) async fn begin(&self, most: u64) {
        while self.fragments.load(Ordering::Acquire) >= most {
            self.less.notified().await;
        }
        self.fragments.fetch_add(1, Ordering::AcqRel);
    }
}

/// The callbacks of a stream under load.
pub(super) struct LoadEvents(pub(super) std::sync::Arc<Outstanding>);

impl StreamEvents for LoadEvents {
    fn fragment_ack(&self, _: &str, ack: &FragmentAck) {
        if ack.event == AckEvent::Persisted {
            self.0.meter.persisted(ack.latency);
            let _ = self
                .0
                .fragments
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
            self.0.less.notify_one();
        }
    }
}

fn lock(histogram: &Mutex<Histogram<u64>>) -> MutexGuard<'_, Histogram<u64>> {
    histogram.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
