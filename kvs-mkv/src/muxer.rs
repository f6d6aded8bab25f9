//! [`Muxer`]: writes the Matroska of one PutMedia session, without touching a payload.

use bytes::{BufMut, Bytes, BytesMut};

use crate::ebml::{
    UNKNOWN_SIZE, put_binary, put_element, put_float, put_id, put_master, put_size, put_uint, put_uint64,
    size_len,
};
use crate::error::{MkvError, MkvErrorKind};
use crate::frame::Frame;
use crate::schema::id;
use crate::tag::{END_OF_FRAGMENT, MAX_TAGS_PER_FRAGMENT, RESERVED_TAG_PREFIX, Tag};
use crate::time::{TimecodeScale, Timestamp};
use crate::track::{Track, TrackFormat};
use crate::track_set::TrackSet;

/// What the timecodes of fragments count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentTimecodes {
    /// The epoch of the frames' own timestamps: the service's ABSOLUTE.
    Absolute,
    /// The start of the session: the service's RELATIVE.
    ///
    /// `start` should be a whole number of scale units, so that producer timestamps come out exactly.
    Relative {
        /// The time of the session's timecode 0.
        start: Timestamp,
    },
}

/// What the Segment's Info says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// A random id of the session; not all zeros.
    pub uid: [u8; 16],
    /// The unit of every timecode.
    pub scale: TimecodeScale,
    /// Title.
    pub title: String,
    /// The library that wrote the stream.
    pub muxing_app: String,
    /// The application that wrote the stream.
    pub writing_app: String,
}

impl SegmentInfo {
    /// Millisecond timecodes, and this crate's name as that of the application.
    #[must_use]
    pub fn new(uid: [u8; 16]) -> Self {
        let app = concat!("kvs-mkv ", env!("CARGO_PKG_VERSION"));
        SegmentInfo {
            uid,
            scale: TimecodeScale::MILLISECOND,
            title: "Kinesis Video".to_owned(),
            muxing_app: app.to_owned(),
            writing_app: app.to_owned(),
        }
    }
}

/// Heads are cut from arenas of this size: one allocation for about three hundred frames.
const ARENA: usize = 4096;
/// `SimpleBlock` up to the payload: id, size, track, time, flags.
const BLOCK_HEAD: usize = 1 + 8 + BLOCK_FIELDS;
/// Track number, time and flags, which count towards a block's size.
const BLOCK_FIELDS: usize = 4;
/// `Cluster` with its `Timecode` and `Position`.
const CLUSTER_HEAD: usize = 18;

/// Writes one session: a header, then fragments of blocks, with tags between them.
///
/// Output goes into any collection of [`Bytes`]: small heads of the muxer's own and the frames' payloads as
/// they are, uncopied. The layout is the one the service is known to take: Segment and Clusters of unknown
/// size, SimpleBlocks, no Cues, no lacing.
///
/// ```
/// use bytes::Bytes;
/// use kvs_mkv::{FragmentTimecodes, Frame, Muxer, SegmentInfo, Timestamp, Track, TrackSet};
///
/// let track = Track::aac().with_number(1).with_codec_private(Bytes::from_static(&[0x11, 0x90]))?;
/// let tracks = TrackSet::new(vec![track])?;
/// let mut muxer = Muxer::new(SegmentInfo::new([7; 16]), &tracks, FragmentTimecodes::Absolute)?;
///
/// let mut out: Vec<Bytes> = Vec::new();
/// let at = Timestamp::from_millis(1_700_000_000_000);
/// muxer.header(&mut out);
/// assert_eq!(muxer.start_fragment(at, &mut out)?, 1_700_000_000_000);
/// muxer.block(&Frame::new(1, "raw aac").pts(at).key(), &mut out)?;
/// muxer.end_of_fragment(&mut out);
/// # Ok::<(), kvs_mkv::MkvError>(())
/// ```
#[derive(Debug)]
pub struct Muxer {
    header: Bytes,
    info: SegmentInfo,
    /// What is taken off every time in units before it goes on the wire.
    base: i64,
    /// One bit for each track number declared.
    declared: u128,
    /// Timecode of the open fragment in units since the base.
    cluster: Option<i64>,
    arena: BytesMut,
}

