//! When the next frame may be put.
//!
//! The service's quotas are kept where frames are sent, by the stream itself; here frames only wait for their time when
//! they are to go as fast as they would be played.

use std::time::Duration;

use kvs_mkv::{Frame, Timestamp};
use tokio::time::Instant;

use crate::cli::Pace;

/// Decides when frames are put.
#[derive(Debug)]
pub(crate) struct Pacer {
    pace: Pace,
    start: Option<(Timestamp, Instant)>,
}

impl Pacer {
    pub(crate) fn new(pace: Pace) -> Pacer {
        Pacer { pace, start: None }
    }

    /// Waits until `frame` is due.
    pub(crate) async fn wait_for(&mut self, frame: &Frame) {
        let now = Instant::now();
        let due = self.due(frame, now);
        if due > now {
            tokio::time::sleep_until(due).await;
        } else {
            // A sleep takes a millisecond at least. Others still get their turn: a request to end, for one.
            tokio::task::yield_now().await;
        }
    }

    /// When `frame` is due, asked at `now`. The first frame is due at once.
    fn due(&mut self, frame: &Frame, now: Instant) -> Instant {
        match self.pace {
            Pace::Quota => now,
            Pace::Realtime => {
                let &mut (first, began) = self.start.get_or_insert((frame.dts, now));
                let nanos = frame.dts.as_nanos().saturating_sub(first.as_nanos());
                began + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Frame {
        Frame::video(vec![1]).pts(Timestamp::from_millis(millis))
    }

    #[test]
    fn playing_speed_follows_the_decoding_time() {
        let now = Instant::now();
        let mut pacer = Pacer::new(Pace::Realtime);
        assert_eq!(pacer.due(&at(500), now), now);
        let later = now + Duration::from_millis(3);
        assert_eq!(pacer.due(&at(540), later), now + Duration::from_millis(40));
        assert_eq!(pacer.due(&at(400), later), now);
    }

    #[test]
    fn otherwise_nothing_waits() {
        let now = Instant::now();
        let mut pacer = Pacer::new(Pace::Quota);
        assert_eq!(pacer.due(&at(0), now), now);
        assert_eq!(pacer.due(&at(3_600_000), now), now);
    }
}
