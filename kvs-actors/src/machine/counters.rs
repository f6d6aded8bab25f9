//! Where every accepted frame is: the conservation ledger of a stream.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why a frame was dropped before it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// It came before the stream's first key frame, or after a fragment was closed and before the next key frame.
    BeforeKeyFrame,
    /// Audio further ahead of the first key frame than the limit.
    AudioTooEarly,
    /// Its fragment is at its limit on duration or bytes and no key frame has come.
    FragmentLimit,
    /// A picture shown before the key frame it follows, where such pictures aren't kept.
    LeadingPicture,
    /// The byte budget was full and its fragment the oldest one that could go.
    StoragePressure,
    /// More media was buffered than the buffer duration allows and its fragment was the oldest.
    BufferDuration,
    /// An earlier frame of its fragment was dropped, so that it can't be decoded.
    FragmentDropped,
    /// The stream was reset.
    StreamReset,
    /// The content store failed to keep it.
    StoreFailure,
    /// Its track fell silent or never started, so that its fragment could not be completed.
    IncompleteFragment,
    /// The stream ended with an error that no retry mends.
    StreamFailed,
}

/// A number of frames and their payload bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Frames.
    pub frames: u64,
    /// Payload bytes.
    pub bytes: u64,
}

impl Tally {
    /// One frame of so many bytes.
    #[must_use]
    pub const fn frame(bytes: u64) -> Self {
        Tally { frames: 1, bytes }
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: Tally) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }

    /// Takes another tally out of this one.
    pub fn remove(&mut self, other: Tally) {
        debug_assert!(
            self.frames >= other.frames && self.bytes >= other.bytes,
            "{self:?} holds no {other:?}"
        );
        self.frames = self.frames.saturating_sub(other.frames);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// Where the accepted frames of a stream are. Each is in exactly one place, so the places add up to `accepted`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FrameCounters {
    /// Frames accepted.
    pub accepted: Tally,
    /// Held: not yet sent, or sent and not yet acknowledged.
    pub buffered: Tally,
    /// Delivered: persisted, received where the stream retains nothing, or written where acknowledgements are off.
    pub delivered: Tally,
    /// Dropped before they were sent, by reason.
    pub dropped: BTreeMap<DropReason, Tally>,
    /// Sent, then given up before an acknowledgement came; a late one still moves them to delivered.
    pub unconfirmed: Tally,
    /// Refused by the service with an error code.
    pub refused: Tally,
}

impl FrameCounters {
    /// All frames that were dropped unsent.
    #[must_use]
    pub fn dropped_total(&self) -> Tally {
        self.dropped.values().fold(Tally::default(), |mut sum, one| {
            sum.add(*one);
            sum
        })
    }

    /// Whether the places add up to what was accepted.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let mut sum = self.dropped_total();
        for place in [self.buffered, self.delivered, self.unconfirmed, self.refused] {
            sum.add(place);
        }
        sum == self.accepted
    }

    /// Adds the counts of another stream.
    pub fn add(&mut self, other: &FrameCounters) {
        self.accepted.add(other.accepted);
        self.buffered.add(other.buffered);
        self.delivered.add(other.delivered);
        self.unconfirmed.add(other.unconfirmed);
        self.refused.add(other.refused);
        for (reason, tally) in &other.dropped {
            self.dropped.entry(*reason).or_default().add(*tally);
        }
    }

    pub(crate) fn accept(&mut self, tally: Tally) {
        self.accepted.add(tally);
        self.buffered.add(tally);
    }

    pub(super) fn deliver(&mut self, tally: Tally) {
        self.buffered.remove(tally);
        self.delivered.add(tally);
    }

    pub(super) fn deliver_late(&mut self, tally: Tally) {
        self.unconfirmed.remove(tally);
        self.delivered.add(tally);
    }

    pub(super) fn lose_sight(&mut self, tally: Tally) {
        self.buffered.remove(tally);
        self.unconfirmed.add(tally);
    }

    pub(super) fn refuse(&mut self, tally: Tally) {
        self.buffered.remove(tally);
        self.refused.add(tally);
    }

    pub(crate) fn drop_unsent(&mut self, tally: Tally, reason: DropReason) {
        if tally.frames == 0 {
            return;
        }
        self.buffered.remove(tally);
        self.dropped.entry(reason).or_default().add(tally);
    }
}

/// What the sessions of a stream did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionCounters {
    /// Sessions whose response head was a success.
    pub sessions: u64,
    /// Connects begun, successful or not.
    pub connects: u64,
    /// Fragments started on the wire, resent ones included.
    pub fragments_started: u64,
    /// Distinct fragments sent to their end at least once.
    pub fragments_sent: u64,
    /// Distinct fragments that the service acknowledged as received.
    pub fragments_received: u64,
    /// Distinct fragments that the service acknowledged as persisted.
    pub fragments_persisted: u64,
    /// Fragments set aside after an error acknowledgement.
    pub fragments_refused: u64,
    /// Payload bytes handed to sessions, resent ones included.
    pub bytes_sent: u64,
    /// BUFFERING acknowledgements.
    pub buffering_acks: u64,
    /// RECEIVED acknowledgements.
    pub received_acks: u64,
    /// PERSISTED acknowledgements.
    pub persisted_acks: u64,
    /// ERROR acknowledgements.
    pub error_acks: u64,
    /// IDLE acknowledgements.
    pub idle_acks: u64,
    /// Acknowledgements that name no fragment of any session we know, or are of an unknown type.
    pub unknown_acks: u64,
    /// Times more media waited to be sent than the latency limit.
    pub latency_pressures: u64,
    /// Times nearly as much media was held as the buffer duration allows.
    pub buffer_pressures: u64,
    /// Times a session was given up because no acknowledgement came.
    pub stale_connections: u64,
    /// Times the service refused the credentials; fresh ones are fetched before the next call.
    pub auth_failures: u64,
}

impl SessionCounters {
    /// Adds the counts of another stream.
    pub fn add(&mut self, other: &SessionCounters) {
        self.sessions += other.sessions;
        self.connects += other.connects;
        self.fragments_started += other.fragments_started;
        self.fragments_sent += other.fragments_sent;
        self.fragments_received += other.fragments_received;
        self.fragments_persisted += other.fragments_persisted;
        self.fragments_refused += other.fragments_refused;
        self.bytes_sent += other.bytes_sent;
        self.buffering_acks += other.buffering_acks;
        self.received_acks += other.received_acks;
        self.persisted_acks += other.persisted_acks;
        self.error_acks += other.error_acks;
        self.idle_acks += other.idle_acks;
        self.unknown_acks += other.unknown_acks;
        self.latency_pressures += other.latency_pressures;
        self.buffer_pressures += other.buffer_pressures;
        self.stale_connections += other.stale_connections;
        self.auth_failures += other.auth_failures;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_in_one_place_at_every_step() {
        let mut counters = FrameCounters::default();
        for _ in 0..4 {
            counters.accept(Tally::frame(10));
            assert!(counters.is_conserved());
        }
        counters.deliver(Tally::frame(10));
        counters.drop_unsent(Tally::frame(10), DropReason::StoragePressure);
        counters.lose_sight(Tally::frame(10));
        counters.refuse(Tally::frame(10));
        assert!(counters.is_conserved());
        counters.deliver_late(Tally::frame(10));
        assert!(counters.is_conserved());
        assert_eq!(counters.delivered.frames, 2);
        assert_eq!(counters.buffered, Tally::default());
    }
}
