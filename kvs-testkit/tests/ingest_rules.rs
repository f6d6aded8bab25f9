//! For every rule of ingestion a session that breaks it, and the code it is refused with.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

mod common;

use std::time::Duration;

use common::media;
use kvs_mkv::Timestamp;
use kvs_testkit::service::{
    Action, FragmentState, IngestRule, Operation, PutMediaRequest, Quotas, RepeatRule, Service,
    ServiceConfig, SessionEnd, StreamSelector, TimecodeType,
};

/// An epoch time in milliseconds.
const T: u64 = 1_700_000_000_000;

fn now() -> Timestamp {
    Timestamp::from_millis(T as i64)
}

/// A session that breaks a rule: what it sends, and under which settings.
struct Case {
    config: ServiceConfig,
    body: Vec<Vec<u8>>,
    /// What happens besides the body.
    happens: Happening,
}

#[derive(PartialEq)]
enum Happening {
    Nothing,
    BodyEnds,
    TimePasses(Duration),
    StreamDeleted,
    SentBefore,
}

fn sends(body: Vec<Vec<u8>>) -> Option<Case> {
    Some(Case {
        config: ServiceConfig::default(),
        body,
        happens: Happening::Nothing,
    })
}

fn with(happens: Happening, body: Vec<Vec<u8>>) -> Option<Case> {
    Some(Case {
        config: ServiceConfig::default(),
        body,
        happens,
    })
}

/// The failing case of a rule; `None` for a rule nobody thought of.
fn failing_case(rule: IngestRule) -> Option<Case> {
    let one = || media::header(&[1]);
    let text = |length: usize| "x".repeat(length);
    match rule {
        IngestRule::FragmentSize => {
            let mut case = sends(vec![one(), media::cluster(T), media::block(1, 0, vec![0; 2_000])])?;
            case.config.limits.fragment_bytes = 1_000;
            Some(case)
        }
        IngestRule::FragmentDuration => sends(vec![
            one(),
            media::cluster(T),
            media::block(1, 0, "a"),
            media::block(1, 20_001, "b"),
        ]),
        IngestRule::FragmentMinimum => {
            let mut case = sends(vec![one(), media::fragment(T), media::fragment(T + 999)])?;
            case.config.quotas = Some(Quotas::default());
            Some(case)
        }
        IngestRule::ConnectionDuration => {
            with(
                Happening::TimePasses(Duration::from_secs(45 * 60)),
                vec![one(), media::fragment(T)],
            )
            .map(|mut case| {
                // So that silence isn't what ends it.
                case.config.limits.idle_close = Duration::from_secs(3 * 60 * 60);
                case
            })
        }
        IngestRule::ClusterOrder => sends(vec![one(), media::fragment(T), media::fragment(T)]),
        IngestRule::BlockOrder => {
            // The cluster begins later, its first block at the time of the last one before.
            sends(vec![
                one(),
                media::fragment(T),
                media::cluster(T + 100),
                media::block(1, 100, "x"),
            ])
        }
        IngestRule::NoRepeat => {
            let mut case = with(Happening::SentBefore, vec![one(), media::fragment(T)])?;
            case.config.repeat_rule = RepeatRule::Refuse;
            Some(case)
        }
        IngestRule::Matroska => sends(vec![media::ebml_header("mp4")]),
        IngestRule::OneSegment => sends(vec![one(), media::fragment(T), one()]),
        IngestRule::TimecodeScale => sends(vec![
            media::ebml_header("matroska"),
            media::segment(),
            media::info(99),
            media::tracks(&[1]),
            media::fragment(T),
        ]),
        IngestRule::TracksDeclared => sends(vec![
            media::ebml_header("matroska"),
            media::segment(),
            media::fragment(T),
        ]),
        IngestRule::TracksOnce => sends(vec![one(), media::fragment(T), media::tracks(&[1])]),
        IngestRule::ClusterTimecode => sends(vec![
            one(),
            media::endless(&[0x1f, 0x43, 0xb6, 0x75]),
            media::fragment(T),
        ]),
        IngestRule::ProducerTimestamp => sends(vec![one(), media::fragment(u64::MAX / 1_000)]),
        IngestRule::StreamActive => with(Happening::StreamDeleted, vec![one(), media::fragment(T)]),
        IngestRule::TagCount => {
            let pairs = [("a", "b"); 11];
            sends(vec![one(), media::fragment(T), media::tags(&pairs)])
        }
        IngestRule::TagName => sends(vec![one(), media::fragment(T), media::tags(&[(&text(129), "v")])]),
        IngestRule::TagValue => sends(vec![one(), media::fragment(T), media::tags(&[("n", &text(257))])]),
        IngestRule::TagReserved => sends(vec![one(), media::fragment(T), media::tags(&[("AWS_X", "v")])]),
        IngestRule::TrackDeclared => sends(vec![one(), media::cluster(T), media::block(2, 0, "x")]),
        IngestRule::FramesForEveryTrack => with(
            Happening::BodyEnds,
            vec![media::header(&[1, 2]), media::fragment(T)],
        ),
        IngestRule::TrackCount => sends(vec![media::header(&[1, 2, 3, 4])]),
        _ => None,
    }
}

