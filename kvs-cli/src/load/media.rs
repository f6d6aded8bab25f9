//! Made-up H.264: real parameter sets and NAL structure around payload that no codec made.
//!
//! Each frame is filled afresh, as an encoder's would be, and ends with the time at which it was put, so that it can be found
//! again where it is written.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kvs_mkv::{Frame, Timestamp, Track};

/// Frames from one key frame to the next.
pub(super) const GOP: u64 = 30;
/// What the time is carried in: eight bytes of seven bits each, their high bits set.
const STAMP: usize = 8;
/// Slices of a picture.
const SLICES: usize = 4;

/// A baseline SPS of 640 × 480 and a PPS.
const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x3d, 0xb0];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
/// An access unit delimiter for any kind of slice (H.264 §7.3.2.4).
const AUD: &[u8] = &[0x09, 0xf0];

/// How NAL units are delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    /// By start codes.
    AnnexB,
    /// By four-byte lengths.
    Length,
}

/// Makes the frames of one stream.
pub(super) struct Source {
    delimiter: Delimiter,
    filler: Bytes,
    frame_bytes: usize,
    interval: Duration,
    count: u64,
}

impl Source {
    pub(super) fn new(delimiter: Delimiter, frame_bytes: usize, fps: f64) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        // From 1 to 127: nothing in it looks like a start code or a time.
        let filler = (0..frame_bytes + 4096)
            .map(|_| random.u8(1..128))
            .collect::<Vec<u8>>()
            .into();
        let rate = if fps > 0.0 { fps } else { 30.0 };
        Source {
            delimiter,
            filler,
            frame_bytes,
            interval: Duration::from_secs_f64(1.0 / rate),
            count: 0,
        }
    }

    /// The track its frames are of.
    pub(super) fn track(delimiter: Delimiter) -> Result<Track, kvs_mkv::MkvError> {
        match delimiter {
            // The frames tell.
            Delimiter::AnnexB => Ok(Track::h264()),
            Delimiter::Length => Track::h264().with_codec_private(avcc()),
        }
    }

    /// The next frame, put at `now`, counted from `start`.
    pub(super) fn next(&mut self, start: Instant) -> Frame {
        let is_key = self.count.is_multiple_of(GOP);
        let mut out = BytesMut::with_capacity(self.frame_bytes + 128);
        self.unit(&mut out, AUD, 0);
        if is_key {
            self.unit(&mut out, SPS, 0);
            self.unit(&mut out, PPS, 0);
        }
        let header = [if is_key { 0x65 } else { 0x41 }];
        let slice = self.frame_bytes.saturating_sub(STAMP) / SLICES;
        for n in 0..SLICES {
            self.unit(
                &mut out,
                &header,
                if n + 1 == SLICES { slice + STAMP } else { slice },
            );
        }
        let end = out.len();
        let pts = Timestamp::ZERO.saturating_add(
            self.interval
                .saturating_mul(u32::try_from(self.count).unwrap_or(0)),
        );
        self.count += 1;
        stamp(&mut out[end - STAMP..], start.elapsed());
        Frame::video(out.freeze())
            .pts(pts)
            .duration(self.interval)
            .key_if(is_key)
    }

    fn unit(&self, out: &mut BytesMut, head: &[u8], filler: usize) {
        let length = head.len() + filler;
        match self.delimiter {
            Delimiter::AnnexB => out.put_u32(1),
            Delimiter::Length => out.put_u32(u32::try_from(length).unwrap_or(u32::MAX)),
        }
        out.put_slice(head);
        let from = self.count as usize % 4096;
        out.put_slice(&self.filler[from..from + filler]);
    }
}

fn stamp(into: &mut [u8], time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    for (n, byte) in into.iter_mut().enumerate() {
        *byte = 0x80 | (nanos >> (7 * n) & 0x7f) as u8;
    }
}

/// The time that a payload carries, if it is one of ours.
pub(super) fn stamped(payload: &[u8]) -> Option<Duration> {
    let tail = payload.get(payload.len().checked_sub(STAMP)?..)?;
    let mut nanos = 0;
    for (n, byte) in tail.iter().enumerate() {
        if byte & 0x80 == 0 {
            return None;
        }
        nanos |= u64::from(byte & 0x7f) << (7 * n);
    }
    Some(Duration::from_nanos(nanos))
}

/// The decoder configuration record of the parameter sets (ISO/IEC 14496-15 §5.3.3.1).
fn avcc() -> Bytes {
    let mut record = vec![1, SPS[1], SPS[2], SPS[3], 0xff, 0xe1, 0, SPS.len() as u8];
    record.extend_from_slice(SPS);
    record.extend_from_slice(&[1, 0, PPS.len() as u8]);
    record.extend_from_slice(PPS);
    record.into()
}

#[cfg(test)]
mod tests {
    use kvs_mkv::TrackAdapter;

    use super::*;

    #[test]
    fn both_forms_adapt_to_the_same_bytes_and_carry_their_time() {
        let start = Instant::now();
        for delimiter in [Delimiter::AnnexB, Delimiter::Length] {
            let mut source = Source::new(delimiter, 10_000, 30.0);
            let track = Source::track(delimiter).unwrap();
            let mut adapter = TrackAdapter::new(&track);
            let frame = adapter.adapt(source.next(start)).unwrap().frame;
            assert!(frame.is_key());
            assert!(stamped(&frame.data).unwrap() <= start.elapsed());
            assert!(
                (10_000..10_200).contains(&frame.data.len()),
                "{}",
                frame.data.len()
            );
            assert!(!adapter.adapt(source.next(start)).unwrap().frame.is_key());
        }
    }

    #[test]
    fn other_bytes_carry_no_time() {
        assert_eq!(stamped(b"head"), None);
        assert_eq!(stamped(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]), None);
    }
}
