//! What H.264 and H.265 share: frames of NAL units, with parameter sets among them.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::adapter::Adapted;
use super::h264::{self, AvcConfig};
use super::h265::{self, HevcConfig};
use super::nal::{self, LengthSize};
use crate::error::{MkvError, MkvErrorKind};
use crate::frame::{Frame, FrameFlags};
use crate::track::TrackFormat;

/// How the NAL units of a frame are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    AnnexB,
    LengthPrefixed,
}

/// What a NAL unit is, as far as adaptation cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitKind {
    /// A parameter set; sets of one rank replace each other by id.
    Set(SetRank),
    /// Part of a picture a decoder can start at.
    RandomAccess,
    Other,
}

/// The kinds of parameter sets in the order the configuration records want them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SetRank {
    Vps,
    Sps,
    Pps,
    SpsExtension,
}

/// The configuration records of the two codecs.
#[derive(Clone, Debug)]
pub(crate) enum Config {
    Avc(AvcConfig),
    Hevc(HevcConfig),
}

impl Config {
    fn kind(&self, unit: &[u8]) -> UnitKind {
        match self {
            Config::Avc(_) => h264::unit_kind(unit),
            Config::Hevc(_) => h265::unit_kind(unit),
        }
    }

    fn sets(&mut self, rank: SetRank) -> &mut Vec<Bytes> {
        match (self, rank) {
            (Config::Avc(config), SetRank::Pps) => &mut config.pps,
            (Config::Avc(config), SetRank::SpsExtension) => &mut config.sps_extensions,
            (Config::Avc(config), _) => &mut config.sps,
            (Config::Hevc(config), SetRank::Vps) => &mut config.vps,
            (Config::Hevc(config), SetRank::Pps) => &mut config.pps,
            (Config::Hevc(config), _) => &mut config.sps,
        }
    }

    fn set_id(&self, rank: SetRank, unit: &[u8]) -> Option<u32> {
        match self {
            Config::Avc(_) => h264::set_id(rank, unit),
            Config::Hevc(_) => h265::set_id(rank, unit),
        }
    }

    fn is_complete(&self) -> bool {
        match self {
            Config::Avc(config) => !config.sps.is_empty() && !config.pps.is_empty(),
            Config::Hevc(config) => config.is_complete(),
        }
    }

    fn length_size(&self) -> LengthSize {
        match self {
            Config::Avc(config) => config.length_size,
            Config::Hevc(config) => config.length_size,
        }
    }

    fn format(&self) -> Result<TrackFormat, MkvError> {
        match self {
            Config::Avc(config) => config.format(),
            Config::Hevc(config) => config.format(),
        }
    }

    /// Puts a set in place of the one of its rank and id, or beside the others.
    fn merge(&mut self, rank: SetRank, unit: &[u8]) {
        let id = self.set_id(rank, unit);
        let same = |config: &Config, other: &[u8]| id.is_some() && config.set_id(rank, other) == id;
        let copy = Bytes::copy_from_slice(unit);
        let place = {
            let sets = self.sets(rank).clone();
            sets.iter().position(|other| same(self, other) || other == unit)
        };
        let sets = self.sets(rank);
        match place {
            Some(place) => sets[place] = copy,
            None => sets.push(copy),
        }
    }
}

/// Adapts the frames of one H.264 or H.265 track.
#[derive(Debug)]
pub(crate) struct NalAdapter {
    config: Config,
    record: Option<Bytes>,
    /// A change seen at a frame that was no key frame: told at the next key frame.
    untold: Option<TrackFormat>,
    /// The form of the last frame that could only be of one.
    form: Option<Form>,
    /// What the walk over the frame at hand found; kept for its capacity.
    walk: Walk,
    /// Where copied frames are written; empty between frames.
    arena: BytesMut,
}

impl NalAdapter {
    pub(crate) fn h264(record: Option<&Bytes>) -> Self {
        let config = record.and_then(|record| AvcConfig::parse(record).ok());
        let given = config.is_some();
        NalAdapter::new(Config::Avc(config.unwrap_or_default()), record.filter(|_| given))
    }

    pub(crate) fn h265(record: Option<&Bytes>) -> Self {
        let config = record.and_then(|record| HevcConfig::parse(record).ok());
        let given = config.is_some();
        NalAdapter::new(Config::Hevc(config.unwrap_or_default()), record.filter(|_| given))
    }

    fn new(config: Config, record: Option<&Bytes>) -> Self {
        NalAdapter {
            config,
            record: record.cloned(),
            untold: None,
            form: None,
            walk: Walk::default(),
            arena: BytesMut::new(),
        }
    }

    pub(crate) fn codec_private(&self) -> Option<&Bytes> {
        self.record.as_ref()
    }

