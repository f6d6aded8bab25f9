//! H.265: parameter sets and the `hvcC` configuration record.
//!
//! Clauses are those of ITU-T H.265; the record is ISO/IEC 14496-15 §8.3.3.1.

use bytes::Bytes;

use super::bits::{BitReader, unescape};
use super::h26x::{SetRank, UnitKind};
use super::nal::{LengthSize, annexb_units};
use crate::error::{MkvError, MkvErrorKind};
use crate::track::{TrackFormat, VideoFormat};

/// `nal_unit_type`, table 7-1, as far as it matters here.
pub mod nal_type {
    /// The first of the types a decoder can start at (BLA_W_LP).
    pub const FIRST_IRAP: u8 = 16;
    /// A slice of an IDR picture that may have decodable leading pictures.
    pub const IDR_W_RADL: u8 = 19;
    /// A slice of a clean random access picture: of an open group of pictures.
    pub const CRA: u8 = 21;
    /// The last of the types a decoder can start at, two reserved ones included.
    pub const LAST_IRAP: u8 = 23;
    /// Video parameter set.
    pub const VPS: u8 = 32;
    /// Sequence parameter set.
    pub const SPS: u8 = 33;
    /// Picture parameter set.
    pub const PPS: u8 = 34;
    /// Access unit delimiter.
    pub const AUD: u8 = 35;
}

/// The type of a NAL unit, from its first byte.
#[must_use]
pub fn unit_type(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header >> 1 & 0x3f)
}

pub(crate) fn unit_kind(unit: &[u8]) -> UnitKind {
    // nuh_layer_id: enhancement layers have parameter sets of their own, which no record is made of.
    if unit
        .first_chunk()
        .is_some_and(|&[first, second]| first & 1 != 0 || second >> 3 != 0)
    {
        return UnitKind::Other;
    }
    match unit_type(unit) {
        Some(nal_type::VPS) => UnitKind::Set(SetRank::Vps),
        Some(nal_type::SPS) => UnitKind::Set(SetRank::Sps),
        Some(nal_type::PPS) => UnitKind::Set(SetRank::Pps),
        Some(nal_type::FIRST_IRAP..=nal_type::LAST_IRAP) => UnitKind::RandomAccess,
        _ => UnitKind::Other,
    }
}

/// The id of a parameter set. A sequence parameter set's stands behind its profile: there is one in a
/// stream but in scalable ones, so it is taken to be 0.
pub(crate) fn set_id(rank: SetRank, unit: &[u8]) -> Option<u32> {
    let plain = unescape(unit.get(2..unit.len().min(16))?);
    let mut bits = BitReader::new(&plain);
    match rank {
        SetRank::Vps => bits.bits(4),
        SetRank::Pps => bits.ue(),
        _ => Some(0),
    }
}

/// What a sequence parameter set says (clause 7.3.2.2.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Sps {
    /// The 12 bytes of `general_profile_space` to `general_level_idc`, as the record wants them.
    pub profile_tier_level: [u8; 12],
    /// `sps_max_sub_layers_minus1` plus one.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_id_nested: bool,
    /// `chroma_format_idc`.
    pub chroma_format: u8,
    /// Bits per luma sample.
    pub luma_bit_depth: u8,
    /// Bits per chroma sample.
    pub chroma_bit_depth: u8,
    /// Width in pixels, after cropping.
    pub width: u32,
    /// Height in pixels, after cropping.
    pub height: u32,
    /// Frames per second as a fraction, where the timing is told.
    pub frame_rate: Option<(u32, u32)>,
    /// `sps_max_num_reorder_pics` of the highest layer.
    pub reorder_depth: u8,
}

impl Sps {
    /// `general_profile_idc`: 1 Main, 2 Main 10 …
    #[must_use]
    pub fn profile(&self) -> u8 {
        self.profile_tier_level[0] & 0x1f
    }

