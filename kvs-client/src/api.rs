//! The operations of the API as types: each is its request body, and names its path and its answer.
//!
//! Source: the API reference of Kinesis Video Streams. [`HttpControlPlane::call`](crate::HttpControlPlane::call) performs any of
//! them.

mod streams;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::streams::*;
use crate::CreateStream;

/// An operation: what is serialized is the request body.
pub trait Operation: Serialize {
    /// Where it is posted to.
    const PATH: &'static str;

    /// What the service answers.
    type Output: DeserializeOwned;
}

/// The answer of an operation that has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

impl Operation for CreateStream {
    const PATH: &'static str = "/createStream";
    type Output = CreateStreamOutput;
}
