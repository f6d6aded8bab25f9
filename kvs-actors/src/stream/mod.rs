//! A stream at run time: its handle, what the handle shares with its actor, the actor, and what outlives the actor.

mod actor;
mod appending;
mod blocking;
mod handle;
mod intake;
mod messages;
mod shared;
mod slot;

pub use actor::StreamActor;
pub(crate) use appending::Appending;
pub use handle::{EventStream, StreamHandle};
pub use intake::Accepted;
pub use messages::{FlushUntil, Observe};
pub(crate) use shared::StreamShared;
pub(crate) use slot::{StreamSlot, supervise};
