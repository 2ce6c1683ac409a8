//! A request that several hear whom no combinator of this crate tells apart: the branches of
//! foreign ones, and handles that are only kept. Nobody is asked twice for the sake of one who went
//! unheard, and nothing is lost.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future as foreign;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use uring_loop::testing::run;
use uring_loop::time::{Elapsed, now, sleep, timeout};
use uring_loop::{Task, catch_cancel, join, race, spawn, yield_now};

use crate::support::poll_once;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

type Count = Rc<Cell<u32>>;
type Body = Pin<Box<dyn Future<Output = ()>>>;

fn add(count: &Count) {
    count.set(count.get() + 1);
}

/// Waits until it is cancelled, cleans up for `time`, and ends as cancelled.
async fn cleaning_up(time: Duration, cleaned: Count) {
    if let Err(request) = catch_cancel(pending::<()>()).await {
        sleep(time).await;
        add(&cleaned);
        request.propagate().await;
    }
}

/// As [`cleaning_up`], and counts how often that is interrupted by one more request.
async fn cleaning_up_that_hears(time: Duration, cleaned: Count, asked: Count) {
    if let Err(request) = catch_cancel(pending::<()>()).await {
        if catch_cancel(sleep(time)).await.is_err() {
            add(&asked);
        }
        add(&cleaned);
        request.propagate().await;
    }
}

