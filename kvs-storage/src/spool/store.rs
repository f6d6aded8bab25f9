//! A stream's content store over the spool.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::blob;
use super::engine::{Engine, SharedLoader};
use super::load::Loader;
use super::segment::Part;
use super::stream::{State, Stream, TryAppend};
use crate::ring::RangeAnswer;
use crate::{
    ContentStore, Durability, Item, ItemMeta, StoreError, StoreErrorKind, StoreFuture, StoredFragment,
    blob_key,
};

/// The content store of one stream in a [`Spool`](super::Spool): the newest items in memory, everything on disk.
///
/// Appending copies nothing: the payloads wait in memory until the writing thread has them on disk, and stay there as long
/// as the memory lasts. When memory is full of what isn't durable yet, an append waits for the disk; while the disk fails,
/// it answers with the disk's error instead and gives the items back. What lies on disk only is read ahead of need, in
/// order, by the reading thread.
pub struct SpoolStore {
    engine: Arc<Engine>,
    stream: Arc<Stream>,
    loader: SharedLoader,
}

/// Where a range answer stands.
enum Step {
    Complete,
    /// Items from here on are on disk only.
    Load {
        from: u64,
        end: u64,
    },
}

impl SpoolStore {
    pub(crate) fn new(engine: Arc<Engine>, stream: Arc<Stream>) -> SpoolStore {
        SpoolStore {
            engine,
            stream,
            loader: Arc::new(Mutex::new(Loader::default())),
        }
    }

    /// The stream's name.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream.name
    }

    /// Bytes of its segment files.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.stream.state().index.disk_bytes()
    }

    /// Bytes of its items in memory, overhead included.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.stream.state().ring().cost()
    }

    /// The disk's last failure, while it lasts. Writing is tried again by itself.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        self.stream.state().failure.clone()
    }

    async fn append_when_room(&self, items: &mut Vec<Item>) -> Result<Durability, StoreError> {
        loop {
            // Listening begins before the attempt, so no ring in between is missed.
            let room = self.stream.room.notified();
            let mut room = std::pin::pin!(room);
            room.as_mut().enable();
            match self.stream.try_append(items) {
                TryAppend::Taken(receipt) => {
                    self.engine.wake(&self.stream);
                    return Ok(receipt);
                }
                TryAppend::Refused(error) => return Err(error),
                TryAppend::NoRoom => self.engine.wake(&self.stream),
            }
            room.await;
        }
    }

    async fn load(&self, from: u64, end: u64) -> Result<(), StoreError> {
        let (stream, loader) = (Arc::clone(&self.stream), Arc::clone(&self.loader));
        let max_bytes = self.engine.options.read_ahead;
        self.engine
            .on_reader(move || load_into(&stream, &loader, from, end, max_bytes))
            .await
    }

    /// Reads on in the background once half of what was read ahead is used up.
    fn read_ahead(&self, state: &mut State) {
        let ahead = &state.ahead;
        let waiting: usize = ahead.items.iter().map(|(meta, _)| meta.len as usize).sum();
        let (from, end) = (ahead.covers.end, state.ring().first_seq());
        if waiting > self.engine.options.read_ahead / 2 || from >= end || !state.ahead.begin_loading() {
            return;
        }
        let (stream, loader) = (Arc::clone(&self.stream), Arc::clone(&self.loader));
        let max_bytes = self.engine.options.read_ahead;
        self.engine.on_reader_soon(move || {
            // A failure shows when the items are asked for.
            let _ = load_into(&stream, &loader, from, end, max_bytes);
        });
    }

    /// Carries an answer on with what is at hand.
    fn step(&self, from: &mut u64, end: u64, answer: &mut RangeAnswer) -> Step {
        let mut state = self.stream.state();
        while *from < end {
            let hot = state.ring().first_seq();
            if *from >= hot {
                take_from_memory(&state, *from..end, answer);
                return Step::Complete;
            }
            if !state.ahead.covers.contains(from) {
                return Step::Load {
                    from: *from,
                    end: end.min(hot),
                };
            }
            let covered = end.min(state.ahead.covers.end).min(hot);
            let full = take_from_ahead(&mut state, *from..covered, answer);
            self.read_ahead(&mut state);
            if full == Room::Full {
                return Step::Complete;
            }
            *from = covered;
        }
        Step::Complete
    }

    fn answer_range(&self, seqs: Range<u64>, max_bytes: usize) -> StoreFuture<'_, Vec<Item>> {
        let (mut from, end) = (seqs.start, seqs.end);
        let mut answer = RangeAnswer::new(max_bytes);
        let mut step = self.step(&mut from, end, &mut answer);
        if matches!(step, Step::Complete) {
            return StoreFuture::ready(Ok(answer.items));
        }
        StoreFuture::waiting(async move {
            while let Step::Load {
                from: load_from,
                end: load_end,
            } = step
            {
                self.load(load_from, load_end).await?;
                step = self.step(&mut from, end, &mut answer);
            }
            Ok(answer.items)
        })
    }

    /// Why an item that was asked for isn't there.
    fn missing(&self, seq: u64) -> StoreError {
        let state = self.stream.state();
        let kind = if seq >= state.ring().next_seq() {
            StoreErrorKind::NotFound
        } else if state.index.released().contains(seq) {
            StoreErrorKind::Released
        } else if state.ahead.damaged.contains(&seq)
            || state.index.part_from(seq).is_some_and(|part| is_dense(part, seq))
        {
            StoreErrorKind::Corrupt
        } else {
            StoreErrorKind::NotFound
        };
        self.stream.error(StoreError::new(kind).with_seq(seq))
    }

    async fn exact(&self, part: StoredFragment) -> Result<Option<StoredFragment>, StoreError> {
        let mut exact: Option<StoredFragment> = None;
        let mut from = part.first_seq;
        while from < part.end_seq {
            let items = self
                .answer_range(from..part.end_seq, self.engine.options.read_ahead)
                .await?;
            let Some(last) = items.last() else { break };
            from = last.meta.seq + 1;
            for item in &items {
                match &mut exact {
                    Some(fragment) => fragment.extend(&item.meta),
                    None => exact = Some(StoredFragment::starting_with(&item.meta)),
                }
            }
        }
        Ok(exact)
    }
}

