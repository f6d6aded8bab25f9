//! The rules of ingestion over a session's body: Matroska events in, fragments and violations out.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kvs_mkv::{
    Block, DemuxLimits, Demuxer, END_OF_FRAGMENT, MkvError, MkvEvent, RESERVED_TAG_PREFIX, SimpleTag,
    TimecodeScale, Timestamp, TrackEntry,
};

use super::config::IngestLimits;
use super::ledger::TimecodeType;
use super::rule::{IngestRule, Violation};
use super::trail::Trail;

/// Tags of the reserved name space that a producer may send ("Using streaming metadata" and "Image generation"
/// in the developer guide).
const PRODUCER_TAGS: [&str; 4] = [
    END_OF_FRAGMENT,
    "AWS_KINESISVIDEO_NOTIFICATION",
    "AWS_KINESISVIDEO_IMAGE_GENERATION",
    "AWS_KINESISVIDEO_IMAGE_PREFIX",
];

/// What a session declares before its first fragment.
#[derive(Debug, Clone)]
pub(crate) struct SessionHeader {
    pub(crate) scale: TimecodeScale,
    pub(crate) tracks: Vec<TrackEntry>,
}

/// What happened in the body.
#[derive(Debug)]
pub(crate) enum IngestEvent {
    /// The tracks are known.
    Header(Arc<SessionHeader>),
    /// A cluster's timecode is known.
    FragmentStart {
        timecode: i64,
        producer: Timestamp,
    },
    Frame(Block),
    /// Tags of the fragment under way, or of none before the first.
    Tags(Vec<SimpleTag>),
    /// The fragment under way is whole.
    FragmentEnd {
        bytes: u64,
        duration: Duration,
    },
}

/// The fragment under way.
#[derive(Debug)]
struct Open {
    /// Offset in the body of its Cluster element.
    begins_at: u64,
    /// Not yet known between the Cluster's head and its Timecode.
    timecode: Option<i64>,
    /// Earliest and latest block.
    span: Option<(i64, i64)>,
    seen: BTreeSet<u64>,
    tags: usize,
}

/// Reads one body.
#[derive(Debug)]
pub(crate) struct Ingest {
    demuxer: Demuxer,
    limits: IngestLimits,
    timecodes: TimecodeType,
    start: Timestamp,
    ebml_headers: u32,
    segments: u32,
    scale: Option<TimecodeScale>,
    header: Option<Arc<SessionHeader>>,
    open: Option<Open>,
    /// Timecode and latest block of the last closed fragment.
    previous: Option<(i64, i64)>,
    events: VecDeque<IngestEvent>,
    /// Whether the body has ended cleanly.
    finished: bool,
    trail: Trail,
}

impl Ingest {
    pub(crate) fn new(limits: IngestLimits, timecodes: TimecodeType, start: Timestamp) -> Ingest {
        Ingest {
            demuxer: Demuxer::new(DemuxLimits::default()),
            limits,
            timecodes,
            start,
            ebml_headers: 0,
            segments: 0,
            scale: None,
            header: None,
            open: None,
            previous: None,
            events: VecDeque::new(),
            finished: false,
            trail: Trail::default(),
        }
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        self.demuxer.push(data);
    }

