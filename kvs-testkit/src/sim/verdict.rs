//! What a run came to.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kvs_actors::machine::{FrameCounters, SessionCounters};

use super::coverage::Coverage;
use super::fault::FaultKind;

/// What did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// The machine's own check failed.
    Invariant,
    /// The machine panicked.
    Panic,
    /// The counters, the reports and what left the store don't agree.
    Conservation,
    /// Something counts as delivered that the service doesn't have, or as dropped that it has.
    Delivery,
    /// A fragment was started again after its last acknowledgement.
    SentAgain,
    /// A session's steps of sending are not what a session has to be.
    Wire,
    /// The service refused what no fault made it refuse.
    Refused,
    /// Two connects were too close.
    ConnectSpacing,
    /// A second session takes media.
    TwoSessions,
    /// All was well again and the stream was not, in time.
    NotRecovered,
    /// All was well again and something held was not delivered, in time.
    NotDelivered,
    /// An item was needed that had been released, or one released that wasn't there.
    Store,
    /// The stream didn't stop in time, or something went on after it.
    NotStopped,
    /// The machine goes round without time passing.
    Spinning,
}

/// The first thing in a run that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// When, since the beginning of the run.
    pub at: Duration,
    /// The details.
    pub text: String,
    /// What had happened just before, oldest first.
    pub trail: Vec<String>,
}

/// What a run came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verdict {
    /// The seed of the run.
    pub seed: u64,
    /// How much virtual time it was to take.
    pub duration: Duration,
    /// Where the machine says its frames are.
    pub frames: FrameCounters,
    /// What the machine's sessions did.
    pub sessions: SessionCounters,
    /// How often each kind of fault came.
    pub faults: BTreeMap<FaultKind, u64>,
    /// How often the stream was seen recovering after faults.
    pub recoveries: u64,
    /// Which inputs came in which states.
    pub coverage: Coverage,
    /// The first thing that did not hold, if anything.
    pub finding: Option<Finding>,
}

impl Verdict {
    pub(super) fn of_panic(seed: u64, duration: Duration, panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a text");
        Verdict {
            seed,
            duration,
            frames: FrameCounters::default(),
            sessions: SessionCounters::default(),
            faults: BTreeMap::new(),
            recoveries: 0,
            coverage: Coverage::default(),
            finding: Some(Finding {
                kind: FindingKind::Panic,
                at: Duration::ZERO,
                text: text.to_owned(),
                trail: Vec::new(),
            }),
        }
    }

    /// Whether everything held.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.finding.is_none()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} over {:?}: ", self.seed, self.duration)?;
        let Some(finding) = &self.finding else {
            return write!(f, "sound, {} frames", self.frames.accepted.frames);
        };
        writeln!(f, "{:?} at {:?}: {}", finding.kind, finding.at, finding.text)?;
        for line in &finding.trail {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}
