//! A machine with a clock of its own, a service that answers as told, and a record of what was asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvs_client::{Ack, AckEvent, ClientError, ClientErrorKind, StreamInfo, Url};
use kvs_mkv::{Timestamp, Track, TrackSet};
use kvs_storage::{ItemFlags, ItemMeta};

use crate::events::StreamEvent;
use crate::machine::{
    Input, MachineConfig, Output, RateLimits, SendOp, ServiceCall, SessionId, SessionPlan, StreamMachine,
};

pub(super) struct Rig {
    pub(super) machine: StreamMachine,
    pub(super) began: Instant,
    pub(super) now: Instant,
    pub(super) tracks: Arc<TrackSet>,
    pub(super) calls: Vec<ServiceCall>,
    pub(super) plans: Vec<SessionPlan>,
    pub(super) sent: Vec<(SessionId, SendOp)>,
    pub(super) finished: Vec<SessionId>,
    pub(super) aborted: Vec<SessionId>,
    pub(super) released: Vec<u64>,
    pub(super) events: Vec<StreamEvent>,
    pub(super) stopped: bool,
    pub(super) closes: usize,
    pub(super) paged: Vec<std::ops::Range<u64>>,
}

pub(super) fn tracks() -> Arc<TrackSet> {
    let track = Track::aac()
        .with_number(1)
        .with_codec_private(Bytes::from_static(&[0x11, 0x90]))
        .unwrap();
    Arc::new(TrackSet::new(vec![track]).unwrap())
}

pub(super) fn config() -> MachineConfig {
    MachineConfig {
        rate: RateLimits::OFF,
        ..MachineConfig::new("cam")
    }
}

pub(super) fn lost() -> ClientError {
    ClientError::new(ClientErrorKind::ConnectionLost, "reset")
}

impl Rig {
    pub(super) fn new(config: MachineConfig) -> Self {
        let began = Instant::now();
        let mut rig = Rig {
            machine: StreamMachine::new(config),
            began,
            now: began,
            tracks: tracks(),
            calls: Vec::new(),
            plans: Vec::new(),
            sent: Vec::new(),
            finished: Vec::new(),
            aborted: Vec::new(),
            released: Vec::new(),
            events: Vec::new(),
            stopped: false,
            closes: 0,
            paged: Vec::new(),
        };
        rig.input(Input::Start);
        rig
    }

    /// A machine whose stream is prepared and retains what it is sent.
    pub(super) fn ready(config: MachineConfig) -> Self {
        let mut rig = Rig::new(config);
        rig.describe_active(24);
        rig.locate();
        rig
    }

    pub(super) fn describe_active(&mut self, retention_hours: u32) {
        assert_eq!(self.calls.pop(), Some(ServiceCall::Describe));
        let mut info = StreamInfo::new("cam", "arn:cam");
        info.retention_hours = retention_hours;
        self.input(Input::Described(Ok(info)));
    }

    pub(super) fn locate(&mut self) {
        assert_eq!(self.calls.pop(), Some(ServiceCall::Locate));
        self.input(Input::Located(Ok(Url::parse("http://127.0.0.1:1").unwrap())));
    }

    pub(super) fn input(&mut self, input: Input) {
        self.machine.handle(input, self.now);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Call(call) => self.calls.push(call),
                Output::Open(plan) => self.plans.push(plan),
                Output::Send { session, op } => self.sent.push((session, op)),
                Output::Finish(session) => self.finished.push(session),
                Output::Abort(session) => self.aborted.push(session),
                Output::Release { seqs } => self.released.extend(seqs),
                Output::Event(event) => self.events.push(event),
                Output::CloseFragment => self.closes += 1,
                Output::PageIn { seqs } => self.paged.push(seqs),
                Output::ForgetEndpoint => {}
                Output::Stopped => self.stopped = true,
            }
        }
        self.machine.check().unwrap();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.machine.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.machine.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    /// Puts a whole fragment of three frames of 100 bytes that starts at so many milliseconds.
    pub(super) fn fragment(&mut self, millis: i64) {
        self.open_fragment(millis);
        self.input(Input::FragmentEnd { tags: Vec::new() });
    }

    /// The same without its end.
    pub(super) fn open_fragment(&mut self, millis: i64) {
        let tracks = Arc::clone(&self.tracks);
        self.input(Input::FragmentStart {
            timecode: Timestamp::from_millis(millis),
            tracks,
        });
        for index in 0..3 {
            self.item(millis + 40 * index, index == 0);
        }
    }

    pub(super) fn item(&mut self, millis: i64, starts: bool) {
        let pts = Timestamp::from_millis(millis).as_nanos();
        let flags = if starts {
            ItemFlags::FRAGMENT_START.with(ItemFlags::KEY)
        } else {
            ItemFlags::NONE
        };
        let seq = self.machine.next_seq();
        self.input(Input::Item(ItemMeta {
            seq,
            pts,
            dts: pts,
            duration: 40_000_000,
            track: 1,
            flags,
            len: 100,
        }));
    }

    /// The session opened last.
    pub(super) fn session(&self) -> SessionId {
        self.plans.last().unwrap().session
    }

    pub(super) fn opened(&mut self) {
        let session = self.session();
        self.input(Input::SessionOpened(session));
    }

    /// Everything sent on the last session so far is written.
    pub(super) fn written(&mut self) {
        let session = self.session();
        let last = self.sent_items(session).pop();
        if let Some(seq) = last {
            self.input(Input::Written {
                session,
                seq,
                bytes: 100,
            });
        }
    }

    pub(super) fn ack(&mut self, event: AckEvent, millis: i64) {
        let session = self.session();
        self.input(Input::Acked {
            session,
            ack: Ack::new(event).timecode(millis),
        });
    }

    pub(super) fn end(&mut self, result: Result<(), ClientError>) {
        let session = self.session();
        self.input(Input::SessionEnded { session, result });
    }

    /// The numbers of the items sent on a session.
    pub(super) fn sent_items(&self, session: SessionId) -> Vec<u64> {
        self.sent
            .iter()
            .filter(|(on, _)| *on == session)
            .filter_map(|(_, op)| match op {
                SendOp::Item { meta } => Some(meta.seq),
                _ => None,
            })
            .collect()
    }

    /// The fragments started on a session, in milliseconds.
    pub(super) fn sent_fragments(&self, session: SessionId) -> Vec<i64> {
        self.sent
            .iter()
            .filter(|(on, _)| *on == session)
            .filter_map(|(_, op)| match op {
                SendOp::Fragment { timecode } => Some(timecode.as_millis()),
                _ => None,
            })
            .collect()
    }
}