    pub(crate) fn adapt(&mut self, mut frame: Frame) -> Result<Adapted, MkvError> {
        if frame.data.is_empty() {
            return Err(MkvError::new(MkvErrorKind::InvalidBitstream).with_detail("frame without data"));
        }
        let form = self.walk(&frame.data)?;
        let contains_idr = self.walk.random_access;
        let known_before = self.record.is_some();
        if self.walk.has_sets
            && let Some(format) = self.learn(&frame.data)?
        {
            self.record = Some(format.codec_private.clone());
            self.untold = Some(format);
        }
        if self.record.is_none() {
            return Err(MkvError::new(MkvErrorKind::CodecPrivateMissing));
        }
        let format = if frame.is_key() || !known_before {
            self.untold.take()
        } else {
            None
        };
        if format.is_some() && known_before {
            frame.flags.insert(FrameFlags::NEW_FORMAT);
        }
        if form == Form::AnnexB {
            frame.data = self.length_prefixed(frame.data)?;
        }
        Ok(Adapted {
            frame,
            format,
            contains_idr,
        })
    }

    /// Walks over the units of a frame and says how it is formed.
    fn walk(&mut self, data: &[u8]) -> Result<Form, MkvError> {
        let size = self.config.length_size();
        let form = self.form_of(data, size);
        let NalAdapter { config, walk, .. } = self;
        walk.start();
        match form {
            Form::AnnexB => nal::walk_annexb(data, |unit| walk.take(config.kind(&data[unit.clone()]), unit)),
            Form::LengthPrefixed => {
                for unit in nal::length_prefixed_units(data, size) {
                    let unit = unit?;
                    walk.take(config.kind(&data[unit.clone()]), unit);
                }
            }
        }
        Ok(form)
    }

    fn form_of(&mut self, data: &[u8], size: LengthSize) -> Form {
        if !nal::starts_with_start_code(data) {
            self.form = Some(Form::LengthPrefixed);
            Form::LengthPrefixed
        } else if !nal::is_length_prefixed(data, size) {
            self.form = Some(Form::AnnexB);
            Form::AnnexB
        } else {
            // The length of a first unit of 256 to 511 bytes looks like a start code: go by the frames
            // before, else by whether the caller gave a configuration record.
            let by_record = if self.record.is_some() {
                Form::LengthPrefixed
            } else {
                Form::AnnexB
            };
            self.form.unwrap_or(by_record)
        }
    }

    /// Takes in the parameter sets of the frame; `Some` where they make another format.
    ///
    /// Only a new sequence (or video) parameter set makes one: picture parameter sets that change on the way
    /// stay in band, where every decoder finds them.
    fn learn(&mut self, data: &[u8]) -> Result<Option<TrackFormat>, MkvError> {
        let mut sequence_changed = false;
        for index in 0..self.walk.units.len() {
            let unit = &data[self.walk.units[index].clone()];
            let UnitKind::Set(rank) = self.config.kind(unit) else {
                continue;
            };
            if self.config.sets(rank).iter().any(|known| known == unit) {
                continue;
            }
            self.config.merge(rank, unit);
            sequence_changed |= rank != SetRank::Pps;
        }
        let wanted = sequence_changed || self.record.is_none();
        if !wanted || !self.config.is_complete() {
            return Ok(None);
        }
        self.config.format().map(Some)
    }

    fn length_prefixed(&mut self, data: Bytes) -> Result<Bytes, MkvError> {
        let size = self.config.length_size();
        nal::check_length(self.walk.longest, size)?;
        let fits = size == LengthSize::Four && self.walk.four_byte_codes && self.walk.end == data.len();
        let data = if fits {
            match nal::to_length_prefixed_in_place(data, &self.walk.units) {
                Ok(converted) => return Ok(converted),
                Err(data) => data,
            }
        } else {
            data
        };
        let len = self.walk.bytes + self.walk.units.len() * size.bytes();
        if self.arena.capacity() < len {
            self.arena.reserve(arena_for(len));
        }
        nal::put_length_prefixed(&mut self.arena, &data, &self.walk.units, size);
        Ok(self.arena.split().freeze())
    }
}

/// What one walk over the units of a frame finds.
#[derive(Debug, Default)]
struct Walk {
    units: Vec<Range<usize>>,
    has_sets: bool,
    random_access: bool,
    /// Bytes of all units.
    bytes: usize,
    longest: usize,
    /// Whether the units follow one another with a four-byte start code before each.
    four_byte_codes: bool,
    /// The end of the last unit.
    end: usize,
}

impl Walk {
    fn start(&mut self) {
        self.units.clear();
        let units = std::mem::take(&mut self.units);
        *self = Walk {
            units,
            four_byte_codes: true,
            ..Walk::default()
        };
    }

    #[inline]
    fn take(&mut self, kind: UnitKind, unit: Range<usize>) {
        self.has_sets |= matches!(kind, UnitKind::Set(_));
        self.random_access |= kind == UnitKind::RandomAccess;
        self.bytes += unit.len();
        self.longest = self.longest.max(unit.len());
        self.four_byte_codes &= unit.start == self.end + 4;
        self.end = unit.end;
        self.units.push(unit);
    }
}

/// Frames are written one after the other into shared buffers: an allocation then serves several, and is
/// used again once its frames are gone.
const ARENA: usize = 64 << 10;