    /// The body ended cleanly, which closes the fragment under way.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    pub(crate) fn poll(&mut self) -> Result<Option<IngestEvent>, Violation> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            self.check_size()?;
            match self.demuxer.poll().map_err(|error| malformed(&error))? {
                Some(event) => {
                    self.trail.note(self.demuxer.offset(), &event);
                    self.take(event)?;
                }
                None if self.finished && self.open.is_some() => {
                    self.demuxer.finish().map_err(|error| malformed(&error))?;
                    self.close_fragment(self.demuxer.offset())?;
                }
                None => return self.check_size().map(|()| None),
            }
        }
    }

    /// The elements seen last, for whoever has to explain a violation.
    pub(crate) fn trail(&self) -> Vec<String> {
        self.trail.lines()
    }

    /// The timecode of the fragment under way, for an ERROR acknowledgement.
    pub(crate) fn open_timecode(&self) -> Option<i64> {
        self.open.as_ref()?.timecode
    }

    fn take(&mut self, event: MkvEvent) -> Result<(), Violation> {
        match event {
            MkvEvent::EbmlHeader(header) => {
                self.ebml_headers += 1;
                if self.ebml_headers > 1 {
                    return Err(Violation::new(IngestRule::OneSegment, "a second EBML header"));
                }
                // Matroska and its subset are the same to the service.
                if header.doc_type != "matroska" && header.doc_type != "webm" {
                    let detail = format!("DocType is {:?}", header.doc_type);
                    return Err(Violation::new(IngestRule::Matroska, detail));
                }
            }
            MkvEvent::SegmentStart => {
                self.segments += 1;
                if self.segments > 1 {
                    return Err(Violation::new(IngestRule::OneSegment, "a second Segment"));
                }
            }
            MkvEvent::Info(info) => {
                if self.scale.is_some() {
                    return Err(Violation::new(IngestRule::TimecodeScale, "a second Info"));
                }
                let scale = TimecodeScale::new(info.timecode_scale);
                let scale =
                    scale.map_err(|error| Violation::new(IngestRule::TimecodeScale, error.to_string()))?;
                self.scale = Some(scale);
            }
            MkvEvent::Tracks(tracks) => self.declare(tracks)?,
            MkvEvent::ClusterStart => self.start_fragment()?,
            MkvEvent::ClusterTimecode(timecode) => self.time_fragment(timecode)?,
            MkvEvent::Block(block) => self.take_block(block)?,
            MkvEvent::Tags(tags) => self.take_tags(tags)?,
            // A cluster's end isn't its fragment's: tags may follow.
            _ => {}
        }
        Ok(())
    }

    fn declare(&mut self, tracks: Vec<TrackEntry>) -> Result<(), Violation> {
        if self.header.is_some() {
            return Err(Violation::new(IngestRule::TracksOnce, "a second Tracks element"));
        }
        if tracks.len() > self.limits.tracks {
            let detail = format!(
                "{} tracks, at most {} are allowed",
                tracks.len(),
                self.limits.tracks
            );
            return Err(Violation::new(IngestRule::TrackCount, detail));
        }
        let numbers: BTreeSet<u64> = tracks.iter().map(|track| track.number).collect();
        if tracks.is_empty() || numbers.len() < tracks.len() || numbers.contains(&0) {
            let detail = format!(
                "track numbers {:?}",
                tracks.iter().map(|t| t.number).collect::<Vec<_>>()
            );
            return Err(Violation::new(IngestRule::TracksDeclared, detail));
        }
        let scale = *self.scale.get_or_insert(TimecodeScale::MILLISECOND);
        let header = Arc::new(SessionHeader { scale, tracks });
        self.header = Some(header.clone());
        self.events.push_back(IngestEvent::Header(header));
        Ok(())
    }

    fn start_fragment(&mut self) -> Result<(), Violation> {
        if self.header.is_none() {
            return Err(Violation::new(
                IngestRule::TracksDeclared,
                "a Cluster before the Tracks",
            ));
        }
        let begins_at = self.demuxer.offset();
        self.close_fragment(begins_at)?;
        self.open = Some(Open {
            begins_at,
            timecode: None,
            span: None,
            seen: BTreeSet::new(),
            tags: 0,
        });
        Ok(())
    }

    fn time_fragment(&mut self, timecode: u64) -> Result<(), Violation> {
        let (Some(open), Some(header)) = (&mut self.open, &self.header) else {
            return Ok(());
        };
        if open.timecode.is_some() {
            return Err(Violation::new(
                IngestRule::ClusterTimecode,
                "a second Timecode in a Cluster",
            ));
        }
        let producer = producer_timestamp(timecode, header.scale, self.timecodes, self.start);
        let (Ok(timecode), Some(producer)) = (i64::try_from(timecode), producer) else {
            let detail = format!("cluster timecode {timecode}");
            return Err(Violation::new(IngestRule::ProducerTimestamp, detail));
        };
        open.timecode = Some(timecode);
        if let Some((before, _)) = self.previous {
            let lasted = units(header.scale, timecode.saturating_sub(before));
            if timecode > before && lasted < self.limits.fragment_minimum {
                let detail = format!("the fragment at {before} lasted {} ms", lasted.as_millis());
                return Err(Violation::new(IngestRule::FragmentMinimum, detail));
            }
        }
        if let Some((before, _)) = self.previous
            && timecode <= before
        {
            let detail = format!("cluster timecode {timecode} after {before}");
            return Err(Violation::new(IngestRule::ClusterOrder, detail));
        }
        self.events
            .push_back(IngestEvent::FragmentStart { timecode, producer });
        Ok(())
    }

    fn take_block(&mut self, block: Block) -> Result<(), Violation> {
        let (Some(open), Some(header)) = (&mut self.open, &self.header) else {
            return Err(Violation::new(
                IngestRule::ClusterTimecode,
                "a block outside a Cluster",
            ));
        };
        if open.timecode.is_none() {
            return Err(Violation::new(
                IngestRule::ClusterTimecode,
                "a block before the Timecode",
            ));
        }
        if !header.tracks.iter().any(|track| track.number == block.track) {
            let detail = format!("a block of track {}", block.track);
            return Err(Violation::new(IngestRule::TrackDeclared, detail));
        }
        let time = block.timecode;
        if let Some((_, latest)) = self.previous
            && time <= latest
        {
            let detail = format!(
                "a block of track {} at {time}, the fragment before reached {latest}",
                block.track
            );
            return Err(Violation::new(IngestRule::BlockOrder, detail));
        }
        let (earliest, latest) = open
            .span
            .map_or((time, time), |(low, high)| (low.min(time), high.max(time)));
        let duration = units(header.scale, latest.saturating_sub(earliest));
        if duration > self.limits.fragment_duration {
            let detail = format!("{} ms long at track {}", duration.as_millis(), block.track);
            return Err(Violation::new(IngestRule::FragmentDuration, detail));
        }
        open.span = Some((earliest, latest));
        open.seen.insert(block.track);
        self.events.push_back(IngestEvent::Frame(block));
        Ok(())
    }

    fn take_tags(&mut self, mut tags: Vec<SimpleTag>) -> Result<(), Violation> {
        for tag in &tags {
            check_tag(tag, &self.limits)?;
        }
        let named = tags.len();
        tags.retain(|tag| tag.name != END_OF_FRAGMENT);
        let ends = tags.len() < named;
        if let Some(open) = &mut self.open {
            open.tags += tags.len();
            if open.tags > self.limits.tags {
                let detail = format!("{} tags, at most {} are allowed", open.tags, self.limits.tags);
                return Err(Violation::new(IngestRule::TagCount, detail));
            }
        }
        if !tags.is_empty() {
            self.events.push_back(IngestEvent::Tags(tags));
        }
        if ends {
            self.close_fragment(self.demuxer.offset())
        } else {
            Ok(())
        }
    }

    fn close_fragment(&mut self, ends_at: u64) -> Result<(), Violation> {
        let (Some(open), Some(header)) = (&self.open, &self.header) else {
            return Ok(());
        };
        let Some(timecode) = open.timecode else {
            return Err(Violation::new(
                IngestRule::ClusterTimecode,
                "a Cluster without a Timecode",
            ));
        };
        let missing = header
            .tracks
            .iter()
            .find(|track| !open.seen.contains(&track.number));
        if let Some(track) = missing {
            let detail = format!("no frame of track {} in the fragment at {timecode}", track.number);
            return Err(Violation::new(IngestRule::FramesForEveryTrack, detail));
        }
        let (earliest, latest) = open.span.unwrap_or((timecode, timecode));
        self.events.push_back(IngestEvent::FragmentEnd {
            bytes: ends_at.saturating_sub(open.begins_at),
            duration: units(header.scale, latest.saturating_sub(earliest)),
        });
        self.previous = Some((timecode, latest));
        self.open = None;
        Ok(())
    }

    fn check_size(&self) -> Result<(), Violation> {
        let Some(open) = &self.open else { return Ok(()) };
        let held = self.demuxer.offset() + self.demuxer.buffered() as u64 - open.begins_at;
        if held <= self.limits.fragment_bytes {
            return Ok(());
        }
        let detail = format!("{held} bytes, at most {} are allowed", self.limits.fragment_bytes);
        Err(Violation::new(IngestRule::FragmentSize, detail))
    }
}

