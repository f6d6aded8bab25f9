//! Taking frames over from the intake: into the content store, then into the machine.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use actix::prelude::*;
use kvs_mkv::{Frame, FrameFlags, Timestamp, TrackSet};
use kvs_storage::{Durability, Item, ItemFlags, ItemMeta, Reservation, StoreError, StoreErrorKind};
use tokio::sync::oneshot;

use super::actor::StreamActor;
use super::intake::Ready;
use crate::error::{StreamError, StreamErrorKind};
use crate::events::StreamEvent;
use crate::machine::{DropReason, Input, Tally};

/// How much is read of a stored fragment at a time, in bytes.
const PAGE_BYTES: usize = 1 << 20;

/// When a store that had no room is asked again, if nothing is released before.
const ROOM_RETRY: Duration = Duration::from_millis(50);

/// How many frames are appended at a time.
const BATCH: usize = 64;

/// What was taken from the intake and is not with the machine yet.
#[derive(Default)]
pub(crate) struct Appending {
    ready: VecDeque<Ready>,
    batch: Vec<Item>,
    metas: Vec<ItemMeta>,
    starts_fragment: bool,
    /// The store has not answered yet, or has no room now.
    is_waiting: bool,
    /// The answer to an append that was waited for, and what is left of its batch.
    answer: Option<(Result<Durability, StoreError>, Vec<Item>)>,
}

/// One step of taking over.
enum Step {
    Append,
    Ready(Ready),
}

/// An append on its way, with what it took along.
type Append = Pin<Box<dyn Future<Output = (Result<Durability, StoreError>, Vec<Item>)>>>;

