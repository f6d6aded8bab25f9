//! How a store says that what it took would survive a power cut.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{StoreError, StoreErrorKind};

/// The receipt of an append: what was taken, and a way to wait until it is durable.
///
/// In a memory store everything is as durable as it will ever be, and [`wait`](Durability::wait) returns at once.
#[derive(Debug, Clone)]
pub struct Durability {
    end_seq: u64,
    mark: Option<Arc<watch::Sender<MarkState>>>,
}

impl Durability {
    /// A receipt for items up to `end_seq` (exclusive) that are as durable as the store makes them.
    #[must_use]
    pub fn reached(end_seq: u64) -> Durability {
        Durability { end_seq, mark: None }
    }

    /// One past the last item the receipt covers.
    #[must_use]
    pub fn end_seq(&self) -> u64 {
        self.end_seq
    }

    /// Whether everything covered is durable already.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.mark
            .as_ref()
            .is_none_or(|mark| mark.borrow().end_seq >= self.end_seq)
    }

    /// Waits until everything covered is durable. Cancel-safe, `Send`, and may be called again after an error.
    ///
    /// # Errors
    /// The disk failed while it was waited for: the items are still held in memory, and the store tries again by itself;
    /// or the store was closed before it got there ([`StoreErrorKind::Closed`]).
    pub async fn wait(&self) -> Result<(), StoreError> {
        let Some(mark) = &self.mark else { return Ok(()) };
        let mut watch = mark.subscribe();
        let failures = watch.borrow_and_update().failures;
        let settled = watch
            .wait_for(|state| state.end_seq >= self.end_seq || state.closed || state.failures != failures)
            .await;
        match settled {
            Ok(state) if state.end_seq >= self.end_seq => Ok(()),
            Ok(state) => Err(state
                .error
                .clone()
                .unwrap_or_else(|| StoreError::new(StoreErrorKind::Closed))),
            Err(_) => Err(StoreError::new(StoreErrorKind::Closed)),
        }
    }
}

#[derive(Debug, Default)]
struct MarkState {
    end_seq: u64,
    failures: u64,
    error: Option<StoreError>,
    closed: bool,
}

/// A store's own side of its receipts: it moves as data becomes durable.
///
/// Dropping it answers every waiting receipt with [`StoreErrorKind::Closed`].
#[derive(Debug, Default)]
pub struct DurableMark {
    state: Arc<watch::Sender<MarkState>>,
}

impl DurableMark {
    /// A mark below which everything is durable.
    #[must_use]
    pub fn new(end_seq: u64) -> DurableMark {
        let state = MarkState {
            end_seq,
            ..MarkState::default()
        };
        DurableMark {
            state: Arc::new(watch::Sender::new(state)),
        }
    }

    /// A receipt for items up to `end_seq` (exclusive).
    #[must_use]
    pub fn receipt(&self, end_seq: u64) -> Durability {
        Durability {
            end_seq,
            mark: Some(Arc::clone(&self.state)),
        }
    }

    /// One past the last durable item.
    #[must_use]
    pub fn end_seq(&self) -> u64 {
        self.state.borrow().end_seq
    }

    /// Everything below `end_seq` is durable. A mark never moves back.
    pub fn advance(&self, end_seq: u64) {
        self.state.send_if_modified(|state| {
            let moved = end_seq > state.end_seq;
            state.end_seq = state.end_seq.max(end_seq);
            moved
        });
    }

    /// Tells everyone who waits now that the last attempt failed.
    pub fn fail(&self, error: StoreError) {
        self.state.send_modify(|state| {
            state.failures += 1;
            state.error = Some(error);
        });
    }
}

impl Drop for DurableMark {
    fn drop(&mut self) {
        self.state.send_modify(|state| {
            state.closed = true;
            state.error = Some(StoreError::new(StoreErrorKind::Closed));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receipt_waits_for_the_mark_to_pass_it() {
        let mark = DurableMark::new(3);
        let receipt = mark.receipt(5);
        assert!(mark.receipt(3).is_reached());
        let waiting = tokio::spawn(async move { receipt.wait().await.map(|()| receipt.is_reached()) });
        mark.advance(4);
        mark.advance(2);
        assert_eq!(mark.end_seq(), 4);
        mark.advance(9);
        assert!(waiting.await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn a_failure_answers_those_who_wait_and_not_those_who_come_later() {
        let mark = DurableMark::new(0);
        let receipt = mark.receipt(1);
        let early = tokio::spawn({
            let receipt = receipt.clone();
            async move { receipt.wait().await }
        });
        tokio::task::yield_now().await;
        mark.fail(StoreError::new(StoreErrorKind::NoSpace));
        assert_eq!(early.await.unwrap().unwrap_err().kind(), StoreErrorKind::NoSpace);
        mark.advance(1);
        receipt.wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_closed_store_leaves_nobody_waiting() {
        let mark = DurableMark::new(0);
        let receipt = mark.receipt(1);
        drop(mark);
        assert_eq!(receipt.wait().await.unwrap_err().kind(), StoreErrorKind::Closed);
    }
}
