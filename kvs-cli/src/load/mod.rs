//! `kvs load`: many streams of made-up video against an endpoint, and what that costs.

mod media;
mod meter;
mod run;
mod usage;
mod wire;

pub(crate) use run::run;
