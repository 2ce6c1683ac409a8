//! Promises: states, results, callbacks, awaiting, the error nobody looked at.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Display;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use uring_loop::testing::run;
use uring_loop::time::{sleep, timeout};
use uring_loop::{Promise, PromiseError, spawn, yield_now};

use crate::parts::{Bag, note};
use crate::support::{forget, logged, poll_once, virtual_loop};

#[test]
fn a_new_promise_is_pending() {
    let promise: Promise<u32> = Promise::new();
    assert!(!promise.is_done() && !promise.is_cancelled());
    assert!(promise.result().is_err() && promise.error().is_err());
    assert!(format!("{promise:?}").starts_with("<Promise pending made at "), "{promise:?}");
    assert_eq!(
        promise.result().expect_err("pending").to_string(),
        "the promise is pending: it has no result yet, await it"
    );
}

#[test]
fn a_result_is_set_once_and_the_second_comes_back() {
    let promise: Promise<String> = Promise::new();
    promise.set_result("first".into()).expect("pending");
    let back = promise.set_result("second".into()).expect_err("done");
    assert_eq!(back.into_inner(), "second");
    assert_eq!(promise.result().expect("done"), Ok(&"first".to_string()));
    assert_eq!(promise.error().expect("done"), None);
    assert!(promise.is_done() && !promise.is_cancelled() && !promise.cancel());
    assert!(format!("{promise:?}").starts_with("<Promise finished "), "{promise:?}");
}

#[test]
fn an_error_is_set_once_and_the_second_comes_back() {
    let promise: Promise<u32, String> = Promise::new();
    promise.set_error("first".into()).expect("pending");
    assert_eq!(promise.set_error("second".into()).expect_err("done").into_inner(), "second");
    assert_eq!(promise.set_result(3).expect_err("done").into_inner(), 3);
    assert_eq!(promise.result().expect("done"), Err(&PromiseError::Failed("first".to_string())));
    assert_eq!(promise.error().expect("done"), Some(&PromiseError::Failed("first".to_string())));
    assert!(!promise.cancel(), "it has failed");
}

#[test]
fn a_cancelled_promise_stays_cancelled() {
    let promise: Promise<u32> = Promise::new();
    assert!(promise.cancel());
    assert!(!promise.cancel(), "only a pending one is cancelled");
    assert!(promise.is_done() && promise.is_cancelled());
    assert_eq!(promise.result().expect("done"), Err(&PromiseError::Cancelled));
    assert!(promise.set_result(1).is_err());
}

#[test]
fn awaiting_it_again_gives_the_same_again() {
    run(async {
        let promise: Promise<String> = Promise::new();
        promise.set_result("value".into()).expect("pending");
        for _ in 0..2 {
            assert_eq!((&promise).await, Ok(&"value".to_string()));
            assert_eq!(promise.clone().await, Ok("value".to_string()));
        }
    });
}

#[test]
fn everybody_who_awaits_it_gets_the_result_in_the_order_of_coming() {
    let bag: Bag<(u32, Result<u32, PromiseError<Infallible>>)> = Bag::default();
    run(async {
        let promise: Promise<u32> = Promise::new();
        let tasks: Vec<_> = (0..4)
            .map(|who| {
                let (promise, bag) = (promise.clone(), bag.clone());
                spawn(async move {
                    let got = promise.await;
                    bag.borrow_mut().push((who, got));
                })
            })
            .collect();
        yield_now().await;
        promise.set_result(9).expect("pending");
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    assert_eq!(*bag.borrow(), (0..4).map(|who| (who, Ok(9))).collect::<Vec<_>>());
}

#[test]
fn who_awaits_a_promise_that_is_cancelled_is_not_cancelled() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        let waiting = promise.clone();
        let task = spawn(waiting);
        yield_now().await;
        promise.cancel();
        assert_eq!(task.await.expect("it goes on"), Err(PromiseError::Cancelled));
    });
}

