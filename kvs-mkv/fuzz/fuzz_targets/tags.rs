#![no_main]
//! Fragment tags through muxer and demuxer.

use bytes::Bytes;
use kvs_mkv::{
    Demuxer, FragmentEvent, FragmentInfo, FragmentMetadata, FragmentTimecodes, MkvEvent, Muxer, SegmentInfo,
    SimpleTag, Tag, Timestamp, Track, TrackSet,
};
use libfuzzer_sys::fuzz_target;

#[derive(arbitrary::Arbitrary, Debug)]
enum Put {
    Once(String, String),
    Persistent(String, String),
    Images(Option<String>, Vec<(String, String)>),
    Notification(Vec<(String, String)>),
    End,
}

fn pairs(pairs: Vec<(String, String)>) -> Vec<Tag> {
    pairs.into_iter().map(|(name, value)| Tag { name, value }).collect()
}

fuzz_target!(|puts: Vec<Put>| {
    let track = Track::aac().with_codec_private(Bytes::from_static(&[0x11, 0x90])).expect("a valid config");
    let tracks = TrackSet::new(vec![track]).expect("a valid set");
    let mut muxer = Muxer::new(SegmentInfo::new([1; 16]), &tracks, FragmentTimecodes::Absolute).expect("ready");
    let mut out: Vec<Bytes> = Vec::new();
    let mut metadata = FragmentMetadata::default();
    let mut expected = Vec::new();
    muxer.header(&mut out);
    muxer.start_fragment(Timestamp::ZERO, &mut out).expect("a first fragment");
    for put in puts.into_iter().chain([Put::End]) {
        let _ = match put {
            Put::Once(name, value) => metadata.put(Tag { name, value }),
            Put::Persistent(name, value) => metadata.put_persistent(Tag { name, value }),
            Put::Images(prefix, tags) => {
                metadata.put_event(FragmentEvent::ImageGeneration { prefix, pairs: pairs(tags) })
            }
            Put::Notification(tags) => metadata.put_event(FragmentEvent::Notification { pairs: pairs(tags) }),
            Put::End => {
                let tags = metadata.end_fragment();
                muxer.tags(&tags, &mut out).expect("what metadata takes is within the limits");
                expected.extend(tags);
                Ok(())
            }
        };
    }
    let mut demuxer = Demuxer::default();
    demuxer.push(Bytes::from(out.concat()));
    let mut found = Vec::new();
    while let Some(event) = demuxer.poll().expect("a valid stream") {
        if let MkvEvent::Tags(tags) = event {
            let _ = FragmentInfo::from_tags(&tags);
            found.extend(tags);
        }
    }
    // A zero byte ends text in EBML.
    let cut = |text: &str| text.split('\0').next().unwrap_or_default().to_owned();
    let expected: Vec<_> =
        expected.iter().map(|tag| SimpleTag { name: cut(&tag.name), value: cut(&tag.value) }).collect();
    assert_eq!(found, expected);
});
