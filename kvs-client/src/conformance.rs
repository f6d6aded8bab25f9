//! What every implementation of this crate's seams has to do, as functions to call from its own tests.
//!
//! A fixture connects the suite with the implementation: for [`media_transport`] it hands out transports and
//! plays their far end, for [`control_plane`] it hands out a control plane over a service without streams.
//! The suites panic with what was expected where an implementation falls short; they need a tokio `LocalSet`
//! or an actix runtime where the implementation does.

mod control_plane;
mod media_transport;

pub use self::{
    control_plane::control_plane,
    media_transport::{MediaFixture, MediaPeer, media_transport},
};