#[test]
fn a_cancelled_waiter_leaves_the_promise_to_the_others() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        let (one, other) = (promise.clone(), promise.clone());
        let (one, other) = (spawn(one), spawn(other));
        yield_now().await;
        one.cancel();
        assert!(one.await.expect_err("cancelled").is_cancelled());
        assert!(!promise.is_done());
        promise.set_result(1).expect("pending");
        assert_eq!(other.await.expect("alive"), Ok(1));
    });
}

#[test]
fn a_value_that_is_not_clone_is_awaited_by_reference_and_moved_out_of_the_last_handle() {
    struct Only(u32);
    run(async {
        let promise: Promise<Only> = Promise::new();
        let setter = promise.clone();
        drop(spawn(async move { setter.set_result(Only(5)).is_ok() }));
        let Ok(Only(5)) = promise.settled().await else { panic!("the value") };
        let other = promise.clone();
        assert!(other.into_inner().is_none(), "another handle is there");
        let Some(Ok(Only(number))) = promise.into_inner() else { panic!("the last handle") };
        assert_eq!(number, 5);
    });
}

#[test]
fn a_pending_promise_has_nothing_to_move_out() {
    assert!(Promise::<u32>::new().into_inner().is_none());
}

#[test]
fn the_loop_runs_until_a_promise_is_done() {
    let mut event_loop = virtual_loop();
    let promise: Promise<&str> = Promise::new();
    let setter = promise.clone();
    event_loop
        .run_until_complete(async {
            drop(spawn(async move {
                sleep(Duration::from_secs(1)).await;
                setter.set_result("set elsewhere").expect("pending");
            }));
        })
        .expect("not cancelled");
    assert_eq!(
        event_loop.run_until_complete(&promise).expect("not cancelled"),
        Ok(&"set elsewhere")
    );
    assert_eq!(event_loop.run_until_complete(promise).expect("not cancelled"), Ok("set elsewhere"));
}

