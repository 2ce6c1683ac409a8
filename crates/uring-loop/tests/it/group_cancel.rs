//! Groups of tasks that are asked to end from outside, dropped, or kept waiting.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::testing::run;
use uring_loop::time::{Elapsed, now, sleep, timeout};
use uring_loop::{Task, TaskGroup, catch_cancel, spawn, yield_now};

use super::support::logged;
use crate::parts::{Count, OnDrop, cleaning_up, started};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_cancel_ends_body_and_children_and_goes_on_outward() {
    run(async {
        let (cleaned, start) = (Count::default(), now());
        let count = cleaned.clone();
        let parent = spawn(async move {
            let _ = TaskGroup::<()>::scope(async |group| {
                group.spawn_value(cleaning_up(5 * MS, count.clone()));
                group.spawn_value(cleaning_up(7 * MS, count.clone()));
                sleep(LONG).await;
                Ok(())
            })
            .await;
            unreachable!("the request goes on")
        });
        let parent: Task<()> = started(parent).await;
        parent.cancel();
        assert!(parent.await.expect_err("cancelled").is_cancelled());
        assert_eq!((cleaned.get(), now() - start), (2, 7 * MS), "it waited for both");
    });
}

#[test]
fn a_cancel_while_only_children_are_left_ends_them() {
    run(async {
        let (cleaned, start) = (Count::default(), now());
        let count = cleaned.clone();
        let parent = spawn(TaskGroup::<()>::scope(async move |group| {
            group.spawn_value(cleaning_up(5 * MS, count));
            Ok("a value that nobody gets")
        }));
        sleep(MS).await;
        parent.cancel();
        assert!(parent.await.expect_err("cancelled").is_cancelled());
        assert_eq!((cleaned.get(), now() - start), (1, 6 * MS));
    });
}

#[test]
fn a_catcher_round_the_scope_gets_the_request_when_all_have_ended() {
    run(async {
        let cleaned = Count::default();
        let count = cleaned.clone();
        let parent = spawn(async move {
            let scope = TaskGroup::<()>::scope(async |group| {
                group.spawn_value(cleaning_up(5 * MS, count.clone()));
                sleep(LONG).await;
                Ok(())
            });
            let request = catch_cancel(scope).await.expect_err("cancelled");
            (count.get(), request.reason().map(str::to_owned))
        });
        let parent = started(parent).await;
        parent.cancel_with("enough");
        assert_eq!(parent.await.expect("swallowed"), (1, Some("enough".to_owned())));
        assert_eq!(cleaned.get(), 1);
    });
}

#[test]
fn a_body_that_catches_decides_for_the_group() {
    run(async {
        let cleaned = Count::default();
        let count = cleaned.clone();
        let parent = spawn(async move {
            let ended = TaskGroup::<()>::scope(async |group| {
                let child = group.spawn_value(async {
                    sleep(10 * MS).await;
                    3
                });
                group.spawn_value(cleaning_up(MS, count.clone()));
                assert!(catch_cancel(pending::<()>()).await.is_err());
                // Swallowed: the children were not asked.
                let three = child.await.expect("left alone");
                assert_eq!(count.get(), 0);
                group.cancel();
                Ok(three)
            });
            ended.await
        });
        let parent = started(parent).await;
        parent.cancel();
        assert_eq!(parent.await.expect("swallowed"), Ok(3));
        assert_eq!(cleaned.get(), 1);
    });
}

#[test]
fn a_body_that_hands_the_request_on_ends_the_group() {
    run(async {
        let (cleaned, start) = (Count::default(), now());
        let count = cleaned.clone();
        let parent = spawn(async move {
            TaskGroup::<()>::scope(async |group| {
                group.spawn_value(cleaning_up(5 * MS, count.clone()));
                let request = catch_cancel(pending::<()>()).await.expect_err("cancelled");
                sleep(2 * MS).await;
                assert_eq!(count.get(), 0, "the children come after the body");
                request.propagate().await;
                Ok(())
            })
            .await
        });
        let parent = started(parent).await;
        parent.cancel();
        assert!(parent.await.expect_err("cancelled").is_cancelled());
        assert_eq!((cleaned.get(), now() - start), (1, 7 * MS));
    });
}

