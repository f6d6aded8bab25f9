//! The element table: every EBML and Matroska element this crate writes or reads, with id, type and path.
//!
//! One table makes two things: the ids in [`id`], which the muxer and the demuxer use, and [`Element`], an
//! [`ebml_iterable`] specification. With the latter, that crate's own reader can check what the muxer
//! wrote, without sharing a line of code with it.

// Ids and paths: RFC 8794 §11.2 (EBML header), RFC 9559 §5.1 (Matroska).

/// Makes the id constants and the specification from one table.
macro_rules! elements {
    ($( $name:ident = $id:literal : $kind:ident in $($path:ident)/+ ; )*) => {
        /// Element ids, with their length marker, as they stand on the wire.
        #[allow(missing_docs, reason = "each is the id of the element it is named after")]
        pub mod id {
            $( pub const $name: u32 = $id; )*
        }

        /// The table as code of the specification crate.
        #[allow(missing_docs, clippy::all, reason = "made by the macro of the specification crate")]
        mod specification {
            use ebml_iterable::specs::{TagDataType, easy_ebml};

            easy_ebml! {
                /// Every element of the table, as an `ebml-iterable` specification.
                #[derive(Clone, Debug, PartialEq)]
                pub enum Element {
                    $( $($path)/+ : $kind = $id ),*
                }
            }
        }
    };
}

