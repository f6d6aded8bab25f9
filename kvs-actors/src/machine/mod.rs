//! The stream machine: everything that is decided about a stream, without I/O, clock or randomness of its own.
//!
//! It has two doors. [`StreamMachine::handle`] takes what happened, [`StreamMachine::poll`] gives what is to be done, until it
//! gives nothing more. [`StreamMachine::next_timeout`] says when [`StreamMachine::handle_timeout`] wants to be called if
//! nothing happens before. The actors drive it over sockets; a simulator can drive it through hours within a second.
//!
//! The way of a stream is `describe → create → tag → locate → open → send → acknowledge`, and from any point after a failure
//! back to the step that the failure calls for. Each concern lies in its own file: `life` prepares the stream, `sending`
//! opens sessions and hands items over, `acks` says what acknowledgements mean, `pressure` makes room, `stopping` ends.

mod acks;
mod backlog;
mod counters;
mod fragment;
mod input;
mod invariants;
mod life;
mod output;
mod pace;
mod pressure;
mod reaction;
mod retry;
mod sending;
mod session;
mod stopping;
#[cfg(test)]
mod tests;
mod timer;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use kvs_client::{AckMode, CreateStream, Url};
use kvs_mkv::{TimecodeScale, Timestamp};
use kvs_storage::{ContentView, OverflowPolicy, Pressure};

pub use counters::{DropReason, FrameCounters, SessionCounters, Tally};
pub use input::Input;
pub use invariants::Violation;
pub use output::{Output, SendOp, ServiceCall, SessionPlan};
pub use pace::RateLimits;
pub use reaction::{FragmentFate, NextStep, REACTIONS, Reaction, reaction_to};
pub use retry::RetryPolicy;
pub use session::{SendWindow, SessionId};
pub use stopping::UnackedFragment;
pub use timer::Timer;

use crate::config::{FragmentTimes, Handover, RollbackPolicy};
use crate::error::StreamError;
use crate::events::{StreamEvent, StreamState};
use fragment::Fragments;
use life::{Progress, Step};
use pace::Pacer;
use retry::Backoff;
use session::Session;
use stopping::Stopping;
use timer::TimerTable;

/// Whether a stream that doesn't exist is created.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreatePolicy {
    /// It has to exist; the stream ends with a fatal error if it doesn't.
    MustExist,
    /// It is created so.
    Create(CreateStream),
}

/// Where the metadata of items is that are far from being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Paging {
    /// In memory, as the store is.
    #[default]
    Off,
    /// In the store: a backlog of any size takes about a hundred bytes of memory for each fragment.
    On,
}

/// The settings of one machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MachineConfig {
    /// The stream's name.
    pub stream: String,
    /// Whether it may be created, and how.
    pub create: CreatePolicy,
    /// The tags it gets.
    pub tags: BTreeMap<String, String>,
    /// The unit of time on the wire.
    pub scale: TimecodeScale,
    /// How clusters are timed.
    pub times: FragmentTimes,
    /// Whether the service acknowledges.
    pub acks: AckMode,
    /// The retention to reckon with until the service has told it, in hours.
    pub retention_hours: u32,
    /// What is sent again after a lost session.
    pub rollback: RollbackPolicy,
    /// How failures are retried.
    pub retry: RetryPolicy,
    /// What may be sent per second.
    pub rate: RateLimits,
    /// The room of a session for items on their way.
    pub window: SendWindow,
    /// What happens when there is no room.
    pub overflow: OverflowPolicy,
    /// The most media time that is held.
    pub buffer_duration: Option<Duration>,
    /// When a session is replaced.
    pub session_duration: Duration,
    /// How long the end of a session waits for its last acknowledgement.
    pub last_ack_timeout: Duration,
    /// How one session follows another.
    pub handover: Handover,
    /// After so long a fragment that was received and not persisted is let go.
    pub received_limit: Option<Duration>,
    /// More media time waiting to be sent than this is told.
    pub max_latency: Option<Duration>,
    /// After so long without a frame the session is ended.
    pub idle_timeout: Option<Duration>,
    /// After so long without a word from the service the session is given up.
    pub staleness: Option<Duration>,
    /// Whether the metadata of items far from being sent is left to the store.
    pub paging: Paging,
    /// Where the jitter of this stream comes from.
    pub seed: u64,
}

