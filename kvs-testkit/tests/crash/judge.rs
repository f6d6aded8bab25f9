//! Holds what children claimed against what arrived.

use std::collections::BTreeMap;

use kvs_testkit::digest;
use kvs_testkit::service::{AckEvent, FragmentLedger, Ledger, SessionEnd, StreamLedger};

use crate::claims::Claims;
use crate::media::{self, Place, STREAMS};
use crate::rounds::Reachable;

/// A round that is over: children were killed, one after the other, and the last one delivered what was left.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) reachable: Reachable,
    /// In the order of their lives, the last one being the one that wasn't killed.
    pub(crate) children: Vec<Claims>,
    /// By child and stream: how many sessions the service had seen when it was gone.
    pub(crate) sessions: Vec<[usize; STREAMS.len()]>,
    pub(crate) ledger: Ledger,
}

/// What a round adds to the figures.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) records_durable: u64,
    pub(crate) fragments_recorded: u64,
    pub(crate) fragments_delivered: u64,
    /// Of these, in rounds in which the service was out of reach until after the last kill: each exactly once.
    pub(crate) fragments_of_outages: u64,
    /// Sent again although the service had told PERSISTED: the record of it had not been made.
    pub(crate) twice_after_persisted: u64,
    /// Sent again because the kill came before the service told PERSISTED.
    pub(crate) twice_before_persisted: u64,
}

impl Judged {
    /// Everything that is not as it must be.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = Vec::new();
        for (child, claims) in self.children.iter().enumerate() {
            let told = claims.faults.iter();
            faults.extend(told.map(|fault| format!("child {child}: {fault}")));
        }
        if self
            .children
            .last()
            .is_none_or(|last| last.drained < STREAMS.len())
        {
            faults.push("the last child did not deliver everything".to_owned());
        }
        for (stream, name) in STREAMS.iter().enumerate() {
            let arrived = self.ledger.stream(name);
            let mut found = whole(stream, arrived);
            found.extend(self.lost(stream, arrived));
            found.extend(self.sent_needlessly(stream, arrived));
            found.extend(in_disorder(arrived));
            if !found.is_empty() {
                let told = found.iter().take(8);
                faults.extend(told.map(|fault| format!("{name}: {fault}")));
                faults.push(self.story(stream, arrived));
            }
        }
        faults
    }

    pub(crate) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for (stream, name) in STREAMS.iter().enumerate() {
            let arrived = self.ledger.stream(name);
            figures.records_durable += self.durable(stream).count() as u64;
            for claims in &self.children {
                figures.fragments_recorded += claims
                    .recorded
                    .get(&stream)
                    .map_or(0, |recorded| recorded.len() as u64);
            }
            for copies in delivered(arrived).values() {
                figures.fragments_delivered += 1;
                figures.fragments_of_outages += u64::from(self.reachable == Reachable::AfterAllKills);
                let Some((_, again)) = copies.split_last() else {
                    continue;
                };
                for copy in again {
                    if copy.was_acked(AckEvent::Persisted) {
                        figures.twice_after_persisted += 1;
                    } else {
                        figures.twice_before_persisted += 1;
                    }
                }
            }
        }
        figures
    }

    /// Every frame of a stream that was durable when its process was killed.
    fn durable(&self, stream: usize) -> impl Iterator<Item = Place> {
        self.children.iter().flat_map(move |claims| {
            let end = claims.durable.get(&stream).copied();
            let first = Place::start_of(claims.first_fragment);
            std::iter::successors(Some(first), |place| Some(place.next()))
                .take_while(move |place| end.is_some_and(|end| *place < end))
        })
    }

    /// What was durable and never arrived.
    fn lost(&self, stream: usize, arrived: &StreamLedger) -> Vec<String> {
        let delivered = delivered(arrived);
        let has = |place: &Place| {
            let copies = delivered.get(&media::timecode(place.fragment));
            copies.is_some_and(|copies| copies.iter().any(|copy| copy.frames.len() as u64 > place.frame))
        };
        self.durable(stream)
            .filter(|place| !has(place))
            .map(|place| format!("lost {place:?}"))
            .collect()
    }

    /// Fragments that were begun again although their PERSISTED was recorded, or that arrived whole twice for no reason.
    fn sent_needlessly(&self, stream: usize, arrived: &StreamLedger) -> Vec<String> {
        let mut faults = Vec::new();
        // By timecode: by which child it was delivered whole.
        let mut by: BTreeMap<i64, usize> = BTreeMap::new();
        for (nth, session) in arrived.sessions.iter().enumerate() {
            let child = self.child_of(stream, nth, arrived);
            for fragment in &session.fragments {
                let recorded = self.children[..child].iter().position(|claims| {
                    claims
                        .recorded
                        .get(&stream)
                        .is_some_and(|recorded| recorded.contains(&fragment.timecode))
                });
                if let Some(before) = recorded {
                    faults.push(format!(
                        "{} recorded as persisted by child {before}, begun again by child {child}",
                        fragment.timecode
                    ));
                }
                if !fragment.state.is_delivered() {
                    continue;
                }
                if let Some(before) = by.insert(fragment.timecode, child)
                    && (before == child || self.reachable == Reachable::AfterAllKills)
                {
                    faults.push(format!(
                        "{} sent by child {before} and by child {child}, for no reason",
                        fragment.timecode
                    ));
                }
            }
        }
        faults
    }

    /// Which child opened a session.
    ///
    /// The service may get to read a request only when the child that sent it is gone and the next one runs. A child loses
    /// no session but the one it is killed in, which is its last: one that is lost before others isn't its own.
    fn child_of(&self, stream: usize, session: usize, arrived: &StreamLedger) -> usize {
        let by_count = |session| self.sessions.partition_point(|seen| seen[stream] <= session);
        let child = by_count(session);
        let is_first = session == 0 || by_count(session - 1) < child;
        let is_lost = arrived.sessions[session].end == Some(SessionEnd::Lost);
        let is_last = session + 1 == arrived.sessions.len() || by_count(session + 1) > child;
        let lives_on = !is_last || child + 1 == self.children.len();
        if child > 0 && is_first && is_lost && lives_on {
            child - 1
        } else {
            child
        }
    }

    fn story(&self, stream: usize, arrived: &StreamLedger) -> String {
        let mut story = format!("{:?}\n", self.reachable);
        for (child, claims) in self.children.iter().enumerate() {
            story += &format!(
                "child {child}: from {}, durable before {:?}, recorded {:?}, sessions to {:?}\n",
                media::timecode(claims.first_fragment),
                claims.durable.get(&stream),
                claims.recorded.get(&stream),
                self.sessions.get(child).map(|seen| seen[stream]),
            );
        }
        story + &arrived.summary()
    }

    // What a wrong producer would do, for seeing that it is found out.

    pub(crate) fn claim_one_frame_more(&mut self) {
        let claims = self.children.iter_mut().find(|claims| !claims.durable.is_empty());
        let durable = claims.unwrap().durable.values_mut().next().unwrap();
        *durable = Place::start_of(durable.fragment + media::FRAGMENTS_PER_PROCESS - 1);
    }

    pub(crate) fn claim_everything_recorded_before(&mut self) {
        for (stream, name) in STREAMS.iter().enumerate() {
            let timecodes = self
                .ledger
                .stream(name)
                .fragments()
                .map(|fragment| fragment.timecode);
            self.children[0].recorded.insert(stream, timecodes.collect());
        }
    }

    pub(crate) fn change_a_byte_on_the_way(&mut self) {
        let stream = self.ledger.streams.get_mut(STREAMS[0]).unwrap();
        let mut fragments = stream
            .sessions
            .iter_mut()
            .flat_map(|session| &mut session.fragments);
        fragments
            .find(|fragment| !fragment.frames.is_empty())
            .unwrap()
            .frames[0]
            .digest ^= 1;
    }
}

