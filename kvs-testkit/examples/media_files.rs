//! Writes what the deterministic sources make into a folder, for other programs to judge:
//! `cargo run -p kvs-testkit --example media_files -- FOLDER`.

use std::error::Error;
use std::path::Path;

use bytes::Bytes;
use kvs_mkv::{
    FragmentTimecodes, Frame, Muxer, SegmentInfo, Timestamp, Track, TrackAdapter, TrackFormat, TrackSet,
};
use kvs_testkit::media::{AacSource, G711Law, G711Source, H264Source, Sample};

/// Pictures in the file: 10 s.
const PICTURES: usize = 250;

/// AAC frames in the file: 10 s, rounded up.
const AUDIO_FRAMES: usize = 469;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("a folder is needed")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("h264-aac.mkv"), matroska()?)?;
    for (name, law) in [("tone.alaw", G711Law::A), ("tone.mulaw", G711Law::Mu)] {
        let frames: Vec<Bytes> = G711Source::new(law).take(100).map(|sample| sample.data).collect();
        std::fs::write(folder.join(name), frames.concat())?;
    }
    Ok(())
}

/// Ten seconds of both kinds, a fragment per group of pictures.
fn matroska() -> Result<Vec<u8>, Box<dyn Error>> {
    let source = AacSource::mono_48k();
    let config = Bytes::copy_from_slice(&source.audio_specific_config());
    let audio_track = Track::aac().with_codec_private(config)?;
    let mut adapter = TrackAdapter::new(&Track::h264());
    let mut format: Option<TrackFormat> = None;
    let mut frames = Vec::new();
    let videos = H264Source::new(25)
        .with_group(50)
        .with_macroblocks(20, 15)
        .take(PICTURES);
    for Sample { data, pts, key } in videos {
        let adapted = adapter.adapt(Frame::video(data).pts(pts).key_if(key))?;
        format = format.or(adapted.format);
        frames.push(adapted.frame);
    }
    frames.extend(
        source
            .take(AUDIO_FRAMES)
            .map(|sample| Frame::audio(sample.data).pts(sample.pts).key()),
    );
    // Audio of a group comes after the key frame it belongs to.
    frames.sort_by_key(|frame| (frame.pts, frame.track));

    let video_track = Track::h264().with_format(format.ok_or("no codec private data was found")?);
    let tracks = TrackSet::new(vec![video_track, audio_track])?;
    let timecodes = FragmentTimecodes::Relative {
        start: Timestamp::ZERO,
    };
    let mut muxer = Muxer::new(SegmentInfo::new([7; 16]), &tracks, timecodes)?;
    let mut out: Vec<Bytes> = Vec::new();
    muxer.header(&mut out);
    for frame in &frames {
        if frame.track == 1 && frame.is_key() {
            muxer.start_fragment(frame.pts, &mut out)?;
        }
        muxer.block(frame, &mut out)?;
    }
    Ok(out.concat())
}
