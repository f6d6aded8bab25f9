//! Taking frames over from the intake: into the content store, then into the machine.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use actix::prelude::*;
use kvs_mkv::{Frame, FrameFlags, Timestamp, TrackSet};
use kvs_storage::{Durability, Item, ItemFlags, ItemMeta, Reservation, StoreError};

use super::actor::StreamActor;
use super::intake::Ready;
use crate::error::{StreamError, StreamErrorKind};
use crate::events::StreamEvent;
use crate::machine::{DropReason, Input, Tally};

/// How much is read of a stored fragment at a time, in bytes.
const PAGE_BYTES: usize = 1 << 20;

/// How many frames are appended at a time.
const BATCH: usize = 64;

/// What was taken from the intake and is not with the machine yet.
#[derive(Default)]
pub(super) struct Appending {
    ready: VecDeque<Ready>,
    batch: Vec<Item>,
    metas: Vec<ItemMeta>,
    starts_fragment: bool,
    is_waiting: bool,
}

/// An append on its way, with what it took along.
type Append = Pin<Box<dyn Future<Output = (Result<Durability, StoreError>, Vec<Item>)>>>;

impl Appending {
    /// Whether nothing waits for the store.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_waiting && self.ready.is_empty() && self.metas.is_empty()
    }

    /// The frames taken from the intake that the machine doesn't know of.
    pub(super) fn held(&self) -> Tally {
        let mut held = Tally::default();
        for ready in &self.ready {
            held.add(ready.tally());
        }
        for meta in &self.metas {
            held.add(Tally::frame(u64::from(meta.len)));
        }
        held
    }

    fn push(&mut self, frame: Frame, charge: Option<Reservation>, next_seq: u64) {
        let seq = self.metas.last().map_or(next_seq, |last| last.seq + 1);
        let mut flags = ItemFlags::NONE;
        for (flag, stored) in [
            (FrameFlags::KEY, ItemFlags::KEY),
            (FrameFlags::DISCARDABLE, ItemFlags::DISCARDABLE),
            (FrameFlags::INVISIBLE, ItemFlags::INVISIBLE),
        ] {
            if frame.flags.contains(flag) {
                flags.insert(stored);
            }
        }
        if std::mem::take(&mut self.starts_fragment) {
            flags.insert(ItemFlags::FRAGMENT_START);
        }
        let meta = ItemMeta {
            seq,
            pts: frame.pts.as_nanos(),
            dts: frame.dts.as_nanos(),
            duration: frame.duration.map_or(0, |duration| {
                u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
            }),
            track: frame.track,
            flags,
            // A frame has passed the byte budget and the muxer's limits; 4 GiB is beyond both.
            len: u32::try_from(frame.data.len()).unwrap_or(u32::MAX),
        };
        self.metas.push(meta);
        self.batch.push(Item {
            meta,
            payload: frame.data,
            charge,
        });
    }
}

impl StreamActor {
    /// Takes over what is ready in the intake, as far as the store keeps up.
    pub(super) fn take_over(&mut self, ctx: &mut Context<Self>) {
        while !self.appending.is_waiting {
            if self.appending.ready.is_empty() {
                self.slot.shared.intake().take_ready(&mut self.appending.ready);
            }
            let next = self.appending.ready.pop_front();
            let ends_batch =
                !matches!(next, Some(Ready::Frame { .. })) || self.appending.metas.len() >= BATCH;
            if ends_batch && !self.appending.metas.is_empty() {
                if let Some(next) = next {
                    self.appending.ready.push_front(next);
                }
                self.append(ctx);
                continue;
            }
            match next {
                None => break,
                Some(Ready::Frame { frame, charge }) => {
                    let next_seq = self.slot.machine.borrow().next_seq();
                    self.appending.push(frame, charge, next_seq);
                }
                Some(Ready::Fragment { timecode, tracks }) => {
                    self.appending.starts_fragment = true;
                    self.keep_formats(&tracks, ctx);
                    self.handle_input(Input::FragmentStart { timecode, tracks });
                }
                Some(Ready::FragmentEnd { tags }) => self.handle_input(Input::FragmentEnd { tags }),
                Some(Ready::Closed) => self.handle_input(Input::FragmentClosed),
                Some(Ready::Dropped { pts, tally, reason }) => {
                    self.handle_input(Input::Dropped { pts, tally, reason });
                }
                Some(Ready::Corrected(correction)) => self.slot.tell(StreamEvent::Corrected(correction)),
                Some(Ready::KeyFrameWanted { track, open_for }) => {
                    self.slot.tell(StreamEvent::KeyFrameWanted { track, open_for });
                }
            }
        }
    }

