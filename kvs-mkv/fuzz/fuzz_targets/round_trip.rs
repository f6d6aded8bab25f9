#![no_main]
//! Frames through orderer, muxer and demuxer.

use bytes::Bytes;
use kvs_mkv::{
    Demuxer, FragmentTimecodes, Frame, FrameOrderer, MkvEvent, Muxer, OrderConfig, Ordered, SegmentInfo,
    Timestamp, Track, TrackSet,
};
use libfuzzer_sys::fuzz_target;

#[derive(arbitrary::Arbitrary, Debug)]
enum Input {
    Video { after: i32, reorder: Option<u16>, key: bool, len: u8 },
    Audio { after: i32, len: u8 },
    Flush,
}

/// What one session sent.
#[derive(Default)]
struct Session {
    bytes: Vec<Bytes>,
    frames: Vec<Frame>,
}

fn ready() -> TrackSet {
    let config = Bytes::from_static(&[0x11, 0x90]);
    let video = Track::raw(1, kvs_mkv::TrackKind::Video, "V_TEST", Bytes::new());
    let audio = Track::aac().with_codec_private(config).expect("a valid config");
    TrackSet::new(vec![video, audio]).expect("a valid set")
}

fn check(session: &Session) {
    let mut demuxer = Demuxer::default();
    demuxer.push(Bytes::from(session.bytes.concat()));
    let mut frames = session.frames.iter();
    let mut latest = i64::MIN;
    let mut in_cluster = i64::MIN;
    while let Some(event) = demuxer.poll().expect("a valid stream") {
        match event {
            MkvEvent::ClusterTimecode(timecode) => {
                assert!(timecode as i64 > latest, "fragments overlap");
            }
            MkvEvent::ClusterStart => latest = latest.max(in_cluster),
            MkvEvent::Block(block) => {
                let frame = frames.next().expect("no frame too many");
                assert_eq!(block.timecode, frame.pts.as_millis());
                assert_eq!((block.track, &block.data), (u64::from(frame.track), &frame.data));
                in_cluster = in_cluster.max(block.timecode);
            }
            _ => {}
        }
    }
    assert!(frames.next().is_none(), "no frame too few");
}

fuzz_target!(|inputs: Vec<Input>| {
    let tracks = ready();
    let mut orderer = FrameOrderer::new(&tracks, OrderConfig::default());
    let mut clocks = [Timestamp::from_secs(1_000_000); 2];
    let (mut taken, mut gone) = (0u64, 0u64);
    let mut session = Session::default();
    let mut muxer = None;
    for input in inputs.into_iter().chain([Input::Flush]) {
        let frame = match input {
            Input::Flush => {
                orderer.flush();
                None
            }
            Input::Video { after, reorder, key, len } => {
                clocks[0] = clocks[0].saturating_shift(i64::from(after));
                let frame = Frame::video(vec![1; usize::from(len)]).pts(clocks[0]).key_if(key);
                Some(match reorder {
                    Some(by) => frame.dts(clocks[0].saturating_shift(-1000 * i64::from(by))),
                    None => frame,
                })
            }
            Input::Audio { after, len } => {
                clocks[1] = clocks[1].saturating_shift(i64::from(after));
                Some(Frame::audio(vec![2; usize::from(len)]).pts(clocks[1]))
            }
        };
        if let Some(frame) = frame {
            taken += u64::from(orderer.push(frame).is_ok());
        }
        while let Some(ordered) = orderer.poll() {
            match ordered {
                Ordered::Fragment(start) => {
                    if start.new_session {
                        check(&std::mem::take(&mut session));
                        let tracks = tracks.clone().only(&start.tracks).expect("a track");
                        let info = SegmentInfo::new([1; 16]);
                        let fresh = Muxer::new(info, &tracks, FragmentTimecodes::Absolute).expect("ready");
                        fresh.header(&mut session.bytes);
                        muxer = Some(fresh);
                    }
                    let muxer = muxer.as_mut().expect("the first fragment starts a session");
                    muxer.start_fragment(start.timecode, &mut session.bytes).expect("a rising timecode");
                }
                Ordered::Frame(frame) => {
                    let muxer = muxer.as_mut().expect("a session");
                    muxer.block(&frame, &mut session.bytes).expect("a valid block");
                    session.frames.push(frame);
                    gone += 1;
                }
                Ordered::FragmentEnd => muxer.as_mut().expect("a session").end_of_fragment(&mut session.bytes),
                Ordered::Dropped { .. } => gone += 1,
                _ => {}
            }
        }
    }
    check(&session);
    assert_eq!(taken, gone);
});