/// Runs a case; gives the acknowledgements and how the session ended.
fn run(case: &Case) -> (Vec<String>, Option<SessionEnd>) {
    let mut service = Service::new(case.config.clone());
    let create = br#"{"StreamName":"cam","DataRetentionInHours":1}"#;
    assert_eq!(
        service.call(Operation::CreateStream, create, "", now()).status,
        200
    );
    if case.happens == Happening::SentBefore {
        let earlier = open(&mut service);
        for piece in &case.body {
            service.put_media_data(earlier, piece.clone().into(), now());
        }
        service.put_media_end(earlier, now());
        while service.poll(earlier, now()).is_some() {}
    }
    let connection = open(&mut service);
    for piece in &case.body {
        service.put_media_data(connection, piece.clone().into(), now());
    }
    let mut at = now();
    match &case.happens {
        Happening::Nothing | Happening::SentBefore => {}
        Happening::BodyEnds => service.put_media_end(connection, at),
        Happening::TimePasses(time) => at = at.saturating_add(*time),
        Happening::StreamDeleted => {
            let describe = service.call(Operation::DescribeStream, br#"{"StreamName":"cam"}"#, "", at);
            let arn = describe.body["StreamInfo"]["StreamARN"]
                .as_str()
                .unwrap()
                .to_owned();
            let delete = format!("{{\"StreamARN\":\"{arn}\"}}");
            assert_eq!(
                service
                    .call(Operation::DeleteStream, delete.as_bytes(), "", at)
                    .status,
                200
            );
        }
    }
    let mut acks = Vec::new();
    while let Some(action) = service.poll(connection, at) {
        if let Action::Send(line) = action {
            acks.push(common::ack_text(&serde_json::from_slice(&line).unwrap()));
        }
    }
    let session = service.ledger().stream("cam").sessions.last().cloned();
    (acks, session.and_then(|session| session.end))
}

fn open(service: &mut Service) -> kvs_testkit::service::ConnectionId {
    let request = PutMediaRequest {
        stream: StreamSelector::Name("cam".into()),
        timecodes: TimecodeType::Absolute,
        start_timestamp: None,
        acks_required: true,
    };
    service.open_put_media(&request, now()).unwrap().connection
}

#[test]
fn every_rule_has_a_session_that_is_refused_with_its_code() {
    for &rule in IngestRule::ALL {
        let case = failing_case(rule).unwrap_or_else(|| panic!("{rule:?} has no failing case"));
        let (acks, end) = run(&case);
        let code = rule.error_id();
        let wanted = format!("ERROR {}", code.0);
        assert_eq!(acks.last(), Some(&wanted), "{rule:?}: {acks:?}, {end:?}");
        let Some(SessionEnd::Error { id, reason }) = end else {
            panic!("{rule:?} ended with {end:?}")
        };
        assert_eq!(id, code);
        assert!(
            reason.starts_with(&format!("{rule:?}")),
            "{rule:?} was refused for another reason: {reason}"
        );
    }
}

#[test]
fn a_session_at_every_limit_is_taken() {
    let name = "n".repeat(128);
    let value = "v".repeat(256);
    let mut pairs: Vec<(&str, &str)> = vec![("place", "door"); 9];
    pairs.push((&name, &value));
    let three = |timecode, relative| {
        let blocks = (1..=3).flat_map(move |track| media::block(track, relative, "x"));
        media::cluster(timecode)
            .into_iter()
            .chain(blocks)
            .collect::<Vec<u8>>()
    };
    let case = with(
        Happening::BodyEnds,
        vec![
            media::header(&[1, 2, 3]),
            three(T, 0),
            media::block(1, 20_000, "last"),
            media::tags(&pairs),
            // A cluster may follow by one unit, and its blocks may precede its timecode.
            three(T + 20_002, -1),
            media::tags(&[("AWS_KINESISVIDEO_NOTIFICATION", "")]),
            media::end_of_fragment(),
        ],
    );
    let (acks, end) = run(&case.unwrap());
    assert_eq!(end, Some(SessionEnd::Complete), "{acks:?}");
    assert_eq!(acks.len(), 6);
}

#[test]
fn clusters_of_other_writers_are_taken() {
    // ffmpeg puts a CRC-32 first, the C producer a Position after the timecode and sizes of eight bytes.
    let crc = media::element(&[0xbf], [1, 2, 3, 4]);
    let position = media::uint(&[0xa7], 0);
    let void = media::element(&[0xec], [0; 10]);
    let known_size = [
        crc,
        media::uint(&[0xe7], T),
        position,
        void,
        media::block(1, 0, "x"),
    ]
    .concat();
    let case = with(
        Happening::BodyEnds,
        vec![
            media::header(&[1]),
            media::element(&[0x1f, 0x43, 0xb6, 0x75], known_size),
        ],
    );
    let (acks, end) = run(&case.unwrap());
    assert_eq!(end, Some(SessionEnd::Complete), "{acks:?}");
    assert_eq!(acks.len(), 3);
}

#[test]
fn a_refusal_shows_the_elements_around_it() {
    let case = failing_case(IngestRule::TrackDeclared).unwrap();
    let mut service = Service::new(case.config.clone());
    service.ensure_stream("cam", 1, now());
    let connection = open(&mut service);
    for piece in &case.body {
        service.put_media_data(connection, piece.clone().into(), now());
    }
    let summary = service.ledger().stream("cam").summary();
    for line in [
        "Segment",
        "  Tracks (1)",
        "  Cluster",
        "    Timecode 1700000000000",
        "    Block track 2",
    ] {
        assert!(summary.contains(line), "{line:?} is missing in\n{summary}");
    }
}

#[test]
fn the_ledger_keeps_to_its_limit_over_all_sessions_of_a_stream() {
    let mut config = ServiceConfig::default();
    config.ledger_fragments = 16;
    let mut service = Service::new(config);
    service.ensure_stream("cam", 1, now());
    for session in 0..4 {
        let connection = open(&mut service);
        service.put_media_data(connection, media::header(&[1]).into(), now());
        for n in 0..50 {
            let timecode = T + (session * 50 + n) * 1_000;
            service.put_media_data(connection, media::fragment(timecode).into(), now());
        }
        service.put_media_end(connection, now());
        while service.poll(connection, now()).is_some() {}
    }
    let stream = service.ledger().stream("cam");
    let kept: Vec<i64> = stream.fragments().map(|fragment| fragment.timecode).collect();
    assert!((16..=18).contains(&kept.len()), "{} fragments", kept.len());
    assert_eq!(kept.last(), Some(&((T + 199_000) as i64)));
    assert!(
        stream
            .fragments()
            .all(|fragment| fragment.state == FragmentState::Persisted)
    );
    assert_eq!(stream.totals.fragments_persisted, 200);
    assert_eq!(stream.sessions[0].fragments_let_go, 50);
}

#[test]
fn a_ledger_that_keeps_nothing_still_counts() {
    let mut config = ServiceConfig::default();
    (config.ledger_fragments, config.ledger_frames) = (0, 0);
    let mut service = Service::new(config);
    service.ensure_stream("cam", 1, now());
    let connection = open(&mut service);
    service.put_media_data(connection, media::header(&[1]).into(), now());
    for n in 0..5 {
        service.put_media_data(connection, media::fragment(T + n * 1_000).into(), now());
    }
    service.put_media_end(connection, now());
    let totals = &service.ledger().stream("cam").totals;
    assert_eq!((totals.fragments_persisted, totals.frames_received), (5, 15));
}
