//! The account of every frame, kept apart from the machine's own: what was given to it, what it sent, what was acknowledged
//! to it and what it let go.

use std::collections::BTreeMap;
use std::ops::Range;

use kvs_actors::StreamEvent;
use kvs_actors::machine::{FrameCounters, Output, SendOp, SessionId, Tally};
use kvs_client::{Ack, AckEvent, AckMode};
use kvs_mkv::Timestamp;
use kvs_storage::{ItemFlags, ItemMeta};

use super::verdict::FindingKind;
use crate::service::{FragmentLedger, SessionLedger};

/// Something that doesn't hold.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) kind: FindingKind,
    pub(super) text: String,
}

/// Says that something doesn't hold.
pub(super) fn flaw<T>(kind: FindingKind, text: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw {
        kind,
        text: text.into(),
    })
}

/// What became of a frame that left the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Held,
    Delivered,
    Dropped,
    Refused,
    Unconfirmed,
}

#[derive(Debug)]
struct FrameNote {
    fragment: usize,
    digest: u64,
    /// Its last acknowledgement was handed to the machine.
    is_confirmed: bool,
    fate: Fate,
}

#[derive(Debug)]
struct FragmentNote {
    timecode: Timestamp,
    /// Its end was handed to some session.
    is_complete: bool,
}

/// A fragment on the wire of one session.
#[derive(Debug)]
struct Wire {
    timecode: Timestamp,
    /// What the muxer made of the timecode, and acknowledgements call it.
    units: Option<i64>,
    items: Vec<u64>,
    is_complete: bool,
}

#[derive(Debug, Default)]
struct WireSession {
    fragments: Vec<Wire>,
    is_finished: bool,
}

/// What happened within one step of the machine.
#[derive(Debug, Default)]
struct Step {
    released: Vec<Range<u64>>,
    reported: Tally,
    refused: Vec<Timestamp>,
    /// Frames that never became items.
    never: u64,
    /// Frames that this step's acknowledgement delivers, and how many of those had been given up as unconfirmed.
    delivers: u64,
    delivers_late: u64,
}

/// The counters of the machine after the step before.
#[derive(Debug, Default, Clone, Copy)]
struct Before {
    delivered: u64,
    dropped: u64,
    refused: u64,
    unconfirmed: u64,
}

/// The account.
#[derive(Debug)]
pub(super) struct Account {
    acks: AckMode,
    /// By number, from 1.
    frames: Vec<FrameNote>,
    fragments: Vec<FragmentNote>,
    sessions: BTreeMap<SessionId, WireSession>,
    /// A frame of the newest fragment was accepted.
    has_begun: bool,
    accepted: u64,
    /// Confirmed, and still in the store.
    lingering: u64,
    step: Step,
    before: Before,
    /// As the machine was told it.
    pub(super) retention_hours: u32,
}

impl Account {
    pub(super) fn new(acks: AckMode, retention_hours: u32) -> Self {
        Account {
            acks,
            frames: Vec::new(),
            fragments: Vec::new(),
            sessions: BTreeMap::new(),
            has_begun: false,
            accepted: 0,
            lingering: 0,
            step: Step::default(),
            before: Before::default(),
            retention_hours,
        }
    }

    // What is given to the machine.

    pub(super) fn begin_fragment(&mut self, timecode: Timestamp) {
        self.fragments.push(FragmentNote {
            timecode,
            is_complete: false,
        });
        self.has_begun = false;
    }

    /// Whether no frame of the newest fragment was accepted.
    pub(super) fn is_first_of_fragment(&self) -> bool {
        !self.has_begun
    }

    pub(super) fn accept(&mut self, digest: u64) {
        self.has_begun = true;
        self.accepted += 1;
        self.frames.push(FrameNote {
            fragment: self.fragments.len().saturating_sub(1),
            digest,
            is_confirmed: false,
            fate: Fate::Held,
        });
    }

    pub(super) fn never_an_item(&mut self) {
        self.has_begun = true;
        self.accepted += 1;
        self.step.never += 1;
    }

