//! Ways of embedding the producer, one file each; this library is the camera they share.
//!
//! | example | shows |
//! |---|---|
//! | `plain_tokio` | a service on tokio that streams a camera |
//! | `sync` | a program without async code, with settings out of TOML |
//! | `inside_actix` | the same inside an actix system, and what the stream says of itself |
//! | `test_with_mock` | a test that resets the connection in the middle of a fragment |
//! | `endless_body` | how soon a frame is on the wire and acknowledged, plain and over TLS |
//!
//! Each talks to a mock of the service that it starts itself: `cargo run -p kvs-examples --example plain_tokio`.

use std::time::Duration;

use kvs_mkv::{Frame, Timestamp};

/// 25 frames a second.
pub const FRAME_INTERVAL: Duration = Duration::from_millis(40);
/// A key frame every second, at 25 frames a second.
const KEY_FRAME_EVERY: u32 = 25;

/// Parameter sets of a 1280 × 720 picture, then the first bytes of an IDR slice: what a camera's key frame begins with.
const KEY_FRAME_HEAD: &[u8] =
    b"\0\0\0\x01\x67\x4d\x40\x1f\xd9\x80\x50\x05\xbb\x01\x10\0\0\x03\0\x10\0\0\x03\x03\x20\xf1\x83\x26\
    \0\0\0\x01\x68\xe9\x70\xf2\xc8\0\0\0\x01\x65\x88";
/// The first bytes of another slice.
const FRAME_HEAD: &[u8] = b"\0\0\0\x01\x41\x9a";

/// A camera that never ends: H.264 in Annex-B form as encoders give it, with noise for a picture.
#[derive(Clone, Debug)]
pub struct Camera {
    number: u32,
    frame_bytes: usize,
    interval: Duration,
}

impl Camera {
    /// A camera whose frames take about `frame_bytes` bytes each.
    #[must_use]
    pub fn new(frame_bytes: usize) -> Camera {
        Camera {
            number: 0,
            frame_bytes,
            interval: FRAME_INTERVAL,
        }
    }

    /// The same with a frame every so often, instead of every [`FRAME_INTERVAL`].
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Camera {
        self.interval = interval;
        self
    }
}

impl Iterator for Camera {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let key = self.number.is_multiple_of(KEY_FRAME_EVERY);
        let mut data = if key { KEY_FRAME_HEAD } else { FRAME_HEAD }.to_vec();
        // Never zero: three zero bytes can't stand in a NAL unit.
        data.extend((0..self.frame_bytes).map(|at| (at as u32 ^ self.number) as u8 | 1));
        let time = Timestamp::ZERO.saturating_add(self.interval * self.number);
        self.number += 1;
        Some(Frame::video(data).pts(time).key_if(key))
    }
}
