//! A fast 64-bit digest of frame payloads, for proving that what arrived is what was sent.

/// Odd constants with well-spread bits: the first digits of the golden ratio, √2, √3 and e.
const LANES: [u64; 4] = [
    0x9e37_79b9_7f4a_7c15,
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0xb7e1_5162_8aed_2a6b,
];

/// Digest of a payload: equal for equal bytes on every machine, different for different bytes except by an
/// accident of 1 in 2⁶⁴. It is not made to withstand forgery.
///
/// Four independent multiply-and-fold lanes over 32-byte blocks, so that digesting never is what a test waits
/// for.
///
/// ```
/// use kvs_testkit::digest;
/// assert_eq!(digest(b"frame"), digest(b"frame"));
/// assert_ne!(digest(b"frame"), digest(b"frame\0"));
/// ```
pub fn digest(payload: &[u8]) -> u64 {
    let mut lanes = LANES;
    let mut blocks = payload.chunks_exact(32);
    for block in &mut blocks {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = fold(*lane ^ word(&block[i * 8..i * 8 + 8]), LANES[i]);
        }
    }
    for (i, tail) in blocks.remainder().chunks(8).enumerate() {
        lanes[i] = fold(lanes[i] ^ word(tail), LANES[i]);
    }
    let mut sum = payload.len() as u64;
    for lane in lanes {
        sum = fold(sum ^ lane, LANES[0]);
    }
    sum
}

/// Up to eight bytes, little endian, zero-extended (the length is digested apart).
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// The 128-bit product, folded, plus the operand so that a zero can't swallow what follows.
fn fold(value: u64, by: u64) -> u64 {
    let product = u128::from(value) * u128::from(by);
    ((product as u64) ^ ((product >> 64) as u64)).wrapping_add(value.rotate_left(23))
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn any_flipped_bit_changes_the_digest() {
        for len in [1, 7, 8, 31, 32, 33, 64, 100] {
            let payload = vec![0xa5; len];
            let original = digest(&payload);
            for bit in 0..len * 8 {
                let mut flipped = payload.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(digest(&flipped), original, "bit {bit} of {len} bytes");
            }
        }
    }

    #[test]
    fn zeros_of_different_lengths_differ() {
        let digests: std::collections::HashSet<u64> = (0..200).map(|n| digest(&vec![0; n])).collect();
        assert_eq!(digests.len(), 200);
    }

    #[test]
    fn the_digest_is_the_same_on_every_machine() {
        // Computed by an independent program with arbitrary-precision integers.
        assert_eq!(digest(b""), 0x0f89_a6ba_c57e_5823);
        let text = b"kinesis video streams, frame by frame, byte by byte";
        assert_eq!(digest(text), 0x2de0_daeb_4034_b666);
    }
}
