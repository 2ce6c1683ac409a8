//! What is called when a task is done: order, dropped handles, results that stay in place.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use uring_loop::testing::run;
use uring_loop::time::sleep;
use uring_loop::{DoneCallback, JoinError, Task, catch_cancel, spawn, yield_now};

use crate::parts::{Bag, note};
use crate::support::{forget, logged, poll_once, virtual_loop};

#[test]
fn callbacks_run_in_order_of_registration_before_the_awaiter_goes_on() {
    let bag: Bag<&str> = Bag::default();
    run(async {
        let task = spawn(async { 7 });
        task.on_done(note(&bag, "first"));
        task.on_done(note(&bag, "second"));
        task.on_done(note(&bag, "third"));
        assert_eq!(task.await.expect("no panic"), 7);
        bag.borrow_mut().push("awaiter");
    });
    assert_eq!(*bag.borrow(), ["first", "second", "third", "awaiter"]);
}

#[test]
fn an_awaiter_that_is_polled_for_another_reason_still_comes_after_the_callbacks() {
    let bag: Bag<&str> = Bag::default();
    run(async {
        let mut task = spawn(async { 7 });
        task.on_done(note(&bag, "callback"));
        while !task.is_done() {
            yield_now().await;
            if task.is_done() && bag.borrow().is_empty() {
                assert!(poll_once(&mut task).await.is_pending(), "callbacks come first");
            }
        }
        assert_eq!(task.await.expect("no panic"), 7);
        assert_eq!(*bag.borrow(), ["callback"]);
    });
}

#[test]
fn a_callback_is_not_called_by_whoever_ends_the_task() {
    let bag: Bag<u32> = Bag::default();
    run(async {
        let task = spawn(pending::<()>());
        task.on_done(note(&bag, 1));
        yield_now().await;
        task.abort();
        assert!(task.is_done() && bag.borrow().is_empty());
        yield_now().await;
        assert_eq!(*bag.borrow(), [1]);
    });
}

#[test]
fn a_callback_sees_the_value_the_panic_the_cancel() {
    let bag: Bag<String> = Bag::default();
    run(async {
        let say = |bag: &Bag<String>| {
            let bag = bag.clone();
            move |result: &Result<u32, JoinError>| bag.borrow_mut().push(format!("{result:?}"))
        };
        let value = spawn(async { 3 });
        let panics = spawn(async { panic!("boom") });
        let cancelled = spawn(pending());
        for task in [&value, &panics, &cancelled] {
            task.on_done(say(&bag));
        }
        yield_now().await;
        cancelled.cancel();
        assert_eq!(value.await.expect("no panic"), 3);
        let JoinError::Panicked(payload) = panics.await.expect_err("it panicked") else {
            panic!("the payload is still there for the awaiter");
        };
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"boom"));
        assert!(cancelled.await.expect_err("cancelled").is_cancelled());
    });
    let seen = bag.borrow();
    assert_eq!((&*seen[0], &*seen[2]), ("Ok(3)", "Err(Cancelled)"));
    assert!(seen[1].starts_with("Err(Panicked"), "{}", seen[1]);
}

#[test]
fn callbacks_of_a_detached_task_are_called_and_its_output_is_dropped_after_them() {
    let (output, bag) = (Rc::new(()), Bag::<usize>::default());
    run(async {
        let (inner, into) = (output.clone(), bag.clone());
        let task = spawn(async move { inner });
        task.on_done(move |result| {
            into.borrow_mut().push(Rc::strong_count(result.as_ref().expect("a value")));
        });
        task.on_done(note(&bag, 100));
        drop(task);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(*bag.borrow(), [2, 100]);
        assert_eq!(Rc::strong_count(&output), 1, "the output is dropped");
    });
}

#[test]
fn a_handle_dropped_within_a_callback_leaves_the_output_to_the_others() {
    let bag: Bag<u32> = Bag::default();
    run(async {
        let handle: Rc<RefCell<Option<Task<String>>>> = Rc::default();
        let task = spawn(async { String::from("output") });
        let holder = handle.clone();
        let into = bag.clone();
        task.on_done(move |result| {
            drop(holder.take());
            assert_eq!(result.as_deref().expect("a value"), "output");
            into.borrow_mut().push(1);
        });
        let into = bag.clone();
        task.on_done(move |result| {
            assert_eq!(result.as_deref().expect("still there"), "output");
            into.borrow_mut().push(2);
        });
        handle.replace(Some(task));
        sleep(Duration::from_millis(1)).await;
    });
    assert_eq!(*bag.borrow(), [1, 2]);
}

