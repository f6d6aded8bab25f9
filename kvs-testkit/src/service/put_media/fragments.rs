//! From the events of a body to fragments that are received and stored.

use std::time::Duration;

use kvs_mkv::{Block, SimpleTag, Timestamp};

use super::session::{Current, Phase, Session};
use crate::service::Service;
use crate::service::ack::{Ack, AckEvent};
use crate::service::config::RepeatRule;
use crate::service::digest::digest;
use crate::service::ingest::IngestEvent;
use crate::service::ledger::{AckLedger, FragmentLedger, FragmentState, FrameLedger, TagLedger, TrackLedger};
use crate::service::media::Fragment;
use crate::service::rule::{IngestRule, Violation};
use crate::service::script::Moment;
use crate::service::timer::{Due, FragmentRef};

impl Service {
    pub(super) fn digest_body(&mut self, session: &mut Session, now: Timestamp) {
        while session.phase == Phase::Open {
            match session.ingest.poll() {
                Ok(Some(event)) => self.ingested(session, event, now),
                Ok(None) => break,
                Err(violation) => self.violated(session, &violation, now),
            }
        }
    }

    pub(super) fn ingested(&mut self, session: &mut Session, event: IngestEvent, now: Timestamp) {
        match event {
            IngestEvent::Header(header) => {
                if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
                    entry.timecode_scale_ns = Some(header.scale.as_nanos());
                    entry.tracks = header.tracks.iter().map(TrackLedger::from).collect();
                }
                session.header = Some(header);
            }
            IngestEvent::FragmentStart { timecode, producer } => {
                self.begin_fragment(session, timecode, producer, now);
            }
            IngestEvent::Frame(block) => self.take_frame(session, block),
            IngestEvent::Tags(tags) => self.take_tags(session, tags),
            IngestEvent::FragmentEnd { bytes, duration } => {
                self.finish_fragment(session, bytes, duration, now);
            }
        }
    }

    pub(super) fn begin_fragment(
        &mut self,
        session: &mut Session,
        timecode: i64,
        producer: Timestamp,
        now: Timestamp,
    ) {
        let number = self.next_fragment_number();
        let seen = self.producer_times.entry(session.stream.clone()).or_default();
        let repeat_of = seen.get(&producer).copied();
        session.fragments += 1;
        if let Some(quotas) = &self.config.quotas
            && let Err(until) = session.fragment_rate.note(quotas.fragments, now)
        {
            session.reads_from = Some(until);
            self.timers.set(until, Due::Resume(session.id));
        }
        session.current = Some(Current {
            number,
            timecode,
            producer,
            server: now,
            blocks: Vec::new(),
            tags: Vec::new(),
        });
        let fragment = FragmentLedger {
            number: number.to_string(),
            timecode,
            producer_timestamp_ms: producer.as_millis(),
            server_timestamp_ms: now.as_millis(),
            duration_ms: 0,
            bytes: 0,
            state: FragmentState::Open,
            tracks: Default::default(),
            frames: Vec::new(),
            frames_let_go: false,
            tags: Vec::new(),
            acks: Vec::new(),
            repeat_of: repeat_of.map(|number| number.to_string()),
        };
        if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
            entry.fragments.push(fragment);
        }
        self.fragment_entered(&session.stream);
        if repeat_of.is_some() && self.config.repeat_rule == RepeatRule::Refuse {
            let detail = format!("the fragment at {timecode} came before");
            return self.violated(session, &Violation::new(IngestRule::NoRepeat, detail), now);
        }
        self.ack_current(session, AckEvent::Buffering, None, now);
        self.fire(session, Moment::OnFragment(session.fragments), now);
    }

    pub(super) fn take_frame(&mut self, session: &mut Session, block: Block) {
        let frame = FrameLedger {
            track: block.track,
            key: block.key,
            len: u32::try_from(block.data.len()).unwrap_or(u32::MAX),
            timecode: block.timecode,
            digest: digest(&block.data),
        };
        if let Some(fragment) = self.ledger.last_fragment_mut(&session.stream, session.ledger) {
            let totals = fragment.tracks.entry(block.track).or_default();
            totals.frames += 1;
            totals.bytes += u64::from(frame.len);
            fragment.frames.push(frame);
        }
        if let Some(current) = &mut session.current {
            current.blocks.push(block);
        }
    }

    pub(super) fn take_tags(&mut self, session: &mut Session, tags: Vec<SimpleTag>) {
        let tags = tags.into_iter().map(|tag| TagLedger {
            name: tag.name,
            value: tag.value,
        });
        match &mut session.current {
            Some(current) => {
                current.tags.extend(tags.clone());
                if let Some(fragment) = self.ledger.last_fragment_mut(&session.stream, session.ledger) {
                    fragment.tags.extend(tags);
                }
            }
            None => {
                if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
                    entry.leading_tags.extend(tags);
                }
            }
        }
    }

    pub(super) fn finish_fragment(
        &mut self,
        session: &mut Session,
        bytes: u64,
        duration: Duration,
        now: Timestamp,
    ) {
        let duration_ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let mut ordinal = 0;
        let mut frames = 0;
        if let Some(entry) = self.ledger.session_mut(&session.stream, session.ledger) {
            let entered = entry.fragments_let_go + entry.fragments.len() as u64;
            ordinal = entered.saturating_sub(1);
        }
        if let Some(fragment) = self.ledger.last_fragment_mut(&session.stream, session.ledger) {
            fragment.bytes = bytes;
            fragment.duration_ms = duration_ms;
            fragment.state = FragmentState::Received;
            frames = fragment.frames.len();
        }
        self.ledger.count_received(&session.stream, session.ledger);
        self.ack_current(session, AckEvent::Received, None, now);
        let Some(current) = session.current.take() else {
            return;
        };
        let times = self.producer_times.entry(session.stream.clone()).or_default();
        times.entry(current.producer).or_insert(current.number);
        while times.len() > self.config.ledger_fragments {
            times.pop_first();
        }
        if let Some(header) = &session.header {
            let mut fragment = Fragment {
                number: current.number,
                header: header.clone(),
                timecode: current.timecode,
                producer: current.producer,
                server: current.server,
                duration_ms,
                bytes,
                blocks: current.blocks,
                tags: current.tags,
            };
            fragment.settle();
            self.keep(&session.stream, fragment, now);
        }
        self.limit_ledger(session, ordinal, frames);
        if self.retention_hours(&session.stream) > 0 {
            session.pending += 1;
            let fragment = FragmentRef {
                connection: session.id,
                stream: session.stream.clone(),
                session: session.ledger,
                ordinal,
                number: current.number,
                timecode: current.timecode,
            };
            if self.config.persist_delay.is_zero() {
                self.persist(Some(session), &fragment, now);
            } else {
                self.timers.set(
                    now.saturating_add(self.config.persist_delay),
                    Due::Persist(fragment),
                );
            }
        }
        self.fire(session, Moment::AfterFragment(session.fragments), now);
    }

    /// A received fragment becomes stored; its session may be gone by then.
    pub(in crate::service) fn persist(
        &mut self,
        session: Option<&mut Session>,
        fragment: &FragmentRef,
        now: Timestamp,
    ) {
        self.ledger.totals_mut(&fragment.stream).fragments_persisted += 1;
        self.save_fragment(&fragment.stream, fragment.number);
        let entry = self
            .ledger
            .fragment_mut(&fragment.stream, fragment.session, fragment.ordinal);
        if let Some(entry) = entry {
            entry.state = FragmentState::Persisted;
        }
        self.ledger_changed();
        let Some(session) = session else { return };
        session.pending = session.pending.saturating_sub(1);
        let ack = Ack {
            event: AckEvent::Persisted,
            timecode: Some(fragment.timecode),
            fragment_number: Some(fragment.number.to_string()),
            error: None,
        };
        if !session.manner.withholds_persisted && self.write_ack(session, &ack) {
            let note = AckLedger {
                event: AckEvent::Persisted,
                at_ms: now.as_millis(),
                error: None,
            };
            let entry = self
                .ledger
                .fragment_mut(&fragment.stream, fragment.session, fragment.ordinal);
            if let Some(entry) = entry {
                entry.acks.push(note);
            }
        }
        self.settle(session, now);
    }
}
