//! The sample table of a track (ISO/IEC 14496-12 §8.5–8.7): where each frame lies, and when.

use mp4_atom::{Co64, Ctts, Stco, Stsc, Stss, Stsz, StszSamples, Stts};

use super::Mp4ErrorKind;
use super::boxes::{child, leaf};
use super::index::{Sample, SampleList};
use super::timing::Timing;

const DISAGREES: Mp4ErrorKind = Mp4ErrorKind::NotMedia("its sample table contradicts itself");
const DAMAGED: &str = "its sample table is damaged";

/// Adds the frames that `stbl` lists to `list`.
pub(super) fn read(stbl: &[u8], timing: Timing, list: &mut SampleList) -> Result<(), Mp4ErrorKind> {
    let required = |kind| child(stbl, kind).ok_or(Mp4ErrorKind::NotMedia("its sample table is incomplete"));
    let stsz: Stsz = leaf(required(b"stsz")?, DAMAGED)?;
    let stsc: Stsc = leaf(required(b"stsc")?, DAMAGED)?;
    let stts: Stts = leaf(required(b"stts")?, DAMAGED)?;
    let ctts: Option<Ctts> = child(stbl, b"ctts").map(|body| leaf(body, DAMAGED)).transpose()?;
    let chunks = chunk_offsets(stbl)?;
    let keys = KeyFrames::read(stbl)?;

    let mut durations = Runs::new(
        stts.entries
            .iter()
            .map(|run| (run.sample_count, i64::from(run.sample_delta))),
    );
    let mut offsets = Runs::new(
        ctts.iter()
            .flat_map(|c| &c.entries)
            .map(|run| (run.sample_count, run.sample_offset)),
    );
    let mut places = Places::new(&chunks, &stsc);
    let mut dts: i64 = 0;
    for number in 1..=sample_count(&stsz) {
        let size = sample_size(&stsz, number);
        let offset = places.next(size).ok_or(DISAGREES)?;
        let duration = durations.next();
        let pts = dts.checked_add(offsets.next()).ok_or(DISAGREES)?;
        let next_dts = dts.checked_add(duration).ok_or(DISAGREES)?;
        list.push(Sample {
            offset,
            size,
            key: keys.contains(number),
            dts: timing.nanos_at(dts)?,
            pts: timing.nanos_at(pts)?,
            end: timing.nanos_at(pts.saturating_add(duration))?,
        })?;
        dts = next_dts;
    }
    list.next_dts = dts;
    Ok(())
}

fn sample_count(stsz: &Stsz) -> u32 {
    match &stsz.samples {
        StszSamples::Identical { count, .. } => *count,
        StszSamples::Different { sizes } => u32::try_from(sizes.len()).unwrap_or(u32::MAX),
    }
}

fn sample_size(stsz: &Stsz, number: u32) -> u32 {
    match &stsz.samples {
        StszSamples::Identical { size, .. } => *size,
        StszSamples::Different { sizes } => sizes.get(number as usize - 1).copied().unwrap_or(0),
    }
}

fn chunk_offsets(stbl: &[u8]) -> Result<Vec<u64>, Mp4ErrorKind> {
    if let Some(body) = child(stbl, b"stco") {
        let stco: Stco = leaf(body, DAMAGED)?;
        return Ok(stco.entries.into_iter().map(u64::from).collect());
    }
    let body = child(stbl, b"co64").ok_or(Mp4ErrorKind::NotMedia("its sample table is incomplete"))?;
    let co64: Co64 = leaf(body, DAMAGED)?;
    Ok(co64.entries)
}

/// Which frames are key frames: those listed, or all of them where there is no list.
enum KeyFrames {
    All,
    Listed(Vec<u32>),
}

impl KeyFrames {
    fn read(stbl: &[u8]) -> Result<KeyFrames, Mp4ErrorKind> {
        let Some(body) = child(stbl, b"stss") else {
            return Ok(KeyFrames::All);
        };
        let Stss { mut entries } = leaf(body, DAMAGED)?;
        entries.sort_unstable();
        Ok(KeyFrames::Listed(entries))
    }

    fn contains(&self, number: u32) -> bool {
        match self {
            KeyFrames::All => true,
            KeyFrames::Listed(numbers) => numbers.binary_search(&number).is_ok(),
        }
    }
}

/// Run-length coded values. Past the end of a list that is too short its last value goes on, as players do.
struct Runs<I> {
    runs: I,
    left: u32,
    value: i64,
}

impl<I: Iterator<Item = (u32, i64)>> Runs<I> {
    fn new(runs: I) -> Runs<I> {
        Runs {
            runs,
            left: 0,
            value: 0,
        }
    }

    fn next(&mut self) -> i64 {
        while self.left == 0 {
            let Some((count, value)) = self.runs.next() else {
                return self.value;
            };
            (self.left, self.value) = (count, value);
        }
        self.left -= 1;
        self.value
    }
}

/// Frames lie back to back in chunks; `stsc` says how many each chunk holds.
struct Places<'a> {
    chunks: std::slice::Iter<'a, u64>,
    stsc: &'a Stsc,
    run: usize,
    chunk: u32,
    left: u32,
    at: u64,
}

impl<'a> Places<'a> {
    fn new(chunks: &'a [u64], stsc: &'a Stsc) -> Places<'a> {
        Places {
            chunks: chunks.iter(),
            stsc,
            run: 0,
            chunk: 0,
            left: 0,
            at: 0,
        }
    }

    /// Where the next frame, of `size` bytes, begins.
    fn next(&mut self, size: u32) -> Option<u64> {
        while self.left == 0 {
            self.at = *self.chunks.next()?;
            self.chunk += 1;
            while self
                .stsc
                .entries
                .get(self.run + 1)
                .is_some_and(|next| next.first_chunk <= self.chunk)
            {
                self.run += 1;
            }
            self.left = self.stsc.entries.get(self.run)?.samples_per_chunk;
        }
        let place = self.at;
        self.at = place.checked_add(u64::from(size))?;
        self.left -= 1;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use mp4_atom::StscEntry;

    use super::*;

    fn stsc(runs: &[(u32, u32)]) -> Stsc {
        let entry = |&(first_chunk, samples_per_chunk)| StscEntry {
            first_chunk,
            samples_per_chunk,
            sample_description_index: 1,
        };
        Stsc {
            entries: runs.iter().map(entry).collect(),
        }
    }

    #[test]
    fn frames_fill_their_chunks_one_after_the_other() {
        let stsc = stsc(&[(1, 2), (3, 1)]);
        let mut places = Places::new(&[100, 200, 300, 400], &stsc);
        let found: Vec<_> = std::iter::from_fn(|| places.next(10)).collect();
        assert_eq!(found, [100, 110, 200, 210, 300, 400]);
    }

    #[test]
    fn empty_chunks_are_passed_over() {
        let stsc = stsc(&[(1, 0), (2, 1)]);
        assert_eq!(Places::new(&[100, 200], &stsc).next(1), Some(200));
    }

    #[test]
    fn a_chunk_without_a_rule_ends_the_frames() {
        assert_eq!(Places::new(&[100], &stsc(&[])).next(1), None);
        assert_eq!(Places::new(&[u64::MAX], &stsc(&[(1, 1)])).next(1), None);
    }

    #[test]
    fn the_last_run_goes_on() {
        let mut runs = Runs::new([(2, 5), (0, 6), (1, 7)].into_iter());
        assert_eq!([runs.next(), runs.next(), runs.next(), runs.next()], [5, 5, 7, 7]);
    }
}