#[test]
fn callbacks_run_in_order_of_registration_and_not_within_set_result() {
    let bag: Bag<u32> = Bag::default();
    run(async {
        let promise: Promise<u32> = Promise::new();
        for number in 0..20 {
            promise.on_done(note(&bag, number));
        }
        promise.set_result(1).expect("pending");
        assert!(bag.borrow().is_empty());
        yield_now().await;
        assert_eq!(*bag.borrow(), (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn callbacks_and_awaiting_tasks_keep_one_order() {
    let bag: Bag<&str> = Bag::default();
    run(async {
        let promise: Promise<u32> = Promise::new();
        promise.on_done(note(&bag, "callback before"));
        let (waiting, into) = (promise.clone(), bag.clone());
        let task = spawn(async move {
            waiting.await.expect("a value");
            into.borrow_mut().push("task");
        });
        yield_now().await;
        promise.on_done(note(&bag, "callback after"));
        promise.set_result(1).expect("pending");
        task.await.expect("no panic");
        yield_now().await;
    });
    assert_eq!(*bag.borrow(), ["callback before", "task", "callback after"]);
}

#[test]
fn a_callback_gets_the_promise_with_its_outcome() {
    run(async {
        let bag: Bag<Result<u32, PromiseError<String>>> = Bag::default();
        let settle: [fn(&Promise<u32, String>); 3] = [
            |promise| promise.set_result(1).expect("pending"),
            |promise| promise.set_error("no".into()).expect("pending"),
            |promise| assert!(promise.cancel()),
        ];
        for settle in settle {
            let (promise, into) = (Promise::new(), bag.clone());
            promise.on_done(move |promise: &Promise<u32, String>| {
                let outcome = promise.result().expect("done").cloned();
                into.borrow_mut().push(outcome.map_err(PromiseError::clone));
            });
            settle(&promise);
            drop(promise);
            yield_now().await;
        }
        let want = [Ok(1), Err(PromiseError::Failed("no".into())), Err(PromiseError::Cancelled)];
        assert_eq!(*bag.borrow(), want);
    });
}

#[test]
fn a_callback_on_a_done_promise_runs_in_the_next_turn() {
    let bag: Bag<u32> = Bag::default();
    run(async {
        let promise: Promise<u32> = Promise::new();
        promise.set_result(1).expect("pending");
        promise.on_done(note(&bag, 1));
        promise.on_done(note(&bag, 2));
        assert!(bag.borrow().is_empty());
        yield_now().await;
        assert_eq!(*bag.borrow(), [1, 2]);
    });
}

#[test]
fn callbacks_are_taken_back_one_by_one() {
    run(async {
        let bag: Bag<u32> = Bag::default();
        for removed in [vec![0], vec![0, 1], vec![2], vec![0, 1, 2]] {
            let promise: Promise<u32> = Promise::new();
            let tokens: Vec<_> = (0..3).map(|number| promise.on_done(note(&bag, number))).collect();
            for index in &removed {
                assert!(promise.remove_done_callback(tokens[*index as usize]));
                assert!(!promise.remove_done_callback(tokens[*index as usize]), "it is gone");
            }
            promise.set_result(1).expect("pending");
            assert!(tokens.iter().all(|token| !promise.remove_done_callback(*token)), "too late");
            yield_now().await;
            let left: Vec<_> = (0..3).filter(|number| !removed.contains(number)).collect();
            assert_eq!(bag.take(), left);
        }
    });
}

#[test]
fn the_token_of_another_promise_takes_nothing_back() {
    let (one, other): (Promise<u32>, Promise<u32>) = (Promise::new(), Promise::new());
    let (token, foreign) = (one.on_done(|_| ()), other.on_done(|_| ()));
    assert!(!one.remove_done_callback(foreign));
    assert!(one.remove_done_callback(token));
}

#[test]
fn callbacks_may_change_the_list_of_callbacks() {
    let bag: Bag<&str> = Bag::default();
    run(async {
        let promise: Promise<u32> = Promise::new();
        let (into, token) = (bag.clone(), Rc::new(Cell::new(None)));
        let later = token.clone();
        promise.on_done(move |promise| {
            let token = later.get().expect("registered");
            assert!(!promise.remove_done_callback(token), "it is due");
            promise.on_done(note(&into, "added within a callback"));
            into.borrow_mut().push("first");
        });
        token.set(Some(promise.on_done(note(&bag, "second"))));
        promise.set_result(1).expect("pending");
        yield_now().await;
        yield_now().await;
    });
    assert_eq!(*bag.borrow(), ["first", "second", "added within a callback"]);
}

#[test]
fn a_callback_that_panics_is_logged_and_the_others_run() {
    let bag: Bag<u32> = Bag::default();
    let ((), log) = logged(|| {
        run(async {
            let promise: Promise<u32> = Promise::new();
            promise.on_done(|_| panic!("in a callback"));
            promise.on_done(note(&bag, 1));
            promise.set_result(1).expect("pending");
            yield_now().await;
        });
    });
    assert_eq!(*bag.borrow(), [1]);
    assert!(log.contains("in a callback"), "{log}");
}

#[test]
fn what_is_registered_and_settled_without_a_loop_is_called_by_the_next_that_waits() {
    let bag: Bag<u32> = Bag::default();
    let promise: Promise<u32> = Promise::new();
    promise.on_done(note(&bag, 1));
    promise.on_done(note(&bag, 2));
    promise.set_result(3).expect("pending");
    assert!(bag.borrow().is_empty());
    run(async {
        assert_eq!((&promise).await, Ok(&3));
        yield_now().await;
    });
    assert_eq!(*bag.borrow(), [1, 2]);
}

#[test]
fn a_promise_settled_between_two_runs_wakes_the_task_that_waits() {
    let mut event_loop = virtual_loop();
    let promise: Promise<u32> = Promise::new();
    let waiting = promise.clone();
    let task = event_loop.spawn(waiting);
    event_loop.run_until_complete(yield_now()).expect("not cancelled");
    promise.set_result(5).expect("pending");
    assert_eq!(
        event_loop.run_until_complete(task).expect("not cancelled").expect("no panic"),
        Ok(5)
    );
}

#[test]
fn a_callback_of_a_promise_that_is_dropped_pending_is_dropped() {
    let counted = Rc::new(());
    run(async {
        let promise: Promise<u32> = Promise::new();
        let kept = counted.clone();
        promise.on_done(move |_| drop(kept));
        assert_eq!(Rc::strong_count(&counted), 2);
        drop(promise);
        assert_eq!(Rc::strong_count(&counted), 1);
    });
}

/// Settles a promise when it is dropped.
struct SettleOnDrop(Promise<u32>);

impl Drop for SettleOnDrop {
    fn drop(&mut self) {
        self.0.set_result(1).expect("pending");
    }
}

#[test]
fn a_callback_that_is_due_when_its_loop_goes_is_dropped() {
    let (counted, called) = (Rc::new(()), Rc::new(Cell::new(false)));
    let mut event_loop = virtual_loop();
    let promise: Promise<u32> = Promise::new();
    event_loop
        .run_until_complete(async {
            let (kept, called) = (counted.clone(), called.clone());
            promise.on_done(move |_| {
                called.set(true);
                drop(kept);
            });
            let settles = SettleOnDrop(promise.clone());
            drop(spawn(async move {
                let _settles = settles;
                pending::<()>().await;
            }));
            yield_now().await;
        })
        .expect("not cancelled");
    drop(event_loop);
    assert!(promise.is_done() && !called.get());
    assert_eq!(Rc::strong_count(&counted), 1);
}

#[test]
fn a_callback_of_a_loop_that_is_gone_is_dropped() {
    let (counted, called) = (Rc::new(()), Rc::new(Cell::new(false)));
    let promise: Promise<u32> = Promise::new();
    run(async {
        let (kept, called) = (counted.clone(), called.clone());
        promise.on_done(move |_| {
            called.set(true);
            drop(kept);
        });
    });
    promise.set_result(1).expect("pending");
    assert!(!called.get());
    assert_eq!(Rc::strong_count(&counted), 1);
}

#[test]
fn a_callback_runs_on_the_loop_it_was_registered_on() {
    let mut event_loop = virtual_loop();
    let (promise, called) = (Promise::<u32>::new(), Rc::new(Cell::new(false)));
    let into = called.clone();
    event_loop.run_until_complete(async { promise.on_done(move |_| into.set(true)) }).expect("ran");
    promise.set_result(1).expect("pending");
    run(async { sleep(Duration::from_millis(1)).await });
    assert!(!called.get(), "not on another loop");
    event_loop.run_until_complete(async { yield_now().await }).expect("ran");
    assert!(called.get());
}

#[test]
fn a_wait_that_is_given_up_leaves_the_line() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(1), promise.settled()).await.is_err());
            assert!(timeout(Duration::from_millis(1), promise.clone()).await.is_err());
        }
        assert!(!format!("{promise:?}").contains("waiting"), "{promise:?}");
        let mut waiting = promise.clone();
        assert_eq!(poll_once(&mut waiting).await, Poll::Pending);
        assert!(format!("{promise:?}").contains("waiting=1"), "{promise:?}");
        assert_eq!(poll_once(&mut waiting).await, Poll::Pending);
        assert!(format!("{promise:?}").contains("waiting=1"), "{promise:?}");
    });
}