impl Muxer {
    /// A muxer for one session with these tracks.
    ///
    /// # Errors
    /// [`MkvErrorKind::TrackNotReady`] where the format of a track is not known.
    pub fn new(info: SegmentInfo, tracks: &TrackSet, timecodes: FragmentTimecodes) -> Result<Self, MkvError> {
        let mut header = BytesMut::with_capacity(512);
        put_ebml_header(&mut header, tracks);
        put_id(&mut header, id::SEGMENT);
        header.put_u8(UNKNOWN_SIZE);
        put_info(&mut header, &info);
        put_tracks(&mut header, tracks)?;
        let base = match timecodes {
            FragmentTimecodes::Absolute => 0,
            FragmentTimecodes::Relative { start } => info.scale.to_units(start),
        };
        let declared = tracks.iter().fold(0, |set, track| set | 1 << track.number);
        Ok(Muxer {
            header: header.freeze(),
            info,
            base,
            declared,
            cluster: None,
            arena: BytesMut::new(),
        })
    }

    /// What the session's Info says.
    #[must_use]
    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// Writes the session's header: EBML, Segment, Info, Tracks.
    pub fn header(&self, out: &mut impl Extend<Bytes>) {
        out.extend([self.header.clone()]);
    }

    /// Opens a fragment and gives its timecode in scale units: what ACKs echo.
    ///
    /// # Errors
    /// [`MkvErrorKind::FragmentOutOfOrder`] where the timecode does not rise, or is before the session's
    /// start.
    pub fn start_fragment(
        &mut self,
        timecode: Timestamp,
        out: &mut impl Extend<Bytes>,
    ) -> Result<i64, MkvError> {
        let units = self.units(timecode);
        if units < 0 || self.cluster.is_some_and(|previous| units <= previous) {
            let after = self
                .cluster
                .map_or_else(|| "the start".to_owned(), |units| units.to_string());
            return Err(MkvError::new(MkvErrorKind::FragmentOutOfOrder)
                .with_detail(format!("fragment timecode {units} is not after {after}")));
        }
        self.cluster = Some(units);
        let head = self.head(CLUSTER_HEAD);
        put_id(head, id::CLUSTER);
        head.put_u8(UNKNOWN_SIZE);
        put_uint64(head, id::CLUSTER_TIMECODE, units as u64);
        put_uint(head, id::CLUSTER_POSITION, 0);
        let head = head.split().freeze();
        out.extend([head]);
        Ok(units)
    }

    /// Writes a frame into the open fragment: a head, then the payload itself.
    ///
    /// # Errors
    /// [`MkvErrorKind::NoFragment`] before the first fragment, [`MkvErrorKind::UnknownTrack`] for a track
    /// that was not declared, [`MkvErrorKind::BlockTimeOutOfRange`] for a time before the fragment's or
    /// more than 32,767 units after it.
    #[inline]
    pub fn block(&mut self, frame: &Frame, out: &mut impl Extend<Bytes>) -> Result<(), MkvError> {
        let Some(cluster) = self.cluster else {
            return Err(MkvError::new(MkvErrorKind::NoFragment).on_track(frame.track));
        };
        if frame.track > 126 || self.declared >> frame.track & 1 == 0 {
            return Err(MkvError::new(MkvErrorKind::UnknownTrack).on_track(frame.track));
        }
        let relative = self.units(frame.pts).saturating_sub(cluster);
        let Some(relative) = i16::try_from(relative).ok().filter(|&relative| relative >= 0) else {
            return Err(MkvError::new(MkvErrorKind::BlockTimeOutOfRange)
                .with_detail(format!(
                    "block is {relative} units after its fragment, allowed are 0 to 32767"
                ))
                .on_track(frame.track));
        };
        let mut bytes = [0; BLOCK_HEAD];
        bytes[0] = id::SIMPLE_BLOCK as u8;
        // The size takes eight bytes always: a length marker of 1, then seven bytes.
        let size = (frame.data.len() + BLOCK_FIELDS) as u64 | 1 << 56;
        bytes[1..9].copy_from_slice(&size.to_be_bytes());
        bytes[9] = 0x80 | frame.track;
        bytes[10..12].copy_from_slice(&relative.to_be_bytes());
        bytes[12] = frame.flags.wire_bits();
        let head = self.head(BLOCK_HEAD);
        head.put_slice(&bytes);
        let head = head.split().freeze();
        out.extend([head, frame.data.clone()]);
        Ok(())
    }

