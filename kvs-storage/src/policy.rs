//! What to do when there is no room.

use std::time::Duration;

/// What happens to a frame that finds no room.
///
/// No policy ever takes part of the fragment that is being sent, and dropping a key frame drops the rest of its fragment:
/// what remains can always be decoded, and a cluster on the wire is always finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// Refuse the new frame at once and keep what is held.
    Refuse,
    /// Drop the oldest fragment, as often as needed. The default: the newest media matters most, and no fragment is left
    /// with a hole.
    #[default]
    DropUntilFragmentStart,
    /// Drop the oldest item, as often as needed. Where that is a key frame, the rest of its fragment goes too.
    DropTailItem,
    /// Wait for room this long, then refuse.
    Wait(Duration),
}
