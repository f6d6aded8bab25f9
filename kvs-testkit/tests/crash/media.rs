//! Media that both processes know by heart: every frame follows from its place.

use bytes::Bytes;
use kvs_actors::machine::RateLimits;
use kvs_actors::{StreamConfig, TimeBase};
use kvs_mkv::{Codec, Frame, Timestamp, Track, TrackKind};

/// The streams; the last one has an audio track, too.
pub(crate) const STREAMS: [&str; 3] = ["gate", "yard", "hall"];

/// Frames in each fragment.
pub(crate) const FRAMES: u64 = 6;

/// Fragments that a process may put at most; the next one's begin after them.
pub(crate) const FRAGMENTS_PER_PROCESS: u64 = 10_000;

const FIRST_MS: u64 = 1_700_000_000_000;
const FRAGMENT_MS: u64 = 1_000;
const FRAME_MS: u64 = 100;
const VIDEO: u8 = 1;
const AUDIO: u8 = 2;

/// The place of a frame in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) fragment: u64,
    pub(crate) frame: u64,
}

impl Place {
    /// The first frame of a fragment.
    pub(crate) fn start_of(fragment: u64) -> Place {
        Place { fragment, frame: 0 }
    }

    pub(crate) fn next(self) -> Place {
        if self.frame + 1 == FRAMES {
            Place::start_of(self.fragment + 1)
        } else {
            Place {
                frame: self.frame + 1,
                ..self
            }
        }
    }
}

/// A fragment's timecode in milliseconds.
pub(crate) fn timecode(fragment: u64) -> i64 {
    i64::try_from(FIRST_MS + FRAGMENT_MS * fragment).unwrap()
}

/// The fragment that has a timecode.
pub(crate) fn fragment_at(timecode: i64) -> Option<u64> {
    let since = u64::try_from(timecode).ok()?.checked_sub(FIRST_MS)?;
    since.is_multiple_of(FRAGMENT_MS).then_some(since / FRAGMENT_MS)
}

fn has_audio(stream: usize) -> bool {
    stream + 1 == STREAMS.len()
}

pub(crate) fn track_of(stream: usize, place: Place) -> u8 {
    if has_audio(stream) && place.frame % 2 == 1 {
        AUDIO
    } else {
        VIDEO
    }
}

pub(crate) fn frame_timecode(place: Place) -> i64 {
    timecode(place.fragment) + i64::try_from(FRAME_MS * place.frame).unwrap()
}

/// Up to 12 kB that no other frame has.
pub(crate) fn payload(stream: usize, place: Place) -> Bytes {
    let mut bytes = fastrand::Rng::with_seed(((stream as u64) << 56) ^ (place.fragment << 8) ^ place.frame);
    let len = bytes.usize(1..12_000);
    let mut payload = vec![0; len];
    bytes.fill(&mut payload);
    payload.into()
}

pub(crate) fn frame(stream: usize, place: Place) -> Frame {
    let frame = Frame::new(track_of(stream, place), payload(stream, place));
    frame
        .pts(Timestamp::from_millis(frame_timecode(place)))
        .key_if(place.frame == 0 || track_of(stream, place) == AUDIO)
}

/// What is certainly in order once every frame before `place` was put: an audio frame goes out when video has reached its
/// time, so the last one of a fragment waits for the next key frame.
pub(crate) fn in_order_before(stream: usize, place: Place) -> Place {
    match place.frame {
        _ if !has_audio(stream) => place,
        0 => Place::start_of(place.fragment.saturating_sub(1)),
        _ => Place::start_of(place.fragment),
    }
}

pub(crate) fn config(stream: usize) -> StreamConfig {
    let track = |number, codec_id: &str, kind| {
        let codec = Codec::Raw {
            codec_id: codec_id.to_owned(),
            kind,
        };
        Track::new(number, codec)
            .with_codec_private(Bytes::new())
            .unwrap()
    };
    let config = StreamConfig::offline(STREAMS[stream])
        .track(track(VIDEO, "V_UNCOMPRESSED", TrackKind::Video))
        .time_base(TimeBase::Epoch)
        .rate(RateLimits::OFF);
    if has_audio(stream) {
        config.track(track(AUDIO, "A_PCM/INT/LIT", TrackKind::Audio))
    } else {
        config
    }
}
