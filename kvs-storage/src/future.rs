//! The future every store call returns: free when the answer is at hand.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::StoreError;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + 'a>>;

/// The answer of a store: at hand already, or yet to come.
///
/// An answer at hand costs no allocation, so a store in memory pays nothing for the seam being asynchronous. The future is
/// local: it isn't `Send`, and stays on the thread of the stream it serves.
#[must_use = "a store call does nothing until it is awaited"]
pub struct StoreFuture<'a, T> {
    state: State<'a, T>,
}

enum State<'a, T> {
    Ready(Result<T, StoreError>),
    Waiting(Boxed<'a, T>),
    Taken,
}

// Nothing in it is pinned in place: the waiting future is behind its own box.
impl<T> Unpin for StoreFuture<'_, T> {}

impl<'a, T> StoreFuture<'a, T> {
    /// An answer that is at hand.
    pub fn ready(answer: Result<T, StoreError>) -> StoreFuture<'a, T> {
        StoreFuture {
            state: State::Ready(answer),
        }
    }

    /// An answer that is yet to come.
    pub fn waiting(answer: impl Future<Output = Result<T, StoreError>> + 'a) -> StoreFuture<'a, T> {
        StoreFuture {
            state: State::Waiting(Box::pin(answer)),
        }
    }

    /// The answer if it is at hand, else the future itself: lets a driver skip the executor.
    pub fn try_now(self) -> Result<Result<T, StoreError>, StoreFuture<'a, T>> {
        match self.state {
            State::Ready(answer) => Ok(answer),
            _ => Err(self),
        }
    }
}

impl<T> Future for StoreFuture<'_, T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Ready(answer) => Poll::Ready(answer),
            State::Waiting(mut answer) => match answer.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(answer),
                Poll::Pending => {
                    self.state = State::Waiting(answer);
                    Poll::Pending
                }
            },
            // Polled after its end, which no executor does.
            State::Taken => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_kinds_of_answer_arrive() {
        assert_eq!(StoreFuture::ready(Ok(1)).await.unwrap(), 1);
        assert_eq!(StoreFuture::waiting(async { Ok(2) }).await.unwrap(), 2);
    }

    #[test]
    fn an_answer_at_hand_needs_no_executor() {
        assert_eq!(StoreFuture::ready(Ok(3)).try_now().ok().unwrap().unwrap(), 3);
        assert!(StoreFuture::waiting(async { Ok(4) }).try_now().is_err());
    }
}
