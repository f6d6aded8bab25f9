//! How the caller's media time becomes epoch time, once per stream.

use std::time::SystemTime;

use kvs_mkv::{Frame, Timestamp};
use serde::{Deserialize, Serialize};

/// What the timestamps of the frames count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TimeBase {
    /// They are nanoseconds since the Unix epoch already.
    Epoch,
    /// The first frame's presentation time is the moment at which it was put; all others keep their distance to it.
    #[default]
    AnchorAtFirstFrame,
    /// Zero is this moment: for recordings that are to keep their original time.
    StartAt(SystemTime),
}

/// The mapping of one stream, fixed by its first frame.
#[derive(Debug, Clone)]
pub(crate) struct Anchor {
    base: TimeBase,
    offset: Option<i64>,
}

impl Anchor {
    pub(crate) fn new(base: TimeBase) -> Self {
        Anchor { base, offset: None }
    }

    /// The epoch time of a frame. The offset is taken from the first frame asked for and kept by [`fix`](Self::fix).
    pub(crate) fn place(&self, frame: &mut Frame, wall: SystemTime) {
        let offset = self.offset_for(frame, wall);
        frame.pts = frame.pts.saturating_shift(offset);
        frame.dts = frame.dts.saturating_shift(offset);
    }

    /// Keeps the offset that `frame`, not yet placed, gives.
    pub(crate) fn fix(&mut self, frame: &Frame, wall: SystemTime) {
        self.offset = Some(self.offset_for(frame, wall));
    }

    fn offset_for(&self, frame: &Frame, wall: SystemTime) -> i64 {
        self.offset.unwrap_or_else(|| match self.base {
            TimeBase::Epoch => 0,
            TimeBase::AnchorAtFirstFrame => Timestamp::from(wall).since(frame.pts),
            TimeBase::StartAt(start) => Timestamp::from(start).as_nanos(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn frame(millis: i64) -> Frame {
        Frame::video(vec![1]).pts(Timestamp::from_millis(millis))
    }

    #[test]
    fn the_first_frame_anchors_all_others() {
        let wall = UNIX_EPOCH + Duration::from_secs(1_000);
        let mut anchor = Anchor::new(TimeBase::AnchorAtFirstFrame);
        let first = frame(40);
        anchor.fix(&first, wall);
        let mut later = frame(80);
        anchor.place(&mut later, wall + Duration::from_secs(77));
        assert_eq!(later.pts, Timestamp::from_millis(1_000_040));
        assert_eq!(later.dts, later.pts);
    }

    #[test]
    fn a_recording_keeps_its_original_time() {
        let start = UNIX_EPOCH + Duration::from_secs(1_000);
        let anchor = Anchor::new(TimeBase::StartAt(start));
        let mut first = frame(-21);
        anchor.place(&mut first, SystemTime::now());
        assert_eq!(first.pts, Timestamp::from_millis(999_979));
    }
}
