//! A stream's machine against the service, through hours of faults, in virtual time.
//!
//! A [`Simulation`] puts a [`StreamMachine`] between a synthetic camera and the
//! [`service`](crate::service) model, as the actors do: its steps of sending are muxed into Matroska, go through a
//! link as bytes, are taken apart by the service's rules of ingestion, and the service's acknowledgements come back as
//! bytes through the [`AckDecoder`](kvs_client::AckDecoder). Nothing waits: time jumps from event to event, so an hour takes
//! some hundredths of a second.
//!
//! Everything that goes wrong is drawn from the seed: the link, the service, the store, the clocks ([`FaultKind`] lists
//! it). What has to hold is checked at every step, by the machine itself and by an account that is kept apart from it; the
//! first thing that doesn't hold is the [`Finding`] of the [`Verdict`].
//!
//! ```
//! use std::time::Duration;
//! use kvs_testkit::sim::Simulation;
//!
//! let verdict = Simulation::new(7).run(Duration::from_secs(600));
//! assert!(verdict.is_sound(), "{verdict}");
//! assert!(verdict.frames.delivered.frames > 0);
//! ```
//!
//! # What is checked
//!
//! - The machine's own invariants after every input.
//! - Every accepted frame is in one place. What leaves the store was acknowledged for good, or is reported as dropped or
//!   refused, or counted as unconfirmed; and it leaves once.
//! - What counts as delivered lies in the service's ledger, byte for byte. What was reported as dropped unsent doesn't.
//! - A fragment whose last acknowledgement was processed is never started again.
//! - A session begins with a header, a fragment and its key frame; its timecodes rise strictly; the service refuses nothing
//!   but what a fault made it refuse. At most one session takes media.
//! - Connects are as far apart as the retry policy says.
//! - Once all faults are over, the stream is streaming within 5 s (30 s after a throttle), and what it held is delivered.
//! - After a stop nothing is armed, open or asked for.

mod account;
mod camera;
mod clock;
mod control;
mod coverage;
mod doors;
mod fault;
mod link;
mod recovery;
mod scenario;
mod seed;
mod serving;
mod session;
mod store;
mod trouble;
mod verdict;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use kvs_actors::machine::{MachineConfig, StreamMachine};

pub use coverage::{Coverage, InputKind};
pub use doors::Doors;
pub use fault::FaultKind;
pub use verdict::{Finding, FindingKind, Verdict};

use world::Recording;

/// One seeded run of a stream's machine. See the [module](self) page.
#[derive(Debug, Clone, Copy)]
pub struct Simulation {
    seed: u64,
}

impl Simulation {
    /// A simulation in which everything is drawn from this seed; the same seed gives the same run.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Simulation { seed }
    }

    /// Runs for so much virtual time, stops the stream, and says what was found.
    #[must_use]
    pub fn run(self, duration: Duration) -> Verdict {
        self.run_with(duration, StreamMachine::new)
    }

    /// The same with something else between the world and a machine: a wrapper that breaks it, or that records it.
    ///
    /// A panic of the machine is a [finding](FindingKind::Panic), too.
    #[must_use]
    pub fn run_with<D: Doors>(self, duration: Duration, build: impl Fn(MachineConfig) -> D) -> Verdict {
        let live = |recording| {
            let run = || world::World::new(self.seed, duration, recording, &build).run(duration);
            catch_unwind(AssertUnwindSafe(run))
                .unwrap_or_else(|panic| Verdict::of_panic(self.seed, duration, panic.as_ref()))
        };
        let verdict = live(Recording::Off);
        if verdict.is_sound() {
            return verdict;
        }
        // The same run again, with a trail.
        live(Recording::On)
    }
}
