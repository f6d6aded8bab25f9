//! What stays of fragments: media for reading back, and the ledger inside its limits.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use kvs_mkv::Timestamp;

use super::ledger::{FragmentLedger, Ledger};
use super::media::Fragment;
use super::put_media::Session;
use super::{Service, UNRETAINED};

/// What the ledger holds in detail.
#[derive(Debug, Default)]
pub(super) struct Kept {
    frames: usize,
    /// Fragments with frames listed, oldest first: stream, session, ordinal, frames.
    detailed: VecDeque<(String, usize, u64, usize)>,
    /// Fragments listed per stream.
    fragments: HashMap<String, usize>,
}

impl Service {
    /// Keeps a received fragment for reading back and tells the stream's readers.
    pub(super) fn keep(&mut self, stream: &str, fragment: Fragment, now: Timestamp) {
        self.media.insert(stream, fragment);
        self.expire_media(stream, now);
        for id in self.readers_of(stream) {
            self.wake(id);
        }
    }

    /// Drops what a stream's retention no longer covers.
    pub(super) fn expire_media(&mut self, stream: &str, now: Timestamp) {
        let kept_for = match self.retention_hours(stream) {
            0 => UNRETAINED,
            hours => Duration::from_secs(u64::from(hours) * 3_600),
        };
        self.media.remove_older(stream, now.saturating_sub(kept_for));
        self.save_forgotten();
    }

    /// A stream is gone, and its media with it.
    pub(super) fn forget_media(&mut self, stream: &str, now: Timestamp) {
        self.stream_deleted(stream, now);
        self.media.remove_stream(stream);
        self.save_forgotten();
        self.producer_times.remove(stream);
        for id in self.readers_of(stream) {
            self.wake(id);
        }
    }

    /// Lets go of the oldest detail when the ledger has grown past its limits.
    pub(super) fn limit_ledger(&mut self, session: &Session, ordinal: u64, frames: usize) {
        let place = (session.stream.clone(), session.ledger, ordinal, frames);
        self.kept.frames += frames;
        self.kept.detailed.push_back(place);
        while self.kept.frames > self.config.ledger_frames {
            let Some((stream, session, ordinal, frames)) = self.kept.detailed.pop_front() else {
                break;
            };
            self.kept.frames -= frames;
            if let Some(fragment) = self.ledger.fragment_mut(&stream, session, ordinal) {
                fragment.frames = Vec::new();
                fragment.frames_let_go = true;
            }
        }
    }

    /// Counts a fragment that was entered in the ledger, and lets the stream's oldest go when there are too many.
    pub(super) fn fragment_entered(&mut self, stream: &str) {
        // The fragment under way has to have its place.
        let limit = self.config.ledger_fragments.max(1);
        let Some(entry) = self.ledger.streams.get_mut(stream) else {
            return;
        };
        let entered = self.kept.fragments.entry(stream.to_owned()).or_default();
        *entered += 1;
        // In steps of an eighth, so that the cost of moving the rest is spread.
        if *entered <= limit + limit / 8 {
            return;
        }
        let mut gone = *entered - limit;
        *entered = limit;
        for session in &mut entry.sessions {
            let here = gone.min(session.fragments.len());
            session.fragments.drain(..here);
            session.fragments_let_go += here as u64;
            gone -= here;
            if gone == 0 {
                break;
            }
            session.fragments.shrink_to_fit();
        }
    }
}

impl Ledger {
    /// A fragment by its place, counted from 0 over the whole session; `None` once it was let go.
    pub(super) fn fragment_mut(
        &mut self,
        stream: &str,
        session: usize,
        ordinal: u64,
    ) -> Option<&mut FragmentLedger> {
        let entry = self.session_mut(stream, session)?;
        let place = ordinal.checked_sub(entry.fragments_let_go)?;
        entry.fragments.get_mut(usize::try_from(place).ok()?)
    }

    pub(super) fn count_received(&mut self, stream: &str, session: usize) {
        let Some(fragment) = self.last_fragment_mut(stream, session) else {
            return;
        };
        let frames = fragment.tracks.values().map(|track| track.frames).sum::<u64>();
        let bytes = fragment.tracks.values().map(|track| track.bytes).sum::<u64>();
        let is_repeat = fragment.repeat_of.is_some();
        let totals = self.totals_mut(stream);
        totals.fragments_received += 1;
        totals.frames_received += frames;
        totals.payload_bytes += bytes;
        if is_repeat {
            totals.fragments_repeated += 1;
        } else {
            totals.frames_distinct += frames;
        }
    }
}
