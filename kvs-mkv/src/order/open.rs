//! The side of the orderer that faces the wire: filling the open fragment and opening the next.

use super::event::{Correction, CorrectionKind, FragmentStart, OrderDrop, Ordered};
use super::queue::{Cut, Presence, Queued};
use super::{FrameOrderer, KeyFramePolicy, SilencePolicy};
use crate::frame::FrameFlags;
use crate::time::Timestamp;
use crate::track_set::MAX_TRACKS;

/// The fragment that is open.
#[derive(Debug)]
pub(super) struct Open {
    /// The unit it starts at.
    start: i64,
    /// The unit of the leading track it was cut at: later than `start` where sound leads.
    cut_at: i64,
    /// The unit its key frame was given: pictures before it are leading ones.
    key_unit: i64,
    /// Payload bytes in it.
    bytes: usize,
    /// Which tracks it carries, by index.
    carries: [bool; MAX_TRACKS],
    /// Which tracks have a frame in it.
    seen: [bool; MAX_TRACKS],
    /// Which tracks have a new format in it, which their first frame tells.
    fresh: [bool; MAX_TRACKS],
    /// Whether the leading track has gone over the bytes a fragment may have.
    full: bool,
}

/// Whether a track has a frame that is certain to be in the fragment to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    In,
    /// Not known yet.
    Waiting,
    /// It has none before the next cut.
    Lacks,
    /// It has been silent for too long.
    Silent,
}

/// The next place to cut after the one at hand.
#[derive(Clone, Copy, Debug)]
struct NextCut {
    index: usize,
    cut: Cut,
    unit: i64,
}

impl FrameOrderer {
    /// Moves everything that is certain from the queues to the output.
    pub(super) fn advance(&mut self) {
        loop {
            let filled = self.fill();
            self.change_lead();
            if !self.open_next() && !filled {
                return;
            }
        }
    }

    /// Sends what belongs to the open fragment for certain; says whether there was any.
    fn fill(&mut self) -> bool {
        let mut filled = false;
        while let Some(index) = self.next_in_fragment() {
            filled = true;
            if let Some(queued) = self.take_front(index) {
                self.send(index, queued);
            }
        }
        filled
    }

    /// The track whose front frame goes into the open fragment next.
    fn next_in_fragment(&self) -> Option<usize> {
        self.open.as_ref()?;
        let mut best: Option<(i64, usize)> = None;
        for &index in &self.precedence {
            let Some(front) = self.tracks[index].front() else {
                continue;
            };
            let belongs = if index == self.lead {
                !self.cuts(front) && front.unit <= self.held_back_to()
            } else {
                self.follows_in_fragment(front)
            };
            // Decoding time orders video among the others; it is never after the presentation time.
            let time = self.config.scale.to_units(front.frame.dts.min(front.frame.pts));
            if belongs && best.is_none_or(|(earliest, _)| time < earliest) {
                best = Some((time, index));
            }
        }
        best.map(|(_, index)| index)
    }

    /// Whether a frame of a following track is certain to belong to the open fragment.
    fn follows_in_fragment(&self, queued: &Queued) -> bool {
        let Some(open) = &self.open else { return false };
        let lead = &self.tracks[self.lead];
        match lead.front().and_then(|front| front.cut.map(|cut| (cut, front))) {
            Some((cut, front)) if self.cuts(front) => {
                if cut.settled {
                    queued.unit < cut.start
                } else {
                    queued.unit <= cut.reached_before
                }
            }
            _ if self.flushing => true,
            // No key frame cuts before the shortest fragment is over.
            _ => {
                queued.unit <= lead.reached.min(self.held_back_to())
                    || self.is_within_shortest(open.cut_at, queued.unit)
            }
        }
    }

    fn is_within_shortest(&self, start: i64, unit: i64) -> bool {
        !self.roll && unit < start.saturating_add(self.units.min) && !self.lead_may_force()
    }

