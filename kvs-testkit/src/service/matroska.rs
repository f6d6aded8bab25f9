//! The Matroska a reader gets: each fragment a document of its own.
//!
//! Written here and not with the muxer of `kvs-mkv`, which writes what producers send: a fragment goes out
//! as it came in, whatever its codecs, and the two sides of a test share no code.

use bytes::{BufMut, Bytes, BytesMut};
use kvs_mkv::schema::id;
use kvs_mkv::{Block, TrackEntry};

use super::ingest::SessionHeader;
use super::media::Fragment;
use super::number::FragmentNumber;

/// Why media can't be given, as the tags of a response tell it (GetMedia in the API reference).
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadFailure {
    id: u32,
    code: &'static str,
}

impl ReadFailure {
    pub(super) fn fragment_not_found() -> ReadFailure {
        ReadFailure {
            id: 4000,
            code: "FRAGMENT_NOT_FOUND",
        }
    }

    /// A document that holds nothing but the error.
    pub(super) fn encode(self) -> Bytes {
        let error_id = self.id.to_string();
        let tags = [
            ("AWS_KINESISVIDEO_ERROR_CODE", self.code),
            ("AWS_KINESISVIDEO_ERROR_ID", error_id.as_str()),
        ];
        let mut out = document();
        put_tags(&mut out, &tags);
        out.freeze()
    }
}

/// A fragment as GetMedia gives it.
pub(super) fn followed(fragment: &Fragment, millis_behind_now: i64) -> Bytes {
    let number = fragment.number.to_string();
    let behind = millis_behind_now.to_string();
    let (server, producer) = (
        seconds(fragment.server.as_millis()),
        seconds(fragment.producer.as_millis()),
    );
    let tags = [
        ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", number.as_str()),
        ("AWS_KINESISVIDEO_SERVER_TIMESTAMP", server.as_str()),
        ("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", producer.as_str()),
        ("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", behind.as_str()),
        // Readable by whoever looks, opaque to whoever only hands it back.
        ("AWS_KINESISVIDEO_CONTINUATION_TOKEN", number.as_str()),
    ];
    encode(fragment, &tags)
}

/// A fragment as GetMediaForFragmentList gives it.
pub(super) fn listed(fragment: &Fragment) -> Bytes {
    let number = fragment.number.to_string();
    let (server, producer) = (
        seconds(fragment.server.as_millis()),
        seconds(fragment.producer.as_millis()),
    );
    let tags = [
        ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", number.as_str()),
        ("AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP", server.as_str()),
        ("AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP", producer.as_str()),
    ];
    encode(fragment, &tags)
}

/// Tags of a saved fragment that aren't its own.
pub(super) const SAVED_PRODUCER_NS: &str = "KVS_MOCK_PRODUCER_NS";
pub(super) const SAVED_SERVER_NS: &str = "KVS_MOCK_SERVER_NS";
pub(super) const SAVED_DURATION_MS: &str = "KVS_MOCK_DURATION_MS";
pub(super) const SAVED_BYTES: &str = "KVS_MOCK_BYTES";

/// A fragment with all that is needed to have it back.
pub(super) fn saved(fragment: &Fragment) -> Bytes {
    let (producer, server) = (
        fragment.producer.as_nanos().to_string(),
        fragment.server.as_nanos().to_string(),
    );
    let (duration, bytes) = (fragment.duration_ms.to_string(), fragment.bytes.to_string());
    let tags = [
        (SAVED_PRODUCER_NS, producer.as_str()),
        (SAVED_SERVER_NS, server.as_str()),
        (SAVED_DURATION_MS, duration.as_str()),
        (SAVED_BYTES, bytes.as_str()),
    ];
    encode(fragment, &tags)
}

/// What GetMediaForFragmentList gives in place of a fragment it doesn't have.
pub(super) fn not_listed(number: FragmentNumber) -> Bytes {
    let number = number.to_string();
    let tags = [
        ("AWS_KINESISVIDEO_FRAGMENT_NUMBER", number.as_str()),
        ("AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE", "4000"),
        ("AWS_KINESISVIDEO_EXCEPTION_MESSAGE", "the fragment was not found"),
    ];
    let mut out = document();
    put_tags(&mut out, &tags);
    out.freeze()
}

/// Seconds with three decimals.
fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis.div_euclid(1_000), millis.rem_euclid(1_000))
}

fn encode(fragment: &Fragment, tags: &[(&str, &str)]) -> Bytes {
    let mut out = document();
    let payload: usize = fragment.blocks.iter().map(|block| block.data.len() + 16).sum();
    out.reserve(payload + 4_096);
    put_header(&mut out, &fragment.header);
    put_tags(&mut out, tags);
    put_master(&mut out, id::CLUSTER, |out| {
        put_uint(out, id::CLUSTER_TIMECODE, fragment.timecode.unsigned_abs());
        for block in &fragment.blocks {
            put_block(out, block);
        }
    });
    if !fragment.tags.is_empty() {
        let own: Vec<(&str, &str)> = fragment
            .tags
            .iter()
            .map(|tag| (tag.name.as_str(), tag.value.as_str()))
            .collect();
        put_tags(&mut out, &own);
    }
    out.freeze()
}

