//! Groups of tasks: who ends whom, in which order, with which result. The situations are those of
//! asyncio's test_taskgroups, where Rust has them. What happens when a group is cancelled from
//! outside is in `group_cancel.rs`.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use uring_loop::testing::run;
use uring_loop::time::{now, sleep, timeout};
use uring_loop::{ReportKind, TaskErrors, TaskGroup, catch_cancel, spawn, yield_now};

use super::support::{reporting, virtual_loop};
use crate::parts::{Count, OnDrop};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

type Error = Box<dyn std::error::Error>;

/// A list that tasks write to.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<&'static str>>>);

impl Log {
    fn say(&self, what: &'static str) {
        self.0.borrow_mut().push(what);
    }

    fn all(&self) -> Vec<&'static str> {
        self.0.borrow().clone()
    }
}

/// Says `what` when it is dropped.
struct Says(Log, &'static str);

impl Drop for Says {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

/// Waits until it is cancelled, cleans up for `time`, says so, and ends as cancelled.
async fn cleaning_up(time: Duration, log: Log, what: &'static str) -> Result<(), &'static str> {
    if let Err(request) = catch_cancel(pending::<()>()).await {
        sleep(time).await;
        log.say(what);
        request.propagate().await;
    }
    Ok(())
}

async fn failing(after: Duration, error: &'static str) -> Result<(), &'static str> {
    sleep(after).await;
    Err(error)
}

#[test]
fn the_scope_waits_for_all_children() {
    run(async {
        let start = now();
        let log = Log::default();
        let sum = TaskGroup::<Infallible>::scope(async |group| {
            let one = group.spawn_value(async {
                sleep(10 * MS).await;
                42
            });
            let other = group.spawn_value(async {
                sleep(5 * MS).await;
                11
            });
            let says = Says(log.clone(), "unattended child");
            group.spawn_value(async move {
                let _says = says;
                sleep(20 * MS).await;
            });
            let sum = one.await.expect("a value") + other.await.expect("a value");
            log.say("body");
            Ok(sum)
        });
        assert_eq!(sum.await, Ok(53));
        assert_eq!(log.all(), ["body", "unattended child"]);
        assert_eq!(now() - start, 20 * MS);
    });
}

#[test]
fn an_empty_group_is_its_body() {
    run(async {
        assert_eq!(TaskGroup::<()>::scope(async |_| Ok(7)).await, Ok(7));
        let errors = TaskGroup::scope(async |_| Err::<(), _>("no")).await.expect_err("it fails");
        assert_eq!(errors.into_iter().collect::<Vec<_>>(), ["no"]);
    });
}

#[test]
fn the_body_may_borrow_what_is_outside_of_it() {
    run(async {
        let mut words = vec!["a"];
        let ended = TaskGroup::<()>::scope(async |group| {
            group.spawn_value(yield_now());
            yield_now().await;
            words.push("b");
            Ok(words.len())
        });
        assert_eq!(ended.await, Ok(2));
        assert_eq!(words, ["a", "b"]);
    });
}

#[test]
fn a_child_that_fails_ends_its_siblings_and_the_body() {
    run(async {
        let start = now();
        let log = Log::default();
        let ended = TaskGroup::scope(async |group| {
            group.spawn(cleaning_up(5 * MS, log.clone(), "sibling cleaned up"));
            group.spawn(failing(10 * MS, "boom"));
            let _says = Says(log.clone(), "body dropped");
            sleep(LONG).await;
            Ok(())
        });
        let errors = ended.await.expect_err("one failed");
        assert_eq!(errors.iter().copied().collect::<Vec<_>>(), ["boom"]);
        assert_eq!(log.all(), ["body dropped", "sibling cleaned up"]);
        assert_eq!(now() - start, 15 * MS);
    });
}

#[test]
fn a_child_that_fails_asks_what_catches_in_the_body() {
    run(async {
        let start = now();
        let ended = TaskGroup::scope(async |group| {
            group.spawn(failing(MS, "boom"));
            let request = catch_cancel(sleep(LONG)).await.expect_err("asked");
            sleep(5 * MS).await;
            request.propagate().await;
            Ok(())
        });
        assert_eq!(ended.await.expect_err("one failed").first(), Some(&"boom"));
        assert_eq!(now() - start, 6 * MS);
    });
}

#[test]
fn a_body_that_swallows_the_request_goes_on_and_its_value_gives_way_to_the_errors() {
    run(async {
        let reached = Cell::new(false);
        let ended = TaskGroup::scope(async |group| {
            group.spawn(failing(MS, "boom"));
            let _ = catch_cancel(sleep(LONG)).await;
            sleep(5 * MS).await;
            reached.set(true);
            Ok(7)
        });
        assert_eq!(ended.await.expect_err("one failed").len(), 1);
        assert!(reached.get());
    });
}

#[test]
fn a_child_that_fails_after_the_body_ends_its_siblings() {
    run(async {
        let start = now();
        let ended = TaskGroup::scope(async |group| {
            group.spawn(async {
                sleep(LONG).await;
                Ok(())
            });
            group.spawn(failing(10 * MS, "boom"));
            Ok("value")
        });
        assert_eq!(ended.await.expect_err("one failed").first(), Some(&"boom"));
        assert_eq!(now() - start, 10 * MS);
    });
}

#[test]
fn children_that_fail_together_are_all_told_in_order() {
    run(async {
        let ended = TaskGroup::scope(async |group| {
            for error in ["one", "two", "three"] {
                group.spawn(async move {
                    yield_now().await;
                    Err::<(), _>(error)
                });
            }
            sleep(LONG).await;
            Ok(())
        });
        let errors = ended.await.expect_err("they failed");
        // The first to fail cancels the others, but those that are ready first win.
        assert_eq!(errors.iter().copied().collect::<Vec<_>>(), ["one", "two", "three"]);
    });
}

#[test]
fn a_child_that_fails_while_it_is_cancelled_adds_its_error() {
    run(async {
        let ended = TaskGroup::scope(async |group| {
            group.spawn(failing(MS, "first"));
            group.spawn(async {
                let _ = catch_cancel(pending::<()>()).await;
                sleep(MS).await;
                Err::<(), _>("second")
            });
            sleep(LONG).await;
            Ok(())
        });
        let errors = ended.await.expect_err("two failed");
        assert_eq!(errors.iter().copied().collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(errors.to_string(), "2 of the group's tasks failed:\n1. first\n2. second");
    });
}

#[test]
fn an_error_of_the_body_ends_the_children_and_is_one_of_the_errors() {
    run(async {
        let log = Log::default();
        let ended = TaskGroup::scope(async |group| {
            group.spawn(cleaning_up(5 * MS, log.clone(), "cleaned up"));
            group.spawn(async {
                let _ = catch_cancel(pending::<()>()).await;
                Err::<(), _>("child")
            });
            sleep(MS).await;
            Err::<(), _>("body")
        });
        let errors = ended.await.expect_err("it failed");
        assert_eq!(errors.iter().copied().collect::<Vec<_>>(), ["body", "child"]);
        assert_eq!(log.all(), ["cleaned up"]);
    });
}

#[test]
fn a_child_that_has_not_begun_when_the_group_ends_never_does() {
    run(async {
        let log = Log::default();
        let says = log.clone();
        let ended = TaskGroup::scope(async |group| {
            group.spawn(async move {
                says.say("began");
                Ok(())
            });
            Err::<(), _>("at once")
        });
        assert!(ended.await.is_err());
        assert!(log.all().is_empty());
    });
}

#[test]
fn a_child_cancelled_by_hand_is_not_an_error() {
    run(async {
        let ended = TaskGroup::<()>::scope(async |group| {
            let child = group.spawn_value(pending::<()>());
            yield_now().await;
            child.cancel_with("not needed");
            let error = child.await.expect_err("cancelled");
            assert_eq!(error.reason(), Some("not needed"));
            let unbegun = group.spawn_value(async {});
            unbegun.cancel();
            let aborted = group.spawn_value(pending::<()>());
            yield_now().await;
            aborted.abort();
            assert!(!group.is_ending());
            Ok("value")
        });
        assert_eq!(ended.await, Ok("value"));
    });
}

#[test]
fn a_body_that_awaits_a_child_that_fails_does_not_see_a_cancelled_child() {
    run(async {
        let reached = Cell::new(false);
        let ended = TaskGroup::scope(async |group| {
            let child = group.spawn(failing(MS, "boom"));
            let outcome = child.await;
            reached.set(true);
            outcome.expect("its error is in the group");
            Ok(())
        });
        assert_eq!(ended.await.expect_err("one failed").first(), Some(&"boom"));
        assert!(!reached.get(), "the body ends where it waits for the child");
    });
}

#[test]
fn a_child_can_spawn_siblings_and_the_scope_waits_for_them() {
    run(async {
        let log = Log::default();
        let says = log.clone();
        let ended = TaskGroup::<()>::scope(async |group| {
            let inner = group.clone();
            group.spawn_value(async move {
                sleep(MS).await;
                let says = says.clone();
                inner.spawn_value(async move {
                    sleep(10 * MS).await;
                    says.say("sibling");
                });
            });
            Ok(())
        });
        assert_eq!(ended.await, Ok(()));
        assert_eq!(log.all(), ["sibling"]);
    });
}

#[test]
fn a_child_spawned_into_a_group_that_is_ending_never_begins() {
    run(async {
        let log = Log::default();
        let says = log.clone();
        let ended = TaskGroup::scope(async |group| {
            let inner = group.clone();
            group.spawn(async move {
                let _ = catch_cancel(pending::<()>()).await;
                assert!(inner.is_ending());
                let late = inner.spawn(async move {
                    says.say("began");
                    Ok(())
                });
                assert!(late.await.expect_err("cancelled").is_cancelled());
                Ok(())
            });
            group.spawn(failing(MS, "boom"));
            Ok(())
        });
        assert_eq!(ended.await.expect_err("one failed").len(), 1);
        assert!(log.all().is_empty());
    });
}

#[test]
fn spawning_into_a_group_that_has_ended_is_refused() {
    run(async {
        let mut kept = None;
        let ended = TaskGroup::<()>::scope(async |group| {
            kept = Some(group.clone());
            Ok(())
        });
        assert_eq!(ended.await, Ok(()));
        let group = kept.expect("it was kept");
        assert!(group.is_ending() && group.is_empty());
        let spawned = AssertUnwindSafe(async { drop(group.spawn_value(async {})) });
        let panic = spawned.catch_unwind().await.expect_err("refused");
        let text = panic.downcast_ref::<&str>().expect("text");
        assert!(text.contains("group that has ended"), "{text}");
    });
}

#[test]
fn children_that_have_ended_leave_no_trace() {
    run(async {
        let ended = TaskGroup::<()>::scope(async |group| {
            for _ in 0..10_000 {
                let child = group.spawn_value(async { 1 });
                assert_eq!(group.len(), 1);
                assert_eq!(child.await.expect("a value"), 1);
                assert_eq!(group.len(), 0);
            }
            assert!(format!("{group:?}").contains("tasks: 0"), "{group:?}");
            Ok(())
        });
        assert_eq!(ended.await, Ok(()));
    });
}

#[test]
fn cancelling_a_group_ends_it_without_an_error() {
    run(async {
        let log = Log::default();
        let start = now();
        let ended = TaskGroup::scope(async |group| {
            group.spawn(cleaning_up(5 * MS, log.clone(), "cleaned up"));
            let inner = group.clone();
            group.spawn(async move {
                sleep(MS).await;
                inner.cancel();
                inner.cancel();
                Ok(())
            });
            sleep(LONG).await;
            Ok(())
        });
        let errors = ended.await.expect_err("the body had no value");
        assert!(errors.is_empty());
        assert_eq!(errors.to_string(), "the group was cancelled");
        assert_eq!(log.all(), ["cleaned up"]);
        assert_eq!(now() - start, 6 * MS);
    });
}

#[test]
fn a_body_that_cancels_its_group_and_returns_has_its_value() {
    run(async {
        let ended = TaskGroup::<()>::scope(async |group| {
            group.spawn_value(pending::<()>());
            yield_now().await;
            group.cancel();
            Ok("value")
        });
        assert_eq!(ended.await, Ok("value"));

        // At its next wait it would end.
        let ended = TaskGroup::<()>::scope(async |group| {
            group.cancel();
            yield_now().await;
            Ok("not reached")
        });
        assert!(ended.await.expect_err("no value").is_empty());
    });
}

#[test]
fn an_error_counts_although_the_group_was_cancelled() {
    run(async {
        let ended = TaskGroup::scope(async |group| {
            group.spawn(async {
                let _ = catch_cancel(pending::<()>()).await;
                Err::<(), _>("in the clean-up")
            });
            yield_now().await;
            yield_now().await;
            group.cancel();
            Ok(())
        });
        assert_eq!(ended.await.expect_err("one failed").first(), Some(&"in the clean-up"));
    });
}

#[test]
fn a_panic_of_a_child_goes_on_in_the_parent_when_all_have_ended() {
    run(async {
        let log = Log::default();
        let start = now();
        let scope = TaskGroup::scope(async |group| {
            group.spawn(cleaning_up(5 * MS, log.clone(), "cleaned up"));
            group.spawn::<(), _>(async {
                sleep(MS).await;
                panic!("in a child")
            });
            sleep(LONG).await;
            Ok(())
        });
        let panic = AssertUnwindSafe(scope).catch_unwind().await.expect_err("a panic");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in a child"));
        assert_eq!(log.all(), ["cleaned up"]);
        assert_eq!(now() - start, 6 * MS);
    });
}

#[test]
fn a_panic_of_the_body_ends_the_children_before_it_goes_on() {
    run(async {
        let log = Log::default();
        let scope = TaskGroup::scope(async |group| {
            group.spawn(cleaning_up(5 * MS, log.clone(), "cleaned up"));
            sleep(MS).await;
            panic!("in the body");
            #[expect(unreachable_code, reason = "it gives the closure its type")]
            Ok(())
        });
        let panic = AssertUnwindSafe(scope).catch_unwind().await.expect_err("a panic");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the body"));
        assert_eq!(log.all(), ["cleaned up"]);
    });
}

#[test]
fn what_a_panic_hides_is_reported() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    let main = async {
        let scope = TaskGroup::<&str>::scope(async |group| {
            for what in ["a panic", "an error"] {
                group.spawn::<(), _>(async move {
                    let _ = catch_cancel(pending::<()>()).await;
                    match what {
                        "a panic" => panic!("{what}"),
                        _ => Err(what),
                    }
                });
            }
            yield_now().await;
            yield_now().await;
            panic!("the first");
            #[expect(unreachable_code, reason = "it gives the closure its type")]
            Ok(())
        });
        assert!(AssertUnwindSafe(scope).catch_unwind().await.is_err());
    };
    let task = event_loop.spawn(main).named("its parent");
    event_loop.run_until_complete(task).expect("not stopped").expect("no panic");
    let reports = reports.borrow();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports.iter().all(|(kind, _)| *kind == ReportKind::NeverRetrieved));
    assert!(reports[0].1.ends_with(": a panic"), "{reports:?}");
    assert!(reports[1].1.starts_with("1 of a group's tasks failed"), "{reports:?}");
    assert!(reports.iter().all(|(_, text)| text.contains("its parent at ")), "{reports:?}");
}

#[test]
fn what_has_failed_in_a_group_that_is_dropped_is_reported() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    let main = async {
        let parent = spawn(async {
            let scope = TaskGroup::<&str>::scope(async |group| {
                group.spawn::<(), _>(async {
                    yield_now().await; // the other one has begun by then
                    Err("lost")
                });
                group.spawn_value(async {
                    let _asked = catch_cancel(pending::<()>()).await;
                    pending::<()>().await; // it does not end
                });
                pending::<Result<(), _>>().await
            });
            scope.await.is_ok()
        });
        for _ in 0..5 {
            yield_now().await;
        }
        assert!(!parent.is_done(), "it waits for the other child");
        parent.abort();
    };
    event_loop.run_until_complete(main).expect("not stopped");
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].0, ReportKind::NeverRetrieved);
    assert!(reports[0].1.contains("1 of a group's tasks failed, and nobody was told"));
}

