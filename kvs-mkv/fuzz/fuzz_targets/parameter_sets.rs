#![no_main]
//! Parameter sets and configuration records.

use bytes::Bytes;
use kvs_mkv::codec::aac::AudioSpecificConfig;
use kvs_mkv::codec::g711::WaveFormat;
use kvs_mkv::codec::h264::{self, AvcConfig};
use kvs_mkv::codec::h265::{self, HevcConfig};
use kvs_mkv::codec::mjpeg;
use kvs_mkv::codec::opus::OpusHead;
use kvs_mkv::{Track, TrackSet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = h264::Sps::parse(data);
    let _ = h265::Sps::parse(data);
    let _ = mjpeg::picture_size(data);
    let record = Bytes::copy_from_slice(data);
    if let Ok(config) = AvcConfig::parse(&record)
        && let Ok(written) = config.to_record()
    {
        let again = AvcConfig::parse(&written).expect("a written record");
        assert_eq!((again.sps, again.pps), (config.sps, config.pps));
    }
    if let Ok(config) = HevcConfig::parse(&record)
        && let Ok(written) = config.to_record()
    {
        assert_eq!(HevcConfig::parse(&written).expect("a written record"), config);
    }
    if let Ok(config) = AudioSpecificConfig::parse(data) {
        let again = AudioSpecificConfig::parse(&config.to_record());
        // Object types without a general audio config are read for their rate alone.
        if matches!(config.object_type, 1..=4) {
            assert_eq!(again.expect("a written config"), config);
        }
    }
    if let Ok(format) = WaveFormat::parse(data) {
        assert_eq!(WaveFormat::parse(&format.to_record()).expect("a written format"), format);
    }
    if let Ok(head) = OpusHead::parse(data) {
        let again = OpusHead::parse(&head.to_record()).expect("a written header");
        assert_eq!(again, head);
    }
    for track in [Track::h264(), Track::h265(), Track::aac(), Track::mjpeg()] {
        let _ = track.with_codec_private(record.clone());
    }
    if let Ok(set) = TrackSet::decode(data) {
        // Sampling rates that are no numbers are not equal to themselves: compare what is written.
        let written = set.encode();
        assert_eq!(TrackSet::decode(&written).expect("a written set").encode(), written);
    }
});
