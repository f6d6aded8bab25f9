//! Waiting for a future on a thread that has no runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Wakes a thread that waits.
struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Holds the thread up until `future` is ready, for `timeout` at most; `None` when that has passed.
///
/// The future may not need a runtime: no timers, no sockets. Channels and locks don't.
pub(crate) fn wait_within<F: Future>(timeout: Duration, future: F) -> Option<F::Output> {
    // A time too far to be told is no limit.
    let deadline = Instant::now().checked_add(timeout);
    let waker = Waker::from(Arc::new(ThreadWaker(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                thread::park_timeout(left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn what_is_ready_is_not_waited_for() {
        assert_eq!(wait_within(Duration::ZERO, ready(7)), Some(7));
    }

    #[test]
    fn what_never_comes_is_waited_for_until_the_timeout() {
        assert_eq!(wait_within(Duration::from_millis(1), pending::<()>()), None);
    }

    #[test]
    fn another_thread_ends_the_wait() {
        let (answer, answered) = oneshot::channel();
        let other = thread::spawn(move || answer.send(7));
        assert_eq!(wait_within(Duration::MAX, answered), Some(Ok(7)));
        assert_eq!(other.join().unwrap(), Ok(()));
    }
}
