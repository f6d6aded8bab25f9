//! The unit of buffering: one frame's bytes and what the window needs to know about them.

use std::fmt;

use bytes::Bytes;

use crate::budget::{ITEM_OVERHEAD, Reservation};

/// What one stored frame is, without its bytes.
///
/// Times are nanoseconds since the Unix epoch; `duration` is in nanoseconds, 0 when unknown. Sequence numbers rise
/// strictly within a stream and are never used again; gaps are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ItemMeta {
    /// Position in the stream, rising strictly.
    pub seq: u64,
    /// Presentation time, nanoseconds since the Unix epoch.
    pub pts: i64,
    /// Decoding time, nanoseconds since the Unix epoch.
    pub dts: i64,
    /// Duration in nanoseconds, 0 when unknown.
    pub duration: u64,
    /// Track number, 1 to 255.
    pub track: u8,
    /// What the item begins, ends or is.
    pub flags: ItemFlags,
    /// Payload length in bytes.
    pub len: u32,
}

impl ItemMeta {
    /// What this item costs a [`ByteBudget`](crate::ByteBudget): its payload and [`ITEM_OVERHEAD`].
    #[must_use]
    pub fn cost(&self) -> u64 {
        u64::from(self.len) + ITEM_OVERHEAD
    }

    /// Presentation time at which the item ends, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn end_pts(&self) -> i64 {
        self.pts.saturating_add_unsigned(self.duration)
    }
}

/// A small set of facts about an item.
///
/// ```
/// use kvs_storage::ItemFlags;
///
/// let flags = ItemFlags::KEY.with(ItemFlags::FRAGMENT_START);
/// assert!(flags.contains(ItemFlags::KEY));
/// assert!(!flags.contains(ItemFlags::FRAGMENT_END));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ItemFlags(u16);

impl ItemFlags {
    /// No flag at all.
    pub const NONE: ItemFlags = ItemFlags(0);
    /// A frame that others depend on: losing it makes the rest of its fragment useless.
    pub const KEY: ItemFlags = ItemFlags(1);
    /// The first item of a fragment.
    pub const FRAGMENT_START: ItemFlags = ItemFlags(1 << 1);
    /// The last item of a fragment.
    pub const FRAGMENT_END: ItemFlags = ItemFlags(1 << 2);
    /// A new session header must precede this item: the track set changed here, or time stepped back.
    pub const SESSION_START: ItemFlags = ItemFlags(1 << 3);
    /// A decoder may drop the frame without harm to others.
    pub const DISCARDABLE: ItemFlags = ItemFlags(1 << 4);
    /// The frame is decoded and not shown.
    pub const INVISIBLE: ItemFlags = ItemFlags(1 << 5);

    const NAMES: [(ItemFlags, &'static str); 6] = [
        (ItemFlags::KEY, "KEY"),
        (ItemFlags::FRAGMENT_START, "FRAGMENT_START"),
        (ItemFlags::FRAGMENT_END, "FRAGMENT_END"),
        (ItemFlags::SESSION_START, "SESSION_START"),
        (ItemFlags::DISCARDABLE, "DISCARDABLE"),
        (ItemFlags::INVISIBLE, "INVISIBLE"),
    ];

    /// Whether every flag of `other` is set here.
    #[must_use]
    pub const fn contains(self, other: ItemFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: ItemFlags) -> ItemFlags {
        ItemFlags(self.0 | other.0)
    }

    /// These flags without those of `other`.
    #[must_use]
    pub const fn without(self, other: ItemFlags) -> ItemFlags {
        ItemFlags(self.0 & !other.0)
    }

    /// Sets the flags of `other`.
    pub fn insert(&mut self, other: ItemFlags) {
        self.0 |= other.0;
    }

    /// Clears the flags of `other`.
    pub fn remove(&mut self, other: ItemFlags) {
        self.0 &= !other.0;
    }

    /// The set as a number, stable across versions, for writing it down.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set a number stands for. Unknown bits are kept, so that what a newer version wrote survives a rewrite.
    #[must_use]
    pub const fn from_bits(bits: u16) -> ItemFlags {
        ItemFlags(bits)
    }
}

impl fmt::Debug for ItemFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unknown = *self;
        let mut separator = "";
        for (flag, name) in ItemFlags::NAMES {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = " | ";
                unknown.remove(flag);
            }
        }
        match (unknown.0, separator) {
            (0, "") => f.write_str("NONE"),
            (0, _) => Ok(()),
            (bits, _) => write!(f, "{separator}{bits:#x}"),
        }
    }
}

/// One frame in the store: its metadata, its bytes, and the budget charge that goes wherever they go.
#[derive(Debug)]
pub struct Item {
    /// What it is. `meta.len` equals `payload.len()`.
    pub meta: ItemMeta,
    /// The frame's bytes, shared and never copied by a store in memory.
    pub payload: Bytes,
    /// What the payload was charged to the byte budget. A store keeps it exactly as long as it keeps the payload in
    /// memory, so bytes that went to disk give their memory back by themselves.
    pub charge: Option<Reservation>,
}

impl Item {
    /// An item that is charged to no budget.
    #[must_use]
    pub fn new(meta: ItemMeta, payload: Bytes) -> Item {
        Item {
            meta,
            payload,
            charge: None,
        }
    }

    /// The same item carrying its charge.
    #[must_use]
    pub fn with_charge(mut self, charge: Reservation) -> Item {
        self.charge = Some(charge);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_by_name_and_keep_unknown_bits() {
        assert_eq!(format!("{:?}", ItemFlags::NONE), "NONE");
        assert_eq!(
            format!("{:?}", ItemFlags::KEY.with(ItemFlags::FRAGMENT_START)),
            "KEY | FRAGMENT_START"
        );
        let newer = ItemFlags::from_bits(0x8001);
        assert_eq!(format!("{newer:?}"), "KEY | 0x8000");
        assert_eq!(newer.bits(), 0x8001);
    }

    #[test]
    fn an_item_costs_its_payload_and_the_fixed_overhead() {
        let meta = ItemMeta {
            seq: 1,
            pts: 5,
            dts: 5,
            duration: 3,
            track: 1,
            flags: ItemFlags::NONE,
            len: 10,
        };
        assert_eq!(meta.cost(), 10 + ITEM_OVERHEAD);
        assert_eq!(meta.end_pts(), 8);
    }
}
