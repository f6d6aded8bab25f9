//! Settings of the service model.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::quota::Quotas;

/// What happens when a second PutMedia connection comes to a stream.
///
/// A connection counts until its response has ended, so one that has sent its last byte and still waits for
/// PERSISTED acknowledgements is in the way of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionRule {
    /// The newer one gets `ConnectionLimitExceededException` (the current quota text).
    #[default]
    RefuseNewer,
    /// The older one is closed (older texts).
    CloseOlder,
}

/// What happens to a fragment whose producer timestamp another connection of the stream sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatRule {
    /// It is taken, gets its own fragment number, and is marked as a repeat.
    #[default]
    Accept,
    /// It is refused with 4004.
    Refuse,
}

/// Limits on what a session may send. The values of the quotas page are the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestLimits {
    /// Bytes of one fragment, Cluster element included: 50 MB.
    pub fragment_bytes: u64,
    /// From the earliest to the latest block of one fragment: 20 s.
    pub fragment_duration: Duration,
    /// From a cluster's timecode to the next one's, at least: no limit. [`Quotas`](super::Quotas) make it 1 s.
    pub fragment_minimum: Duration,
    /// Tracks of a session: 3.
    pub tracks: usize,
    /// Tags of one fragment: 10. The end-of-fragment tag doesn't count.
    pub tags: usize,
    /// Bytes of a tag's name: 128.
    pub tag_name: usize,
    /// Bytes of a tag's value: 256.
    pub tag_value: usize,
    /// Life of a connection, after which it is ended with 4003: 45 min.
    pub connection: Duration,
    /// Time without a byte of body after which an IDLE acknowledgement is sent, and again each time: 15 s.
    pub idle_ack: Duration,
    /// Time without a byte of body after which the response is ended: 30 s.
    pub idle_close: Duration,
}

impl Default for IngestLimits {
    fn default() -> IngestLimits {
        IngestLimits {
            fragment_bytes: 50_000_000,
            fragment_duration: Duration::from_secs(20),
            fragment_minimum: Duration::ZERO,
            tracks: 3,
            tags: 10,
            tag_name: 128,
            tag_value: 256,
            connection: Duration::from_secs(45 * 60),
            idle_ack: Duration::from_secs(15),
            idle_close: Duration::from_secs(30),
        }
    }
}

/// Settings of a [`Service`](super::Service).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServiceConfig {
    /// The region in ARNs. Default: `us-west-2`.
    pub region: String,
    /// The account in ARNs, 12 digits. Default: `123456789012`.
    pub account: String,
    /// Seeds versions, request ids and fragment numbers. Default: 0.
    pub seed: u64,
    /// From RECEIVED to PERSISTED, where the stream has a retention. Default: 0.
    pub persist_delay: Duration,
    /// How long a stream stays CREATING, UPDATING or DELETING. Default: 0, so the next call sees the outcome.
    pub status_delay: Duration,
    /// Two connections on a stream.
    pub connection_rule: ConnectionRule,
    /// Fragments that came before.
    pub repeat_rule: RepeatRule,
    /// Limits on a session's content.
    pub limits: IngestLimits,
    /// Limits on rates. Default: none.
    pub quotas: Option<Quotas>,
    /// Bytes of media kept for reading back, over all streams, the oldest dropped first. Default: 256 MiB.
    pub media_cap: u64,
    /// Bytes of raw PutMedia body kept per session, from its start. Default: 0.
    pub capture_limit: usize,
    /// A GetMedia response ends after this time without a fragment to send. Default: 10 s.
    pub reader_idle: Duration,
    /// Frames the ledger describes one by one, over all streams; past it, the oldest fragments keep only their
    /// totals. Default: 2,000,000.
    pub ledger_frames: usize,
    /// Fragments the ledger keeps per stream; past it, the oldest leave and only the stream's totals count
    /// them. Producer timestamps are remembered for as many fragments, to know a repeat. Default: 100,000.
    pub ledger_fragments: usize,
}

impl Default for ServiceConfig {
    fn default() -> ServiceConfig {
        ServiceConfig {
            region: "us-west-2".to_owned(),
            account: "123456789012".to_owned(),
            seed: 0,
            persist_delay: Duration::ZERO,
            status_delay: Duration::ZERO,
            connection_rule: ConnectionRule::default(),
            repeat_rule: RepeatRule::default(),
            limits: IngestLimits::default(),
            quotas: None,
            media_cap: 256 * 1024 * 1024,
            capture_limit: 0,
            reader_idle: Duration::from_secs(10),
            ledger_frames: 2_000_000,
            ledger_fragments: 100_000,
        }
    }
}
