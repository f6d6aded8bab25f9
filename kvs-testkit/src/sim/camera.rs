//! A synthetic camera: pictures twice a second, in fragments of one to four seconds, with sound beside them in some runs.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kvs_mkv::{Tag, Timestamp, Track, TrackKind, TrackSet};

use super::seed::Dice;

/// From one picture to the next.
const INTERVAL: Duration = Duration::from_millis(500);

/// How much faster recorded media comes.
const BURST_SPEED: u32 = 40;

/// What the camera gives at one moment.
#[derive(Debug)]
pub(super) struct Shot {
    /// The fragment that it begins, if it begins one.
    pub(super) fragment: Option<(Timestamp, Arc<TrackSet>)>,
    /// Its frames: a picture, and sound where there is a track for it.
    pub(super) frames: Vec<Shown>,
}

/// One frame.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) track: u8,
    pub(super) pts: Timestamp,
    pub(super) is_key: bool,
    pub(super) payload: Bytes,
}

/// The camera of a run.
#[derive(Debug)]
pub(super) struct Camera {
    dice: Dice,
    tracks: Arc<TrackSet>,
    formats: u32,
    has_sound: bool,
    /// The next picture's time.
    pts: Timestamp,
    pictures_left: u64,
    last_timecode: Option<Timestamp>,
    last_pts: Option<Timestamp>,
    frames: u64,
    pub(super) is_silent: bool,
    pub(super) is_bursting: bool,
}

impl Camera {
    pub(super) fn new(mut dice: Dice, start: Timestamp) -> Option<Self> {
        let has_sound = dice.percent(30);
        // Off the whole millisecond, as real clocks are.
        let pts = start.saturating_add(Duration::from_nanos(dice.number(0, 999_999_999)));
        Some(Camera {
            dice,
            tracks: tracks(1, has_sound)?,
            formats: 1,
            has_sound,
            pts,
            pictures_left: 0,
            last_timecode: None,
            last_pts: None,
            frames: 0,
            is_silent: false,
            is_bursting: false,
        })
    }

    /// How long until the next picture.
    pub(super) fn interval(&self) -> Duration {
        if self.is_bursting {
            INTERVAL / BURST_SPEED
        } else {
            INTERVAL
        }
    }

    /// The next pictures make a new fragment, whatever was planned.
    pub(super) fn begin_fragment(&mut self) {
        self.pictures_left = 0;
    }

    /// The format changes with the next fragment.
    pub(super) fn change_format(&mut self) {
        self.formats += 1;
        if let Some(tracks) = tracks(self.formats, self.has_sound) {
            self.tracks = tracks;
        }
        self.begin_fragment();
    }

    /// The clock that stamps the media jumps, and with it the next fragment's time.
    pub(super) fn jump(&mut self, nanos: i64) {
        self.pts = self.pts.saturating_shift(nanos);
        self.begin_fragment();
    }

    /// The next picture.
    pub(super) fn shoot(&mut self) -> Shot {
        let mut fragment = None;
        let starts = self.pictures_left == 0;
        if starts {
            self.pictures_left = self.dice.number(2, 8);
            self.pts = self.after_what_was();
            self.last_timecode = Some(self.pts);
            fragment = Some((self.pts, Arc::clone(&self.tracks)));
        }
        self.pictures_left -= 1;
        let mut frames = vec![self.frame(1, self.pts, starts)];
        if self.has_sound {
            let pts = self.pts.saturating_add(Duration::from_millis(100));
            frames.push(self.frame(2, pts, true));
        }
        self.last_pts = frames.last().map(|frame| frame.pts);
        self.pts = self.pts.saturating_add(INTERVAL);
        Shot { fragment, frames }
    }

    /// The next fragment's time: either before the last fragment's, so that it needs a new session, or after all that the
    /// last one held, as the ordering of frames before the machine makes it.
    fn after_what_was(&self) -> Timestamp {
        match (self.last_timecode, self.last_pts) {
            (Some(timecode), Some(last)) if self.pts > timecode && self.pts <= last => {
                last.saturating_add(Duration::from_millis(40))
            }
            _ => self.pts,
        }
    }

    /// The metadata of the fragment that ends.
    pub(super) fn tags(&mut self) -> Vec<Tag> {
        if self.dice.percent(80) {
            return Vec::new();
        }
        let count = self.dice.number(1, 3);
        (0..count)
            .filter_map(|n| Tag::new(format!("tag-{n}"), self.frames.to_string()).ok())
            .collect()
    }

    fn frame(&mut self, track: u8, pts: Timestamp, is_key: bool) -> Shown {
        self.frames += 1;
        let filling = if self.dice.percent(1) {
            self.dice.number(5_000, 40_000)
        } else {
            self.dice.number(20, 200)
        };
        let mut payload = BytesMut::with_capacity(8 + usize::try_from(filling).unwrap_or(0));
        // No two frames of a run are alike.
        payload.put_u64(self.frames);
        payload.put_bytes(track, usize::try_from(filling).unwrap_or(0));
        Shown {
            track,
            pts,
            is_key,
            payload: payload.freeze(),
        }
    }
}

fn tracks(format: u32, has_sound: bool) -> Option<Arc<TrackSet>> {
    let private = Bytes::copy_from_slice(&format.to_be_bytes());
    let mut tracks = vec![Track::raw(1, TrackKind::Video, "V_TEST", private)];
    if has_sound {
        tracks.push(Track::raw(2, TrackKind::Audio, "A_TEST", Bytes::new()));
    }
    TrackSet::new(tracks).ok().map(Arc::new)
}