    /// An acknowledgement is about to be handed over. Returns the items that it is the last word on.
    pub(super) fn acknowledge(&mut self, session: SessionId, ack: &Ack) -> Option<Vec<u64>> {
        let is_last = match ack.event {
            AckEvent::Persisted => true,
            AckEvent::Received => self.retention_hours == 0,
            _ => false,
        };
        let units = ack.timecode.filter(|_| is_last)?;
        let wires = &self.sessions.get(&session)?.fragments;
        let wire = wires.iter().rev().find(|wire| wire.units == Some(units))?;
        if !wire.is_complete {
            return None;
        }
        for seq in &wire.items {
            let Some(note) = note_mut(&mut self.frames, *seq) else {
                continue;
            };
            if note.is_confirmed {
                continue;
            }
            match note.fate {
                Fate::Held => {
                    note.is_confirmed = true;
                    self.lingering += 1;
                    self.step.delivers += 1;
                }
                Fate::Unconfirmed => {
                    note.is_confirmed = true;
                    note.fate = Fate::Delivered;
                    self.step.delivers += 1;
                    self.step.delivers_late += 1;
                }
                Fate::Delivered | Fate::Dropped | Fate::Refused => {}
            }
        }
        Some(wire.items.clone())
    }

    // What the machine says.

    /// Notes an output of the machine.
    pub(super) fn note(&mut self, output: &Output) -> Result<(), Flaw> {
        match output {
            Output::Open(plan) => {
                self.sessions.insert(plan.session, WireSession::default());
            }
            Output::Send { session, op } => self.sent(*session, op)?,
            Output::Finish(session) => self.finished(*session)?,
            Output::Release { seqs } => self.step.released.push(seqs.clone()),
            Output::Event(StreamEvent::Dropped { tally, .. }) => self.step.reported.add(*tally),
            Output::Event(StreamEvent::FragmentRefused { timecode, .. }) => self.step.refused.push(*timecode),
            _ => {}
        }
        Ok(())
    }

    fn sent(&mut self, session: SessionId, op: &SendOp) -> Result<(), Flaw> {
        let wrong = |text: String| flaw(FindingKind::Wire, format!("session {session}: {text}"));
        let Some(wire) = self.sessions.get_mut(&session) else {
            return wrong("a step of sending before it was opened".to_owned());
        };
        if wire.is_finished {
            return wrong("a step of sending after its end".to_owned());
        }
        match op {
            SendOp::Fragment { timecode } => {
                if let Some(last) = wire.fragments.last()
                    && last.timecode >= *timecode
                {
                    return wrong(format!(
                        "a fragment at {timecode:?} after the one at {:?}",
                        last.timecode
                    ));
                }
                self.complete(session)?;
                if let Some(wire) = self.sessions.get_mut(&session) {
                    wire.fragments.push(Wire {
                        timecode: *timecode,
                        units: None,
                        items: Vec::new(),
                        is_complete: false,
                    });
                }
                Ok(())
            }
            SendOp::Item { meta } => self.item_sent(session, meta),
            SendOp::Tags(_) => match wire.fragments.last() {
                Some(open) if !open.is_complete && !open.items.is_empty() => Ok(()),
                _ => wrong("metadata outside of a fragment".to_owned()),
            },
            SendOp::EndOfFragment => self.complete(session),
            _ => wrong(format!("an unknown step {op:?}")),
        }
    }

    fn item_sent(&mut self, session: SessionId, meta: &ItemMeta) -> Result<(), Flaw> {
        let wrong = |text: String| flaw(FindingKind::Wire, format!("session {session}: {text}"));
        let open = self
            .sessions
            .get_mut(&session)
            .and_then(|wire| wire.fragments.last_mut());
        let Some(wire) = open.filter(|wire| !wire.is_complete) else {
            return wrong(format!("item {} outside of a fragment", meta.seq));
        };
        let Some(note) = note_mut(&mut self.frames, meta.seq) else {
            return wrong(format!("item {} was never given", meta.seq));
        };
        if note.fate != Fate::Held {
            return wrong(format!("item {} is {:?} and sent", meta.seq, note.fate));
        }
        if self.fragments[note.fragment].timecode != wire.timecode {
            return wrong(format!("item {} in another's fragment", meta.seq));
        }
        match wire.items.last() {
            Some(last) if *last >= meta.seq => {
                return wrong(format!("item {} after item {last}", meta.seq));
            }
            Some(_) => {}
            None if !meta.flags.contains(ItemFlags::KEY) => {
                return wrong(format!("a fragment begins with item {}, no key frame", meta.seq));
            }
            None if note.is_confirmed => {
                let text = format!("the fragment at {:?} was delivered", wire.timecode);
                return flaw(FindingKind::SentAgain, text);
            }
            None => {}
        }
        wire.items.push(meta.seq);
        Ok(())
    }

