//! Reads a stream back through GetMedia and compares every frame with the file, byte by byte.

use std::collections::btree_map::Values;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::iter::Peekable;
use std::time::Duration;

use kvs_client::consumer::FrameReader;
use kvs_client::{ApiName, Client, ControlPlane, GetMedia, StartSelector};
use kvs_mkv::Timestamp;

use crate::error::{CliError, Failure};
use crate::mp4::{Frames, Mp4};
use crate::readback::{Fragment, Gathering};

/// How long the service may take from one piece of media to the next.
const PATIENCE: Duration = Duration::from_secs(30);

/// Compares the fragments of these numbers, in the order of their times, with the frames of the file.
/// Returns how many frames were compared.
pub(crate) async fn read_back(
    client: &Client,
    stream: &str,
    numbers: &BTreeMap<Timestamp, String>,
    mp4: &Mp4,
    passes: u32,
) -> Result<u64, CliError> {
    let mut comparison = Comparison::new(mp4, passes)?;
    let mut order = Order::new(numbers);
    let mut gathering = Gathering::default();
    let mut reader = open(client, stream, numbers).await?;
    while let Some(missing) = order.missing() {
        let event = tokio::time::timeout(PATIENCE, reader.next()).await;
        let event = event.map_err(|_| mismatch(format!("fragment {missing} does not come")))?;
        let Some(event) = event.transpose()? else { break };
        if let Some(fragment) = gathering.take_in(event) {
            order.put(fragment);
        }
        if let Some(last) = order.last_missing()
            && let Some(fragment) = gathering.take_last(last, comparison.left())
        {
            order.put(fragment);
        }
        while let Some(fragment) = order.next() {
            comparison.compare(&fragment)?;
        }
    }
    match order.missing() {
        Some(missing) => Err(mismatch(format!("fragment {missing} is missing"))),
        None => comparison.finish(),
    }
}

/// Opens the stream a little before its first fragment of these.
async fn open(
    client: &Client,
    stream: &str,
    numbers: &BTreeMap<Timestamp, String>,
) -> Result<FrameReader, CliError> {
    let first = numbers.keys().next().copied().unwrap_or_default();
    // Producer timestamps are whole milliseconds and travel as fractions of a second.
    let start = Timestamp::from_millis(first.as_millis().saturating_sub(1));
    let start = start
        .to_system_time()
        .map_or(StartSelector::Earliest, StartSelector::ProducerTimestamp);
    let endpoint = client
        .control_plane()
        .get_data_endpoint(stream, ApiName::GetMedia)
        .await?;
    let body = client
        .open_media(&endpoint, &GetMedia::new(stream, start))
        .await?;
    Ok(FrameReader::new(body))
}

fn mismatch(what: impl std::fmt::Display) -> CliError {
    CliError::new(Failure::Mismatch, format!("what was read back differs: {what}"))
}

/// Brings fragments, which come in the order in which they were stored, into that of their times. After a broken connection
/// the two may differ; fragments are held only until their turn.
struct Order<'a> {
    expected: Peekable<Values<'a, Timestamp, String>>,
    wanted: HashSet<&'a str>,
    held: HashMap<String, Fragment>,
}

impl<'a> Order<'a> {
    fn new(numbers: &'a BTreeMap<Timestamp, String>) -> Order<'a> {
        let wanted = numbers.values().map(String::as_str).collect();
        Order {
            expected: numbers.values().peekable(),
            wanted,
            held: HashMap::new(),
        }
    }

    /// Takes a fragment; other uploads' and repeated ones are passed over.
    fn put(&mut self, fragment: Fragment) {
        if self.wanted.remove(fragment.number.as_str()) {
            self.held.insert(fragment.number.clone(), fragment);
        }
    }

    /// The next fragment by time, once it is here.
    fn next(&mut self) -> Option<Fragment> {
        let fragment = self.held.remove(*self.expected.peek()?)?;
        self.expected.next();
        Some(fragment)
    }

    /// The fragment whose turn it is, if it is still to come.
    fn missing(&mut self) -> Option<&'a String> {
        self.expected.peek().copied()
    }

