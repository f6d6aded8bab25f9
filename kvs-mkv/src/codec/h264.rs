//! H.264: parameter sets and the `avcC` configuration record.
//!
//! Clauses are those of ITU-T H.264; the record is ISO/IEC 14496-15 §5.3.3.1.

use bytes::Bytes;

use super::bits::{BitReader, unescape};
use super::h26x::{SetRank, UnitKind};
use super::nal::{LengthSize, annexb_units};
use crate::error::{MkvError, MkvErrorKind};
use crate::track::{TrackFormat, VideoFormat};

/// `nal_unit_type`, table 7-1, as far as it matters here.
pub mod nal_type {
    /// A slice of a picture that is no IDR picture.
    pub const SLICE: u8 = 1;
    /// A slice of an IDR picture.
    pub const IDR_SLICE: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
    /// Sequence parameter set extension.
    pub const SPS_EXTENSION: u8 = 13;
}

/// The type of a NAL unit, from its first byte.
#[must_use]
pub fn unit_type(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header & 0x1f)
}

pub(crate) fn unit_kind(unit: &[u8]) -> UnitKind {
    match unit_type(unit) {
        Some(nal_type::SPS) => UnitKind::Set(SetRank::Sps),
        Some(nal_type::PPS) => UnitKind::Set(SetRank::Pps),
        Some(nal_type::SPS_EXTENSION) => UnitKind::Set(SetRank::SpsExtension),
        Some(nal_type::IDR_SLICE) => UnitKind::RandomAccess,
        _ => UnitKind::Other,
    }
}

/// The id of a parameter set; an extension has that of its sequence parameter set.
pub(crate) fn set_id(rank: SetRank, unit: &[u8]) -> Option<u32> {
    // An id stands within the first few bytes; a whole set is rarely longer than 64.
    let plain = unescape(unit.get(1..unit.len().min(16))?);
    let mut bits = BitReader::new(&plain);
    if rank == SetRank::Sps {
        bits.skip(24)?; // profile, constraints, level
    }
    bits.ue()
}

/// What a sequence parameter set says (clause 7.3.2.1.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Sps {
    /// `profile_idc`: 66 Baseline, 77 Main, 100 High …
    pub profile: u8,
    /// The constraint flags as one byte.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// `seq_parameter_set_id`.
    pub id: u8,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Bits per luma sample.
    pub luma_bit_depth: u8,
    /// Bits per chroma sample.
    pub chroma_bit_depth: u8,
    /// Width in pixels, after cropping.
    pub width: u32,
    /// Height in pixels, after cropping.
    pub height: u32,
    /// Whether pictures may be coded as fields.
    pub interlaced: bool,
    /// Frames per second as a fraction, where the timing is told.
    pub frame_rate: Option<(u32, u32)>,
    /// How many frames may precede a frame in decoding order and follow it in output order, where told.
    pub reorder_depth: Option<u8>,
}

impl Sps {
    /// Parses a sequence parameter set: a NAL unit of type 7 with its header byte.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidBitstream`] where the unit is cut short or out of range.
    pub fn parse(unit: &[u8]) -> Result<Sps, MkvError> {
        parse_sps(unit).ok_or_else(|| {
            MkvError::new(MkvErrorKind::InvalidBitstream).with_detail("invalid h.264 sequence parameter set")
        })
    }
}

/// Profiles whose parameter sets carry chroma format and bit depths (clause 7.3.2.1.1).
fn has_high_syntax(profile: u8) -> bool {
    matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    )
}

