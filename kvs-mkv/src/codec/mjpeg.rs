//! Motion JPEG under Matroska's `V_MS/VFW/FOURCC`, with a BITMAPINFOHEADER.

use bytes::Bytes;

use super::adapter::Adapted;
use crate::error::{MkvError, MkvErrorKind};
use crate::frame::{Frame, FrameFlags};
use crate::track::{TrackFormat, VideoFormat};

const FOURCC: &[u8; 4] = b"MJPG";

/// The size in a JPEG picture's frame header (ITU-T T.81 §B.2.2); `None` where there is none.
#[must_use]
pub fn picture_size(jpeg: &[u8]) -> Option<(u16, u16)> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8])?;
    loop {
        // Any number of fill bytes may stand before a marker.
        let marker_at = rest.iter().position(|&byte| byte != 0xff)?;
        if marker_at == 0 {
            return None;
        }
        let marker = rest[marker_at];
        rest = &rest[marker_at + 1..];
        match marker {
            // Markers without a segment.
            0x01 | 0xd0..=0xd7 => continue,
            // Start of frame, all processes; C4, C8 and CC are something else.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let header: &[u8; 7] = rest.first_chunk()?;
                let height = u16::from_be_bytes([header[3], header[4]]);
                let width = u16::from_be_bytes([header[5], header[6]]);
                return (width > 0 && height > 0).then_some((width, height));
            }
            // Start of scan, end of image: no frame header came.
            0xda | 0xd9 | 0x00 => return None,
            _ => {
                let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
                rest = rest.get(length..).filter(|_| length >= 2)?;
            }
        }
    }
}

/// The track format of pictures of this size.
#[must_use]
pub fn format(width: u16, height: u16) -> TrackFormat {
    let mut header = Vec::with_capacity(40);
    header.extend_from_slice(&40u32.to_le_bytes());
    header.extend_from_slice(&u32::from(width).to_le_bytes());
    header.extend_from_slice(&u32::from(height).to_le_bytes());
    header.extend_from_slice(&1u16.to_le_bytes()); // planes
    header.extend_from_slice(&24u16.to_le_bytes()); // bits per pixel
    header.extend_from_slice(FOURCC);
    header.extend_from_slice(
        &(u32::from(width) * u32::from(height))
            .saturating_mul(3)
            .to_le_bytes(),
    );
    header.extend_from_slice(&[0; 16]); // resolution and palette: none
    let video = Some(VideoFormat { width, height });
    TrackFormat {
        codec_private: Bytes::from(header),
        video,
        audio: None,
    }
}

/// The size a BITMAPINFOHEADER of Motion JPEG tells.
pub(crate) fn parse_format(record: Bytes) -> Result<TrackFormat, MkvError> {
    let invalid = || MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail("no mjpeg bitmap header");
    let head: &[u8; 40] = record.first_chunk().ok_or_else(invalid)?;
    if !head[16..20].eq_ignore_ascii_case(FOURCC) {
        return Err(invalid());
    }
    let number = |at: usize| i32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    // A negative height means rows from the top.
    let video = VideoFormat::from_size(number(4).unsigned_abs(), number(8).unsigned_abs());
    Ok(TrackFormat {
        codec_private: record,
        video,
        audio: None,
    })
}

/// Learns the size from the pictures.
#[derive(Debug)]
pub(crate) struct MjpegAdapter {
    size: Option<(u16, u16)>,
}

impl MjpegAdapter {
    pub(crate) fn new(format: Option<&TrackFormat>) -> Self {
        let size = format
            .and_then(|format| format.video)
            .map(|video| (video.width, video.height));
        MjpegAdapter { size }
    }

    pub(crate) fn adapt(&mut self, mut frame: Frame) -> Result<Adapted, MkvError> {
        let size = picture_size(&frame.data).ok_or_else(|| {
            MkvError::new(MkvErrorKind::InvalidBitstream).with_detail("frame is not a jpeg picture")
        })?;
        frame.flags.insert(FrameFlags::KEY);
        let previous = self.size.replace(size);
        if previous == Some(size) {
            return Ok(Adapted::unchanged(frame));
        }
        if previous.is_some() {
            frame.flags.insert(FrameFlags::NEW_FORMAT);
        }
        Ok(Adapted {
            format: Some(format(size.0, size.1)),
            ..Adapted::unchanged(frame)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xc0, 0, 11, 8];
        out.extend_from_slice(&height.to_be_bytes());
        out.extend_from_slice(&width.to_be_bytes());
        out.extend_from_slice(&[1, 1, 0x11, 0, 0xff, 0xd9]);
        out
    }

    #[test]
    fn the_size_is_found_behind_other_segments() {
        assert_eq!(picture_size(&jpeg(640, 480)), Some((640, 480)));
        let whole = jpeg(640, 480);
        for end in 0..whole.len() {
            let _ = picture_size(&whole[..end]);
        }
        assert_eq!(picture_size(b"\xff\xd8\xff\xe0\x00\x00"), None);
    }

    #[test]
    fn the_bitmap_header_is_the_documented_layout_byte_for_byte() {
        let expected =
            b"\x28\0\0\0\x80\x02\0\0\xe0\x01\0\0\x01\0\x18\0MJPG\0\x10\x0e\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let made = format(640, 480);
        assert_eq!(made.codec_private.as_ref(), expected);
        assert_eq!(parse_format(made.codec_private.clone()).unwrap(), made);
        assert!(parse_format(Bytes::from_static(&[0; 40])).is_err());
    }

    #[test]
    fn another_size_is_a_new_format() {
        let mut adapter = MjpegAdapter::new(None);
        let first = adapter.adapt(Frame::video(jpeg(640, 480))).unwrap();
        assert!(first.frame.is_key() && first.format.is_some());
        let same = adapter.adapt(Frame::video(jpeg(640, 480))).unwrap();
        assert_eq!(same.format, None);
        let other = adapter.adapt(Frame::video(jpeg(1280, 720))).unwrap();
        assert!(other.frame.flags.contains(FrameFlags::NEW_FORMAT));
        assert!(adapter.adapt(Frame::video("no jpeg")).is_err());
    }
}