elements! {
    EBML = 0x1A45DFA3: Master in Ebml;
    EBML_VERSION = 0x4286: UnsignedInt in Ebml/EbmlVersion;
    EBML_READ_VERSION = 0x42F7: UnsignedInt in Ebml/EbmlReadVersion;
    EBML_MAX_ID_LENGTH = 0x42F2: UnsignedInt in Ebml/EbmlMaxIdLength;
    EBML_MAX_SIZE_LENGTH = 0x42F3: UnsignedInt in Ebml/EbmlMaxSizeLength;
    DOC_TYPE = 0x4282: Utf8 in Ebml/DocType;
    DOC_TYPE_VERSION = 0x4287: UnsignedInt in Ebml/DocTypeVersion;
    DOC_TYPE_READ_VERSION = 0x4285: UnsignedInt in Ebml/DocTypeReadVersion;

    SEGMENT = 0x18538067: Master in Segment;

    SEEK_HEAD = 0x114D9B74: Master in Segment/SeekHead;
    SEEK = 0x4DBB: Master in Segment/SeekHead/Seek;
    SEEK_ID = 0x53AB: Binary in Segment/SeekHead/Seek/SeekId;
    SEEK_POSITION = 0x53AC: UnsignedInt in Segment/SeekHead/Seek/SeekPosition;

    INFO = 0x1549A966: Master in Segment/Info;
    SEGMENT_UID = 0x73A4: Binary in Segment/Info/SegmentUid;
    TIMECODE_SCALE = 0x2AD7B1: UnsignedInt in Segment/Info/TimecodeScale;
    DURATION = 0x4489: Float in Segment/Info/Duration;
    DATE_UTC = 0x4461: Binary in Segment/Info/DateUtc;
    TITLE = 0x7BA9: Utf8 in Segment/Info/Title;
    MUXING_APP = 0x4D80: Utf8 in Segment/Info/MuxingApp;
    WRITING_APP = 0x5741: Utf8 in Segment/Info/WritingApp;

    TRACKS = 0x1654AE6B: Master in Segment/Tracks;
    TRACK_ENTRY = 0xAE: Master in Segment/Tracks/TrackEntry;
    TRACK_NUMBER = 0xD7: UnsignedInt in Segment/Tracks/TrackEntry/TrackNumber;
    TRACK_UID = 0x73C5: UnsignedInt in Segment/Tracks/TrackEntry/TrackUid;
    TRACK_TYPE = 0x83: UnsignedInt in Segment/Tracks/TrackEntry/TrackType;
    FLAG_ENABLED = 0xB9: UnsignedInt in Segment/Tracks/TrackEntry/FlagEnabled;
    FLAG_DEFAULT = 0x88: UnsignedInt in Segment/Tracks/TrackEntry/FlagDefault;
    FLAG_FORCED = 0x55AA: UnsignedInt in Segment/Tracks/TrackEntry/FlagForced;
    FLAG_LACING = 0x9C: UnsignedInt in Segment/Tracks/TrackEntry/FlagLacing;
    MIN_CACHE = 0x6DE7: UnsignedInt in Segment/Tracks/TrackEntry/MinCache;
    DEFAULT_DURATION = 0x23E383: UnsignedInt in Segment/Tracks/TrackEntry/DefaultDuration;
    NAME = 0x536E: Utf8 in Segment/Tracks/TrackEntry/Name;
    LANGUAGE = 0x22B59C: Utf8 in Segment/Tracks/TrackEntry/Language;
    LANGUAGE_BCP47 = 0x22B59D: Utf8 in Segment/Tracks/TrackEntry/LanguageBcp47;
    CODEC_ID = 0x86: Utf8 in Segment/Tracks/TrackEntry/CodecId;
    CODEC_PRIVATE = 0x63A2: Binary in Segment/Tracks/TrackEntry/CodecPrivate;
    CODEC_DELAY = 0x56AA: UnsignedInt in Segment/Tracks/TrackEntry/CodecDelay;
    SEEK_PRE_ROLL = 0x56BB: UnsignedInt in Segment/Tracks/TrackEntry/SeekPreRoll;
    VIDEO = 0xE0: Master in Segment/Tracks/TrackEntry/Video;
    FLAG_INTERLACED = 0x9A: UnsignedInt in Segment/Tracks/TrackEntry/Video/FlagInterlaced;
    FIELD_ORDER = 0x9D: UnsignedInt in Segment/Tracks/TrackEntry/Video/FieldOrder;
    PIXEL_WIDTH = 0xB0: UnsignedInt in Segment/Tracks/TrackEntry/Video/PixelWidth;
    PIXEL_HEIGHT = 0xBA: UnsignedInt in Segment/Tracks/TrackEntry/Video/PixelHeight;
    DISPLAY_WIDTH = 0x54B0: UnsignedInt in Segment/Tracks/TrackEntry/Video/DisplayWidth;
    DISPLAY_HEIGHT = 0x54BA: UnsignedInt in Segment/Tracks/TrackEntry/Video/DisplayHeight;
    DISPLAY_UNIT = 0x54B2: UnsignedInt in Segment/Tracks/TrackEntry/Video/DisplayUnit;
    COLOUR = 0x55B0: Binary in Segment/Tracks/TrackEntry/Video/Colour;
    AUDIO = 0xE1: Master in Segment/Tracks/TrackEntry/Audio;
    SAMPLING_FREQUENCY = 0xB5: Float in Segment/Tracks/TrackEntry/Audio/SamplingFrequency;
    OUTPUT_SAMPLING_FREQUENCY = 0x78B5: Float in Segment/Tracks/TrackEntry/Audio/OutputSamplingFrequency;
    CHANNELS = 0x9F: UnsignedInt in Segment/Tracks/TrackEntry/Audio/Channels;
    BIT_DEPTH = 0x6264: UnsignedInt in Segment/Tracks/TrackEntry/Audio/BitDepth;

    CLUSTER = 0x1F43B675: Master in Segment/Cluster;
    CLUSTER_TIMECODE = 0xE7: UnsignedInt in Segment/Cluster/Timecode;
    CLUSTER_POSITION = 0xA7: UnsignedInt in Segment/Cluster/Position;
    CLUSTER_PREV_SIZE = 0xAB: UnsignedInt in Segment/Cluster/PrevSize;
    SIMPLE_BLOCK = 0xA3: Binary in Segment/Cluster/SimpleBlock;
    BLOCK_GROUP = 0xA0: Master in Segment/Cluster/BlockGroup;
    BLOCK = 0xA1: Binary in Segment/Cluster/BlockGroup/Block;
    BLOCK_ADDITIONS = 0x75A1: Binary in Segment/Cluster/BlockGroup/BlockAdditions;
    BLOCK_DURATION = 0x9B: UnsignedInt in Segment/Cluster/BlockGroup/BlockDuration;
    REFERENCE_BLOCK = 0xFB: Integer in Segment/Cluster/BlockGroup/ReferenceBlock;
    DISCARD_PADDING = 0x75A2: Integer in Segment/Cluster/BlockGroup/DiscardPadding;

    CUES = 0x1C53BB6B: Master in Segment/Cues;
    CUE_POINT = 0xBB: Master in Segment/Cues/CuePoint;
    CUE_TIME = 0xB3: UnsignedInt in Segment/Cues/CuePoint/CueTime;
    CUE_TRACK_POSITIONS = 0xB7: Master in Segment/Cues/CuePoint/CueTrackPositions;
    CUE_TRACK = 0xF7: UnsignedInt in Segment/Cues/CuePoint/CueTrackPositions/CueTrack;
    CUE_CLUSTER_POSITION = 0xF1: UnsignedInt in Segment/Cues/CuePoint/CueTrackPositions/CueClusterPosition;
    CUE_RELATIVE_POSITION = 0xF0: UnsignedInt in Segment/Cues/CuePoint/CueTrackPositions/CueRelativePosition;

    CHAPTERS = 0x1043A770: Binary in Segment/Chapters;
    ATTACHMENTS = 0x1941A469: Binary in Segment/Attachments;

    TAGS = 0x1254C367: Master in Segment/Tags;
    TAG = 0x7373: Master in Segment/Tags/Tag;
    TARGETS = 0x63C0: Master in Segment/Tags/Tag/Targets;
    TARGET_TYPE_VALUE = 0x68CA: UnsignedInt in Segment/Tags/Tag/Targets/TargetTypeValue;
    TAG_TRACK_UID = 0x63C5: UnsignedInt in Segment/Tags/Tag/Targets/TagTrackUid;
    SIMPLE_TAG = 0x67C8: Master in Segment/Tags/Tag/SimpleTag;
    TAG_NAME = 0x45A3: Utf8 in Segment/Tags/Tag/SimpleTag/TagName;
    TAG_LANGUAGE = 0x447A: Utf8 in Segment/Tags/Tag/SimpleTag/TagLanguage;
    TAG_DEFAULT = 0x4484: UnsignedInt in Segment/Tags/Tag/SimpleTag/TagDefault;
    TAG_STRING = 0x4487: Utf8 in Segment/Tags/Tag/SimpleTag/TagString;
    TAG_BINARY = 0x4485: Binary in Segment/Tags/Tag/SimpleTag/TagBinary;
}

pub use specification::Element;

/// `Void`, which may stand anywhere (RFC 8794 §11.3.2); the specification crate adds it by itself.
pub const VOID: u32 = 0xEC;
/// `CRC-32`, the first child of any master that has one (RFC 8794 §11.3.1).
pub const CRC32: u32 = 0xBF;

#[cfg(test)]
mod tests {
    use ebml_iterable::specs::{EbmlSpecification, PathPart, TagDataType};

    use super::*;

    #[test]
    fn ids_and_specification_are_one_table() {
        assert_eq!(
            Element::get_tag_data_type(u64::from(id::SIMPLE_BLOCK)),
            Some(TagDataType::Binary)
        );
        assert!(matches!(
            Element::get_path_by_id(u64::from(id::CLUSTER_TIMECODE)),
            [PathPart::Id(segment), PathPart::Id(cluster)]
                if *segment == u64::from(id::SEGMENT) && *cluster == u64::from(id::CLUSTER)
        ));
    }
}
