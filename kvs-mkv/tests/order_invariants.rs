//! The orderer's promises, held against streams made at random.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;
use std::time::Duration;

use kvs_mkv::{
    Codec, FragmentStart, Frame, FrameFlags, FrameOrderer, KeyFramePolicy, LeadingPicturePolicy, OrderConfig,
    Ordered, TimecodeScale, Timestamp, Track, TrackSet,
};
use proptest::prelude::*;

/// One thing that happens to the orderer.
#[derive(Clone, Debug)]
enum Step {
    /// The next picture; how long after the last one in microseconds (0 repeats, negative goes back).
    Video {
        after: i64,
        key: bool,
        new_format: bool,
        leads_by: u8,
    },
    Audio {
        track: u8,
        after: i64,
        new_format: bool,
    },
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let after = prop_oneof![
        8 => Just(40_000i64),
        2 => 1i64..80_000,
        1 => Just(0i64),
        1 => -100_000i64..0,
        1 => 80_000i64..3_000_000,
    ];
    let sound_after =
        prop_oneof![12 => Just(21_333i64), 2 => 1i64..60_000, 1 => Just(0i64), 1 => -50_000i64..0];
    let video = (
        after,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.02),
        0u8..3,
    )
        .prop_map(|(after, key, new_format, leads_by)| Step::Video {
            after,
            key,
            new_format,
            leads_by,
        });
    let audio = (2u8..4, sound_after, prop::bool::weighted(0.02)).prop_map(|(track, after, new_format)| {
        Step::Audio {
            track,
            after,
            new_format,
        }
    });
    prop_oneof![10 => video, 16 => audio, 1 => Just(Step::Flush)]
}

fn config() -> impl Strategy<Value = OrderConfig> {
    let silence = prop_oneof![Just(None), (100u64..5_000).prop_map(Some)];
    let scale = prop_oneof![
        Just(1_000_000u64),
        Just(100_000),
        Just(40_000_000),
        Just(1_000_000_000)
    ];
    let key_frames = prop_oneof![
        Just(KeyFramePolicy::DropUntilKeyFrame),
        Just(KeyFramePolicy::CutAnywhere)
    ];
    let leading = prop_oneof![Just(LeadingPicturePolicy::Keep), Just(LeadingPicturePolicy::Drop)];
    (silence, scale, key_frames, leading, 200u64..10_000, 0u64..1_500).prop_map(
        |(silence, scale, key_frames, leading_pictures, max, min)| OrderConfig {
            silence_limit: silence.map(Duration::from_millis),
            scale: TimecodeScale::new(scale).unwrap(),
            key_frames,
            leading_pictures,
            max_fragment: Duration::from_millis(max),
            min_fragment: Duration::from_millis(min),
            max_fragment_bytes: 200,
            ..OrderConfig::default()
        },
    )
}

/// Frames with their number of birth in the payload.
struct Source {
    born: u32,
    clocks: HashMap<u8, i64>,
}

impl Source {
    fn frame(&mut self, track: u8, after: i64) -> Frame {
        let clock = self.clocks.entry(track).or_insert(10_000_000);
        *clock += after;
        self.born += 1;
        Frame::new(track, self.born.to_be_bytes().to_vec()).pts(Timestamp::from_micros(*clock))
    }
}

fn birth(frame: &Frame) -> u32 {
    u32::from_be_bytes(frame.data.as_ref().try_into().unwrap())
}

/// What the wire has seen, checked step by step.
struct Wire {
    scale: TimecodeScale,
    cut_anywhere: bool,
    open: Option<(FragmentStart, Vec<Frame>)>,
    latest: i64,
    session: Vec<u8>,
    out: Vec<u32>,
    last_of_track: HashMap<u8, u32>,
}

