//! What is expected of a stream, for scripts and tests that are checked at their end.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ledger::{Ledger, StreamLedger};

/// What is expected of a stream by the end of a test. Members that aren't set are not checked.
///
/// ```
/// use kvs_testkit::service::{Expectation, Ledger};
///
/// let expected = Expectation { persisted: Some(1), ..Expectation::of("cam") };
/// assert!(expected.check(&Ledger::default()).unwrap_err().to_string().contains("at least 1 persisted"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The stream's name.
    pub stream: String,
    /// At least so many fragments stored.
    #[serde(default)]
    pub persisted: Option<u64>,
    /// At least so many fragments received whole.
    #[serde(default)]
    pub received: Option<u64>,
    /// At least so many different frames received (those of repeated fragments counted once).
    #[serde(default)]
    pub frames: Option<u64>,
    /// Exactly so many PutMedia sessions.
    #[serde(default)]
    pub sessions: Option<u64>,
    /// Exactly so many fragments refused with an ERROR.
    #[serde(default)]
    pub refused: Option<u64>,
    /// Exactly so many fragments sent again.
    #[serde(default)]
    pub repeated: Option<u64>,
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    text: String,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Unmet {}

impl Expectation {
    /// An expectation of nothing in particular.
    pub fn of(stream: impl Into<String>) -> Expectation {
        Expectation {
            stream: stream.into(),
            ..Expectation::default()
        }
    }

    /// Compares it with what happened.
    ///
    /// # Errors
    /// What was missed, and what was received instead.
    pub fn check(&self, ledger: &Ledger) -> Result<(), Unmet> {
        let stream = ledger.stream(&self.stream);
        let missed = self.missed(stream);
        if missed.is_empty() {
            return Ok(());
        }
        let text = format!(
            "stream {:?}: expected {}; received:\n{}",
            self.stream,
            missed.join(", "),
            stream.summary()
        );
        Err(Unmet { text })
    }

    fn missed(&self, stream: &StreamLedger) -> Vec<String> {
        let totals = &stream.totals;
        let at_least = [
            (self.persisted, totals.fragments_persisted, "persisted fragments"),
            (self.received, totals.fragments_received, "received fragments"),
            (self.frames, totals.frames_distinct, "different frames"),
        ];
        let exactly = [
            (self.sessions, totals.sessions, "sessions"),
            (self.refused, totals.fragments_refused, "refused fragments"),
            (self.repeated, totals.fragments_repeated, "repeated fragments"),
        ];
        let few = at_least.into_iter().filter_map(|(wanted, got, what)| {
            let wanted = wanted.filter(|&wanted| got < wanted)?;
            Some(format!("at least {wanted} {what} and not {got}"))
        });
        let other = exactly.into_iter().filter_map(|(wanted, got, what)| {
            let wanted = wanted.filter(|&wanted| got != wanted)?;
            Some(format!("{wanted} {what} and not {got}"))
        });
        few.chain(other).collect()
    }
}
