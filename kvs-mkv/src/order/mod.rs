//! [`FrameOrderer`]: brings the frames of all tracks into wire order and cuts them into fragments.
//!
//! The rules, in short:
//!
//! - One track leads: the first video track that is there, else the first audio track. Fragments are cut at
//!   its key frames.
//! - A frame of another track belongs to the last fragment that starts not after it. Times are compared in
//!   scale units, because that is what the wire carries.
//! - A frame is sent once its fragment is certain: the leading track has reached its time, so that no key
//!   frame can come in between any more.
//! - A fragment opens once every track has a frame that is certain to be in it, and ends when the next one
//!   opens. A key frame whose fragment before would lack a track does not cut.
//! - Within the leading track, decoding order is kept, and frames pass at once while their fragment is open.

mod clock;
mod config;
mod event;
mod open;
mod queue;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

pub use config::{
    KeyFramePolicy, LeadingPicturePolicy, OrderConfig, SilencePolicy, SkewPolicy, TimestampPolicy,
};
pub use event::{Correction, CorrectionKind, FragmentStart, OrderDrop, OrderError, OrderErrorKind, Ordered};

use crate::frame::{Frame, FrameFlags};
use crate::time::Timestamp;
use crate::track::TrackKind;
use crate::track_set::{MAX_TRACKS, TrackSet};
use clock::ClockRules;
use open::Open;
use queue::{CutKind, Presence, Queued, TrackQueue, Units};

/// Counts of what the orderer did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OrderStats {
    /// Fragments opened.
    pub fragments: u64,
    /// Key frames that did not cut because the fragment before would have lacked a track.
    pub joined_key_frames: u64,
    /// Frames that fell on the same unit as the next key frame and went into its fragment.
    pub joined_frames: u64,
    /// Pictures shown before the key frame they follow, kept or dropped.
    pub leading_pictures: u64,
    /// Corrections by kind.
    pub corrections: HashMap<CorrectionKind, u64>,
    /// Drops by reason.
    pub dropped: HashMap<OrderDrop, u64>,
}

/// Brings frames into wire order and cuts them into fragments.
///
/// Frames go in track by track in decoding order, the tracks interleaved as they come; fragments and their
/// frames come out. All state is bounded by [`OrderConfig::max_queued_frames`].
///
/// ```
/// use kvs_mkv::{Frame, FrameOrderer, OrderConfig, Ordered, Timestamp, Track, TrackSet};
///
/// let tracks = TrackSet::new(vec![Track::h264(), Track::aac()])?;
/// let mut orderer = FrameOrderer::new(&tracks, OrderConfig::default());
/// let at = Timestamp::from_millis;
/// orderer.push(Frame::video("key").pts(at(0)).key()).unwrap();
/// assert_eq!(orderer.poll(), None); // a fragment needs a frame of every track
/// orderer.push(Frame::audio("sound").pts(at(10))).unwrap();
/// assert!(matches!(orderer.poll(), Some(Ordered::Fragment(start)) if start.timecode == at(0)));
/// assert!(matches!(orderer.poll(), Some(Ordered::Frame(frame)) if frame.is_key()));
/// assert!(matches!(orderer.poll(), Some(Ordered::Frame(frame)) if frame.track == 2));
/// orderer.flush();
/// assert_eq!(orderer.poll(), Some(Ordered::FragmentEnd));
/// # Ok::<(), kvs_mkv::MkvError>(())
/// ```
#[derive(Debug)]
pub struct FrameOrderer {
    config: OrderConfig,
    units: Units,
    tracks: Vec<TrackQueue>,
    /// Indices of the tracks in the order in which they lead.
    precedence: Vec<usize>,
    /// Index of the track that leads.
    lead: usize,
    open: Option<Open>,
    /// The latest unit that went out.
    latest: i64,
    /// Numbers of the tracks in the session.
    session: Vec<u8>,
    /// Whether the next fragment needs a cut at the first frame there is.
    roll: bool,
    flushing: bool,
    out: VecDeque<Ordered>,
    queued_bytes: usize,
    queued_frames: usize,
    stats: OrderStats,
}

