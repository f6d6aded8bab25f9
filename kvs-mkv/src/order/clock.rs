//! [`TrackClock`]: keeps the times of one track valid.

use std::time::Duration;

use super::config::TimestampPolicy;
use super::event::{Correction, CorrectionKind, OrderErrorKind};
use crate::frame::{Frame, FrameFlags};
use crate::time::{TimecodeScale, Timestamp};

/// What a track's times are held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockRules {
    pub(super) scale: TimecodeScale,
    pub(super) policy: TimestampPolicy,
    pub(super) jump: Duration,
}

impl ClockRules {
    /// What a raised time is after the one before: a unit, unless units are coarser than frames are apart.
    fn step(&self) -> Duration {
        self.scale.unit().min(Duration::from_millis(1))
    }
}

/// The times of one track so far.
#[derive(Clone, Debug)]
pub(super) struct TrackClock {
    /// Whether frames may be decoded in another order than they are shown.
    reorders: Reorder,
    /// Nanoseconds added to every time.
    offset: i64,
    last: Option<Times>,
    last_key: Timestamp,
}

/// Whether a track decodes its frames in another order than it shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reorder {
    /// It never does: sound, and pictures that are all key frames.
    Never,
    /// It may: no B-frame was seen so far.
    Possible,
    /// It does.
    Seen,
}

/// Times of the last frame, and the latest presentation time of all.
#[derive(Clone, Copy, Debug)]
struct Times {
    pts: Timestamp,
    dts: Timestamp,
    latest: Timestamp,
}

impl TrackClock {
    pub(super) fn new(reorders: Reorder) -> Self {
        TrackClock {
            reorders,
            offset: 0,
            last: None,
            last_key: Timestamp::MIN,
        }
    }

    /// The latest presentation time taken.
    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.last.map(|last| last.latest)
    }

    pub(super) fn offset(&self) -> i64 {
        self.offset
    }

    pub(super) fn reorders(&self) -> bool {
        self.reorders == Reorder::Seen
    }

    /// The presentation time of `frame` with the track's offset.
    pub(super) fn shifted(&self, frame: &Frame) -> Timestamp {
        frame.pts.saturating_shift(self.offset)
    }

    /// Changes the offset so that `frame` falls on `target`.
    pub(super) fn align(&mut self, frame: &Frame, target: Timestamp) -> Correction {
        self.offset = target.since(frame.pts);
        let to = self.shifted(frame);
        Correction {
            track: frame.track,
            kind: CorrectionKind::Aligned,
            from: frame.pts,
            to,
        }
    }

    /// Takes the next frame of the track and makes its times valid.
    ///
    /// `peers` are the offsets of the other tracks: where one of them explains a jump, this track takes it
    /// too, so that picture and sound stay together.
    pub(super) fn take(
        &mut self,
        frame: &mut Frame,
        rules: &ClockRules,
        peers: impl Iterator<Item = i64>,
    ) -> Result<Option<Correction>, OrderErrorKind> {
        let given = frame.pts;
        let mut kind = None;
        let mut offset = self.offset;
        if let Some(last) = self.last {
            let (this, previous) = self.decisive(frame, last);
            let behind = previous.since(this.saturating_shift(offset));
            if behind >= 0 && rules.policy == TimestampPolicy::Refuse {
                return Err(OrderErrorKind::TimeNotRising { last: last.latest });
            }
            if behind > nanos(rules.jump) {
                kind = Some(CorrectionKind::Rebased);
                let step = frame.duration.unwrap_or(rules.step());
                let on = previous.saturating_add(step);
                let own = on.since(this);
                let fits = |peer: &i64| {
                    let there = this.saturating_shift(*peer);
                    there > previous && there.since(previous) <= nanos(rules.jump)
                };
                let mut peers = peers;
                offset = peers.find(fits).unwrap_or(own);
            } else if behind >= 0 {
                let raise = behind.saturating_add(nanos(rules.step()));
                shift(frame, offset.saturating_add(raise));
                self.note(frame);
                return Ok(Some(correction(frame, CorrectionKind::Raised, given)));
            }
        }
        self.offset = offset;
        shift(frame, offset);
        self.note(frame);
        Ok(kind.map(|kind| correction(frame, kind, given)))
    }

    /// The time that must rise and the one it must rise above.
    fn decisive(&self, frame: &Frame, last: Times) -> (Timestamp, Timestamp) {
        let knows_dts = frame.flags.contains(FrameFlags::DTS_GIVEN) || frame.dts != frame.pts;
        let pts = self.shifted(frame);
        match self.reorders {
            Reorder::Never => (frame.pts, last.latest),
            _ if knows_dts => (frame.dts, last.dts),
            // Without decoding times a step back may be a B-frame: within the group of pictures while none
            // was seen, anywhere near once one was. A frame at the same time as the one before is neither.
            _ if pts == last.pts => (frame.pts, last.pts),
            Reorder::Possible if pts > self.last_key => (frame.pts, Timestamp::MIN),
            Reorder::Seen if pts > last.latest.saturating_sub(REORDER_WINDOW) => (frame.pts, Timestamp::MIN),
            _ => (frame.pts, last.latest),
        }
    }

    /// Raises a frame already taken to `to`, and all that follow must rise above it.
    pub(super) fn raise(&mut self, frame: &mut Frame, to: Timestamp) -> Correction {
        let from = frame.pts;
        shift(frame, to.since(from));
        self.note(frame);
        correction(frame, CorrectionKind::Raised, from)
    }

    fn note(&mut self, frame: &Frame) {
        let latest = self.last.map_or(frame.pts, |last| last.latest.max(frame.pts));
        if self.reorders == Reorder::Possible && self.last.is_some_and(|last| frame.pts < last.latest) {
            self.reorders = Reorder::Seen;
        }
        if frame.is_key() {
            self.last_key = frame.pts;
        }
        self.last = Some(Times {
            pts: frame.pts,
            dts: frame.dts,
            latest,
        });
    }
}