/// Ready once the flag is up.
async fn up(flag: Rc<Cell<bool>>) {
    poll_fn(|_| if flag.get() { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Loses what catches in it in the very poll that brings the request, if the flag is up by then,
/// and goes on.
async fn loses_its_catcher(flag: Rc<Cell<bool>>) {
    drop(foreign::select(pin!(up(flag)), Box::pin(catch_cancel(pending::<()>()))).await);
    sleep(LONG).await;
}

/// The same with a race of ours.
async fn loses_a_race(flag: Rc<Cell<bool>>) {
    race((up(flag), async { drop(catch_cancel(pending::<()>()).await) })).await;
    sleep(LONG).await;
}

/// Lets the task run until it waits.
async fn started<T>(task: Task<T>) -> Task<T> {
    for _ in 0..4 {
        yield_now().await;
    }
    task
}

/// Cancels a program when the flag goes up, and tells how long it took to end as cancelled.
async fn cancelled(flag: &Cell<bool>, body: impl Future + 'static) -> Duration {
    let task = started(spawn(async move { drop(body.await) })).await;
    let start = now();
    flag.set(true);
    assert!(task.cancel());
    assert!(task.await.expect_err("cancelled").is_cancelled());
    now() - start
}

#[test]
fn a_clean_up_is_not_cut_short_for_a_catcher_that_is_lost_beside_it() {
    run(async {
        for order in 0..4 {
            let (flag, cleaned) = (Rc::new(Cell::new(false)), Count::default());
            let cleans: Body = Box::pin(cleaning_up(5 * MS, cleaned.clone()));
            let loses: Body = match order % 2 {
                0 => Box::pin(loses_its_catcher(flag.clone())),
                _ => Box::pin(loses_a_race(flag.clone())),
            };
            let (one, other) = if order < 2 { (cleans, loses) } else { (loses, cleans) };
            let took = cancelled(&flag, foreign::join(one, other)).await;
            assert_eq!((cleaned.get(), took), (1, 5 * MS), "order {order}");
        }
    });
}

#[test]
fn nor_is_it_asked_once_more() {
    run(async {
        for order in 0..2 {
            let (cleaned, asked) = (Count::default(), Count::default());
            let flag = Rc::new(Cell::new(false));
            let cleans = cleaning_up_that_hears(5 * MS, cleaned.clone(), asked.clone());
            let mut bodies: Vec<Body> =
                vec![Box::pin(cleans), Box::pin(loses_its_catcher(flag.clone()))];
            bodies.rotate_left(order);
            let program = async move {
                let mut all: FuturesUnordered<Body> = bodies.into_iter().collect();
                while all.next().await.is_some() {}
            };
            let took = cancelled(&flag, program).await;
            assert_eq!((cleaned.get(), asked.get(), took), (1, 0, 5 * MS), "order {order}");
        }
    });
}

#[test]
fn a_task_that_is_awaited_beside_it_is_cancelled_once() {
    run(async {
        for order in 0..2 {
            let (cleaned, asked) = (Count::default(), Count::default());
            let flag = Rc::new(Cell::new(false));
            let inner = spawn(cleaning_up_that_hears(5 * MS, cleaned.clone(), asked.clone()));
            let look = inner.task_ref();
            let awaits: Body = Box::pin(async move { drop(inner.await) });
            let mut bodies = vec![awaits, Box::pin(loses_its_catcher(flag.clone())) as Body];
            bodies.rotate_left(order);
            let took = cancelled(&flag, foreign::join_all(bodies)).await;
            assert_eq!((cleaned.get(), asked.get(), took), (1, 0, 5 * MS), "order {order}");
            assert_eq!(look.cancelling(), 1, "order {order}");
        }
    });
}

#[test]
fn a_handle_that_is_only_kept_does_not_disturb_a_clean_up() {
    run(async {
        let (flag, cleaned) = (Cell::new(false), Count::default());
        let kept = spawn(sleep(LONG));
        let look = kept.task_ref();
        let cleans = cleaned.clone();
        let took = cancelled(&flag, async move {
            let mut kept = kept;
            assert!(poll_once(&mut kept).await.is_pending());
            cleaning_up(5 * MS, cleans).await;
        });
        assert_eq!((took.await, cleaned.get()), (5 * MS, 1));
        assert_eq!((look.cancelling(), look.is_done()), (0, false), "detached");
    });
}

#[test]
fn in_a_branch_of_ours_too() {
    run(async {
        let (flag, cleaned) = (Rc::new(Cell::new(false)), Count::default());
        let theirs =
            foreign::join(loses_its_catcher(flag.clone()), cleaning_up(5 * MS, cleaned.clone()));
        let ours = join((theirs, cleaning_up(3 * MS, cleaned.clone()), sleep(LONG)));
        let took = cancelled(&flag, ours).await;
        assert_eq!((cleaned.get(), took), (2, 5 * MS));
    });
}

#[test]
fn a_limit_asks_once_as_well() {
    run(async {
        for order in 0..2 {
            let cleaned = Count::default();
            // Over in the very turn in which the limit is.
            let loses = async {
                let caught = Box::pin(catch_cancel(pending::<()>()));
                drop(foreign::select(Box::pin(sleep(10 * MS)), caught).await);
                sleep(LONG).await;
            };
            let cleans: Body = Box::pin(cleaning_up(5 * MS, cleaned.clone()));
            let mut bodies: Vec<Body> = vec![Box::pin(loses), cleans];
            bodies.rotate_left(order);
            let start = now();
            let limited = timeout(10 * MS, foreign::join_all(bodies)).await;
            assert_eq!(limited.map(drop), Err(Elapsed));
            assert_eq!((cleaned.get(), now() - start), (1, 15 * MS), "order {order}");
        }
    });
}

#[test]
fn a_request_nobody_has_heard_is_still_made_anew() {
    run(async {
        let flag = Rc::new(Cell::new(false));
        let both = foreign::join(loses_its_catcher(flag.clone()), loses_a_race(flag.clone()));
        assert_eq!(cancelled(&flag, both).await, Duration::ZERO);
    });
}

#[test]
fn a_swallowed_request_is_not_made_anew_and_the_next_one_is_heard() {
    run(async {
        let flag = Rc::new(Cell::new(false));
        let swallows = async {
            drop(catch_cancel(pending::<()>()).await);
            sleep(2 * MS).await;
        };
        let body = foreign::join(swallows, loses_its_catcher(flag.clone()));
        let task = started(spawn(body)).await;
        let start = now();
        flag.set(true);
        task.cancel();
        sleep(5 * MS).await;
        assert!(!task.is_done(), "a branch that catches nothing is not told, and runs on");
        task.cancel();
        assert!(task.await.expect_err("cancelled").is_cancelled());
        assert_eq!(now() - start, 5 * MS);
    });
}

#[test]
fn a_task_that_was_ready_before_it_answered_does_not_take_the_request_with_it() {
    run(async {
        let flag = Rc::new(Cell::new(false));
        let told = Count::default();
        let (look, tell) = (flag.clone(), told.clone());
        let inner = spawn(up(look));
        let wake = inner.task_ref();
        let task = started(spawn(async move {
            inner.await.expect("it is ready");
            add(&tell);
            sleep(LONG).await;
        }))
        .await;
        flag.set(true);
        task.cancel();
        wake.cancel(); // so that it is polled
        assert!(task.await.expect_err("at the next park").is_cancelled());
        assert_eq!(told.get(), 1);
    });
}

#[test]
fn a_request_handed_on_to_one_that_is_ready_is_made_anew() {
    run(async {
        let (flag, told) = (Rc::new(Cell::new(false)), Count::default());
        let (look, tell) = (flag.clone(), told.clone());
        let took = cancelled(&flag, async move {
            // The first hands the request on, in the poll in which the second is ready.
            let first = Box::pin(cleaning_up_at_once());
            let caught = catch_cancel(foreign::select(first, Box::pin(up(look)))).await;
            assert!(caught.is_ok(), "ready wins");
            add(&tell);
            sleep(LONG).await;
        });
        assert_eq!((took.await, told.get()), (Duration::ZERO, 1));
    });
}

async fn cleaning_up_at_once() {
    if let Err(request) = catch_cancel(pending::<()>()).await {
        request.propagate().await;
    }
}