    /// `general_level_idc`: thirty times the level.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.profile_tier_level[11]
    }

    /// Parses a sequence parameter set: a NAL unit of type 33 with its two header bytes.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidBitstream`] where the unit is cut short or out of range.
    pub fn parse(unit: &[u8]) -> Result<Sps, MkvError> {
        parse_sps(unit).ok_or_else(|| {
            MkvError::new(MkvErrorKind::InvalidBitstream).with_detail("invalid h.265 sequence parameter set")
        })
    }
}

fn parse_sps(unit: &[u8]) -> Option<Sps> {
    if unit_type(unit)? != nal_type::SPS {
        return None;
    }
    let plain = unescape(unit.get(2..)?);
    let mut bits = BitReader::new(&plain);
    bits.skip(4)?; // sps_video_parameter_set_id
    let layers_minus1 = bits.bits(3)?;
    let temporal_id_nested = bits.bit()?;
    let mut profile_tier_level = [0; 12];
    for byte in &mut profile_tier_level {
        *byte = bits.bits(8)? as u8;
    }
    skip_sub_layers(&mut bits, layers_minus1)?;
    bits.ue()?; // sps_seq_parameter_set_id
    let chroma_format = u8::try_from(bits.ue()?).ok().filter(|&format| format <= 3)?;
    let separate_planes = chroma_format == 3 && bits.bit()?;
    let mut width = bits.ue()?;
    let mut height = bits.ue()?;
    if bits.bit()? {
        // Units of table 6-1.
        let (unit_x, unit_y) = match chroma_format {
            1 if !separate_planes => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        width = width.checked_sub(bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_x)?)?;
        height = height.checked_sub(bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_y)?)?;
    }
    let luma_bit_depth = 8 + u8::try_from(bits.ue()?).ok().filter(|&depth| depth <= 8)?;
    let chroma_bit_depth = 8 + u8::try_from(bits.ue()?).ok().filter(|&depth| depth <= 8)?;
    let log2_max_poc_lsb = bits.ue()?.checked_add(4).filter(|&bits| bits <= 16)?;
    let all_layers = bits.bit()?;
    let mut reorder_depth = 0;
    for _ in if all_layers { 0 } else { layers_minus1 }..=layers_minus1 {
        bits.ue()?; // sps_max_dec_pic_buffering_minus1
        reorder_depth = u8::try_from(bits.ue()?).ok()?;
        bits.ue()?; // sps_max_latency_increase_plus1
    }
    let mut sps = Sps {
        profile_tier_level,
        temporal_layers: layers_minus1 as u8 + 1,
        temporal_id_nested,
        chroma_format,
        luma_bit_depth,
        chroma_bit_depth,
        width,
        height,
        frame_rate: None,
        reorder_depth,
    };
    // The rest tells only the frame rate.
    sps.frame_rate = parse_rate(&mut bits, chroma_format, log2_max_poc_lsb);
    Some(sps)
}

