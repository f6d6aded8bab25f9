//! [`Demuxer`]: reads Matroska as it arrives.

mod block;
mod element;
mod event;
mod rope;

use std::collections::VecDeque;

use bytes::Bytes;
use ebml_iterable::specs::{EbmlSpecification, PathPart};
use memchr::memmem;

pub use event::{Block, EbmlHeader, InfoEntry, MkvEvent, SimpleTag, TrackEntry};

use crate::error::{MkvError, MkvErrorKind};
use crate::schema::{CRC32, Element, VOID, id};
use block::RawBlock;
use element::{ElementHead, element_head};
use rope::Rope;

/// The longest head of an element: an id of 4 bytes and a size of 8.
const MAX_HEAD: usize = 12;
/// Bytes that have to follow a cluster's id before a search takes it for one: a size and a child's id.
const CLUSTER_PROBE: usize = 4 + 8 + 1;

/// How large the elements may be that the demuxer holds in memory as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemuxLimits {
    /// EBML header, Info, Tracks: bytes. Default 4 MiB.
    pub max_header_element: u64,
    /// A block or block group: bytes. Default 64 MiB; the service takes fragments of 50 MB.
    pub max_block: u64,
    /// A Tags element: bytes. Default 256 KiB.
    pub max_tags: u64,
    /// What to do at bytes that make no sense. Default [`Recovery::Fail`].
    pub recovery: Recovery,
}

impl Default for DemuxLimits {
    fn default() -> Self {
        DemuxLimits {
            max_header_element: 4 << 20,
            max_block: 64 << 20,
            max_tags: 256 << 10,
            recovery: Recovery::Fail,
        }
    }
}

/// What to do at bytes that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Recovery {
    /// Give the error, and give it again whenever asked.
    #[default]
    Fail,
    /// Pass over everything up to the next Cluster or EBML header.
    NextCluster,
}

/// Reads Matroska from chunks of any size, and tells it in events.
///
/// Sizes may be known or unknown, documents may follow each other. Payloads are shared with the chunks
/// they came in; only what spans chunks is copied, once. No more is held than one element within the
/// [`DemuxLimits`] and what was pushed beyond it.
///
/// ```
/// use bytes::Bytes;
/// use kvs_mkv::{Demuxer, MkvEvent};
///
/// let mut demuxer = Demuxer::default();
/// demuxer.push(Bytes::from_static(b"\x1A\x45\xDF\xA3\x8B\x42\x82\x88matroska\x18\x53\x80\x67\xFF"));
/// let mut events = Vec::new();
/// while let Some(event) = demuxer.poll()? {
///     events.push(event);
/// }
/// assert!(matches!(events.as_slice(), [MkvEvent::EbmlHeader(_), MkvEvent::SegmentStart]));
/// demuxer.finish()?;
/// assert_eq!(demuxer.poll()?, Some(MkvEvent::SegmentEnd));
/// # Ok::<(), kvs_mkv::MkvError>(())
/// ```
#[derive(Debug)]
pub struct Demuxer {
    limits: DemuxLimits,
    rope: Rope,
    events: VecDeque<MkvEvent>,
    segment: Option<Level>,
    cluster: Option<Level>,
    timecode: Option<u64>,
    /// Bytes of an element that nobody wants, still to come.
    skipping: u64,
    /// Set while looking for the next cluster: where and why it began.
    lost: Option<(u64, MkvError)>,
    failed: Option<MkvError>,
    finished: bool,
    timecode_scale: u64,
    /// Default durations by track number, for lacing.
    default_durations: Vec<(u64, u64)>,
}

/// An open master element.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// The offset at which it ends, where its size is known.
    end: Option<u64>,
}

/// Whether a step got anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    NeedMore,
}

impl Default for Demuxer {
    fn default() -> Self {
        Demuxer::new(DemuxLimits::default())
    }
}

impl Demuxer {
    /// A demuxer at the start of its input.
    #[must_use]
    pub fn new(limits: DemuxLimits) -> Self {
        Demuxer {
            limits,
            rope: Rope::default(),
            events: VecDeque::new(),
            segment: None,
            cluster: None,
            timecode: None,
            skipping: 0,
            lost: None,
            failed: None,
            finished: false,
            timecode_scale: InfoEntry::default().timecode_scale,
            default_durations: Vec::new(),
        }
    }

    /// Gives the next bytes of the input.
    pub fn push(&mut self, chunk: Bytes) {
        self.rope.push(chunk);
    }

