//! Annex-B to length-prefixed form and back, by way of the adapter too.

use bytes::Bytes;
use kvs_mkv::codec::nal::{LengthSize, annexb_units, length_prefixed_units, to_annexb, to_length_prefixed};
use kvs_mkv::{Frame, Track, TrackAdapter};
use proptest::prelude::*;

const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

/// A slice, escaped as the standard wants: no start code in it, no zero at its end.
fn slice() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0u8), 1 => 0u8..4, 3 => any::<u8>()];
    (
        prop::sample::select(vec![0x41u8, 0x65, 0x06]),
        prop::collection::vec(byte, 0..300),
    )
        .prop_map(|(header, bytes)| {
            let mut unit = vec![header];
            let mut zeros = 0;
            for byte in bytes {
                if zeros == 2 && byte <= 3 {
                    unit.push(3);
                    zeros = 0;
                }
                zeros = if byte == 0 { zeros + 1 } else { 0 };
                unit.push(byte);
            }
            unit.push(0x80);
            unit
        })
}

/// Units with the number of zeros before each start code.
fn units() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    prop::collection::vec((0usize..4, slice()), 1..8)
}

fn stream(units: &[(usize, Vec<u8>)], trailing: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (zeros, unit) in units {
        out.extend(std::iter::repeat_n(0, *zeros));
        out.extend_from_slice(&[0, 0, 1]);
        out.extend_from_slice(unit);
    }
    out.extend(std::iter::repeat_n(0, trailing));
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn there_and_back_is_the_identity(units in units(), trailing in 0usize..4) {
        let annexb = stream(&units, trailing);
        let ranges: Vec<_> = annexb_units(&annexb).collect();
        let found: Vec<_> = ranges.iter().map(|range| annexb[range.clone()].to_vec()).collect();
        let given: Vec<_> = units.iter().map(|(_, unit)| unit.clone()).collect();
        prop_assert_eq!(&found, &given);
        for size in [LengthSize::Two, LengthSize::Four] {
            let prefixed = to_length_prefixed(&annexb, &ranges, size).expect("short units");
            let back = to_annexb(&prefixed, size).expect("right lengths");
            let canonical: Vec<_> = given.iter().map(|unit| (1, unit.clone())).collect();
            prop_assert_eq!(back, stream(&canonical, 0));
        }
    }

    #[test]
    fn the_adapter_keeps_every_unit_whether_it_copies_or_not(units in units(), shared in any::<bool>()) {
        let mut adapter = TrackAdapter::new(&Track::h264());
        let mut all = vec![(1, SPS.to_vec()), (1, PPS.to_vec())];
        all.extend(units);
        let annexb = Bytes::from(stream(&all, 0));
        // A second handle forbids to change the bytes in place.
        let other = shared.then(|| annexb.clone());
        let adapted = adapter.adapt(Frame::video(annexb).key()).expect("a key frame with its parameter sets");
        let data = adapted.frame.data;
        let found: Vec<_> = length_prefixed_units(&data, LengthSize::Four)
            .map(|unit| unit.map(|unit| data[unit].to_vec()))
            .collect::<Result<_, _>>()
            .expect("right lengths");
        let given: Vec<_> = all.iter().map(|(_, unit)| unit.clone()).collect();
        prop_assert_eq!(found, given);
        prop_assert!(other.is_none_or(|other| other == stream(&all, 0)));
    }
}
