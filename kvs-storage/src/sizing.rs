//! From bitrate and time to bytes, and back.

use std::time::Duration;

use crate::ITEM_OVERHEAD;

/// What a stream produces, to size buffers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaRate {
    /// Payload bits per second over all tracks.
    pub bits_per_second: u64,
    /// Frames per second over all tracks, rounded up.
    pub frames_per_second: u32,
}

impl MediaRate {
    /// Bytes of budget that hold this much media: payload, and [`ITEM_OVERHEAD`] for each frame.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kvs_storage::MediaRate;
    ///
    /// let camera = MediaRate { bits_per_second: 4_000_000, frames_per_second: 30 };
    /// assert_eq!(camera.bytes_for(Duration::from_secs(10)), 5_000_000 + 300 * kvs_storage::ITEM_OVERHEAD);
    /// ```
    #[must_use]
    pub fn bytes_for(&self, duration: Duration) -> u64 {
        let nanos = duration.as_nanos();
        let payload = u128::from(self.bits_per_second)
            .saturating_mul(nanos)
            .div_ceil(8 * NANOS_PER_SECOND);
        let frames = u128::from(self.frames_per_second)
            .saturating_mul(nanos)
            .div_ceil(NANOS_PER_SECOND);
        let bytes = payload.saturating_add(frames.saturating_mul(u128::from(ITEM_OVERHEAD)));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How much media fits into this many bytes of budget; [`Duration::MAX`] for a stream that produces nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kvs_storage::MediaRate;
    ///
    /// let camera = MediaRate { bits_per_second: 4_000_000, frames_per_second: 30 };
    /// assert_eq!(camera.duration_in(64 << 20).as_secs(), 132);
    /// ```
    #[must_use]
    pub fn duration_in(&self, bytes: u64) -> Duration {
        let overhead = u128::from(self.frames_per_second) * u128::from(ITEM_OVERHEAD);
        // In eighths of a byte, so that no bitrate is rounded.
        let per_second = u128::from(self.bits_per_second) + 8 * overhead;
        if per_second == 0 {
            return Duration::MAX;
        }
        let nanos = 8 * u128::from(bytes) * NANOS_PER_SECOND / per_second;
        u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
    }

    /// Most items in this much media, to bound a window with.
    #[must_use]
    pub fn items_for(&self, duration: Duration) -> u64 {
        let frames = u128::from(self.frames_per_second)
            .saturating_mul(duration.as_nanos())
            .div_ceil(NANOS_PER_SECOND);
        u64::try_from(frames).unwrap_or(u64::MAX)
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_time_that_fits_never_needs_more_than_there_is(
            bits_per_second in 1u64..1_000_000_000,
            frames_per_second in 0u32..1_000,
            bytes in 0u64..(1 << 40),
        ) {
            let rate = MediaRate { bits_per_second, frames_per_second };
            let duration = rate.duration_in(bytes);
            // Each of the two sums is rounded up by less than a byte and a frame.
            prop_assert!(rate.bytes_for(duration) <= bytes + 1 + ITEM_OVERHEAD);
        }
    }

    #[test]
    fn extremes_saturate() {
        let nothing = MediaRate {
            bits_per_second: 0,
            frames_per_second: 0,
        };
        assert_eq!(
            (nothing.bytes_for(Duration::MAX), nothing.duration_in(1)),
            (0, Duration::MAX)
        );
        let everything = MediaRate {
            bits_per_second: u64::MAX,
            frames_per_second: u32::MAX,
        };
        assert_eq!(everything.bytes_for(Duration::MAX), u64::MAX);
        assert_eq!(
            everything.items_for(Duration::from_secs(2)),
            2 * u64::from(u32::MAX)
        );
    }
}
