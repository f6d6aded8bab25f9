//! How fast frames are adapted, muxed and demuxed, beside a plain copy of the same frames.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

mod media;

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kvs_mkv::codec::nal::annexb_units;
use kvs_mkv::{
    Demuxer, FragmentTimecodes, Frame, Muxer, SegmentInfo, Timestamp, Track, TrackAdapter, TrackSet,
};
use media::{Payload, access_unit};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// Frames to a fragment.
const GROUP: usize = 30;
/// Bytes of frames that follow one another out of memory.
const STREAM: usize = 64 << 20;

/// A sink that keeps a batch of chunks and throws it away, as one that has written them does.
#[derive(Default)]
struct Batch(Vec<Bytes>);

impl Batch {
    fn write(&mut self) {
        black_box(&self.0);
        self.0.clear();
    }
}

impl Extend<Bytes> for Batch {
    fn extend<T: IntoIterator<Item = Bytes>>(&mut self, chunks: T) {
        self.0.extend(chunks);
    }
}

/// A group of pictures.
fn group(size: usize, payload: Payload) -> Vec<Bytes> {
    (0..GROUP)
        .map(|index| access_unit(size, index == 0, payload, index as u64 + 1))
        .collect()
}

/// Groups of pictures that no cache holds.
fn stream(size: usize, payload: Payload) -> Vec<Bytes> {
    let frames = STREAM / size / GROUP * GROUP;
    (0..frames)
        .map(|index| access_unit(size, index % GROUP == 0, payload, index as u64 + 1))
        .collect()
}

/// An adapter that has seen a key frame, and a muxer for its track.
fn pipeline(key_frame: &Bytes) -> (TrackAdapter, Muxer) {
    let track = Track::h264();
    let mut adapter = TrackAdapter::new(&track);
    let first = adapter
        .adapt(Frame::video(key_frame.clone()).key())
        .expect("a key frame");
    let track = track.with_format(first.format.expect("a format"));
    let tracks = TrackSet::new(vec![track]).expect("valid tracks");
    let muxer = Muxer::new(SegmentInfo::new([7; 16]), &tracks, FragmentTimecodes::Absolute).expect("ready");
    (adapter, muxer)
}

/// Groups of pictures through adapter and muxer.
fn send(
    adapter: &mut TrackAdapter,
    muxer: &mut Muxer,
    frames: &[Bytes],
    now: &mut Timestamp,
    out: &mut Batch,
) {
    for (index, data) in frames.iter().enumerate() {
        let starts = index % GROUP == 0;
        if starts {
            muxer.start_fragment(*now, out).expect("rising time");
        }
        let frame = Frame::video(data.clone()).pts(*now).key_if(starts);
        let adapted = adapter.adapt(frame).expect("a valid frame");
        muxer.block(&adapted.frame, out).expect("a valid block");
        out.write();
        *now = now.saturating_add(Duration::from_millis(33));
    }
}

fn annexb_to_wire(criterion: &mut Criterion) {
    for (payload, name) in [(Payload::Coded, "coded"), (Payload::Zeros, "zeros")] {
        let mut bench = criterion.benchmark_group(format!("annexb_to_wire/{name}"));
        for size in SIZES {
            let group = group(size, payload);
            // Hot: the same frame again and again, in the cache. Stream: each comes from memory, as from a camera.
            let hot = vec![group[1].clone(); GROUP];
            let stream = stream(size, payload);
            for (frames, kind) in [(&hot, "hot"), (&stream, "stream")] {
                bench.sample_size(if kind == "hot" { 50 } else { 10 });
                let bytes: usize = frames.iter().map(Bytes::len).sum();
                bench.throughput(Throughput::Bytes(bytes as u64));
                bench.bench_function(BenchmarkId::new(format!("memcpy_{kind}"), size), |bencher| {
                    bencher.iter(|| {
                        for frame in frames {
                            black_box(Vec::from(black_box(frame.as_ref())));
                        }
                    });
                });
                bench.bench_function(BenchmarkId::new(format!("adapt_mux_{kind}"), size), |bencher| {
                    let (mut adapter, mut muxer) = pipeline(&group[0]);
                    let (mut now, mut out) = (Timestamp::ZERO, Batch::default());
                    bencher.iter(|| send(&mut adapter, &mut muxer, black_box(frames), &mut now, &mut out));
                });
            }
            bench.throughput(Throughput::Bytes(group[1].len() as u64));
            bench.bench_function(BenchmarkId::new("scan", size), |bencher| {
                bencher.iter(|| annexb_units(black_box(&group[1])).count());
            });
        }
        bench.finish();
    }
}

fn mux_only(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("mux_only");
    for size in SIZES {
        let group = group(size, Payload::Coded);
        let (_, mut muxer) = pipeline(&group[0]);
        let frame = Frame::video(group[1].clone()).pts(Timestamp::from_millis(40));
        let mut out = Batch::default();
        muxer
            .start_fragment(Timestamp::ZERO, &mut out)
            .expect("a first fragment");
        bench.throughput(Throughput::Elements(1));
        bench.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                muxer.block(black_box(&frame), &mut out).expect("a valid block");
                out.write();
            });
        });
    }
    bench.finish();
}

fn demux(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("demux");
    for size in SIZES {
        let group = group(size, Payload::Coded);
        let (mut adapter, mut muxer) = pipeline(&group[0]);
        let (mut now, mut stream) = (Timestamp::ZERO, Vec::new());
        muxer.header(&mut stream);
        for _ in 0..(1 << 21) / (size * GROUP) + 1 {
            muxer.start_fragment(now, &mut stream).expect("rising time");
            for data in &group {
                let frame = adapter
                    .adapt(Frame::video(data.clone()).pts(now))
                    .expect("a valid frame")
                    .frame;
                muxer.block(&frame, &mut stream).expect("a valid block");
                now = now.saturating_add(Duration::from_millis(33));
            }
        }
        let stream = Bytes::from(stream.concat());
        for (chunk, name) in [(16_384, "16k"), (65_536, "64k"), (stream.len(), "whole")] {
            bench.throughput(Throughput::Bytes(stream.len() as u64));
            bench.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    let mut demuxer = Demuxer::default();
                    let mut rest = stream.clone();
                    while !rest.is_empty() {
                        demuxer.push(rest.split_to(chunk.min(rest.len())));
                        while let Some(event) = demuxer.poll().expect("a valid stream") {
                            black_box(event);
                        }
                    }
                });
            });
        }
    }
    bench.finish();
}

criterion_group! {
    name = throughput;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = annexb_to_wire, mux_only, demux
}
criterion_main!(throughput);