/// Delivered fragments by timecode, each with all its copies.
fn delivered(arrived: &StreamLedger) -> BTreeMap<i64, Vec<&FragmentLedger>> {
    let mut delivered: BTreeMap<i64, Vec<&FragmentLedger>> = BTreeMap::new();
    for fragment in arrived.delivered() {
        delivered.entry(fragment.timecode).or_default().push(fragment);
    }
    delivered
}

/// Nothing that was ever sent, whole or not, differs from what was put, and the service refused none of it.
fn whole(stream: usize, arrived: &StreamLedger) -> Vec<String> {
    let mut faults = Vec::new();
    for session in &arrived.sessions {
        if let Some(SessionEnd::Error { id, reason }) = &session.end {
            faults.push(format!("the service answered with error {}: {reason}", id.0));
        }
    }
    for fragment in arrived.fragments() {
        let Some(number) = media::fragment_at(fragment.timecode) else {
            faults.push(format!("{} is no fragment that was put", fragment.timecode));
            continue;
        };
        let expected = std::iter::successors(Some(Place::start_of(number)), |place| Some(place.next()));
        for (frame, place) in fragment.frames.iter().zip(expected) {
            let payload = media::payload(stream, place);
            let is_right = place.fragment == number
                && frame.track == u64::from(media::track_of(stream, place))
                && frame.timecode == media::frame_timecode(place)
                && frame.len as usize == payload.len()
                && frame.digest == digest(&payload);
            if !is_right {
                faults.push(format!("{frame:?} differs from what was put at {place:?}"));
            }
        }
    }
    faults
}

/// First copies come in order, and so does everything within a session.
fn in_disorder(arrived: &StreamLedger) -> Vec<String> {
    let mut faults = Vec::new();
    let mut latest = i64::MIN;
    let mut seen = std::collections::BTreeSet::new();
    for session in &arrived.sessions {
        if !session.fragments.is_sorted_by_key(|fragment| fragment.timecode) {
            faults.push(format!("session {} goes back", session.put_media));
        }
        for fragment in &session.fragments {
            if !fragment.state.is_delivered() || !seen.insert(fragment.timecode) {
                continue;
            }
            if fragment.timecode < latest {
                faults.push(format!("{} arrived after {latest}", fragment.timecode));
            }
            latest = latest.max(fragment.timecode);
        }
    }
    faults
}