#[test]
fn a_callback_on_a_done_task_runs_in_the_next_turn() {
    let bag: Bag<u32> = Bag::default();
    run(async {
        let task = spawn(async { 1 });
        yield_now().await;
        assert!(task.is_done());
        task.on_done(note(&bag, 1));
        assert!(bag.borrow().is_empty());
        yield_now().await;
        assert_eq!(*bag.borrow(), [1]);
        assert_eq!(task.await.expect("the result is still there"), 1);
    });
}

#[test]
fn a_callback_added_by_a_callback_runs_before_the_awaiter() {
    let bag: Bag<&str> = Bag::default();
    run(async {
        let task = Rc::new(RefCell::new(None));
        let (holder, into) = (task.clone(), bag.clone());
        let spawned = spawn(async { 1 });
        spawned.on_done(move |_| {
            let again = note(&into, "added late");
            holder.borrow().as_ref().map(|task: &Task<u32>| task.on_done(again));
        });
        task.replace(Some(spawned));
        yield_now().await;
        yield_now().await;
        let spawned = task.take().expect("there");
        spawned.await.expect("no panic");
        bag.borrow_mut().push("awaiter");
    });
    assert_eq!(*bag.borrow(), ["added late", "awaiter"]);
}

#[test]
#[should_panic(expected = "add the callback before awaiting the task")]
fn a_callback_after_the_result_was_taken_is_refused() {
    run(async {
        let mut task = spawn(async { 1 });
        (&mut task).await.expect("no panic");
        task.on_done(|_| ());
    });
}

#[test]
fn callbacks_are_taken_back() {
    run(async {
        let bag: Bag<usize> = Bag::default();
        for removed in [vec![0], vec![0, 1], vec![2], vec![0, 1, 2]] {
            let task = spawn(async { 1 });
            let tokens: Vec<DoneCallback> =
                (0..3).map(|number| task.on_done(note(&bag, number))).collect();
            for index in &removed {
                assert!(task.remove_done_callback(tokens[*index]));
                assert!(!task.remove_done_callback(tokens[*index]), "it is gone");
            }
            let other = spawn(async { 1 });
            assert!(!other.remove_done_callback(tokens[2]), "another task's");
            yield_now().await;
            assert!(tokens.iter().all(|token| !task.remove_done_callback(*token)), "too late");
            assert_eq!(task.await.expect("no panic"), 1);
            let left: Vec<_> = (0..3).filter(|number| !removed.contains(number)).collect();
            assert_eq!(bag.take(), left);
        }
    });
}

#[test]
fn a_callback_that_panics_is_logged_and_the_others_run() {
    let bag: Bag<u32> = Bag::default();
    let ((), log) = logged(|| {
        run(async {
            let task = spawn(async { 1 });
            task.on_done(|_| panic!("in a callback"));
            task.on_done(note(&bag, 2));
            assert_eq!(task.await.expect("its own result"), 1);
        });
    });
    assert_eq!(*bag.borrow(), [2]);
    assert!(log.contains("in a callback"), "{log}");
}

#[test]
fn only_the_task_it_was_added_to_calls_it() {
    let bag: Bag<u32> = Bag::default();
    async fn same() -> u32 {
        1
    }
    run(async {
        let (one, other) = (spawn(same()), spawn(same()));
        one.on_done(note(&bag, 1));
        other.await.expect("no panic");
        one.await.expect("no panic");
    });
    assert_eq!(*bag.borrow(), [1]);
}

#[test]
fn callbacks_that_wait_when_the_loop_goes_are_dropped() {
    let (counted, called) = (Rc::new(()), Rc::new(Cell::new(false)));
    let mut event_loop = virtual_loop();
    let task = event_loop.spawn(pending::<()>());
    for _ in 0..2 {
        let (kept, called) = (counted.clone(), called.clone());
        task.on_done(move |_| {
            called.set(true);
            drop(kept);
        });
    }
    event_loop.run_until_complete(yield_now()).expect("not cancelled");
    drop(event_loop);
    assert!(!called.get(), "no loop, no callback");
    assert_eq!(Rc::strong_count(&counted), 1);
    assert!(task.is_done());
}

#[test]
fn the_output_is_dropped_when_the_loop_goes_with_callbacks_due() {
    struct AbortOnDrop(Rc<RefCell<Option<Task<Rc<()>>>>>);
    impl Drop for AbortOnDrop {
        fn drop(&mut self) {
            // Within the end of the loop: the callback becomes due now, and never runs.
            let task = self.0.take().expect("there");
            task.on_done(|_| unreachable!("the loop goes"));
        }
    }
    let output = Rc::new(());
    run(async {
        let inner = output.clone();
        let done = spawn(async move { inner });
        yield_now().await;
        let holder = AbortOnDrop(Rc::new(RefCell::new(Some(done))));
        drop(spawn(async move {
            let _holder = holder;
            pending::<()>().await;
        }));
        yield_now().await;
    });
    assert_eq!(Rc::strong_count(&output), 1);
}

