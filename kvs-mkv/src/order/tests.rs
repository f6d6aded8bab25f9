//! Tests of the orderer, written as stories: frames in, wire order out.

use super::*;
use crate::codec::Codec;
use crate::frame::FrameFlags;
use crate::track::Track;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A picture with one byte of data.
fn video(millis: i64) -> Frame {
    Frame::video("v").pts(at(millis))
}

fn key(millis: i64) -> Frame {
    video(millis).key()
}

fn audio(millis: i64) -> Frame {
    Frame::audio("a").pts(at(millis)).key()
}

fn orderer_with(config: OrderConfig, tracks: Vec<Track>) -> FrameOrderer {
    FrameOrderer::new(&TrackSet::new(tracks).unwrap(), config)
}

fn av() -> FrameOrderer {
    orderer_with(OrderConfig::default(), vec![Track::h264(), Track::aac()])
}

fn video_only() -> FrameOrderer {
    orderer_with(OrderConfig::default(), vec![Track::h264()])
}

/// What can be polled, in short: `[0 12!` a new session's fragment at 0 with tracks 1 and 2, `v40` a frame,
/// `]` an end.
fn story(orderer: &mut FrameOrderer) -> String {
    let mut words = Vec::new();
    while let Some(ordered) = orderer.poll() {
        words.push(match ordered {
            Ordered::Fragment(start) => {
                let tracks: String = start.tracks.iter().map(u8::to_string).collect();
                let mark = if start.new_session { "!" } else { "" };
                format!("[{} {tracks}{mark}", start.timecode.as_millis())
            }
            Ordered::Frame(frame) => {
                let kind = ["?", "v", "a", "b"][usize::from(frame.track.min(3))];
                let kind = if frame.is_key() && frame.track == 1 {
                    "K"
                } else {
                    kind
                };
                format!("{kind}{}", frame.pts.as_millis())
            }
            Ordered::FragmentEnd => "]".to_owned(),
            Ordered::Dropped { frame, reason } => {
                format!(
                    "-{}{}{reason:?}",
                    ["?", "v", "a", "b"][usize::from(frame.track.min(3))],
                    frame.pts.as_millis()
                )
            }
            Ordered::Corrected(correction) => format!("~{}", correction.to.as_millis()),
            Ordered::KeyFrameWanted { .. } => "?key".to_owned(),
        });
    }
    words.join(" ")
}

fn push_all(orderer: &mut FrameOrderer, frames: impl IntoIterator<Item = Frame>) {
    for frame in frames {
        orderer.push(frame).unwrap();
    }
}

#[test]
fn one_track_passes_at_once_and_key_frames_cut() {
    let mut orderer = video_only();
    orderer.push(key(0)).unwrap();
    assert_eq!(story(&mut orderer), "[0 1! K0");
    orderer.push(video(40)).unwrap();
    assert_eq!(story(&mut orderer), "v40");
    orderer.push(key(1000)).unwrap();
    assert_eq!(story(&mut orderer), "] [1000 1 K1000");
    orderer.flush();
    assert_eq!(story(&mut orderer), "]");
    assert_eq!((orderer.queued_frames(), orderer.queued_bytes()), (0, 0));
}

#[test]
fn a_fragment_opens_with_a_frame_of_every_track_in_hand() {
    let mut orderer = av();
    push_all(&mut orderer, [key(0), video(40)]);
    assert_eq!(story(&mut orderer), "");
    orderer.push(audio(10)).unwrap();
    assert_eq!(story(&mut orderer), "[0 12! K0 a10 v40");
}

#[test]
fn sound_waits_until_no_key_frame_can_come_before_it() {
    let mut orderer = av();
    push_all(&mut orderer, [key(0), audio(0), video(400)]);
    story(&mut orderer);
    orderer.push(audio(420)).unwrap();
    assert_eq!(story(&mut orderer), "");
    // The key frame at 410 puts it into the next fragment.
    orderer.push(key(410)).unwrap();
    assert_eq!(story(&mut orderer), "] [410 12 K410 a420");
}