    /// The fragment under way has its end.
    fn complete(&mut self, session: SessionId) -> Result<(), Flaw> {
        let open = self
            .sessions
            .get_mut(&session)
            .and_then(|wire| wire.fragments.last_mut());
        let Some(wire) = open.filter(|wire| !wire.is_complete) else {
            return Ok(());
        };
        wire.is_complete = true;
        let Some(note) = wire.items.last().and_then(|seq| note_mut(&mut self.frames, *seq)) else {
            let text = format!("session {session}: a fragment without items");
            return flaw(FindingKind::Wire, text);
        };
        self.fragments[note.fragment].is_complete = true;
        Ok(())
    }

    fn finished(&mut self, session: SessionId) -> Result<(), Flaw> {
        let Some(wire) = self.sessions.get_mut(&session) else {
            return flaw(
                FindingKind::Wire,
                format!("session {session}: ended before it was opened"),
            );
        };
        if wire.fragments.last().is_some_and(|last| !last.is_complete) {
            return flaw(
                FindingKind::Wire,
                format!("session {session}: ended within a fragment"),
            );
        }
        wire.is_finished = true;
        Ok(())
    }

    /// The muxer has given the next fragment of a session its timecode.
    pub(super) fn muxed(&mut self, session: SessionId, units: i64) {
        let next = self
            .sessions
            .get_mut(&session)
            .and_then(|wire| wire.fragments.iter_mut().find(|wire| wire.units.is_none()));
        if let Some(wire) = next {
            wire.units = Some(units);
        }
    }

    // What has to hold.

    /// Compares the machine's counters with what happened in the step. `held` is what the store holds.
    pub(super) fn settle(&mut self, counters: &FrameCounters, held: u64) -> Result<(), Flaw> {
        let step = std::mem::take(&mut self.step);
        let (mut dropped, mut refused, mut unconfirmed, mut delivered) = (step.never, 0, 0, 0);
        for seq in step.released.iter().cloned().flatten() {
            let Some(note) = note_mut(&mut self.frames, seq) else {
                return flaw(
                    FindingKind::Store,
                    format!("item {seq} was never given and is released"),
                );
            };
            if note.fate != Fate::Held {
                return flaw(
                    FindingKind::Store,
                    format!("item {seq} is {:?} and released", note.fate),
                );
            }
            let fragment = &self.fragments[note.fragment];
            let (fate, count) = if note.is_confirmed {
                self.lingering -= 1;
                (Fate::Delivered, &mut delivered)
            } else if step.refused.contains(&fragment.timecode) {
                (Fate::Refused, &mut refused)
            } else if fragment.is_complete {
                (Fate::Unconfirmed, &mut unconfirmed)
            } else {
                (Fate::Dropped, &mut dropped)
            };
            note.fate = fate;
            *count += 1;
        }
        let before = std::mem::replace(&mut self.before, Before::of(counters));
        let after = self.before;
        let wrong = |text: String| flaw(FindingKind::Conservation, text);
        if counters.accepted.frames != self.accepted {
            return wrong(format!(
                "{} frames were accepted, {} are counted",
                self.accepted, counters.accepted.frames
            ));
        }
        let counted = after.dropped - before.dropped;
        if counted != dropped {
            return wrong(format!("{counted} frames count as dropped, {dropped} are gone"));
        }
        if step.reported.frames != counted {
            let reported = step.reported.frames;
            return wrong(format!(
                "{counted} frames count as dropped, {reported} were reported"
            ));
        }
        let counted = after.refused - before.refused;
        if counted != refused {
            return wrong(format!("{counted} frames count as refused, {refused} are gone"));
        }
        // What was written counts as delivered, and nobody says so.
        if self.acks == AckMode::Off {
            return Ok(());
        }
        let counted = after.delivered - before.delivered;
        if counted != step.delivers {
            let delivers = step.delivers;
            return wrong(format!(
                "{counted} frames count as delivered, {delivers} were acknowledged"
            ));
        }
        if before.unconfirmed + unconfirmed != after.unconfirmed + step.delivers_late {
            return wrong(format!(
                "{} frames count as unconfirmed after {}; {unconfirmed} are gone, {} came late",
                after.unconfirmed, before.unconfirmed, step.delivers_late
            ));
        }
        if held != counters.buffered.frames + self.lingering {
            return wrong(format!(
                "the store holds {held} items; {} are buffered and {} delivered and not yet released",
                counters.buffered.frames, self.lingering
            ));
        }
        Ok(())
    }

