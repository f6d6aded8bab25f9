//! What a content store holds besides payloads, and how its items become frames again.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kvs_mkv::{Frame, FrameFlags, Timestamp, TrackSet};
use kvs_storage::{ContentStore, ItemFlags, ItemMeta, StoreError};

/// The tracks that stored fragments carry, kept in the store beside them so that a later run can send them.
#[derive(Debug, Clone, Default)]
pub struct StoredTracks {
    /// Each from the item on at which it begins.
    since: BTreeMap<u64, Arc<TrackSet>>,
}

impl StoredTracks {
    /// The key of the blob that they are kept in.
    pub const BLOB: &'static str = "tracks";

    /// Reads what an earlier run kept. What can't be decoded is left out.
    pub(crate) async fn load(store: &dyn ContentStore) -> Result<Self, StoreError> {
        let blob = store.get_blob(Self::BLOB).await?;
        Ok(blob.map_or_else(StoredTracks::default, StoredTracks::decode))
    }

    /// The tracks of the item `seq`.
    #[must_use]
    pub fn at(&self, seq: u64) -> Option<Arc<TrackSet>> {
        self.since
            .range(..=seq)
            .next_back()
            .map(|(_, tracks)| Arc::clone(tracks))
    }

    /// The tracks of the newest items.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<TrackSet>> {
        self.since.values().next_back().map(Arc::clone)
    }

    /// Notes that from `seq` on items carry these tracks, forgetting those that no item from `oldest` on carries. Says
    /// whether anything changed.
    pub(crate) fn note(&mut self, seq: u64, tracks: &Arc<TrackSet>, oldest: u64) -> bool {
        if self
            .since
            .values()
            .next_back()
            .is_some_and(|newest| newest == tracks)
        {
            return false;
        }
        self.since.insert(seq, Arc::clone(tracks));
        let first_needed = self.since.range(..=oldest).next_back().map(|(since, _)| *since);
        if let Some(first) = first_needed {
            self.since = self.since.split_off(&first);
        }
        true
    }

    /// Keeps them in the store.
    pub(crate) fn save(
        &self,
        store: Rc<dyn ContentStore>,
    ) -> impl Future<Output = Result<(), StoreError>> + 'static {
        let blob = self.encode();
        async move { store.put_blob(Self::BLOB, blob).await }
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        for (since, tracks) in &self.since {
            let encoded = tracks.encode();
            out.put_u64(*since);
            out.put_u32(u32::try_from(encoded.len()).unwrap_or(u32::MAX));
            out.put(encoded);
        }
        out.freeze()
    }

    /// What a blob says. What can't be decoded is left out.
    #[must_use]
    pub fn decode(mut blob: Bytes) -> Self {
        let mut formats = StoredTracks::default();
        while let (Ok(since), Ok(length)) = (blob.try_get_u64(), blob.try_get_u32()) {
            let length = length as usize;
            if blob.remaining() < length {
                break;
            }
            if let Ok(tracks) = TrackSet::decode(&blob.split_to(length)) {
                formats.since.insert(since, Arc::new(tracks));
            }
        }
        formats
    }
}

/// The frame that a stored item was made of.
#[must_use]
pub fn stored_frame(meta: &ItemMeta, payload: Bytes) -> Frame {
    let mut flags = FrameFlags::NONE;
    for (stored, flag) in [
        (ItemFlags::KEY, FrameFlags::KEY),
        (ItemFlags::DISCARDABLE, FrameFlags::DISCARDABLE),
        (ItemFlags::INVISIBLE, FrameFlags::INVISIBLE),
    ] {
        if meta.flags.contains(stored) {
            flags.insert(flag);
        }
    }
    let frame = Frame::new(meta.track, payload).dts(Timestamp::from_nanos(meta.dts));
    frame.pts(Timestamp::from_nanos(meta.pts)).flags(flags)
}

#[cfg(test)]
mod tests {
    use kvs_mkv::Track;

    use super::*;

    fn tracks(name: &str) -> Arc<TrackSet> {
        Arc::new(TrackSet::new(vec![Track::h264().with_name(name)]).unwrap())
    }

    #[test]
    fn each_item_finds_the_tracks_it_was_stored_with() {
        let mut formats = StoredTracks::default();
        assert!(formats.note(1, &tracks("a"), 1));
        assert!(!formats.note(5, &tracks("a"), 1));
        assert!(formats.note(9, &tracks("b"), 1));
        let formats = StoredTracks::decode(formats.encode());
        assert_eq!(formats.at(8), Some(tracks("a")));
        assert_eq!(formats.at(9), Some(tracks("b")));
        assert_eq!(formats.at(0), None);
    }

    #[test]
    fn tracks_that_nothing_carries_any_more_are_forgotten() {
        let mut formats = StoredTracks::default();
        formats.note(1, &tracks("a"), 1);
        formats.note(9, &tracks("b"), 1);
        formats.note(20, &tracks("c"), 15);
        assert_eq!(formats.since.len(), 2);
    }

    #[test]
    fn a_damaged_blob_gives_what_is_whole() {
        let mut formats = StoredTracks::default();
        formats.note(1, &tracks("a"), 1);
        formats.note(9, &tracks("b"), 1);
        let whole = formats.encode();
        for length in 0..whole.len() {
            assert!(StoredTracks::decode(whole.slice(..length)).since.len() <= 2);
        }
    }
}
