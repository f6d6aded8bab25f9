//! One piece of the frame path in a loop, for instruction counts under callgrind:
//! `hot_loop <copy|adapt|mux|demux> <frame bytes> <rounds>`.
//!
//! `benches/instructions` runs it with two numbers of rounds and takes the difference, so that what happens once
//! does not count.

#[path = "../benches/media/mod.rs"]
mod media;

use std::hint::black_box;

use bytes::Bytes;
use kvs_mkv::{
    Demuxer, FragmentTimecodes, Frame, Muxer, SegmentInfo, Timestamp, Track, TrackAdapter, TrackSet,
};
use media::{Payload, access_unit};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, size, rounds] = arguments.as_slice() else {
        return Err("usage: hot_loop <copy|adapt|zeros|mux|demux> <frame bytes> <rounds>".into());
    };
    let (size, rounds): (usize, u64) = (size.parse()?, rounds.parse()?);
    let payload = if what == "zeros" {
        Payload::Zeros
    } else {
        Payload::Coded
    };
    let key_frame = access_unit(size, true, payload, 1);
    let data = access_unit(size, false, payload, 2);

    let track = Track::h264();
    let mut adapter = TrackAdapter::new(&track);
    let first = adapter.adapt(Frame::video(key_frame).key())?;
    let tracks = TrackSet::new(vec![track.with_format(first.format.ok_or("no format")?)])?;
    let mut muxer = Muxer::new(SegmentInfo::new([7; 16]), &tracks, FragmentTimecodes::Absolute)?;
    let mut out: Vec<Bytes> = Vec::with_capacity(8);
    muxer.start_fragment(Timestamp::ZERO, &mut out)?;
    out.clear();

    match what.as_str() {
        "copy" => (0..rounds).for_each(|_| drop(black_box(Vec::from(black_box(data.as_ref()))))),
        "adapt" | "zeros" => {
            for _ in 0..rounds {
                let adapted = adapter.adapt(Frame::video(black_box(data.clone())))?;
                muxer.block(&adapted.frame, &mut out)?;
                black_box(&out);
                out.clear();
            }
        }
        "mux" => {
            let frame = adapter.adapt(Frame::video(data))?.frame;
            for _ in 0..rounds {
                muxer.block(black_box(&frame), &mut out)?;
                black_box(&out);
                out.clear();
            }
        }
        "demux" => {
            let frame = adapter.adapt(Frame::video(data))?.frame;
            muxer.block(&frame, &mut out)?;
            let block = Bytes::from(out.concat());
            let mut demuxer = Demuxer::default();
            let mut head: Vec<Bytes> = Vec::new();
            muxer.header(&mut head);
            muxer.start_fragment(Timestamp::from_secs(1), &mut head)?;
            demuxer.push(Bytes::from(head.concat()));
            for _ in 0..rounds {
                demuxer.push(black_box(block.clone()));
                while let Some(event) = demuxer.poll()? {
                    black_box(event);
                }
            }
        }
        other => return Err(format!("{other} is not known").into()),
    }
    Ok(())
}