    /// Compares what a session sent with what the service wrote down.
    pub(super) fn compare(
        &self,
        items: &[u64],
        units: i64,
        session: Option<&SessionLedger>,
    ) -> Result<(), Flaw> {
        let missing = || {
            flaw(
                FindingKind::Delivery,
                format!("the service has no fragment at {units}"),
            )
        };
        let Some(session) = session else { return missing() };
        let found = session
            .fragments
            .binary_search_by_key(&units, |fragment| fragment.timecode);
        let Some(fragment) = found.ok().and_then(|index| session.fragments.get(index)) else {
            return missing();
        };
        if !fragment.state.is_delivered() {
            let state = fragment.state;
            return flaw(
                FindingKind::Delivery,
                format!("the fragment at {units} is acknowledged and {state:?}"),
            );
        }
        if !self.is_same(items, fragment) {
            return flaw(
                FindingKind::Delivery,
                format!("the fragment at {units} has other frames at the service"),
            );
        }
        Ok(())
    }

    fn is_same(&self, items: &[u64], fragment: &FragmentLedger) -> bool {
        let sent = items.iter().map(|seq| self.note_of(*seq).map(|note| note.digest));
        let arrived = fragment.frames.iter().map(|frame| Some(frame.digest));
        sent.eq(arrived)
    }

    /// Compares where every frame is, at the end, with what arrived: `has_arrived` says whether the service has it.
    pub(super) fn compare_all(&self, has_arrived: impl Fn(u64) -> bool) -> Result<(), Flaw> {
        for (index, note) in self.frames.iter().enumerate() {
            let arrived = has_arrived(note.digest);
            let seq = index + 1;
            if note.is_confirmed && !arrived {
                return flaw(
                    FindingKind::Delivery,
                    format!("item {seq} is delivered and did not arrive"),
                );
            }
            if note.fate == Fate::Dropped && arrived {
                return flaw(
                    FindingKind::Delivery,
                    format!("item {seq} was reported as dropped unsent and arrived"),
                );
            }
        }
        Ok(())
    }

    /// The first item up to this one that is still held and not delivered.
    pub(super) fn first_held(&self, last: u64) -> Option<u64> {
        let last = usize::try_from(last).unwrap_or(usize::MAX).min(self.frames.len());
        let first = self.frames[..last]
            .iter()
            .position(|note| note.fate == Fate::Held && !note.is_confirmed)?;
        Some(first as u64 + 1)
    }

    fn note_of(&self, seq: u64) -> Option<&FrameNote> {
        self.frames.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }
}

impl Before {
    fn of(counters: &FrameCounters) -> Self {
        Before {
            delivered: counters.delivered.frames,
            dropped: counters.dropped_total().frames,
            refused: counters.refused.frames,
            unconfirmed: counters.unconfirmed.frames,
        }
    }
}

fn note_mut(frames: &mut [FrameNote], seq: u64) -> Option<&mut FrameNote> {
    frames.get_mut(usize::try_from(seq.checked_sub(1)?).ok()?)
}
