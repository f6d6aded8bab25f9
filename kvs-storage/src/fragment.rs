//! What is known of a fragment: its extent, its time, how far it was sent, what the service said.

use crate::{ItemFlags, ItemMeta};

/// A fragment as a store holds it: its extent and times, without its items.
///
/// About a hundred bytes describe seconds of media, so a backlog of any size can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredFragment {
    /// Sequence number of its first item; names the fragment.
    pub first_seq: u64,
    /// One past the sequence number of its last item.
    pub end_seq: u64,
    /// Earliest presentation time in it, nanoseconds since the Unix epoch.
    pub timecode: i64,
    /// Latest end of presentation in it, nanoseconds since the Unix epoch.
    pub end_pts: i64,
    /// Number of items.
    pub items: u32,
    /// Payload bytes.
    pub bytes: u64,
    /// The flags of all its items together.
    pub flags: ItemFlags,
}

impl StoredFragment {
    /// A fragment that begins, and so far ends, with this item.
    #[must_use]
    pub fn starting_with(meta: &ItemMeta) -> StoredFragment {
        StoredFragment {
            first_seq: meta.seq,
            end_seq: meta.seq.saturating_add(1),
            timecode: meta.pts,
            end_pts: meta.end_pts(),
            items: 1,
            bytes: u64::from(meta.len),
            flags: meta.flags,
        }
    }

    /// Takes in the next item of the fragment.
    pub fn extend(&mut self, meta: &ItemMeta) {
        self.end_seq = meta.seq.saturating_add(1);
        self.timecode = self.timecode.min(meta.pts);
        self.end_pts = self.end_pts.max(meta.end_pts());
        self.items = self.items.saturating_add(1);
        self.bytes += u64::from(meta.len);
        self.flags.insert(meta.flags);
    }

    /// This run of items and the next one of the same fragment, as one.
    pub(crate) fn joined_with(&self, next: &StoredFragment) -> StoredFragment {
        StoredFragment {
            first_seq: self.first_seq,
            end_seq: next.end_seq,
            timecode: self.timecode.min(next.timecode),
            end_pts: self.end_pts.max(next.end_pts),
            items: self.items.saturating_add(next.items),
            bytes: self.bytes.saturating_add(next.bytes),
            flags: self.flags.with(next.flags),
        }
    }

    /// Whether it holds a key frame, so that a session may start with it.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.flags.contains(ItemFlags::KEY)
    }

    /// Whether a session header must precede it.
    #[must_use]
    pub fn starts_session(&self) -> bool {
        self.flags.contains(ItemFlags::SESSION_START)
    }
}

/// What an item can't be decoded without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Dependence {
    /// Nothing: a key frame, an item before its fragment's first, or an item of a fragment without one.
    Independent,
    /// The key frame with this sequence number, the last one before it in its fragment.
    OnKey(u64),
}

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    /// First sequence number of its fragment.
    pub(crate) fragment: u64,
    pub(crate) dependence: Dependence,
}

/// Tells where each item stands, item by item.
#[derive(Debug, Default)]
pub(crate) struct FragmentCutter {
    open: Option<Placement>,
}

impl FragmentCutter {
    /// Where this next item stands.
    pub(crate) fn place(&mut self, meta: &ItemMeta) -> Placement {
        let context = match self.open {
            Some(open) if !meta.flags.contains(ItemFlags::FRAGMENT_START) => open,
            _ => Placement {
                fragment: meta.seq,
                dependence: Dependence::Independent,
            },
        };
        let is_key = meta.flags.contains(ItemFlags::KEY);
        let next = if is_key {
            Placement {
                dependence: Dependence::OnKey(meta.seq),
                ..context
            }
        } else {
            context
        };
        let ends = meta.flags.contains(ItemFlags::FRAGMENT_END);
        self.open = (!ends).then_some(next);
        if is_key {
            Placement {
                dependence: Dependence::Independent,
                ..context
            }
        } else {
            context
        }
    }
}

/// Gathers items, each with its fragment, into fragments named by the first item held.
pub(crate) fn fragments_of<'a>(items: impl IntoIterator<Item = (u64, &'a ItemMeta)>) -> Vec<StoredFragment> {
    let mut fragments: Vec<StoredFragment> = Vec::new();
    let mut last = None;
    for (fragment, meta) in items {
        match fragments.last_mut() {
            Some(open) if last == Some(fragment) => open.extend(meta),
            _ => fragments.push(StoredFragment::starting_with(meta)),
        }
        last = Some(fragment);
    }
    fragments
}

/// What the service said of a fragment. A later word never takes back an earlier, stronger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum AckState {
    /// Nothing yet.
    #[default]
    None,
    /// BUFFERING: its first bytes arrived.
    Buffering,
    /// RECEIVED: all of it arrived.
    Received,
    /// ERROR: the service refused it.
    Refused,
    /// PERSISTED: it is stored.
    Persisted,
}

/// How far a fragment has been sent in the present pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SentState {
    /// None of it.
    Unsent,
    /// Its cluster is under way: at least one item was sent, and it isn't known to be the last.
    Sending {
        /// Items sent so far.
        items: u32,
    },
    /// All of it, and it is closed.
    Sent,
}

/// One fragment of a [`ContentView`](crate::ContentView).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentInfo {
    /// Its extent, times, sizes and flags. `end_seq`, `items` and `bytes` grow while it is open.
    pub stored: StoredFragment,
    /// Whether its last item is known.
    pub closed: bool,
    /// How far it has been sent in the present pass.
    pub sent: SentState,
    /// The most items of it that were ever sent, in any pass: they may have arrived.
    pub ever_sent: u32,
    /// What the service said.
    pub ack: AckState,
    /// Never sent again: delivered, and skipped by every later pass.
    pub skip: bool,
    /// Whether the metadata of its items is in memory; else it has to be paged in before it can be sent.
    pub resident: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_have_a_rank_in_which_persisted_is_the_last_word() {
        assert!(AckState::None < AckState::Buffering);
        assert!(AckState::Received < AckState::Refused);
        assert!(AckState::Refused < AckState::Persisted);
    }

    #[test]
    fn items_are_cut_at_fragment_starts() {
        let item = |seq, flags, pts| ItemMeta {
            seq,
            pts,
            dts: pts,
            duration: 5,
            track: 1,
            flags,
            len: 10,
        };
        let start = ItemFlags::FRAGMENT_START.with(ItemFlags::KEY);
        let items = [
            item(1, start, 100),
            item(2, ItemFlags::NONE, 90),
            item(5, start, 200),
        ];
        let mut cutter = FragmentCutter::default();
        let fragments = fragments_of(items.iter().map(|item| (cutter.place(item).fragment, item)));
        assert_eq!(fragments.len(), 2);
        assert_eq!(
            (
                fragments[0].first_seq,
                fragments[0].end_seq,
                fragments[0].timecode
            ),
            (1, 3, 90)
        );
        assert_eq!(
            (fragments[0].bytes, fragments[0].items, fragments[0].end_pts),
            (20, 2, 105)
        );
        assert_eq!((fragments[1].first_seq, fragments[1].end_seq), (5, 6));
    }
}
