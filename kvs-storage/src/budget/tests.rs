use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::*;

fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_reservation_gives_its_bytes_back_on_drop() {
    let budget = ByteBudget::new(100);
    let held = budget.try_reserve(60).unwrap();
    assert_eq!((budget.used(), budget.available(), held.bytes()), (60, 40, 60));
    assert!(budget.try_reserve(41).is_none());
    drop(held);
    assert_eq!((budget.used(), budget.available()), (0, 100));
}

#[test]
fn splitting_and_merging_neither_make_nor_lose_bytes() {
    let budget = ByteBudget::new(100);
    let mut whole = budget.try_reserve(60).unwrap();
    let part = whole.split(20).unwrap();
    assert!(whole.split(41).is_none());
    assert_eq!((whole.bytes(), part.bytes(), budget.used()), (40, 20, 60));
    whole.merge(part).unwrap();
    assert_eq!((whole.bytes(), budget.used()), (60, 60));
    let stranger = ByteBudget::new(10).try_reserve(1).unwrap();
    assert_eq!(whole.merge(stranger).unwrap_err().bytes(), 1);
    drop(whole);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_request_that_can_never_fit_fails_at_once() {
    let budget = ByteBudget::new(100);
    let Poll::Ready(answer) = poll(pin!(budget.reserve(101))) else {
        panic!("it waits for nothing")
    };
    assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::TooLarge);
}

#[test]
fn a_large_request_is_not_passed_by_small_ones() {
    let budget = ByteBudget::new(100);
    let first = budget.try_reserve(50).unwrap();
    let second = budget.try_reserve(50).unwrap();
    let mut large = pin!(budget.reserve(80));
    assert!(poll(large.as_mut()).is_pending());
    drop(first);
    assert!(
        budget.try_reserve(10).is_none(),
        "room is kept for the one who waits"
    );
    let mut small = pin!(budget.reserve(10));
    assert!(poll(small.as_mut()).is_pending());
    drop(second);
    let Poll::Ready(Ok(large)) = poll(large.as_mut()) else {
        panic!("the large request fits now")
    };
    let Poll::Ready(Ok(small)) = poll(small.as_mut()) else {
        panic!("and so does the small one")
    };
    assert_eq!(budget.used(), large.bytes() + small.bytes());
}

#[test]
fn leaving_the_line_lets_the_next_one_in() {
    let budget = ByteBudget::new(100);
    let _held = budget.try_reserve(50).unwrap();
    let mut small = pin!(budget.reserve(10));
    {
        let mut large = pin!(budget.reserve(80));
        assert!(poll(large.as_mut()).is_pending());
        assert!(poll(small.as_mut()).is_pending());
    }
    assert!(poll(small.as_mut()).is_ready());
}

#[test]
fn a_grant_that_nobody_took_is_given_back() {
    let budget = ByteBudget::new(100);
    let held = budget.try_reserve(100).unwrap();
    {
        let mut waiting = pin!(budget.reserve(100));
        assert!(poll(waiting.as_mut()).is_pending());
        drop(held);
        assert_eq!(budget.used(), 100, "granted, and not yet looked at");
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_guaranteed_share_is_there_however_much_others_hold() {
    let budget = ByteBudget::new(100);
    let quiet = budget
        .share(Share {
            guaranteed: 30,
            max: None,
        })
        .unwrap();
    let greedy = budget.share(Share::default()).unwrap();
    assert!(greedy.try_reserve(71).is_none());
    let _all = greedy.try_reserve(70).unwrap();
    let own = quiet.try_reserve(30).unwrap();
    assert!(quiet.try_reserve(1).is_none());
    assert_eq!(
        (quiet.share_used(), greedy.share_used(), budget.used()),
        (30, 70, 100)
    );
    drop(own);
    assert_eq!(quiet.available(), 30);
    assert_eq!(greedy.available(), 0);
}

#[test]
fn a_share_never_holds_more_than_its_maximum_and_holds_nobody_up() {
    let budget = ByteBudget::new(100);
    let capped = budget
        .share(Share {
            guaranteed: 0,
            max: Some(40),
        })
        .unwrap();
    let other = budget.share(Share::default()).unwrap();
    let held = capped.try_reserve(40).unwrap();
    let mut waiting = pin!(capped.reserve(10));
    assert!(poll(waiting.as_mut()).is_pending());
    let mut granted = pin!(other.reserve(50));
    let Poll::Ready(Ok(_granted)) = poll(granted.as_mut()) else {
        panic!("the capped share is in the way")
    };
    drop(held);
    assert!(poll(waiting.as_mut()).is_ready());
}

#[test]
fn streams_take_turns() {
    let budget = ByteBudget::new(100);
    let busy = budget.share(Share::default()).unwrap();
    let quiet = budget.share(Share::default()).unwrap();
    let mut held: VecDeque<Reservation> = (0..10).map(|_| budget.try_reserve(10).unwrap()).collect();
    let mut line: Vec<_> = (0..5).map(|_| Box::pin(busy.reserve(10))).collect();
    for waiting in &mut line {
        assert!(poll(waiting.as_mut()).is_pending());
    }
    let mut single = pin!(quiet.reserve(10));
    assert!(poll(single.as_mut()).is_pending());
    held.pop_front();
    held.pop_front();
    let Poll::Ready(_single) = poll(single.as_mut()) else {
        panic!("one turn for the busy stream, then the quiet one")
    };
    let served: Vec<_> = line
        .iter_mut()
        .filter_map(|waiting| match poll(waiting.as_mut()) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        })
        .collect();
    assert_eq!(served.len(), 1);
}

#[test]
fn a_share_gives_its_guarantee_back_when_it_ends() {
    let budget = ByteBudget::new(100);
    let share = budget
        .share(Share {
            guaranteed: 60,
            max: None,
        })
        .unwrap();
    assert!(
        budget
            .share(Share {
                guaranteed: 41,
                max: None
            })
            .is_err()
    );
    let held = share.try_reserve(10).unwrap();
    drop(share);
    assert_eq!(budget.available(), 40, "a reservation keeps the share");
    drop(held);
    assert_eq!(budget.available(), 100);
}

#[test]
fn pressure_rises_and_falls_at_different_levels() {
    let budget = ByteBudget::with_thresholds(
        100,
        PressureThresholds {
            high_percent: 90,
            normal_percent: 50,
        },
    );
    let watch = budget.watch_pressure();
    let mut held = budget.try_reserve(89).unwrap();
    assert_eq!(budget.pressure(), Pressure::Normal);
    let last = budget.try_reserve(1).unwrap();
    assert_eq!(budget.pressure(), Pressure::High);
    drop(last);
    drop(held.split(39));
    assert_eq!(
        budget.pressure(),
        Pressure::High,
        "50 of 100 isn't below the lower level"
    );
    drop(held.split(1));
    assert_eq!(budget.pressure(), Pressure::Normal);
    assert!(watch.has_changed().unwrap());
}

#[tokio::test]
async fn the_budget_serves_waiters_on_any_thread() {
    let budget = ByteBudget::new(1_000);
    let workers: Vec<_> = (1..=4u64)
        .map(|worker| {
            let budget = budget.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    for round in 1..200 {
                        let held = budget.reserve(worker * 200 + round).await.unwrap();
                        assert!(budget.used() <= 1_000);
                        drop(held);
                    }
                });
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_reserve_crosses_threads() {
    fn assert_send<T: Send>(_: &T) {}
    let budget = ByteBudget::new(1);
    assert_send(&budget.reserve(1));
    assert_send(&budget);
}