/// Whether every number in the part belongs to an item, so that one that can't be read is damaged.
fn is_dense(part: &Part, seq: u64) -> bool {
    part.seqs().contains(&seq) && part.items.end_seq - part.items.first_seq == u64::from(part.items.items)
}

/// Whether an answer can take more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Left,
    Full,
}

fn take_from_memory(state: &State, seqs: Range<u64>, answer: &mut RangeAnswer) {
    for item in state.ring().items_from(seqs.start) {
        if item.meta.seq >= seqs.end || !answer.has_room_for(item.payload.len()) {
            break;
        }
        answer.push(*item.meta, item.payload.clone());
    }
}

fn take_from_ahead(state: &mut State, seqs: Range<u64>, answer: &mut RangeAnswer) -> Room {
    // Reading goes forward: what lies behind isn't asked for again but by a rollback, which reads anew.
    while state
        .ahead
        .items
        .front()
        .is_some_and(|(meta, _)| meta.seq < seqs.start)
    {
        state.ahead.items.pop_front();
    }
    state.ahead.covers.start = seqs.start;
    let State { ahead, index, .. } = state;
    for (meta, payload) in &ahead.items {
        if meta.seq >= seqs.end {
            break;
        }
        if index.released().contains(meta.seq) {
            continue;
        }
        if !answer.has_room_for(payload.len()) {
            return Room::Full;
        }
        answer.push(*meta, payload.clone());
    }
    Room::Left
}

fn load_into(
    stream: &Stream,
    loader: &Mutex<Loader>,
    from: u64,
    end: u64,
    max_bytes: usize,
) -> Result<(), StoreError> {
    let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = loader.load(stream, from, end, max_bytes);
    if loaded.as_ref().is_ok_and(|loaded| loaded.covered_to >= end) {
        loader.close();
    }
    let mut state = stream.state();
    state.ahead.end_loading();
    let loaded = loaded?;
    // Someone else may have read on from here meanwhile.
    if !state.ahead.covers.contains(&from) {
        drop(state);
        stream.loaded(from, loaded.covered_to, loaded.chunks);
    }
    Ok(())
}

impl ContentStore for SpoolStore {
    fn next_seq(&self) -> u64 {
        self.stream.state().ring().next_seq()
    }

    fn append<'a>(&'a self, items: &'a mut Vec<Item>) -> StoreFuture<'a, Durability> {
        match self.stream.try_append(items) {
            TryAppend::Taken(receipt) => {
                self.engine.wake(&self.stream);
                StoreFuture::ready(Ok(receipt))
            }
            TryAppend::Refused(error) => StoreFuture::ready(Err(error)),
            TryAppend::NoRoom => StoreFuture::waiting(self.append_when_room(items)),
        }
    }