#[test]
fn groups_nest_and_keep_their_errors_apart() {
    run(async {
        let outer = TaskGroup::<Error>::scope(async |outer| {
            outer.spawn(async {
                let inner = TaskGroup::scope(async |inner| {
                    inner.spawn(failing(MS, "one"));
                    inner.spawn(async {
                        let _ = catch_cancel(pending::<()>()).await;
                        Err::<(), _>("two")
                    });
                    Ok(())
                });
                Ok(inner.await?)
            });
            outer.spawn(async {
                let _ = catch_cancel(pending::<()>()).await;
                Err::<(), _>("three".into())
            });
            Ok(())
        });
        let errors = outer.await.expect_err("they failed");
        assert_eq!(
            errors.to_string(),
            "2 of the group's tasks failed:\n\
             1. 2 of the group's tasks failed:\n   1. one\n   2. two\n\
             2. three"
        );
        let inner = errors.first().and_then(|error| error.downcast_ref::<TaskErrors<&str>>());
        assert_eq!(inner.expect("a group of its own").len(), 2);
    });
}

#[test]
fn an_outer_group_that_ends_ends_the_inner_ones() {
    run(async {
        let log = Log::default();
        let says = log.clone();
        let outer = TaskGroup::scope(async |outer| {
            outer.spawn(async move {
                let inner = TaskGroup::scope(async |inner| {
                    inner.spawn(cleaning_up(5 * MS, says.clone(), "grandchild"));
                    Ok(())
                });
                inner.await.map_err(|_| "not an error")
            });
            outer.spawn(failing(MS, "boom"));
            sleep(LONG).await;
            Ok(())
        });
        let errors = outer.await.expect_err("one failed");
        assert_eq!(errors.iter().copied().collect::<Vec<_>>(), ["boom"]);
        assert_eq!(log.all(), ["grandchild"]);
    });
}

