#![no_main]
//! ADTS frames.

use bytes::Bytes;
use kvs_mkv::codec::aac::{AudioSpecificConfig, adts_frames};
use kvs_mkv::{Frame, Track, TrackAdapter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut used = 0;
    for frame in adts_frames(Bytes::copy_from_slice(data)) {
        let Ok((header, payload)) = frame else { break };
        assert_eq!(header.header_len + payload.len(), header.frame_len);
        used += header.frame_len;
        if let Ok(config) = header.specific_config(&payload) {
            assert_eq!(AudioSpecificConfig::parse(&config.to_record()).expect("a written config"), config);
        }
    }
    assert!(used <= data.len());
    let mut adapter = TrackAdapter::new(&Track::aac());
    for part in data.chunks(64) {
        let _ = adapter.adapt(Frame::audio(Bytes::copy_from_slice(part)));
    }
    let _ = adapter.adapt(Frame::audio(Bytes::copy_from_slice(data)));
});
