//! Sample descriptions (ISO/IEC 14496-12 §8.5.2) as tracks.

use bytes::Bytes;
use kvs_mkv::Track;
use mp4_atom::{Esds, esds::DecoderConfig};

use super::Mp4ErrorKind;
use super::boxes::{Child, child, children, leaf};
use super::index::{Index, Trak};

/// `VisualSampleEntry` before its boxes (ISO/IEC 14496-12 §12.1.3).
const VISUAL_ENTRY: usize = 78;
/// `AudioSampleEntry` before its boxes (ISO/IEC 14496-12 §12.2.3), and QuickTime's versions 1 and 2 of it.
const AUDIO_ENTRIES: [usize; 3] = [28, 44, 64];
/// A descriptor is some dozens of bytes long; the limit keeps the nesting of hostile ones shallow.
const MAX_ESDS: usize = 4096;
/// Object types that are AAC: MPEG-4 audio and the three MPEG-2 profiles (mp4ra.org, "object types").
const AAC_OBJECT_TYPES: [u8; 4] = [0x40, 0x66, 0x67, 0x68];
/// Object types that are MP3: MPEG-2 and MPEG-1 audio (mp4ra.org).
const MP3_OBJECT_TYPES: [u8; 2] = [0x69, 0x6b];

/// Picks the first H.264 or H.265 and the first AAC track, by their places in the index.
pub(super) fn supported_tracks(index: &Index) -> Result<Vec<(usize, Track)>, Mp4ErrorKind> {
    let find = |track_of: fn(&Trak) -> Option<Track>| {
        index
            .traks
            .iter()
            .enumerate()
            .find_map(|(place, trak)| Some((place, track_of(trak)?)))
    };
    match find(video) {
        Some(video) => Ok(std::iter::once(video).chain(find(audio)).collect()),
        None => Err(Mp4ErrorKind::NoSupportedTrack(
            index.traks.iter().map(describe).collect(),
        )),
    }
}

/// The tracks that were not chosen: number in the file, codec, and why.
pub(super) fn skipped_tracks(index: &Index, chosen: &[(usize, Track)]) -> Vec<String> {
    let others = index.traks.iter().enumerate();
    let others = others.filter(|(place, _)| chosen.iter().all(|(taken, _)| taken != place));
    let told = others.map(|(_, trak)| {
        let why = if video(trak).is_some() {
            "one video track is sent"
        } else if audio(trak).is_some() {
            "one audio track is sent"
        } else {
            "its codec is not supported"
        };
        format!("track {} ({}: {why})", trak.id, describe(trak))
    });
    told.collect()
}

fn video(trak: &Trak) -> Option<Track> {
    let entry = entry(trak)?;
    let (track, record) = match &entry.kind {
        b"avc1" | b"avc3" => (Track::h264(), b"avcC"),
        b"hvc1" | b"hev1" => (Track::h265(), b"hvcC"),
        _ => return None,
    };
    let record = child(entry.body.get(VISUAL_ENTRY..)?, record)?;
    track.with_codec_private(Bytes::copy_from_slice(record)).ok()
}

fn audio(trak: &Trak) -> Option<Track> {
    let config = decoder_config(trak)?;
    if !AAC_OBJECT_TYPES.contains(&config.object_type_indication) {
        return None;
    }
    Track::aac()
        .with_codec_private(Bytes::from(config.dec_specific?.raw))
        .ok()
}

fn decoder_config(trak: &Trak) -> Option<DecoderConfig> {
    let entry = entry(trak).filter(|entry| entry.kind == *b"mp4a")?;
    let body = find_esds(entry.body).filter(|body| body.len() <= MAX_ESDS)?;
    let esds: Esds = leaf(body, "esds").ok()?;
    Some(esds.es_desc.dec_config)
}

/// In QuickTime files the descriptor may lie in a `wave` box.
fn find_esds(entry: &[u8]) -> Option<&[u8]> {
    AUDIO_ENTRIES
        .iter()
        .filter_map(|&at| entry.get(at..))
        .find_map(|boxes| child(boxes, b"esds").or_else(|| child(child(boxes, b"wave")?, b"esds")))
}

/// The first sample entry, after the version and flags and the count.
fn entry(trak: &Trak) -> Option<Child<'_>> {
    children(trak.description.get(8..)?).next()
}

fn describe(trak: &Trak) -> String {
    let codec = match decoder_config(trak).map(|config| config.object_type_indication) {
        Some(object_type) if MP3_OBJECT_TYPES.contains(&object_type) => "mp3".to_owned(),
        Some(object_type) if AAC_OBJECT_TYPES.contains(&object_type) => "aac".to_owned(),
        _ => entry(trak).map_or("unknown".into(), |entry| printable(&entry.kind)),
    };
    let kind = match &trak.handler {
        b"vide" => "video",
        b"soun" => "audio",
        _ => "data",
    };
    format!("{codec} {kind}")
}

fn printable(kind: &[u8]) -> String {
    kind.iter()
        .map(|&b| if b.is_ascii_graphic() { char::from(b) } else { '.' })
        .collect()
}