impl Appending {
    /// Whether nothing waits for the store.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_waiting && self.ready.is_empty() && self.metas.is_empty()
    }

    /// A new actor asks the store again for the room that the one before waited for.
    pub(super) fn resume(&mut self) {
        self.is_waiting &= self.batch.is_empty();
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
        while let Some(step) = self.next_step() {
            match step {
                Step::Append => self.append(ctx),
                Step::Ready(Ready::Frame { frame, charge }) => {
                    let next_seq = self.slot.machine.borrow().next_seq();
                    self.slot.appending.borrow_mut().push(frame, charge, next_seq);
                }
                Step::Ready(Ready::Fragment { timecode, tracks }) => {
                    self.slot.appending.borrow_mut().starts_fragment = true;
                    self.keep_formats(&tracks);
                    self.handle_input(Input::FragmentStart { timecode, tracks });
                }
                Step::Ready(Ready::FragmentEnd { tags }) => self.handle_input(Input::FragmentEnd { tags }),
                Step::Ready(Ready::Closed) => self.handle_input(Input::FragmentClosed),
                Step::Ready(Ready::Dropped { pts, tally, reason }) => {
                    self.handle_input(Input::Dropped { pts, tally, reason });
                }
                Step::Ready(Ready::Corrected(correction)) => {
                    self.slot.tell(StreamEvent::Corrected(correction));
                }
                Step::Ready(Ready::KeyFrameWanted { track, open_for }) => {
                    self.slot.tell(StreamEvent::KeyFrameWanted { track, open_for });
                }
                Step::Ready(Ready::Flush(answer)) => self.flush_store(answer),
            }
        }
    }

    /// What is to be done next with what is ready: frames in a row are appended together, everything else in its turn.
    fn next_step(&self) -> Option<Step> {
        let mut appending = self.slot.appending.borrow_mut();
        if appending.is_waiting {
            return None;
        }
        if appending.ready.is_empty() {
            self.slot.shared.intake().take_ready(&mut appending.ready);
        }
        let next_is_frame = matches!(appending.ready.front(), Some(Ready::Frame { .. }));
        let ends_batch = !next_is_frame || appending.metas.len() >= BATCH;
        if ends_batch && !appending.metas.is_empty() {
            return Some(Step::Append);
        }
        appending.ready.pop_front().map(Step::Ready)
    }

    /// Hands the batch to the store, and waits only if the store has no answer at hand.
    fn append(&mut self, ctx: &mut Context<Self>) {
        let slot = Rc::clone(&self.slot);
        let mut batch = std::mem::take(&mut slot.appending.borrow_mut().batch);
        let store = Rc::clone(&slot.store);
        let mut append: Append = Box::pin(async move {
            let answer = store.append(&mut batch).await;
            (answer, batch)
        });
        match append
            .as_mut()
            .poll(&mut std::task::Context::from_waker(Waker::noop()))
        {
            Poll::Ready((answer, left)) => self.appended(answer, left, ctx),
            Poll::Pending => {
                slot.appending.borrow_mut().is_waiting = true;
                // Not on the actor: its answer is for whichever actor drives the stream then.
                actix_rt::spawn(async move {
                    let answer = append.await;
                    slot.appending.borrow_mut().answer = Some(answer);
                    slot.shared.wake.notify_one();
                });
            }
        }
    }

    /// Takes the answer of an append that was waited for, if it is there.
    pub(super) fn take_append_answer(&mut self, ctx: &mut Context<Self>) {
        let answer = self.slot.appending.borrow_mut().answer.take();
        if let Some((answer, left)) = answer {
            self.slot.appending.borrow_mut().is_waiting = false;
            self.appended(answer, left, ctx);
        }
    }

    /// The store has answered: what it took goes to the machine. What found no room waits for it; what was refused for
    /// another reason is dropped and reported.
    fn appended(&mut self, answer: Result<Durability, StoreError>, left: Vec<Item>, ctx: &mut Context<Self>) {
        let first_left = left.first().map_or(u64::MAX, |item| item.meta.seq);
        let is_full = answer
            .as_ref()
            .is_err_and(|error| error.kind() == StoreErrorKind::Full);
        let mut metas = std::mem::take(&mut self.slot.appending.borrow_mut().metas);
        let waiting = metas.split_off(metas.partition_point(|meta| meta.seq < first_left));
        for meta in metas.drain(..) {
            self.handle_input(Input::Item(meta));
        }
        if is_full {
            let lacking = waiting.iter().map(ItemMeta::cost).sum();
            {
                let mut appending = self.slot.appending.borrow_mut();
                appending.metas = waiting;
                appending.batch = left;
                appending.is_waiting = true;
            }
            self.handle_input(Input::MakeRoom { bytes: lacking });
            ctx.run_later(ROOM_RETRY, |actor, ctx| {
                actor.slot.appending.borrow_mut().is_waiting = false;
                actor.attend(ctx);
            });
            return;
        }
        for meta in &waiting {
            let (pts, tally) = (Timestamp::from_nanos(meta.pts), Tally::frame(u64::from(meta.len)));
            self.handle_input(Input::Dropped {
                pts,
                tally,
                reason: DropReason::StoreFailure,
            });
        }
        {
            let mut appending = self.slot.appending.borrow_mut();
            appending.metas = metas;
            appending.batch = left;
            appending.batch.clear();
        }
        if let Err(error) = answer {
            self.slot.store_failed(error);
        }
    }

    /// Keeps the tracks of the fragment that begins, where they are new.
    fn keep_formats(&self, tracks: &Arc<TrackSet>) {
        let machine = self.slot.machine.borrow();
        let (next, oldest) = (machine.next_seq(), machine.oldest_seq());
        let mut formats = self.slot.formats.borrow_mut();
        if formats.note(next, tracks, oldest) {
            let mut saved = Box::pin(formats.save(Rc::clone(&self.slot.store)));
            // Asked for before the items are appended, so that no item is ever on disk whose tracks aren't.
            let at_once = saved
                .as_mut()
                .poll(&mut std::task::Context::from_waker(Waker::noop()));
            match at_once {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.slot.store_failed(error),
                Poll::Pending => {
                    let slot = Rc::clone(&self.slot);
                    actix_rt::spawn(async move {
                        if let Err(error) = saved.await {
                            slot.store_failed(error);
                        }
                    });
                }
            }
        }
    }

    /// Answers when everything appended so far is durable.
    fn flush_store(&self, answer: oneshot::Sender<Result<(), StreamError>>) {
        let slot = Rc::clone(&self.slot);
        actix_rt::spawn(async move {
            let flushed = slot.store.flush().await.map_err(|error| {
                StreamError::new(StreamErrorKind::Store, error.to_string())
                    .with_source(error)
                    .on_stream(slot.name())
            });
            // Whoever stopped waiting needs no answer.
            let _ = answer.send(flushed);
        });
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
    pub(super) fn release(&self, seqs: Range<u64>) {
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
                actix_rt::spawn(async move { done(release.await) });
            }
        }
    }
}