    /// Whether the leading track may be cut before the shortest fragment is over.
    fn lead_may_force(&self) -> bool {
        self.config.key_frames == KeyFramePolicy::CutAnywhere
    }

    /// Whether the next fragment starts at this frame of the leading track.
    fn cuts(&self, queued: &Queued) -> bool {
        let Some(open) = &self.open else {
            return queued.cut.is_some();
        };
        let Some(cut) = queued.cut else { return false };
        let too_large = open.bytes + queued.frame.data.len() > self.config.max_fragment_bytes;
        let due = cut.start >= open.cut_at.saturating_add(cut.not_before);
        (due || cut.forced || too_large || open.full || self.roll) && cut.start > self.latest
    }

    /// The unit up to which the leading track may go: not past one that is to lead again.
    fn held_back_to(&self) -> i64 {
        match self.returning_lead() {
            Some(index) if !self.flushing => self.tracks[index].reached,
            _ => i64::MAX,
        }
    }

    /// A track that takes the lead once it has a key frame.
    fn returning_lead(&self) -> Option<usize> {
        let mut outranking = self
            .precedence
            .iter()
            .copied()
            .take_while(|&index| index != self.lead);
        outranking.find(|&index| self.tracks[index].presence == Presence::Returning)
    }

    /// Sends a frame within the open fragment, or drops it where it has no place there.
    fn send(&mut self, index: usize, mut queued: Queued) {
        let Some(open) = &mut self.open else { return };
        let is_new_format = queued.frame.flags.contains(FrameFlags::NEW_FORMAT);
        let track = &mut self.tracks[index];
        let reason = if !open.carries[index] {
            track.reformat |= is_new_format;
            Some(if index == self.lead {
                OrderDrop::BeforeKeyFrame
            } else {
                OrderDrop::TrackAbsent
            })
        } else if index != self.lead && (track.reformat || is_new_format) && open.seen[index] {
            track.reformat = true;
            Some(OrderDrop::FormatChange)
        } else if (open.full && index == self.lead)
            // The first of each track has to stay.
            || (open.seen[index] && open.bytes + queued.frame.data.len() > self.config.max_fragment_bytes)
        {
            open.full |= index == self.lead;
            Some(OrderDrop::FragmentTooLarge)
        } else if queued.unit.saturating_sub(open.start) > i64::from(i16::MAX)
            || (index != self.lead
                && queued.unit.saturating_sub(open.start) > self.units.max.saturating_add(self.units.leading))
        {
            Some(OrderDrop::FragmentTooLong)
        } else if index == self.lead && queued.unit < open.start.min(open.key_unit) {
            self.stats.leading_pictures += 1;
            Some(OrderDrop::LeadingPicture)
        } else {
            None
        };
        if let Some(reason) = reason {
            return self.drop_frame(queued.frame, reason);
        }
        if !open.seen[index] && open.fresh[index] {
            queued.frame.flags.insert(FrameFlags::NEW_FORMAT);
        } else {
            track.reformat |= is_new_format;
        }
        if queued.unit < open.start {
            let from = queued.frame.pts;
            let to = self.config.scale.from_units(open.start);
            queued.frame.pts = to;
            queued.unit = open.start;
            let kind = CorrectionKind::IntoFragment;
            *self.stats.corrections.entry(kind).or_default() += 1;
            self.out.push_back(Ordered::Corrected(Correction {
                track: queued.frame.track,
                kind,
                from,
                to,
            }));
        }
        open.bytes += queued.frame.data.len();
        open.seen[index] = true;
        self.latest = self.latest.max(queued.unit);
        self.out.push_back(Ordered::Frame(queued.frame));
    }

