use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use kvs_mkv::{Frame, Timestamp};

use super::index::Sample;
use super::{Mp4Error, Mp4ErrorKind, Mp4Track};

/// Sound and picture take turns every few hundred kilobytes; a buffer this large spares most seeks.
const READ_AHEAD: usize = 256 * 1024;

/// The frames of some tracks in decode order, read from the file one by one.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    path: &'a Path,
    file: BufReader<File>,
    position: u64,
    tracks: Vec<&'a Mp4Track>,
    /// The next frame of each track.
    cursors: Vec<usize>,
    pass: u32,
    passes: u32,
    duration: Duration,
}

impl<'a> Frames<'a> {
    pub(super) fn new(
        path: &'a Path,
        file: File,
        tracks: Vec<&'a Mp4Track>,
        duration: Duration,
        passes: u32,
    ) -> Frames<'a> {
        let file = BufReader::with_capacity(READ_AHEAD, file);
        let cursors = vec![0; tracks.len()];
        Frames {
            path,
            file,
            position: 0,
            tracks,
            cursors,
            pass: 0,
            passes,
            duration,
        }
    }

    /// The track whose next frame is decoded first; at the same time, the one declared first.
    fn earliest(&self) -> Option<(usize, Sample)> {
        let heads = self.tracks.iter().zip(&self.cursors).enumerate();
        let heads = heads.filter_map(|(place, (track, &at))| Some((place, *track.samples.get(at)?)));
        heads.min_by_key(|(_, sample)| sample.dts)
    }

    fn read(&mut self, place: usize, sample: Sample) -> Result<Frame, Mp4ErrorKind> {
        let data = self.read_payload(sample)?;
        let passed = self.duration.as_nanos().saturating_mul(u128::from(self.pass));
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let length = sample.end.saturating_sub(sample.pts);
        let frame = Frame::video(data)
            .track(self.tracks[place].track.number)
            .pts(Timestamp::from_nanos(sample.pts.saturating_add(passed)))
            .dts(Timestamp::from_nanos(sample.dts.saturating_add(passed)))
            .duration(Duration::from_nanos(u64::try_from(length).unwrap_or(0)));
        Ok(frame.key_if(sample.key))
    }

    fn read_payload(&mut self, sample: Sample) -> Result<Bytes, Mp4ErrorKind> {
        let mut data = vec![0; sample.size as usize];
        self.seek(sample.offset).map_err(Mp4ErrorKind::Unreadable)?;
        self.file
            .read_exact(&mut data)
            .map_err(Mp4ErrorKind::Unreadable)?;
        self.position = sample.offset + u64::from(sample.size);
        Ok(Bytes::from(data))
    }

    fn seek(&mut self, offset: u64) -> std::io::Result<()> {
        match i64::try_from(i128::from(offset) - i128::from(self.position)) {
            // Stays inside the buffer where it can.
            Ok(step) => self.file.seek_relative(step),
            Err(_) => self.file.seek(SeekFrom::Start(offset)).map(drop),
        }
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame, Mp4Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.pass < self.passes {
            if let Some((place, sample)) = self.earliest() {
                self.cursors[place] += 1;
                return Some(
                    self.read(place, sample)
                        .map_err(|kind| Mp4Error::new(self.path, kind)),
                );
            }
            self.cursors.fill(0);
            self.pass += 1;
        }
        None
    }
}
