//! [`FileWriter`]: one valid `.mkv` file with Cues and duration, for players.

use bytes::{BufMut, Bytes, BytesMut};

use crate::demux::{Block, MkvEvent};
use crate::ebml::{put_binary, put_float, put_id, put_master, put_uint, put_uint64};
use crate::error::{MkvError, MkvErrorKind};
use crate::frame::Frame;
use crate::muxer::{SegmentInfo, put_ebml_header, put_info_fields, put_tracks};
use crate::schema::{VOID, id};
use crate::time::{TimecodeScale, Timestamp};
use crate::track_set::TrackSet;

/// Room for the SeekHead that is written when all positions are known.
const SEEK_HEAD_ROOM: usize = 96;
/// A size of eight bytes that is not known yet.
const OPEN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Bytes to be written over what was written at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Offset from the start of the file.
    pub offset: u64,
    /// What belongs there.
    pub data: Bytes,
}

/// Writes a file: a header, clusters, and in the end an index, so that players can seek.
///
/// Nothing here does I/O: append what comes out to a file, then write the [`Patch`]es over it. Before they
/// are, the file plays already, as a live one.
///
/// ```
/// use bytes::Bytes;
/// use kvs_mkv::{FileWriter, Frame, SegmentInfo, Timestamp, Track, TrackSet};
///
/// let track = Track::aac().with_number(1).with_codec_private(Bytes::from_static(&[0x11, 0x90]))?;
/// let mut out: Vec<Bytes> = Vec::new();
/// let mut file = FileWriter::new(SegmentInfo::new([1; 16]), &TrackSet::new(vec![track])?, &mut out)?;
/// file.cluster(Timestamp::from_secs(100), &mut out)?;
/// file.frame(&Frame::new(1, "raw aac").pts(Timestamp::from_secs(100)).key(), &mut out)?;
/// let patches = file.finish(&mut out);
///
/// let mut bytes = out.concat();
/// for patch in patches {
///     let at = patch.offset as usize;
///     bytes[at..at + patch.data.len()].copy_from_slice(&patch.data);
/// }
/// # Ok::<(), kvs_mkv::MkvError>(())
/// ```
#[derive(Debug)]
pub struct FileWriter {
    scale: TimecodeScale,
    written: u64,
    segment_size_at: u64,
    /// Where the Segment's data starts: positions count from here.
    segment_at: u64,
    info_at: u64,
    tracks_at: u64,
    duration_at: u64,
    /// The time of the first cluster, which becomes 0.
    base: Option<i64>,
    cluster: Option<OpenCluster>,
    end: i64,
    cues: Vec<Cue>,
    patches: Vec<Patch>,
    /// Per track, its last time and its last step.
    steps: Vec<(u64, i64, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct OpenCluster {
    at: u64,
    size_at: u64,
    time: i64,
    has_cue: bool,
}

#[derive(Clone, Copy, Debug)]
struct Cue {
    time: u64,
    track: u64,
    cluster_at: u64,
}

impl FileWriter {
    /// Starts a file with these tracks.
    ///
    /// # Errors
    /// [`MkvErrorKind::TrackNotReady`] where the format of a track is not known.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the info is the file's, as it is a muxer's"
    )]
    pub fn new(info: SegmentInfo, tracks: &TrackSet, out: &mut impl Extend<Bytes>) -> Result<Self, MkvError> {
        let mut head = BytesMut::with_capacity(1024);
        put_ebml_header(&mut head, tracks);
        put_id(&mut head, id::SEGMENT);
        let segment_size_at = head.len() as u64;
        head.put_slice(&OPEN_SIZE);
        let segment_at = head.len() as u64;
        put_void(&mut head, SEEK_HEAD_ROOM);
        let info_at = head.len() as u64;
        put_master(&mut head, id::INFO, 8, |out| {
            put_info_fields(out, &info);
            put_float(out, id::DURATION, 0.0);
        });
        let duration_at = head.len() as u64 - 8;
        let tracks_at = head.len() as u64;
        put_tracks(&mut head, tracks)?;
        let written = head.len() as u64;
        out.extend([head.freeze()]);
        Ok(FileWriter {
            scale: info.scale,
            written,
            segment_size_at,
            segment_at,
            info_at,
            tracks_at,
            duration_at,
            base: None,
            cluster: None,
            end: 0,
            cues: Vec::new(),
            patches: Vec::new(),
            steps: Vec::new(),
        })
    }