    /// Opens the next fragment if it is certain; says whether anything changed.
    fn open_next(&mut self) -> bool {
        if self.open.is_none() {
            self.wait_for_key_frame();
        }
        self.drop_overtaken_pictures();
        let Some(front) = self.tracks[self.lead].front() else {
            return false;
        };
        let Some(cut) = front.cut.filter(|_| self.cuts(front)) else {
            return false;
        };
        if !(cut.settled || self.flushing) || cut.start > self.held_back_to() {
            return false;
        }
        if self.open.is_none() {
            self.drop_early_sound(cut.start);
        }
        loop {
            let next = self.next_cut(cut.start);
            let followers = self.followers();
            let members: Vec<_> = followers
                .iter()
                .map(|&index| self.membership(index, cut.start, next))
                .collect();
            if members.contains(&Membership::Waiting) {
                return false;
            }
            if members.contains(&Membership::Lacks) {
                if let Some(next) = next.filter(|next| self.may_join(next, cut.start)) {
                    self.join(next.index);
                    continue;
                }
                if self.may_join_open(next) {
                    self.join(0);
                    return true;
                }
            }
            for (&index, member) in followers.iter().zip(members) {
                match member {
                    Membership::Silent => self.tracks[index].presence = Presence::Gone,
                    Membership::Lacks => self.tracks[index].presence = Presence::Returning,
                    _ => self.tracks[index].presence = Presence::Live,
                }
            }
            self.start_fragment(cut.start);
            return true;
        }
    }

    /// Drops the leading pictures of the front key frame that are not after what went out already: sound
    /// that a flush let pass.
    fn drop_overtaken_pictures(&mut self) {
        let sent = self.latest;
        let queue = &mut self.tracks[self.lead].queue;
        let Some(key_unit) = queue.front().map(|front| front.unit) else {
            return;
        };
        let Some(cut) = queue.front_mut().and_then(|front| front.cut.as_mut()) else {
            return;
        };
        if cut.start > sent || cut.start == key_unit {
            return;
        }
        let is_leading = |queued: &Queued| queued.cut.is_none() && queued.unit < key_unit;
        let leading = queue
            .iter()
            .skip(1)
            .take_while(|queued| is_leading(queued))
            .count();
        let (mut index, mut start) = (1, key_unit);
        for _ in 0..leading {
            match self.tracks[self.lead].queue.get(index).map(|queued| queued.unit) {
                Some(unit) if unit <= sent => {
                    let dropped = self.tracks[self.lead].queue.remove(index);
                    self.stats.leading_pictures += 1;
                    if let Some(queued) = dropped {
                        self.drop_frame(queued.frame, OrderDrop::LeadingPicture);
                    }
                }
                Some(unit) => {
                    start = start.min(unit);
                    index += 1;
                }
                None => break,
            }
        }
        if let Some(cut) = self.tracks[self.lead]
            .queue
            .front_mut()
            .and_then(|front| front.cut.as_mut())
        {
            cut.start = start;
        }
    }

    /// Before the first fragment: drops what is no key frame, and sound too old for any key frame to come.
    fn wait_for_key_frame(&mut self) {
        while self.tracks[self.lead]
            .front()
            .is_some_and(|front| front.cut.is_none())
        {
            self.drop_front(self.lead, OrderDrop::BeforeKeyFrame);
        }
        if self.tracks[self.lead].queue.is_empty()
            && self.tracks[self.lead].reached > i64::MIN
            && !self.flushing
        {
            self.drop_early_sound(self.tracks[self.lead].reached);
        }
    }

    /// Drops sound too far ahead of a fragment that starts at `start`, or not after the last one.
    fn drop_early_sound(&mut self, start: i64) {
        let earliest = start.saturating_sub(self.units.leading);
        let sent = self.latest;
        for index in self.followers() {
            let is_early =
                |queued: &Queued| queued.unit < earliest || (queued.unit < start && queued.unit <= sent);
            while self.tracks[index].front().is_some_and(is_early) {
                self.drop_front(index, OrderDrop::AudioTooEarly);
            }
        }
    }

    /// The tracks that follow and take part, or will from the next fragment on.
    fn followers(&self) -> Vec<usize> {
        let takes_part = |&index: &usize| index != self.lead && self.tracks[index].presence != Presence::Gone;
        (0..self.tracks.len()).filter(takes_part).collect()
    }

