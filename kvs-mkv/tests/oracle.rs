//! What the muxer writes, read by a reader that shares nothing with it but the element table.

use std::time::Duration;

use bytes::Bytes;
use ebml_iterable::TagIterator;
use ebml_iterable::specs::Master;
use kvs_mkv::schema::Element;
use kvs_mkv::{
    Demuxer, FragmentTimecodes, Frame, FrameFlags, MkvEvent, Muxer, SegmentInfo, SimpleTag, Tag, Timestamp,
    Track, TrackSet,
};
use proptest::prelude::*;

fn tracks() -> TrackSet {
    let aac = Bytes::from_static(&[0x11, 0x90]);
    let first = Track::aac()
        .with_number(1)
        .with_uid(11)
        .with_codec_private(aac.clone())
        .expect("valid config");
    let second = Track::aac().with_codec_private(aac).expect("valid config");
    TrackSet::new(vec![first, second]).expect("valid tracks")
}

/// A fragment: how long after the one before it starts, its frames and its tags.
type Fragment = (i64, Vec<(u8, i64, u8, Vec<u8>)>, Vec<(String, String)>);

fn fragments() -> impl Strategy<Value = Vec<Fragment>> {
    let frame = (
        1u8..=2,
        0i64..=32_767,
        any::<u8>(),
        prop::collection::vec(any::<u8>(), 0..400),
    );
    let tag = ("[a-zA-Z]{1,20}", "\\PC{0,20}").prop_filter("reserved", |(name, _)| !name.starts_with("AWS"));
    prop::collection::vec(
        (
            1i64..100_000,
            prop::collection::vec(frame, 0..8),
            prop::collection::vec(tag, 0..4),
        ),
        1..6,
    )
}

/// The stream, and the frames and tags in it.
fn mux(fragments: &[Fragment]) -> (Vec<u8>, Vec<Frame>, Vec<SimpleTag>) {
    let mut muxer = Muxer::new(SegmentInfo::new([9; 16]), &tracks(), FragmentTimecodes::Absolute)
        .expect("tracks are ready");
    let (mut out, mut frames, mut all_tags): (Vec<Bytes>, _, _) = (Vec::new(), Vec::new(), Vec::new());
    muxer.header(&mut out);
    let mut now = Timestamp::from_millis(1_700_000_000_000);
    for (after, contents, tags) in fragments {
        now = now.saturating_add(Duration::from_millis(after.unsigned_abs()));
        muxer.start_fragment(now, &mut out).expect("rising timecode");
        for (track, relative, flags, data) in contents {
            let frame = Frame::new(*track, data.clone())
                .pts(now.saturating_add(Duration::from_millis(relative.unsigned_abs())))
                .flags(FrameFlags::from_bits(*flags & 0x89));
            muxer.block(&frame, &mut out).expect("block within its fragment");
            frames.push(frame);
        }
        let tags: Vec<_> = tags
            .iter()
            .map(|(name, value)| Tag::new(name.as_str(), value.as_str()).expect("valid tag"))
            .collect();
        muxer.tags(&tags, &mut out).expect("few tags");
        all_tags.extend(tags.into_iter().map(|tag| SimpleTag {
            name: tag.name,
            value: tag.value,
        }));
    }
    muxer.end_of_fragment(&mut out);
    all_tags.push(SimpleTag {
        name: "AWS_KINESISVIDEO_END_OF_FRAGMENT".into(),
        value: String::new(),
    });
    (out.concat(), frames, all_tags)
}