#[test]
fn a_key_frame_waits_until_every_track_has_passed_it() {
    let mut orderer = av();
    push_all(
        &mut orderer,
        [key(0), audio(0), video(960), audio(900), key(1000), video(1040)],
    );
    assert_eq!(story(&mut orderer), "[0 12! K0 a0 v960 a900");
    orderer.push(audio(990)).unwrap();
    assert_eq!(story(&mut orderer), "a990");
    orderer.push(audio(1011)).unwrap();
    assert_eq!(story(&mut orderer), "] [1000 12 K1000 a1011 v1040");
}

#[test]
fn a_key_frame_whose_fragment_before_lacks_a_track_does_not_cut() {
    let mut orderer = av();
    let pictures = [
        key(0),
        audio(0),
        video(40),
        key(500),
        video(540),
        key(1000),
        video(1040),
    ];
    push_all(&mut orderer, pictures);
    assert_eq!(story(&mut orderer), "[0 12! K0 a0 v40");
    orderer.push(audio(1010)).unwrap();
    assert_eq!(story(&mut orderer), "] [500 12 K500 v540 K1000 a1010 v1040");
    assert_eq!(orderer.stats().joined_key_frames, 1);
}

#[test]
fn at_a_flush_a_tail_that_lacks_a_track_joins_the_fragment_before() {
    let mut orderer = av();
    push_all(
        &mut orderer,
        [key(0), audio(0), video(40), key(1000), video(1040)],
    );
    assert_eq!(story(&mut orderer), "[0 12! K0 a0 v40");
    orderer.flush();
    assert_eq!(story(&mut orderer), "K1000 v1040 ]");
}

#[test]
fn at_a_flush_without_any_frame_of_a_track_the_session_goes_without_it() {
    let mut orderer = av();
    push_all(&mut orderer, [key(0), video(40)]);
    orderer.flush();
    assert_eq!(story(&mut orderer), "[0 1! K0 v40 ]");
    // Sound alone likewise.
    let mut orderer = av();
    push_all(&mut orderer, [audio(0), audio(21)]);
    orderer.flush();
    assert_eq!(story(&mut orderer), "[0 2! a0 a21 ]");
}

#[test]
fn sound_ahead_of_the_first_key_frame_belongs_to_the_first_fragment_up_to_a_limit() {
    let mut orderer = av();
    push_all(
        &mut orderer,
        [audio(100), audio(500), audio(1480), key(1500), audio(1501)],
    );
    assert_eq!(
        story(&mut orderer),
        "-a100AudioTooEarly [500 12! K1500 a500 a1480 a1501"
    );
}

#[test]
fn video_before_the_first_key_frame_is_dropped() {
    let mut orderer = video_only();
    push_all(&mut orderer, [video(0), video(40), key(80)]);
    assert_eq!(
        story(&mut orderer),
        "-v0BeforeKeyFrame -v40BeforeKeyFrame [80 1! K80"
    );
    assert_eq!(orderer.stats().dropped[&OrderDrop::BeforeKeyFrame], 2);
}

#[test]
fn sound_on_the_unit_of_the_next_key_frame_joins_its_fragment() {
    let mut orderer = av();
    push_all(&mut orderer, [key(0), audio(0), video(960)]);
    let nanos = |nanos| Timestamp::from_nanos(nanos);
    push_all(
        &mut orderer,
        [
            Frame::video("v").pts(nanos(1_000_900_000)).key(),
            Frame::audio("a").pts(nanos(1_000_100_000)),
        ],
    );
    assert_eq!(story(&mut orderer), "[0 12! K0 a0 v960 ] [1000 12 K1000 a1000");
    assert_eq!(orderer.stats().joined_frames, 1);
}

