//! A test double: any store, with calls delayed and failed by script.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;

use crate::{ContentStore, Durability, Item, StoreError, StoreErrorKind, StoreFuture, StoredFragment};

/// A call of [`ContentStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreCall {
    /// [`ContentStore::append`].
    Append,
    /// [`ContentStore::read`].
    Read,
    /// [`ContentStore::read_range`].
    ReadRange,
    /// [`ContentStore::release`].
    Release,
    /// [`ContentStore::backlog`].
    Backlog,
    /// [`ContentStore::flush`].
    Flush,
    /// [`ContentStore::put_blob`].
    PutBlob,
    /// [`ContentStore::get_blob`].
    GetBlob,
    /// [`ContentStore::remove_blob`].
    RemoveBlob,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fault {
    /// How often the future answers "not yet" before anything happens. It wakes itself each time, so no clock is needed.
    pub delay_polls: u32,
    /// The error it ends with, without reaching the store inside.
    pub fail: Option<StoreErrorKind>,
}

impl Fault {
    /// The call goes through at once.
    pub const NONE: Fault = Fault {
        delay_polls: 0,
        fail: None,
    };

    /// The call goes through after this many polls.
    #[must_use]
    pub const fn delay(polls: u32) -> Fault {
        Fault {
            delay_polls: polls,
            fail: None,
        }
    }

    /// The call fails at once.
    #[must_use]
    pub const fn fail(kind: StoreErrorKind) -> Fault {
        Fault {
            delay_polls: 0,
            fail: Some(kind),
        }
    }
}

type Script = Box<dyn FnMut(StoreCall, u64) -> Fault>;

/// A store whose every call may be late or fail, as a script says.
///
/// ```
/// use kvs_storage::{ContentStore, MemoryStore, StoreErrorKind};
/// use kvs_storage::conformance::{Fault, FaultyStore, StoreCall};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // The second flush finds the disk full; reads answer late.
/// let store = FaultyStore::new(MemoryStore::new(), |call, nth| match (call, nth) {
///     (StoreCall::Flush, 1) => Fault::fail(StoreErrorKind::NoSpace),
///     (StoreCall::Read, _) => Fault::delay(3),
///     _ => Fault::NONE,
/// });
/// assert!(store.flush().await.is_ok());
/// assert_eq!(store.flush().await.unwrap_err().kind(), StoreErrorKind::NoSpace);
/// # }
/// ```
pub struct FaultyStore<S> {
    inner: S,
    script: RefCell<Script>,
    calls: [Cell<u64>; 9],
}

impl<S: ContentStore> FaultyStore<S> {
    /// Wraps a store. The script is asked at each call, with the number of calls of that kind before it.
    pub fn new(inner: S, script: impl FnMut(StoreCall, u64) -> Fault + 'static) -> FaultyStore<S> {
        FaultyStore {
            inner,
            script: RefCell::new(Box::new(script)),
            calls: Default::default(),
        }
    }

    /// Replaces the script; call counts go on.
    pub fn set_script(&self, script: impl FnMut(StoreCall, u64) -> Fault + 'static) {
        *self.script.borrow_mut() = Box::new(script);
    }

    /// How many calls of this kind were made.
    #[must_use]
    pub fn calls(&self, call: StoreCall) -> u64 {
        self.calls[call as usize].get()
    }

    /// The store inside.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn next_fault(&self, call: StoreCall) -> Fault {
        let count = &self.calls[call as usize];
        let nth = count.replace(count.get() + 1);
        (self.script.borrow_mut())(call, nth)
    }

    fn run<'a, T>(
        &'a self,
        call: StoreCall,
        inner: impl FnOnce(&'a S) -> StoreFuture<'a, T> + 'a,
    ) -> StoreFuture<'a, T> {
        let fault = self.next_fault(call);
        if fault == Fault::NONE {
            return inner(&self.inner);
        }
        StoreFuture::waiting(async move {
            pending_polls(fault.delay_polls).await;
            match fault.fail {
                Some(kind) => Err(StoreError::new(kind).with_detail("injected")),
                None => inner(&self.inner).await,
            }
        })
    }
}

fn pending_polls(mut polls: u32) -> impl Future<Output = ()> {
    poll_fn(move |cx| {
        if polls == 0 {
            return Poll::Ready(());
        }
        polls -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

impl<S: ContentStore> ContentStore for FaultyStore<S> {
    fn next_seq(&self) -> u64 {
        self.inner.next_seq()
    }

    fn append<'a>(&'a self, items: &'a mut Vec<Item>) -> StoreFuture<'a, Durability> {
        self.run(StoreCall::Append, move |inner| inner.append(items))
    }

    fn read(&self, seq: u64) -> StoreFuture<'_, Bytes> {
        self.run(StoreCall::Read, move |inner| inner.read(seq))
    }

    fn read_range(&self, seqs: Range<u64>, max_bytes: usize) -> StoreFuture<'_, Vec<Item>> {
        self.run(StoreCall::ReadRange, move |inner| {
            inner.read_range(seqs, max_bytes)
        })
    }

    fn release(&self, seqs: Range<u64>) -> StoreFuture<'_, ()> {
        self.run(StoreCall::Release, move |inner| inner.release(seqs))
    }

    fn backlog(&self) -> StoreFuture<'_, Vec<StoredFragment>> {
        self.run(StoreCall::Backlog, |inner| inner.backlog())
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        self.run(StoreCall::Flush, |inner| inner.flush())
    }

    fn put_blob<'a>(&'a self, key: &'a str, value: Bytes) -> StoreFuture<'a, ()> {
        self.run(StoreCall::PutBlob, move |inner| inner.put_blob(key, value))
    }

    fn get_blob<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        self.run(StoreCall::GetBlob, move |inner| inner.get_blob(key))
    }

    fn remove_blob<'a>(&'a self, key: &'a str) -> StoreFuture<'a, ()> {
        self.run(StoreCall::RemoveBlob, move |inner| inner.remove_blob(key))
    }
}

/// Polls a future exactly once, as a caller does that gives up afterwards.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    #[tokio::test]
    async fn a_failed_call_never_reaches_the_store_inside() {
        let store = FaultyStore::new(MemoryStore::new(), |call, nth| match (call, nth) {
            (StoreCall::PutBlob, 0) => Fault::fail(StoreErrorKind::Device),
            _ => Fault::NONE,
        });
        let error = store.put_blob("k", Bytes::from_static(b"v")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Device);
        assert_eq!(store.get_blob("k").await.unwrap(), None);
        store.put_blob("k", Bytes::from_static(b"v")).await.unwrap();
        assert_eq!(store.inner().get_blob("k").await.unwrap().unwrap(), "v");
        assert_eq!(store.calls(StoreCall::PutBlob), 2);
    }

    #[tokio::test]
    async fn a_delayed_call_answers_after_so_many_polls() {
        let store = FaultyStore::new(MemoryStore::new(), |_, _| Fault::delay(2));
        let mut flush = store.flush();
        assert!(poll_once(&mut flush).await.is_pending());
        assert!(poll_once(&mut flush).await.is_pending());
        assert!(poll_once(&mut flush).await.is_ready());
    }
}
