//! What the machine knows of each fragment beyond the window: its tracks, its fate, and those that left unconfirmed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use kvs_mkv::{Tag, Timestamp, TrackSet};
use kvs_storage::ViewLimits;

use super::MachineConfig;
use super::counters::Tally;

/// How many fragments that left unconfirmed are remembered for a late acknowledgement.
const REMEMBERED: usize = 4096;

/// A fragment in the window.
#[derive(Debug, Clone)]
pub(super) struct Fragment {
    /// The earliest presentation time in it.
    pub(super) timecode: Timestamp,
    /// What the session that carries it has to declare.
    pub(super) tracks: Arc<TrackSet>,
    /// Its items in the window.
    pub(super) tally: Tally,
    /// How often the service refused it.
    pub(super) refusals: u32,
    /// Whether it was sent to its end on some session.
    pub(super) sent: bool,
    /// When the first RECEIVED came for it.
    pub(super) received_at: Option<Instant>,
    /// When its last item was written, the last time.
    pub(super) written_at: Option<Instant>,
    /// Its metadata, written after its last block each time it is sent.
    pub(super) tags: Vec<Tag>,
}

/// A fragment that left the window after it was sent and before it was acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unconfirmed {
    pub(super) timecode: Timestamp,
    pub(super) tally: Tally,
}

/// The fragments of a stream, by the number of their first item.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    held: BTreeMap<u64, Fragment>,
    unconfirmed: BTreeMap<u64, Unconfirmed>,
    /// What the next item opens.
    opening: Option<(Timestamp, Arc<TrackSet>)>,
    /// The tracks of the newest fragment.
    pub(super) tracks: Option<Arc<TrackSet>>,
}

impl Fragments {
    /// The next item starts a fragment. Returns whether its tracks differ from the one before.
    pub(super) fn announce(&mut self, timecode: Timestamp, tracks: Arc<TrackSet>) -> bool {
        let changed = self
            .tracks
            .as_ref()
            .is_some_and(|before| !Arc::ptr_eq(before, &tracks));
        self.tracks = Some(Arc::clone(&tracks));
        self.opening = Some((timecode, tracks));
        changed
    }

    /// Takes the announced fragment as begun by this item.
    pub(super) fn begin(&mut self, first_seq: u64) {
        if let Some((timecode, tracks)) = self.opening.take() {
            let fragment = Fragment {
                timecode,
                tracks,
                tally: Tally::default(),
                refusals: 0,
                sent: false,
                received_at: None,
                written_at: None,
                tags: Vec::new(),
            };
            self.held.insert(first_seq, fragment);
        }
    }

    /// Forgets the announced fragment: it is not kept.
    pub(super) fn disown(&mut self) {
        self.opening = None;
    }

    /// The newest fragment.
    pub(super) fn newest(&mut self) -> Option<&mut Fragment> {
        self.held.values_mut().next_back()
    }

    /// Takes a fragment that the store holds from before.
    pub(super) fn restore(
        &mut self,
        first_seq: u64,
        timecode: Timestamp,
        tracks: Arc<TrackSet>,
        tally: Tally,
    ) {
        self.tracks = Some(Arc::clone(&tracks));
        self.opening = Some((timecode, tracks));
        self.begin(first_seq);
        if let Some(fragment) = self.held.get_mut(&first_seq) {
            fragment.tally = tally;
        }
    }

    pub(super) fn get(&self, first_seq: u64) -> Option<&Fragment> {
        self.held.get(&first_seq)
    }

    pub(super) fn get_mut(&mut self, first_seq: u64) -> Option<&mut Fragment> {
        self.held.get_mut(&first_seq)
    }

    pub(super) fn remove(&mut self, first_seq: u64) -> Option<Fragment> {
        self.held.remove(&first_seq)
    }

    /// The fragments, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Fragment)> {
        self.held
            .iter()
            .map(|(first_seq, fragment)| (*first_seq, fragment))
    }

    /// Remembers a fragment that left unconfirmed. What is forgotten for it stays unconfirmed for good.
    pub(super) fn remember(&mut self, first_seq: u64, fragment: Unconfirmed) {
        self.unconfirmed.insert(first_seq, fragment);
        while self.unconfirmed.len() > REMEMBERED {
            self.unconfirmed.pop_first();
        }
    }

    /// The time of a remembered fragment.
    pub(super) fn unconfirmed_timecode(&self, first_seq: u64) -> Option<Timestamp> {
        self.unconfirmed.get(&first_seq).map(|fragment| fragment.timecode)
    }

    /// Takes a remembered fragment: a late acknowledgement came.
    pub(super) fn recall(&mut self, first_seq: u64) -> Option<Unconfirmed> {
        self.unconfirmed.remove(&first_seq)
    }
}

pub(super) fn view_limits(config: &MachineConfig) -> ViewLimits {
    ViewLimits {
        max_duration: config.buffer_duration,
        max_items: None,
    }
}
