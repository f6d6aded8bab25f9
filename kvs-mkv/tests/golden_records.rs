//! Codec private data that other software made, read and written again byte for byte.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bytes::Bytes;
use kvs_mkv::codec::aac::AudioSpecificConfig;
use kvs_mkv::codec::g711::{Law, WaveFormat};
use kvs_mkv::codec::h264::{self, AvcConfig};
use kvs_mkv::codec::h265::{self, HevcConfig};
use kvs_mkv::codec::opus::OpusHead;
use kvs_mkv::{MkvErrorKind, Track};

macro_rules! record {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("../testdata/", $name)))
    };
}

/// The parameter sets as an Annex-B stream.
fn annexb<'a>(sets: impl IntoIterator<Item = &'a Bytes>) -> Bytes {
    sets.into_iter()
        .flat_map(|set| [b"\0\0\0\x01", set.as_ref()].concat())
        .collect::<Vec<u8>>()
        .into()
}

#[test]
fn avc_records_are_written_as_ffmpeg_writes_them() {
    for record in [
        record!("ffmpeg_x264_1080p.avcC"),
        record!("ffmpeg_x264_444.avcC"),
        record!("ffmpeg_x264_422_interlaced.avcC"),
    ] {
        let config = AvcConfig::parse(&record).unwrap();
        let rebuilt = AvcConfig::from_annexb(&annexb(config.sps.iter().chain(&config.pps))).unwrap();
        assert_eq!(rebuilt.to_record().unwrap(), record);
    }
}

#[test]
fn avc_parameter_sets_tell_what_ffprobe_tells() {
    let sps = |record: Bytes| h264::Sps::parse(&AvcConfig::parse(&record).unwrap().sps[0]).unwrap();
    let hd = sps(record!("ffmpeg_x264_1080p.avcC"));
    assert_eq!((hd.profile, hd.level, hd.width, hd.height), (100, 40, 1920, 1080));
    assert_eq!(
        (hd.frame_rate, hd.reorder_depth),
        (Some((60_000, 2_002)), Some(2))
    );
    let full = sps(record!("ffmpeg_x264_444.avcC"));
    assert_eq!(
        (full.profile, full.chroma_format, full.width, full.height),
        (244, 3, 426, 240)
    );
    let deep = sps(record!("ffmpeg_x264_422_interlaced.avcC"));
    assert_eq!(
        (deep.profile, deep.chroma_format, deep.luma_bit_depth),
        (122, 2, 10)
    );
    assert_eq!((deep.width, deep.height, deep.interlaced), (320, 240, true));
}

#[test]
fn hevc_records_are_written_as_ffmpeg_writes_them() {
    for record in [
        record!("ffmpeg_x265_main.hvcC"),
        record!("ffmpeg_x265_main10.hvcC"),
    ] {
        let config = HevcConfig::parse(&record).unwrap();
        let sets = config.vps.iter().chain(&config.sps).chain(&config.pps);
        assert_eq!(
            HevcConfig::from_annexb(&annexb(sets))
                .unwrap()
                .to_record()
                .unwrap(),
            record
        );
        for end in 0..record.len() {
            let _ = HevcConfig::parse(&record.slice(..end));
        }
    }
}

#[test]
fn hevc_parameter_sets_tell_what_ffprobe_tells() {
    let sps = |record: Bytes| h265::Sps::parse(&HevcConfig::parse(&record).unwrap().sps[0]).unwrap();
    let main = sps(record!("ffmpeg_x265_main.hvcC"));
    assert_eq!(
        (main.profile(), main.level(), main.width, main.height),
        (1, 60, 426, 240)
    );
    assert_eq!((main.frame_rate, main.reorder_depth), (Some((30_000, 1_001)), 2));
    let deep = sps(record!("ffmpeg_x265_main10.hvcC"));
    assert_eq!(
        (deep.profile(), deep.luma_bit_depth, deep.chroma_bit_depth),
        (2, 10, 10)
    );
    assert_eq!(deep.frame_rate, Some((25, 1)));
    let whole = HevcConfig::parse(&record!("ffmpeg_x265_main10.hvcC"))
        .unwrap()
        .sps[0]
        .clone();
    for end in 0..whole.len() {
        let _ = h265::Sps::parse(&whole[..end]);
    }
}

#[test]
fn audio_configs_tell_what_ffprobe_tells() {
    for (record, rate, channels) in [
        (record!("ffmpeg_aac_48k_stereo.asc"), 48_000, 2),
        (record!("ffmpeg_aac_16k_mono.asc"), 16_000, 1),
        (record!("ffmpeg_aac_5_1.asc"), 48_000, 6),
    ] {
        let config = AudioSpecificConfig::parse(&record).unwrap();
        assert_eq!(
            (config.object_type, config.sample_rate, config.channels()),
            (2, rate, channels)
        );
        // FFmpeg appends a sync extension that says that there is no band replication.
        assert_eq!(config.extension, None);
        assert_eq!(record[..2], config.to_record());
    }
}

#[test]
fn telephone_and_opus_headers_are_written_as_ffmpeg_writes_them() {
    assert_eq!(
        WaveFormat::new(Law::A, 8_000, 1).unwrap().to_record(),
        record!("ffmpeg_alaw.waveformatex")
    );
    assert_eq!(
        WaveFormat::new(Law::Mu, 8_000, 1).unwrap().to_record(),
        record!("ffmpeg_mulaw.waveformatex")
    );
    assert_eq!(
        OpusHead::new(2, 312).unwrap().to_record(),
        record!("ffmpeg_opus_stereo.opushead")
    );
}

#[test]
fn a_track_takes_its_format_from_either_form_of_parameter_sets() {
    let record = record!("ffmpeg_x265_main.hvcC");
    let config = HevcConfig::parse(&record).unwrap();
    let stream = annexb(config.vps.iter().chain(&config.sps).chain(&config.pps));
    let from_record = Track::h265().with_codec_private(record).unwrap();
    assert_eq!(Track::h265().with_codec_private(stream).unwrap(), from_record);
    let error = Track::h265()
        .with_codec_private(Bytes::from_static(b"no record"))
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.track()),
        (MkvErrorKind::InvalidCodecPrivate, Some(1))
    );
}