#[test]
fn errors_win_over_a_cancel_which_waits_for_the_next_park() {
    run(async {
        let told = Count::default();
        let tell = told.clone();
        let parent = spawn(async move {
            let ended = TaskGroup::scope(async |group| {
                group.spawn(async {
                    let _ = catch_cancel(pending::<()>()).await;
                    Err::<(), _>("in the clean-up")
                });
                sleep(LONG).await;
                Ok(())
            });
            let errors = ended.await.expect_err("one failed");
            assert_eq!(errors.first(), Some(&"in the clean-up"));
            tell.one();
            sleep(LONG).await;
            tell.one();
        });
        let parent = started(parent).await;
        parent.cancel();
        assert!(parent.await.expect_err("cancelled in the end").is_cancelled());
        assert_eq!(told.get(), 1, "the next park is the end");
    });
}

#[test]
fn a_cancel_that_comes_while_errors_are_wound_up_is_remembered() {
    run(async {
        let (told, cleaned) = (Count::default(), Count::default());
        let (tell, count) = (told.clone(), cleaned.clone());
        let parent = spawn(async move {
            let ended = TaskGroup::scope(async |group| {
                let slow = cleaning_up(10 * MS, count.clone());
                group.spawn(async {
                    slow.await;
                    Ok(())
                });
                group.spawn(async {
                    sleep(MS).await;
                    Err::<(), _>("boom")
                });
                sleep(LONG).await;
                Ok(())
            });
            assert_eq!(ended.await.expect_err("one failed").first(), Some(&"boom"));
            tell.one();
            sleep(LONG).await;
        });
        sleep(5 * MS).await;
        let start = now();
        parent.cancel();
        assert!(parent.await.expect_err("cancelled in the end").is_cancelled());
        assert_eq!((told.get(), cleaned.get()), (1, 1), "the clean-up was not cut short");
        assert_eq!(now() - start, 6 * MS);
    });
}

#[test]
fn a_second_cancel_is_handed_to_the_children() {
    run(async {
        let (cleaned, start) = (Count::default(), now());
        let count = cleaned.clone();
        let parent = spawn(TaskGroup::<()>::scope(async move |group| {
            group.spawn_value(cleaning_up(LONG, count));
            Ok(())
        }));
        sleep(MS).await;
        parent.cancel();
        sleep(MS).await;
        parent.cancel();
        assert!(parent.await.expect_err("cancelled").is_cancelled());
        assert_eq!((cleaned.get(), now() - start), (0, 2 * MS), "it insisted");
    });
}

#[test]
fn a_limit_round_a_group_ends_it_and_is_elapsed() {
    run(async {
        let (cleaned, start) = (Count::default(), now());
        let count = cleaned.clone();
        let scope = TaskGroup::<()>::scope(async |group| {
            group.spawn_value(cleaning_up(5 * MS, count));
            sleep(LONG).await;
            Ok(())
        });
        assert_eq!(timeout(10 * MS, scope).await, Err(Elapsed));
        assert_eq!((cleaned.get(), now() - start), (1, 15 * MS));

        // Errors are a value, and come first.
        let failing = TaskGroup::scope(async |group| {
            group.spawn(async {
                let _ = catch_cancel(pending::<()>()).await;
                Err::<(), _>("late")
            });
            Ok(())
        });
        let errors = timeout(10 * MS, failing).await.expect("a value").expect_err("one failed");
        assert_eq!(errors.first(), Some(&"late"));
    });
}

#[test]
fn a_limit_within_the_body_leaves_the_group_alone() {
    run(async {
        let ended = TaskGroup::<()>::scope(async |group| {
            let child = group.spawn_value(async {
                sleep(10 * MS).await;
                1
            });
            assert_eq!(timeout(MS, sleep(LONG)).await, Err(Elapsed));
            Ok(child.await.expect("left alone"))
        });
        assert_eq!(ended.await, Ok(1));
    });
}

#[test]
fn a_cancel_in_the_turn_in_which_the_last_child_ends_is_kept() {
    run(async {
        let told = Count::default();
        let tell = told.clone();
        let parent = spawn(async move {
            let value = TaskGroup::<()>::scope(async |group| {
                group.spawn_value(sleep(5 * MS));
                Ok("value")
            });
            assert_eq!(value.await, Ok("value"), "ready wins");
            tell.one();
            sleep(LONG).await;
        });
        // Its timer is armed after the child's: by then the child has ended and its parent is
        // about to be polled.
        yield_now().await;
        yield_now().await;
        sleep(5 * MS).await;
        parent.cancel();
        assert!(parent.await.expect_err("it was kept").is_cancelled());
        assert_eq!(told.get(), 1);
    });
}