    /// Writes tags after the open fragment's blocks: the service attaches them to that fragment.
    ///
    /// From the first of the service's own names on, tags share one Tag element: an event with what goes
    /// with it, as [`FragmentMetadata`](crate::FragmentMetadata) orders them.
    ///
    /// # Errors
    /// [`MkvErrorKind::NoFragment`] before the first fragment; [`MkvErrorKind::InvalidTag`] for more than
    /// [`MAX_TAGS_PER_FRAGMENT`] or one over its limits. An empty list writes nothing.
    pub fn tags(&mut self, tags: &[Tag], out: &mut impl Extend<Bytes>) -> Result<(), MkvError> {
        if tags.is_empty() {
            return Ok(());
        }
        if self.cluster.is_none() {
            return Err(MkvError::new(MkvErrorKind::NoFragment));
        }
        if tags.len() > MAX_TAGS_PER_FRAGMENT {
            return Err(MkvError::new(MkvErrorKind::InvalidTag)
                .with_detail(format!("{} tags, at most {MAX_TAGS_PER_FRAGMENT}", tags.len())));
        }
        tags.iter().try_for_each(Tag::check)?;
        // An event and the pairs that go with it share a Tag, at the end of the list; others have one each.
        let is_event = |tag: &Tag| tag.name.starts_with(RESERVED_TAG_PREFIX);
        let (own, events) = tags.split_at(tags.iter().position(is_event).unwrap_or(tags.len()));
        let mut data = BytesMut::with_capacity(512);
        put_master(&mut data, id::TAGS, 8, |data| {
            for tag in own {
                put_tag(data, std::slice::from_ref(tag));
            }
            if !events.is_empty() {
                put_tag(data, events);
            }
        });
        out.extend([data.freeze()]);
        Ok(())
    }

    /// Writes the tag that closes the fragment at once; the next one needs
    /// [`start_fragment`](Self::start_fragment) as ever.
    pub fn end_of_fragment(&mut self, out: &mut impl Extend<Bytes>) {
        let mut data = BytesMut::with_capacity(128);
        let tag = Tag {
            name: END_OF_FRAGMENT.to_owned(),
            value: String::new(),
        };
        put_master(&mut data, id::TAGS, 8, |data| put_tag(data, &[tag]));
        out.extend([data.freeze()]);
    }

    fn units(&self, time: Timestamp) -> i64 {
        self.info.scale.to_units(time).saturating_sub(self.base)
    }

    /// The arena with room for `len` bytes and nothing in it.
    fn head(&mut self, len: usize) -> &mut BytesMut {
        if self.arena.capacity() < len {
            self.arena = BytesMut::with_capacity(ARENA);
        }
        &mut self.arena
    }
}

/// 40 bytes; the sizes are fixed so that readers find what the service is known to take.
pub(crate) fn put_ebml_header(out: &mut BytesMut, tracks: &TrackSet) {
    // CodecDelay and SeekPreRoll came with version 4; without them version 2 is all we use (RFC 9559 §27).
    let needs_v4 = tracks.iter().any(|track| track.codec_delay().is_some());
    let version = if needs_v4 { 4 } else { 2 };
    put_master(out, id::EBML, 1, |out| {
        put_uint(out, id::EBML_VERSION, 1);
        put_uint(out, id::EBML_READ_VERSION, 1);
        put_uint(out, id::EBML_MAX_ID_LENGTH, 4);
        put_uint(out, id::EBML_MAX_SIZE_LENGTH, 8);
        put_binary(out, id::DOC_TYPE, b"matroska");
        put_uint(out, id::DOC_TYPE_VERSION, version);
        put_uint(out, id::DOC_TYPE_READ_VERSION, 2);
    });
}

fn put_info(out: &mut BytesMut, info: &SegmentInfo) {
    let len = if info.title.len() + info.muxing_app.len() + info.writing_app.len() < 8_192 {
        2
    } else {
        8
    };
    put_master(out, id::INFO, len, |out| put_info_fields(out, info));
}

pub(crate) fn put_info_fields(out: &mut BytesMut, info: &SegmentInfo) {
    put_binary(out, id::SEGMENT_UID, &info.uid);
    put_uint64(out, id::TIMECODE_SCALE, info.scale.as_nanos());
    put_binary(out, id::TITLE, info.title.as_bytes());
    put_binary(out, id::MUXING_APP, info.muxing_app.as_bytes());
    put_binary(out, id::WRITING_APP, info.writing_app.as_bytes());
}

