//! [`TrackSet`]: the tracks of one session, and their durable encoding.

use bytes::Bytes;

use crate::codec::Codec;
use crate::error::{MkvError, MkvErrorKind};
use crate::track::{AudioFormat, Track, TrackFormat, TrackKind, VideoFormat};

/// Most tracks a session may declare (service quota).
pub const MAX_TRACKS: usize = 3;

/// The tracks of a stream: one to three, each with its own number.
///
/// ```
/// use kvs_mkv::{Track, TrackSet};
///
/// let tracks = TrackSet::new(vec![Track::h264(), Track::aac()])?;
/// assert_eq!(tracks.content_type(), "video/h264,audio/aac");
/// assert_eq!(TrackSet::decode(&tracks.encode())?, tracks);
/// # Ok::<(), kvs_mkv::MkvError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TrackSet(Vec<Track>);

impl TrackSet {
    /// A set of these tracks, in this order.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidTrack`] with no tracks, more than [`MAX_TRACKS`], a number or uid used twice,
    /// or a track that breaks its own limits.
    pub fn new(tracks: Vec<Track>) -> Result<Self, MkvError> {
        let invalid = |what: String| Err(MkvError::new(MkvErrorKind::InvalidTrack).with_detail(what));
        if tracks.is_empty() || tracks.len() > MAX_TRACKS {
            return invalid(format!("{} tracks, allowed are 1 to {MAX_TRACKS}", tracks.len()));
        }
        for (index, track) in tracks.iter().enumerate() {
            track.check()?;
            if tracks[..index].iter().any(|other| other.number == track.number) {
                return invalid(format!("track number {} is used twice", track.number));
            }
            if tracks[..index].iter().any(|other| other.uid == track.uid) {
                return invalid(format!("track uid {} is used twice", track.uid));
            }
        }
        Ok(TrackSet(tracks))
    }

