//! The device's end of one PutMedia session: steps of sending become Matroska, bytes become acknowledgements.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvs_actors::machine::{SendOp, SessionId, SessionPlan};
use kvs_client::{AckDecoder, ClientError};
use kvs_mkv::{FragmentTimecodes, Frame, FrameFlags, MkvError, Muxer, SegmentInfo, TimecodeScale, Timestamp};
use kvs_storage::{ItemFlags, ItemMeta};

use super::link::Pipe;
use crate::service::{ConnectionId, PutMediaRequest, StreamSelector, TimecodeType};

/// Bytes that a connection takes before it holds the writer back.
const SEND_BUFFER: usize = 32 * 1024;

/// Steps that are written at a time, as the uploader takes them up.
const BATCH: usize = 64;

/// What goes up to the service.
#[derive(Debug)]
pub(super) enum Up {
    /// The request's head; whether its date is one that the service takes.
    Request {
        is_in_time: bool,
    },
    Body(Bytes),
    End,
    Reset,
}

/// What comes down from it.
#[derive(Debug)]
pub(super) enum Down {
    Head,
    Refusal(ClientError),
    Body(Bytes),
    End,
    Reset,
}

/// How far the device's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It dials until then.
    Dialling {
        until: Duration,
    },
    Connected,
    /// The machine gave it up; news that was under way within the device arrives until then.
    Abandoned {
        news_until: Duration,
    },
    /// The machine knows of its end.
    Over,
}

/// What came of writing.
#[derive(Debug)]
pub(super) enum Wrote {
    /// Nothing could be written.
    Nothing,
    /// So much, up to the last of these items.
    Bytes {
        body: Bytes,
        last_item: Option<u64>,
        payload: u64,
    },
    /// The body was ended.
    End,
    /// An item could not be read.
    Unreadable { seq: u64 },
    /// The muxer refused a step.
    Unmuxable { seq: Option<u64>, error: MkvError },
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) plan: SessionPlan,
    pub(super) stage: Stage,
    muxer: Muxer,
    has_header: bool,
    ops: VecDeque<SendOp>,
    is_finishing: bool,
    is_ended: bool,
    is_blocked: bool,
    /// Bytes written that the service has not taken.
    pub(super) under_way: usize,
    pub(super) up: Pipe<Up>,
    pub(super) down: Pipe<Down>,
    pub(super) decoder: AckDecoder,

    // The service's end.
    pub(super) connection: Option<ConnectionId>,
    /// Which PutMedia request of the stream it is, from 1.
    pub(super) nth: u32,
    pub(super) inbox: VecDeque<Bytes>,
    pub(super) has_body_end: bool,
    /// Bytes until the connection is cut.
    pub(super) cut_after: Option<usize>,
    /// A fault keeps it from ever being whole again.
    pub(super) is_damaged: bool,
}

impl Session {
    pub(super) fn new(
        plan: SessionPlan,
        scale: TimecodeScale,
        dials_until: Duration,
    ) -> Result<Self, MkvError> {
        let segment = SegmentInfo {
            scale,
            ..SegmentInfo::new([7; 16])
        };
        let muxer = Muxer::new(segment, &plan.tracks, plan.timecodes)?;
        Ok(Session {
            plan,
            stage: Stage::Dialling { until: dials_until },
            muxer,
            has_header: false,
            ops: VecDeque::new(),
            is_finishing: false,
            is_ended: false,
            is_blocked: false,
            under_way: 0,
            up: Pipe::new(),
            down: Pipe::new(),
            decoder: AckDecoder::new(),
            connection: None,
            nth: 0,
            inbox: VecDeque::new(),
            has_body_end: false,
            cut_after: None,
            is_damaged: false,
        })
    }

    pub(super) fn id(&self) -> SessionId {
        self.plan.session
    }

    /// Whether the machine still counts on it.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Dialling { .. } | Stage::Connected)
    }

    /// Whether the machine may still send on it.
    pub(super) fn takes_media(&self) -> bool {
        self.is_live() && !self.is_finishing
    }

    pub(super) fn push(&mut self, op: SendOp) {
        self.ops.push_back(op);
    }

    pub(super) fn finish(&mut self) {
        self.is_finishing = true;
    }

    /// The device closes it.
    pub(super) fn leave(&mut self, stage: Stage) {
        self.stage = stage;
        self.ops.clear();
    }

    pub(super) fn request(&self, stream: &str) -> PutMediaRequest {
        let timecodes = match self.plan.timecodes {
            FragmentTimecodes::Absolute => TimecodeType::Absolute,
            FragmentTimecodes::Relative { .. } => TimecodeType::Relative,
        };
        PutMediaRequest {
            stream: StreamSelector::Name(stream.to_owned()),
            timecodes,
            start_timestamp: Some(self.plan.start),
            acks_required: self.plan.acks == kvs_client::AckMode::Required,
        }
    }

    /// Writes the next batch, if the connection takes it. `read` gives the payload of an item; `muxed` hears of each
    /// fragment's timecode.
    pub(super) fn write(
        &mut self,
        mut read: impl FnMut(u64) -> Option<Bytes>,
        mut muxed: impl FnMut(i64),
    ) -> Wrote {
        let is_open = self.stage == Stage::Connected && !self.is_ended && !self.is_blocked;
        if !is_open || self.under_way >= SEND_BUFFER {
            return Wrote::Nothing;
        }
        if self.has_header && self.ops.is_empty() {
            if !self.is_finishing {
                return Wrote::Nothing;
            }
            self.is_ended = true;
            return Wrote::End;
        }
        let mut chunks: Vec<Bytes> = Vec::new();
        if !std::mem::replace(&mut self.has_header, true) {
            self.muxer.header(&mut chunks);
        }
        let (mut last_item, mut payload) = (None, 0);
        for op in self.ops.drain(..self.ops.len().min(BATCH)) {
            let muxed = match op {
                SendOp::Fragment { timecode } => {
                    self.muxer.start_fragment(timecode, &mut chunks).map(&mut muxed)
                }
                SendOp::Tags(tags) => self.muxer.tags(&tags, &mut chunks),
                SendOp::EndOfFragment => {
                    self.muxer.end_of_fragment(&mut chunks);
                    Ok(())
                }
                SendOp::Item { meta } => {
                    let Some(data) = read(meta.seq) else {
                        self.is_blocked = true;
                        return Wrote::Unreadable { seq: meta.seq };
                    };
                    last_item = Some(meta.seq);
                    payload += u64::from(meta.len);
                    self.muxer.block(&frame(&meta, data), &mut chunks)
                }
                _ => Ok(()),
            };
            if let Err(error) = muxed {
                self.is_blocked = true;
                return Wrote::Unmuxable {
                    seq: last_item,
                    error,
                };
            }
        }
        let mut body = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
        for chunk in &chunks {
            body.extend_from_slice(chunk);
        }
        self.under_way += body.len();
        Wrote::Bytes {
            body: body.freeze(),
            last_item,
            payload,
        }
    }
}

fn frame(meta: &ItemMeta, data: Bytes) -> Frame {
    let flags = if meta.flags.contains(ItemFlags::KEY) {
        FrameFlags::KEY
    } else {
        FrameFlags::NONE
    };
    Frame::new(meta.track, data)
        .dts(Timestamp::from_nanos(meta.dts))
        .pts(Timestamp::from_nanos(meta.pts))
        .flags(flags)
}
