//! A file's index: its tracks, and where and when each of their frames is.

use std::io::{Read, Seek};
use std::time::Duration;

use kvs_mkv::Track;

use super::boxes::{FourCc, TopLevels, child, children, descend};
use super::timing::Timing;
use super::{Mp4ErrorKind, Mp4Track, runs, table};

/// The largest index read: about 20 million frames, a week of video with sound.
const MAX_INDEX: u64 = 512 * 1024 * 1024;
/// The most frames a track may have: ten days at 25 frames/s.
const MAX_SAMPLES: usize = 1 << 24;

/// Everything a file says about its tracks.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) traks: Vec<Trak>,
}

/// One track as the file has it.
#[derive(Debug)]
pub(super) struct Trak {
    pub(super) id: u32,
    /// What it is: `vide`, `soun`, …
    pub(super) handler: FourCc,
    /// The sample description (`stsd`).
    pub(super) description: Vec<u8>,
    pub(super) timing: Timing,
    pub(super) samples: SampleList,
}

/// One frame in the file. Times are nanoseconds of the movie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) key: bool,
    pub(super) dts: i64,
    pub(super) pts: i64,
    /// When the next frame is due on the screen.
    pub(super) end: i64,
}

/// The frames of a track, each checked to lie inside the file.
#[derive(Debug)]
pub(super) struct SampleList {
    samples: Vec<Sample>,
    file_len: u64,
    /// The decoding time, in ticks, of the frame that would follow.
    pub(super) next_dts: i64,
}

impl SampleList {
    fn new(file_len: u64) -> SampleList {
        SampleList {
            samples: Vec::new(),
            file_len,
            next_dts: 0,
        }
    }

    /// Adds a frame. One without bytes only lets time pass: there is nothing to decode in it.
    pub(super) fn push(&mut self, sample: Sample) -> Result<(), Mp4ErrorKind> {
        let end = sample.offset.checked_add(u64::from(sample.size));
        if end.is_none_or(|end| end > self.file_len) {
            return Err(Mp4ErrorKind::NotMedia("it is cut off: frames lie past its end"));
        }
        if self.samples.len() >= MAX_SAMPLES {
            return Err(Mp4ErrorKind::NotMedia("it has unreasonably many frames"));
        }
        if sample.size > 0 {
            self.samples.push(sample);
        }
        Ok(())
    }
}

impl Index {
    /// Reads the index of a file.
    pub(super) fn read<R: Read + Seek>(reader: &mut R) -> Result<Index, Mp4ErrorKind> {
        let mut top = TopLevels::new(reader).map_err(Mp4ErrorKind::Unreadable)?;
        if top.file_len() == 0 {
            return Err(Mp4ErrorKind::NotMedia("it is empty"));
        }
        let mut traks = None;
        let mut defaults = Vec::new();
        while let Some(found) = top.next().map_err(Mp4ErrorKind::Unreadable)? {
            match (&found.kind, &mut traks) {
                (b"moov", traks @ None) => {
                    let moov = top.read_body(&found, MAX_INDEX)?;
                    defaults = runs::defaults(&moov)?;
                    *traks = Some(read_traks(&moov, top.file_len())?);
                }
                (b"moof", Some(traks)) => {
                    let moof = top.read_body(&found, MAX_INDEX)?;
                    runs::read(&moof, found.start, &defaults, traks)?;
                }
                _ => {}
            }
        }
        let traks = traks.ok_or(Mp4ErrorKind::NotMedia("it has no moov box"))?;
        Ok(Index { traks })
    }
}

fn read_traks(moov: &[u8], file_len: u64) -> Result<Vec<Trak>, Mp4ErrorKind> {
    let traks = children(moov).filter(|b| b.kind == *b"trak");
    traks.map(|trak| read_trak(trak.body, moov, file_len)).collect()
}

fn read_trak(trak: &[u8], moov: &[u8], file_len: u64) -> Result<Trak, Mp4ErrorKind> {
    let stbl = descend(trak, &[b"mdia", b"minf", b"stbl"]);
    let stbl = stbl.ok_or(Mp4ErrorKind::NotMedia("a track has no sample table"))?;
    let timing = Timing::read(trak, moov)?;
    let mut samples = SampleList::new(file_len);
    table::read(stbl, timing, &mut samples)?;
    Ok(Trak {
        id: track_id(trak).ok_or(Mp4ErrorKind::NotMedia("a track has no header"))?,
        handler: handler(trak).unwrap_or_default(),
        description: child(stbl, b"stsd").unwrap_or_default().to_vec(),
        timing,
        samples,
    })
}

/// `track_ID` (ISO/IEC 14496-12 §8.3.2): after the version and flags and two times of 4 or, in version 1, 8 bytes.
fn track_id(trak: &[u8]) -> Option<u32> {
    let tkhd = child(trak, b"tkhd")?;
    let at = if *tkhd.first()? == 1 { 20 } else { 12 };
    Some(u32::from_be_bytes(tkhd.get(at..at + 4)?.try_into().ok()?))
}

/// `handler_type` (ISO/IEC 14496-12 §8.4.3): after the version and flags and four reserved bytes.
fn handler(trak: &[u8]) -> Option<FourCc> {
    descend(trak, &[b"mdia", b"hdlr"])?.get(8..12)?.try_into().ok()
}

/// Takes the frames of the chosen tracks, by their place in the index, and moves time so that the earliest frame is at zero.
/// Returns the tracks and how long they play.
pub(super) fn lay_out(
    chosen: Vec<(usize, Track)>,
    index: &Index,
) -> Result<(Vec<Mp4Track>, Duration), Mp4ErrorKind> {
    let mut tracks: Vec<_> = chosen
        .into_iter()
        .map(|(place, track)| Mp4Track {
            track,
            samples: decodable(&index.traks[place].samples.samples),
        })
        .collect();
    let all = || tracks.iter().flat_map(|track| &track.samples);
    let start = all().map(|s| s.dts.min(s.pts)).min().unwrap_or(0);
    let end = all().map(|s| s.end.max(s.pts)).max().unwrap_or(0);
    let length = end
        .checked_sub(start)
        .ok_or(Mp4ErrorKind::NotMedia("its times are out of range"))?;
    for sample in tracks.iter_mut().flat_map(|track| &mut track.samples) {
        sample.dts -= start;
        sample.pts -= start;
        sample.end -= start;
    }
    Ok((tracks, Duration::from_nanos(length.unsigned_abs())))
}

/// Composition offsets may be negative (`ctts` version 1); a frame is still decoded no later than it is shown, so
/// decoding then starts earlier.
fn decodable(samples: &[Sample]) -> Vec<Sample> {
    let late = samples
        .iter()
        .map(|s| s.dts.saturating_sub(s.pts))
        .max()
        .unwrap_or(0)
        .max(0);
    samples
        .iter()
        .map(|s| Sample {
            dts: s.dts.saturating_sub(late),
            ..*s
        })
        .collect()
}