    /// The next place to cut after a fragment that starts at `start` with the leading track's front frame.
    fn next_cut(&self, start: i64) -> Option<NextCut> {
        let queued = self.tracks[self.lead].queue.iter().enumerate().skip(1);
        queued
            .filter_map(|(index, queued)| {
                Some(NextCut {
                    index,
                    cut: queued.cut?,
                    unit: queued.unit,
                })
            })
            .find(|next| next.cut.forced || next.cut.start >= start.saturating_add(next.cut.not_before))
    }

    fn membership(&self, index: usize, start: i64, next: Option<NextCut>) -> Membership {
        let track = &self.tracks[index];
        let Some(front) = track.front() else {
            return match () {
                () if self.flushing => Membership::Lacks,
                () if self.config.silence == SilencePolicy::Roll && self.is_silent(index) => {
                    Membership::Silent
                }
                () => Membership::Waiting,
            };
        };
        let unit = front.unit;
        if unit.saturating_sub(start) > self.units.max {
            return Membership::Lacks;
        }
        let lead = &self.tracks[self.lead];
        let is_certain = match next {
            Some(next) if next.cut.settled || self.flushing => {
                return if unit < next.cut.start {
                    Membership::In
                } else {
                    Membership::Lacks
                };
            }
            Some(next) => unit <= next.cut.reached_before,
            None => {
                let within_shortest = unit < start.saturating_add(self.units.min) && !self.lead_may_force();
                self.flushing || within_shortest || unit <= lead.reached.min(self.held_back_to())
            }
        };
        if is_certain {
            Membership::In
        } else {
            Membership::Waiting
        }
    }

    /// Whether the fragment that starts at `start` may go on past `next`.
    fn may_join(&self, next: &NextCut, start: i64) -> bool {
        !next.cut.forced && next.unit.saturating_sub(start) <= self.units.max
    }

    /// Whether the front key frame of the leading track may join the open fragment, with all up to `next`.
    fn may_join_open(&self, next: Option<NextCut>) -> bool {
        let Some(open) = &self.open else { return false };
        let forced = self.tracks[self.lead]
            .front()
            .and_then(|front| front.cut)
            .is_none_or(|cut| cut.forced);
        let end = next.map_or(self.tracks[self.lead].reached, |next| next.cut.reached_before);
        !forced && !self.roll && end.saturating_sub(open.start) <= self.units.max
    }

    /// Takes a place to cut away: its frame joins the fragment before.
    fn join(&mut self, index: usize) {
        if let Some(queued) = self.tracks[self.lead].queue.get_mut(index) {
            queued.cut = None;
            self.stats.joined_key_frames += 1;
        }
    }

    /// Opens a fragment with the front frame of the leading track and a frame of each live track.
    fn start_fragment(&mut self, cut_start: i64) {
        if self.open.take().is_some() {
            self.out.push_back(Ordered::FragmentEnd);
        }
        let mut carries = [false; MAX_TRACKS];
        for (index, track) in self.tracks.iter().enumerate() {
            carries[index] = index == self.lead || track.presence == Presence::Live;
        }
        let (timecode, start) = self.start_of_fragment(cut_start, &carries);
        let key = self.tracks[self.lead].front();
        let (key_unit, key_pts) = key.map_or((start, timecode), |key| (key.unit, key.frame.pts));
        let mut fresh = [false; MAX_TRACKS];
        for (index, track) in self
            .tracks
            .iter_mut()
            .enumerate()
            .filter(|&(index, _)| carries[index])
        {
            let is_flagged = |front: &Queued| front.frame.flags.contains(FrameFlags::NEW_FORMAT);
            fresh[index] = std::mem::take(&mut track.reformat) || track.front().is_some_and(is_flagged);
            track.presence = Presence::Live;
            let is_joined = |front: &Queued| front.unit == key_unit && front.frame.pts < key_pts;
            self.stats.joined_frames += u64::from(track.front().is_some_and(is_joined));
        }
        let tracks = self.numbers(&carries);
        let new_formats = self.numbers(&fresh);
        let new_session = !new_formats.is_empty() || tracks != self.session;
        self.session.clone_from(&tracks);
        self.roll = false;
        self.stats.fragments += 1;
        self.out.push_back(Ordered::Fragment(FragmentStart {
            timecode,
            tracks,
            new_session,
            new_formats,
        }));
        self.open = Some(Open {
            start,
            key_unit,
            cut_at: cut_start.max(start),
            bytes: 0,
            carries,
            seen: [false; MAX_TRACKS],
            fresh,
            full: false,
        });
        if let Some(key) = self.take_front(self.lead) {
            self.send(self.lead, key);
        }
    }