    /// The next event, or `None` where more input is needed.
    ///
    /// # Errors
    /// [`MkvErrorKind::MalformedElement`], [`MkvErrorKind::UnexpectedElement`] or
    /// [`MkvErrorKind::LimitExceeded`], with the offset of the element; after that the demuxer gives the same
    /// error again, unless [`Recovery::NextCluster`] was asked for, when it gives no errors at all.
    pub fn poll(&mut self) -> Result<Option<MkvEvent>, MkvError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            match self.step() {
                Ok(Step::Done) => {}
                Ok(Step::NeedMore) => return Ok(None),
                Err(error) => {
                    // What is wrong with a head is found before the head is used up.
                    let offset = error.offset().unwrap_or_else(|| self.rope.offset());
                    let error = error.at_offset(offset);
                    match self.limits.recovery {
                        Recovery::Fail => self.failed = Some(error),
                        Recovery::NextCluster => self.lose(error),
                    }
                }
            }
        }
    }

    /// Tells that the input is over: what is open ends, and [`poll`](Self::poll) gives those events.
    ///
    /// # Errors
    /// [`MkvErrorKind::UnexpectedEnd`] where the input ended inside an element.
    pub fn finish(&mut self) -> Result<(), MkvError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        let offset = self.rope.offset();
        let open_end = self.cluster.or(self.segment).and_then(|level| level.end);
        let in_element = self.rope.len() > 0 || self.skipping > 0 || open_end.is_some_and(|end| end > offset);
        if let Some((from, cause)) = self.lost.take() {
            let skipped = offset + self.rope.len() as u64 - from;
            self.events.push_back(MkvEvent::Resynced { skipped, cause });
            self.rope.skip(u64::MAX);
        }
        self.end_segment();
        if in_element && self.limits.recovery == Recovery::Fail {
            return Err(MkvError::new(MkvErrorKind::UnexpectedEnd).at_offset(offset));
        }
        Ok(())
    }

    /// How many bytes of the input were used.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.rope.offset()
    }

    /// How many bytes were pushed and not yet used.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.rope.len()
    }

    fn step(&mut self) -> Result<Step, MkvError> {
        if self.lost.is_some() {
            return Ok(self.find_cluster());
        }
        if self.skipping > 0 {
            self.skipping -= self.rope.skip(self.skipping);
            if self.skipping > 0 {
                return Ok(Step::NeedMore);
            }
        }
        if self.close_finished_levels() {
            return Ok(Step::Done);
        }
        let mut bytes = [0; MAX_HEAD];
        let count = self.rope.peek(&mut bytes);
        let Some(head) = element_head(&bytes[..count])? else {
            return Ok(Step::NeedMore);
        };
        self.check_fits(head)?;
        self.element(head)
    }

    /// Ends the cluster or segment whose known size is used up; says whether there was one.
    fn close_finished_levels(&mut self) -> bool {
        let offset = self.rope.offset();
        let is_over =
            |level: Option<Level>| level.and_then(|level| level.end).is_some_and(|end| offset >= end);
        if is_over(self.segment) {
            self.end_segment();
        } else if is_over(self.cluster) {
            self.end_cluster();
        } else {
            return false;
        }
        true
    }

    /// Refuses an element that reaches beyond the known end of what it stands in.
    fn check_fits(&self, head: ElementHead) -> Result<(), MkvError> {
        let Some(parent_end) = self.cluster.or(self.segment).and_then(|level| level.end) else {
            return Ok(());
        };
        let end = self
            .rope
            .offset()
            .checked_add(head.len as u64 + head.size.unwrap_or(0));
        if end.is_none_or(|end| end > parent_end) {
            return Err(
                MkvError::new(MkvErrorKind::MalformedElement).with_detail("element exceeds its parent")
            );
        }
        Ok(())
    }

    fn element(&mut self, head: ElementHead) -> Result<Step, MkvError> {
        match head.id {
            id::SIMPLE_BLOCK if self.cluster.is_some() => {
                self.whole(head, self.limits.max_block, |this, data| {
                    this.block(RawBlock::parse(data)?)
                })
            }
            id::BLOCK_GROUP if self.cluster.is_some() => {
                self.whole(head, self.limits.max_block, |this, data| {
                    this.block(RawBlock::parse_group(&data)?)
                })
            }
            id::CLUSTER_TIMECODE if self.cluster.is_some() => {
                self.whole(head, 8, |this, data| this.cluster_timecode(&data))
            }
            VOID | CRC32 => self.skip(head),
            _ => self.structure(head),
        }
    }

    /// Elements that are not the contents of a cluster, or not known.
    fn structure(&mut self, head: ElementHead) -> Result<Step, MkvError> {
        match (level_of(head.id), self.segment) {
            (Place::Root, _) => {
                self.end_segment();
                self.root(head)
            }
            (_, None) => Err(MkvError::new(MkvErrorKind::UnexpectedElement)
                .with_detail(format!("element {:x} outside of a segment", head.id))),
            (Place::TopLevel, _) if self.cluster.is_some_and(|cluster| cluster.end.is_some()) => {
                Err(MkvError::new(MkvErrorKind::UnexpectedElement)
                    .with_detail(format!("element {:x} inside of a cluster", head.id)))
            }
            (Place::TopLevel, _) => {
                self.end_cluster();
                self.top_level(head)
            }
            // What a cluster holds beside its blocks, and what is not known: of no interest.
            (Place::Cluster, _) if self.cluster.is_none() => {
                Err(MkvError::new(MkvErrorKind::UnexpectedElement)
                    .with_detail(format!("element {:x} outside of a cluster", head.id)))
            }
            (Place::Cluster | Place::Elsewhere, _) => self.skip(head),
        }
    }

    fn root(&mut self, head: ElementHead) -> Result<Step, MkvError> {
        match head.id {
            id::EBML => self.whole(head, self.limits.max_header_element, |this, data| {
                let header = element::ebml_header(&data)?;
                this.events.push_back(MkvEvent::EbmlHeader(header));
                Ok(())
            }),
            _ => {
                self.segment = Some(self.open(head));
                self.events.push_back(MkvEvent::SegmentStart);
                Ok(Step::Done)
            }
        }
    }

    fn top_level(&mut self, head: ElementHead) -> Result<Step, MkvError> {
        match head.id {
            id::CLUSTER => {
                self.cluster = Some(self.open(head));
                self.timecode = None;
                self.events.push_back(MkvEvent::ClusterStart);
                Ok(Step::Done)
            }
            id::INFO => self.whole(head, self.limits.max_header_element, |this, data| {
                let info = element::info(&data)?;
                this.timecode_scale = info.timecode_scale;
                this.events.push_back(MkvEvent::Info(info));
                Ok(())
            }),
            id::TRACKS => self.whole(head, self.limits.max_header_element, |this, data| {
                let tracks = element::tracks(&data)?;
                let durations = tracks
                    .iter()
                    .filter_map(|track| Some((track.number, track.default_duration?)));
                this.default_durations = durations.collect();
                this.events.push_back(MkvEvent::Tracks(tracks));
                Ok(())
            }),
            id::TAGS => self.whole(head, self.limits.max_tags, |this, data| {
                let tags = element::tags(&data)?;
                this.events.push_back(MkvEvent::Tags(tags));
                Ok(())
            }),
            _ => self.skip(head),
        }
    }

    /// Uses up the head of a master whose children are read one by one.
    fn open(&mut self, head: ElementHead) -> Level {
        self.rope.skip(head.len as u64);
        let offset = self.rope.offset();
        Level {
            end: head.size.map(|size| offset.saturating_add(size)),
        }
    }

    /// Waits until all of an element is there, then hands its data to `read`.
    fn whole(
        &mut self,
        head: ElementHead,
        limit: u64,
        read: impl FnOnce(&mut Self, Bytes) -> Result<(), MkvError>,
    ) -> Result<Step, MkvError> {
        let size = head.size.ok_or_else(|| {
            MkvError::new(MkvErrorKind::MalformedElement)
                .with_detail(format!("element {:x} of unknown size", head.id))
        })?;
        let size = usize::try_from(size)
            .ok()
            .filter(|_| size <= limit)
            .ok_or_else(|| {
                MkvError::new(MkvErrorKind::LimitExceeded)
                    .with_detail(format!("element {:x} of {size} bytes, at most {limit}", head.id))
            })?;
        if self.rope.len() < head.len + size {
            return Ok(Step::NeedMore);
        }
        let offset = self.rope.offset();
        self.rope.skip(head.len as u64);
        let data = self.rope.take(size).unwrap_or_default();
        read(self, data).map_err(|error| error.at_offset(offset))?;
        Ok(Step::Done)
    }

    /// Passes over an element without holding it.
    fn skip(&mut self, head: ElementHead) -> Result<Step, MkvError> {
        self.skipping = head.size.ok_or_else(|| {
            MkvError::new(MkvErrorKind::MalformedElement)
                .with_detail(format!("element {:x} of unknown size", head.id))
        })?;
        self.rope.skip(head.len as u64);
        Ok(Step::Done)
    }

    fn cluster_timecode(&mut self, data: &Bytes) -> Result<(), MkvError> {
        let timecode = crate::ebml::uint(data).filter(|&timecode| i64::try_from(timecode).is_ok());
        let timecode = timecode.ok_or_else(|| {
            MkvError::new(MkvErrorKind::MalformedElement).with_detail("cluster timecode out of range")
        })?;
        self.timecode = Some(timecode);
        self.events.push_back(MkvEvent::ClusterTimecode(timecode));
        Ok(())
    }

    fn block(&mut self, raw: RawBlock) -> Result<(), MkvError> {
        let cluster = self
            .timecode
            .and_then(|timecode| i64::try_from(timecode).ok())
            .ok_or_else(|| {
                MkvError::new(MkvErrorKind::MalformedElement)
                    .with_detail("block before its cluster's timecode")
            })?;
        let block = Block {
            track: raw.track,
            timecode: cluster.saturating_add(i64::from(raw.relative)),
            relative: raw.relative,
            key: raw.flags & 0x80 != 0,
            invisible: raw.flags & 0x08 != 0,
            discardable: raw.flags & 0x01 != 0,
            duration: raw.duration,
            lace: 0,
            data: Bytes::new(),
        };
        if raw.is_unlaced() {
            self.events.push_back(MkvEvent::Block(Block {
                data: raw.data,
                ..block
            }));
            return Ok(());
        }
        let nanos = self
            .default_durations
            .iter()
            .find(|(track, _)| *track == raw.track);
        let nanos = nanos.map_or(0, |&(_, nanos)| nanos);
        for (data, lace) in raw.frames()?.into_iter().zip(0..=u8::MAX) {
            let later = u128::from(lace) * u128::from(nanos) / u128::from(self.timecode_scale);
            let timecode = block
                .timecode
                .saturating_add(i64::try_from(later).unwrap_or(i64::MAX));
            self.events.push_back(MkvEvent::Block(Block {
                timecode,
                lace,
                data,
                ..block.clone()
            }));
        }
        Ok(())
    }

    fn end_cluster(&mut self) {
        if self.cluster.take().is_some() {
            self.events.push_back(MkvEvent::ClusterEnd);
        }
    }

    fn end_segment(&mut self) {
        self.end_cluster();
        if self.segment.take().is_some() {
            self.events.push_back(MkvEvent::SegmentEnd);
        }
    }

    /// Starts to look for the next cluster, at least one byte further on.
    fn lose(&mut self, cause: MkvError) {
        let from = cause.offset().unwrap_or_else(|| self.rope.offset());
        self.end_cluster();
        self.skipping = 0;
        if from == self.rope.offset() {
            self.rope.skip(1);
        }
        self.lost = Some((from, cause));
    }

    /// Drops bytes up to a cluster or a document.
    fn find_cluster(&mut self) -> Step {
        let data = self.rope.contiguous();
        let found = [id::CLUSTER, id::EBML]
            .iter()
            .filter_map(|id| memmem::find_iter(&data, &id.to_be_bytes()).find(|&at| is_start(&data[at..])))
            .min();
        let Some(at) = found else {
            // The end may hold the start of one.
            let keep = CLUSTER_PROBE.min(data.len());
            self.rope.skip((data.len() - keep) as u64);
            return Step::NeedMore;
        };
        if data.len() - at < CLUSTER_PROBE && !self.finished {
            self.rope.skip(at as u64);
            return Step::NeedMore;
        }
        self.rope.skip(at as u64);
        if let Some((from, cause)) = self.lost.take() {
            let skipped = self.rope.offset() - from;
            self.events.push_back(MkvEvent::Resynced { skipped, cause });
        }
        // Its end, if it had one, is not to be trusted any more.
        self.segment = Some(Level { end: None });
        Step::Done
    }
}