/// The sub-layer part of profile_tier_level (clause 7.3.3).
fn skip_sub_layers(bits: &mut BitReader<'_>, layers_minus1: u32) -> Option<()> {
    let mut present = Vec::with_capacity(8);
    for _ in 0..layers_minus1 {
        present.push((bits.bit()?, bits.bit()?));
    }
    if layers_minus1 > 0 {
        bits.skip(2 * (8 - layers_minus1 as usize))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Some(())
}

/// From `log2_min_luma_coding_block_size_minus3` on to the timing in the usability information.
fn parse_rate(bits: &mut BitReader<'_>, chroma_format: u8, log2_max_poc_lsb: u32) -> Option<(u32, u32)> {
    for _ in 0..6 {
        bits.ue()?; // coding block, transform block and hierarchy sizes
    }
    if bits.bit()? && bits.bit()? {
        skip_scaling_lists(bits, chroma_format)?;
    }
    bits.skip(2)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.bit()? {
        bits.skip(8)?; // pulse code modulation bit depths
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    let sets = bits.ue()?;
    if sets > 64 {
        return None;
    }
    skip_reference_sets(bits, sets)?;
    if bits.bit()? {
        let long_term = bits.ue()?;
        if long_term > 32 {
            return None;
        }
        for _ in 0..long_term {
            bits.skip(log2_max_poc_lsb as usize + 1)?;
        }
    }
    bits.skip(2)?; // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    if !bits.bit()? {
        return None;
    }
    parse_vui_rate(bits)
}

/// Clause 7.3.4.
fn skip_scaling_lists(bits: &mut BitReader<'_>, _chroma_format: u8) -> Option<()> {
    for size in 0..4u32 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.bit()? {
                bits.ue()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            if size > 1 {
                bits.se()?; // scaling_list_dc_coef_minus8
            }
            for _ in 0..(1u32 << (4 + (size << 1))).min(64) {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// Clause 7.3.7, for each set of the sequence.
fn skip_reference_sets(bits: &mut BitReader<'_>, sets: u32) -> Option<()> {
    let mut previous = 0;
    for index in 0..sets {
        if index > 0 && bits.bit()? {
            bits.bit()?; // delta_rps_sign
            bits.ue()?; // abs_delta_rps_minus1
            let mut count = 0;
            for _ in 0..=previous {
                let used = bits.bit()?;
                if used || bits.bit()? {
                    count += 1;
                }
            }
            previous = count;
        } else {
            let negative = bits.ue()?;
            let positive = bits.ue()?;
            if negative > 16 || positive > 16 {
                return None;
            }
            for _ in 0..negative + positive {
                bits.ue()?;
                bits.bit()?;
            }
            previous = negative + positive;
        }
    }
    Some(())
}

/// Clause E.2.1, up to the timing.
fn parse_vui_rate(bits: &mut BitReader<'_>) -> Option<(u32, u32)> {
    if bits.bit()? && bits.bits(8)? == 255 {
        bits.skip(32)?; // extended sample aspect ratio
    }
    if bits.bit()? {
        bits.skip(1)?; // overscan_appropriate_flag
    }
    if bits.bit()? {
        bits.skip(4)?;
        if bits.bit()? {
            bits.skip(24)?;
        }
    }
    if bits.bit()? {
        bits.ue()?;
        bits.ue()?;
    }
    bits.skip(3)?; // neutral chroma, field sequence, frame field info
    if bits.bit()? {
        for _ in 0..4 {
            bits.ue()?; // default display window
        }
    }
    if !bits.bit()? {
        return None;
    }
    let units_in_tick = bits.bits(32)?;
    let time_scale = bits.bits(32)?;
    (units_in_tick > 0 && time_scale > 0).then_some((time_scale, units_in_tick))
}

/// An `HEVCDecoderConfigurationRecord`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HevcConfig {
    /// Video parameter sets, as NAL units.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets, as NAL units.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, as NAL units.
    pub pps: Vec<Bytes>,
    /// The size of the length before each NAL unit of a frame.
    pub length_size: LengthSize,
}

impl HevcConfig {
    /// Parses a record.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] where it is cut short or holds no sequence parameter set.
    pub fn parse(record: &Bytes) -> Result<HevcConfig, MkvError> {
        parse_record(record).ok_or_else(|| {
            MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail("invalid hvcC record")
        })
    }

    /// Collects the parameter sets of an Annex-B byte stream.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] where a kind is missing.
    pub fn from_annexb(stream: &Bytes) -> Result<HevcConfig, MkvError> {
        let mut config = HevcConfig::default();
        for unit in annexb_units(stream) {
            let unit = stream.slice(unit);
            match unit_type(&unit) {
                Some(nal_type::VPS) => config.vps.push(unit),
                Some(nal_type::SPS) => config.sps.push(unit),
                Some(nal_type::PPS) => config.pps.push(unit),
                _ => {}
            }
        }
        if !config.is_complete() {
            return Err(MkvError::new(MkvErrorKind::InvalidCodecPrivate)
                .with_detail("no video, sequence and picture parameter sets in codec private data"));
        }
        Ok(config)
    }

    pub(crate) fn is_complete(&self) -> bool {
        !self.vps.is_empty() && !self.sps.is_empty() && !self.pps.is_empty()
    }

    /// Writes the record.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidCodecPrivate`] where there is no sequence parameter set or one does not parse.
    pub fn to_record(&self) -> Result<Bytes, MkvError> {
        let invalid = |what: &'static str| MkvError::new(MkvErrorKind::InvalidCodecPrivate).with_detail(what);
        let sps = Sps::parse(
            self.sps
                .first()
                .ok_or_else(|| invalid("no sequence parameter set"))?,
        )?;
        let mut out = Vec::with_capacity(128);
        out.push(1);
        out.extend_from_slice(&sps.profile_tier_level);
        // Reserved bits of the record are ones. Spatial segmentation and parallelism are not told.
        out.extend_from_slice(&[0xf0, 0x00, 0xfc]);
        out.push(0xfc | sps.chroma_format);
        out.push(0xf8 | (sps.luma_bit_depth - 8));
        out.push(0xf8 | (sps.chroma_bit_depth - 8));
        out.extend_from_slice(&[0, 0]); // average frame rate: not told
        let nested = u8::from(sps.temporal_id_nested);
        out.push(sps.temporal_layers << 3 | nested << 2 | (self.length_size.bytes() as u8 - 1));
        let arrays = [
            (nal_type::VPS, &self.vps),
            (nal_type::SPS, &self.sps),
            (nal_type::PPS, &self.pps),
        ];
        let arrays = arrays.into_iter().filter(|(_, sets)| !sets.is_empty());
        out.push(arrays.clone().count() as u8);
        for (kind, sets) in arrays {
            // array_completeness stays 0: sets may come in the frames too.
            out.push(kind);
            let count = u16::try_from(sets.len()).map_err(|_| invalid("too many parameter sets"))?;
            out.extend_from_slice(&count.to_be_bytes());
            for set in sets {
                let length =
                    u16::try_from(set.len()).map_err(|_| invalid("parameter set longer than 65535 bytes"))?;
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(set);
            }
        }
        Ok(Bytes::from(out))
    }

    /// The track format the record stands for: itself and the picture size.
    ///
    /// # Errors
    /// As [`to_record`](Self::to_record).
    pub fn format(&self) -> Result<TrackFormat, MkvError> {
        Ok(format_of(self.to_record()?, self))
    }
}

/// The format of a track whose codec private data is `record`, byte for byte.
pub(crate) fn format_of(record: Bytes, config: &HevcConfig) -> TrackFormat {
    let sps = config.sps.first().and_then(|first| Sps::parse(first).ok());
    let video = sps.and_then(|sps| VideoFormat::from_size(sps.width, sps.height));
    TrackFormat {
        codec_private: record,
        video,
        audio: None,
    }
}

fn parse_record(record: &Bytes) -> Option<HevcConfig> {
    // Version 0 was written before the standard was done.
    if record.len() < 23 || record[0] > 1 {
        return None;
    }
    let length_size = LengthSize::from_minus_one(record[21])?;
    let mut config = HevcConfig {
        length_size,
        ..HevcConfig::default()
    };
    let mut position = 23;
    for _ in 0..record[22] {
        let kind = record.get(position)? & 0x3f;
        let count = u16::from_be_bytes(*record.get(position + 1..)?.first_chunk()?);
        position += 3;
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes(*record.get(position..)?.first_chunk()?));
            let start = position + 2;
            position = start + length;
            if position > record.len() {
                return None;
            }
            match kind {
                nal_type::VPS => config.vps.push(record.slice(start..position)),
                nal_type::SPS => config.sps.push(record.slice(start..position)),
                nal_type::PPS => config.pps.push(record.slice(start..position)),
                _ => {}
            }
        }
    }
    (!config.sps.is_empty()).then_some(config)
}