impl MachineConfig {
    /// The defaults, for a stream of this name that has to exist.
    #[must_use]
    pub fn new(stream: impl Into<String>) -> Self {
        MachineConfig {
            stream: stream.into(),
            create: CreatePolicy::MustExist,
            tags: BTreeMap::new(),
            scale: TimecodeScale::default(),
            times: FragmentTimes::default(),
            acks: AckMode::Required,
            retention_hours: 24,
            rollback: RollbackPolicy::default(),
            retry: RetryPolicy::default(),
            rate: RateLimits::default(),
            window: SendWindow::default(),
            overflow: OverflowPolicy::DropUntilFragmentStart,
            buffer_duration: None,
            session_duration: Duration::from_secs(40 * 60),
            last_ack_timeout: Duration::from_secs(5),
            handover: Handover::default(),
            received_limit: Some(Duration::from_secs(60)),
            max_latency: None,
            idle_timeout: Some(Duration::from_secs(20)),
            staleness: Some(Duration::from_secs(30)),
            paging: Paging::Off,
            seed: 0,
        }
    }
}

/// Everything that is decided about one stream.
#[derive(Debug)]
pub struct StreamMachine {
    config: MachineConfig,
    started: bool,

    // The way to an endpoint.
    step: Step,
    progress: Progress,
    arn: Option<String>,
    endpoint: Option<Url>,
    retention_hours: u32,
    is_tagged: bool,
    was_ready: bool,
    backoff: Backoff,

    // The window, and what is known of each fragment in it.
    view: ContentView,
    fragments: Fragments,
    next_seq: u64,
    /// The fragment whose metadata is being read.
    paging_in: Option<u64>,
    /// Items that are needed no longer but for a session that is about to read them.
    held_back: Vec<Range<u64>>,
    /// Items of the fragment now coming in are not kept, for this reason.
    skipping: Option<DropReason>,

    // The sessions, oldest first; the last may be the one that sends.
    sessions: VecDeque<Session>,
    next_session: u64,
    /// How many sessions in a row were given up because their last acknowledgement was late.
    late_last_acks: u32,
    /// The wait after sessions that ended well and delivered nothing.
    fruitless: Backoff,
    /// Everything is delivered and only the end of a response is awaited.
    is_parting: bool,
    /// An older session ended without its last acknowledgements while a younger one sends.
    is_rollback_due: bool,
    pacer: Pacer,
    last_item_at: Option<Instant>,
    /// The open fragment was closed because nothing came; the session ends once all is sent.
    is_idle: bool,

    stopping: Stopping,
    failure: Option<StreamError>,
    timers: TimerTable,
    outputs: VecDeque<Output>,
    counters: FrameCounters,
    sessions_counters: SessionCounters,
    last_persisted: Option<Timestamp>,
    latency_pressure: Pressure,
    buffer_pressure: Pressure,
}

impl StreamMachine {
    /// A machine that waits for [`Input::Start`].
    #[must_use]
    pub fn new(config: MachineConfig) -> Self {
        StreamMachine {
            started: false,
            step: Step::Describe,
            progress: Progress::Due,
            arn: None,
            endpoint: None,
            retention_hours: config.retention_hours,
            is_tagged: false,
            was_ready: false,
            backoff: Backoff::new(config.retry, config.seed),
            view: ContentView::new(fragment::view_limits(&config)),
            fragments: Fragments::default(),
            next_seq: 1,
            paging_in: None,
            held_back: Vec::new(),
            skipping: None,
            sessions: VecDeque::new(),
            next_session: 1,
            late_last_acks: 0,
            fruitless: Backoff::new(config.retry, config.seed.wrapping_add(1)),
            is_parting: false,
            is_rollback_due: false,
            pacer: Pacer::new(config.rate),
            last_item_at: None,
            is_idle: false,
            stopping: Stopping::No,
            failure: None,
            timers: TimerTable::default(),
            outputs: VecDeque::new(),
            counters: FrameCounters::default(),
            sessions_counters: SessionCounters::default(),
            last_persisted: None,
            latency_pressure: Pressure::Normal,
            buffer_pressure: Pressure::Normal,
            config,
        }
    }