#[test]
fn b_frames_of_closed_groups_step_back_inside_their_fragment() {
    let mut orderer = video_only();
    let frame = |dts, pts| Frame::video("v").dts(at(dts)).pts(at(pts));
    push_all(
        &mut orderer,
        [
            frame(0, 80).key(),
            frame(40, 240),
            frame(80, 120),
            frame(120, 160),
        ],
    );
    assert_eq!(story(&mut orderer), "[80 1! K80 v240 v120 v160");
    push_all(&mut orderer, [frame(160, 280).key()]);
    assert_eq!(story(&mut orderer), "", "leading pictures may follow");
    push_all(&mut orderer, [frame(200, 440)]);
    assert_eq!(story(&mut orderer), "] [280 1 K280 v440");
}

#[test]
fn leading_pictures_start_their_fragment_or_are_dropped() {
    let frame = |dts, pts| Frame::video("v").dts(at(dts)).pts(at(pts));
    let frames = || {
        [
            frame(0, 80).key(),
            frame(40, 240),
            frame(80, 120),
            frame(120, 400).key(),
            frame(160, 280),
            frame(200, 480),
        ]
    };
    let mut keep = video_only();
    push_all(&mut keep, frames());
    assert_eq!(story(&mut keep), "[80 1! K80 v240 v120 ] [280 1 K400 v280 v480");
    let config = OrderConfig {
        leading_pictures: LeadingPicturePolicy::Drop,
        ..OrderConfig::default()
    };
    let mut drop = orderer_with(config, vec![Track::h264()]);
    push_all(&mut drop, frames());
    assert_eq!(
        story(&mut drop),
        "[80 1! K80 v240 v120 -v280LeadingPicture ] [400 1 K400 v480"
    );
    assert_eq!(drop.stats().leading_pictures, 1);
}

#[test]
fn key_frames_closer_than_the_shortest_fragment_share_one() {
    let mut orderer = video_only();
    push_all(&mut orderer, [key(0), video(40), key(80), video(120), key(200)]);
    assert_eq!(story(&mut orderer), "[0 1! K0 v40 K80 v120 ] [200 1 K200");
}

#[test]
fn where_every_frame_is_a_key_frame_duration_cuts() {
    let mut orderer = orderer_with(OrderConfig::default(), vec![Track::aac()]);
    push_all(&mut orderer, (0..6).map(|n| audio(n * 500)));
    assert_eq!(
        story(&mut orderer),
        "[0 2! a0 a500 ] [1000 2 a1000 a1500 ] [2000 2 a2000 a2500"
    );
    let mut orderer = video_only();
    push_all(&mut orderer, (0..6).map(|n| key(n * 500)));
    assert_eq!(
        story(&mut orderer),
        "[0 1! K0 K500 ] [1000 1 K1000 K1500 ] [2000 1 K2000 K2500"
    );
}

#[test]
fn a_group_over_the_ceiling_goes_to_its_policy() {
    let frames = || {
        [
            key(0),
            video(5000),
            video(8000),
            video(9500),
            video(9501),
            video(9600),
            key(9700),
        ]
    };
    let mut orderer = video_only();
    push_all(&mut orderer, frames());
    let expected =
        "[0 1! K0 v5000 ?key v8000 v9500 -v9501FragmentTooLong -v9600FragmentTooLong ] [9700 1 K9700";
    assert_eq!(story(&mut orderer), expected);

    let config = OrderConfig {
        key_frames: KeyFramePolicy::CutAnywhere,
        ..OrderConfig::default()
    };
    let mut orderer = orderer_with(config, vec![Track::h264()]);
    push_all(&mut orderer, frames());
    let expected = "[0 1! K0 v5000 ?key v8000 v9500 ] [9501 1 v9501 v9600 K9700";
    assert_eq!(story(&mut orderer), expected);

    let config = OrderConfig {
        key_frames: KeyFramePolicy::Refuse,
        ..OrderConfig::default()
    };
    let mut orderer = orderer_with(config, vec![Track::h264()]);
    push_all(&mut orderer, [key(0), video(9500)]);
    let error = orderer.push(video(9501)).unwrap_err();
    assert_eq!(
        error.kind(),
        OrderErrorKind::KeyFrameMissing {
            open_for: Duration::from_millis(9501)
        }
    );
    assert_eq!(error.into_frame(), video(9501));
    assert!(orderer.push(key(9700)).is_ok());
}

