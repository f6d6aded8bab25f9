//! The machine's timers: an enum and a table, so that everything that may ever fire can be listed and tested.

use std::time::Instant;

/// Everything the machine may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Timer {
    /// The next attempt of a service call or a connect may start.
    Retry,
    /// A rate limit allows the next fragment.
    Pace,
    /// No frame has come for so long that the open fragment is closed and the session ended.
    Idle,
    /// The session is old enough to be replaced at the next fragment boundary.
    Rollover,
    /// The wait for the last acknowledgement of an ended session is over.
    LastAck,
    /// No acknowledgement came although media was sent.
    Stale,
    /// A fragment was received and not persisted for too long.
    Received,
    /// The deadline of a stop.
    Stop,
}

impl Timer {
    /// All timers, in the order in which they fire when due at the same moment.
    pub const ALL: [Timer; 8] = [
        Timer::Retry,
        Timer::Pace,
        Timer::Idle,
        Timer::Rollover,
        Timer::LastAck,
        Timer::Stale,
        Timer::Received,
        Timer::Stop,
    ];

    const fn index(self) -> usize {
        self as usize
    }
}

/// When each timer fires, if it is armed.
#[derive(Debug, Clone, Default)]
pub(super) struct TimerTable {
    due: [Option<Instant>; Timer::ALL.len()],
}

impl TimerTable {
    pub(super) fn arm(&mut self, timer: Timer, at: Instant) {
        self.due[timer.index()] = Some(at);
    }

    pub(super) fn cancel(&mut self, timer: Timer) {
        self.due[timer.index()] = None;
    }

    pub(super) fn cancel_all(&mut self) {
        self.due = Default::default();
    }

    pub(super) fn is_armed(&self, timer: Timer) -> bool {
        self.due[timer.index()].is_some()
    }

    /// The earliest moment at which a timer fires.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.iter().flatten().min().copied()
    }

    /// Takes one timer that is due at `now`; it is disarmed by this.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let timer = Timer::ALL
            .into_iter()
            .filter_map(|timer| self.due[timer.index()].map(|at| (at, timer)))
            .filter(|(at, _)| *at <= now)
            .min()?
            .1;
        self.cancel(timer);
        Some(timer)
    }

    /// The armed timers.
    pub(super) fn armed(&self) -> impl Iterator<Item = Timer> + '_ {
        Timer::ALL.into_iter().filter(|timer| self.is_armed(*timer))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_fire_once_and_in_the_order_of_their_time() {
        let start = Instant::now();
        let mut table = TimerTable::default();
        table.arm(Timer::Stop, start + Duration::from_secs(2));
        table.arm(Timer::Retry, start + Duration::from_secs(3));
        table.arm(Timer::Pace, start + Duration::from_secs(9));
        assert_eq!(table.next(), Some(start + Duration::from_secs(2)));
        let now = start + Duration::from_secs(5);
        assert_eq!(table.expire(now), Some(Timer::Stop));
        assert_eq!(table.expire(now), Some(Timer::Retry));
        assert_eq!(table.expire(now), None);
        assert_eq!(table.armed().collect::<Vec<_>>(), [Timer::Pace]);
    }

    #[test]
    fn a_cancelled_timer_never_fires() {
        let start = Instant::now();
        let mut table = TimerTable::default();
        table.arm(Timer::Idle, start);
        table.cancel(Timer::Idle);
        assert_eq!(table.expire(start + Duration::from_secs(1)), None);
        assert_eq!(table.next(), None);
    }
}