    /// Starts a cluster; the time of the first one becomes 0 in the file.
    ///
    /// # Errors
    /// [`MkvErrorKind::FragmentOutOfOrder`] for a time before the first cluster's.
    pub fn cluster(&mut self, time: Timestamp, out: &mut impl Extend<Bytes>) -> Result<(), MkvError> {
        self.start_cluster(self.scale.to_units(time), out)
    }

    /// Writes a frame into the cluster.
    ///
    /// # Errors
    /// [`MkvErrorKind::NoFragment`] before the first cluster, [`MkvErrorKind::BlockTimeOutOfRange`] for a
    /// time further from the cluster's than 16 bits tell.
    pub fn frame(&mut self, frame: &Frame, out: &mut impl Extend<Bytes>) -> Result<(), MkvError> {
        let time = self.scale.to_units(frame.pts);
        self.block(
            u64::from(frame.track),
            time,
            frame.flags.wire_bits(),
            &frame.data,
            out,
        )
    }

    /// Writes what a demuxer read: clusters and blocks. Everything else is passed over, so that a whole
    /// GetMedia body, which has a header for each fragment, becomes one file.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster) and [`frame`](Self::frame).
    pub fn event(&mut self, event: &MkvEvent, out: &mut impl Extend<Bytes>) -> Result<(), MkvError> {
        match event {
            MkvEvent::ClusterTimecode(timecode) => {
                self.start_cluster(i64::try_from(*timecode).unwrap_or(i64::MAX), out)
            }
            MkvEvent::Block(block) => self.block(block.track, block.timecode, flags(block), &block.data, out),
            _ => Ok(()),
        }
    }

    /// Ends the file: writes the index, and gives what has to be patched.
    #[must_use]
    pub fn finish(mut self, out: &mut impl Extend<Bytes>) -> Vec<Patch> {
        self.end_cluster();
        let cues_at = self.written;
        if !self.cues.is_empty() {
            let mut index = BytesMut::with_capacity(self.cues.len() * 24 + 16);
            put_master(&mut index, id::CUES, 8, |out| {
                self.cues.iter().for_each(|cue| cue.put(out));
            });
            self.append(index.freeze(), out);
        }
        let mut seek_head = BytesMut::with_capacity(SEEK_HEAD_ROOM);
        put_master(&mut seek_head, id::SEEK_HEAD, 1, |out| {
            put_seek(out, id::INFO, self.info_at - self.segment_at);
            put_seek(out, id::TRACKS, self.tracks_at - self.segment_at);
            if !self.cues.is_empty() {
                put_seek(out, id::CUES, cues_at - self.segment_at);
            }
        });
        let room = SEEK_HEAD_ROOM - seek_head.len();
        put_void(&mut seek_head, room);
        self.patch(self.segment_at, &seek_head);
        self.patch(self.duration_at, &(self.end as f64).to_be_bytes());
        self.patch(self.segment_size_at, &size(self.written - self.segment_at));
        self.patches
    }

    fn start_cluster(&mut self, time: i64, out: &mut impl Extend<Bytes>) -> Result<(), MkvError> {
        let base = *self.base.get_or_insert(time);
        let time = time.saturating_sub(base);
        let Ok(timecode) = u64::try_from(time) else {
            return Err(MkvError::new(MkvErrorKind::FragmentOutOfOrder)
                .with_detail("cluster before the first one of the file"));
        };
        self.end_cluster();
        let mut head = BytesMut::with_capacity(32);
        put_id(&mut head, id::CLUSTER);
        let size_at = self.written + head.len() as u64;
        head.put_slice(&OPEN_SIZE);
        put_uint64(&mut head, id::CLUSTER_TIMECODE, timecode);
        self.cluster = Some(OpenCluster {
            at: self.written,
            size_at,
            time,
            has_cue: false,
        });
        self.append(head.freeze(), out);
        Ok(())
    }

    fn end_cluster(&mut self) {
        if let Some(cluster) = self.cluster.take() {
            self.patch(cluster.size_at, &size(self.written - cluster.size_at - 8));
        }
    }