#[test]
fn a_group_within_a_body_that_fails_is_told_once() {
    run(async {
        let outer = TaskGroup::<Error>::scope(async |_| {
            let inner = TaskGroup::scope(async |inner| {
                inner.spawn(failing(MS, "deep"));
                sleep(LONG).await;
                Ok(())
            });
            Ok(inner.await?)
        });
        let errors = outer.await.expect_err("it failed");
        assert_eq!(
            errors.to_string(),
            "1 of the group's tasks failed: 1 of the group's tasks failed: deep"
        );
    });
}

#[test]
fn errors_become_one_error_of_io() {
    run(async {
        let ended = TaskGroup::scope(async |group| {
            group.spawn(async { Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)) });
            Ok(())
        });
        let error = io::Error::from(ended.await.expect_err("one failed"));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("1 of the group's tasks failed"), "{error}");
    });
}

#[test]
fn a_limit_of_a_child_is_its_own() {
    run(async {
        let ended = TaskGroup::scope(async |group| {
            group.spawn(async { timeout(MS, sleep(LONG)).await.map_err(|_| "too slow") });
            sleep(LONG).await;
            Ok(())
        });
        assert_eq!(ended.await.expect_err("one failed").first(), Some(&"too slow"));
    });
}

#[test]
fn a_group_in_a_clean_up_works() {
    run(async {
        let log = Log::default();
        let says = log.clone();
        let task = spawn(async move {
            let request = catch_cancel(pending::<()>()).await.expect_err("cancelled");
            let ended = TaskGroup::<()>::scope(async |group| {
                let says = says.clone();
                group.spawn_value(async move {
                    sleep(MS).await;
                    says.say("cleaned up");
                });
                Ok(())
            });
            assert_eq!(ended.await, Ok(()), "the request was taken before");
            request.propagate().await
        });
        yield_now().await;
        yield_now().await;
        task.cancel();
        assert!(task.await.is_err());
        assert_eq!(log.all(), ["cleaned up"]);
    });
}

#[test]
fn a_thousand_children_end_with_the_first_that_fails() {
    run(async {
        let ended = Count::default();
        let errors = TaskGroup::scope(async |group| {
            for _ in 0..1000 {
                let count = OnDrop(ended.clone());
                group.spawn(async move {
                    let _count = count;
                    pending::<Result<(), _>>().await
                });
            }
            group.spawn(failing(MS, "boom"));
            Ok(())
        });
        assert_eq!(errors.await.expect_err("one failed").len(), 1);
        assert_eq!(ended.get(), 1000);
    });
}
