//! Tracks as they are written in settings.
//!
//! A track is a word, `"h264"`, with the sampling where the codec needs it, `"alaw/8000/1"`; or a table that says more:
//!
//! ```toml
//! tracks = ["h264", { codec = "aac", number = 2, name = "microphone", codec_private = "1190" }]
//! ```

use bytes::Bytes;
use kvs_mkv::codec::pcm::SampleFormat;
use kvs_mkv::{Codec, Track, TrackKind};

use super::setting::Setting;
use super::value::{Table, Value};

/// What the setting may be.
pub(super) const ALLOWED: &str = "1 to 3 tracks with distinct numbers, each \"h264\", \"h265\", \"mjpeg\", \"aac\", \
    \"alaw/RATE/CHANNELS\", \"mulaw/RATE/CHANNELS\", \"pcm_s16le/RATE/CHANNELS\" (or another depth), or a table of codec, \
    number, uid, name, codec_private (hexadecimal), pre_skip (for \"opus/48000/CHANNELS\"), and, for \"raw\", codec_id and \
    kind (\"video\" or \"audio\")";

/// A list, or words with commas between, for variables.
impl Setting for Vec<Track> {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::List(tracks) => tracks.iter().map(Track::read).collect(),
            Value::Text(words) => words
                .split(',')
                .map(|word| Track::read(&Value::text(word.trim())))
                .collect(),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        Value::List(self.iter().map(Setting::write).collect())
    }
}

impl Setting for Track {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Text(word) => from_word(word, None),
            Value::Table(table) => from_table(table),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        let word = word_for(self);
        if from_word(&word, None).as_ref() == Some(self) {
            return Value::Text(word);
        }
        let mut table = Table::new();
        table.insert("number".to_owned(), self.number.write());
        table.insert("uid".to_owned(), self.uid.write());
        table.insert("name".to_owned(), self.name.write());
        if let Codec::Raw { codec_id, kind } = &self.codec {
            table.insert("codec_id".to_owned(), codec_id.write());
            table.insert("kind".to_owned(), Value::text(kind_word(*kind)));
        }
        if let Some(format) = &self.format
            && !matches!(self.codec, Codec::Pcm(_))
        {
            table.insert(
                "codec_private".to_owned(),
                Value::Text(hex(&format.codec_private)),
            );
        }
        table.insert("codec".to_owned(), Value::Text(word));
        Value::Table(table)
    }
}

impl Setting for u8 {
    fn read(value: &Value) -> Option<Self> {
        u8::try_from(value.as_integer()?).ok()
    }

    fn write(&self) -> Value {
        Value::Integer((*self).into())
    }
}

/// The track that a word stands for; `pre_skip` is for Opus, which has none of its own.
fn from_word(word: &str, pre_skip: Option<u16>) -> Option<Track> {
    let mut parts = word.split('/');
    let codec = parts.next()?;
    let rate = parts.next();
    let channels = parts.next();
    let sampling = match (rate, channels, parts.next()) {
        (None, None, None) => None,
        (Some(rate), Some(channels), None) => Some((rate.parse::<u32>().ok()?, channels.parse::<u8>().ok()?)),
        _ => return None,
    };
    match (codec, sampling) {
        ("h264", None) => Some(Track::h264()),
        ("h265", None) => Some(Track::h265()),
        ("mjpeg", None) => Some(Track::mjpeg()),
        ("aac", None) => Some(Track::aac()),
        ("alaw", Some((rate, channels))) => Track::alaw(rate, channels).ok(),
        ("alaw", None) => Some(Track::new(2, Codec::Alaw)),
        ("mulaw", Some((rate, channels))) => Track::mulaw(rate, channels).ok(),
        ("mulaw", None) => Some(Track::new(2, Codec::Mulaw)),
        // Opus is always at 48 kHz (RFC 7845 §5.1).
        ("opus", Some((48_000, channels))) => Track::opus(channels, pre_skip?).ok(),
        ("opus", None) => Some(Track::new(2, Codec::Opus)),
        (_, Some((rate, channels))) => {
            let (samples, depth) = pcm(codec)?;
            Track::pcm(samples, rate, channels, depth).ok()
        }
        _ => None,
    }
}

fn word_for(track: &Track) -> String {
    let sampling = || track.format.as_ref().and_then(|format| format.audio);
    let sampled = |codec: &str| match sampling() {
        Some(audio) => format!("{codec}/{}/{}", audio.sample_rate, audio.channels),
        None => codec.to_owned(),
    };
    match &track.codec {
        Codec::H264 => "h264".to_owned(),
        Codec::H265 => "h265".to_owned(),
        Codec::Mjpeg => "mjpeg".to_owned(),
        Codec::Aac => "aac".to_owned(),
        Codec::Alaw => sampled("alaw"),
        Codec::Mulaw => sampled("mulaw"),
        Codec::Opus => "opus".to_owned(),
        Codec::Pcm(samples) => {
            let depth = sampling().and_then(|audio| audio.bit_depth).unwrap_or(16);
            sampled(&match samples {
                SampleFormat::IntegerLittleEndian => format!("pcm_s{depth}le"),
                SampleFormat::IntegerBigEndian => format!("pcm_s{depth}be"),
                SampleFormat::Float => format!("pcm_f{depth}le"),
            })
        }
        _ => "raw".to_owned(),
    }
}