proptest! {
    #[test]
    fn the_oracle_reads_every_block_and_tag(fragments in fragments()) {
        let (stream, frames, tags) = mux(&fragments);
        let (mut cluster, mut blocks, mut names, mut values) = (0i64, Vec::new(), Vec::new(), Vec::new());
        let mut numbers = Vec::new();
        for element in TagIterator::<_, Element>::new(stream.as_slice(), &[]) {
            match element.expect("a valid element") {
                Element::Timecode(timecode) => cluster = i64::try_from(timecode).expect("a time"),
                Element::SimpleBlock(data) => {
                    let relative = i16::from_be_bytes([data[1], data[2]]);
                    blocks.push((data[0] & 0x7f, cluster + i64::from(relative), data[3], data[4..].to_vec()));
                }
                Element::TrackNumber(number) => numbers.push(number),
                Element::TagName(name) => names.push(name),
                Element::TagString(value) => values.push(value),
                Element::TimecodeScale(scale) => prop_assert_eq!(scale, 1_000_000),
                _ => {}
            }
        }
        let expected: Vec<_> = frames
            .iter()
            .map(|frame| (frame.track, frame.pts.as_millis(), frame.flags.wire_bits(), frame.data.to_vec()))
            .collect();
        prop_assert_eq!(blocks, expected);
        prop_assert_eq!(numbers, [1, 2]);
        let found: Vec<_> =
            names.into_iter().zip(values).map(|(name, value)| SimpleTag { name, value }).collect();
        prop_assert_eq!(found, tags);
    }

    #[test]
    fn demuxing_at_any_split_is_the_identity(
        fragments in fragments(),
        sizes in prop::collection::vec(1usize..300, 1..40),
    ) {
        let (stream, frames, tags) = mux(&fragments);
        let mut rest = Bytes::from(stream);
        let mut demuxer = Demuxer::default();
        let (mut blocks, mut found_tags, mut clusters) = (Vec::new(), Vec::new(), 0);
        let mut sizes = sizes.into_iter().cycle();
        while !rest.is_empty() {
            let size = sizes.next().unwrap_or(1).min(rest.len());
            demuxer.push(rest.split_to(size));
            while let Some(event) = demuxer.poll().expect("a valid stream") {
                match event {
                    MkvEvent::Block(block) => blocks.push(block),
                    MkvEvent::Tags(tags) => found_tags.extend(tags),
                    MkvEvent::ClusterEnd => clusters += 1,
                    _ => {}
                }
            }
        }
        demuxer.finish().expect("a whole stream");
        prop_assert_eq!(demuxer.poll(), Ok(Some(MkvEvent::SegmentEnd)));
        prop_assert_eq!(clusters, fragments.len());
        prop_assert_eq!(blocks.len(), frames.len());
        for (block, frame) in blocks.iter().zip(&frames) {
            prop_assert_eq!(block.track, u64::from(frame.track));
            prop_assert_eq!(block.timecode, frame.pts.as_millis());
            prop_assert_eq!(block.key, frame.is_key());
            prop_assert_eq!(block.invisible, frame.flags.contains(FrameFlags::INVISIBLE));
            prop_assert_eq!(block.discardable, frame.flags.contains(FrameFlags::DISCARDABLE));
            prop_assert_eq!(&block.data, &frame.data);
        }
        prop_assert_eq!(found_tags, tags);
    }

    #[test]
    fn no_bytes_make_the_demuxer_panic_or_hold_more_than_its_limits(
        mut stream in fragments().prop_map(|fragments| mux(&fragments).0),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        size in 1usize..200,
    ) {
        for (place, byte) in damage {
            let place = place.index(stream.len());
            stream[place] = byte;
        }
        for recovery in [kvs_mkv::Recovery::Fail, kvs_mkv::Recovery::NextCluster] {
            let limits = kvs_mkv::DemuxLimits { max_block: 500, max_tags: 500, recovery, ..Default::default() };
            let mut demuxer = Demuxer::new(limits);
            for chunk in stream.chunks(size) {
                demuxer.push(Bytes::copy_from_slice(chunk));
                while let Ok(Some(_)) = demuxer.poll() {}
            }
            let _ = demuxer.finish();
            while let Ok(Some(_)) = demuxer.poll() {}
        }
    }
}

#[test]
fn the_oracle_finds_the_documented_structure() {
    let (stream, ..) = mux(&[(1, vec![(1, 0, 0x80, vec![1])], vec![])]);
    let names: Vec<_> = TagIterator::<_, Element>::new(stream.as_slice(), &[])
        .map(|element| element.expect("a valid element"))
        .filter_map(|element| match element {
            Element::Ebml(Master::Start) => Some("EBML"),
            Element::Segment(Master::Start) => Some("Segment"),
            Element::Info(Master::Start) => Some("Info"),
            Element::Tracks(Master::Start) => Some("Tracks"),
            Element::Cluster(Master::Start) => Some("Cluster"),
            Element::Cluster(Master::End) => Some("/Cluster"),
            Element::Tags(Master::Start) => Some("Tags"),
            _ => None,
        })
        .collect();
    assert_eq!(
        names,
        ["EBML", "Segment", "Info", "Tracks", "Cluster", "/Cluster", "Tags"]
    );
}