    fn block(
        &mut self,
        track: u64,
        time: i64,
        flags: u8,
        data: &Bytes,
        out: &mut impl Extend<Bytes>,
    ) -> Result<(), MkvError> {
        let (Some(cluster), Some(base)) = (&mut self.cluster, self.base) else {
            return Err(MkvError::new(MkvErrorKind::NoFragment));
        };
        let number = u8::try_from(track)
            .ok()
            .filter(|number| (1..127).contains(number));
        let number = number.ok_or_else(|| MkvError::new(MkvErrorKind::UnknownTrack))?;
        let time = time.saturating_sub(base);
        let relative = i16::try_from(time.saturating_sub(cluster.time))
            .map_err(|_| MkvError::new(MkvErrorKind::BlockTimeOutOfRange).on_track(number))?;
        if flags & 0x80 != 0 && !std::mem::replace(&mut cluster.has_cue, true) {
            let cluster_at = cluster.at - self.segment_at;
            self.cues.push(Cue {
                time: u64::try_from(time).unwrap_or(0),
                track,
                cluster_at,
            });
        }
        self.note_end(track, time);
        let mut head = BytesMut::with_capacity(16);
        put_id(&mut head, id::SIMPLE_BLOCK);
        head.put_slice(&size(data.len() as u64 + 4));
        head.put_u8(0x80 | number);
        head.put_i16(relative);
        head.put_u8(flags);
        self.append(head.freeze(), out);
        self.append(data.clone(), out);
        Ok(())
    }

    /// The file lasts as long as the last frame, which lasts as long as the one before it did.
    fn note_end(&mut self, track: u64, time: i64) {
        let place = self.steps.iter().position(|&(number, ..)| number == track);
        let place = place.unwrap_or_else(|| {
            self.steps.push((track, time, 0));
            self.steps.len() - 1
        });
        let (_, last, step) = &mut self.steps[place];
        if time > *last {
            *step = time - *last;
            *last = time;
        }
        self.end = self.end.max(*last + *step);
    }

    fn append(&mut self, data: Bytes, out: &mut impl Extend<Bytes>) {
        self.written += data.len() as u64;
        out.extend([data]);
    }

    fn patch(&mut self, offset: u64, data: &[u8]) {
        self.patches.push(Patch {
            offset,
            data: Bytes::copy_from_slice(data),
        });
    }
}

impl Cue {
    fn put(&self, out: &mut BytesMut) {
        put_master(out, id::CUE_POINT, 1, |out| {
            put_uint(out, id::CUE_TIME, self.time);
            put_master(out, id::CUE_TRACK_POSITIONS, 1, |out| {
                put_uint(out, id::CUE_TRACK, self.track);
                put_uint(out, id::CUE_CLUSTER_POSITION, self.cluster_at);
            });
        });
    }
}

/// The flags of a SimpleBlock that holds this block.
fn flags(block: &Block) -> u8 {
    u8::from(block.key) << 7 | u8::from(block.invisible) << 3 | u8::from(block.discardable)
}

/// A size in eight bytes.
fn size(value: u64) -> [u8; 8] {
    (value | 1 << 56).to_be_bytes()
}

fn put_seek(out: &mut BytesMut, target: u32, position: u64) {
    put_master(out, id::SEEK, 1, |out| {
        put_binary(out, id::SEEK_ID, &target.to_be_bytes());
        put_uint64(out, id::SEEK_POSITION, position);
    });
}

