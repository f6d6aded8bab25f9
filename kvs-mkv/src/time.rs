//! Media time: [`Timestamp`] and the unit it has on the wire, [`TimecodeScale`].

use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{MkvError, MkvErrorKind};

/// A point in media time: nanoseconds, signed, since an epoch the caller chooses.
///
/// Producers that follow the wall clock use the Unix epoch, for which the conversions from and to
/// [`SystemTime`] are made. The range is ±292 years; arithmetic saturates or is checked, it never wraps.
///
/// ```
/// use kvs_mkv::Timestamp;
/// use std::time::Duration;
///
/// let start = Timestamp::from_millis(1_700_000_000_000);
/// let next = start.saturating_add(Duration::from_millis(40));
/// assert_eq!(next.since(start), 40_000_000);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The epoch itself.
    pub const ZERO: Timestamp = Timestamp(0);
    /// The latest time that can be told.
    pub const MAX: Timestamp = Timestamp(i64::MAX);
    /// The earliest time that can be told.
    pub const MIN: Timestamp = Timestamp(i64::MIN);

    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Timestamp(nanos)
    }

    /// From microseconds since the epoch, saturating.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros.saturating_mul(1_000))
    }

    /// From milliseconds since the epoch, saturating.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis.saturating_mul(1_000_000))
    }

    /// From seconds since the epoch, saturating.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Timestamp(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded towards the past.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// `self + by`, or `None` beyond the range.
    #[must_use]
    pub fn checked_add(self, by: Duration) -> Option<Self> {
        let by = i64::try_from(by.as_nanos()).ok()?;
        self.0.checked_add(by).map(Timestamp)
    }

    /// `self - by`, or `None` beyond the range.
    #[must_use]
    pub fn checked_sub(self, by: Duration) -> Option<Self> {
        let by = i64::try_from(by.as_nanos()).ok()?;
        self.0.checked_sub(by).map(Timestamp)
    }

    /// `self + by`, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        self.checked_add(by).unwrap_or(Timestamp::MAX)
    }

    /// `self - by`, at least [`Timestamp::MIN`].
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        self.checked_sub(by).unwrap_or(Timestamp::MIN)
    }

    /// Shifted by a signed number of nanoseconds, saturating.
    #[must_use]
    pub const fn saturating_shift(self, nanos: i64) -> Self {
        Timestamp(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to `self`, negative where `earlier` is later; saturating.
    #[must_use]
    pub const fn since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same instant of the wall clock, reading `self` as Unix time.
    ///
    /// `None` where the platform's clock cannot tell that time.
    #[must_use]
    pub fn to_system_time(self) -> Option<SystemTime> {
        let distance = Duration::from_nanos(self.0.unsigned_abs());
        if self.0 >= 0 {
            UNIX_EPOCH.checked_add(distance)
        } else {
            UNIX_EPOCH.checked_sub(distance)
        }
    }
}

impl From<SystemTime> for Timestamp {
    /// Unix time, saturating.
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => Timestamp(i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n)),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    /// Seconds with nine decimals, as in `12.040000000s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:09}s", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }
}

/// The unit of every timecode on the wire: Matroska's `TimestampScale`, nanoseconds per unit.
///
/// Limits: 100 ns to 1 s (what the service's producers accept). Default: one millisecond. A block's time is
/// a signed 16-bit number of these units relative to its cluster, so the scale also bounds how long a
/// fragment can be: 32.767 s at one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimecodeScale(NonZeroU32);

impl TimecodeScale {
    /// One unit is one millisecond.
    pub const MILLISECOND: TimecodeScale = TimecodeScale(NonZeroU32::MIN.saturating_add(999_999));

    /// A scale of `nanos` nanoseconds per unit.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidScale`] outside 100 ns..=1 s.
    pub fn new(nanos: u64) -> Result<Self, MkvError> {
        u32::try_from(nanos)
            .ok()
            .filter(|nanos| (100..=1_000_000_000).contains(nanos))
            .and_then(NonZeroU32::new)
            .map(TimecodeScale)
            .ok_or_else(|| {
                MkvError::new(MkvErrorKind::InvalidScale)
                    .with_detail(format!("timecode scale of {nanos} ns, allowed are 100 ns to 1 s"))
            })
    }

    /// Nanoseconds per unit.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0.get() as u64
    }

    /// One unit as a duration.
    #[must_use]
    pub const fn unit(self) -> Duration {
        Duration::from_nanos(self.as_nanos())
    }

    /// The unit `time` falls in, rounded towards the past.
    #[must_use]
    pub const fn to_units(self, time: Timestamp) -> i64 {
        time.0.div_euclid(self.0.get() as i64)
    }

    /// The time at which unit `units` begins, saturating.
    #[must_use]
    pub const fn from_units(self, units: i64) -> Timestamp {
        Timestamp(units.saturating_mul(self.0.get() as i64))
    }

    /// How many whole units `duration` holds, saturating.
    #[must_use]
    pub fn units_in(self, duration: Duration) -> i64 {
        i64::try_from(duration.as_nanos() / u128::from(self.0.get())).unwrap_or(i64::MAX)
    }
}

impl Default for TimecodeScale {
    fn default() -> Self {
        TimecodeScale::MILLISECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_round_towards_the_past() {
        let just_before = Timestamp::from_nanos(-1);
        assert_eq!(just_before.as_millis(), -1);
        assert_eq!(TimecodeScale::MILLISECOND.to_units(just_before), -1);
        assert_eq!(just_before.to_string(), "-0.000000001s");
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(
            Timestamp::MAX.saturating_add(Duration::from_secs(1)),
            Timestamp::MAX
        );
        assert_eq!(Timestamp::MIN.saturating_sub(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::MAX.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(Timestamp::MAX.since(Timestamp::MIN), i64::MAX);
        assert_eq!(Timestamp::from_secs(i64::MAX), Timestamp::MAX);
    }

    #[test]
    fn wall_clock_times_survive_the_round_trip() {
        for nanos in [0, 1, -1, 1_700_000_000_123_456_700, -1_000_000_000] {
            let time = Timestamp::from_nanos(nanos);
            assert_eq!(time.to_system_time().map(Timestamp::from), Some(time));
        }
    }

    #[test]
    fn scales_outside_the_services_limits_are_refused() {
        for nanos in [0, 99, 1_000_000_001, u64::MAX] {
            assert_eq!(
                TimecodeScale::new(nanos).unwrap_err().kind(),
                MkvErrorKind::InvalidScale
            );
        }
        assert_eq!(TimecodeScale::new(1_000_000).unwrap(), TimecodeScale::default());
        let tick = TimecodeScale::new(100).unwrap();
        assert_eq!(tick.to_units(Timestamp::from_micros(1)), 10);
        assert_eq!(tick.from_units(10), Timestamp::from_micros(1));
    }
}
