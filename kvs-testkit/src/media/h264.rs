//! H.264 made of uncompressed macroblocks.

use kvs_mkv::Timestamp;

use super::bits::{BitWriter, put_nal};
use super::{Noise, Sample};

/// Bytes of an uncompressed macroblock in 4:2:0: 256 of luma, 64 of each chroma.
const PCM_BYTES: usize = 384;

/// mb_type of I_PCM in an I slice (H.264 table 7-11).
const I_PCM: u32 = 25;

/// In a P slice the types of I macroblocks follow the five of P (H.264 table 7-13).
const I_PCM_IN_P: u32 = 5 + I_PCM;

/// An endless H.264 stream in Annex B: Constrained Baseline, CAVLC, an IDR picture with SPS and PPS at the
/// start of each group, P pictures between. Every picture repaints some macroblocks with noise, uncompressed, and
/// skips the rest.
///
/// Default: 64×48 pixels, groups of 30, one macroblock repainted per P picture (about 400 bytes; an IDR picture
/// about 4,700).
#[derive(Debug, Clone)]
pub struct H264Source {
    fps: u32,
    group: u32,
    width: u32,
    height: u32,
    repainted: u32,
    index: u64,
}

impl H264Source {
    /// A source of so many pictures per second (at least 1).
    pub fn new(fps: u32) -> H264Source {
        H264Source {
            fps: fps.max(1),
            group: 30,
            width: 4,
            height: 3,
            repainted: 1,
            index: 0,
        }
    }

    /// Pictures from one IDR picture to the next, at least 1.
    pub fn with_group(mut self, pictures: u32) -> H264Source {
        self.group = pictures.max(1);
        self
    }

    /// Size in macroblocks of 16×16 pixels, at least 1 each way and at most 100.
    pub fn with_macroblocks(mut self, wide: u32, high: u32) -> H264Source {
        self.width = wide.clamp(1, 100);
        self.height = high.clamp(1, 100);
        self
    }

    /// Macroblocks repainted in each P picture, 384 bytes each.
    pub fn with_repainted(mut self, macroblocks: u32) -> H264Source {
        self.repainted = macroblocks;
        self
    }

    /// Size in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width * 16, self.height * 16)
    }

    /// The sequence parameter set, NAL header included.
    pub fn sps(&self) -> Vec<u8> {
        let mut bits = BitWriter::default();
        // profile_idc Baseline, constraint_set0 and 1, level 4.0: room for every size offered.
        bits.bits(66, 8);
        bits.bits(0b1100_0000, 8);
        bits.bits(40, 8);
        bits.ue(0); // seq_parameter_set_id
        bits.ue(0); // log2_max_frame_num_minus4
        bits.ue(2); // pic_order_cnt_type: output order is decoding order
        bits.ue(1); // max_num_ref_frames
        bits.bits(0, 1); // gaps_in_frame_num_value_allowed_flag
        bits.ue(self.width - 1);
        bits.ue(self.height - 1);
        bits.bits(1, 1); // frame_mbs_only_flag
        bits.bits(1, 1); // direct_8x8_inference_flag
        bits.bits(0, 1); // frame_cropping_flag
        bits.bits(0, 1); // vui_parameters_present_flag
        bits.trailing();
        let mut nal = vec![0x67];
        nal.extend(bits.finish());
        nal
    }

    /// The picture parameter set, NAL header included.
    pub fn pps(&self) -> Vec<u8> {
        let mut bits = BitWriter::default();
        bits.ue(0); // pic_parameter_set_id
        bits.ue(0); // seq_parameter_set_id
        bits.bits(0, 1); // entropy_coding_mode_flag: CAVLC
        bits.bits(0, 1); // bottom_field_pic_order_in_frame_present_flag
        bits.ue(0); // num_slice_groups_minus1
        bits.ue(0); // num_ref_idx_l0_default_active_minus1
        bits.ue(0); // num_ref_idx_l1_default_active_minus1
        bits.bits(0, 3); // weighted_pred_flag, weighted_bipred_idc
        bits.ue(0); // pic_init_qp_minus26
        bits.ue(0); // pic_init_qs_minus26
        bits.ue(0); // chroma_qp_index_offset
        bits.bits(1, 1); // deblocking_filter_control_present_flag
        bits.bits(0, 2); // constrained_intra_pred_flag, redundant_pic_cnt_present_flag
        bits.trailing();
        let mut nal = vec![0x68];
        nal.extend(bits.finish());
        nal
    }

    fn macroblocks(&self) -> u32 {
        self.width * self.height
    }

    /// A slice's beginning up to its data (H.264 clause 7.3.3).
    fn slice_header(&self, bits: &mut BitWriter, in_group: u32) {
        let is_idr = in_group == 0;
        bits.ue(0); // first_mb_in_slice
        bits.ue(if is_idr { 7 } else { 5 }); // slice_type: all I, or all P
        bits.ue(0); // pic_parameter_set_id
        bits.bits(in_group % 16, 4); // frame_num
        if is_idr {
            let group = self.index / u64::from(self.group);
            bits.ue((group % 2) as u32); // idr_pic_id: neighbours differ
            bits.bits(0, 2); // no_output_of_prior_pics_flag, long_term_reference_flag
        } else {
            bits.bits(0, 1); // num_ref_idx_active_override_flag
            bits.bits(0, 1); // ref_pic_list_modification_flag_l0
            bits.bits(0, 1); // adaptive_ref_pic_marking_mode_flag
        }
        bits.ue(0); // slice_qp_delta
        bits.ue(1); // disable_deblocking_filter_idc
    }

    fn paint(&self, bits: &mut BitWriter, noise: &mut Noise) {
        bits.align(); // pcm_alignment_zero_bit
        bits.bytes((0..PCM_BYTES).map(|_| noise.byte()));
    }

    fn idr_slice(&self) -> Vec<u8> {
        let mut noise = Noise::new(self.index);
        let mut bits = BitWriter::default();
        self.slice_header(&mut bits, 0);
        for _ in 0..self.macroblocks() {
            bits.ue(I_PCM);
            self.paint(&mut bits, &mut noise);
        }
        bits.trailing();
        bits.finish()
    }

    fn p_slice(&self, in_group: u32) -> Vec<u8> {
        let mut noise = Noise::new(self.index);
        let mut bits = BitWriter::default();
        self.slice_header(&mut bits, in_group);
        let total = self.macroblocks();
        let painted = self.repainted.min(total);
        // The painted ones move on from picture to picture, as far as they fit.
        let first = if painted == 0 {
            total
        } else {
            in_group % (total - painted + 1)
        };
        bits.ue(first); // mb_skip_run
        for n in 0..painted {
            if n > 0 {
                bits.ue(0); // mb_skip_run
            }
            bits.ue(I_PCM_IN_P);
            self.paint(&mut bits, &mut noise);
        }
        let rest = total - first - painted;
        if rest > 0 {
            bits.ue(rest); // mb_skip_run
        }
        bits.trailing();
        bits.finish()
    }
}

