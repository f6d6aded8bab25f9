//! Whether a producer's account of what it delivered agrees with the ledger.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ledger::StreamLedger;

/// A producer's account of one stream, in frames. Every accepted frame is in exactly one of the other counts.
///
/// ```
/// use kvs_testkit::service::{Delivery, StreamLedger};
///
/// let report = Delivery { accepted: 10, dropped: 10, ..Delivery::new("cam") };
/// assert!(report.check(&StreamLedger::default()).is_ok());
/// let report = Delivery { accepted: 10, delivered: 10, ..Delivery::new("cam") };
/// assert!(report.check(&StreamLedger::default()).is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The stream's name.
    pub stream: String,
    /// Frames the producer took from its caller.
    pub accepted: u64,
    /// Known to have arrived: PERSISTED, or RECEIVED where the retention is 0.
    pub delivered: u64,
    /// Dropped before they were sent.
    pub dropped: u64,
    /// Let go after they were sent, with no verdict.
    pub unconfirmed: u64,
    /// Refused by the service.
    pub refused: u64,
    /// Still held, sent or not.
    pub buffered: u64,
}

/// Where the accounts differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotConserved {
    text: String,
}

impl fmt::Display for NotConserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for NotConserved {}

impl Delivery {
    /// An account of nothing.
    pub fn new(stream: impl Into<String>) -> Delivery {
        Delivery {
            stream: stream.into(),
            ..Delivery::default()
        }
    }

    /// Compares the account with what arrived.
    ///
    /// The counts must add up to `accepted`; and of the frames that arrived (a repeated fragment counted
    /// once) at least `delivered` must be there, and no more than could have been sent without the producer
    /// learning of it (`unconfirmed` and `buffered`).
    ///
    /// # Errors
    /// What doesn't add up, in one line.
    pub fn check(&self, arrived: &StreamLedger) -> Result<(), NotConserved> {
        let sum = self.delivered + self.dropped + self.unconfirmed + self.refused + self.buffered;
        if sum != self.accepted {
            return Err(NotConserved {
                text: format!(
                    "{}: {} frames accepted, but {} delivered + {} dropped + {} unconfirmed + {} refused + {} \
                     buffered = {sum}",
                    self.stream,
                    self.accepted,
                    self.delivered,
                    self.dropped,
                    self.unconfirmed,
                    self.refused,
                    self.buffered,
                ),
            });
        }
        let distinct = arrived.totals.frames_distinct;
        let most = self.delivered + self.unconfirmed + self.buffered;
        if distinct < self.delivered || distinct > most {
            return Err(NotConserved {
                text: format!(
                    "{}: {distinct} different frames arrived, the producer's account allows {} to {most}",
                    self.stream, self.delivered,
                ),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::StreamTotals;

    fn arrived(frames: u64) -> StreamLedger {
        StreamLedger {
            totals: StreamTotals {
                frames_distinct: frames,
                ..StreamTotals::default()
            },
            ..StreamLedger::default()
        }
    }

    #[test]
    fn an_account_that_does_not_add_up_is_refused() {
        let report = Delivery {
            accepted: 10,
            delivered: 9,
            ..Delivery::new("cam")
        };
        assert!(
            report
                .check(&arrived(9))
                .unwrap_err()
                .to_string()
                .contains("10 frames accepted")
        );
    }

    #[test]
    fn a_claimed_delivery_must_have_arrived() {
        let report = Delivery {
            accepted: 10,
            delivered: 10,
            ..Delivery::new("cam")
        };
        assert!(report.check(&arrived(9)).is_err());
        assert!(report.check(&arrived(10)).is_ok());
    }

    #[test]
    fn frames_without_a_verdict_may_have_arrived_or_not() {
        let report = Delivery {
            accepted: 10,
            delivered: 6,
            unconfirmed: 4,
            ..Delivery::new("cam")
        };
        assert!(report.check(&arrived(6)).is_ok());
        assert!(report.check(&arrived(10)).is_ok());
        assert!(report.check(&arrived(11)).is_err());
    }
}