#[test]
fn a_cancel_before_the_body_began_begins_nothing() {
    run(async {
        let began = Count::default();
        let count = began.clone();
        let parent = spawn(TaskGroup::<()>::scope(async move |_| {
            count.one();
            Ok(())
        }));
        parent.cancel();
        assert!(parent.await.is_err());
        assert_eq!(began.get(), 0);
    });
}

#[test]
fn an_inner_group_passes_a_cancel_on_through_the_outer() {
    run(async {
        let cleaned = Count::default();
        let count = cleaned.clone();
        let parent = spawn(TaskGroup::<()>::scope(async move |outer| {
            outer.spawn_value(cleaning_up(5 * MS, count.clone()));
            let inner = TaskGroup::<()>::scope(async |inner| {
                inner.spawn_value(cleaning_up(7 * MS, count.clone()));
                sleep(LONG).await;
                Ok(())
            });
            let _ = inner.await;
            unreachable!("the request goes on")
        }));
        let parent: Task<Result<(), _>> = started(parent).await;
        let start = now();
        parent.cancel();
        assert!(parent.await.expect_err("cancelled").is_cancelled());
        assert_eq!(cleaned.get(), 2);
        assert_eq!(now() - start, 12 * MS, "first the inner one, then the outer");
    });
}

#[test]
fn aborting_the_parent_drops_the_children() {
    run(async {
        let (dropped, cleaned) = (Count::default(), Count::default());
        let (guard, count) = (OnDrop(dropped.clone()), cleaned.clone());
        let parent = spawn(TaskGroup::<()>::scope(async move |group| {
            group.spawn_value(cleaning_up(MS, count));
            group.spawn_value(async move {
                let _guard = guard;
                pending::<()>().await;
            });
            pending().await
        }));
        let parent: Task<Result<(), _>> = started(parent).await;
        parent.abort();
        assert_eq!((dropped.get(), cleaned.get()), (1, 0), "at once, and without asking");
        assert!(parent.await.is_err());
    });
}

#[test]
fn a_child_that_aborts_its_parent_ends_where_its_poll_returns() {
    run(async {
        let parent: Rc<Cell<Option<Task<Result<(), _>>>>> = Rc::default();
        let (handle, reached) = (parent.clone(), Count::default());
        let count = reached.clone();
        parent.set(Some(spawn(TaskGroup::<()>::scope(async move |group| {
            group.spawn_value(async move {
                yield_now().await;
                handle.take().expect("it is there").abort();
                count.one();
                yield_now().await;
                count.one();
            });
            pending().await
        }))));
        sleep(MS).await;
        assert_eq!(reached.get(), 1);
    });
}

#[test]
fn forgetting_a_scope_lets_its_children_run_on() {
    run(async {
        let ended = Count::default();
        let count = ended.clone();
        let mut scope: Pin<Box<dyn Future<Output = Result<(), _>>>> =
            Box::pin(TaskGroup::<()>::scope(async move |group| {
                group.spawn_value(async move {
                    sleep(MS).await;
                    count.one();
                });
                pending().await
            }));
        assert!(futures_util::poll!(&mut scope).is_pending());
        super::support::forget(scope);
        sleep(5 * MS).await;
        assert_eq!(ended.get(), 1);
    });
}

#[test]
fn a_child_that_swallows_its_cancel_is_waited_for_and_that_is_reported() {
    let (ended, log) = logged(|| {
        run(async {
            let start = now();
            let ended = TaskGroup::scope(async |group| {
                group
                    .spawn(async {
                        let _ = catch_cancel(pending::<()>()).await;
                        sleep(Duration::from_secs(25)).await;
                        Ok(())
                    })
                    .named("stubborn");
                yield_now().await;
                yield_now().await;
                Err::<(), _>("boom")
            });
            assert_eq!(ended.await.expect_err("it failed").len(), 1);
            now() - start
        })
    });
    assert_eq!(ended, Duration::from_secs(25));
    if cfg!(debug_assertions) {
        assert_eq!(log.matches("still waits for tasks").count(), 2, "{log}");
        assert!(log.contains("stubborn at ") && log.contains("group_cancel.rs"), "{log}");
    }
}

#[test]
fn a_group_that_ends_in_time_reports_nothing() {
    let ((), log) = logged(|| {
        run(async {
            let scope = TaskGroup::<()>::scope(async |group| {
                group.spawn_value(sleep(LONG));
                Ok(())
            });
            assert_eq!(scope.await, Ok(()));
        });
    });
    assert!(!log.contains("still waits"), "{log}");
}