#[test]
fn a_fragment_over_its_bytes_goes_to_its_policy_too() {
    let config = OrderConfig {
        max_fragment_bytes: 100,
        ..OrderConfig::default()
    };
    let big = |millis| Frame::video(vec![1; 40]).pts(at(millis));
    let mut orderer = orderer_with(config.clone(), vec![Track::h264()]);
    push_all(
        &mut orderer,
        [big(0).key(), big(40), big(80), video(120), big(160).key()],
    );
    let expected = "[0 1! K0 v40 -v80FragmentTooLarge -v120FragmentTooLarge ] [160 1 K160";
    assert_eq!(story(&mut orderer), expected);
    let error = orderer.push(Frame::video(vec![1; 101]).pts(at(200))).unwrap_err();
    assert_eq!(error.kind(), OrderErrorKind::TooLarge { limit: 100 });
    // Where every frame is a key frame, it cuts earlier.
    let mut orderer = orderer_with(config, vec![Track::aac().with_number(1)]);
    push_all(&mut orderer, [big(0), big(40), big(80)]);
    assert_eq!(story(&mut orderer), "[0 1! v0 v40 ] [80 1 v80");
}

#[test]
fn a_silent_track_is_left_out_and_returns_at_a_key_frame() {
    let config = OrderConfig {
        silence_limit: Some(Duration::from_millis(300)),
        ..OrderConfig::default()
    };
    let mut orderer = orderer_with(config, vec![Track::h264(), Track::aac()]);
    push_all(&mut orderer, [key(0), audio(0), video(200), key(250)]);
    assert_eq!(story(&mut orderer), "[0 12! K0 a0 v200");
    push_all(&mut orderer, [video(400)]);
    assert_eq!(story(&mut orderer), "] [250 1! K250 v400");
    push_all(&mut orderer, [audio(410), video(440), audio(450), key(600)]);
    assert_eq!(story(&mut orderer), "-a410TrackAbsent v440 -a450TrackAbsent");
    push_all(&mut orderer, [audio(610)]);
    assert_eq!(story(&mut orderer), "] [600 12! K600 a610");
}

#[test]
fn a_silent_leading_track_hands_over_and_takes_the_lead_back() {
    let config = OrderConfig {
        silence_limit: Some(Duration::from_millis(300)),
        ..OrderConfig::default()
    };
    let mut orderer = orderer_with(config, vec![Track::h264(), Track::aac()]);
    push_all(
        &mut orderer,
        [key(0), audio(0), audio(100), audio(200), audio(300)],
    );
    assert_eq!(story(&mut orderer), "[0 12! K0 a0 a100");
    push_all(&mut orderer, [audio(400), audio(500)]);
    assert_eq!(story(&mut orderer), "] [200 2! a200 a300 a400 a500");
    // Sound waits for it again from its first frame on; it returns at its key frame.
    push_all(&mut orderer, [video(510), audio(520), key(550), audio(560)]);
    assert_eq!(
        story(&mut orderer),
        "-v510BeforeKeyFrame a520 ] [550 12! K550 a560"
    );
}

#[test]
fn silence_may_be_an_error_that_names_the_track() {
    let config = OrderConfig {
        silence_limit: Some(Duration::from_millis(300)),
        silence: SilencePolicy::Refuse,
        ..OrderConfig::default()
    };
    let mut orderer = orderer_with(config, vec![Track::h264(), Track::aac()]);
    push_all(&mut orderer, [key(0), audio(0), video(200), key(400)]);
    let error = orderer.push(video(440)).unwrap_err();
    let kind = OrderErrorKind::TrackSilent {
        silent: 2,
        silent_for: Duration::from_millis(400),
    };
    assert_eq!(error.kind(), kind);
    assert_eq!(error.to_string(), "track 2 has been silent for 400 ms of track 1");
}