impl FrameOrderer {
    /// An orderer for these tracks.
    #[must_use]
    pub fn new(tracks: &TrackSet, config: OrderConfig) -> Self {
        let mut precedence: Vec<_> = (0..tracks.len()).collect();
        let kinds: Vec<_> = tracks.iter().map(|track| track.kind).collect();
        precedence.sort_by_key(|&index| kinds[index] != TrackKind::Video);
        FrameOrderer {
            units: Units::of(&config),
            config,
            tracks: tracks.iter().map(TrackQueue::new).collect(),
            lead: precedence[0],
            precedence,
            open: None,
            latest: i64::MIN,
            session: Vec::new(),
            roll: false,
            flushing: false,
            out: VecDeque::new(),
            queued_bytes: 0,
            queued_frames: 0,
            stats: OrderStats::default(),
        }
    }

    /// Takes the next frame of its track, in decoding order; tells where its time had to be corrected.
    ///
    /// # Errors
    /// Gives the frame back with the reason, see [`OrderErrorKind`]; nothing is changed then.
    pub fn push(&mut self, frame: Frame) -> Result<Option<Correction>, OrderError> {
        let Some(index) = self.tracks.iter().position(|track| track.number == frame.track) else {
            return Err(OrderError {
                frame,
                kind: OrderErrorKind::UnknownTrack,
            });
        };
        if let Err(kind) = self.check(index, &frame) {
            return Err(OrderError { frame, kind });
        }
        let mut frame = frame;
        let correction = match self.correct(index, &mut frame) {
            Ok(correction) => correction,
            Err(kind) => return Err(OrderError { frame, kind }),
        };
        if let Some(correction) = correction {
            *self.stats.corrections.entry(correction.kind).or_default() += 1;
        }
        self.queued_bytes += frame.data.len();
        self.queued_frames += 1;
        self.welcome_back(index);
        self.enqueue(index, frame);
        self.advance();
        Ok(correction)
    }

    /// What comes next on the wire, if anything is certain.
    pub fn poll(&mut self) -> Option<Ordered> {
        let next = self.out.pop_front()?;
        if let Ordered::Frame(frame) | Ordered::Dropped { frame, .. } = &next {
            self.queued_bytes -= frame.data.len();
            self.queued_frames -= 1;
        }
        Some(next)
    }

    /// Ends the input for now: all that is held can be polled, and the open fragment ends.
    ///
    /// What would make a fragment that lacks a track joins the one before; where there is none, it goes out
    /// in a session of the tracks it has. Frames may be pushed again afterwards, from a key frame on.
    pub fn flush(&mut self) {
        self.flushing = true;
        for track in &mut self.tracks {
            track.settle_last_cut();
        }
        self.advance();
        while self.open.is_none() && self.lead_with_what_is_left() {
            self.advance();
        }
        self.drop_leftovers();
        if self.open.take().is_some() {
            self.out.push_back(Ordered::FragmentEnd);
        }
        let progress = self.progress();
        for track in &mut self.tracks {
            track.heard = progress;
            track.dropping = false;
            track.group_start = None;
        }
        self.roll = false;
        self.flushing = false;
    }

