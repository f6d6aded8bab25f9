//! MP4 files (ISO/IEC 14496-12) as frames.
//!
//! [`Mp4::open`] reads a file's index: the `moov` box and, in fragmented files, every `moof`. Payloads stay in the file
//! and are read one by one while [`Frames`] is iterated, so memory grows with the number of frames (about 40 bytes each),
//! not with the size of the file.
//!
//! The time of a frame is the one a player shows: composition offsets and edit lists are applied, so that sound and
//! picture stay in step where a file delays a track or starts it early (AAC encoder priming). Time zero is the earliest
//! frame of any track.

mod boxes;
mod config;
mod error;
mod frames;
mod index;
mod runs;
mod table;
mod timing;

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kvs_mkv::{Track, TrackKind};

pub(crate) use error::{Mp4Error, Mp4ErrorKind};
pub(crate) use frames::Frames;
use index::{Index, Sample};

/// An MP4 file whose index was read.
#[derive(Debug)]
pub(crate) struct Mp4 {
    path: PathBuf,
    tracks: Vec<Mp4Track>,
    skipped: Vec<String>,
    duration: Duration,
}

/// One supported track and its frames in decode order.
#[derive(Debug)]
struct Mp4Track {
    track: Track,
    samples: Vec<Sample>,
}

impl Mp4 {
    /// Reads the index of the file at `path`.
    ///
    /// # Errors
    /// When the file can't be read, isn't an MP4 file, is cut off, or holds neither H.264 nor H.265 video.
    pub(crate) fn open(path: &Path) -> Result<Mp4, Mp4Error> {
        let fail = |kind| Mp4Error::new(path, kind);
        let mut file = open_file(path).map_err(fail)?;
        let index = Index::read(&mut file).map_err(fail)?;
        let tracks = config::supported_tracks(&index).map_err(fail)?;
        let skipped = config::skipped_tracks(&index, &tracks);
        let (tracks, duration) = index::lay_out(tracks, &index).map_err(fail)?;
        Ok(Mp4 {
            path: path.to_path_buf(),
            tracks,
            skipped,
            duration,
        })
    }

    /// The tracks, as a stream declares them: video is number 1, audio number 2.
    pub(crate) fn tracks(&self) -> Vec<Track> {
        self.tracks.iter().map(|t| t.track.clone()).collect()
    }

    /// The tracks that aren't sent: each one's number in the file, its codec, and why.
    pub(crate) fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The longest time from a key frame of the video to the next, or to the end.
    pub(crate) fn longest_group(&self) -> Duration {
        let video = self.tracks.iter().filter(|t| t.track.kind == TrackKind::Video);
        let longest = video.filter_map(|track| {
            let keys = track.samples.iter().filter(|sample| sample.key);
            let end = track.samples.iter().map(|sample| sample.end).max()?;
            let starts: Vec<i64> = keys.map(|sample| sample.pts).chain([end]).collect();
            starts
                .windows(2)
                .map(|pair| pair[1].saturating_sub(pair[0]))
                .max()
        });
        Duration::from_nanos(u64::try_from(longest.max().unwrap_or(0)).unwrap_or(0))
    }

    /// From the earliest frame to the end of the last one.
    pub(crate) fn duration(&self) -> Duration {
        self.duration
    }

    /// How many frames all tracks hold together.
    pub(crate) fn frame_count(&self) -> u64 {
        self.tracks.iter().map(|t| t.samples.len() as u64).sum()
    }

    /// How many video frames are key frames: as many fragments the file makes.
    pub(crate) fn key_frame_count(&self) -> u64 {
        let video = self.tracks.iter().filter(|t| t.track.kind == TrackKind::Video);
        video.flat_map(|t| &t.samples).filter(|s| s.key).count() as u64
    }

