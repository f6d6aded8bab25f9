//! Deterministic media: small sources of real, decodable bitstreams.
//!
//! A source is an endless iterator. The same settings give the same bytes on every machine, every frame differs
//! from every other, and a decoder takes all of them, so what was uploaded can be told apart, compared byte
//! by byte, and played.
//!
//! ```
//! use kvs_testkit::media::{AacSource, H264Source};
//!
//! let mut video = H264Source::new(25).with_group(50);
//! let first = video.next().unwrap();
//! assert!(first.key);
//! assert_eq!(&first.data[..5], [0, 0, 0, 1, 0x67]); // Annex B, beginning with its SPS
//! let mut audio = AacSource::mono_48k();
//! assert_eq!(audio.next().unwrap().pts.as_nanos(), 0);
//! assert_eq!(audio.audio_specific_config(), [0x11, 0x88]);
//! ```

use bytes::Bytes;
use kvs_mkv::Timestamp;

mod aac;
mod bits;
mod g711;
mod h264;

pub use aac::AacSource;
pub use g711::{G711Law, G711Source};
pub use h264::H264Source;

/// One frame as an encoder would hand it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The bitstream.
    pub data: Bytes,
    /// When it is shown or heard, from 0.
    pub pts: Timestamp,
    /// Whether decoding can begin with it.
    pub key: bool,
}

/// Bytes that look random, the same for the same seed (xorshift64*).
#[derive(Debug, Clone)]
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    }
}