    /// The only fragment that is still to come, if there is but one.
    fn last_missing(&mut self) -> Option<&'a String> {
        let last = self.missing()?;
        (self.expected.len() == 1).then_some(last)
    }
}

/// The file's frames, one track beside the other, against those read back.
struct Comparison<'a> {
    tracks: BTreeMap<u8, Frames<'a>>,
    expected: u64,
    compared: u64,
}

impl<'a> Comparison<'a> {
    fn new(mp4: &'a Mp4, passes: u32) -> Result<Comparison<'a>, CliError> {
        let numbers = mp4.tracks().into_iter().map(|track| track.number);
        let tracks = numbers.map(|number| Ok((number, mp4.frames_of(number, passes)?)));
        let tracks = tracks.collect::<Result<_, CliError>>()?;
        Ok(Comparison {
            tracks,
            expected: mp4.frame_count() * u64::from(passes),
            compared: 0,
        })
    }

    /// How many frames are still to be compared.
    fn left(&self) -> u64 {
        self.expected.saturating_sub(self.compared)
    }

    fn compare(&mut self, fragment: &Fragment) -> Result<(), CliError> {
        for returned in &fragment.frames {
            let place = || format!("track {} in fragment {}", returned.track, fragment.number);
            let frames = self.tracks.get_mut(&returned.track);
            let frames = frames.ok_or_else(|| mismatch(format!("{} is unknown", place())))?;
            let Some(sent) = frames.next().transpose()? else {
                return Err(mismatch(format!("{} has more frames than the file", place())));
            };
            if sent.data != returned.data {
                return Err(mismatch(format!("a frame of {} isn't the file's", place())));
            }
            self.compared += 1;
        }
        Ok(())
    }

    /// Makes sure that nothing of the file is missing.
    fn finish(mut self) -> Result<u64, CliError> {
        for (track, frames) in &mut self.tracks {
            if frames.next().is_some() {
                return Err(mismatch(format!("track {track} has fewer frames than the file")));
            }
        }
        Ok(self.compared)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn clip() -> Mp4 {
        Mp4::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/media/big-buck-bunny.mp4"))
            .unwrap()
    }

    fn whole(mp4: &Mp4) -> Fragment {
        Fragment {
            number: "1".into(),
            frames: mp4.frames(1).unwrap().map(Result::unwrap).collect(),
        }
    }

    fn compare(change: impl FnOnce(&mut Fragment)) -> Result<u64, CliError> {
        let mp4 = clip();
        let mut fragment = whole(&mp4);
        change(&mut fragment);
        let mut comparison = Comparison::new(&mp4, 1)?;
        comparison.compare(&fragment)?;
        comparison.finish()
    }

    #[test]
    fn equal_frames_are_counted() {
        assert_eq!(compare(|_| {}).unwrap(), 361);
    }

    #[test]
    fn every_difference_is_told() {
        let changed = compare(|fragment| {
            let mut data = fragment.frames[100].data.to_vec();
            data[3] ^= 1;
            fragment.frames[100].data = data.into();
        });
        let missing = compare(|fragment| drop(fragment.frames.pop()));
        let repeated = compare(|fragment| fragment.frames.push(fragment.frames[360].clone()));
        let foreign = compare(|fragment| fragment.frames[5].track = 3);
        for (outcome, words) in [
            (changed, "isn't the file's"),
            (missing, "fewer frames"),
            (repeated, "more frames"),
            (foreign, "is unknown"),
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(error.failure(), Failure::Mismatch);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn fragments_stored_out_of_order_are_compared_in_the_order_of_their_times() {
        let numbers = [(1, "10"), (2, "30"), (3, "20")];
        let numbers = numbers
            .map(|(at, number)| (Timestamp::from_secs(at), number.to_owned()))
            .into();
        let mut order = Order::new(&numbers);
        let mut seen = Vec::new();
        for number in ["5", "10", "20", "20", "30"] {
            order.put(Fragment {
                number: number.into(),
                frames: vec![],
            });
            seen.extend(std::iter::from_fn(|| order.next()).map(|fragment| fragment.number));
        }
        assert_eq!(seen, ["10", "30", "20"]);
        assert_eq!(order.missing(), None);
    }
}
