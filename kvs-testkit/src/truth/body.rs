//! Bodies, right and wrong, for the cases.

use bytes::{BufMut, Bytes, BytesMut};
use kvs_mkv::schema::id;

use crate::service::matroska::{document, put_bytes, put_master, put_uint, vint};

/// A body under construction.
#[derive(Debug, Default)]
pub(super) struct Body {
    out: BytesMut,
}

impl Body {
    /// A body that declares video tracks of these numbers.
    pub(super) fn with_tracks(numbers: &[u64]) -> Body {
        let mut out = document();
        put_master(&mut out, id::INFO, |out| {
            put_uint(out, id::TIMECODE_SCALE, 1_000_000);
            put_bytes(out, id::MUXING_APP, b"kvs-testkit");
            put_bytes(out, id::WRITING_APP, b"kvs-testkit");
        });
        put_master(&mut out, id::TRACKS, |out| {
            for &number in numbers {
                put_master(out, id::TRACK_ENTRY, |out| {
                    put_uint(out, id::TRACK_NUMBER, number);
                    put_uint(out, id::TRACK_UID, number);
                    put_uint(out, id::TRACK_TYPE, 1);
                    put_bytes(out, id::CODEC_ID, b"V_MPEG4/ISO/AVC");
                });
            }
        });
        Body { out }
    }

    /// A cluster of unknown size.
    pub(super) fn cluster(mut self, timecode: u64) -> Body {
        self.out.put_u32(id::CLUSTER);
        self.out.put_u64(0x01ff_ffff_ffff_ffff);
        put_uint(&mut self.out, id::CLUSTER_TIMECODE, timecode);
        self
    }

    /// A key frame in the cluster.
    pub(super) fn block(mut self, track: u64, relative: i16, payload: &[u8]) -> Body {
        let number = vint(track);
        let mut block = BytesMut::from(&number[..]);
        block.put_i16(relative);
        block.put_u8(0x80);
        block.put_slice(payload);
        put_bytes(&mut self.out, id::SIMPLE_BLOCK, &block);
        self
    }

    /// A cluster with three frames on track 1, 400 ms apart.
    pub(super) fn fragment(self, timecode: u64) -> Body {
        let payload = |n| format!("frame {n} at {timecode}");
        let body = self.cluster(timecode).block(1, 0, payload(1).as_bytes());
        body.block(1, 400, payload(2).as_bytes())
            .block(1, 800, payload(3).as_bytes())
    }

    /// Tags after a cluster.
    pub(super) fn tags(mut self, tags: &[(&str, &str)]) -> Body {
        crate::service::matroska::put_tags(&mut self.out, tags);
        self
    }

    /// The tag that ends a fragment.
    pub(super) fn end_of_fragment(self) -> Body {
        self.tags(&[(kvs_mkv::END_OF_FRAGMENT, "")])
    }

    /// Anything.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Body {
        self.out.put_slice(bytes);
        self
    }

    pub(super) fn finish(self) -> Bytes {
        self.out.freeze()
    }
}