#[test]
fn a_wait_that_is_forgotten_is_harmless() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        let mut waiting = Box::pin(promise.clone());
        assert_eq!(poll_once(&mut waiting).await, Poll::Pending);
        forget(waiting);
        promise.set_result(1).expect("pending");
        assert_eq!(promise.await, Ok(1));
    });
}

#[test]
fn a_wait_that_moves_to_another_task_wakes_that_one() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        let mut waiting = promise.clone();
        assert_eq!(poll_once(&mut waiting).await, Poll::Pending);
        let task = spawn(waiting);
        yield_now().await;
        promise.set_result(2).expect("pending");
        assert_eq!(task.await.expect("no panic"), Ok(2));
    });
}

#[test]
fn the_main_task_may_wait_by_reference_in_many_branches() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        let setter = promise.clone();
        let both = futures_util::future::join3(promise.settled(), promise.settled(), async {
            yield_now().await;
            setter.set_result(4).expect("pending");
        });
        assert_eq!(both.await, (Ok(&4), Ok(&4), ()));
    });
}

/// The log of what happens when a failed promise goes after `look` has had it.
fn log_of_failed(look: impl FnOnce(&Promise<u32, io::Error>)) -> String {
    let ((), log) = logged(|| {
        let promise: Promise<u32, io::Error> = Promise::new();
        let other = promise.clone();
        promise.set_error(io::Error::other("the disk is gone")).expect("pending");
        look(&promise);
        drop(promise);
        drop(other);
    });
    log
}

