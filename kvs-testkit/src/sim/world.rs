//! The world that steps virtual time from event to event.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use kvs_actors::StreamState;
use kvs_actors::machine::{DropReason, Input, MachineConfig, Output, ServiceCall, SessionId, Tally};
use kvs_client::{ClientError, ClientErrorKind, StreamStatus};
use kvs_storage::{ItemFlags, ItemMeta, StoreError, StoreErrorKind};

use super::account::{Account, Flaw, flaw};
use super::camera::{Camera, Shown};
use super::clock::Clock;
use super::control;
use super::coverage::{Coverage, InputKind};
use super::doors::Doors;
use super::fault::{Episode, FaultKind};
use super::link::Link;
use super::recovery::{Outcome, Recovery};
use super::scenario::{STREAM, Scenario};
use super::seed::Dice;
use super::session::{Session, Stage};
use super::store::Store;
use super::verdict::{Finding, FindingKind, Verdict};
use crate::digest;
use crate::service::{ConnectionId, ErrorId, Service, SessionEnd, SessionLedger};

/// So many inputs at one moment, and the machine goes round in circles.
const MOST_STEPS_AT_ONCE: u32 = 50_000;

/// How long a connect may take, and a call until it is connected.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A lost SYN is sent again after this (RFC 6298, initial retransmission timeout).
pub(super) const SYN_AGAIN: Duration = Duration::from_secs(1);

/// The reason that the ledger gives for an error that a fault made the service send.
pub(super) const BY_SCRIPT: &str = "by the fault script";

/// How many lines of what happened go with a finding.
const TRAIL: usize = 60;

/// How long a stop may take where nothing is wrong.
const STOP_IN_PEACE: Duration = Duration::from_secs(600);

/// After the stop the world goes on for so long, to see that the machine doesn't.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Something that happens at its time.
#[derive(Debug)]
pub(super) enum Event {
    /// The camera gives a picture.
    Shoot,
    /// A session dials.
    Dial(SessionId),
    /// Something arrives on a session.
    Arrival(SessionId),
    /// A call reaches the service, or is given up at a time.
    Call { call: ServiceCall, until: Duration },
    /// The machine is told something.
    Tell(Input),
    /// The open fragment is closed as the machine asked.
    CloseFragment,
    /// A fault begins.
    Begin(Episode),
    /// A fault ends.
    End(FaultKind),
    /// The stream is to stop.
    Stop,
    /// Somebody looks.
    Look,
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct World<D> {
    seed: u64,
    pub(super) scenario: Scenario,
    doors: D,
    pub(super) clock: Clock,
    agenda: BTreeMap<(Duration, u64), Event>,
    events: u64,
    pub(super) service: Service,
    pub(super) link: Link,
    pub(super) store: Store,
    pub(super) camera: Option<Camera>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) connections: HashMap<ConnectionId, SessionId>,
    pub(super) account: Account,
    pub(super) dice: Dice,

    // What the camera's driver knows.
    is_fragment_open: bool,
    /// Frames of the fragment that began are not given, because its beginning was not.
    is_fragment_lost: bool,
    last_closed: u64,
    /// Frames were turned away one by one, before they came to the machine.
    pub(super) has_turned_frames_away: bool,

    // Faults.
    pub(super) active: Vec<FaultKind>,
    pub(super) faults: BTreeMap<FaultKind, u64>,
    pub(super) lose_percent: u32,
    pub(super) repeats: bool,
    recovery: Option<Recovery>,
    recoveries: u64,
    was_throttled: bool,

    // The end.
    stop_deadline: Option<Duration>,
    stopped_at: Option<Duration>,

    // What is looked at.
    last_open: Option<Duration>,
    pub(super) sessions_checked: usize,
    coverage: Coverage,
    steps_at_once: u32,
    trail: Option<VecDeque<String>>,
    pub(super) flaw: Option<Flaw>,
}