#[test]
fn a_full_queue_is_an_error_that_names_both_tracks() {
    let config = OrderConfig {
        silence_limit: None,
        max_queued_frames: 3,
        ..OrderConfig::default()
    };
    let mut orderer = orderer_with(config, vec![Track::h264(), Track::aac()]);
    push_all(&mut orderer, [audio(0), audio(20), audio(40)]);
    let error = orderer.push(audio(60)).unwrap_err();
    assert_eq!(
        error.kind(),
        OrderErrorKind::QueueFull {
            waiting_for: 1,
            behind: 0
        }
    );
    assert_eq!(orderer.queued_frames(), 3);
    assert!(orderer.push(key(0)).is_ok());
    assert!(orderer.push(audio(60)).is_ok());
}

#[test]
fn clocks_too_far_apart_are_refused_or_aligned() {
    let mut orderer = av();
    orderer.push(key(3_600_000)).unwrap();
    let error = orderer.push(audio(0)).unwrap_err();
    assert_eq!(
        error.kind(),
        OrderErrorKind::TrackSkew {
            other: 1,
            delta: -3_600_000_000_000
        }
    );
    assert_eq!(error.to_string(), "track 2 is -3600000 ms ahead of track 1");

    let config = OrderConfig {
        skew: SkewPolicy::Rebase,
        ..OrderConfig::default()
    };
    let mut orderer = orderer_with(config, vec![Track::h264(), Track::aac()]);
    orderer.push(key(3_600_000)).unwrap();
    let correction = orderer.push(audio(0)).unwrap().unwrap();
    assert_eq!(
        (correction.kind, correction.to),
        (CorrectionKind::Aligned, at(3_600_000))
    );
    push_all(&mut orderer, [audio(21), video(3_600_040)]);
    assert_eq!(
        story(&mut orderer),
        "[3600000 12! K3600000 a3600000 a3600021 v3600040"
    );
}

#[test]
fn a_pause_of_the_whole_stream_is_no_skew_and_no_silence() {
    let mut orderer = av();
    push_all(&mut orderer, [key(0), audio(0), video(40)]);
    push_all(
        &mut orderer,
        [audio(600_000), key(600_000), audio(600_021), video(600_040)],
    );
    assert_eq!(
        story(&mut orderer),
        "[0 12! K0 a0 v40 ] [600000 12 K600000 a600000 a600021 v600040"
    );
}

#[test]
fn sound_an_hour_ahead_is_refused_once_the_video_shows_it_is_no_pause() {
    let mut orderer = av();
    push_all(&mut orderer, [key(0), audio(0), audio(3_600_000), video(40)]);
    let error = orderer.push(audio(3_600_021)).unwrap_err();
    assert!(matches!(error.kind(), OrderErrorKind::TrackSkew { other: 1, .. }));
}

#[test]
fn a_key_frame_at_the_time_of_the_last_frame_is_raised_so_that_its_fragment_rises() {
    let mut orderer = video_only();
    push_all(&mut orderer, [key(0), video(500)]);
    let correction = orderer.push(key(500)).unwrap().unwrap();
    assert_eq!(
        (correction.kind, correction.from, correction.to),
        (CorrectionKind::Raised, at(500), at(501))
    );
    assert_eq!(story(&mut orderer), "[0 1! K0 v500 ] [501 1 K501");
    // Within one unit likewise.
    let correction = orderer
        .push(Frame::video("v").pts(Timestamp::from_nanos(1_501_400_000)))
        .unwrap();
    assert_eq!(correction, None);
    let close = Frame::video("v").pts(Timestamp::from_nanos(1_501_900_000)).key();
    assert_eq!(orderer.push(close).unwrap().unwrap().to, at(1502));
}

