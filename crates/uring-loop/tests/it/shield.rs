//! Shields: what passes through them, in which direction, and who hears of a late failure. The
//! situations are those of asyncio's shield tests.

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join, select};
use uring_loop::testing::run;
use uring_loop::time::{Elapsed, now, sleep, timeout};
use uring_loop::{JoinError, Task, catch_cancel, shield, spawn, yield_now};

use super::support::logged;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

/// A task that counts its end, unless it is cancelled before.
fn counting(time: Duration) -> (Task<u32>, Rc<Cell<u32>>) {
    let count = Rc::new(Cell::new(0));
    let mark = count.clone();
    let task = spawn(async move {
        sleep(time).await;
        mark.set(mark.get() + 1);
        mark.get()
    });
    (task, count)
}

#[test]
fn a_value_passes() {
    run(async {
        assert_eq!(shield(spawn(async { 42 })).await.expect("a value"), 42);
        let (task, _) = counting(MS);
        assert_eq!(shield(task).await.expect("a value"), 1);
    });
}

#[test]
fn a_panic_passes_and_is_not_reported() {
    let ((), log) = logged(|| {
        run(async {
            let task: Task<()> = spawn(async { panic!("boom") });
            let error = shield(task).await.expect_err("a panic");
            assert!(error.is_panic());
        });
    });
    assert!(!log.contains("nobody looked"), "{log}");
}

#[test]
fn what_is_done_already_is_ready_at_once() {
    run(async {
        let task = spawn(async { 1 });
        sleep(MS).await;
        assert!(task.is_done());
        let mut shielded = shield(task);
        assert!(futures_util::poll!(&mut shielded).is_ready());
    });
}

#[test]
fn a_cancel_of_the_task_itself_is_seen() {
    run(async {
        let shielded = shield(spawn(pending::<()>()));
        yield_now().await;
        shielded.task().cancel_with("by hand");
        let error = shielded.await.expect_err("cancelled");
        assert_eq!(error.reason(), Some("by hand"));
        assert!(matches!(error, JoinError::Cancelled(_)));
    });
}

#[test]
fn an_awaiter_that_is_cancelled_ends_at_once_and_the_task_runs_on() {
    run(async {
        let (task, count) = counting(10 * MS);
        let start = now();
        let awaiter = spawn(async move { shield(task).await.expect("a value") });
        sleep(MS).await;
        awaiter.cancel();
        assert!(awaiter.await.expect_err("cancelled").is_cancelled());
        assert_eq!((now() - start, count.get()), (MS, 0));
        sleep(LONG).await;
        assert_eq!(count.get(), 1);
    });
}

#[test]
fn an_awaiter_that_catches_may_go_on_waiting() {
    run(async {
        let (task, _) = counting(10 * MS);
        let awaiter = spawn(async move {
            let mut shielded = shield(task);
            match catch_cancel(&mut shielded).await {
                Ok(_) => unreachable!("it was cancelled before"),
                Err(request) => {
                    let value = shielded.await.expect("it was left alone");
                    assert_eq!(value, 1);
                    request.propagate().await
                }
            }
        });
        sleep(MS).await;
        let start = now();
        awaiter.cancel();
        assert!(awaiter.await.expect_err("in the end").is_cancelled());
        assert_eq!(now() - start, 9 * MS);
    });
}

#[test]
fn a_limit_round_a_shield_ends_the_waiting_only() {
    run(async {
        let (task, count) = counting(10 * MS);
        let mut shielded = shield(task);
        assert_eq!(timeout(MS, &mut shielded).await.expect_err("too short"), Elapsed);
        assert_eq!(timeout(MS, &mut shielded).await.expect_err("too short"), Elapsed);
        assert_eq!(count.get(), 0);
        assert_eq!(shielded.await.expect("a value"), 1);
    });
}

#[test]
fn a_limit_inside_of_the_task_is_its_own() {
    run(async {
        let task = spawn(async { timeout(5 * MS, sleep(LONG)).await });
        let awaiter = spawn(async move { shield(task).await.expect("no panic") });
        assert_eq!(awaiter.await.expect("not cancelled"), Err(Elapsed));
    });
}

#[test]
fn a_task_that_fails_after_its_awaiter_went_is_reported_once() {
    let ((), log) = logged(|| {
        run(async {
            let task: Task<()> = spawn(async {
                sleep(5 * MS).await;
                panic!("too late for anybody");
            });
            let awaiter = spawn(async move { shield(task).await });
            sleep(MS).await;
            awaiter.cancel();
            assert!(awaiter.await.is_err());
            sleep(LONG).await;
        });
    });
    assert_eq!(log.matches("too late for anybody").count(), 1, "{log}");
    assert!(log.contains("ERROR") && log.contains("shield.rs"), "{log}");
}

#[test]
fn a_task_that_is_cancelled_after_its_awaiter_went_is_no_failure() {
    let ((), log) = logged(|| {
        run(async {
            let shielded = shield(spawn(pending::<()>()));
            shielded.task().cancel();
            drop(shielded);
            sleep(MS).await;
        });
    });
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn several_awaiters_one_after_the_other_see_the_same_task() {
    run(async {
        let (task, count) = counting(10 * MS);
        let mut shielded = shield(task);
        for _ in 0..3 {
            let mut tick = pin!(sleep(MS));
            drop(select(&mut shielded, tick.as_mut()).await);
        }
        assert_eq!(shielded.await.expect("a value"), 1);
        assert_eq!(count.get(), 1);
    });
}

#[test]
fn a_shield_side_by_side_with_a_catcher_leaves_its_task_alone() {
    run(async {
        let (task, count) = counting(10 * MS);
        let awaiter = spawn(async move {
            let caught = catch_cancel(pending::<()>());
            join(caught, shield(task)).await
        });
        sleep(MS).await;
        awaiter.cancel();
        let (caught, value) = awaiter.await.expect("swallowed");
        assert!(caught.is_err());
        assert_eq!((value.expect("a value"), count.get()), (1, 1));
    });
}

#[test]
fn a_task_without_its_shield_is_asked_again() {
    run(async {
        let (task, count) = counting(10 * MS);
        let mut shielded = shield(task);
        assert!(timeout(MS, &mut shielded).await.is_err());
        let task = shielded.into_task();
        assert!(timeout(MS, task).await.is_err());
        sleep(LONG).await;
        assert_eq!(count.get(), 0, "it was cancelled by the second limit");
    });
}

#[test]
fn a_task_that_was_awaited_before_is_shielded_all_the_same() {
    run(async {
        let (mut task, count) = counting(10 * MS);
        let awaiter = spawn(async move {
            let mut tick = pin!(sleep(MS));
            drop(select(&mut task, tick.as_mut()).await);
            shield(task).await
        });
        sleep(2 * MS).await;
        awaiter.cancel();
        assert!(awaiter.await.is_err());
        sleep(LONG).await;
        assert_eq!(count.get(), 1, "its old place in the tree is gone");
    });
}

#[test]
fn aborting_the_awaiter_leaves_the_task_and_aborting_the_task_ends_the_awaiting() {
    run(async {
        let (task, count) = counting(10 * MS);
        let awaiter = spawn(async move { shield(task).await });
        sleep(MS).await;
        awaiter.abort();
        sleep(LONG).await;
        assert_eq!(count.get(), 1);

        let shielded = shield(spawn(pending::<()>()));
        yield_now().await;
        shielded.task().abort();
        assert!(shielded.await.expect_err("aborted").is_cancelled());
    });
}