/// An EBML header and the head of a Segment that ends where the next document begins.
pub(crate) fn document() -> BytesMut {
    let mut out = BytesMut::new();
    put_master(&mut out, id::EBML, |out| {
        put_uint(out, id::EBML_VERSION, 1);
        put_uint(out, id::EBML_READ_VERSION, 1);
        put_uint(out, id::EBML_MAX_ID_LENGTH, 4);
        put_uint(out, id::EBML_MAX_SIZE_LENGTH, 8);
        put_bytes(out, id::DOC_TYPE, b"matroska");
        put_uint(out, id::DOC_TYPE_VERSION, 2);
        put_uint(out, id::DOC_TYPE_READ_VERSION, 2);
    });
    put_id(&mut out, id::SEGMENT);
    // Unknown size, in eight bytes (RFC 8794 §6.2).
    out.put_u64(0x01ff_ffff_ffff_ffff);
    out
}

fn put_header(out: &mut BytesMut, header: &SessionHeader) {
    put_master(out, id::INFO, |out| {
        put_uint(out, id::TIMECODE_SCALE, header.scale.as_nanos());
        put_bytes(out, id::MUXING_APP, b"kvs-testkit");
        put_bytes(out, id::WRITING_APP, b"kvs-testkit");
    });
    put_master(out, id::TRACKS, |out| {
        for track in &header.tracks {
            put_master(out, id::TRACK_ENTRY, |out| put_track(out, track));
        }
    });
}

fn put_track(out: &mut BytesMut, track: &TrackEntry) {
    put_uint(out, id::TRACK_NUMBER, track.number);
    put_uint(out, id::TRACK_UID, track.uid);
    put_uint(out, id::TRACK_TYPE, track.track_type);
    if let Some(name) = &track.name {
        put_bytes(out, id::NAME, name.as_bytes());
    }
    put_bytes(out, id::CODEC_ID, track.codec_id.as_bytes());
    if !track.codec_private.is_empty() {
        put_bytes(out, id::CODEC_PRIVATE, &track.codec_private);
    }
    if let Some(duration) = track.default_duration {
        put_uint(out, id::DEFAULT_DURATION, duration);
    }
    if let Some(video) = &track.video {
        put_master(out, id::VIDEO, |out| {
            put_uint(out, id::PIXEL_WIDTH, video.width.into());
            put_uint(out, id::PIXEL_HEIGHT, video.height.into());
        });
    }
    if let Some(audio) = &track.audio {
        put_master(out, id::AUDIO, |out| {
            put_bytes(out, id::SAMPLING_FREQUENCY, &audio.sample_rate.to_be_bytes());
            if let Some(rate) = audio.output_sample_rate {
                put_bytes(out, id::OUTPUT_SAMPLING_FREQUENCY, &rate.to_be_bytes());
            }
            put_uint(out, id::CHANNELS, audio.channels.into());
            if let Some(depth) = audio.bit_depth {
                put_uint(out, id::BIT_DEPTH, depth.into());
            }
        });
    }
}

/// A SimpleBlock without lacing (RFC 9559 §10.2).
fn put_block(out: &mut BytesMut, block: &Block) {
    let flags = u8::from(block.key) << 7 | u8::from(block.invisible) << 3 | u8::from(block.discardable);
    let track = vint(block.track);
    put_id(out, id::SIMPLE_BLOCK);
    out.put_slice(&vint((track.len() + 3 + block.data.len()) as u64));
    out.put_slice(&track);
    out.put_i16(block.relative);
    out.put_u8(flags);
    out.put_slice(&block.data);
}

pub(crate) fn put_tags(out: &mut BytesMut, tags: &[(&str, &str)]) {
    put_master(out, id::TAGS, |out| {
        put_master(out, id::TAG, |out| {
            for (name, value) in tags {
                put_master(out, id::SIMPLE_TAG, |out| {
                    put_bytes(out, id::TAG_NAME, name.as_bytes());
                    put_bytes(out, id::TAG_STRING, value.as_bytes());
                });
            }
        });
    });
}

fn put_id(out: &mut BytesMut, id: u32) {
    let bytes = id.to_be_bytes();
    let skip = (id.leading_zeros() / 8).min(3) as usize;
    out.put_slice(&bytes[skip..]);
}

pub(crate) fn put_bytes(out: &mut BytesMut, id: u32, data: &[u8]) {
    put_id(out, id);
    out.put_slice(&vint(data.len() as u64));
    out.put_slice(data);
}

pub(crate) fn put_uint(out: &mut BytesMut, id: u32, value: u64) {
    let bytes = value.to_be_bytes();
    let skip = (value.leading_zeros() / 8).min(7) as usize;
    put_bytes(out, id, &bytes[skip..]);
}

/// An element whose size is filled in, in eight bytes, once `children` has written what it holds.
pub(crate) fn put_master(out: &mut BytesMut, id: u32, children: impl FnOnce(&mut BytesMut)) {
    put_id(out, id);
    let at = out.len();
    out.put_u64(0);
    children(out);
    let size = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&(size | 1 << 56).to_be_bytes());
}

/// A number in the fewest bytes that hold it and aren't all ones (RFC 8794 §4).
pub(crate) fn vint(value: u64) -> Bytes {
    let length = (1..8).find(|length| value < (1 << (7 * length)) - 1).unwrap_or(8);
    let marked = value | 1 << (7 * length);
    Bytes::copy_from_slice(&marked.to_be_bytes()[8 - length..])
}
