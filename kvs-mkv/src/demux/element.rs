//! Parsers for the elements that are read as a whole: EBML header, Info, Tracks, Tags.

use bytes::Bytes;

use super::event::{EbmlHeader, InfoEntry, SimpleTag, TrackEntry};
use crate::ebml;
use crate::error::{MkvError, MkvErrorKind};
use crate::schema::{CRC32, VOID, id};
use crate::track::{AudioFormat, VideoFormat};

/// How deep SimpleTags may nest; deeper ones are left out.
const MAX_TAG_DEPTH: u8 = 8;
/// Most tracks that are kept of a Tracks element.
const MAX_TRACK_ENTRIES: usize = 127;

fn malformed(what: &'static str) -> MkvError {
    MkvError::new(MkvErrorKind::MalformedElement).with_detail(what)
}

/// The id and size of an element at the start of `head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ElementHead {
    pub(super) id: u32,
    /// `None` where it is unknown.
    pub(super) size: Option<u64>,
    pub(super) len: usize,
}

/// Reads an element's head; `Ok(None)` where more bytes are needed.
pub(super) fn element_head(head: &[u8]) -> Result<Option<ElementHead>, MkvError> {
    let Some(&first) = head.first() else {
        return Ok(None);
    };
    let id_len = ebml::id_len(first).ok_or_else(|| malformed("invalid element id"))?;
    let Some(&size_first) = head.get(id_len) else {
        return Ok(None);
    };
    let size_len = ebml::vint_len(size_first).ok_or_else(|| malformed("invalid element size"))?;
    let len = id_len + size_len;
    let Some(size) = head.get(id_len..len) else {
        return Ok(None);
    };
    let id = head[..id_len]
        .iter()
        .fold(0, |id, &byte| id << 8 | u32::from(byte));
    Ok(Some(ElementHead {
        id,
        size: ebml::vint(size),
        len,
    }))
}

/// The children of a master element, padding and checksums left out.
pub(super) struct Children(Bytes);

impl Children {
    pub(super) fn of(data: &Bytes) -> Self {
        Children(data.clone())
    }
}

impl Iterator for Children {
    type Item = Result<(u32, Bytes), MkvError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            let child = take_child(&mut self.0);
            if child.is_err() {
                self.0.clear();
            }
            match child {
                Ok((VOID | CRC32, _)) => {}
                other => return Some(other),
            }
        }
        None
    }
}

fn take_child(data: &mut Bytes) -> Result<(u32, Bytes), MkvError> {
    let head = element_head(data)?.ok_or_else(|| malformed("element is cut short"))?;
    let size = head
        .size
        .ok_or_else(|| malformed("unknown size where it cannot stand"))?;
    let end = usize::try_from(size)
        .ok()
        .and_then(|size| head.len.checked_add(size));
    let end = end
        .filter(|&end| end <= data.len())
        .ok_or_else(|| malformed("element exceeds its parent"))?;
    let child = data.split_to(end).slice(head.len..);
    Ok((head.id, child))
}

fn uint(data: &Bytes) -> Result<u64, MkvError> {
    ebml::uint(data).ok_or_else(|| malformed("unsigned integer of more than 8 bytes"))
}

fn float(data: &Bytes) -> Result<f64, MkvError> {
    ebml::float(data).ok_or_else(|| malformed("float of neither 4 nor 8 bytes"))
}

/// Text up to the first zero byte, which pads (RFC 8794 §7.5).
fn text(data: &Bytes) -> String {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    String::from_utf8_lossy(&data[..end]).into_owned()
}

pub(super) fn ebml_header(data: &Bytes) -> Result<EbmlHeader, MkvError> {
    let mut header = EbmlHeader {
        doc_type: "matroska".to_owned(),
        doc_type_version: 1,
        doc_type_read_version: 1,
    };
    for child in Children::of(data) {
        let (id, data) = child?;
        match id {
            id::DOC_TYPE => header.doc_type = text(&data),
            id::DOC_TYPE_VERSION => header.doc_type_version = uint(&data)?,
            id::DOC_TYPE_READ_VERSION => header.doc_type_read_version = uint(&data)?,
            id::EBML_READ_VERSION if uint(&data)? > 1 => return Err(malformed("ebml version is not 1")),
            id::EBML_MAX_ID_LENGTH if uint(&data)? > 4 => {
                return Err(malformed("element ids of more than 4 bytes"));
            }
            id::EBML_MAX_SIZE_LENGTH if uint(&data)? > 8 => {
                return Err(malformed("element sizes of more than 8 bytes"));
            }
            _ => {}
        }
    }
    if header.doc_type != "matroska" && header.doc_type != "webm" {
        return Err(malformed("document is neither matroska nor webm"));
    }
    Ok(header)
}

pub(super) fn info(data: &Bytes) -> Result<InfoEntry, MkvError> {
    let mut info = InfoEntry::default();
    for child in Children::of(data) {
        let (id, data) = child?;
        match id {
            id::SEGMENT_UID => info.uid = data.as_ref().try_into().ok(),
            id::TIMECODE_SCALE => info.timecode_scale = uint(&data)?,
            id::DURATION => info.duration = Some(float(&data)?),
            id::TITLE => info.title = Some(text(&data)),
            id::MUXING_APP => info.muxing_app = Some(text(&data)),
            id::WRITING_APP => info.writing_app = Some(text(&data)),
            _ => {}
        }
    }
    if info.timecode_scale == 0 {
        return Err(malformed("timecode scale is 0"));
    }
    Ok(info)
}