    /// The tracks in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Track> {
        self.0.iter()
    }

    /// How many tracks there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a track set is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The track of this number.
    #[must_use]
    pub fn get(&self, number: u8) -> Option<&Track> {
        self.0.iter().find(|track| track.number == number)
    }

    /// Whether the format of every track is known.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.iter().all(Track::is_ready)
    }

    /// The same set with the format of one track changed; unchanged where there is no such track.
    #[must_use]
    pub fn with_format(mut self, number: u8, format: TrackFormat) -> Self {
        if let Some(track) = self.0.iter_mut().find(|track| track.number == number) {
            track.format = Some(format);
        }
        self
    }

    /// The tracks of this set whose numbers are among `numbers`; `None` where there are none.
    #[must_use]
    pub fn only(&self, numbers: &[u8]) -> Option<Self> {
        let tracks: Vec<_> = self
            .0
            .iter()
            .filter(|track| numbers.contains(&track.number))
            .cloned()
            .collect();
        (!tracks.is_empty()).then_some(TrackSet(tracks))
    }

    /// The content type of the stream, as in `video/h264,audio/aac`.
    #[must_use]
    pub fn content_type(&self) -> String {
        let types: Vec<_> = self.0.iter().map(Track::content_type).collect();
        types.join(",")
    }

    /// Encodes the set for storage beside the frames it describes.
    ///
    /// The first byte is the version of the encoding; what follows is this crate's own business.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION, self.0.len() as u8];
        for track in &self.0 {
            put_track(&mut out, track);
        }
        Bytes::from(out)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidBlob`] for another version or broken data, [`MkvErrorKind::InvalidTrack`] for
    /// tracks that break the rules.
    pub fn decode(data: &[u8]) -> Result<Self, MkvError> {
        let mut reader = Reader(data);
        let tracks = reader.tracks().filter(|_| reader.0.is_empty());
        TrackSet::new(tracks.ok_or_else(|| MkvError::new(MkvErrorKind::InvalidBlob))?)
    }
}

impl<'a> IntoIterator for &'a TrackSet {
    type Item = &'a Track;
    type IntoIter = std::slice::Iter<'a, Track>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Version of the encoding. A reader of a later version must go on reading this one.
const VERSION: u8 = 1;

fn put_bytes(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(data);
}

fn put_track(out: &mut Vec<u8>, track: &Track) {
    out.push(track.number);
    out.extend_from_slice(&track.uid.to_le_bytes());
    put_bytes(out, track.name.as_bytes());
    out.push(track.kind.matroska_type());
    put_bytes(out, track.codec.codec_id().as_bytes());
    put_bytes(out, track.codec.content_type().as_bytes());
    let Some(format) = &track.format else {
        out.push(0);
        return;
    };
    out.push(1);
    put_bytes(out, &format.codec_private);
    match format.video {
        None => out.push(0),
        Some(video) => {
            out.push(1);
            out.extend_from_slice(&video.width.to_le_bytes());
            out.extend_from_slice(&video.height.to_le_bytes());
        }
    }
    match format.audio {
        None => out.push(0),
        Some(audio) => {
            out.push(1);
            out.extend_from_slice(&audio.sample_rate.to_le_bytes());
            out.extend_from_slice(&[audio.channels, audio.bit_depth.unwrap_or(0)]);
            out.extend_from_slice(&audio.output_sample_rate.unwrap_or(0.0).to_le_bytes());
        }
    }
}

/// Reads the encoding; every read past the end gives `None`.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.bytes()?).ok().map(str::to_owned)
    }

    /// `None` or `Some` by a leading byte of 0 or 1.
    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    fn tracks(&mut self) -> Option<Vec<Track>> {
        if self.byte()? != VERSION {
            return None;
        }
        let count = self.byte()?;
        (0..count).map(|_| self.track()).collect()
    }

    fn track(&mut self) -> Option<Track> {
        let number = self.byte()?;
        let uid = u64::from_le_bytes(self.array()?);
        let name = self.text()?;
        let kind = match self.byte()? {
            1 => TrackKind::Video,
            2 => TrackKind::Audio,
            _ => return None,
        };
        let codec_id = self.text()?;
        let codec = Codec::from_names(codec_id, &self.text()?, kind);
        let format = self.optional(Reader::format)?;
        Some(Track {
            number,
            uid,
            name,
            kind,
            codec,
            format,
        })
    }

    fn format(&mut self) -> Option<TrackFormat> {
        let codec_private = Bytes::copy_from_slice(self.bytes()?);
        let video = self.optional(|reader| {
            let width = u16::from_le_bytes(reader.array()?);
            let height = u16::from_le_bytes(reader.array()?);
            Some(VideoFormat { width, height })
        })?;
        let audio = self.optional(|reader| {
            let sample_rate = f64::from_le_bytes(reader.array()?);
            let channels = reader.byte()?;
            let bit_depth = Some(reader.byte()?).filter(|&depth| depth > 0);
            let output_sample_rate = Some(f64::from_le_bytes(reader.array()?)).filter(|&rate| rate > 0.0);
            Some(AudioFormat {
                sample_rate,
                channels,
                bit_depth,
                output_sample_rate,
            })
        })?;
        Some(TrackFormat {
            codec_private,
            video,
            audio,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> TrackSet {
        let aac = Track::aac()
            .with_codec_private(Bytes::from_static(&[0x11, 0x90]))
            .unwrap();
        let raw = Codec::Raw {
            codec_id: "V_UNCOMPRESSED".into(),
            kind: TrackKind::Video,
        };
        TrackSet::new(vec![Track::h264(), aac, Track::new(3, raw)]).unwrap()
    }

    #[test]
    fn the_encoding_survives_the_round_trip() {
        let set = ready();
        assert_eq!(TrackSet::decode(&set.encode()).unwrap(), set);
    }

    #[test]
    fn a_broken_encoding_is_an_error_and_never_a_panic() {
        let blob = ready().encode();
        for end in 0..blob.len() {
            assert_eq!(
                TrackSet::decode(&blob[..end]).unwrap_err().kind(),
                MkvErrorKind::InvalidBlob
            );
        }
        let mut other_version = blob.to_vec();
        other_version[0] = 200;
        assert!(TrackSet::decode(&other_version).is_err());
    }

    #[test]
    fn sets_that_break_the_services_rules_are_refused() {
        let kind = |tracks| TrackSet::new(tracks).unwrap_err().kind();
        assert_eq!(kind(vec![]), MkvErrorKind::InvalidTrack);
        assert_eq!(
            kind(vec![Track::h264(), Track::h264()]),
            MkvErrorKind::InvalidTrack
        );
        let four = (1..=4).map(|number| Track::new(number, Codec::H264)).collect();
        assert_eq!(kind(four), MkvErrorKind::InvalidTrack);
        assert_eq!(
            kind(vec![Track::h264().with_number(127)]),
            MkvErrorKind::InvalidTrack
        );
        assert_eq!(
            kind(vec![Track::h264().with_name("x".repeat(33))]),
            MkvErrorKind::InvalidTrack
        );
    }

    #[test]
    fn a_subset_keeps_the_order_and_may_not_be_empty() {
        let set = ready();
        assert_eq!(set.only(&[2]).unwrap().content_type(), "audio/aac");
        assert_eq!(set.only(&[9]), None);
    }
}
