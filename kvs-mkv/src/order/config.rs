//! Limits and policies of the [`FrameOrderer`](super::FrameOrderer).

use std::time::Duration;

use crate::time::TimecodeScale;

/// How frames are ordered and cut into fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderConfig {
    /// The unit of timecodes on the wire. Default one millisecond.
    pub scale: TimecodeScale,
    /// How far sound may start before the first key frame and still belong to the first fragment. Default
    /// 1 s; what is older is dropped.
    pub leading_audio: Duration,
    /// After how much media time of the other tracks a track without frames counts as silent. `None` waits
    /// for it until its peers' queues are full. Default 5 s.
    pub silence_limit: Option<Duration>,
    /// What happens at the silence limit. Default [`SilencePolicy::Roll`].
    pub silence: SilencePolicy,
    /// Key frames closer than this to the start of a fragment do not cut. Default 200 ms: the service takes
    /// five fragments a second.
    pub min_fragment: Duration,
    /// How long fragments are where every frame is a key frame: sound alone, MJPEG, PCM. Default 1 s,
    /// the shortest the service's quotas name.
    pub intra_fragment: Duration,
    /// The ceiling on a fragment's duration. Default 9.5 s: the service's older limit is 10 s, its current
    /// one 20 s. The 16 bits of a block's time may bound it further, at 32,767 units of the scale.
    pub max_fragment: Duration,
    /// The ceiling on a fragment's payload in bytes. Default 50,000,000, as the service's.
    pub max_fragment_bytes: usize,
    /// What happens to a group of pictures that goes over a ceiling. Default
    /// [`KeyFramePolicy::DropUntilKeyFrame`].
    pub key_frames: KeyFramePolicy,
    /// What happens to pictures that follow a key frame and are shown before it. Default
    /// [`LeadingPicturePolicy::Keep`].
    pub leading_pictures: LeadingPicturePolicy,
    /// What happens to times that repeat or go back. Default [`TimestampPolicy::Correct`].
    pub timestamps: TimestampPolicy,
    /// A step back of more than this is a clock that started anew, not jitter. Default 2 s.
    pub jump: Duration,
    /// How far the clocks of two tracks may be apart. Default 10 s.
    pub max_skew: Duration,
    /// What happens beyond that. Default [`SkewPolicy::Refuse`].
    pub skew: SkewPolicy,
    /// Most frames held of one track. Default 1,024.
    pub max_queued_frames: usize,
}

impl Default for OrderConfig {
    fn default() -> Self {
        OrderConfig {
            scale: TimecodeScale::MILLISECOND,
            leading_audio: Duration::from_secs(1),
            silence_limit: Some(Duration::from_secs(5)),
            silence: SilencePolicy::Roll,
            min_fragment: Duration::from_millis(200),
            intra_fragment: Duration::from_secs(1),
            max_fragment: Duration::from_millis(9_500),
            max_fragment_bytes: 50_000_000,
            key_frames: KeyFramePolicy::DropUntilKeyFrame,
            leading_pictures: LeadingPicturePolicy::Keep,
            timestamps: TimestampPolicy::Correct,
            jump: Duration::from_secs(2),
            max_skew: Duration::from_secs(10),
            skew: SkewPolicy::Refuse,
            max_queued_frames: 1_024,
        }
    }
}

/// What happens when a track has been silent for longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SilencePolicy {
    /// The track is declared gone at the next fragment, and the session rolls without it. It may return at
    /// a key frame, when the session rolls again.
    #[default]
    Roll,
    /// Frames of the other tracks are refused with an error that names both tracks.
    Refuse,
}

/// What happens to a group of pictures that goes over the ceiling on duration or bytes.
///
/// At 80 % of the duration [`Ordered::KeyFrameWanted`](super::Ordered::KeyFrameWanted) asks for a key
/// frame, whatever the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyFramePolicy {
    /// Frames are dropped until the next key frame.
    #[default]
    DropUntilKeyFrame,
    /// A fragment is cut there without a key frame. The service takes it, but it cannot be played alone:
    /// for streams that refresh without key frames.
    CutAnywhere,
    /// Frames are refused with an error until the next key frame.
    Refuse,
}

/// What happens to the pictures of an open group that follow their key frame and are shown before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LeadingPicturePolicy {
    /// The fragment starts at the first of them. Players that start at this fragment leave them out.
    #[default]
    Keep,
    /// They are dropped, so that every fragment plays alone.
    Drop,
}

/// What happens to times that repeat or go back within a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TimestampPolicy {
    /// A time that is not after the one before is raised to one unit after it, 1 ms at most; after a jump back (a clock
    /// that wrapped or was set) the track goes on where it was, by an offset. Each correction is told.
    #[default]
    Correct,
    /// The frame is refused.
    Refuse,
}

/// What happens where the clocks of two tracks are too far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SkewPolicy {
    /// The frame is refused with an error that names both tracks and the distance.
    #[default]
    Refuse,
    /// The track is shifted so that it goes on at the other's time.
    Rebase,
}