    /// Hands the batch to the store, and waits only if the store has no answer at hand.
    fn append(&mut self, ctx: &mut Context<Self>) {
        let store = Rc::clone(&self.slot.store);
        let mut batch = std::mem::take(&mut self.appending.batch);
        let mut append: Append = Box::pin(async move {
            let answer = store.append(&mut batch).await;
            (answer, batch)
        });
        match append
            .as_mut()
            .poll(&mut std::task::Context::from_waker(Waker::noop()))
        {
            Poll::Ready((answer, left)) => self.appended(answer, left),
            Poll::Pending => {
                self.appending.is_waiting = true;
                ctx.spawn(append.into_actor(self).map(|(answer, left), actor, ctx| {
                    actor.appending.is_waiting = false;
                    actor.appended(answer, left);
                    actor.attend(ctx);
                }));
            }
        }
    }

    /// The store has answered: what it took goes to the machine, what it refused is dropped and reported.
    fn appended(&mut self, answer: Result<Durability, StoreError>, mut left: Vec<Item>) {
        let metas = std::mem::take(&mut self.appending.metas);
        let first_left = left.first().map_or(u64::MAX, |item| item.meta.seq);
        for meta in &metas {
            let tally = Tally::frame(u64::from(meta.len));
            let input = if meta.seq < first_left {
                Input::Item(*meta)
            } else {
                let pts = Timestamp::from_nanos(meta.pts);
                Input::Dropped {
                    pts,
                    tally,
                    reason: DropReason::StoreFailure,
                }
            };
            self.handle_input(input);
        }
        if let Err(error) = answer {
            self.store_failed(error);
        }
        left.clear();
        self.appending.batch = left;
        self.appending.metas = metas;
        self.appending.metas.clear();
    }

    /// Keeps the tracks of the fragment that begins, where they are new.
    fn keep_formats(&self, tracks: &Arc<TrackSet>, ctx: &mut Context<Self>) {
        let machine = self.slot.machine.borrow();
        let (next, oldest) = (machine.next_seq(), machine.oldest_seq());
        let mut formats = self.slot.formats.borrow_mut();
        if formats.note(next, tracks, oldest) {
            let saved = formats.save(Rc::clone(&self.slot.store));
            ctx.spawn(saved.into_actor(self).map(|answer, actor, _| {
                if let Err(error) = answer {
                    actor.store_failed(error);
                }
            }));
        }
    }

    fn store_failed(&self, error: StoreError) {
        let error = StreamError::new(StreamErrorKind::Store, error.to_string()).with_source(error);
        self.slot
            .tell(StreamEvent::Error(error.on_stream(self.slot.name())));
    }

    /// Reads what the items of a fragment are. Their payloads are read again when they are sent.
    pub(super) fn page_in(&self, seqs: Range<u64>, ctx: &mut Context<Self>) {
        let store = Rc::clone(&self.slot.store);
        let first_seq = seqs.start;
        let reading = async move {
            let mut metas: Vec<ItemMeta> = Vec::new();
            let mut from = seqs.start;
            while from < seqs.end {
                let items = store.read_range(from..seqs.end, PAGE_BYTES).await?;
                let Some(last) = items.last() else { break };
                from = last.meta.seq + 1;
                metas.extend(items.iter().map(|item| item.meta));
            }
            Ok(metas)
        };
        ctx.spawn(reading.into_actor(self).map(move |items, actor, ctx| {
            actor.handle_input(Input::PagedIn { first_seq, items });
            actor.drive(ctx);
        }));
    }

    /// Lets the store forget what is needed no longer.
    pub(super) fn release(&mut self, seqs: Range<u64>, ctx: &mut Context<Self>) {
        let store = Rc::clone(&self.slot.store);
        let mut release = Box::pin(async move { store.release(seqs).await });
        let done = |answer: Result<(), StoreError>| {
            if let Err(error) = answer {
                tracing::warn!(%error, "released items could not be removed from the store");
            }
        };
        match release
            .as_mut()
            .poll(&mut std::task::Context::from_waker(Waker::noop()))
        {
            Poll::Ready(answer) => done(answer),
            Poll::Pending => {
                ctx.spawn(release.into_actor(self).map(move |answer, _, _| done(answer)));
            }
        }
    }
}
