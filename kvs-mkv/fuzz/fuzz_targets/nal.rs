#![no_main]
//! NAL units in both forms.

use bytes::Bytes;
use kvs_mkv::codec::nal::{LengthSize, annexb_units, is_length_prefixed, to_annexb, to_length_prefixed};
use kvs_mkv::{Frame, Track, TrackAdapter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let units: Vec<_> = annexb_units(data).collect();
    let prefixed = to_length_prefixed(data, &units, LengthSize::Four).expect("units are short");
    assert!(units.is_empty() || is_length_prefixed(&prefixed, LengthSize::Four));
    let stream = to_annexb(&prefixed, LengthSize::Four).expect("lengths are right");
    let again: Vec<_> = annexb_units(&stream).map(|unit| &stream[unit]).collect();
    let before: Vec<_> = units.into_iter().map(|unit| &data[unit]).collect();
    assert_eq!(before, again);

    for track in [Track::h264(), Track::h265(), Track::mjpeg()] {
        let mut adapter = TrackAdapter::new(&track);
        for part in data.split(|&byte| byte == 0xfd) {
            let shared = Frame::video(Bytes::copy_from_slice(part)).key_if(part.len() % 2 == 0);
            let _ = adapter.adapt(shared);
        }
    }
});
