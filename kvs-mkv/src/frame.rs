//! [`Frame`]: one coded picture or one packet of sound.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::time::Timestamp;

/// One coded picture (all its slices) or one packet of sound, with its times.
///
/// The payload is shared, never copied. `pts` says when the frame is shown and decides which fragment it
/// belongs to; `dts` says when it is decoded and orders the frames of one track. They differ only in
/// streams with B-frames.
///
/// ```
/// use kvs_mkv::{Frame, Timestamp};
///
/// let frame = Frame::video(vec![0, 0, 0, 1, 0x65]).pts(Timestamp::from_millis(40)).key();
/// assert_eq!(frame.track, 1);
/// assert_eq!(frame.dts, frame.pts);
/// assert!(frame.is_key());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Number of the track, 1..=126.
    pub track: u8,
    /// Presentation time.
    pub pts: Timestamp,
    /// Decoding time; the presentation time where the caller gave none.
    pub dts: Timestamp,
    /// How long the frame lasts, where it is known.
    pub duration: Option<Duration>,
    /// What kind of frame it is.
    pub flags: FrameFlags,
    /// The coded frame.
    pub data: Bytes,
}

impl Frame {
    /// A frame of track `track` at time zero.
    #[must_use]
    pub fn new(track: u8, data: impl Into<Bytes>) -> Self {
        Frame {
            track,
            pts: Timestamp::ZERO,
            dts: Timestamp::ZERO,
            duration: None,
            flags: FrameFlags::NONE,
            data: data.into(),
        }
    }

    /// A frame of track 1, which by convention is the video.
    #[must_use]
    pub fn video(data: impl Into<Bytes>) -> Self {
        Frame::new(1, data)
    }

    /// A frame of track 2, which by convention is the sound.
    #[must_use]
    pub fn audio(data: impl Into<Bytes>) -> Self {
        Frame::new(2, data)
    }

    /// Puts the frame on another track.
    #[must_use]
    pub fn track(mut self, number: u8) -> Self {
        self.track = number;
        self
    }

    /// Sets the presentation time, and the decoding time too unless [`dts`](Self::dts) was called.
    #[must_use]
    pub fn pts(mut self, pts: Timestamp) -> Self {
        self.pts = pts;
        if !self.flags.contains(FrameFlags::DTS_GIVEN) {
            self.dts = pts;
        }
        self
    }

    /// Sets the decoding time.
    #[must_use]
    pub fn dts(mut self, dts: Timestamp) -> Self {
        self.dts = dts;
        self.flags.insert(FrameFlags::DTS_GIVEN);
        self
    }

    /// Sets the duration.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// Marks a key frame: one that decodes without any frame before it.
    #[must_use]
    pub fn key(self) -> Self {
        self.key_if(true)
    }

    /// Marks a key frame if `key`.
    #[must_use]
    pub fn key_if(mut self, key: bool) -> Self {
        self.flags = if key {
            self.flags.with(FrameFlags::KEY)
        } else {
            self.flags.without(FrameFlags::KEY)
        };
        self
    }

    /// Adds flags.
    #[must_use]
    pub fn flags(mut self, flags: FrameFlags) -> Self {
        self.flags = self.flags.with(flags);
        self
    }

    /// Whether the frame is marked as a key frame.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.flags.contains(FrameFlags::KEY)
    }
}

/// A set of facts about a frame.
///
/// The bits of [`KEY`](Self::KEY), [`INVISIBLE`](Self::INVISIBLE) and [`DISCARDABLE`](Self::DISCARDABLE) are
/// those of a SimpleBlock's flags (Matroska §10.2); the others never reach the wire.
///
/// ```
/// use kvs_mkv::FrameFlags;
///
/// let flags = FrameFlags::KEY.with(FrameFlags::DISCARDABLE);
/// assert!(flags.contains(FrameFlags::KEY));
/// assert!(!flags.contains(FrameFlags::INVISIBLE));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FrameFlags(u8);

impl FrameFlags {
    /// None of them.
    pub const NONE: FrameFlags = FrameFlags(0);
    /// The frame decodes without any frame before it.
    pub const KEY: FrameFlags = FrameFlags(0x80);
    /// The frame is decoded but not shown.
    pub const INVISIBLE: FrameFlags = FrameFlags(0x08);
    /// No other frame needs this one.
    pub const DISCARDABLE: FrameFlags = FrameFlags(0x01);
    /// The codec configuration of the track changes at this frame (a new resolution, another sample rate):
    /// the fragment it falls in needs a new session with new track headers.
    pub const NEW_FORMAT: FrameFlags = FrameFlags(0x40);
    /// The caller knows the decoding time; without it, `dts` is a copy of `pts` and says nothing.
    pub const DTS_GIVEN: FrameFlags = FrameFlags(0x20);

    const ON_THE_WIRE: u8 = 0x89;

    /// The set with these bits; bits without a meaning are dropped.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        FrameFlags(bits & (Self::ON_THE_WIRE | Self::NEW_FORMAT.0 | Self::DTS_GIVEN.0))
    }

    /// The bits of the set.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The bits a SimpleBlock carries.
    #[must_use]
    pub const fn wire_bits(self) -> u8 {
        self.0 & Self::ON_THE_WIRE
    }

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: FrameFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds the flags of `other`.
    pub const fn insert(&mut self, other: FrameFlags) {
        self.0 |= other.0;
    }

    /// Takes the flags of `other` away.
    pub const fn remove(&mut self, other: FrameFlags) {
        self.0 &= !other.0;
    }

    /// This set and `other`.
    #[must_use]
    pub const fn with(self, other: FrameFlags) -> Self {
        FrameFlags(self.0 | other.0)
    }

    /// This set less `other`.
    #[must_use]
    pub const fn without(self, other: FrameFlags) -> Self {
        FrameFlags(self.0 & !other.0)
    }
}

impl fmt::Debug for FrameFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = f.debug_set();
        for (flag, name) in [
            (FrameFlags::KEY, "KEY"),
            (FrameFlags::INVISIBLE, "INVISIBLE"),
            (FrameFlags::DISCARDABLE, "DISCARDABLE"),
            (FrameFlags::NEW_FORMAT, "NEW_FORMAT"),
            (FrameFlags::DTS_GIVEN, "DTS_GIVEN"),
        ] {
            if self.contains(flag) {
                set.entry(&format_args!("{name}"));
            }
        }
        set.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pts_sets_dts_until_dts_is_given() {
        let at = Timestamp::from_millis;
        let plain = Frame::video("x").pts(at(5));
        assert_eq!(plain.dts, at(5));
        let reordered = Frame::video("x").dts(at(3)).pts(at(5));
        assert_eq!((reordered.pts, reordered.dts), (at(5), at(3)));
    }

    #[test]
    fn only_matroska_flags_reach_the_wire() {
        let flags = FrameFlags::KEY.with(FrameFlags::NEW_FORMAT);
        assert_eq!(flags.wire_bits(), 0x80);
        assert_eq!(FrameFlags::from_bits(0xff).wire_bits(), 0x89);
        assert_eq!(format!("{flags:?}"), "{KEY, NEW_FORMAT}");
    }
}