    fn read(&self, seq: u64) -> StoreFuture<'_, Bytes> {
        let pick = move |mut items: Vec<Item>| match items.pop() {
            Some(item) => Ok(item.payload),
            None => Err(self.missing(seq)),
        };
        match self
            .answer_range(seq..seq.saturating_add(1), usize::MAX)
            .try_now()
        {
            Ok(answer) => StoreFuture::ready(answer.and_then(pick)),
            Err(waiting) => StoreFuture::waiting(async move { waiting.await.and_then(pick) }),
        }
    }

    fn read_range(&self, seqs: Range<u64>, max_bytes: usize) -> StoreFuture<'_, Vec<Item>> {
        self.answer_range(seqs, max_bytes)
    }

    fn release(&self, seqs: Range<u64>) -> StoreFuture<'_, ()> {
        self.stream.release(seqs);
        self.engine.wake(&self.stream);
        StoreFuture::ready(Ok(()))
    }

    fn backlog(&self) -> StoreFuture<'_, Vec<StoredFragment>> {
        StoreFuture::waiting(async move {
            let (parts, unwritten) = {
                let state = self.stream.state();
                let parts: Vec<(u64, StoredFragment, Room)> = state
                    .index
                    .live_parts()
                    .map(|part| {
                        let whole = !state.index.released().touches(&part.seqs());
                        (
                            part.fragment,
                            part.items,
                            if whole { Room::Full } else { Room::Left },
                        )
                    })
                    .collect();
                let unwritten: Vec<(u64, ItemMeta)> = state
                    .ring()
                    .items_from(state.written_end())
                    .map(|item| (item.placement.fragment, *item.meta))
                    .collect();
                (parts, unwritten)
            };
            let mut backlog: Vec<(u64, StoredFragment)> = Vec::new();
            for (fragment, items, room) in parts {
                let items = match room {
                    Room::Full => Some(items),
                    Room::Left => self.exact(items).await?,
                };
                let Some(items) = items else { continue };
                match backlog.last_mut() {
                    Some((last, held)) if *last == fragment => *held = held.joined_with(&items),
                    _ => backlog.push((fragment, items)),
                }
            }
            for (fragment, meta) in unwritten {
                match backlog.last_mut() {
                    Some((last, held)) if *last == fragment => held.extend(&meta),
                    _ => backlog.push((fragment, StoredFragment::starting_with(&meta))),
                }
            }
            Ok(backlog.into_iter().map(|(_, fragment)| fragment).collect())
        })
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.stream.state();
            if !state.has_unwritten() && !state.has_unsynced() {
                return StoreFuture::ready(Ok(()));
            }
            state.flush_waiters.push(answer);
        }
        self.engine.wake(&self.stream);
        StoreFuture::waiting(async move {
            answered
                .await
                .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Closed)))
        })
    }

    fn put_blob<'a>(&'a self, key: &'a str, value: Bytes) -> StoreFuture<'a, ()> {
        if let Err(error) = blob_key::check(key) {
            return StoreFuture::ready(Err(error));
        }
        let (stream, key) = (Arc::clone(&self.stream), key.to_owned());
        StoreFuture::waiting(self.engine.on_writer(move || {
            blob::put(&*stream.disk, &stream.dir, &key, &value).map_err(|error| stream.error(error))
        }))
    }

    fn get_blob<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        if let Err(error) = blob_key::check(key) {
            return StoreFuture::ready(Err(error));
        }
        let (stream, key) = (Arc::clone(&self.stream), key.to_owned());
        StoreFuture::waiting(self.engine.on_reader(move || {
            blob::get(&*stream.disk, &stream.dir, &key).map_err(|error| stream.error(error))
        }))
    }

    fn remove_blob<'a>(&'a self, key: &'a str) -> StoreFuture<'a, ()> {
        if let Err(error) = blob_key::check(key) {
            return StoreFuture::ready(Err(error));
        }
        let (stream, key) = (Arc::clone(&self.stream), key.to_owned());
        StoreFuture::waiting(self.engine.on_writer(move || {
            blob::remove(&*stream.disk, &stream.dir, &key).map_err(|error| stream.error(error))
        }))
    }
}

impl Drop for SpoolStore {
    fn drop(&mut self) {
        // Lets the writing thread finish what is left and forget the stream.
        self.engine.wake(&self.stream);
    }
}