impl Wire {
    fn take(&mut self, ordered: Ordered) {
        match ordered {
            Ordered::Fragment(start) => {
                assert!(self.open.is_none(), "a fragment opens inside another");
                let unit = self.scale.to_units(start.timecode);
                assert!(
                    unit > self.latest,
                    "fragment at {unit} starts before {} ended",
                    self.latest
                );
                assert!(
                    start.new_session || start.tracks == self.session,
                    "tracks change inside a session"
                );
                self.session.clone_from(&start.tracks);
                self.open = Some((start, Vec::new()));
            }
            Ordered::Frame(frame) => {
                let (start, frames) = self.open.as_mut().expect("a frame outside of a fragment");
                let relative = self.scale.to_units(frame.pts) - self.scale.to_units(start.timecode);
                assert!(
                    (0..=i64::from(i16::MAX)).contains(&relative),
                    "block time {relative}"
                );
                assert!(
                    start.tracks.contains(&frame.track),
                    "a frame of a track that is not carried"
                );
                if frames.is_empty() && start.tracks.contains(&1) && !self.cut_anywhere {
                    assert!(
                        frame.is_key() && frame.track == 1,
                        "a fragment starts without a key frame"
                    );
                }
                let previous = self.last_of_track.insert(frame.track, birth(&frame));
                assert!(previous < Some(birth(&frame)), "a track's order changed");
                self.out.push(birth(&frame));
                frames.push(frame);
            }
            Ordered::FragmentEnd => {
                let (start, frames) = self.open.take().expect("no fragment to end");
                for track in &start.tracks {
                    assert!(
                        frames.iter().any(|frame| frame.track == *track),
                        "fragment lacks track {track}"
                    );
                }
                for track in &start.new_formats {
                    let first = frames.iter().find(|frame| frame.track == *track);
                    assert!(first.is_some_and(|frame| frame.flags.contains(FrameFlags::NEW_FORMAT)));
                    assert!(start.new_session, "a format changes inside a session");
                }
                let units = frames.iter().map(|frame| self.scale.to_units(frame.pts));
                let bounds = units.fold((i64::MAX, i64::MIN), |(min, max), unit| {
                    (min.min(unit), max.max(unit))
                });
                assert_eq!(
                    bounds.0,
                    self.scale.to_units(start.timecode),
                    "timecode is not the earliest time"
                );
                self.latest = bounds.1;
            }
            Ordered::Dropped { frame, .. } => self.out.push(birth(&frame)),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_stream_comes_out_valid_and_whole(
        steps in prop::collection::vec(step(), 1..250),
        config in config(),
        tracks in 1usize..4,
        no_video in prop::bool::weighted(0.15),
    ) {
        let all = [Track::h264(), Track::aac(), Track::new(3, Codec::Aac)];
        let set: Vec<_> = all.into_iter().take(tracks).skip(usize::from(no_video && tracks > 1)).collect();
        let set = TrackSet::new(set).unwrap();
        let mut wire = Wire {
            scale: config.scale,
            cut_anywhere: config.key_frames == KeyFramePolicy::CutAnywhere,
            open: None,
            latest: i64::MIN,
            session: Vec::new(),
            out: Vec::new(),
            last_of_track: HashMap::new(),
        };
        let mut orderer = FrameOrderer::new(&set, config);
        let mut source = Source { born: 0, clocks: HashMap::new() };
        let mut accepted = Vec::new();
        for step in steps.into_iter().chain([Step::Flush]) {
            let frame = match step {
                Step::Flush => {
                    orderer.flush();
                    None
                }
                Step::Video { after, key, new_format, leads_by } => {
                    let frame = source.frame(1, after).key_if(key);
                    let dts = frame.pts.saturating_sub(Duration::from_millis(40 * u64::from(leads_by)));
                    let frame = if leads_by > 0 { frame.dts(dts) } else { frame };
                    Some(if new_format { frame.flags(FrameFlags::NEW_FORMAT) } else { frame })
                }
                Step::Audio { track, after, new_format } => {
                    let frame = source.frame(track, after);
                    Some(if new_format { frame.flags(FrameFlags::NEW_FORMAT) } else { frame })
                }
            };
            if let Some(frame) = frame {
                let number = birth(&frame);
                match orderer.push(frame.clone()) {
                    Ok(_) => accepted.push(number),
                    Err(error) => prop_assert_eq!(error.into_frame(), frame),
                }
            }
            while let Some(ordered) = orderer.poll() {
                wire.take(ordered);
            }
        }
        prop_assert!(wire.open.is_none());
        prop_assert_eq!((orderer.queued_frames(), orderer.queued_bytes()), (0, 0));
        wire.out.sort_unstable();
        prop_assert_eq!(wire.out, accepted);
    }
}