    /// The frames of all tracks in decode order, `passes` times over with time going on.
    ///
    /// # Errors
    /// When the file can't be opened again.
    pub(crate) fn frames(&self, passes: u32) -> Result<Frames<'_>, Mp4Error> {
        self.read_frames(self.tracks.iter().collect(), passes)
    }

    /// The frames of one track only, in decode order.
    ///
    /// # Errors
    /// When the file can't be opened again.
    pub(crate) fn frames_of(&self, number: u8, passes: u32) -> Result<Frames<'_>, Mp4Error> {
        self.read_frames(
            self.tracks.iter().filter(|t| t.track.number == number).collect(),
            passes,
        )
    }

    fn read_frames<'a>(&'a self, tracks: Vec<&'a Mp4Track>, passes: u32) -> Result<Frames<'a>, Mp4Error> {
        let file = open_file(&self.path).map_err(|kind| Mp4Error::new(&self.path, kind))?;
        Ok(Frames::new(&self.path, file, tracks, self.duration, passes))
    }
}

fn open_file(path: &Path) -> Result<File, Mp4ErrorKind> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Mp4ErrorKind::Missing,
        _ => Mp4ErrorKind::Unreadable(error),
    })?;
    // A directory opens on some systems and fails at the first read only.
    match file.metadata() {
        Ok(metadata) if metadata.is_dir() => Err(Mp4ErrorKind::NotMedia("it is a directory")),
        Ok(_) => Ok(file),
        Err(error) => Err(Mp4ErrorKind::Unreadable(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn clip() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/media/big-buck-bunny.mp4")
    }

    fn parse(bytes: &[u8]) -> Result<(Vec<Mp4Track>, Duration), Mp4ErrorKind> {
        let index = Index::read(&mut Cursor::new(bytes))?;
        index::lay_out(config::supported_tracks(&index)?, &index)
    }

    #[test]
    fn the_clip_has_the_frames_its_readme_tells_of() {
        let mp4 = Mp4::open(&clip()).unwrap();
        assert_eq!(mp4.frame_count(), 125 + 236);
        assert_eq!(mp4.key_frame_count(), 5);
        assert_eq!(
            mp4.tracks().iter().map(|track| track.number).collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(mp4.frames(1).unwrap().count(), 125 + 236);
    }

    #[test]
    fn sound_that_primes_the_decoder_comes_before_the_picture() {
        let mp4 = Mp4::open(&clip()).unwrap();
        let frames: Vec<_> = mp4.frames(1).unwrap().take(2).map(Result::unwrap).collect();
        assert_eq!((frames[0].track, frames[0].pts.as_nanos()), (2, 0));
        assert_eq!((frames[1].track, frames[1].pts.as_nanos()), (1, 21_333_333));
    }

    #[test]
    fn every_pass_goes_on_in_time_with_its_tracks_in_step() {
        let mp4 = Mp4::open(&clip()).unwrap();
        let frames: Vec<_> = mp4.frames(3).unwrap().map(Result::unwrap).collect();
        let one = mp4.frame_count() as usize;
        assert_eq!(frames.len(), 3 * one);
        let length = i64::try_from(mp4.duration().as_nanos()).unwrap();
        for (first, second) in frames.iter().zip(&frames[one..]) {
            assert_eq!(second.pts.as_nanos() - first.pts.as_nanos(), length);
            assert_eq!(second.data, first.data);
        }
        for number in [1, 2] {
            let times: Vec<_> = frames
                .iter()
                .filter(|f| f.track == number)
                .map(|f| f.dts)
                .collect();
            assert!(times.is_sorted_by(|a, b| a < b), "track {number}");
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        let bytes = std::fs::read(clip()).unwrap();
        for len in (0..bytes.len()).step_by(bytes.len() / 199) {
            assert!(
                matches!(parse(&bytes[..len]), Err(Mp4ErrorKind::NotMedia(_))),
                "cut at {len}"
            );
        }
    }

    #[test]
    fn no_damaged_byte_of_the_index_does_more_than_fail() {
        let mut bytes = std::fs::read(clip()).unwrap();
        let index_end = bytes.windows(4).position(|window| window == b"mdat").unwrap() + 4;
        for at in 0..index_end {
            let whole = bytes[at];
            for value in [0, 1, 0xff] {
                bytes[at] = value;
                let _ = parse(&bytes);
            }
            bytes[at] = whole;
        }
    }
}
