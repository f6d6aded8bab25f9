//! The machine, driven by hand.

mod behaviour;
mod random;
mod rig;
