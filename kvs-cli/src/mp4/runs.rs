//! Movie fragments (ISO/IEC 14496-12 §8.8): the frames that a `moof` box adds to its tracks.

use mp4_atom::{Tfdt, Tfhd, Trex, Trun, TrunEntry};

use super::Mp4ErrorKind;
use super::boxes::{child, children, leaf};
use super::index::{Sample, Trak};

const DAMAGED: &str = "a movie fragment is damaged";
const DISAGREES: Mp4ErrorKind = Mp4ErrorKind::NotMedia("a movie fragment contradicts itself");
/// `sample_is_non_sync_sample` (ISO/IEC 14496-12 §8.8.3.1).
const NOT_A_KEY_FRAME: u32 = 0x0001_0000;

/// What `mvex` says about the frames of each track where a fragment doesn't.
pub(super) fn defaults(moov: &[u8]) -> Result<Vec<Trex>, Mp4ErrorKind> {
    let boxes = child(moov, b"mvex").into_iter().flat_map(children);
    boxes
        .filter(|b| b.kind == *b"trex")
        .map(|b| leaf(b.body, DAMAGED))
        .collect()
}

/// Adds the frames of one `moof`, which starts at `start` in the file, to their tracks.
pub(super) fn read(
    moof: &[u8],
    start: u64,
    defaults: &[Trex],
    traks: &mut [Trak],
) -> Result<(), Mp4ErrorKind> {
    // Without a base of its own, a track's data follows that of the track before (§8.8.7.1).
    let mut data_end = start;
    for traf in children(moof).filter(|b| b.kind == *b"traf") {
        let tfhd = child(traf.body, b"tfhd").ok_or(DISAGREES)?;
        let tfhd: Tfhd = leaf(tfhd, DAMAGED)?;
        let Some(trak) = traks.iter_mut().find(|trak| trak.id == tfhd.track_id) else {
            continue;
        };
        if let Some(tfdt) = child(traf.body, b"tfdt") {
            let tfdt: Tfdt = leaf(tfdt, DAMAGED)?;
            trak.samples.next_dts = i64::try_from(tfdt.base_media_decode_time).map_err(|_| DISAGREES)?;
        }
        let base = match tfhd.base_data_offset {
            Some(offset) => offset,
            None if tfhd.default_base_is_moof => start,
            None => data_end,
        };
        let inherited = Inherited::new(&tfhd, defaults);
        data_end = base;
        for trun in children(traf.body).filter(|b| b.kind == *b"trun") {
            let trun: Trun = leaf(trun.body, DAMAGED)?;
            if let Some(offset) = trun.data_offset {
                data_end = base.checked_add_signed(i64::from(offset)).ok_or(DISAGREES)?;
            }
            for entry in &trun.samples {
                data_end = inherited.push(entry, data_end, trak)?;
            }
        }
    }
    Ok(())
}

/// The values a run's frames take where they have none of their own.
struct Inherited {
    duration: u32,
    size: u32,
    flags: u32,
}

impl Inherited {
    fn new(tfhd: &Tfhd, defaults: &[Trex]) -> Inherited {
        let trex = defaults.iter().find(|trex| trex.track_id == tfhd.track_id);
        let or = |own: Option<u32>, other: fn(&Trex) -> u32| own.or(trex.map(other)).unwrap_or(0);
        Inherited {
            duration: or(tfhd.default_sample_duration, |t| t.default_sample_duration),
            size: or(tfhd.default_sample_size, |t| t.default_sample_size),
            flags: or(tfhd.default_sample_flags, |t| t.default_sample_flags),
        }
    }

    /// Adds the frame at `offset` and returns where it ends.
    fn push(&self, entry: TrunEntry, offset: u64, trak: &mut Trak) -> Result<u64, Mp4ErrorKind> {
        let size = entry.size.unwrap_or(self.size);
        let duration = i64::from(entry.duration.unwrap_or(self.duration));
        let dts = trak.samples.next_dts;
        let pts = dts.checked_add(entry.cts.unwrap_or(0)).ok_or(DISAGREES)?;
        let sample = Sample {
            offset,
            size,
            key: entry.flags.unwrap_or(self.flags) & NOT_A_KEY_FRAME == 0,
            dts: trak.timing.nanos_at(dts)?,
            pts: trak.timing.nanos_at(pts)?,
            end: trak.timing.nanos_at(pts.saturating_add(duration))?,
        };
        trak.samples.push(sample)?;
        trak.samples.next_dts = dts.checked_add(duration).ok_or(DISAGREES)?;
        offset.checked_add(u64::from(size)).ok_or(DISAGREES)
    }
}