fn parse_sps(unit: &[u8]) -> Option<Sps> {
    if unit_type(unit)? != nal_type::SPS {
        return None;
    }
    let plain = unescape(unit.get(1..)?);
    let mut bits = BitReader::new(&plain);
    let profile = bits.bits(8)? as u8;
    let constraints = bits.bits(8)? as u8;
    let level = bits.bits(8)? as u8;
    let id = u8::try_from(bits.ue()?).ok().filter(|&id| id < 32)?;
    let (mut chroma_format, mut separate_planes) = (1, false);
    let (mut luma_bit_depth, mut chroma_bit_depth) = (8, 8);
    if has_high_syntax(profile) {
        chroma_format = u8::try_from(bits.ue()?).ok().filter(|&format| format <= 3)?;
        if chroma_format == 3 {
            separate_planes = bits.bit()?;
        }
        luma_bit_depth = 8 + u8::try_from(bits.ue()?).ok().filter(|&depth| depth <= 6)?;
        chroma_bit_depth = 8 + u8::try_from(bits.ue()?).ok().filter(|&depth| depth <= 6)?;
        bits.bit()?; // qpprime_y_zero_transform_bypass_flag
        if bits.bit()? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.bit()? {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.ue()?; // log2_max_frame_num_minus4
    match bits.ue()? {
        0 => {
            bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.bit()?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            let cycle = bits.ue()?;
            if cycle > 255 {
                return None;
            }
            for _ in 0..cycle {
                bits.se()?;
            }
        }
        2 => {}
        _ => return None,
    }
    let max_ref_frames = bits.ue()?;
    bits.bit()?; // gaps_in_frame_num_value_allowed_flag
    let width_in_mbs = bits.ue()?.checked_add(1)?;
    let height_in_map_units = bits.ue()?.checked_add(1)?;
    let frame_mbs_only = bits.bit()?;
    if !frame_mbs_only {
        bits.bit()?; // mb_adaptive_frame_field_flag
    }
    bits.bit()?; // direct_8x8_inference_flag
    let field_factor = if frame_mbs_only { 1 } else { 2 };
    let mut width = width_in_mbs.checked_mul(16)?;
    let mut height = height_in_map_units.checked_mul(16 * field_factor)?;
    if bits.bit()? {
        // Cropping counts in chroma samples, and in field lines where there are fields (clause 7.4.2.1.1).
        let (unit_x, unit_y) = match chroma_format {
            1 if !separate_planes => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let horizontal = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_x)?;
        let vertical = bits
            .ue()?
            .checked_add(bits.ue()?)?
            .checked_mul(unit_y * field_factor)?;
        width = width.checked_sub(horizontal)?;
        height = height.checked_sub(vertical)?;
    }
    let mut sps = Sps {
        profile,
        constraints,
        level,
        id,
        chroma_format,
        luma_bit_depth,
        chroma_bit_depth,
        width,
        height,
        interlaced: !frame_mbs_only,
        frame_rate: None,
        reorder_depth: None,
    };
    if bits.bit()? {
        // Encoders exist whose usability information is cut short; the size is good all the same.
        parse_vui(&mut bits, max_ref_frames, &mut sps);
    }
    Some(sps)
}

fn skip_scaling_list(bits: &mut BitReader<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = last.checked_add(bits.se()?)?.rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// Video usability information, clause E.1.1.
fn parse_vui(bits: &mut BitReader<'_>, max_ref_frames: u32, sps: &mut Sps) -> Option<()> {
    // Extended_SAR: width and height follow (table E-1).
    if bits.bit()? && bits.bits(8)? == 255 {
        bits.skip(32)?;
    }
    if bits.bit()? {
        bits.bit()?; // overscan_appropriate_flag
    }
    if bits.bit()? {
        bits.skip(4)?; // video_format, video_full_range_flag
        if bits.bit()? {
            bits.skip(24)?; // colour primaries, transfer, matrix
        }
    }
    if bits.bit()? {
        bits.ue()?; // chroma sample location, top
        bits.ue()?; // and bottom
    }
    if bits.bit()? {
        let units_in_tick = bits.bits(32)?;
        let time_scale = bits.bits(32)?;
        bits.bit()?; // fixed_frame_rate_flag
        // A tick is a field's time: two to a frame (clause E.2.1).
        if units_in_tick > 0 && time_scale > 0 {
            sps.frame_rate = units_in_tick
                .checked_mul(2)
                .map(|denominator| (time_scale, denominator));
        }
    }
    let nal_hrd = bits.bit()?;
    if nal_hrd {
        skip_hrd(bits)?;
    }
    let vcl_hrd = bits.bit()?;
    if vcl_hrd {
        skip_hrd(bits)?;
    }
    if nal_hrd || vcl_hrd {
        bits.bit()?; // low_delay_hrd_flag
    }
    bits.bit()?; // pic_struct_present_flag
    if bits.bit()? {
        bits.bit()?; // motion_vectors_over_pic_boundaries_flag
        for _ in 0..4 {
            bits.ue()?; // max bytes and bits, log2 of motion vector lengths
        }
        let reorder = bits.ue()?;
        if reorder <= max_ref_frames {
            sps.reorder_depth = u8::try_from(reorder).ok();
        }
    }
    Some(())
}

/// Clause E.1.2.
fn skip_hrd(bits: &mut BitReader<'_>) -> Option<()> {
    let count = bits.ue()?;
    if count > 31 {
        return None;
    }
    bits.skip(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..=count {
        bits.ue()?; // bit_rate_value_minus1
        bits.ue()?; // cpb_size_value_minus1
        bits.bit()?; // cbr_flag
    }
    bits.skip(20) // delay lengths, time_offset_length
}

/// An `AVCDecoderConfigurationRecord`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AvcConfig {
    /// Sequence parameter sets, as NAL units.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, as NAL units.
    pub pps: Vec<Bytes>,
    /// Sequence parameter set extensions (alpha planes), as NAL units.
    pub sps_extensions: Vec<Bytes>,
    /// The size of the length before each NAL unit of a frame.
    pub length_size: LengthSize,
}

impl AvcConfig {
    /// Parses a record.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] where it is cut short, of another version, or holds no
    /// parameter sets.
    pub fn parse(record: &Bytes) -> Result<AvcConfig, MkvError> {
        parse_record(record).ok_or_else(|| {
            MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail("invalid avcC record")
        })
    }

    /// Collects the parameter sets of an Annex-B byte stream.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] where either kind is missing.
    pub fn from_annexb(stream: &Bytes) -> Result<AvcConfig, MkvError> {
        let mut config = AvcConfig::default();
        for unit in annexb_units(stream) {
            let unit = stream.slice(unit);
            match unit_type(&unit) {
                Some(nal_type::SPS) => config.sps.push(unit),
                Some(nal_type::PPS) => config.pps.push(unit),
                Some(nal_type::SPS_EXTENSION) => config.sps_extensions.push(unit),
                _ => {}
            }
        }
        if config.sps.is_empty() || config.pps.is_empty() {
            return Err(MkvError::new(MkvErrorKind::InvalidCodecPrivate)
                .with_detail("no sequence and picture parameter sets in codec private data"));
        }
        Ok(config)
    }

    /// Writes the record.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] where there is no parameter set, too many, or one too long.
    pub fn to_record(&self) -> Result<Bytes, MkvError> {
        let invalid = |what: &'static str| MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail(what);
        let first = self
            .sps
            .first()
            .ok_or_else(|| invalid("no sequence parameter set"))?;
        let head = first
            .get(1..4)
            .ok_or_else(|| invalid("sequence parameter set of less than 4 bytes"))?;
        let mut out = Vec::with_capacity(64);
        out.push(1);
        out.extend_from_slice(head); // profile, constraints, level
        // Reserved bits of the record are ones.
        out.push(0xfc | (self.length_size.bytes() as u8 - 1));
        if self.sps.len() > 31 {
            return Err(invalid("more than 31 sequence parameter sets"));
        }
        out.push(0xe0 | self.sps.len() as u8);
        put_sets(&mut out, &self.sps)?;
        out.push(u8::try_from(self.pps.len()).map_err(|_| invalid("more than 255 picture parameter sets"))?);
        put_sets(&mut out, &self.pps)?;
        // The extension fields stand for these profiles only; CAVLC 4:4:4 Intra (44) is not among them.
        if matches!(head[0], 100 | 110 | 122 | 144 | 244)
            && let Ok(parsed) = Sps::parse(first)
        {
            out.push(0xfc | parsed.chroma_format);
            out.push(0xf8 | (parsed.luma_bit_depth - 8));
            out.push(0xf8 | (parsed.chroma_bit_depth - 8));
            out.push(
                u8::try_from(self.sps_extensions.len()).map_err(|_| invalid("more than 255 extensions"))?,
            );
            put_sets(&mut out, &self.sps_extensions)?;
        }
        Ok(Bytes::from(out))
    }

    /// The track format the record stands for: itself and the picture size.
    ///
    /// # Errors
    /// As [`to_record`](Self::to_record). A sequence parameter set that does not parse is no error: the
    /// size is left out.
    pub fn format(&self) -> Result<TrackFormat, MkvError> {
        Ok(format_of(self.to_record()?, self))
    }
}

/// The format of a track whose codec private data is `record`, byte for byte.
pub(crate) fn format_of(record: Bytes, config: &AvcConfig) -> TrackFormat {
    let sps = config.sps.first().and_then(|first| Sps::parse(first).ok());
    let video = sps.and_then(|sps| VideoFormat::from_size(sps.width, sps.height));
    TrackFormat {
        codec_private: record,
        video,
        audio: None,
    }
}

fn put_sets(out: &mut Vec<u8>, sets: &[Bytes]) -> Result<(), MkvError> {
    for set in sets {
        let length = u16::try_from(set.len()).map_err(|_| {
            MkvError::new(MkvErrorKind::InvalidCodecPrivate)
                .with_detail("parameter set longer than 65535 bytes")
        })?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(set);
    }
    Ok(())
}

fn parse_record(record: &Bytes) -> Option<AvcConfig> {
    if record.len() < 7 || record[0] != 1 {
        return None;
    }
    let length_size = LengthSize::from_minus_one(record[4])?;
    let mut position = 6;
    let sps = take_sets(record, &mut position, usize::from(record[5] & 0x1f))?;
    let count = usize::from(*record.get(position)?);
    position += 1;
    let pps = take_sets(record, &mut position, count)?;
    // Many writers leave the extension fields out; what stands there is optional.
    let mut sps_extensions = vec![];
    if let Some(&count) = record.get(position + 3) {
        position += 4;
        sps_extensions = take_sets(record, &mut position, usize::from(count)).unwrap_or_default();
    }
    (!sps.is_empty()).then_some(AvcConfig {
        sps,
        pps,
        sps_extensions,
        length_size,
    })
}

fn take_sets(record: &Bytes, position: &mut usize, count: usize) -> Option<Vec<Bytes>> {
    let mut sets = Vec::with_capacity(count);
    for _ in 0..count {
        let length = record
            .get(*position..)?
            .first_chunk()
            .map(|&bytes| u16::from_be_bytes(bytes))?;
        let start = *position + 2;
        let end = start + usize::from(length);
        if end > record.len() {
            return None;
        }
        sets.push(record.slice(start..end));
        *position = end;
    }
    Some(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264, 1280x720, High 3.1, 25 fps, B-frames.
    const SPS_720P: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
    ];
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

    fn config() -> AvcConfig {
        AvcConfig {
            sps: vec![Bytes::from_static(SPS_720P)],
            pps: vec![Bytes::from_static(PPS)],
            sps_extensions: vec![],
            length_size: LengthSize::Four,
        }
    }

    #[test]
    fn an_sps_tells_size_profile_rate_and_reorder_depth() {
        let sps = Sps::parse(SPS_720P).unwrap();
        assert_eq!((sps.profile, sps.level), (100, 31));
        assert_eq!((sps.width, sps.height), (1280, 720));
        assert_eq!(sps.frame_rate, Some((50, 2)));
        assert_eq!(sps.reorder_depth, Some(2));
        assert!(!sps.interlaced);
    }

    #[test]
    fn the_record_of_a_high_profile_stream_has_the_extension_fields() {
        let mut expected = vec![1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26];
        expected.extend_from_slice(SPS_720P);
        expected.extend_from_slice(&[1, 0, 6]);
        expected.extend_from_slice(PPS);
        expected.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
        assert_eq!(config().to_record().unwrap(), expected);
    }

    #[test]
    fn a_record_survives_the_round_trip() {
        let record = config().to_record().unwrap();
        assert_eq!(AvcConfig::parse(&record).unwrap(), config());
        let format = config().format().unwrap();
        assert_eq!(
            format.video,
            Some(VideoFormat {
                width: 1280,
                height: 720
            })
        );
    }

    #[test]
    fn a_record_cut_anywhere_never_panics() {
        let record = config().to_record().unwrap();
        for end in 0..record.len() {
            let _ = AvcConfig::parse(&record.slice(..end));
        }
        for end in 0..SPS_720P.len() {
            let _ = Sps::parse(&SPS_720P[..end]);
        }
    }
}