pub(crate) fn put_tracks(out: &mut BytesMut, tracks: &TrackSet) -> Result<(), MkvError> {
    let mut entries = BytesMut::with_capacity(256);
    for track in tracks {
        let format = track
            .format
            .as_ref()
            .ok_or_else(|| MkvError::new(MkvErrorKind::TrackNotReady).on_track(track.number))?;
        put_master(&mut entries, id::TRACK_ENTRY, 4, |out| {
            put_track(out, track, format);
        });
    }
    put_element(out, id::TRACKS, &entries, 4);
    Ok(())
}

fn put_track(out: &mut BytesMut, track: &Track, format: &TrackFormat) {
    put_uint(out, id::TRACK_NUMBER, u64::from(track.number));
    put_uint64(out, id::TRACK_UID, track.uid);
    put_uint(out, id::TRACK_TYPE, u64::from(track.kind.matroska_type()));
    put_binary(out, id::NAME, track.name.as_bytes());
    put_binary(out, id::CODEC_ID, track.codec.codec_id().as_bytes());
    if let Some((delay, pre_roll)) = track.codec_delay() {
        put_uint(out, id::CODEC_DELAY, delay);
        put_uint(out, id::SEEK_PRE_ROLL, pre_roll);
    }
    if let Some(video) = format.video {
        put_master(out, id::VIDEO, 4, |out| {
            put_binary(out, id::PIXEL_WIDTH, &video.width.to_be_bytes());
            put_binary(out, id::PIXEL_HEIGHT, &video.height.to_be_bytes());
        });
    }
    if let Some(audio) = format.audio {
        put_master(out, id::AUDIO, 4, |out| {
            put_float(out, id::SAMPLING_FREQUENCY, audio.sample_rate);
            if let Some(rate) = audio.output_sample_rate {
                put_float(out, id::OUTPUT_SAMPLING_FREQUENCY, rate);
            }
            put_uint(out, id::CHANNELS, u64::from(audio.channels));
            if let Some(depth) = audio.bit_depth {
                put_uint(out, id::BIT_DEPTH, u64::from(depth));
            }
        });
    }
    if !format.codec_private.is_empty() {
        let len = size_len(format.codec_private.len() as u64);
        put_id(out, id::CODEC_PRIVATE);
        put_size(out, format.codec_private.len() as u64, len);
        out.put_slice(&format.codec_private);
    }
}

