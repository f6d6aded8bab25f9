//! What a stream has on disk: its segments, and the runs of items in them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::released::ReleasedSet;
use super::segment::{Extension, Part};
use crate::ItemMeta;
use crate::fragment::Placement;

/// The runs of items on disk in order, what of them was released, and the files they are in.
///
/// It never holds single items, so its size goes with the number of fragments, not of frames.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// By rising sequence number, not overlapping. A part that was released in full goes when the front passes it.
    parts: VecDeque<Part>,
    segments: BTreeMap<u64, SegmentFile>,
    released: ReleasedSet,
    /// Items below this are there to stay.
    settled: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    /// Length in bytes.
    pub(crate) len: u64,
    /// Parts in it that aren't released in full.
    live_parts: usize,
}

impl Index {
    /// An index of what recovery found. Parts must be in order.
    pub(crate) fn new(
        parts: Vec<Part>,
        lens: impl IntoIterator<Item = (u64, u64)>,
        released: ReleasedSet,
        settled: u64,
    ) -> Index {
        let segments = lens
            .into_iter()
            .map(|(id, len)| (id, SegmentFile { len, live_parts: 0 }))
            .collect();
        let mut index = Index {
            parts: VecDeque::new(),
            segments,
            released,
            settled,
        };
        for part in parts {
            index.push_part(part);
        }
        index
    }

    fn push_part(&mut self, part: Part) {
        if self.released.contains_all(&part.seqs()) {
            return;
        }
        self.segments.entry(part.segment).or_default().live_parts += 1;
        self.parts.push_back(part);
    }

    /// Takes in an item that was just written at `offset`; items come in order.
    pub(crate) fn add_item(&mut self, segment: u64, fragment: u64, offset: u64, meta: &ItemMeta) {
        if let Some(last) = self
            .parts
            .back_mut()
            .filter(|last| last.items.first_seq >= self.settled)
        {
            let was_released = self.released.contains_all(&last.seqs());
            if last.take_in(segment, fragment, offset, meta) == Extension::Extended {
                if was_released && !self.released.contains_all(&last.seqs()) {
                    self.segments.entry(segment).or_default().live_parts += 1;
                }
                return;
            }
        }
        self.push_part(Part::starting_with(segment, fragment, offset, meta));
    }

    /// What was taken in below `seq` stays where it is. Until then it stands in parts of its own, so that it can be
    /// forgotten without a trace.
    pub(crate) fn settle(&mut self, seq: u64) {
        let first = self
            .parts
            .partition_point(|part| part.items.first_seq < self.settled);
        self.settled = self.settled.max(seq);
        let Some(before) = first.checked_sub(1) else {
            return;
        };
        let (Some(settled), Some(new)) = (self.parts.get(before), self.parts.get(first)) else {
            return;
        };
        if settled.segment != new.segment || settled.fragment != new.fragment {
            return;
        }
        let live = |part: &Part| usize::from(!self.released.contains_all(&part.seqs()));
        let apart = live(settled) + live(new);
        let joined = settled.joined_with(new);
        let together = live(&joined);
        if let Some(segment) = self.segments.get_mut(&joined.segment) {
            segment.live_parts = segment.live_parts + together - apart;
        }
        self.parts[before] = joined;
        self.parts.remove(first);
    }

    /// Notes how long a segment's file is.
    pub(crate) fn set_len(&mut self, segment: u64, len: u64) {
        self.segments.entry(segment).or_default().len = len;
    }

    /// Forgets where the items are that haven't settled: they will be written again.
    pub(crate) fn forget_unsettled(&mut self) {
        while let Some(last) = self
            .parts
            .pop_back_if(|last| last.items.first_seq >= self.settled)
        {
            if !self.released.contains_all(&last.seqs())
                && let Some(segment) = self.segments.get_mut(&last.segment)
            {
                segment.live_parts -= 1;
            }
        }
    }

    /// These are needed no more.
    pub(crate) fn release(&mut self, seqs: &Range<u64>) {
        let first = self
            .parts
            .partition_point(|part| part.items.end_seq <= seqs.start);
        let touched = self
            .parts
            .range(first..)
            .take_while(|part| part.items.first_seq < seqs.end)
            .count();
        let live_before: Vec<bool> = self
            .parts
            .range(first..first + touched)
            .map(|part| !self.released.contains_all(&part.seqs()))
            .collect();
        self.released.insert(seqs.clone());
        for (part, was_live) in self.parts.range(first..first + touched).zip(live_before) {
            if was_live
                && self.released.contains_all(&part.seqs())
                && let Some(segment) = self.segments.get_mut(&part.segment)
            {
                segment.live_parts -= 1;
            }
        }
        while self
            .parts
            .front()
            .is_some_and(|front| self.released.contains_all(&front.seqs()))
        {
            self.parts.pop_front();
        }
    }

    /// Everything below `seq` is needed no more, whatever gaps there were in it.
    pub(crate) fn raise_watermark(&mut self, seq: u64) {
        self.released.raise_watermark(seq);
    }

    /// The oldest item on disk that is still needed, or `None`. The first part is never released in full.
    pub(crate) fn first_live_seq(&self) -> Option<u64> {
        let front = self.parts.front()?;
        Some(self.released.next_outside(front.items.first_seq))
    }

    pub(crate) fn released(&self) -> &ReleasedSet {
        &self.released
    }

    /// The parts that aren't released in full, oldest first.
    pub(crate) fn live_parts(&self) -> impl Iterator<Item = &Part> {
        self.parts
            .iter()
            .filter(|part| !self.released.contains_all(&part.seqs()))
    }