#[test]
fn a_panic_that_a_callback_was_shown_is_not_reported() {
    let ((), log) = logged(|| {
        run(async {
            let task = spawn(async { panic!("shown") });
            task.on_done(|result| assert!(matches!(result, Err(error) if error.is_panic())));
            drop::<Task<()>>(task);
            sleep(Duration::from_millis(1)).await;
        });
    });
    assert_eq!(log, "");
}

#[test]
fn a_forgotten_handle_does_not_stop_the_callbacks() {
    let bag: Bag<u32> = Bag::default();
    run(async {
        let task = spawn(async { 1 });
        task.on_done(note(&bag, 1));
        forget(task);
        sleep(Duration::from_millis(1)).await;
    });
    assert_eq!(*bag.borrow(), [1]);
}

#[test]
fn a_cancel_that_comes_while_callbacks_are_due_is_not_lost() {
    run(async {
        let inner = spawn(async { 5 });
        let outer: Rc<RefCell<Option<Task<u32>>>> = Rc::default();
        let victim = outer.clone();
        inner.on_done(move |_| {
            victim.borrow().as_ref().map(Task::cancel);
        });
        let ended = Rc::new(Cell::new(false));
        let at_end = ended.clone();
        outer.replace(Some(spawn(async move {
            let caught = catch_cancel(async {
                let value = inner.await.expect("no panic");
                sleep(Duration::from_secs(3600)).await;
                value
            });
            assert!(caught.await.is_err(), "the request arrives");
            at_end.set(true);
            0
        })));
        sleep(Duration::from_millis(1)).await;
        assert!(ended.get());
    });
}

#[test]
fn polling_a_task_with_due_callbacks_takes_nothing() {
    run(async {
        let bag: Bag<u32> = Bag::default();
        let mut task = spawn(async { 9 });
        yield_now().await;
        task.on_done(note(&bag, 1));
        assert!(matches!(poll_once(&mut task).await, Poll::Pending));
        yield_now().await;
        assert!(matches!(poll_once(&mut task).await, Poll::Ready(Ok(9))));
    });
}

#[derive(Clone, Debug)]
enum Step {
    Add,
    Remove(u8),
    Turn,
    Cancel,
    Abort,
    Detach,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Add),
        2 => any::<u8>().prop_map(Step::Remove),
        2 => Just(Step::Turn),
        1 => Just(Step::Cancel),
        1 => Just(Step::Abort),
        1 => Just(Step::Detach),
    ]
}

proptest! {
    /// Whatever happens to the task and its handle: what was not taken back is called exactly once
    /// and in order, and the output is dropped exactly once.
    #[test]
    fn each_callback_is_called_once_and_in_order(
        ends_after in 0..6_u8,
        steps in prop::collection::vec(step(), 0..24),
    ) {
        let output = Rc::new(());
        let bag: Bag<usize> = Bag::default();
        let expected = run(task_with(ends_after, steps, output.clone(), bag.clone()));
        prop_assert_eq!(&*bag.borrow(), &expected);
        prop_assert_eq!(Rc::strong_count(&output), 1);
    }
}

async fn task_with(
    ends_after: u8,
    steps: Vec<Step>,
    output: Rc<()>,
    bag: Bag<usize>,
) -> Vec<usize> {
    let mut task = Some(spawn(async move {
        for _ in 0..ends_after {
            yield_now().await;
        }
        output
    }));
    let (mut expected, mut tokens) = (Vec::new(), Vec::new());
    for (id, step) in steps.into_iter().enumerate() {
        let Some(handle) = &task else { break };
        match step {
            Step::Add => {
                tokens.push((id, handle.on_done(note(&bag, id))));
                expected.push(id);
            }
            Step::Remove(which) if !tokens.is_empty() => {
                let (id, token) = tokens.remove(usize::from(which) % tokens.len());
                let waits = !handle.is_done();
                assert_eq!(handle.remove_done_callback(token), waits);
                expected.retain(|other| !waits || *other != id);
            }
            Step::Remove(_) => (),
            Step::Turn => yield_now().await,
            Step::Cancel => drop(handle.cancel()),
            Step::Abort => handle.abort(),
            Step::Detach => task = None,
        }
    }
    if let Some(task) = task {
        drop(task.await);
        assert_eq!(bag.borrow().len(), expected.len(), "all before the awaiter");
    }
    sleep(Duration::from_millis(1)).await;
    expected
}
