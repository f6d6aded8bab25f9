//! From a track's own clock to the time a player shows.

use mp4_atom::{Elst, Mdhd, Mvhd};

use super::Mp4ErrorKind;
use super::boxes::{child, descend, leaf};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// How a track's ticks become nanoseconds of the movie's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    ticks_per_second: i128,
    shift: i64,
}

impl Timing {
    /// Reads a track's clock (`mdhd`) and where its edit list (`elst`) puts its start.
    ///
    /// An edit list says which stretch of the media is shown and when (ISO/IEC 14496-12 §8.6.6). Leading empty edits
    /// delay the track; the media time of the first real edit is what plays at that moment, and earlier frames lie
    /// before it: a decoder needs them (AAC priming, open pictures), a player doesn't show them. Later edits would cut
    /// or repeat media; frames keep their own time across them.
    pub(super) fn read(trak: &[u8], moov: &[u8]) -> Result<Timing, Mp4ErrorKind> {
        let mdhd =
            descend(trak, &[b"mdia", b"mdhd"]).ok_or(Mp4ErrorKind::NotMedia("a track has no clock"))?;
        let mdhd: Mdhd = leaf(mdhd, "a track's clock is damaged")?;
        if mdhd.timescale == 0 {
            return Err(Mp4ErrorKind::NotMedia("a track's clock stands still"));
        }
        let timing = Timing {
            ticks_per_second: i128::from(mdhd.timescale),
            shift: 0,
        };
        let Some(elst) = descend(trak, &[b"edts", b"elst"]) else {
            return Ok(timing);
        };
        let elst: Elst = leaf(elst, "an edit list is damaged")?;
        let shift = timing.start_of(&elst, movie_timescale(moov)?);
        Ok(Timing {
            shift: shift.ok_or(OUT_OF_RANGE)?,
            ..timing
        })
    }

    /// The movie's time of a moment on the track's clock.
    pub(super) fn nanos_at(&self, ticks: i64) -> Result<i64, Mp4ErrorKind> {
        self.nanos(i128::from(ticks))
            .and_then(|nanos| nanos.checked_add(self.shift))
            .ok_or(OUT_OF_RANGE)
    }

    fn nanos(&self, ticks: i128) -> Option<i64> {
        i64::try_from((ticks * NANOS_PER_SECOND).div_euclid(self.ticks_per_second)).ok()
    }

    fn start_of(&self, elst: &Elst, movie_ticks_per_second: u32) -> Option<i64> {
        let mut delay = 0;
        for edit in &elst.entries {
            match edit.media_time {
                None => delay += i128::from(edit.segment_duration),
                Some(media_time) => {
                    let delay = delay * NANOS_PER_SECOND / i128::from(movie_ticks_per_second.max(1));
                    let skipped = self.nanos(i128::from(media_time))?;
                    return i64::try_from(delay).ok()?.checked_sub(skipped);
                }
            }
        }
        Some(0)
    }
}

const OUT_OF_RANGE: Mp4ErrorKind = Mp4ErrorKind::NotMedia("its times are out of range");

fn movie_timescale(moov: &[u8]) -> Result<u32, Mp4ErrorKind> {
    let mvhd = child(moov, b"mvhd").ok_or(Mp4ErrorKind::NotMedia("it has no movie header"))?;
    let mvhd: Mvhd = leaf(mvhd, "its movie header is damaged")?;
    Ok(mvhd.timescale)
}

#[cfg(test)]
mod tests {
    use mp4_atom::ElstEntry;

    use super::*;

    fn edit(segment_duration: u64, media_time: Option<u64>) -> ElstEntry {
        ElstEntry {
            segment_duration,
            media_time,
            media_rate: 1.into(),
        }
    }

    const AUDIO: Timing = Timing {
        ticks_per_second: 48_000,
        shift: 0,
    };

    #[test]
    fn priming_lies_before_the_start() {
        let elst = Elst {
            entries: vec![edit(5000, Some(1024))],
        };
        assert_eq!(AUDIO.start_of(&elst, 1000), Some(-21_333_333));
    }

    #[test]
    fn empty_edits_delay_the_track() {
        let elst = Elst {
            entries: vec![edit(100, None), edit(150, None), edit(5000, Some(0))],
        };
        assert_eq!(AUDIO.start_of(&elst, 1000), Some(250_000_000));
    }

    #[test]
    fn an_edit_that_begins_inside_a_frame_shifts_by_its_exact_time_so_that_tracks_stay_in_step() {
        // Video of 25 frames/s cut at 9.5 frames, sound at the same 380 ms and its 14.4 ms of priming.
        let video = Timing {
            ticks_per_second: 12_800,
            shift: 0,
        };
        let audio = Timing {
            ticks_per_second: 44_100,
            shift: 0,
        };
        let shift_of = |timing: Timing, media_time| {
            let elst = Elst {
                entries: vec![edit(4_700, Some(media_time))],
            };
            timing.start_of(&elst, 1_000)
        };
        assert_eq!(shift_of(video, 4_864), Some(-380_000_000));
        assert_eq!(shift_of(audio, 17_394), Some(-394_421_768));
    }

    #[test]
    fn a_list_without_a_real_edit_changes_nothing() {
        assert_eq!(AUDIO.start_of(&Elst { entries: vec![] }, 1000), Some(0));
        assert_eq!(
            AUDIO.start_of(
                &Elst {
                    entries: vec![edit(100, None)]
                },
                1000
            ),
            Some(0)
        );
    }

    #[test]
    fn hostile_values_are_out_of_range_and_no_overflow() {
        let elst = Elst {
            entries: vec![edit(u64::MAX, None), edit(u64::MAX, Some(u64::MAX))],
        };
        assert_eq!(AUDIO.start_of(&elst, 0), None);
        assert!(AUDIO.nanos_at(i64::MAX).is_err());
        assert!(AUDIO.nanos_at(i64::MIN).is_err());
    }
}