    /// The first part with items at or after `seq` that isn't released in full.
    pub(crate) fn part_from(&self, seq: u64) -> Option<&Part> {
        let first = self.parts.partition_point(|part| part.items.end_seq <= seq);
        self.parts
            .range(first..)
            .find(|part| !self.released.contains_all(&part.seqs()))
    }

    /// Parts of one segment, for its index.
    pub(crate) fn parts_in(&self, segment: u64) -> Vec<Part> {
        self.parts
            .iter()
            .filter(|part| part.segment == segment)
            .cloned()
            .collect()
    }

    /// Segments nobody needs any more, but for the one that is being written.
    pub(crate) fn dead_segments(&self, active: Option<u64>) -> Vec<u64> {
        let dead = self
            .segments
            .iter()
            .filter(|(id, file)| file.live_parts == 0 && Some(**id) != active);
        dead.map(|(id, _)| *id).collect()
    }

    /// The oldest segments below `end` that nobody needs any more, up to the first that is needed. None if a fragment began
    /// in them and goes on later: what was released of it is known from their records only.
    pub(crate) fn dead_prefix(&self, end: u64) -> Vec<u64> {
        if self
            .parts
            .front()
            .is_some_and(|front| front.fragment < front.items.first_seq)
        {
            return Vec::new();
        }
        self.segments
            .range(..end)
            .take_while(|(_, file)| file.live_parts == 0)
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn remove_segment(&mut self, id: u64) {
        self.segments.remove(&id);
        // Released parts of it may still stand between live ones.
        self.parts.retain(|part| part.segment != id);
    }

    /// Bytes of all segment files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments.values().map(|file| file.len).sum()
    }

    /// Bytes of the files that are still needed, the active one included: what is left once the dead ones are gone.
    pub(crate) fn needed_bytes(&self, active: Option<u64>) -> u64 {
        let needed = self
            .segments
            .iter()
            .filter(|(id, file)| file.live_parts > 0 || Some(**id) == active);
        needed.map(|(_, file)| file.len).sum()
    }
}

/// An item found by scanning a segment record by record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScannedItem {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) meta: ItemMeta,
    pub(crate) placement: Placement,
}

/// Joins scanned items, in order, into parts.
pub(crate) fn join_scanned<'a>(items: impl IntoIterator<Item = &'a ScannedItem>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for item in items {
        let extended = parts
            .last_mut()
            .map(|part| part.take_in(item.segment, item.placement.fragment, item.offset, &item.meta));
        if extended != Some(Extension::Extended) {
            parts.push(Part::starting_with(
                item.segment,
                item.placement.fragment,
                item.offset,
                &item.meta,
            ));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ItemFlags;

    fn meta(seq: u64) -> ItemMeta {
        ItemMeta {
            seq,
            pts: 0,
            dts: 0,
            duration: 0,
            track: 1,
            flags: ItemFlags::NONE,
            len: 30,
        }
    }

    /// Segment 1 holds 0..4, segment 2 holds 4..8, in fragments of two.
    fn index() -> Index {
        let mut index = Index::default();
        for seq in 0..8 {
            index.add_item(1 + seq / 4, seq / 2 * 2, 40 + seq % 4 * 100, &meta(seq));
            index.set_len(1 + seq / 4, 140 + seq % 4 * 100);
        }
        index
    }

    #[test]
    fn a_segment_dies_with_its_last_live_part() {
        let mut index = index();
        assert_eq!(index.live_parts().count(), 4);
        index.release(&(2..4));
        assert_eq!(index.dead_segments(Some(2)), []);
        index.release(&(0..1));
        assert_eq!(
            (index.dead_segments(Some(2)), index.first_live_seq()),
            (vec![], Some(1))
        );
        index.release(&(1..2));
        assert_eq!(
            (index.dead_segments(Some(2)), index.first_live_seq()),
            (vec![1], Some(4))
        );
        assert_eq!((index.disk_bytes(), index.needed_bytes(Some(2))), (880, 440));
        index.remove_segment(1);
        assert_eq!(index.disk_bytes(), 440);
    }

    #[test]
    fn what_has_not_settled_can_be_forgotten() {
        let mut index = index();
        index.settle(8);
        index.add_item(2, 6, 440, &meta(8));
        index.add_item(2, 6, 540, &meta(9));
        let seqs = |index: &Index| index.live_parts().map(Part::seqs).collect::<Vec<_>>();
        assert_eq!(seqs(&index), [0..2, 2..4, 4..6, 6..8, 8..10]);
        index.forget_unsettled();
        assert_eq!(seqs(&index), [0..2, 2..4, 4..6, 6..8]);
        index.add_item(2, 6, 440, &meta(8));
        index.settle(9);
        assert_eq!(
            seqs(&index),
            [0..2, 2..4, 4..6, 6..9],
            "parts of one fragment are joined once settled"
        );
        index.release(&(4..9));
        assert_eq!(index.dead_segments(None), [2]);
    }

    #[test]
    fn a_part_that_grows_after_a_release_lives_again() {
        let mut index = Index::default();
        index.add_item(1, 0, 40, &meta(0));
        index.add_item(1, 2, 140, &meta(2));
        index.release(&(2..3));
        index.add_item(1, 2, 240, &meta(3));
        index.release(&(0..1));
        assert_eq!(
            (index.dead_segments(None), index.first_live_seq()),
            (vec![], Some(3))
        );
    }
}
