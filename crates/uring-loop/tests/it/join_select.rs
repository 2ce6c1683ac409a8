//! Futures side by side in one task: `join`, `try_join`, `race`, `select!`. What a cancel does to
//! them is in `branches.rs`.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use uring_loop::testing::run;
use uring_loop::time::{now, sleep};
use uring_loop::{join, race, select, spawn, try_join, yield_now};

use crate::parts::{Count, OnDrop};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

async fn after<T>(time: Duration, value: T) -> T {
    sleep(time).await;
    value
}

/// Says how often it was polled, and that it was dropped.
struct Watched<'a, F> {
    future: std::pin::Pin<Box<F>>,
    polls: &'a Cell<u32>,
    drops: &'a Cell<u32>,
}

impl<F: Future> Future for Watched<'_, F> {
    type Output = F::Output;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<F::Output> {
        self.polls.set(self.polls.get() + 1);
        self.future.as_mut().poll(cx)
    }
}

impl<F> Drop for Watched<'_, F> {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
    }
}

fn watched<'a, F: Future>(future: F, polls: &'a Cell<u32>, drops: &'a Cell<u32>) -> Watched<'a, F> {
    Watched { future: Box::pin(future), polls, drops }
}

#[test]
fn join_gives_all_outputs_in_the_order_of_its_futures() {
    run(async {
        let start = now();
        let (a, b, c) = join((after(9 * MS, 'a'), ready(2), after(5 * MS, "c"))).await;
        assert_eq!((a, b, c), ('a', 2, "c"));
        assert_eq!(now() - start, 9 * MS, "side by side");
        assert_eq!(join((ready(1),)).await, (1,));
        let [x, y] = join([after(2 * MS, 1), after(MS, 2)]).await;
        assert_eq!((x, y), (1, 2));
        assert_eq!(join(vec![after(2 * MS, 1), after(MS, 2)]).await, [1, 2]);
        assert_eq!(join(Vec::<std::future::Ready<u8>>::new()).await, [0_u8; 0]);
        let twelve = (
            ready(0),
            ready(1),
            ready(2),
            ready(3),
            ready(4),
            ready(5),
            ready(6),
            ready(7),
            ready(8),
            ready(9),
            ready(10),
            after(MS, 11),
        );
        assert_eq!(join(twelve).await, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    });
}

#[test]
fn branches_borrow_what_is_outside() {
    run(async {
        let shared = RefCell::new(Vec::new());
        let one = async {
            for n in 0..3 {
                shared.borrow_mut().push(n);
                yield_now().await;
            }
        };
        let other = async {
            for n in 10..13 {
                shared.borrow_mut().push(n);
                yield_now().await;
            }
        };
        join((one, other)).await;
        assert_eq!(*shared.borrow(), [0, 10, 1, 11, 2, 12]);
    });
}

#[test]
fn try_join_gives_all_values_or_the_first_error_and_drops_the_rest() {
    run(async {
        let both: Result<(u8, char), ()> = try_join((ready(Ok(1)), after(MS, Ok('b')))).await;
        assert_eq!(both, Ok((1, 'b')));
        let all: Result<[u8; 2], ()> = try_join([ready(Ok(1)), ready(Ok(2))]).await;
        assert_eq!(all, Ok([1, 2]));

        let start = now();
        let (polls, drops) = (Cell::new(0), Cell::new(0));
        let slow = watched(after(LONG, Ok::<(), &str>(())), &polls, &drops);
        let failed = try_join((slow, after(5 * MS, Err::<(), _>("no")))).await;
        assert_eq!((failed, drops.get()), (Err("no"), 1));
        assert_eq!(now() - start, 5 * MS);
        let many: Vec<_> =
            (0..100).map(|n| after(MS * n, if n == 50 { Err(n) } else { Ok(n) })).collect();
        assert_eq!(try_join(many).await, Err(50));
    });
}

#[test]
fn race_gives_the_first_output_and_drops_the_rest() {
    run(async {
        let start = now();
        let (polls, drops) = (Cell::new(0), Cell::new(0));
        let slow = watched(after(LONG, 1), &polls, &drops);
        assert_eq!(race((slow, after(5 * MS, 2))).await, 2);
        assert_eq!((drops.get(), now() - start), (1, 5 * MS));
        assert_eq!(race([after(3 * MS, 3), after(2 * MS, 2), after(4 * MS, 4)]).await, 2);
        assert_eq!(race((ready("first"), ready("second"))).await, "first");
        let many: Vec<_> = (1..=100).rev().map(|n| after(MS * n, n)).collect();
        assert_eq!(race(many).await, 1);
    });
}

#[test]
#[should_panic(expected = "a race without a future would never end")]
fn a_race_of_nothing_is_refused() {
    drop(race(Vec::<std::future::Ready<()>>::new()));
}

#[test]
fn of_many_branches_only_those_that_were_woken_are_polled() {
    run(async {
        let (polls, drops) = (Cell::new(0), Cell::new(0));
        let many: Vec<_> = (1..=1000).map(|n| watched(after(MS * n, n), &polls, &drops)).collect();
        assert_eq!(join(many).await.into_iter().sum::<u32>(), 500_500);
        assert_eq!(polls.get(), 2000, "each once to begin, once to end");
        assert_eq!(drops.get(), 1000);
    });
}

#[test]
fn wakes_of_many_branches_may_come_from_another_thread() {
    run(async {
        let many: Vec<_> = (0..40)
            .map(|n| async move { uring_loop::unblock(move || n * 2).await.expect("a thread") })
            .collect();
        let doubled = join(many).await;
        assert!(doubled.into_iter().eq((0..40).map(|n| n * 2)));
    });
}

#[test]
fn a_branch_of_many_that_wakes_itself_is_polled_again() {
    run(async {
        let many: Vec<_> = (0..50)
            .map(|n| async move {
                for _ in 0..n {
                    yield_now().await;
                }
                n
            })
            .collect();
        assert!(join(many).await.into_iter().eq(0..50));
    });
}

#[test]
fn select_runs_the_code_of_the_first() {
    run(async {
        let start = now();
        let won = select! {
            () = sleep(LONG) => "slow",
            value = after(5 * MS, "quick") => {
                sleep(MS).await; // it may wait
                value
            }
        };
        assert_eq!((won, now() - start), ("quick", 6 * MS));
    });
}

#[test]
fn select_drops_the_losers_before_the_code_runs() {
    run(async {
        let (polls, drops) = (Cell::new(0), Cell::new(0));
        let mut text = String::from("shared");
        let append = async {
            sleep(LONG).await;
            text.push('!');
        };
        select! {
            () = watched(append, &polls, &drops) => unreachable!(),
            () = sleep(MS) => {
                assert_eq!(drops.get(), 1);
                text.push('?'); // the loser had borrowed it
            }
        }
        assert_eq!(text, "shared?");
    });
}

#[test]
fn select_goes_on_without_a_branch_whose_output_does_not_match() {
    run(async {
        let value = select! {
            Some(n) = after(MS, None::<u32>) => n,
            Some(n) = after(5 * MS, Some(7)) => n,
        };
        assert_eq!(value, 7);
        let value = select! {
            Some(n) = after(MS, None::<u32>) => n,
            Ok(n) = after(2 * MS, Err::<u32, ()>(())) => n,
            else => 0,
        };
        assert_eq!(value, 0);
        let value = select! {
            Some(n @ 5..) = after(MS, Some(3)) => n,
            Some(n) = after(2 * MS, Some(4)) => n,
        };
        assert_eq!(value, 4);
    });
}

#[test]
fn select_does_not_make_a_future_whose_condition_is_false() {
    run(async {
        let made = Cell::new(0);
        let make = || {
            made.set(made.get() + 1);
            ready(1)
        };
        let no = made.get() > 0;
        let value = select! {
            biased;
            n = make(), if no => n,
            n = after(MS, 2), if !no => { n }
        };
        assert_eq!((value, made.get()), (2, 0));
        let value = select! {
            n = make(), if no => n,
            else => 9
        };
        assert_eq!((value, made.get()), (9, 0));
    });
}

#[test]
#[should_panic(expected = "every branch of select! is out")]
fn select_without_a_branch_and_without_else_panics() {
    run(async {
        select! {
            Some(()) = ready(None::<()>) => {}
        }
    });
}

#[test]
fn biased_select_prefers_the_first_and_fair_select_nobody() {
    run(async {
        let mut wins = [0; 3];
        for _ in 0..100 {
            select! {
                biased;
                () = ready(()) => wins[0] += 1,
                () = ready(()) => wins[1] += 1,
                () = ready(()) => wins[2] += 1,
            }
        }
        assert_eq!(wins, [100, 0, 0]);
        let mut wins = [0; 3];
        for _ in 0..3000 {
            select! {
                () = ready(()) => wins[0] += 1,
                () = ready(()) => wins[1] += 1,
                () = ready(()) => wins[2] += 1,
            }
        }
        assert!(wins.iter().all(|wins| (800..1200).contains(wins)), "{wins:?}");
    });
}

#[test]
fn select_in_a_loop_may_keep_a_future_and_leave_from_inside() {
    async fn until_the_third(limit: Duration) -> Result<u32, &'static str> {
        let mut limit = pin!(sleep(limit));
        let mut ticks = 0;
        loop {
            select! {
                () = &mut limit => return Err("too slow"),
                () = sleep(2 * MS) => {
                    ticks += 1;
                    if ticks < 3 {
                        continue;
                    }
                    let checked: Result<u32, &str> = Ok(ticks);
                    break Ok(checked?);
                }
            }
        }
    }
    run(async {
        assert_eq!(until_the_third(10 * MS).await, Ok(3));
        assert_eq!(until_the_third(5 * MS).await, Err("too slow"));
    });
}

