//! What holds at every step, as one function for tests, the simulator and debug builds.

use std::fmt;

use super::StreamMachine;
use super::counters::Tally;
use super::session::Phase;
use super::stopping::Stopping;
use super::timer::Timer;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The places of frames don't add up to the frames accepted.
    Conservation,
    /// The fragments held and the frames counted as buffered differ.
    Buffered {
        /// What the fragments hold.
        held: Tally,
        /// What is counted.
        counted: Tally,
    },
    /// The timecodes of a session don't rise strictly.
    Timecodes,
    /// More than one session takes media.
    TwoSessions,
    /// A timer is armed although nothing is left to do.
    IdleTimer(Timer),
    /// Media waits and nothing will ever send it: no call is under way, no timer armed, no session open.
    Stuck,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl StreamMachine {
    /// Checks what holds at every step, once all outputs were taken.
    ///
    /// # Errors
    /// The first invariant found broken.
    pub fn check(&self) -> Result<(), Violation> {
        if !self.counters.is_conserved() {
            return Err(Violation::Conservation);
        }
        let held = self
            .fragments
            .iter()
            .fold(Tally::default(), |mut sum, (_, fragment)| {
                sum.add(fragment.tally);
                sum
            });
        if held != self.counters.buffered {
            return Err(Violation::Buffered {
                held,
                counted: self.counters.buffered,
            });
        }
        for session in &self.sessions {
            let mut timecodes = session.wire.iter().map(|wire| wire.timecode);
            let mut last = timecodes.next();
            for timecode in timecodes {
                if Some(timecode) <= last {
                    return Err(Violation::Timecodes);
                }
                last = Some(timecode);
            }
        }
        if self.sessions.iter().filter(|session| session.may_send()).count() > 1 {
            return Err(Violation::TwoSessions);
        }
        if self.stopping == Stopping::Done
            && let Some(timer) = self.timers.armed().next()
        {
            return Err(Violation::IdleTimer(timer));
        }
        self.check_progress()
    }

    /// The machine never waits for nothing.
    fn check_progress(&self) -> Result<(), Violation> {
        use super::life::Progress;
        let has_work = !matches!(self.view.next(), kvs_storage::Next::Nothing);
        if !has_work || !self.is_alive() {
            return Ok(());
        }
        let is_live = self.sessions.iter().any(|session| session.phase != Phase::Over);
        let is_asking = self.progress == Progress::UnderWay || self.paging_in.is_some();
        let is_waiting = self.timers.is_armed(Timer::Retry);
        if is_live || is_asking || is_waiting {
            Ok(())
        } else {
            Err(Violation::Stuck)
        }
    }

    /// In debug builds every step is checked.
    pub(super) fn debug_check(&self) {
        #[cfg(debug_assertions)]
        if let Err(violation) = self.check() {
            debug_assert!(
                false,
                "broken invariant on stream {}: {violation}",
                self.config.stream
            );
        }
    }
}
