//! Tests of the demuxer on streams written byte by byte.

use super::*;

/// An element with a one-byte size.
fn element(id: u32, data: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = id
        .to_be_bytes()
        .into_iter()
        .skip_while(|&byte| byte == 0)
        .collect();
    out.push(0x80 | data.len() as u8);
    out.extend_from_slice(data);
    out
}

/// A master of unknown size, in eight bytes as a live ffmpeg writes it.
fn unknown(id: u32, data: &[u8]) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend_from_slice(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    out.extend_from_slice(data);
    out
}

fn ebml() -> Vec<u8> {
    element(id::EBML, &element(id::DOC_TYPE, b"matroska"))
}

fn cluster(timecode: u8, blocks: &[&[u8]]) -> Vec<u8> {
    let mut data = element(id::CLUSTER_TIMECODE, &[timecode]);
    for block in blocks {
        data.extend(element(id::SIMPLE_BLOCK, block));
    }
    data
}

fn read(chunks: &[&[u8]], recovery: Recovery) -> (Vec<MkvEvent>, Result<(), MkvError>) {
    let mut demuxer = Demuxer::new(DemuxLimits {
        recovery,
        ..DemuxLimits::default()
    });
    let mut events = Vec::new();
    for chunk in chunks {
        demuxer.push(Bytes::copy_from_slice(chunk));
        loop {
            match demuxer.poll() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
    }
    let finished = demuxer.finish();
    while let Ok(Some(event)) = demuxer.poll() {
        events.push(event);
    }
    (events, finished)
}

/// The events as short words.
fn words(events: &[MkvEvent]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            MkvEvent::EbmlHeader(_) => "ebml".to_owned(),
            MkvEvent::SegmentStart => "segment".to_owned(),
            MkvEvent::Info(_) => "info".to_owned(),
            MkvEvent::Tracks(tracks) => format!("tracks {}", tracks.len()),
            MkvEvent::ClusterStart => "cluster".to_owned(),
            MkvEvent::ClusterTimecode(timecode) => format!("time {timecode}"),
            MkvEvent::Block(block) => format!("block {}@{}", block.track, block.timecode),
            MkvEvent::Tags(tags) => format!("tags {}", tags.len()),
            MkvEvent::ClusterEnd => "cluster end".to_owned(),
            MkvEvent::SegmentEnd => "segment end".to_owned(),
            MkvEvent::Resynced { skipped, .. } => format!("resynced {skipped}"),
        })
        .collect()
}

const BLOCK: &[u8] = &[0x81, 0, 5, 0x80, b'x'];

#[test]
fn known_and_unknown_sizes_tell_the_same_story() {
    let data = cluster(10, &[BLOCK]);
    let known = [ebml(), element(id::SEGMENT, &element(id::CLUSTER, &data))].concat();
    let live = [ebml(), unknown(id::SEGMENT, &unknown(id::CLUSTER, &data))].concat();
    let story = [
        "ebml",
        "segment",
        "cluster",
        "time 10",
        "block 1@15",
        "cluster end",
        "segment end",
    ]
    .map(String::from);
    for stream in [known, live] {
        let (events, finished) = read(&[&stream], Recovery::Fail);
        assert_eq!(words(&events), story);
        assert_eq!(finished, Ok(()));
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&bytes, Recovery::Fail).0, events, "byte by byte");
    }
}

#[test]
fn a_cluster_of_known_size_ends_with_its_last_byte() {
    let stream = [
        ebml(),
        unknown(id::SEGMENT, &element(id::CLUSTER, &cluster(0, &[BLOCK]))),
    ]
    .concat();
    let mut demuxer = Demuxer::default();
    demuxer.push(Bytes::from(stream));
    let mut last = None;
    while let Some(event) = demuxer.poll().unwrap() {
        last = Some(event);
    }
    assert_eq!(last, Some(MkvEvent::ClusterEnd));
}