/// Whether a cluster or an EBML header may start here, as far as the bytes tell.
fn is_start(data: &[u8]) -> bool {
    match element_head(&data[..data.len().min(MAX_HEAD)]) {
        Ok(None) => true,
        Ok(Some(head)) if head.id == id::CLUSTER => {
            // Timecode, Position, CRC-32 or Void come first in every cluster there is.
            data.get(head.len)
                .is_none_or(|child| matches!(child, 0xE7 | 0xA7 | 0xBF | 0xEC))
        }
        Ok(Some(head)) => head.size.is_some_and(|size| size < 1024),
        Err(_) => false,
    }
}

/// Where an element stands, by the element table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Root,
    TopLevel,
    Cluster,
    Elsewhere,
}

fn level_of(id: u32) -> Place {
    let id = u64::from(id);
    if <Element as EbmlSpecification<Element>>::get_tag_data_type(id).is_none() {
        return Place::Elsewhere;
    }
    match <Element as EbmlSpecification<Element>>::get_path_by_id(id) {
        [] => Place::Root,
        [PathPart::Id(parent)] if *parent == u64::from(id::SEGMENT) => Place::TopLevel,
        [PathPart::Id(_), PathPart::Id(parent), ..] if *parent == u64::from(id::CLUSTER) => Place::Cluster,
        _ => Place::Elsewhere,
    }
}

#[cfg(test)]
mod tests;