/// How far a B-frame may be shown before a frame decoded ahead of it, where decoding times are not given:
/// 16 frames of reordering (H.264 table A-1) at 15 frames a second.
const REORDER_WINDOW: Duration = Duration::from_secs(1);

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn shift(frame: &mut Frame, by: i64) {
    frame.pts = frame.pts.saturating_shift(by);
    frame.dts = frame.dts.saturating_shift(by);
}

fn correction(frame: &Frame, kind: CorrectionKind, from: Timestamp) -> Correction {
    Correction {
        track: frame.track,
        kind,
        from,
        to: frame.pts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ClockRules = ClockRules {
        scale: TimecodeScale::MILLISECOND,
        policy: TimestampPolicy::Correct,
        jump: Duration::from_secs(2),
    };

    fn take(clock: &mut TrackClock, millis: i64) -> (i64, Option<CorrectionKind>) {
        take_frame(clock, Frame::video("x").pts(Timestamp::from_millis(millis)))
    }

    fn take_frame(clock: &mut TrackClock, mut frame: Frame) -> (i64, Option<CorrectionKind>) {
        let correction = clock.take(&mut frame, &RULES, std::iter::empty()).unwrap();
        (
            frame.pts.as_millis(),
            correction.map(|correction| correction.kind),
        )
    }

    #[test]
    fn equal_and_backward_times_are_raised_by_a_unit() {
        let mut clock = TrackClock::new(Reorder::Never);
        assert_eq!(take(&mut clock, 100), (100, None));
        assert_eq!(take(&mut clock, 100), (101, Some(CorrectionKind::Raised)));
        assert_eq!(take(&mut clock, 90), (102, Some(CorrectionKind::Raised)));
        assert_eq!(take(&mut clock, 140), (140, None));
    }

    #[test]
    fn a_clock_that_starts_anew_goes_on_where_it_was() {
        let mut clock = TrackClock::new(Reorder::Never);
        take(&mut clock, 95_443_717);
        assert_eq!(take(&mut clock, 0), (95_443_718, Some(CorrectionKind::Rebased)));
        assert_eq!(take(&mut clock, 40), (95_443_758, None));
    }

    #[test]
    fn a_jump_that_another_track_made_already_is_made_alike() {
        let mut clock = TrackClock::new(Reorder::Never);
        take(&mut clock, 60_000);
        let mut frame = Frame::audio("x").pts(Timestamp::from_millis(30));
        let peer = 60_000_000_000;
        let correction = clock
            .take(&mut frame, &RULES, [7, peer].into_iter())
            .unwrap()
            .unwrap();
        assert_eq!(
            (correction.kind, correction.to.as_millis()),
            (CorrectionKind::Rebased, 60_030)
        );
    }

    #[test]
    fn b_frames_step_back_without_a_correction() {
        let mut known = TrackClock::new(Reorder::Possible);
        for (dts, pts) in [(0, 80), (40, 240), (80, 120), (120, 160), (160, 200)] {
            let frame = Frame::video("x")
                .dts(Timestamp::from_millis(dts))
                .pts(Timestamp::from_millis(pts));
            assert_eq!(take_frame(&mut known, frame), (pts, None));
        }
        let mut unknown = TrackClock::new(Reorder::Possible);
        take_frame(
            &mut unknown,
            Frame::video("x").pts(Timestamp::from_millis(80)).key(),
        );
        for pts in [240, 120, 160, 200, 400, 280] {
            assert_eq!(take(&mut unknown, pts), (pts, None));
        }
        assert!(unknown.reorders());
    }

    #[test]
    fn decoding_times_that_repeat_shift_the_frame() {
        let mut clock = TrackClock::new(Reorder::Possible);
        let frame = |dts, pts| {
            Frame::video("x")
                .dts(Timestamp::from_millis(dts))
                .pts(Timestamp::from_millis(pts))
        };
        take_frame(&mut clock, frame(40, 80));
        assert_eq!(
            take_frame(&mut clock, frame(40, 120)),
            (121, Some(CorrectionKind::Raised))
        );
    }

    #[test]
    fn a_strict_policy_refuses_instead() {
        let mut clock = TrackClock::new(Reorder::Never);
        take(&mut clock, 100);
        let mut frame = Frame::video("x").pts(Timestamp::from_millis(100));
        let rules = ClockRules {
            policy: TimestampPolicy::Refuse,
            ..RULES
        };
        let last = Timestamp::from_millis(100);
        assert_eq!(
            clock.take(&mut frame, &rules, std::iter::empty()),
            Err(OrderErrorKind::TimeNotRising { last })
        );
    }
}
