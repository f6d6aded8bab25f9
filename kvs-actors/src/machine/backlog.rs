//! Media that the store holds from before, or that is too much to keep in view: paged in as it comes to be sent.

use std::sync::Arc;
use std::time::Instant;

use kvs_mkv::{Timestamp, TrackSet};
use kvs_storage::{ItemMeta, Next, StoreError, StoredFragment};

use super::counters::{DropReason, Tally};
use super::output::Output;
use super::retry::Urgency;
use super::{Paging, StreamMachine};
use crate::error::{StreamError, StreamErrorKind};
use crate::events::StreamEvent;

/// So many fragments ahead of the one being sent stay in view.
const AHEAD: usize = 8;

impl StreamMachine {
    /// Takes over what an earlier run left in the store; it counts as accepted.
    pub(super) fn take_backlog(&mut self, fragments: Vec<(StoredFragment, Arc<TrackSet>)>, next_seq: u64) {
        for (stored, tracks) in fragments {
            let tally = Tally {
                frames: u64::from(stored.items),
                bytes: stored.bytes,
            };
            self.counters.accept(tally);
            let timecode = Timestamp::from_nanos(stored.timecode);
            match self.view.restore(stored) {
                Ok(()) => self.fragments.restore(stored.first_seq, timecode, tracks, tally),
                // The store gave something that can't follow: it is left out, and counted.
                Err(_) => {
                    self.counters.drop_unsent(tally, DropReason::StoreFailure);
                    self.report_dropped(timecode, tally);
                }
            }
        }
        self.view.skip_seqs_below(next_seq);
        self.next_seq = self.next_seq.max(next_seq);
    }

    /// Asks for the metadata of the fragment that comes next, if it isn't in view.
    pub(super) fn page_in_what_is_next(&mut self) {
        if self.paging_in.is_some() {
            return;
        }
        if let Next::PageIn(info) = self.view.next() {
            self.paging_in = Some(info.stored.first_seq);
            self.push(Output::PageIn {
                seqs: info.stored.first_seq..info.stored.end_seq,
            });
        }
    }

    /// The metadata came, whole or not.
    pub(super) fn paged_in(
        &mut self,
        first_seq: u64,
        items: Result<Vec<ItemMeta>, StoreError>,
        now: Instant,
    ) {
        self.paging_in = None;
        let refused = match items {
            Ok(items) => self.view.page_in(first_seq, &items).map(|lost| {
                let lost = Tally {
                    frames: lost.items,
                    bytes: lost.bytes,
                };
                if lost.frames > 0
                    && let Some(fragment) = self.fragments.get_mut(first_seq)
                {
                    fragment.tally.remove(lost);
                    let from = fragment.timecode;
                    self.counters.drop_unsent(lost, DropReason::StoreFailure);
                    self.report_dropped(from, lost);
                }
            }),
            Err(error) => Err(error),
        };
        if let Err(error) = refused {
            let text = format!("a stored fragment could not be read: {error}");
            self.report(StreamError::new(StreamErrorKind::Store, text).with_source(error));
            self.evict(first_seq, DropReason::StoreFailure);
            self.wait_then(self.step, Urgency::Failed, now);
        }
    }

    fn report_dropped(&mut self, from: Timestamp, tally: Tally) {
        let reason = DropReason::StoreFailure;
        self.push(Output::Event(StreamEvent::Dropped { from, tally, reason }));
    }

    /// Leaves to the store what is far from being sent.
    pub(super) fn page_out_what_is_far(&mut self) {
        if self.config.paging == Paging::Off {
            return;
        }
        let Some(newest) = self.view.head().filter(|info| info.closed) else {
            return;
        };
        let current = match self.view.next() {
            Next::Item(item) => item.seq,
            Next::PageIn(info) => info.stored.first_seq,
            Next::Nothing => return,
        };
        if self.view.fragments_from(current).nth(AHEAD).is_some() {
            // It is being sent at the earliest after all those ahead of it.
            let _ = self.view.page_out(newest.stored.first_seq);
        }
    }
}