    /// Payload bytes taken and not polled yet.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Frames taken and not polled yet.
    #[must_use]
    pub fn queued_frames(&self) -> usize {
        self.queued_frames
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> &OrderStats {
        &self.stats
    }

    /// Refuses what cannot be taken, before anything is changed.
    fn check(&mut self, index: usize, frame: &Frame) -> Result<(), OrderErrorKind> {
        if frame.data.is_empty() {
            return Err(OrderErrorKind::Empty);
        }
        if frame.data.len() > self.config.max_fragment_bytes {
            return Err(OrderErrorKind::TooLarge {
                limit: self.config.max_fragment_bytes,
            });
        }
        if self.tracks[index].queue.len() >= self.config.max_queued_frames {
            return Err(self.queue_full(index));
        }
        if self.config.silence == SilencePolicy::Refuse
            && let Some(silent) = self
                .waited_for()
                .filter(|&other| other != index && self.is_silent(other))
        {
            let silent_for = self.silent_for(silent);
            return Err(OrderErrorKind::TrackSilent {
                silent: self.tracks[silent].number,
                silent_for,
            });
        }
        if self.config.key_frames == KeyFramePolicy::Refuse
            && let Some(open_for) = self.over_ceiling(index, frame)
        {
            return Err(OrderErrorKind::KeyFrameMissing { open_for });
        }
        Ok(())
    }

    fn queue_full(&self, index: usize) -> OrderErrorKind {
        let waiting_for = self
            .waited_for()
            .filter(|&other| other != index)
            .unwrap_or(self.lead);
        let latest = |index: usize| self.tracks[index].clock.latest();
        let behind = latest(index)
            .zip(latest(waiting_for))
            .map_or(0, |(this, other)| this.since(other));
        OrderErrorKind::QueueFull {
            waiting_for: self.tracks[waiting_for].number,
            behind,
        }
    }

    /// A track without a frame that fragments wait for.
    fn waited_for(&self) -> Option<usize> {
        let is_waited_for = |&index: &usize| {
            self.tracks[index].queue.is_empty() && self.tracks[index].presence != Presence::Gone
        };
        self.precedence.iter().copied().find(is_waited_for)
    }

    /// Makes the frame's times valid within its track and against the others.
    fn correct(&mut self, index: usize, frame: &mut Frame) -> Result<Option<Correction>, OrderErrorKind> {
        let aligned = match self.skew(index, frame) {
            None => None,
            Some((other, delta, target)) => match self.config.skew {
                SkewPolicy::Refuse => {
                    return Err(OrderErrorKind::TrackSkew {
                        other: self.tracks[other].number,
                        delta,
                    });
                }
                SkewPolicy::Rebase => Some(self.tracks[index].clock.align(frame, target)),
            },
        };
        let rules = ClockRules {
            scale: self.config.scale,
            policy: self.config.timestamps,
            jump: self.config.jump,
        };
        let peers: Vec<i64> = match self.tracks[index].clock.latest() {
            // Looked at only where the time jumps back.
            Some(latest) if self.tracks[index].clock.shifted(frame) < latest => self
                .tracks
                .iter()
                .filter(|track| track.number != frame.track)
                .map(|track| track.clock.offset())
                .collect(),
            _ => Vec::new(),
        };
        let given = frame.pts;
        let before = self.tracks[index].clock.latest();
        let mut correction = self.tracks[index]
            .clock
            .take(frame, &rules, peers.into_iter())?
            .or(aligned);
        self.tracks[index].note_progress(frame.pts, before);
        if let Some(raised) = self.raise_key_frame(index, frame) {
            correction = Some(Correction {
                from: given,
                ..raised
            });
        }
        self.tracks[index].heard = self.progress();
        Ok(correction)
    }

    /// A key frame comes after everything decoded before it, in presentation time too: its fragment may not
    /// begin before the end of the last.
    fn raise_key_frame(&mut self, index: usize, frame: &mut Frame) -> Option<Correction> {
        let unit = self.config.scale.to_units(frame.pts);
        let track = &mut self.tracks[index];
        if unit > track.reached || !track.is_key(frame) || track.reached == i64::MIN {
            return None;
        }
        if index != self.lead || !frame.is_key() {
            return None;
        }
        let to = self.config.scale.from_units(track.reached.saturating_add(1));
        Some(track.clock.raise(frame, to))
    }

    /// The track whose clock is too far from this frame's time, by how much, and where the frame belongs.
    fn skew(&mut self, index: usize, frame: &Frame) -> Option<(usize, i64, Timestamp)> {
        let limit = i64::try_from(self.config.max_skew.as_nanos()).unwrap_or(i64::MAX);
        let pts = self.tracks[index].clock.shifted(frame);
        let is_first = self.tracks[index].clock.latest().is_none();
        let other = if is_first {
            self.precedence
                .iter()
                .copied()
                .find(|&other| self.tracks[other].clock.latest().is_some())?
        } else {
            self.lead
        };
        if other == index {
            return None;
        }
        let target = self.tracks[other].clock.latest()?;
        let delta = pts.since(target);
        let other_pushes = self.tracks[other].pushes;
        let track = &mut self.tracks[index];
        let apart = if is_first {
            delta.saturating_abs() > limit
        } else if delta > limit {
            // The stream may have paused, and the other track's next frame may be as far on: wait for it.
            other_pushes > *track.ahead_since.get_or_insert(other_pushes)
        } else {
            track.ahead_since = None;
            delta < -limit
        };
        apart.then_some((other, delta, target))
    }

    fn enqueue(&mut self, index: usize, frame: Frame) {
        let over = self.over_ceiling(index, &frame);
        let track = &mut self.tracks[index];
        let is_key = track.is_key(&frame);
        let mut cut = if is_key { CutKind::Key } else { CutKind::None };
        if is_key {
            track.dropping = false;
        }
        if over.is_some() {
            match self.config.key_frames {
                KeyFramePolicy::CutAnywhere => cut = CutKind::Forced,
                _ => track.dropping = true,
            }
        }
        if track.dropping {
            track.reached = track.reached.max(self.config.scale.to_units(frame.pts));
            return self.drop_frame(frame, OrderDrop::FragmentTooLong);
        }
        self.ask_for_key_frame(index, &frame);
        let leading = self.tracks[index].push(frame, cut, &self.config, &self.units);
        if let Some(frame) = leading {
            self.stats.leading_pictures += 1;
            self.drop_frame(frame, OrderDrop::LeadingPicture);
        }
    }

    /// How long the group of pictures is already, where `frame` would take it over the ceiling.
    fn over_ceiling(&self, index: usize, frame: &Frame) -> Option<Duration> {
        let track = &self.tracks[index];
        if index != self.lead || track.is_key(frame) {
            return None;
        }
        let unit = self.config.scale.to_units(track.clock.shifted(frame));
        let open_for = unit.saturating_sub(track.group_start?);
        (open_for > self.units.max).then(|| self.duration(open_for))
    }

    fn ask_for_key_frame(&mut self, index: usize, frame: &Frame) {
        let track = &mut self.tracks[index];
        let Some(start) = track.group_start.filter(|_| index == self.lead && !track.asked) else {
            return;
        };
        let open_for = self.config.scale.to_units(frame.pts).saturating_sub(start);
        if open_for >= self.units.max / 5 * 4 && !track.is_key(frame) {
            track.asked = true;
            let (track, open_for) = (track.number, self.duration(open_for));
            self.out.push_back(Ordered::KeyFrameWanted { track, open_for });
        }
    }

    fn duration(&self, units: i64) -> Duration {
        Duration::from_nanos(
            u64::try_from(units)
                .unwrap_or(0)
                .saturating_mul(self.config.scale.as_nanos()),
        )
    }

    /// How far the time of each track went.
    fn progress(&self) -> [i64; MAX_TRACKS] {
        let mut progress = [0; MAX_TRACKS];
        for (place, track) in progress.iter_mut().zip(&self.tracks) {
            *place = track.progress;
        }
        progress
    }

    /// A track that was gone gives a frame again.
    fn welcome_back(&mut self, index: usize) {
        let track = &mut self.tracks[index];
        if track.presence == Presence::Gone {
            track.presence = Presence::Returning;
        }
    }

    /// For how much media time of the others the track gave nothing.
    fn silent_for(&self, index: usize) -> Duration {
        let heard = &self.tracks[index].heard;
        let others = self
            .tracks
            .iter()
            .zip(heard)
            .enumerate()
            .filter(|&(other, _)| other != index);
        let silent = others.map(|(_, (track, heard))| track.progress - heard).max();
        Duration::from_nanos(u64::try_from(silent.unwrap_or(0)).unwrap_or(0))
    }

    fn is_silent(&self, index: usize) -> bool {
        self.config
            .silence_limit
            .is_some_and(|limit| self.silent_for(index) > limit)
    }

    fn drop_frame(&mut self, frame: Frame, reason: OrderDrop) {
        *self.stats.dropped.entry(reason).or_default() += 1;
        self.out.push_back(Ordered::Dropped { frame, reason });
    }

    fn take_front(&mut self, index: usize) -> Option<Queued> {
        self.tracks[index].queue.pop_front()
    }

    fn drop_front(&mut self, index: usize, reason: OrderDrop) {
        if let Some(queued) = self.take_front(index) {
            // What follows it has the new format all the same.
            self.tracks[index].reformat |= queued.frame.flags.contains(FrameFlags::NEW_FORMAT);
            self.drop_frame(queued.frame, reason);
        }
    }

    /// What a flush found no fragment for.
    fn drop_leftovers(&mut self) {
        for index in 0..self.tracks.len() {
            let reason = if self.open.is_some() {
                OrderDrop::FragmentTooLong
            } else {
                OrderDrop::BeforeKeyFrame
            };
            while !self.tracks[index].queue.is_empty() {
                self.drop_front(index, reason);
            }
        }
    }
}

#[cfg(test)]
mod tests;