#[test]
fn an_error_nobody_looked_at_is_logged_when_the_last_handle_goes() {
    let log = log_of_failed(|_| ());
    assert!(log.contains("never retrieved") && log.contains("the disk is gone"), "{log}");
    assert!(log.contains("promise.rs"), "where it was made: {log}");
}

#[test]
fn an_error_that_was_looked_at_is_not_logged() {
    assert_eq!(log_of_failed(|promise| assert!(promise.result().is_ok())), "");
    assert_eq!(log_of_failed(|promise| assert!(promise.error().is_ok())), "");
    // asyncio: a cancel after the failure says that nobody cares.
    assert_eq!(log_of_failed(|promise| assert!(!promise.cancel())), "");
    assert_eq!(
        log_of_failed(|promise| run(async { assert!(promise.settled().await.is_err()) })),
        ""
    );
}

#[test]
fn an_error_nobody_looked_at_is_reported_when_the_loop_ends_though_handles_are_held() {
    let (promise, seen): (Promise<u32, &str>, Promise<u32, &str>) = Default::default();
    let ((), log) = logged(|| {
        run(async {
            promise.set_error("nobody looks").expect("pending");
            seen.set_error("somebody looks").expect("pending");
            assert!(seen.result().expect("done").is_err());
        });
    });
    assert_eq!(log.matches("never retrieved").count(), 1, "{log}");
    assert!(log.contains("nobody looks"), "{log}");
    let ((), log) = logged(|| drop(promise));
    assert_eq!(log, "", "once is enough");
}

#[test]
fn many_failed_promises_are_not_kept_in_mind_once_they_are_gone() {
    let ((), log) = logged(|| {
        run(async {
            for number in 0..1000 {
                let promise: Promise<(), u32> = Promise::new();
                promise.set_error(number).expect("pending");
                assert!(promise.error().is_ok());
            }
        });
    });
    assert_eq!(log, "");
}

#[test]
fn an_error_that_was_asked_for_too_early_is_logged() {
    let ((), log) = logged(|| {
        let promise: Promise<u32, &str> = Promise::new();
        assert!(promise.result().is_err());
        promise.set_error("late").expect("pending");
    });
    assert!(log.contains("never retrieved"), "{log}");
}

#[test]
fn values_and_abandoned_promises_are_not_logged() {
    let ((), log) = logged(|| {
        let promise: Promise<u32> = Promise::new();
        promise.set_result(1).expect("pending");
        drop(promise);
        drop(Promise::<u32>::new());
    });
    assert_eq!(log, "");
}

