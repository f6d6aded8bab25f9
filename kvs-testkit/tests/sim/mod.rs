//! Broken machines.

mod broken;
mod doors;