/// One Tag of these SimpleTags; sizes in eight bytes throughout.
pub(crate) fn put_tag(out: &mut BytesMut, tags: &[Tag]) {
    put_master(out, id::TAG, 8, |out| {
        for tag in tags {
            put_master(out, id::SIMPLE_TAG, 8, |out| {
                put_element(out, id::TAG_NAME, tag.name.as_bytes(), 8);
                put_element(out, id::TAG_STRING, tag.value.as_bytes(), 8);
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameFlags;
    use crate::track::{AudioFormat, VideoFormat};

    fn tracks() -> TrackSet {
        let video = Track::h264().with_format(TrackFormat {
            codec_private: Bytes::from_static(&[1, 2, 3]),
            video: Some(VideoFormat {
                width: 1280,
                height: 720,
            }),
            audio: None,
        });
        let audio = Track::aac().with_format(TrackFormat {
            codec_private: Bytes::from_static(&[0x11, 0x90]),
            video: None,
            audio: Some(AudioFormat::new(48_000.0, 2)),
        });
        TrackSet::new(vec![video, audio]).unwrap()
    }

    fn info() -> SegmentInfo {
        SegmentInfo {
            uid: [0x55; 16],
            scale: TimecodeScale::MILLISECOND,
            title: "Kinesis Video SDK".into(),
            muxing_app: "Kinesis Video SDK 1.1.0".into(),
            writing_app: "Kinesis Video SDK 1.1.0".into(),
        }
    }

    fn muxer(timecodes: FragmentTimecodes) -> Muxer {
        Muxer::new(info(), &tracks(), timecodes).unwrap()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_header_is_the_documented_layout_byte_for_byte() {
        let mut out = Vec::new();
        muxer(FragmentTimecodes::Absolute).header(&mut out);
        let header = out.concat();

        let ebml = b"\x1A\x45\xDF\xA3\xA3\x42\x86\x81\x01\x42\xF7\x81\x01\x42\xF2\x81\x04\x42\xF3\x81\x08\
            \x42\x82\x88matroska\x42\x87\x81\x02\x42\x85\x81\x02";
        assert_eq!(ebml.len(), 40);
        let mut expected = ebml.to_vec();
        expected.extend_from_slice(b"\x18\x53\x80\x67\xFF");
        let info_at = expected.len();
        expected.extend_from_slice(b"\x15\x49\xA9\x66\x40\x67");
        expected.extend_from_slice(b"\x73\xA4\x90UUUUUUUUUUUUUUUU");
        expected.extend_from_slice(b"\x2A\xD7\xB1\x88\x00\x00\x00\x00\x00\x0F\x42\x40");
        expected.extend_from_slice(b"\x7B\xA9\x91Kinesis Video SDK");
        expected.extend_from_slice(b"\x4D\x80\x97Kinesis Video SDK 1.1.0");
        expected.extend_from_slice(b"\x57\x41\x97Kinesis Video SDK 1.1.0");
        // The size the layout is documented to have without a client id.
        assert_eq!(expected.len() - info_at, 109);
        let video = b"\xD7\x81\x01\x73\xC5\x88\x00\x00\x00\x00\x00\x00\x00\x01\x83\x81\x01\
            \x53\x6E\x8Fkvs_video_track\x86\x8FV_MPEG4/ISO/AVC\
            \xE0\x10\x00\x00\x08\xB0\x82\x05\x00\xBA\x82\x02\xD0\x63\xA2\x83\x01\x02\x03";
        let audio = b"\xD7\x81\x02\x73\xC5\x88\x00\x00\x00\x00\x00\x00\x00\x02\x83\x81\x02\
            \x53\x6E\x8Fkvs_audio_track\x86\x85A_AAC\
            \xE1\x10\x00\x00\x0D\xB5\x88\x40\xE7\x70\x00\x00\x00\x00\x00\x9F\x81\x02\x63\xA2\x82\x11\x90";
        let total = video.len() + audio.len() + 10;
        expected.extend_from_slice(&[0x16, 0x54, 0xAE, 0x6B, 0x10, 0, 0, total as u8]);
        expected.extend_from_slice(&[0xAE, 0x10, 0, 0, video.len() as u8]);
        expected.extend_from_slice(video);
        expected.extend_from_slice(&[0xAE, 0x10, 0, 0, audio.len() as u8]);
        expected.extend_from_slice(audio);
        assert_eq!(header, expected);
    }

    #[test]
    fn a_fragment_is_the_documented_layout_byte_for_byte() {
        let mut out: Vec<Bytes> = Vec::new();
        let mut muxer = muxer(FragmentTimecodes::Absolute);
        assert_eq!(
            muxer.start_fragment(at(0x0123_4567), &mut out).unwrap(),
            0x0123_4567
        );
        muxer
            .block(&Frame::video("abc").pts(at(0x0123_4567)).key(), &mut out)
            .unwrap();
        let audio = Frame::audio("d")
            .pts(at(0x0123_4567 + 258))
            .flags(FrameFlags::DISCARDABLE);
        muxer.block(&audio, &mut out).unwrap();
        muxer.tags(&[Tag::new("n", "vv").unwrap()], &mut out).unwrap();
        muxer.end_of_fragment(&mut out);

        let mut expected =
            b"\x1F\x43\xB6\x75\xFF\xE7\x88\x00\x00\x00\x00\x01\x23\x45\x67\xA7\x81\x00".to_vec();
        assert_eq!(expected.len(), 18);
        expected.extend_from_slice(b"\xA3\x01\x00\x00\x00\x00\x00\x00\x07\x81\x00\x00\x80abc");
        expected.extend_from_slice(b"\xA3\x01\x00\x00\x00\x00\x00\x00\x05\x82\x01\x02\x01d");
        expected.extend_from_slice(b"\x12\x54\xC3\x67\x01\x00\x00\x00\x00\x00\x00\x2b");
        expected.extend_from_slice(b"\x73\x73\x01\x00\x00\x00\x00\x00\x00\x21");
        expected.extend_from_slice(b"\x67\xC8\x01\x00\x00\x00\x00\x00\x00\x17");
        expected.extend_from_slice(b"\x45\xA3\x01\x00\x00\x00\x00\x00\x00\x01n");
        expected.extend_from_slice(b"\x44\x87\x01\x00\x00\x00\x00\x00\x00\x02vv");
        let end_at = expected.len();
        assert_eq!(out.concat()[..end_at], expected);
        // The size the end-of-fragment tag is documented to have.
        assert_eq!(out.concat().len() - end_at, 84);
    }

    #[test]
    fn payloads_are_passed_through_uncopied() {
        let mut out: Vec<Bytes> = Vec::new();
        let mut muxer = muxer(FragmentTimecodes::Absolute);
        muxer.start_fragment(at(0), &mut out).unwrap();
        let frame = Frame::video(vec![1; 1000]).key();
        muxer.block(&frame, &mut out).unwrap();
        assert_eq!(out.last().unwrap().as_ptr(), frame.data.as_ptr());
    }

    #[test]
    fn relative_timecodes_count_from_the_start() {
        let mut out: Vec<Bytes> = Vec::new();
        let mut muxer = muxer(FragmentTimecodes::Relative { start: at(5_000) });
        assert_eq!(muxer.start_fragment(at(5_000), &mut out).unwrap(), 0);
        assert_eq!(muxer.start_fragment(at(7_500), &mut out).unwrap(), 2_500);
        let error = muxer.start_fragment(at(7_500), &mut out).unwrap_err();
        assert_eq!(error.kind(), MkvErrorKind::FragmentOutOfOrder);
        let mut early = self::muxer(FragmentTimecodes::Relative { start: at(5_000) });
        assert!(early.start_fragment(at(4_999), &mut out).is_err());
    }

    #[test]
    fn blocks_out_of_place_are_refused_and_write_nothing() {
        let mut out: Vec<Bytes> = Vec::new();
        let mut muxer = muxer(FragmentTimecodes::Absolute);
        let kind = |muxer: &mut Muxer, frame: Frame| {
            let mut out: Vec<Bytes> = Vec::new();
            let error = muxer.block(&frame, &mut out).unwrap_err();
            assert!(out.is_empty());
            error.kind()
        };
        assert_eq!(kind(&mut muxer, Frame::video("x")), MkvErrorKind::NoFragment);
        muxer.start_fragment(at(100), &mut out).unwrap();
        assert_eq!(
            kind(&mut muxer, Frame::new(3, "x").pts(at(100))),
            MkvErrorKind::UnknownTrack
        );
        assert_eq!(
            kind(&mut muxer, Frame::new(255, "x").pts(at(100))),
            MkvErrorKind::UnknownTrack
        );
        assert_eq!(
            kind(&mut muxer, Frame::video("x").pts(at(99))),
            MkvErrorKind::BlockTimeOutOfRange
        );
        assert_eq!(
            kind(&mut muxer, Frame::video("x").pts(at(32_868))),
            MkvErrorKind::BlockTimeOutOfRange
        );
        assert_eq!(
            kind(&mut muxer, Frame::video("x").pts(Timestamp::MAX)),
            MkvErrorKind::BlockTimeOutOfRange
        );
        assert!(muxer.block(&Frame::video("x").pts(at(32_867)), &mut out).is_ok());
    }

    #[test]
    fn a_track_that_is_not_ready_is_refused_by_number() {
        let set = TrackSet::new(vec![Track::aac()]).unwrap();
        let error = Muxer::new(info(), &set, FragmentTimecodes::Absolute).unwrap_err();
        assert_eq!(
            (error.kind(), error.track()),
            (MkvErrorKind::TrackNotReady, Some(2))
        );
    }

    #[test]
    fn more_tags_than_the_quota_are_refused() {
        let mut out: Vec<Bytes> = Vec::new();
        let mut muxer = muxer(FragmentTimecodes::Absolute);
        let tags = vec![Tag::new("n", "v").unwrap(); 11];
        assert_eq!(
            muxer.tags(&tags[..1], &mut out).unwrap_err().kind(),
            MkvErrorKind::NoFragment
        );
        muxer.start_fragment(at(1), &mut out).unwrap();
        assert_eq!(
            muxer.tags(&tags, &mut out).unwrap_err().kind(),
            MkvErrorKind::InvalidTag
        );
        assert!(muxer.tags(&tags[..10], &mut out).is_ok());
    }
}
