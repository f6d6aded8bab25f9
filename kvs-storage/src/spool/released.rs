//! Which sequence numbers are needed no more: a watermark and the exceptions above it.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of sequence numbers as disjoint ranges.
///
/// Fragments are mostly released in order, so the set is mostly one range that starts at zero: the watermark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReleasedSet {
    /// Start to end, exclusive; neither touching nor overlapping.
    ranges: BTreeMap<u64, u64>,
}

impl ReleasedSet {
    pub(crate) fn insert(&mut self, seqs: Range<u64>) {
        if seqs.is_empty() {
            return;
        }
        let (mut start, mut end) = (seqs.start, seqs.end);
        if let Some((&before, &before_end)) = self.ranges.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&next, &next_end)) = self.ranges.range(start..=end).next() {
            self.ranges.remove(&next);
            end = end.max(next_end);
        }
        self.ranges.insert(start, end);
    }

    /// Everything below `end` is needed no more.
    pub(crate) fn raise_watermark(&mut self, end: u64) {
        self.insert(0..end);
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.ranges
            .range(..=seq)
            .next_back()
            .is_some_and(|(_, end)| *end > seq)
    }

    /// The first number at or after `seq` that isn't in the set.
    pub(crate) fn next_outside(&self, seq: u64) -> u64 {
        self.ranges
            .range(..=seq)
            .next_back()
            .map_or(seq, |(_, end)| (*end).max(seq))
    }

    pub(crate) fn contains_all(&self, seqs: &Range<u64>) -> bool {
        seqs.is_empty()
            || self
                .ranges
                .range(..=seqs.start)
                .next_back()
                .is_some_and(|(_, end)| *end >= seqs.end)
    }

    /// Whether any number of `seqs` is in the set.
    pub(crate) fn touches(&self, seqs: &Range<u64>) -> bool {
        self.ranges
            .range(..seqs.end)
            .next_back()
            .is_some_and(|(start, end)| *end > seqs.start && *start < seqs.end)
            && !seqs.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(start, end)| *start..*end)
    }

    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_set_is_that_of_its_members(ranges in prop::collection::vec((0u64..60, 0u64..12), 0..20)) {
            let (mut set, mut members) = (ReleasedSet::default(), BTreeSet::new());
            for (start, len) in ranges {
                set.insert(start..start + len);
                members.extend(start..start + len);
            }
            for seq in 0..80 {
                prop_assert_eq!(set.contains(seq), members.contains(&seq));
                prop_assert_eq!(set.next_outside(seq), (seq..).find(|seq| !members.contains(seq)).unwrap());
                for end in seq..80 {
                    prop_assert_eq!(set.contains_all(&(seq..end)), (seq..end).all(|seq| members.contains(&seq)));
                    prop_assert_eq!(set.touches(&(seq..end)), (seq..end).any(|seq| members.contains(&seq)));
                }
            }
            let ranges: Vec<_> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