#[test]
fn checksums_padding_and_unknown_elements_are_passed_over() {
    let mut data = element(CRC32, &[1, 2, 3, 4]);
    data.extend(cluster(3, &[BLOCK]));
    data.extend(element(VOID, &[0; 20]));
    data.extend(element(0x4FFE, b"not known"));
    data.extend(element(id::CLUSTER_PREV_SIZE, &[9]));
    data.extend(element(id::SIMPLE_BLOCK, BLOCK));
    let mut segment = element(id::SEEK_HEAD, &[0; 3]);
    segment.extend(unknown(id::CLUSTER, &data));
    segment.extend(element(id::CUES, &[0; 2]));
    let stream = [ebml(), unknown(id::SEGMENT, &segment)].concat();
    let (events, finished) = read(&[&stream], Recovery::Fail);
    let story = [
        "ebml",
        "segment",
        "cluster",
        "time 3",
        "block 1@8",
        "block 1@8",
        "cluster end",
        "segment end",
    ];
    assert_eq!(words(&events), story);
    assert_eq!(finished, Ok(()));
}

#[test]
fn documents_may_follow_each_other_as_in_get_media() {
    let one = [
        ebml(),
        unknown(id::SEGMENT, &unknown(id::CLUSTER, &cluster(1, &[BLOCK]))),
    ]
    .concat();
    let (events, _) = read(&[&one, &one], Recovery::Fail);
    let half = [
        "ebml",
        "segment",
        "cluster",
        "time 1",
        "block 1@6",
        "cluster end",
        "segment end",
    ];
    assert_eq!(words(&events), [half, half].concat());
}

#[test]
fn tags_end_an_open_cluster_and_are_flattened() {
    let simple = |name: &[u8], value: &[u8]| {
        element(
            id::SIMPLE_TAG,
            &[element(id::TAG_NAME, name), element(id::TAG_STRING, value)].concat(),
        )
    };
    let tag = element(id::TAG, &[simple(b"a", b"1"), simple(b"b", b"")].concat());
    let segment = [unknown(id::CLUSTER, &cluster(0, &[])), element(id::TAGS, &tag)].concat();
    let (events, _) = read(
        &[&[ebml(), unknown(id::SEGMENT, &segment)].concat()],
        Recovery::Fail,
    );
    assert_eq!(
        words(&events)[2..],
        ["cluster", "time 0", "cluster end", "tags 2", "segment end"]
    );
    let Some(MkvEvent::Tags(tags)) = events.iter().find(|event| matches!(event, MkvEvent::Tags(_))) else {
        panic!("no tags");
    };
    assert_eq!((tags[0].name.as_str(), tags[0].value.as_str()), ("a", "1"));
}

#[test]
fn laced_frames_get_their_times_from_the_default_duration() {
    let entry = [
        element(id::TRACK_NUMBER, &[1]),
        element(id::DEFAULT_DURATION, &20_000_000u32.to_be_bytes()),
    ];
    let tracks = element(id::TRACKS, &element(id::TRACK_ENTRY, &entry.concat()));
    let laced = b"\x81\0\x00\x84\x02abc";
    let segment = [tracks, unknown(id::CLUSTER, &cluster(10, &[laced]))].concat();
    let (events, _) = read(
        &[&[ebml(), unknown(id::SEGMENT, &segment)].concat()],
        Recovery::Fail,
    );
    assert_eq!(words(&events)[5..8], ["block 1@10", "block 1@30", "block 1@50"]);
}

#[test]
fn a_block_of_the_most_laced_frames_is_read() {
    // Found by fuzzing: 256 frames, which the count in the block can just tell.
    let mut laced = b"\x81\0\x00\x84\xff".to_vec();
    laced.resize(laced.len() + 256, 7);
    let mut data = element(id::CLUSTER_TIMECODE, &[0]);
    data.extend_from_slice(&[0xA3, 0x40 | (laced.len() >> 8) as u8, laced.len() as u8]);
    data.extend_from_slice(&laced);
    let (events, finished) = read(
        &[&[ebml(), unknown(id::SEGMENT, &unknown(id::CLUSTER, &data))].concat()],
        Recovery::Fail,
    );
    assert_eq!(finished, Ok(()));
    let laces: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            MkvEvent::Block(block) => Some(block.lace),
            _ => None,
        })
        .collect();
    assert_eq!(laces, (0..=255).collect::<Vec<u8>>());
}

