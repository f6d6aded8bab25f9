//! [`TrackAdapter`]: the door through which a track's frames become the frames that go on the wire.

use bytes::Bytes;

use super::Codec;
use super::aac::AacAdapter;
use super::h26x::NalAdapter;
use super::mjpeg::MjpegAdapter;
use crate::error::MkvError;
use crate::frame::Frame;
use crate::track::{Track, TrackFormat};

/// Turns the frames of one track into what Matroska carries: length-prefixed NAL units, raw AAC.
///
/// Annex-B or AVCC, ADTS or raw is found out frame by frame. A frame that already has the right form passes
/// without a copy, and so does an Annex-B frame with nothing but four-byte start codes that nobody else
/// holds; other Annex-B frames are copied once.
///
/// ```
/// use kvs_mkv::codec::TrackAdapter;
/// use kvs_mkv::{Frame, Track};
///
/// let mut adapter = TrackAdapter::new(&Track::aac());
/// let adts = vec![0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 0x21, 0x10];
/// let adapted = adapter.adapt(Frame::audio(adts))?;
/// assert_eq!(adapted.frame.data.as_ref(), [0x21, 0x10]);
/// assert_eq!(adapted.format.unwrap().codec_private.as_ref(), [0x11, 0x90]);
/// # Ok::<(), kvs_mkv::MkvError>(())
/// ```
#[derive(Debug)]
pub struct TrackAdapter {
    number: u8,
    codec: Adapter,
}

#[derive(Debug)]
enum Adapter {
    Nal(Box<NalAdapter>),
    Aac(AacAdapter),
    Mjpeg(MjpegAdapter),
    PassThrough,
}

/// A frame ready for the muxer, and what it told about its track.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapted {
    /// The frame. [`FrameFlags::NEW_FORMAT`](crate::FrameFlags::NEW_FORMAT) is set on it where the codec
    /// configuration changed at it, not where it first became known.
    pub frame: Frame,
    /// The track's format, where it became known or changed at this frame.
    pub format: Option<TrackFormat>,
    /// Whether the frame holds a picture that any decoder can start at: an IDR picture of H.264,
    /// an IRAP picture of H.265.
    pub contains_idr: bool,
}

impl Adapted {
    pub(crate) fn unchanged(frame: Frame) -> Self {
        Adapted {
            frame,
            format: None,
            contains_idr: false,
        }
    }
}

impl TrackAdapter {
    /// An adapter for the frames of `track`.
    #[must_use]
    pub fn new(track: &Track) -> Self {
        let private = track.format.as_ref().map(|format| &format.codec_private);
        let codec = match &track.codec {
            Codec::H264 => Adapter::Nal(Box::new(NalAdapter::h264(private))),
            Codec::H265 => Adapter::Nal(Box::new(NalAdapter::h265(private))),
            Codec::Aac => Adapter::Aac(AacAdapter::new(private.cloned())),
            Codec::Mjpeg => Adapter::Mjpeg(MjpegAdapter::new(track.format.as_ref())),
            // Their formats come from the caller: nothing in the frames tells.
            Codec::Alaw | Codec::Mulaw | Codec::Opus | Codec::Pcm(_) | Codec::Raw { .. } => {
                Adapter::PassThrough
            }
        };
        TrackAdapter {
            number: track.number,
            codec,
        }
    }

    /// Adapts the next frame of the track, in decoding order.
    ///
    /// # Errors
    /// [`CodecPrivateMissing`](crate::MkvErrorKind::CodecPrivateMissing) for a frame before the first one
    /// that tells the codec private data; the adapter goes on with the next.
    /// [`InvalidBitstream`](crate::MkvErrorKind::InvalidBitstream) for data that is not of the codec.
    pub fn adapt(&mut self, frame: Frame) -> Result<Adapted, MkvError> {
        let adapted = match &mut self.codec {
            Adapter::Nal(nal) => nal.adapt(frame),
            Adapter::Aac(aac) => aac.adapt(frame),
            Adapter::Mjpeg(mjpeg) => mjpeg.adapt(frame),
            Adapter::PassThrough => Ok(Adapted::unchanged(frame)),
        };
        adapted.map_err(|error| error.on_track(self.number))
    }

    /// The codec private data the track has now.
    #[must_use]
    pub fn codec_private(&self) -> Option<&Bytes> {
        match &self.codec {
            Adapter::Nal(nal) => nal.codec_private(),
            Adapter::Aac(aac) => aac.codec_private(),
            Adapter::Mjpeg(_) | Adapter::PassThrough => None,
        }
    }
}