#[test]
fn errors_pass_through_a_question_mark() {
    async fn asks<E: Display + 'static>(promise: &Promise<u32, E>) -> io::Result<u32> {
        let value: &u32 = promise.await?;
        Ok(value + 1)
    }
    async fn hands_on(promise: &Promise<u32, String>) -> Result<u32, PromiseError<String>> {
        Ok(promise.await? + promise.clone().await?)
    }
    async fn ends_with_it() -> io::Result<u32> {
        let promise: Promise<u32> = Promise::new();
        promise.set_result(1)?;
        Ok(promise.await?)
    }
    run(async {
        let promise: Promise<u32> = Promise::new();
        promise.set_result(1).expect("pending");
        assert_eq!(asks(&promise).await.expect("a value"), 2);
        let text = Promise::new();
        text.set_error("no".to_string()).expect("pending");
        assert_eq!(asks(&text).await.expect_err("it failed").to_string(), "no");
        assert_eq!(hands_on(&text).await, Err(PromiseError::Failed("no".into())));
        assert_eq!(ends_with_it().await.expect("a value"), 1);
        let cancelled: Promise<u32> = Promise::new();
        cancelled.cancel();
        let error = asks(&cancelled).await.expect_err("cancelled");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        let numbered = Promise::new();
        numbered.set_error(io::Error::from_raw_os_error(2)).expect("pending");
        assert_eq!(asks(&numbered).await.expect_err("it failed").raw_os_error(), Some(2));
        let promise = Promise::new();
        promise.set_error(io::Error::from(io::ErrorKind::NotFound)).expect("pending");
        let error = asks(&promise).await.expect_err("it failed");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let outcome = promise.into_inner().expect("the last handle");
        let error: io::Error = outcome.expect_err("it failed").into();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "as it was set");
        let cancelled: io::Error = PromiseError::<io::Error>::Cancelled.into();
        assert_eq!(cancelled.kind(), io::ErrorKind::Interrupted);
    });
}

/// What is done to a promise.
#[derive(Clone, Debug)]
enum Step {
    Callback,
    Remove(u8),
    Await,
    DropAwait(u8),
    AbortTask(u8),
    Turn,
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Callback),
        2 => any::<u8>().prop_map(Step::Remove),
        3 => Just(Step::Await),
        2 => any::<u8>().prop_map(Step::DropAwait),
        2 => any::<u8>().prop_map(Step::AbortTask),
        2 => Just(Step::Turn),
        1 => Just(Step::Settle),
    ]
}

proptest! {
    /// Whatever comes and goes before: each callback and each wait that is left is called and woken
    /// exactly once, in the order in which they came.
    #[test]
    fn who_stands_in_line_is_called_once_in_order(
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let bag: Bag<usize> = Bag::default();
        let expected = run(line_of(steps, bag.clone()));
        prop_assert_eq!(&*bag.borrow(), &expected);
    }
}

/// Does the steps, settles the promise if none of them did, and gives the order that should be.
async fn line_of(steps: Vec<Step>, bag: Bag<usize>) -> Vec<usize> {
    let promise: Promise<u32> = Promise::new();
    let mut line = Vec::new();
    let (mut callbacks, mut waits, mut settled) = (Vec::new(), Vec::new(), false);
    for (id, step) in steps.into_iter().enumerate() {
        match step {
            Step::Callback => {
                callbacks.push((id, promise.on_done(note(&bag, id))));
                line.push(id);
            }
            Step::Remove(which) if !callbacks.is_empty() => {
                let (id, token) = callbacks.remove(usize::from(which) % callbacks.len());
                assert_eq!(promise.remove_done_callback(token), !settled);
                line.retain(|other| settled || *other != id);
            }
            Step::Await => {
                let (waiting, into) = (promise.clone(), bag.clone());
                let task = spawn(async move {
                    waiting.await.expect("a value");
                    into.borrow_mut().push(id);
                    pending::<()>().await;
                });
                yield_now().await; // it stands in line now
                waits.push((id, task));
                line.push(id);
            }
            Step::DropAwait(which) | Step::AbortTask(which) if !waits.is_empty() => {
                let (id, task) = waits.remove(usize::from(which) % waits.len());
                let seen = bag.borrow().contains(&id);
                task.abort();
                line.retain(|other| seen || *other != id);
            }
            Step::Turn => yield_now().await,
            Step::Settle if !settled => {
                settled = true;
                promise.set_result(1).expect("pending");
            }
            _ => (),
        }
    }
    if !settled {
        promise.set_result(1).expect("pending");
    }
    sleep(Duration::from_millis(1)).await;
    line
}