    /// The earliest time in the fragment to be opened, and its unit.
    fn start_of_fragment(&self, cut_start: i64, carries: &[bool; MAX_TRACKS]) -> (Timestamp, i64) {
        let scale = self.config.scale;
        let fronts = self.tracks.iter().zip(carries).filter(|(_, carried)| **carried);
        let earliest = fronts
            .filter_map(|(track, _)| track.front())
            .map(|front| front.frame.pts)
            .min();
        // Leading pictures come before all fronts; their time is known in units.
        let timecode = earliest
            .filter(|&earliest| scale.to_units(earliest) <= cut_start)
            .unwrap_or(scale.from_units(cut_start));
        // After a flush, sound that went out may reach past the next key frame.
        if scale.to_units(timecode) > self.latest {
            return (timecode, scale.to_units(timecode));
        }
        let start = self.latest.saturating_add(1);
        (scale.from_units(start), start)
    }

    /// The numbers of the tracks of a set.
    fn numbers(&self, set: &[bool; MAX_TRACKS]) -> Vec<u8> {
        let chosen = self.tracks.iter().zip(set).filter(|(_, chosen)| **chosen);
        chosen.map(|(track, _)| track.number).collect()
    }

    /// Gives the lead to another track where the leading one is silent, and back where it returns.
    fn change_lead(&mut self) {
        if let Some(index) = self.returning_lead() {
            self.give_lead_back(index);
        }
        let lead = &self.tracks[self.lead];
        if !lead.queue.is_empty() || self.config.silence != SilencePolicy::Roll || !self.is_silent(self.lead)
        {
            return;
        }
        let live = |&index: &usize| index != self.lead && self.tracks[index].presence == Presence::Live;
        if let Some(next) = self.precedence.iter().copied().find(live) {
            self.hand_lead_to(next);
        }
    }

    fn hand_lead_to(&mut self, index: usize) {
        self.tracks[self.lead].presence = Presence::Gone;
        self.tracks[index].presence = Presence::Live;
        self.lead = index;
        self.roll = true;
    }

    /// A track that leads by rights has returned: it leads again from its first key frame on.
    fn give_lead_back(&mut self, index: usize) {
        while let Some(front) = self.tracks[index].front() {
            // Its fragment would have to start before frames that went out already.
            let usable = front.cut.is_some_and(|cut| cut.start > self.latest);
            if usable {
                self.tracks[index].presence = Presence::Live;
                self.lead = index;
                self.roll = true;
                return;
            }
            self.drop_front(index, OrderDrop::BeforeKeyFrame);
        }
        if self.is_silent(index) {
            self.tracks[index].presence = Presence::Gone;
        }
    }

    /// At a flush with nothing that leads: the first track with frames leads. Says whether there is one.
    pub(super) fn lead_with_what_is_left(&mut self) -> bool {
        let has_frames = |&index: &usize| index != self.lead && !self.tracks[index].queue.is_empty();
        match self.precedence.iter().copied().find(has_frames) {
            Some(index) if self.tracks[self.lead].queue.is_empty() => {
                self.hand_lead_to(index);
                true
            }
            _ => false,
        }
    }
}