pub(super) fn tracks(data: &Bytes) -> Result<Vec<TrackEntry>, MkvError> {
    let mut entries = Vec::new();
    for child in Children::of(data) {
        let (id, data) = child?;
        if id == id::TRACK_ENTRY && entries.len() < MAX_TRACK_ENTRIES {
            entries.push(track(&data)?);
        }
    }
    Ok(entries)
}

fn track(data: &Bytes) -> Result<TrackEntry, MkvError> {
    let mut entry = TrackEntry::default();
    for child in Children::of(data) {
        let (id, data) = child?;
        match id {
            id::TRACK_NUMBER => entry.number = uint(&data)?,
            id::TRACK_UID => entry.uid = uint(&data)?,
            id::TRACK_TYPE => entry.track_type = uint(&data)?,
            id::NAME => entry.name = Some(text(&data)),
            id::CODEC_ID => entry.codec_id = text(&data),
            id::CODEC_PRIVATE => entry.codec_private = data,
            id::DEFAULT_DURATION => entry.default_duration = Some(uint(&data)?).filter(|&nanos| nanos > 0),
            id::CODEC_DELAY => entry.codec_delay = uint(&data)?,
            id::SEEK_PRE_ROLL => entry.seek_pre_roll = uint(&data)?,
            id::VIDEO => entry.video = video(&data)?,
            id::AUDIO => entry.audio = Some(audio(&data)?),
            _ => {}
        }
    }
    if entry.number == 0 {
        return Err(malformed("track number is 0"));
    }
    Ok(entry)
}

fn video(data: &Bytes) -> Result<Option<VideoFormat>, MkvError> {
    let (mut width, mut height) = (0, 0);
    for child in Children::of(data) {
        let (id, data) = child?;
        match id {
            id::PIXEL_WIDTH => width = uint(&data)?,
            id::PIXEL_HEIGHT => height = uint(&data)?,
            _ => {}
        }
    }
    Ok(u32::try_from(width)
        .ok()
        .zip(u32::try_from(height).ok())
        .and_then(|(width, height)| VideoFormat::from_size(width, height)))
}

fn audio(data: &Bytes) -> Result<AudioFormat, MkvError> {
    // The defaults of RFC 9559 §5.1.4.1.29.
    let mut audio = AudioFormat::new(8_000.0, 1);
    for child in Children::of(data) {
        let (id, data) = child?;
        match id {
            id::SAMPLING_FREQUENCY => audio.sample_rate = float(&data)?,
            id::OUTPUT_SAMPLING_FREQUENCY => audio.output_sample_rate = Some(float(&data)?),
            id::CHANNELS => audio.channels = u8::try_from(uint(&data)?).unwrap_or(u8::MAX),
            id::BIT_DEPTH => audio.bit_depth = u8::try_from(uint(&data)?).ok(),
            _ => {}
        }
    }
    Ok(audio)
}

pub(super) fn tags(data: &Bytes) -> Result<Vec<SimpleTag>, MkvError> {
    let mut tags = Vec::new();
    for child in Children::of(data) {
        let (id, data) = child?;
        if id != id::TAG {
            continue;
        }
        for child in Children::of(&data) {
            let (id, data) = child?;
            if id == id::SIMPLE_TAG {
                simple_tag(&data, 0, &mut tags)?;
            }
        }
    }
    Ok(tags)
}

fn simple_tag(data: &Bytes, depth: u8, tags: &mut Vec<SimpleTag>) -> Result<(), MkvError> {
    let place = tags.len();
    tags.push(SimpleTag {
        name: String::new(),
        value: String::new(),
    });
    for child in Children::of(data) {
        let (id, data) = child?;
        match id {
            id::TAG_NAME => tags[place].name = text(&data),
            id::TAG_STRING => tags[place].value = text(&data),
            id::SIMPLE_TAG if depth < MAX_TAG_DEPTH => simple_tag(&data, depth + 1, tags)?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_all_of_it_is_there() {
        let cluster = [
            0x1F, 0x43, 0xB6, 0x75, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xE7,
        ];
        for end in 0..12 {
            assert_eq!(element_head(&cluster[..end]).unwrap(), None);
        }
        let head = element_head(&cluster).unwrap().unwrap();
        assert_eq!(
            head,
            ElementHead {
                id: id::CLUSTER,
                size: None,
                len: 12
            }
        );
        assert!(element_head(&[0x08, 0x81]).is_err());
        assert!(element_head(&[0xA3, 0x00]).is_err());
    }

    #[test]
    fn children_that_exceed_their_parent_end_the_walk_with_an_error() {
        let data = Bytes::from_static(&[0xD7, 0x81, 1, 0xEC, 0x80, 0xD7, 0x82, 1]);
        let walked: Vec<_> = Children::of(&data).collect();
        assert!(matches!(walked.as_slice(), [Ok((0xD7, _)), Err(_)]));
    }

    #[test]
    fn text_ends_at_its_padding() {
        assert_eq!(text(&Bytes::from_static(b"webm\0\0")), "webm");
    }

    #[test]
    fn tags_nested_without_end_are_cut() {
        let mut data = Bytes::from_static(&[0x45, 0xA3, 0x81, b'n']);
        for _ in 0..60 {
            let mut outer = vec![0x67, 0xC8, 0x40 | (data.len() >> 8) as u8, data.len() as u8];
            outer.extend_from_slice(&data);
            data = Bytes::from(outer);
        }
        let mut found = Vec::new();
        simple_tag(&data, 0, &mut found).unwrap();
        assert_eq!(found.len(), usize::from(MAX_TAG_DEPTH) + 1);
    }
}