/// Padding of `len` bytes, head included; at least two.
fn put_void(out: &mut BytesMut, len: usize) {
    put_id(out, VOID);
    debug_assert!((2..128).contains(&len));
    out.put_u8(0x80 | (len - 2) as u8);
    out.put_bytes(0, len - 2);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demux::Demuxer;
    use crate::track::Track;

    fn tracks() -> TrackSet {
        let track = Track::aac()
            .with_number(1)
            .with_codec_private(Bytes::from_static(&[0x11, 0x90]))
            .unwrap();
        TrackSet::new(vec![track]).unwrap()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn patched(out: &[Bytes], patches: &[Patch]) -> Vec<u8> {
        let mut bytes = out.concat();
        for patch in patches {
            let start = usize::try_from(patch.offset).unwrap();
            bytes[start..start + patch.data.len()].copy_from_slice(&patch.data);
        }
        bytes
    }

    fn events(bytes: Vec<u8>) -> Vec<MkvEvent> {
        let mut demuxer = Demuxer::default();
        demuxer.push(Bytes::from(bytes));
        let mut events = Vec::new();
        while let Some(event) = demuxer.poll().unwrap() {
            events.push(event);
        }
        demuxer.finish().unwrap();
        events
    }

    fn write(frames: &[(i64, i64)]) -> Vec<u8> {
        let mut out: Vec<Bytes> = Vec::new();
        let mut file = FileWriter::new(SegmentInfo::new([1; 16]), &tracks(), &mut out).unwrap();
        for &(cluster, time) in frames {
            file.cluster(at(cluster), &mut out).unwrap();
            file.frame(&Frame::new(1, "x").pts(at(time)).key(), &mut out)
                .unwrap();
        }
        let patches = file.finish(&mut out);
        patched(&out, &patches)
    }

    #[test]
    fn every_size_is_known_and_time_starts_at_zero() {
        let bytes = write(&[(100_000, 100_000), (102_000, 102_040)]);
        // A segment of known size ends with its last byte, without `finish`.
        let events = events(bytes);
        assert_eq!(events.last(), Some(&MkvEvent::SegmentEnd));
        let times: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                MkvEvent::Block(block) => Some(block.timecode),
                _ => None,
            })
            .collect();
        assert_eq!(times, [0, 2_040]);
        let duration = events.iter().find_map(|event| match event {
            MkvEvent::Info(info) => info.duration,
            _ => None,
        });
        assert_eq!(duration, Some(4_080.0));
    }

    #[test]
    fn cues_point_at_clusters() {
        let bytes = write(&[(0, 0), (1_000, 1_000)]);
        let segment_at = bytes
            .windows(4)
            .position(|id| id == [0x18, 0x53, 0x80, 0x67])
            .unwrap()
            + 12;
        let cues = bytes
            .windows(4)
            .position(|id| id == [0x1C, 0x53, 0xBB, 0x6B])
            .unwrap();
        let positions: Vec<usize> = bytes[cues..]
            .windows(4)
            .filter_map(|window| match window {
                [0xF1, 0x81, at, _] => Some(usize::from(*at)),
                [0xF1, 0x82, high, low] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
                _ => None,
            })
            .collect();
        assert_eq!(positions.len(), 2);
        for position in positions {
            assert_eq!(bytes[segment_at + position..][..4], [0x1F, 0x43, 0xB6, 0x75]);
        }
    }

    #[test]
    fn a_body_with_a_header_for_each_fragment_becomes_one_file() {
        let body = [write(&[(5_000, 5_000)]), write(&[(7_000, 7_000)])].concat();
        let mut out: Vec<Bytes> = Vec::new();
        let mut file = FileWriter::new(SegmentInfo::new([1; 16]), &tracks(), &mut out).unwrap();
        for event in events(body) {
            file.event(&event, &mut out).unwrap();
        }
        let patches = file.finish(&mut out);
        let read = events(patched(&out, &patches));
        let headers = read
            .iter()
            .filter(|event| matches!(event, MkvEvent::EbmlHeader(_)))
            .count();
        let clusters = read
            .iter()
            .filter(|event| **event == MkvEvent::ClusterStart)
            .count();
        assert_eq!((headers, clusters), (1, 2));
    }

    #[test]
    fn frames_out_of_place_are_refused() {
        let mut out: Vec<Bytes> = Vec::new();
        let mut file = FileWriter::new(SegmentInfo::new([1; 16]), &tracks(), &mut out).unwrap();
        let frame = Frame::new(1, "x").pts(at(0));
        assert_eq!(
            file.frame(&frame, &mut out).unwrap_err().kind(),
            MkvErrorKind::NoFragment
        );
        file.cluster(at(0), &mut out).unwrap();
        let far = Frame::new(1, "x").pts(at(40_000));
        assert_eq!(
            file.frame(&far, &mut out).unwrap_err().kind(),
            MkvErrorKind::BlockTimeOutOfRange
        );
        assert_eq!(
            file.cluster(at(-1), &mut out).unwrap_err().kind(),
            MkvErrorKind::FragmentOutOfOrder
        );
    }
}
