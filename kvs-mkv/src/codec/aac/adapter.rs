//! Frames of AAC: ADTS headers off, the config learnt from them.

use bytes::Bytes;

use super::{AdtsHeader, AudioSpecificConfig};
use crate::codec::adapter::Adapted;
use crate::error::{MkvError, MkvErrorKind};
use crate::frame::{Frame, FrameFlags};

/// Adapts the frames of one AAC track: takes ADTS headers off and learns the config from them.
#[derive(Debug)]
pub(crate) struct AacAdapter {
    config: Option<AudioSpecificConfig>,
    record: Option<Bytes>,
}

impl AacAdapter {
    pub(crate) fn new(record: Option<Bytes>) -> Self {
        let config = record
            .as_ref()
            .and_then(|record| AudioSpecificConfig::parse(record).ok());
        AacAdapter { config, record }
    }

    pub(crate) fn codec_private(&self) -> Option<&Bytes> {
        self.record.as_ref()
    }

    pub(crate) fn adapt(&mut self, mut frame: Frame) -> Result<Adapted, MkvError> {
        let Some(header) = AdtsHeader::parse(&frame.data) else {
            return self.adapt_raw(frame);
        };
        if header.frame_len != frame.data.len() {
            let several = frame
                .data
                .get(header.frame_len..)
                .is_some_and(|next| AdtsHeader::parse(next).is_some());
            if several {
                return Err(MkvError::new(MkvErrorKind::InvalidBitstream)
                    .with_detail("several adts frames in one: split them first"));
            }
            return self.adapt_raw(frame);
        }
        frame.data = frame.data.slice(header.header_len..);
        if self
            .config
            .as_ref()
            .is_some_and(|config| config.is_core_of(&header))
        {
            return Ok(Adapted::unchanged(frame));
        }
        let config = header.specific_config(&frame.data)?;
        let format = config.format();
        self.config = Some(config);
        if self.record.replace(format.codec_private.clone()).is_some() {
            frame.flags.insert(FrameFlags::NEW_FORMAT);
        }
        Ok(Adapted {
            format: Some(format),
            ..Adapted::unchanged(frame)
        })
    }

    fn adapt_raw(&self, frame: Frame) -> Result<Adapted, MkvError> {
        match &self.record {
            Some(_) if frame.data.is_empty() => {
                Err(MkvError::new(MkvErrorKind::InvalidBitstream).with_detail("frame without data"))
            }
            Some(_) => Ok(Adapted::unchanged(frame)),
            None => Err(MkvError::new(MkvErrorKind::CodecPrivateMissing)),
        }
    }
}

impl AudioSpecificConfig {
    /// Whether `header` is one of a stream with this config; ADTS never tells band replication.
    fn is_core_of(&self, header: &AdtsHeader) -> bool {
        self.object_type == header.object_type
            && self.sample_rate == header.sample_rate()
            && self.channel_configuration == header.channel_configuration
    }
}

#[cfg(test)]
mod tests {
    use super::super::SbrExtension;
    use super::*;

    #[test]
    fn a_config_of_the_caller_stays_while_adts_agrees_with_its_core() {
        // HE-AAC in the record; ADTS tells the LC core at 48 kHz stereo.
        let sbr = SbrExtension {
            sample_rate: 96_000,
            parametric_stereo: false,
        };
        let config = AudioSpecificConfig {
            extension: Some(sbr),
            ..AudioSpecificConfig::lc(48_000, 2).unwrap()
        };
        let mut adapter = AacAdapter::new(Some(config.to_record()));
        let mut adts = vec![0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 0x21, 0x10];
        assert_eq!(adapter.adapt(Frame::audio(adts.clone())).unwrap().format, None);
        adts[2] = 0x50; // 44.1 kHz
        let changed = adapter.adapt(Frame::audio(adts)).unwrap();
        assert_eq!(changed.format.unwrap().codec_private.as_ref(), [0x12, 0x10]);
        assert!(changed.frame.flags.contains(FrameFlags::NEW_FORMAT));
    }

    #[test]
    fn raw_frames_need_a_config_first() {
        let error = AacAdapter::new(None).adapt(Frame::audio("raw")).unwrap_err();
        assert_eq!(error.kind(), MkvErrorKind::CodecPrivateMissing);
    }
}
