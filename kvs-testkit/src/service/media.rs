//! Media kept for reading back.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kvs_mkv::{Block, Timestamp};

use super::ingest::SessionHeader;
use super::ledger::TagLedger;
use super::number::FragmentNumber;

/// A whole fragment.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) number: FragmentNumber,
    pub(crate) header: Arc<SessionHeader>,
    pub(crate) timecode: i64,
    pub(crate) producer: Timestamp,
    pub(crate) server: Timestamp,
    pub(crate) duration_ms: i64,
    /// Size on the wire.
    pub(crate) bytes: u64,
    pub(crate) blocks: Vec<Block>,
    pub(crate) tags: Vec<TagLedger>,
}

impl Fragment {
    /// What keeping it costs.
    fn held(&self) -> u64 {
        self.blocks
            .iter()
            .map(|block| block.data.len() as u64)
            .sum::<u64>()
            + self.blocks.len() as u64 * 64
    }

    /// Copies payloads that share a much larger receive buffer, so that the cap is true.
    pub(crate) fn settle(&mut self) {
        for block in &mut self.blocks {
            if block.data.len() < 256 {
                block.data = Bytes::copy_from_slice(&block.data);
            }
        }
    }
}

/// Fragments of all streams under one cap, the oldest dropped first.
#[derive(Debug)]
pub(crate) struct MediaStore {
    cap: u64,
    held: u64,
    fragments: BTreeMap<FragmentNumber, Arc<Fragment>>,
    /// Numbers per stream, rising.
    streams: HashMap<String, VecDeque<FragmentNumber>>,
    /// Which stream a number belongs to.
    owners: HashMap<FragmentNumber, String>,
    /// Let go since somebody asked.
    forgotten: Vec<(String, FragmentNumber)>,
}

impl MediaStore {
    pub(crate) fn new(cap: u64) -> MediaStore {
        MediaStore {
            cap,
            held: 0,
            fragments: BTreeMap::new(),
            streams: HashMap::new(),
            owners: HashMap::new(),
            forgotten: Vec::new(),
        }
    }

    pub(crate) fn insert(&mut self, stream: &str, fragment: Fragment) {
        self.held += fragment.held();
        self.owners.insert(fragment.number, stream.to_owned());
        let numbers = self.streams.entry(stream.to_owned()).or_default();
        // Fragments of overlapping connections are numbered when they begin and inserted when they end.
        let place = numbers.partition_point(|&number| number < fragment.number);
        numbers.insert(place, fragment.number);
        self.fragments.insert(fragment.number, Arc::new(fragment));
        while self.held > self.cap {
            let Some(oldest) = self.fragments.keys().next().copied() else {
                break;
            };
            self.remove(oldest);
        }
    }

    pub(crate) fn remove(&mut self, number: FragmentNumber) {
        let Some(fragment) = self.fragments.remove(&number) else {
            return;
        };
        self.held -= fragment.held();
        let Some(stream) = self.owners.remove(&number) else {
            return;
        };
        if let Some(numbers) = self.streams.get_mut(&stream)
            && let Ok(place) = numbers.binary_search(&number)
        {
            numbers.remove(place);
        }
        self.forgotten.push((stream, number));
    }

    /// Takes the names of what was let go.
    pub(crate) fn take_forgotten(&mut self) -> Vec<(String, FragmentNumber)> {
        std::mem::take(&mut self.forgotten)
    }

    pub(crate) fn remove_stream(&mut self, stream: &str) {
        for number in self.streams.get(stream).cloned().unwrap_or_default() {
            self.remove(number);
        }
        self.streams.remove(stream);
    }

    /// Drops what a stream's retention no longer covers.
    pub(crate) fn remove_older(&mut self, stream: &str, than: Timestamp) {
        loop {
            let Some(first) = self.of_stream(stream).next() else {
                return;
            };
            if first.server >= than {
                return;
            }
            let number = first.number;
            self.remove(number);
        }
    }

    pub(crate) fn get(&self, stream: &str, number: FragmentNumber) -> Option<Arc<Fragment>> {
        if self.owners.get(&number).is_none_or(|owner| owner != stream) {
            return None;
        }
        self.fragments.get(&number).cloned()
    }

    /// A stream's fragments by rising number.
    pub(crate) fn of_stream(&self, stream: &str) -> impl DoubleEndedIterator<Item = &Arc<Fragment>> {
        let numbers = self.streams.get(stream).into_iter().flatten();
        numbers.filter_map(|number| self.fragments.get(number))
    }

    /// The stream's first fragment after a number.
    pub(crate) fn after(&self, stream: &str, number: Option<FragmentNumber>) -> Option<Arc<Fragment>> {
        let numbers = self.streams.get(stream)?;
        let place = number.map_or(0, |number| numbers.partition_point(|&n| n <= number));
        self.fragments.get(numbers.get(place)?).cloned()
    }

    pub(crate) fn newest(&self, stream: &str) -> Option<&Arc<Fragment>> {
        self.of_stream(stream).next_back()
    }
}
