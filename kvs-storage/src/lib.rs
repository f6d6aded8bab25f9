//! The rolling window and the content stores of a Kinesis Video Streams producer.
//!
//! Between an encoder and the network stands a buffer. This crate splits it in two: a [`ContentView`] knows *what* is held
//! (which frames, in which fragments, what was sent and acknowledged) and a [`ContentStore`] knows *where the bytes are*.
//! The view is pure metadata without I/O or clock. The store is a seam: asynchronous, fallible, and open to your own
//! implementation.
//!
//! # An item's way
//!
//! 1. A frame's cost, its payload and [`ITEM_OVERHEAD`], is reserved from the producer's one [`ByteBudget`]. The
//!    [`Reservation`] travels with the [`Item`] and gives the bytes back wherever the item ends.
//! 2. [`ContentView::append`] takes the [`ItemMeta`]; [`ContentStore::append`] takes the [`Item`].
//! 3. The sender asks [`ContentView::next`] what to send, reads the bytes from the store, and [advances](ContentView::advance).
//! 4. An acknowledgement marks the fragment ([`ContentView::mark_ack`]); once delivered ([`ContentView::deliver`]) it leaves
//!    the window ([`ContentView::poll_delivered`]) and is [released](ContentStore::release) in the store.
//! 5. A lost connection [rolls back](ContentView::rollback_to) to a fragment start; a full buffer
//!    [evicts](ContentView::evict) by [`OverflowPolicy`].
//!
//! # Stores
//!
//! [`MemoryStore`] keeps items in memory; [`SpoolStore`](spool::SpoolStore), one per stream of a [`Spool`](spool::Spool),
//! keeps them on disk as well, so that they survive the process and the power. A store of your own proves itself with the suite `conformance::content_store`,
//! behind the feature `conformance`.

mod blob_key;
mod budget;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod durability;
mod error;
#[cfg(any(test, feature = "conformance"))]
mod faulty;
mod fragment;
mod future;
mod item;
mod memory;
mod policy;
mod ring;
mod sizing;
pub mod spool;
mod store;
mod view;

pub use budget::{ByteBudget, ITEM_OVERHEAD, Pressure, PressureThresholds, Reservation, Share};
pub use durability::{Durability, DurableMark};
pub use error::{StoreError, StoreErrorKind};
pub use fragment::{AckState, FragmentInfo, SentState, StoredFragment};
pub use future::StoreFuture;
pub use item::{Item, ItemFlags, ItemMeta};
pub use memory::MemoryStore;
pub use policy::OverflowPolicy;
pub use sizing::MediaRate;
pub use store::ContentStore;
pub use view::{Appended, ContentView, Next, Range64, Removed, Tally, ViewLimits, ViewTotals};