impl Iterator for H264Source {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let in_group = (self.index % u64::from(self.group)) as u32;
        let key = in_group == 0;
        let mut data = Vec::new();
        if key {
            for set in [self.sps(), self.pps()] {
                put_nal(&mut data, &set[..1], &set[1..]);
            }
            put_nal(&mut data, &[0x65], &self.idr_slice());
        } else {
            put_nal(&mut data, &[0x41], &self.p_slice(in_group));
        }
        let nanos = u128::from(self.index) * 1_000_000_000 / u128::from(self.fps);
        self.index += 1;
        let pts = Timestamp::from_nanos(i64::try_from(nanos).ok()?);
        Some(Sample {
            data: data.into(),
            pts,
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvs_mkv::{Frame, Track, TrackAdapter};

    #[test]
    fn groups_begin_with_parameter_sets_and_an_idr_picture() {
        let samples: Vec<Sample> = H264Source::new(25).with_group(10).take(21).collect();
        let keys: Vec<usize> = (0..21).filter(|&n| samples[n].key).collect();
        assert_eq!(keys, [0, 10, 20]);
        assert_eq!(samples[20].pts, Timestamp::from_millis(800));
        assert!(
            samples
                .iter()
                .all(|sample| sample.key == (sample.data[4] == 0x67))
        );
    }

    #[test]
    fn every_picture_differs_and_every_run_is_the_same() {
        let run = || {
            H264Source::new(30)
                .take(100)
                .map(|sample| sample.data)
                .collect::<Vec<_>>()
        };
        let (first, second) = (run(), run());
        assert_eq!(first, second);
        let different: std::collections::HashSet<_> = first.iter().collect();
        assert_eq!(different.len(), 100);
    }

    #[test]
    fn the_size_is_the_one_the_parameter_set_tells() {
        let mut source = H264Source::new(25).with_macroblocks(20, 15);
        let track = Track::h264();
        let sample = source.next().unwrap();
        let adapted = TrackAdapter::new(&track)
            .adapt(Frame::video(sample.data).key())
            .unwrap();
        let video = adapted.format.unwrap().video.unwrap();
        assert_eq!((u32::from(video.width), u32::from(video.height)), source.size());
    }
}
