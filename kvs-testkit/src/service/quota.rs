//! Limits on rates. They are off unless asked for: tests run faster than cameras.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use kvs_mkv::Timestamp;

use super::{Operation, Service, ServiceError, ServiceErrorKind};

/// The service's limits on rates, with the values of its quotas page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quotas {
    /// Calls per second of each control operation on a stream: 5. More get `ClientLimitExceededException`.
    pub control_calls: u32,
    /// PutMedia requests per second on a stream: 5. More get `ClientLimitExceededException`.
    pub put_media_calls: u32,
    /// Bytes per second a PutMedia connection is read at: 12.5 MB.
    pub put_media_bytes: u32,
    /// Fragments per second and connection: 5. More are read later.
    pub fragments: u32,
    /// A fragment that another follows lasts at least this long: 1 s. Shorter ones are refused.
    pub fragment_duration: Duration,
    /// GetMedia requests per second on a stream: 5. More get `ClientLimitExceededException`.
    pub get_media_calls: u32,
    /// GetMedia connections on a stream: 3. More get `ConnectionLimitExceededException`.
    pub get_media_connections: usize,
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas {
            control_calls: 5,
            put_media_calls: 5,
            put_media_bytes: 12_500_000,
            fragments: 5,
            fragment_duration: Duration::from_secs(1),
            get_media_calls: 5,
            get_media_connections: 3,
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// When things happened within the last second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    times: VecDeque<Timestamp>,
}

impl Rate {
    /// Notes one more; where that is more than `limit` in a second, when it would no longer be.
    pub(super) fn note(&mut self, limit: u32, now: Timestamp) -> Result<(), Timestamp> {
        while self
            .times
            .front()
            .is_some_and(|&first| first.saturating_add(SECOND) <= now)
        {
            self.times.pop_front();
        }
        self.times.push_back(now);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        match self.times.len().checked_sub(limit + 1) {
            None => Ok(()),
            Some(first) => Err(self.times[first].saturating_add(SECOND)),
        }
    }
}

/// Calls per stream and operation.
pub(super) type CallRates = HashMap<(String, Operation), Rate>;

impl Service {
    /// Refuses a call that comes too soon after others.
    pub(super) fn check_rate(&mut self, operation: Operation, stream: &str) -> Result<(), ServiceError> {
        let Some(quotas) = &self.config.quotas else {
            return Ok(());
        };
        let limit = match operation {
            Operation::PutMedia => quotas.put_media_calls,
            Operation::GetMedia => quotas.get_media_calls,
            _ => quotas.control_calls,
        };
        let rate = self.call_rates.entry((stream.to_owned(), operation)).or_default();
        rate.note(limit, self.clock).map_err(|_| {
            ServiceError::new(
                ServiceErrorKind::ClientLimitExceeded,
                format!(
                    "more than {limit} {} calls per second on the stream {stream}",
                    operation.name()
                ),
            )
        })
    }

    /// Refuses a reader where the stream has as many as it may.
    pub(super) fn check_readers(&self, stream: &str) -> Result<(), ServiceError> {
        let limit = self
            .config
            .quotas
            .as_ref()
            .map(|quotas| quotas.get_media_connections);
        if limit.is_none_or(|limit| self.readers_of(stream).len() < limit) {
            return Ok(());
        }
        Err(ServiceError::new(
            ServiceErrorKind::ConnectionLimitExceeded,
            format!("the stream {stream} has as many GetMedia connections as it may"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_any_second_not_the_clocks() {
        let mut rate = Rate::default();
        let at = Timestamp::from_millis;
        for n in 0..5 {
            assert_eq!(rate.note(5, at(900 + n * 10)), Ok(()));
        }
        assert_eq!(rate.note(5, at(1_100)), Err(at(1_900)));
        assert_eq!(rate.note(5, at(1_950)), Ok(()));
    }
}