#[test]
fn a_size_of_petabytes_is_refused_before_anything_is_held() {
    let mut stream = [
        ebml(),
        unknown(id::SEGMENT, &unknown(id::CLUSTER, &cluster(0, &[]))),
    ]
    .concat();
    let at = stream.len() as u64;
    stream.extend_from_slice(&[0xA3, 0x01, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let (_, finished) = read(&[&stream], Recovery::Fail);
    let error = finished.unwrap_err();
    assert_eq!(
        (error.kind(), error.offset()),
        (MkvErrorKind::LimitExceeded, Some(at))
    );
}

#[test]
fn malformed_input_is_an_error_with_its_offset_and_stays_one() {
    let mut demuxer = Demuxer::default();
    demuxer.push(Bytes::from([ebml(), vec![0]].concat()));
    assert!(matches!(demuxer.poll(), Ok(Some(MkvEvent::EbmlHeader(_)))));
    let error = demuxer.poll().unwrap_err();
    assert_eq!(error.kind(), MkvErrorKind::MalformedElement);
    assert_eq!(error.offset(), Some(ebml().len() as u64));
    assert_eq!(demuxer.poll(), Err(error.clone()));
    assert_eq!(demuxer.finish(), Err(error));
}

#[test]
fn the_offset_of_an_error_is_the_same_at_every_split() {
    // Found by fuzzing: padding, then an element without a valid size.
    let stream = [0xec, 0x84, 0, 0, 0, 0, 0xff, 0xff, 0x00, 0xbf];
    let errors: Vec<_> = (1..10)
        .map(|size| read(&stream.chunks(size).collect::<Vec<_>>(), Recovery::Fail).1)
        .collect();
    assert_eq!(errors[0].as_ref().unwrap_err().offset(), Some(6));
    assert!(errors.iter().all(|error| error == &errors[0]));
}

#[test]
fn elements_out_of_place_are_refused() {
    for stream in [
        element(id::SIMPLE_BLOCK, BLOCK),
        unknown(id::SEGMENT, &element(id::SIMPLE_BLOCK, BLOCK)),
        unknown(
            id::SEGMENT,
            &unknown(id::CLUSTER, &element(id::SIMPLE_BLOCK, BLOCK)),
        ),
        element(id::SEGMENT, &element(id::CLUSTER, &element(id::INFO, &[]))),
        element(id::SEGMENT, &[0xEC, 0x85, 0]),
        unknown(id::SEGMENT, &unknown(id::TAGS, &[])),
    ] {
        let (_, finished) = read(&[&ebml(), &stream], Recovery::Fail);
        assert!(finished.is_err(), "{stream:02x?}");
    }
    let other = element(id::EBML, &element(id::DOC_TYPE, b"mp4"));
    assert!(read(&[&other], Recovery::Fail).1.is_err());
}

#[test]
fn an_input_cut_anywhere_ends_with_an_error_or_cleanly_and_closes_what_was_open() {
    let stream = [
        ebml(),
        unknown(id::SEGMENT, &element(id::CLUSTER, &cluster(1, &[BLOCK]))),
    ]
    .concat();
    for end in 0..stream.len() {
        let (events, _) = read(&[&stream[..end]], Recovery::Fail);
        let count = |wanted: &MkvEvent| events.iter().filter(|event| *event == wanted).count();
        assert_eq!(count(&MkvEvent::ClusterStart), count(&MkvEvent::ClusterEnd));
        assert_eq!(count(&MkvEvent::SegmentStart), count(&MkvEvent::SegmentEnd));
    }
    let (_, finished) = read(&[&stream[..stream.len() - 1]], Recovery::Fail);
    assert_eq!(finished.unwrap_err().kind(), MkvErrorKind::UnexpectedEnd);
}

#[test]
fn after_garbage_reading_goes_on_at_the_next_cluster_if_asked_to() {
    let first = unknown(id::CLUSTER, &cluster(1, &[BLOCK]));
    let garbage = [&[0u8; 50][..], &[0x1F, 0x43, 0xB6, 0x75, 0x00, 1, 2, 3]].concat();
    let second = unknown(id::CLUSTER, &cluster(2, &[BLOCK]));
    let stream = [ebml(), unknown(id::SEGMENT, &[first, garbage, second].concat())].concat();
    let story = [
        "ebml",
        "segment",
        "cluster",
        "time 1",
        "block 1@6",
        "cluster end",
        "resynced 58",
        "cluster",
        "time 2",
        "block 1@7",
        "cluster end",
        "segment end",
    ];
    for size in [1, 3, 7, 1000] {
        let chunks: Vec<&[u8]> = stream.chunks(size).collect();
        let (events, finished) = read(&chunks, Recovery::NextCluster);
        assert_eq!(words(&events), story, "in chunks of {size}");
        assert_eq!(finished, Ok(()));
    }
    assert!(read(&[&stream], Recovery::Fail).1.is_err());
}