impl<D: Doors> World<D> {
    /// A world as the seed wants it. With `records` it keeps a trail of what happened, which costs time.
    pub(super) fn new(
        seed: u64,
        duration: Duration,
        records: Recording,
        build: impl FnOnce(MachineConfig) -> D,
    ) -> Self {
        let scenario = Scenario::new(seed, duration);
        let clock = Clock::new();
        let mut service = Service::new(scenario.service.clone());
        if scenario.exists {
            control::create(&mut service, STREAM, scenario.retention_hours, clock.service());
        }
        let config = scenario.machine.clone();
        World {
            seed,
            doors: build(config.clone()),
            agenda: BTreeMap::new(),
            events: 0,
            service,
            link: Link::new(Dice::new(seed, 3)),
            store: Store::new(scenario.budget),
            camera: Camera::new(Dice::new(seed, 4), clock.wall()),
            sessions: BTreeMap::new(),
            connections: HashMap::new(),
            account: Account::new(config.acks, config.retention_hours),
            dice: Dice::new(seed, 5),
            is_fragment_open: false,
            is_fragment_lost: false,
            last_closed: 0,
            has_turned_frames_away: false,
            active: Vec::new(),
            faults: BTreeMap::new(),
            lose_percent: 0,
            repeats: false,
            recovery: None,
            recoveries: 0,
            was_throttled: false,
            stop_deadline: None,
            stopped_at: None,
            last_open: None,
            sessions_checked: 0,
            coverage: Coverage::default(),
            steps_at_once: 0,
            trail: records.into_trail(),
            flaw: None,
            clock,
            scenario,
        }
    }

    /// Lives for so long, stops the stream, and says what was found.
    pub(super) fn run(mut self, duration: Duration) -> Verdict {
        for episode in self.scenario.episodes.clone() {
            self.at(episode.begins, Event::Begin(episode));
        }
        self.at(duration, Event::Stop);
        self.at(Duration::ZERO, Event::Shoot);
        self.tell(Input::Start);
        while self.flaw.is_none() && self.step() {}
        if self.flaw.is_none()
            && let Err(flaw) = self.check_end()
        {
            self.flaw = Some(flaw);
        }
        self.verdict(duration)
    }

    fn verdict(mut self, duration: Duration) -> Verdict {
        let machine = self.doors.machine();
        let at = self.clock.now();
        let is_cut = |session: &&SessionLedger| {
            matches!(&session.end, Some(SessionEnd::Error { id, reason })
                if *id == ErrorId::MAX_CONNECTION_DURATION_REACHED && reason != BY_SCRIPT)
        };
        let cut = self
            .service
            .ledger()
            .stream(STREAM)
            .sessions
            .iter()
            .filter(is_cut)
            .count();
        if cut > 0 {
            self.faults.insert(FaultKind::SessionCap, cut as u64);
        }
        Verdict {
            seed: self.seed,
            duration,
            frames: machine.frames().clone(),
            sessions: machine.sessions().clone(),
            faults: self.faults,
            recoveries: self.recoveries,
            coverage: self.coverage,
            finding: self.flaw.map(|flaw| Finding {
                kind: flaw.kind,
                at,
                text: flaw.text,
                trail: self.trail.take().into_iter().flatten().collect(),
            }),
        }
    }

    /// Plans something.
    pub(super) fn at(&mut self, time: Duration, event: Event) {
        self.events += 1;
        self.agenda.insert((time, self.events), event);
    }