#[test]
fn a_new_format_cuts_and_starts_a_session() {
    let mut orderer = video_only();
    push_all(
        &mut orderer,
        [
            key(0),
            video(40),
            key(80).flags(FrameFlags::NEW_FORMAT),
            video(120),
        ],
    );
    assert_eq!(story(&mut orderer), "[0 1! K0 v40 ] [80 1! K80 v120");
}

#[test]
fn sound_of_a_new_format_waits_for_the_next_fragment_which_tells() {
    let mut orderer = av();
    let changed = audio(20).flags(FrameFlags::NEW_FORMAT);
    push_all(&mut orderer, [key(0), audio(0), changed, audio(40), video(400)]);
    assert_eq!(
        story(&mut orderer),
        "[0 12! K0 a0 -a20FormatChange -a40FormatChange v400"
    );
    push_all(&mut orderer, [key(500), audio(510)]);
    assert_eq!(orderer.poll(), Some(Ordered::FragmentEnd));
    let start = orderer.poll();
    assert!(matches!(start, Some(Ordered::Fragment(start)) if start.new_session && start.new_formats == [2]));
    let marked: Vec<_> = std::iter::from_fn(|| orderer.poll())
        .filter_map(|ordered| match ordered {
            Ordered::Frame(frame) => Some((frame.track, frame.flags.contains(FrameFlags::NEW_FORMAT))),
            _ => None,
        })
        .collect();
    assert_eq!(marked, [(1, false), (2, true)]);
}

#[test]
fn a_new_format_survives_the_drop_of_the_frame_that_told_it() {
    let mut orderer = av();
    let early = audio(0).flags(FrameFlags::NEW_FORMAT);
    push_all(&mut orderer, [early, audio(2000), key(2000)]);
    assert!(matches!(orderer.poll(), Some(Ordered::Dropped { .. })));
    assert!(matches!(orderer.poll(), Some(Ordered::Fragment(start)) if start.new_formats == [2]));
}

#[test]
fn after_a_flush_the_stream_goes_on_at_a_key_frame_in_the_same_session() {
    let mut orderer = av();
    push_all(&mut orderer, [key(0), audio(0), audio(50), video(40)]);
    orderer.flush();
    assert_eq!(story(&mut orderer), "[0 12! K0 a0 a50 v40 ]");
    push_all(&mut orderer, [video(80), key(1000), audio(1000)]);
    assert_eq!(story(&mut orderer), "-v80BeforeKeyFrame [1000 12 K1000 a1000");
}

#[test]
fn sound_past_the_last_picture_of_a_flush_never_overlaps_the_next_fragment() {
    let mut orderer = av();
    push_all(&mut orderer, [key(0), audio(0), audio(500)]);
    orderer.flush();
    push_all(&mut orderer, [key(400), audio(520)]);
    assert_eq!(story(&mut orderer), "[0 12! K0 a0 a500 ] [501 12 ~501 K501 a520");
}

#[test]
fn three_tracks_are_ordered_alike() {
    let second = Track::new(3, Codec::Aac);
    let mut orderer = orderer_with(OrderConfig::default(), vec![Track::h264(), Track::aac(), second]);
    let other = |millis| Frame::new(3, "b").pts(at(millis));
    push_all(&mut orderer, [key(0), audio(5), video(40)]);
    assert_eq!(story(&mut orderer), "");
    push_all(&mut orderer, [other(7), key(500), audio(505), video(540)]);
    assert_eq!(story(&mut orderer), "[0 123! K0 a5 b7 v40");
    push_all(&mut orderer, [other(600), video(640)]);
    assert_eq!(story(&mut orderer), "] [500 123 K500 a505 v540 b600 v640");
}

#[test]
fn unknown_tracks_and_empty_frames_are_refused() {
    let mut orderer = video_only();
    assert_eq!(
        orderer.push(Frame::new(9, "x")).unwrap_err().kind(),
        OrderErrorKind::UnknownTrack
    );
    assert_eq!(
        orderer.push(Frame::video("")).unwrap_err().kind(),
        OrderErrorKind::Empty
    );
}