/// Uncompressed sound as ffmpeg names it: `pcm_s16le`, `pcm_s24be`, `pcm_f32le`.
fn pcm(codec: &str) -> Option<(SampleFormat, u8)> {
    let samples = codec.strip_prefix("pcm_")?;
    let (format, depth) = if let Some(depth) = samples.strip_prefix('s') {
        match (depth.strip_suffix("le"), depth.strip_suffix("be")) {
            (Some(depth), _) => (SampleFormat::IntegerLittleEndian, depth),
            (_, Some(depth)) => (SampleFormat::IntegerBigEndian, depth),
            _ => return None,
        }
    } else {
        let depth = samples.strip_prefix('f')?.strip_suffix("le")?;
        (SampleFormat::Float, depth)
    };
    Some((format, depth.parse().ok()?))
}

fn from_table(table: &Table) -> Option<Track> {
    let mut table = table.clone();
    let codec = String::read(&table.remove("codec")?)?;
    let pre_skip = match table.remove("pre_skip") {
        Some(samples) => Some(u16::try_from(samples.as_integer()?).ok()?),
        None => None,
    };
    let mut track = if codec == "raw" {
        let codec_id = String::read(&table.remove("codec_id")?)?;
        let kind = match table.remove("kind")?.as_text()? {
            "video" => TrackKind::Video,
            "audio" => TrackKind::Audio,
            _ => return None,
        };
        let number = if kind == TrackKind::Video { 1 } else { 2 };
        Track::new(number, Codec::Raw { codec_id, kind })
    } else {
        from_word(&codec, pre_skip)?
    };
    if let Some(number) = table.remove("number") {
        let number = u8::read(&number)?;
        track = track.with_number(number).with_uid(u64::from(number));
    }
    if let Some(uid) = table.remove("uid") {
        track = track.with_uid(u64::read(&uid)?);
    }
    if let Some(name) = table.remove("name") {
        track = track.with_name(String::read(&name)?);
    }
    if let Some(data) = table.remove("codec_private") {
        track = track.with_codec_private(unhex(data.as_text()?)?).ok()?;
    }
    table.is_empty().then_some(track)
}

fn kind_word(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Bytes> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_track_is_read_as_it_was_written() {
        let raw = |data: &'static [u8]| {
            Track::raw(3, TrackKind::Audio, "A_FLAC", Bytes::from_static(data)).with_name("hall")
        };
        let aac = Track::aac().with_codec_private(Bytes::from_static(&[0x11, 0x90]));
        let tracks = [
            Track::h264(),
            Track::h265().with_number(3).with_uid(9),
            Track::mjpeg(),
            Track::aac().with_name("microphone"),
            aac.unwrap(),
            Track::alaw(8_000, 1).unwrap(),
            Track::mulaw(16_000, 2).unwrap().with_number(1),
            Track::opus(2, 312).unwrap(),
            Track::pcm(SampleFormat::IntegerBigEndian, 44_100, 2, 24).unwrap(),
            Track::pcm(SampleFormat::Float, 48_000, 1, 32)
                .unwrap()
                .with_name("line in"),
            raw(b""),
            raw(b"\x00\xff"),
        ];
        for track in tracks {
            let written = track.write();
            assert_eq!(Track::read(&written), Some(track), "{written}");
        }
    }

    #[test]
    fn what_is_no_track_is_refused() {
        for wrong in [
            "",
            "h266",
            "h264/90000/1",
            "alaw/8000",
            "alaw/8000/1/2",
            "alaw/8000/200",
            "opus/48000/2",
            "pcm_s12le/8000/1",
            "pcm_u8/8000/1",
            "raw",
        ] {
            assert_eq!(Track::read(&Value::text(wrong)), None, "{wrong}");
        }
        let table = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            Value::Table(
                pairs
                    .map(|(key, value)| ((*key).to_owned(), Value::text(*value)))
                    .collect(),
            )
        };
        for wrong in [
            table(&[("number", "1")]),
            table(&[("codec", "h264"), ("colour", "red")]),
            table(&[("codec", "h264"), ("codec_private", "0g")]),
            table(&[("codec", "h264"), ("codec_private", "014")]),
            table(&[("codec", "aac"), ("codec_private", "ff")]),
            table(&[("codec", "raw"), ("codec_id", "V_X"), ("kind", "smell")]),
        ] {
            assert_eq!(Track::read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_variable_lists_words() {
        let tracks = Vec::<Track>::read(&Value::text("h264, alaw/8000/1")).unwrap();
        assert_eq!(tracks, [Track::h264(), Track::alaw(8_000, 1).unwrap()]);
    }
}