    /// Takes what happened.
    ///
    /// After [`Output::Stopped`] nothing changes any more: what still arrives from a session is passed over.
    pub fn handle(&mut self, input: Input, now: Instant) {
        if self.stopping == Stopping::Done {
            return;
        }
        match input {
            Input::Start => self.started = true,
            Input::Backlog { fragments, next_seq } => self.take_backlog(fragments, next_seq),
            Input::PagedIn { first_seq, items } => self.paged_in(first_seq, items, now),
            Input::FragmentStart { timecode, tracks } => self.fragment_starts(timecode, tracks),
            Input::Item(meta) => self.item_arrived(meta, now),
            Input::FragmentEnd { tags } => self.fragment_ends(tags),
            Input::FragmentClosed => self.is_idle = true,
            Input::Dropped { pts, tally, reason } => self.never_an_item(pts, tally, reason),
            Input::MakeRoom { bytes } => self.make_room(bytes),
            Input::Unsendable { session, seq, error } => self.unsendable(session, seq, error, now),
            Input::Described(answer) => self.described(answer, now),
            Input::Created(answer) => self.created(answer, now),
            Input::Tagged(answer) => self.tagged(answer, now),
            Input::Located(answer) => self.located(answer, now),
            Input::SessionOpened(session) => self.session_opened(session, now),
            Input::Written { session, seq, bytes } => self.written(session, seq, bytes, now),
            Input::Acked { session, ack } => self.acked(session, ack, now),
            Input::SessionEnded { session, result } => self.session_ended(session, result, now),
            Input::ResetConnection => self.reset_connection(now),
            Input::DriverReplaced => self.driver_replaced(now),
            Input::ResetStream => self.reset_stream(now),
            Input::Stop { deadline } => self.stop(deadline),
        }
        self.advance(now);
    }

    /// Takes the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            match timer {
                Timer::Retry => self.progress = Progress::Due,
                // These only let the machine look again.
                Timer::Pace => {}
                Timer::Idle => self.fell_idle(now),
                Timer::Rollover => self.roll_over(now),
                Timer::LastAck => self.last_ack_is_late(now),
                Timer::Stale => self.check_staleness(now),
                Timer::Received => self.let_go_of_received(now),
                Timer::Stop => self.stop_deadline_passed(),
            }
        }
        self.advance(now);
    }

    /// Gives the next thing to be done, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The number of the next [`Input::Item`].
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Where the accepted frames are.
    #[must_use]
    pub fn frames(&self) -> &FrameCounters {
        &self.counters
    }

    /// What the sessions did.
    #[must_use]
    pub fn sessions(&self) -> &SessionCounters {
        &self.sessions_counters
    }

    /// The timecode of the latest fragment known to be persisted.
    #[must_use]
    pub fn last_persisted(&self) -> Option<Timestamp> {
        self.last_persisted
    }

    /// The failure that ended the stream, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<&StreamError> {
        self.failure.as_ref()
    }

    /// Which way the stream's life has come.
    #[must_use]
    pub fn state(&self) -> StreamState {
        use session::Phase;
        match (&self.stopping, self.step) {
            (Stopping::Done, _) => StreamState::Stopped,
            (Stopping::Draining, _) => StreamState::Draining,
            _ if !self.started => StreamState::New,
            (Stopping::No, step) if step != Step::Done => StreamState::Preparing,
            _ => match self.sending().map(|session| session.phase) {
                Some(Phase::Opening) => StreamState::Connecting,
                Some(_) => StreamState::Streaming,
                None => StreamState::Ready,
            },
        }
    }

    /// Does all that can be done now.
    fn advance(&mut self, now: Instant) {
        if !self.started || matches!(self.stopping, Stopping::Done) {
            return;
        }
        self.take_step();
        self.pump(now);
        // Opening a session may have found that the endpoint is to be asked for again.
        self.take_step();
        self.finish_stopping(now);
        self.watch_pressure();
        self.debug_check();
    }

    /// Whether the stream still works at delivering.
    fn is_alive(&self) -> bool {
        self.started && self.failure.is_none() && !matches!(self.stopping, Stopping::Done)
    }

    fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn report(&mut self, error: StreamError) {
        let error = error.on_stream(&self.config.stream);
        self.push(Output::Event(StreamEvent::Error(error)));
    }
}