/// RELATIVE adds the cluster's timecode to the start timestamp, ABSOLUTE takes it as time since 1970.
fn producer_timestamp(
    timecode: u64,
    scale: TimecodeScale,
    timecodes: TimecodeType,
    start: Timestamp,
) -> Option<Timestamp> {
    let nanos = u128::from(timecode) * u128::from(scale.as_nanos());
    let nanos = i64::try_from(nanos).ok()?;
    let base = match timecodes {
        TimecodeType::Absolute => 0,
        TimecodeType::Relative => start.as_nanos(),
    };
    base.checked_add(nanos).map(Timestamp::from_nanos)
}

fn units(scale: TimecodeScale, units: i64) -> Duration {
    let nanos = u128::from(units.max(0).unsigned_abs()) * u128::from(scale.as_nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn check_tag(tag: &SimpleTag, limits: &IngestLimits) -> Result<(), Violation> {
    if tag.name.is_empty() || tag.name.len() > limits.tag_name {
        let detail = format!("a tag name of {} bytes", tag.name.len());
        return Err(Violation::new(IngestRule::TagName, detail));
    }
    if tag.value.len() > limits.tag_value {
        let detail = format!("{} bytes of value for tag {:?}", tag.value.len(), tag.name);
        return Err(Violation::new(IngestRule::TagValue, detail));
    }
    if tag.name.starts_with(RESERVED_TAG_PREFIX) && !PRODUCER_TAGS.contains(&tag.name.as_str()) {
        return Err(Violation::new(
            IngestRule::TagReserved,
            format!("tag {:?}", tag.name),
        ));
    }
    Ok(())
}

fn malformed(error: &MkvError) -> Violation {
    Violation::new(IngestRule::Matroska, error.to_string())
}
