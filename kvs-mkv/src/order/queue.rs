//! [`TrackQueue`]: the frames of one track that wait, and what is known about the track.

use std::collections::VecDeque;
use std::time::Duration;

use super::clock::{Reorder, TrackClock};
use super::config::{LeadingPicturePolicy, OrderConfig};
use crate::frame::{Frame, FrameFlags};
use crate::time::Timestamp;
use crate::track::{Track, TrackKind};
use crate::track_set::MAX_TRACKS;

/// Whether a track takes part in the fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Fragments wait for it.
    Live,
    /// It was silent for too long: fragments go without it.
    Gone,
    /// It gave a frame again and takes part from the next fragment on.
    Returning,
}

/// A frame that waits.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) frame: Frame,
    /// Its time in scale units.
    pub(super) unit: i64,
    /// Set where a fragment may be cut here.
    pub(super) cut: Option<Cut>,
}

/// What is known about a place where a fragment may be cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// The unit at which its fragment starts: the key frame's, or that of its first leading picture.
    pub(super) start: i64,
    /// Whether the leading pictures are all known.
    pub(super) settled: bool,
    /// The latest unit of the track before it.
    pub(super) reached_before: i64,
    /// Units since the start of the open fragment before which it does not cut.
    pub(super) not_before: i64,
    /// Whether it has to be cut here: a new format, or a group of pictures at its ceiling.
    pub(super) forced: bool,
}

/// Limits in scale units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Units {
    pub(super) leading: i64,
    pub(super) min: i64,
    pub(super) intra: i64,
    pub(super) max: i64,
}

impl Units {
    pub(super) fn of(config: &OrderConfig) -> Self {
        let reach = i64::from(i16::MAX);
        let units = |duration: Duration| config.scale.units_in(duration);
        // Leading sound and the fragment after it share the 16 bits of a block's time.
        let leading = units(config.leading_audio).min(reach / 2);
        let max = units(config.max_fragment).clamp(1, reach - leading);
        let min = units(config.min_fragment).clamp(1, max);
        Units {
            leading,
            min,
            intra: units(config.intra_fragment).clamp(min, max),
            max,
        }
    }
}

/// The largest step of a track's time that counts as time in which the others were silent; a longer one is
/// a pause of the whole stream.
const LARGEST_STEP: i64 = 500_000_000;

/// One track.
#[derive(Debug)]
pub(super) struct TrackQueue {
    pub(super) number: u8,
    pub(super) presence: Presence,
    pub(super) clock: TrackClock,
    pub(super) queue: VecDeque<Queued>,
    /// The latest unit given.
    pub(super) reached: i64,
    /// The unit of the last place to cut.
    pub(super) group_start: Option<i64>,
    /// Whether a key frame was asked for in this group of pictures.
    pub(super) asked: bool,
    /// Whether frames are dropped until the next key frame.
    pub(super) dropping: bool,
    /// Whether the format changed inside a fragment.
    pub(super) reformat: bool,
    /// Media time of this track in which others may be silent, in nanoseconds.
    pub(super) progress: i64,
    /// The progress of each track when this one last gave a frame.
    pub(super) heard: [i64; MAX_TRACKS],
    /// Frames given.
    pub(super) pushes: u64,
    /// The pushes of the leading track when this one was first seen too far ahead of it.
    pub(super) ahead_since: Option<u64>,
    /// Every frame is a key frame.
    intra_only: bool,
    last_was_key: bool,
}

impl TrackQueue {
    pub(super) fn new(track: &Track) -> Self {
        let intra_only = track.kind == TrackKind::Audio || track.codec.is_intra_only();
        let reorders = if intra_only {
            Reorder::Never
        } else {
            Reorder::Possible
        };
        TrackQueue {
            number: track.number,
            presence: Presence::Live,
            clock: TrackClock::new(reorders),
            queue: VecDeque::new(),
            reached: i64::MIN,
            group_start: None,
            asked: false,
            dropping: false,
            reformat: false,
            progress: 0,
            heard: [0; MAX_TRACKS],
            pushes: 0,
            ahead_since: None,
            intra_only,
            last_was_key: false,
        }
    }

    pub(super) fn front(&self) -> Option<&Queued> {
        self.queue.front()
    }

    /// Whether a fragment may be cut at `frame`.
    pub(super) fn is_key(&self, frame: &Frame) -> bool {
        self.intra_only || frame.is_key()
    }

    /// Notes how far the track's time went: to `pts`, from `before`.
    pub(super) fn note_progress(&mut self, pts: Timestamp, before: Option<Timestamp>) {
        if let Some(before) = before {
            let step = pts.since(before);
            self.progress = self.progress.saturating_add(step.clamp(0, LARGEST_STEP));
        }
        self.pushes += 1;
    }

    /// Queues a frame whose times are valid. A picture that may not stay comes back.
    pub(super) fn push(
        &mut self,
        frame: Frame,
        cut: CutKind,
        config: &OrderConfig,
        units: &Units,
    ) -> Option<Frame> {
        let unit = config.scale.to_units(frame.pts);
        if cut == CutKind::None {
            let stays = self.settle_leading(unit, config.leading_pictures);
            self.last_was_key = false;
            if !stays {
                return Some(frame);
            }
            self.reached = self.reached.max(unit);
            self.queue.push_back(Queued {
                frame,
                unit,
                cut: None,
            });
            return None;
        }
        self.settle_last_cut();
        // Key frame after key frame: there are no groups of pictures to cut at.
        let not_before = if self.intra_only || self.last_was_key {
            units.intra
        } else {
            units.min
        };
        let may_lead = !self.intra_only && (frame.pts > frame.dts || self.clock.reorders());
        let cut = Cut {
            start: unit,
            settled: !may_lead,
            reached_before: self.reached,
            not_before,
            forced: cut == CutKind::Forced || frame.flags.contains(FrameFlags::NEW_FORMAT),
        };
        self.last_was_key = true;
        self.group_start = Some(unit);
        self.asked = false;
        self.reached = self.reached.max(unit);
        self.queue.push_back(Queued {
            frame,
            unit,
            cut: Some(cut),
        });
        None
    }

    /// Takes a frame that does not cut into account for the last place to cut; says whether it may stay.
    fn settle_leading(&mut self, unit: i64, policy: LeadingPicturePolicy) -> bool {
        let Some(key) = self.queue.iter_mut().rev().find(|queued| queued.cut.is_some()) else {
            return true;
        };
        let key_unit = key.unit;
        let Some(cut) = &mut key.cut else { return true };
        if unit >= key_unit {
            cut.settled = true;
            return true;
        }
        if policy == LeadingPicturePolicy::Drop || unit <= cut.reached_before {
            return false;
        }
        cut.start = cut.start.min(unit);
        true
    }

    /// No leading pictures can come any more for what is queued.
    pub(super) fn settle_last_cut(&mut self) {
        if let Some(cut) = self.queue.iter_mut().rev().find_map(|queued| queued.cut.as_mut()) {
            cut.settled = true;
        }
    }
}

/// Whether a fragment may or must be cut at a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutKind {
    None,
    Key,
    Forced,
}
