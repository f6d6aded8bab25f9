//! Media for the benches and the allocation test: access units as encoders make them.

use bytes::Bytes;

/// What the slices of a picture hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Bytes as an entropy coder leaves them.
    Coded,
    /// Runs of zeros, broken by emulation prevention bytes as the standard demands: a still, dark scene in
    /// raw samples, and the worst case for a search for start codes.
    Zeros,
}

/// A sequence and a picture parameter set (x264, 1280x720).
const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

/// An Annex-B access unit of about `size` bytes: delimiter, parameter sets and SEI with a key frame, then four
/// slices, behind start codes of three and four bytes by turns.
pub(crate) fn access_unit(size: usize, key: bool, payload: Payload, seed: u64) -> Bytes {
    let mut unit = Vec::with_capacity(size + 64);
    unit.extend_from_slice(&[0, 0, 0, 1, 9, 0xf0]);
    if key {
        for set in [SPS, PPS] {
            unit.extend_from_slice(&[0, 0, 0, 1]);
            unit.extend_from_slice(set);
        }
        unit.extend_from_slice(&[0, 0, 1, 6, 5, 4, 1, 2, 3, 4, 0x80]);
    }
    let slice = size.saturating_sub(unit.len()) / 4;
    let mut random = seed | 1;
    for number in 0..4 {
        unit.extend_from_slice(if number == 0 { &[0, 0, 0, 1] } else { &[0, 0, 1] });
        unit.push(if key { 0x65 } else { 0x41 });
        for place in 0..slice.saturating_sub(5) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            unit.push(match payload {
                // No zero bytes: nothing to escape.
                Payload::Coded => (random >> 32) as u8 | 1,
                Payload::Zeros if place % 3 == 2 => 3,
                Payload::Zeros => 0,
            });
        }
        unit.push(0x80);
    }
    Bytes::from(unit)
}
