//! In steady state a frame costs no more allocations than its output buffer: counted from the caller's bytes
//! to a sink that writes, with adaptation, ordering and muxing in between.

#[path = "../benches/media/mod.rs"]
mod media;

use std::io::{IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use allocation_counter::measure;
use bytes::Bytes;
use kvs_mkv::{
    FragmentTimecodes, Frame, FrameOrderer, Muxer, OrderConfig, Ordered, SegmentInfo, Timestamp, Track,
    TrackAdapter, TrackSet,
};
use media::{Payload, access_unit};

/// Frames to a fragment.
const GROUP: usize = 30;

/// A socket that takes a batch of chunks in one vectored write.
struct Socket {
    stream: TcpStream,
    batch: Vec<Bytes>,
}

impl Socket {
    /// A socket whose other end reads and forgets.
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().expect("a connection");
            std::io::copy(&mut peer, &mut std::io::sink())
        });
        Socket {
            stream: TcpStream::connect(address).expect("a connection"),
            batch: Vec::with_capacity(8),
        }
    }

    fn write(&mut self) {
        // A batch is small: a head and a payload for a frame or two.
        let mut slices = [IoSlice::new(&[]); 8];
        for (slice, chunk) in slices.iter_mut().zip(&self.batch) {
            *slice = IoSlice::new(chunk);
        }
        let mut rest = &mut slices[..self.batch.len()];
        while !rest.is_empty() {
            let written = self.stream.write_vectored(rest).expect("the peer reads");
            IoSlice::advance_slices(&mut rest, written);
        }
        self.batch.clear();
    }
}

impl Extend<Bytes> for Socket {
    fn extend<T: IntoIterator<Item = Bytes>>(&mut self, chunks: T) {
        self.batch.extend(chunks);
    }
}

struct Pipeline {
    adapter: TrackAdapter,
    orderer: FrameOrderer,
    muxer: Muxer,
    socket: Socket,
    now: Timestamp,
}

impl Pipeline {
    fn new(key_frame: &Bytes) -> Self {
        let track = Track::h264();
        let mut adapter = TrackAdapter::new(&track);
        let first = adapter
            .adapt(Frame::video(key_frame.clone()).key())
            .expect("a key frame");
        let tracks =
            TrackSet::new(vec![track.with_format(first.format.expect("a format"))]).expect("a track");
        let muxer =
            Muxer::new(SegmentInfo::new([7; 16]), &tracks, FragmentTimecodes::Absolute).expect("ready");
        Pipeline {
            adapter,
            orderer: FrameOrderer::new(&tracks, OrderConfig::default()),
            muxer,
            socket: Socket::open(),
            now: Timestamp::ZERO,
        }
    }

    fn send(&mut self, data: Bytes, key: bool) {
        let frame = Frame::video(data).pts(self.now).key_if(key);
        let adapted = self.adapter.adapt(frame).expect("a valid frame");
        self.orderer.push(adapted.frame).expect("a valid frame");
        while let Some(ordered) = self.orderer.poll() {
            match ordered {
                Ordered::Fragment(start) => {
                    self.muxer
                        .start_fragment(start.timecode, &mut self.socket)
                        .expect("rising time");
                }
                Ordered::Frame(frame) => self.muxer.block(&frame, &mut self.socket).expect("a valid block"),
                _ => {}
            }
        }
        self.socket.write();
        self.now = self.now.saturating_add(Duration::from_millis(33));
    }
}

/// Allocations of frames between two key frames, when everything is warm.
fn allocations(size: usize, payload: Payload, shared: bool) -> (u64, u64) {
    let units: Vec<_> = (0..GROUP)
        .map(|n| access_unit(size, n == 0, payload, n as u64 + 1))
        .collect();
    let mut pipeline = Pipeline::new(&units[0]);
    for _ in 0..20 {
        for (index, unit) in units.iter().enumerate() {
            pipeline.send(unit.clone(), index == 0);
        }
    }
    pipeline.send(units[0].clone(), true);
    let mut count = 0;
    let mut frames = 0;
    for unit in &units[1..] {
        // The caller's own buffer is the caller's.
        let data = if shared {
            unit.clone()
        } else {
            Bytes::from(unit.to_vec())
        };
        count += measure(|| pipeline.send(data, false)).count_total;
        frames += 1;
    }
    (count, frames)
}

#[test]
fn a_frame_costs_no_more_than_its_output_buffer() {
    for size in [1_000, 10_000, 100_000] {
        for payload in [Payload::Coded, Payload::Zeros] {
            let (count, frames) = allocations(size, payload, true);
            assert!(
                count <= frames,
                "{count} allocations for {frames} frames of {size} bytes"
            );
        }
    }
}

#[test]
fn frames_whose_bytes_are_gone_once_written_cost_next_to_nothing() {
    // What was written is dropped, so its buffer serves the next frames.
    let (count, frames) = allocations(10_000, Payload::Coded, true);
    assert!(count * 10 <= frames, "{count} allocations for {frames} frames");
}

#[test]
fn frames_that_nobody_else_holds_cost_no_more_either() {
    let (count, frames) = allocations(10_000, Payload::Coded, false);
    assert!(count <= frames, "{count} allocations for {frames} frames");
}