    pub(super) fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.clock.now() + wait, event);
    }

    /// Notes the result of a check; the first flaw ends the run.
    pub(super) fn hold(&mut self, result: Result<(), Flaw>) {
        if let Err(flaw) = result
            && self.flaw.is_none()
        {
            self.flaw = Some(flaw);
        }
    }

    /// Goes to the next thing that happens; says whether there is any.
    fn step(&mut self) -> bool {
        let event_at = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let machine_at = self.doors.next_timeout().map(|due| self.clock.time_of(due));
        let service_at = self.service.next_timeout().map(Clock::time_of_service);
        let Some(next) = [event_at, machine_at, service_at].into_iter().flatten().min() else {
            return false;
        };
        if self.stopped_at.is_some_and(|stopped| next > stopped + AFTERMATH) {
            return false;
        }
        if next > self.clock.now() {
            self.clock.advance_to(next);
            self.steps_at_once = 0;
        }
        self.steps_at_once += 1;
        if self.steps_at_once > MOST_STEPS_AT_ONCE {
            self.hold(flaw(FindingKind::Spinning, "no end of steps at one moment"));
            return false;
        }
        let now = self.clock.now();
        if service_at.is_some_and(|at| at <= now) {
            self.service.advance(self.clock.service());
            self.serve();
        } else if machine_at.is_some_and(|at| at <= now) {
            self.time_passes();
        } else if let Some((_, event)) = self.agenda.pop_first() {
            self.happen(event);
        }
        self.watch();
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Shoot => self.shoot(),
            Event::Dial(id) => self.dial(id),
            Event::Arrival(id) => self.arrival(id),
            Event::Call { call, until } => self.call(call, until),
            Event::Tell(input) => self.tell(input),
            Event::CloseFragment => {
                self.end_fragment();
                if let Some(camera) = &mut self.camera {
                    camera.begin_fragment();
                }
                self.tell(Input::FragmentClosed);
            }
            Event::Begin(episode) => self.begin(episode),
            Event::End(kind) => self.end(kind),
            Event::Stop => self.stop(),
            Event::Look => {}
        }
    }

    // The machine.

    /// Tells the machine something and does what it says.
    pub(super) fn tell(&mut self, input: Input) {
        if self.flaw.is_some() {
            return;
        }
        self.coverage
            .note(self.doors.machine().state(), InputKind::of(&input));
        self.record(|| format!("> {input:?}"));
        self.prepare(&input);
        let now = self.clock.instant();
        self.doors.handle(input, now);
        self.obey();
    }

    fn time_passes(&mut self) {
        self.coverage
            .note(self.doors.machine().state(), InputKind::Timeout);
        self.record(|| "> time passes".to_owned());
        let now = self.clock.instant();
        self.doors.handle_timeout(now);
        self.obey();
    }

    /// Notes in the account what the machine is about to hear.
    fn prepare(&mut self, input: &Input) {
        // A machine that has stopped passes over what still arrives.
        if self.stopped_at.is_some() {
            return;
        }
        match input {
            Input::Acked { session, ack } => {
                let confirmed = self.account.acknowledge(*session, ack);
                if let (Some(items), Some(units)) = (confirmed, ack.timecode) {
                    let nth = self.sessions.get(session).map_or(0, |session| session.nth);
                    let ledger = self.service.ledger().stream(STREAM);
                    let index = usize::try_from(nth).unwrap_or(0).wrapping_sub(1);
                    let compared = self.account.compare(&items, units, ledger.sessions.get(index));
                    self.hold(compared);
                }
                if let Some(error) = &ack.error {
                    let reaction = kvs_actors::machine::reaction_to(error.id, error.code.as_deref());
                    let waits_long = reaction.next == kvs_actors::machine::NextStep::Redescribe;
                    self.failed(waits_long);
                }
            }
            Input::Described(Ok(info)) => {
                self.account.retention_hours = info.retention_hours;
                if info.status != StreamStatus::Active {
                    self.failed(false);
                }
            }
            Input::Described(Err(error))
            | Input::Created(Err(error))
            | Input::Tagged(Err(error))
            | Input::Located(Err(error))
            | Input::SessionEnded {
                result: Err(error), ..
            } => {
                let is_throttle = error.is_throttle();
                self.failed(is_throttle);
            }
            Input::Unsendable { .. } => self.failed(false),
            _ => {}
        }
    }

    fn failed(&mut self, is_throttle: bool) {
        self.was_throttled = is_throttle;
        let now = self.clock.now();
        if let Some(recovery) = &mut self.recovery {
            recovery.failed(now, is_throttle);
        }
    }

    /// Does what the machine says until it says nothing more, and looks whether all holds.
    fn obey(&mut self) {
        let mut has_ops = false;
        while let Some(output) = self.doors.poll() {
            self.record(|| format!("< {output:?}"));
            if self.stopped_at.is_some() {
                let text = format!("after the stop came {output:?}");
                return self.hold(flaw(FindingKind::NotStopped, text));
            }
            let noted = self.account.note(&output);
            self.hold(noted);
            has_ops |= matches!(output, Output::Send { .. } | Output::Finish(_));
            self.perform(output);
        }
        let machine = self.doors.machine();
        if let Err(violation) = machine.check() {
            return self.hold(flaw(FindingKind::Invariant, violation.to_string()));
        }
        let settled = self.account.settle(machine.frames(), self.store.held());
        self.hold(settled);
        if has_ops {
            self.write_all();
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Call(call) => {
                let until = self.clock.now() + CONNECT_TIMEOUT;
                let travel = self.link.travel();
                self.after(travel, Event::Call { call, until });
            }
            Output::Open(plan) => self.open(plan),
            Output::Send { session, op } => {
                // Steps for a session that ended meanwhile go nowhere.
                if let Some(session) = self.sessions.get_mut(&session)
                    && session.is_live()
                {
                    session.push(op);
                }
            }
            Output::Finish(session) => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.finish();
                }
            }
            Output::Abort(session) => self.abort(session),
            Output::Release { seqs } => {
                for seq in seqs {
                    if !self.store.release(seq) {
                        let text = format!("item {seq} is released and not there");
                        return self.hold(flaw(FindingKind::Store, text));
                    }
                }
            }
            Output::PageIn { seqs } => {
                let items = if self.dice.percent(self.store.read_failures) {
                    Err(StoreError::new(StoreErrorKind::Io))
                } else {
                    Ok(self.store.metas(&seqs))
                };
                let paged_in = Input::PagedIn {
                    first_seq: seqs.start,
                    items,
                };
                let wait = self.dice.millis(0, 5);
                self.after(wait, Event::Tell(paged_in));
            }
            Output::CloseFragment => self.after(Duration::ZERO, Event::CloseFragment),
            Output::Stopped => {
                self.stopped_at = Some(self.clock.now());
                if self.stop_deadline.is_none() {
                    self.hold(flaw(FindingKind::NotStopped, "stopped without being asked"));
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, plan: kvs_actors::machine::SessionPlan) {
        let now = self.clock.now();
        let spacing = self.scenario.machine.retry.connect_spacing;
        if let Some(last) = self.last_open
            && now < last + spacing
        {
            let text = format!("a connect {:?} after the last", now - last);
            self.hold(flaw(FindingKind::ConnectSpacing, text));
        }
        self.last_open = Some(now);
        if self.sessions.values().any(Session::takes_media) {
            self.hold(flaw(
                FindingKind::TwoSessions,
                "a session is opened beside one that takes media",
            ));
        }
        self.sessions
            .retain(|_, session| session.is_live() || session.connection.is_some() || session.nth == 0);
        let id = plan.session;
        let until = now + CONNECT_TIMEOUT;
        match Session::new(plan, self.scenario.machine.scale, until) {
            Ok(session) => {
                self.sessions.insert(id, session);
                // TCP's handshake, then that of TLS.
                let handshakes = self.link.travel() * 4;
                self.after(handshakes, Event::Dial(id));
            }
            Err(error) => self.hold(flaw(
                FindingKind::Wire,
                format!("session {id} can't be muxed: {error}"),
            )),
        }
    }

    fn abort(&mut self, id: SessionId) {
        // What the uploader said before it heard of the end is still in the mailbox.
        let grace = if self.dice.percent(40) {
            self.dice.millis(0, 30)
        } else {
            Duration::ZERO
        };
        let news_until = self.clock.now() + grace;
        self.hang_up(id, Stage::Abandoned { news_until });
    }

    /// A control plane call is under way.
    fn call(&mut self, call: ServiceCall, until: Duration) {
        let now = self.clock.now();
        let unreachable = if self.link.is_black {
            if now < until {
                let again = SYN_AGAIN.min(until - now);
                return self.after(again, Event::Call { call, until });
            }
            Some(ClientErrorKind::Timeout)
        } else if self.link.refuses {
            Some(ClientErrorKind::Connect)
        } else {
            None
        };
        let answer = match unreachable {
            Some(kind) => control::failed(&call, ClientError::new(kind, "no answer")),
            None => {
                let is_in_time = self.clock.signs_in_time();
                let now = self.clock.service();
                let answer = control::answer(&mut self.service, &call, STREAM, is_in_time, now);
                self.serve();
                answer
            }
        };
        let travel = self.link.travel();
        self.after(travel, Event::Tell(answer));
    }

    // Media.

    fn shoot(&mut self) {
        if self.stop_deadline.is_some() || self.doors.machine().failure().is_some() {
            return;
        }
        let Some(camera) = &mut self.camera else { return };
        let interval = camera.interval();
        if camera.is_silent {
            return self.after(interval, Event::Shoot);
        }
        let shot = camera.shoot();
        if let Some((timecode, tracks)) = shot.fragment {
            self.end_fragment();
            self.account.begin_fragment(timecode);
            self.is_fragment_open = true;
            self.is_fragment_lost = false;
            self.tell(Input::FragmentStart { timecode, tracks });
        }
        for frame in shot.frames {
            self.give(frame);
        }
        self.after(interval, Event::Shoot);
    }

    /// Puts a frame, as an application would: into the store if there is room for it, then to the machine.
    fn give(&mut self, frame: Shown) {
        if self.is_fragment_lost || self.flaw.is_some() {
            return;
        }
        let lacking = self.store.lacks(frame.payload.len());
        if lacking > 0 {
            self.tell(Input::MakeRoom { bytes: lacking });
        }
        if self.store.lacks(frame.payload.len()) > 0 {
            // It was not accepted; the application waits for the next key frame.
            self.is_fragment_lost = true;
            self.has_turned_frames_away = true;
            return;
        }
        if self.store.append_failures > 0 && self.dice.percent(self.store.append_failures) {
            self.account.never_an_item();
            self.has_turned_frames_away = true;
            return self.tell(Input::Dropped {
                pts: frame.pts,
                tally: Tally::frame(frame.payload.len() as u64),
                reason: DropReason::StoreFailure,
            });
        }
        self.store_and_tell(frame);
    }

    fn store_and_tell(&mut self, frame: Shown) {
        let seq = self.doors.machine().next_seq();
        let mut flags = ItemFlags::NONE;
        if frame.is_key {
            flags.insert(ItemFlags::KEY);
        }
        if self.account.is_first_of_fragment() && frame.track == 1 {
            flags.insert(ItemFlags::FRAGMENT_START);
        }
        self.account.accept(digest(&frame.payload));
        let meta = ItemMeta {
            seq,
            pts: frame.pts.as_nanos(),
            dts: frame.pts.as_nanos(),
            duration: 0,
            track: frame.track,
            flags,
            len: u32::try_from(frame.payload.len()).unwrap_or(u32::MAX),
        };
        self.store.append(meta, frame.payload);
        self.tell(Input::Item(meta));
    }

    fn end_fragment(&mut self) {
        if std::mem::take(&mut self.is_fragment_open) {
            let tags = self.camera.as_mut().map(Camera::tags).unwrap_or_default();
            self.tell(Input::FragmentEnd { tags });
            self.last_closed = self.doors.machine().next_seq() - 1;
        }
    }

    // The end of faults, and of the stream.

    /// All faults are over: the stream has to be well soon.
    pub(super) fn begin_recovery(&mut self) {
        let machine = self.doors.machine();
        if machine.failure().is_some() || self.stop_deadline.is_some() {
            return;
        }
        let held = machine.frames().buffered.frames;
        let now = self.clock.now();
        self.recovery = Some(Recovery::begin(now, self.was_throttled, held, self.last_closed));
    }

    /// A fault begins before the stream was seen well.
    pub(super) fn break_recovery(&mut self) {
        self.recovery = None;
    }

    fn watch(&mut self) {
        let machine = self.doors.machine();
        let now = self.clock.now();
        if let Some(deadline) = self.stop_deadline
            && self.stopped_at.is_none()
            && now > deadline
        {
            let text = format!("not stopped at its deadline, {:?}", machine.state());
            return self.hold(flaw(FindingKind::NotStopped, text));
        }
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        if machine.failure().is_some() {
            self.recovery = None;
            return;
        }
        let is_streaming = machine.state() == StreamState::Streaming;
        let is_wanted = machine.frames().buffered.frames > 0;
        match recovery.look(now, is_streaming, is_wanted) {
            Outcome::Waiting => {}
            Outcome::Late => {
                let text = format!("{:?} and not streaming", machine.state());
                self.hold(flaw(FindingKind::NotRecovered, text));
            }
            Outcome::Due => {
                let first = self.account.first_held(recovery.last_item);
                self.recovery = None;
                self.recoveries += 1;
                if let Some(seq) = first {
                    let text = format!("item {seq} is still held");
                    self.hold(flaw(FindingKind::NotDelivered, text));
                }
                self.check_refusals();
            }
        }
    }

    fn stop(&mut self) {
        let patience = if self.scenario.stops_in_trouble {
            self.dice.seconds(5, 20)
        } else {
            for kind in self.active.clone() {
                self.end(kind);
            }
            self.agenda
                .retain(|_, event| !matches!(event, Event::Begin(_) | Event::End(_)));
            self.heal();
            STOP_IN_PEACE
        };
        self.break_recovery();
        self.end_fragment();
        let deadline = self.clock.now() + patience;
        self.stop_deadline = Some(deadline);
        self.at(deadline + Duration::from_millis(1), Event::Look);
        let deadline = self.clock.instant() + patience;
        self.tell(Input::Stop { deadline });
    }

    fn check_end(&mut self) -> Result<(), Flaw> {
        if self.stopped_at.is_none() {
            return flaw(FindingKind::NotStopped, "never stopped");
        }
        let machine = self.doors.machine();
        if self.doors.next_timeout().is_some() {
            return flaw(FindingKind::NotStopped, "a timer is armed after the stop");
        }
        if self.sessions.values().any(Session::is_live) {
            return flaw(FindingKind::NotStopped, "a session is open after the stop");
        }
        let buffered = machine.frames().buffered.frames;
        let in_peace = !self.scenario.stops_in_trouble && machine.failure().is_none();
        if in_peace && buffered > 0 {
            return flaw(
                FindingKind::NotDelivered,
                format!("{buffered} frames held after a stop in peace"),
            );
        }
        if in_peace && self.store.held() > 0 {
            return flaw(
                FindingKind::Store,
                format!("{} items in the store after a stop in peace", self.store.held()),
            );
        }
        self.check_refusals();
        if self.flaw.is_some() || machine_acks_off(&self.scenario) {
            return Ok(());
        }
        let ledger = self.service.ledger().stream(STREAM);
        let arrived: HashSet<u64> = ledger
            .delivered()
            .flat_map(|fragment| fragment.frames.iter().map(|frame| frame.digest))
            .collect();
        self.account.compare_all(|digest| arrived.contains(&digest))
    }

    fn record(&mut self, line: impl FnOnce() -> String) {
        if let Some(trail) = &mut self.trail {
            let now = self.clock.now();
            let mut line = line();
            line.truncate(line.floor_char_boundary(240));
            trail.push_back(format!("{:.6} {line}", now.as_secs_f64()));
            if trail.len() > TRAIL {
                trail.pop_front();
            }
        }
    }

    pub(super) fn note_event(&mut self, line: impl FnOnce() -> String) {
        self.record(line);
    }
}

fn machine_acks_off(scenario: &Scenario) -> bool {
    scenario.machine.acks == kvs_client::AckMode::Off
}

/// Whether a run keeps a trail of what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recording {
    Off,
    On,
}

impl Recording {
    fn into_trail(self) -> Option<VecDeque<String>> {
        (self == Recording::On).then(VecDeque::new)
    }
}