/// The size of the buffer to allocate where a frame of `len` bytes has no room.
fn arena_for(len: usize) -> usize {
    // Two frames at least, and few sizes, so that a buffer whose frames are gone fits the next ones.
    (2 * len).next_power_of_two().max(ARENA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::{Track, VideoFormat};
    use crate::{TrackAdapter, codec::h264::nal_type};

    const SPS_480P: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x3d, 0xa1, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03,
        0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
    ];
    const SPS_720P: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

    fn annexb(units: &[&[u8]]) -> Vec<u8> {
        units
            .iter()
            .flat_map(|unit| [&[0, 0, 0, 1], *unit].concat())
            .collect()
    }

    fn key(units: &[&[u8]]) -> Frame {
        Frame::video(annexb(units)).key()
    }

    #[test]
    fn a_key_frame_with_parameter_sets_tells_the_format_once() {
        let mut adapter = TrackAdapter::new(&Track::h264());
        let slice = [nal_type::IDR_SLICE | 0x60, 0x88, 0x84];
        let first = adapter
            .adapt(key(&[&[9, 0xf0], SPS_720P, PPS, &[6, 5, 1], &slice]))
            .unwrap();
        assert!(first.contains_idr);
        assert_eq!(
            first.format.unwrap().video,
            Some(VideoFormat {
                width: 1280,
                height: 720
            })
        );
        assert!(!first.frame.flags.contains(FrameFlags::NEW_FORMAT));
        let again = adapter.adapt(key(&[SPS_720P, PPS, &slice])).unwrap();
        assert_eq!(again.format, None);
        assert_eq!(
            nal::to_annexb(&again.frame.data, LengthSize::Four).unwrap(),
            annexb(&[SPS_720P, PPS, &slice])
        );
    }

    #[test]
    fn frames_before_the_parameter_sets_are_told_apart_from_broken_ones() {
        let mut adapter = TrackAdapter::new(&Track::h264());
        let kind = |result: Result<Adapted, MkvError>| result.unwrap_err().kind();
        assert_eq!(
            kind(adapter.adapt(Frame::video(annexb(&[&[0x41, 1]])))),
            MkvErrorKind::CodecPrivateMissing
        );
        assert_eq!(
            kind(adapter.adapt(Frame::video(vec![9, 9, 9, 9, 9]))),
            MkvErrorKind::InvalidBitstream
        );
        assert_eq!(
            kind(adapter.adapt(Frame::video(vec![]))),
            MkvErrorKind::InvalidBitstream
        );
    }

    #[test]
    fn a_new_sps_is_reported_at_a_key_frame() {
        let mut adapter = TrackAdapter::new(&Track::h264());
        adapter.adapt(key(&[SPS_480P, PPS, &[0x65, 1]])).unwrap();
        let between = adapter
            .adapt(Frame::video(annexb(&[SPS_720P, PPS, &[0x41, 1]])))
            .unwrap();
        assert_eq!(between.format, None);
        let changed = adapter.adapt(key(&[&[0x65, 1]])).unwrap();
        assert_eq!(
            changed.format.unwrap().video,
            Some(VideoFormat {
                width: 1280,
                height: 720
            })
        );
        assert!(changed.frame.flags.contains(FrameFlags::NEW_FORMAT));
    }

    #[test]
    fn a_picture_parameter_set_that_changes_stays_in_band() {
        let mut adapter = TrackAdapter::new(&Track::h264());
        adapter.adapt(key(&[SPS_720P, PPS, &[0x65, 1]])).unwrap();
        let other_pps = [0x68, 0xee, 0x3c, 0x80];
        let next = adapter.adapt(key(&[SPS_720P, &other_pps, &[0x65, 1]])).unwrap();
        assert_eq!(next.format, None);
    }

    #[test]
    fn length_prefixed_frames_pass_without_a_copy() {
        let record = {
            let mut adapter = TrackAdapter::new(&Track::h264());
            adapter
                .adapt(key(&[SPS_720P, PPS, &[0x65, 1]]))
                .unwrap()
                .format
                .unwrap()
                .codec_private
        };
        let track = Track::h264().with_codec_private(record).unwrap();
        let mut adapter = TrackAdapter::new(&track);
        // A unit of 0x165 bytes: its length looks like a three-byte start code.
        let mut data = vec![0, 0, 1, 0x65, 0x65];
        data.resize(4 + 0x165, 7);
        let frame = Frame::video(data).key();
        let address = frame.data.as_ptr();
        let adapted = adapter.adapt(frame).unwrap();
        assert_eq!(adapted.frame.data.as_ptr(), address);
        assert!(adapted.contains_idr);
    }

    #[test]
    fn three_byte_start_codes_grow_into_lengths() {
        let mut adapter = TrackAdapter::new(&Track::h264());
        let mut data = annexb(&[SPS_720P, PPS]);
        data.extend_from_slice(&[0, 0, 1, 0x65, 1, 0, 0, 1, 0x65, 2, 0, 0, 0]);
        let adapted = adapter.adapt(Frame::video(data).key()).unwrap();
        assert!(
            adapted
                .frame
                .data
                .ends_with(&[0, 0, 0, 2, 0x65, 1, 0, 0, 0, 2, 0x65, 2])
        );
    }
}