#[test]
fn select_takes_one_branch_and_twelve() {
    run(async {
        assert_eq!(select! { n = ready(1) => n }, 1);
        let won = select! {
            () = pending() => 0,
            () = pending() => 1,
            () = pending() => 2,
            () = pending() => 3,
            () = pending() => 4,
            () = pending() => 5,
            () = pending() => 6,
            () = pending() => 7,
            () = pending() => 8,
            () = pending() => 9,
            () = pending() => 10,
            () = sleep(MS) => 11,
        };
        assert_eq!(won, 11);
    });
}

#[test]
fn dropping_and_forgetting_them_is_sound() {
    run(async {
        let mut joined = Box::pin(join((sleep(MS), pending::<()>())));
        assert!(futures_util::poll!(&mut joined).is_pending());
        drop(joined);
        let many: Vec<_> = (0..20).map(|_| sleep(MS)).collect();
        let mut raced = Box::pin(race(many));
        assert!(futures_util::poll!(&mut raced).is_pending());
        super::support::forget(raced);
        sleep(5 * MS).await;
    });
}

#[test]
fn a_panic_in_a_branch_goes_through_and_drops_the_others() {
    run(async {
        let dropped = Count::default();
        let guard = OnDrop(dropped.clone());
        let task = spawn(async move {
            let other = async move {
                let _guard = guard;
                pending::<()>().await;
            };
            let boom = async {
                sleep(MS).await;
                panic!("in a branch");
            };
            join((other, boom)).await;
        });
        assert!(task.await.expect_err("a panic").is_panic());
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn a_future_that_is_ready_is_not_polled_again() {
    run(async {
        let mut polls = 0;
        let once = poll_fn(move |_| {
            polls += 1;
            assert_eq!(polls, 1, "it was ready");
            Poll::Ready(1)
        });
        assert_eq!(join((once, after(5 * MS, 2), after(2 * MS, 3))).await, (1, 2, 3));
    });
}
