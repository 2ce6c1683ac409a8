//! What still runs when the main task has ended: in a run of the loop, and in the orderly end of a
//! `Runner`. The same programs were run under asyncio (3.8 to 3.13); numbers of rounds are from
//! there.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{
    EventLoop, Promise, RunError, Runner, Task, call_later, call_soon, catch_cancel, current_task,
    spawn, yield_now,
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

fn virtual_loop() -> EventLoop {
    EventLoop::builder().virtual_clock().build().expect("a ring")
}

type Said = Rc<RefCell<Vec<String>>>;

fn say(said: &Said, what: impl Into<String>) -> impl FnOnce() + 'static {
    let (said, what) = (said.clone(), what.into());
    move || said.borrow_mut().push(what)
}

/// A task that ends after so many yields, and says so, as does its callback.
fn ends_after(yields: u32, said: &Said) {
    let into = said.clone();
    let task = spawn(async move {
        for _ in 0..yields {
            yield_now().await;
        }
        into.borrow_mut().push(format!("{yields} ends"));
    });
    let called = say(said, format!("callback of {yields}"));
    task.on_done(|_| called());
    drop(task);
}

/// Schedules itself again and again, and counts.
fn chain(count: Rc<Cell<u32>>) {
    count.set(count.get() + 1);
    call_soon(move || chain(count));
}

#[test]
fn a_run_ends_with_the_round_after_the_main_task() {
    let (said, rounds) = (Said::default(), Rc::new(Cell::new(0)));
    let mut event_loop = virtual_loop();
    let (inner, count) = (said.clone(), rounds.clone());
    let main = async move {
        for yields in 0..4 {
            ends_after(yields, &inner);
        }
        yield_now().await;
        call_soon(say(&inner, "soon"));
        call_soon(move || chain(count));
    };
    event_loop.run_until_complete(main).expect("not stopped");
    // 1 has ended in the round after the main task; its callback is the next run's.
    assert_eq!(*said.borrow(), ["0 ends", "callback of 0", "1 ends", "soon"]);
    assert_eq!(rounds.get(), 1);
    event_loop.run_until_complete(async {}).expect("not stopped");
    assert_eq!(said.borrow()[4..], ["callback of 1", "2 ends", "callback of 2", "3 ends"]);
    assert_eq!(rounds.get(), 3);
}

#[test]
fn callbacks_that_are_due_at_the_end_have_at_least_the_rounds_of_asyncio() {
    let rounds = Rc::new(Cell::new(0));
    let count = rounds.clone();
    let mut runner = Runner::with(virtual_loop());
    runner.run(async move { drop(call_soon(move || chain(count))) }).expect("not stopped");
    assert_eq!(rounds.get(), 1);
    runner.close();
    assert!((5..=8).contains(&rounds.get()), "{} rounds, asyncio has 5", rounds.get());
}

#[test]
fn a_callback_of_a_task_that_ended_beside_the_main_task_is_called() {
    let said = Said::default();
    let mut runner = Runner::with(virtual_loop());
    let inner = said.clone();
    let main = async move {
        ends_after(1, &inner);
        ends_after(0, &inner);
        yield_now().await;
    };
    runner.run(main).expect("not stopped");
    assert_eq!(*said.borrow(), ["0 ends", "1 ends", "callback of 0"]);
    runner.close();
    assert_eq!(said.borrow()[3..], ["callback of 1"]);
}

#[test]
fn callbacks_of_tasks_that_are_cancelled_at_the_end_are_called_and_so_is_what_they_schedule() {
    let (said, rounds) = (Said::default(), Rc::new(Cell::new(0)));
    let mut runner = Runner::with(virtual_loop());
    let (inner, count) = (said.clone(), rounds.clone());
    let main = async move {
        let slow = spawn(async {
            let cancelled = catch_cancel(sleep(HOUR)).await.expect_err("the run is over");
            sleep(50 * MS).await;
            cancelled.propagate().await;
        });
        let plain = spawn(sleep(HOUR));
        for (task, name) in [(&slow, "slow"), (&plain, "plain")] {
            let into = inner.clone();
            task.on_done(move |result| {
                let cancelled = result.as_ref().expect_err("cancelled").is_cancelled();
                into.borrow_mut().push(format!("{name} {cancelled}"));
            });
        }
        slow.on_done(|_| drop(call_soon(move || chain(count))));
        drop((slow, plain));
        yield_now().await;
    };
    runner.run(main).expect("not stopped");
    assert!(said.borrow().is_empty());
    runner.close();
    assert_eq!(*said.borrow(), ["plain true", "slow true"]);
    assert_eq!(rounds.get(), 5, "as in asyncio");
}

#[test]
fn timers_go_on_while_tasks_clean_up_and_are_withdrawn_behind_that() {
    let said = Said::default();
    let mut runner = Runner::with(virtual_loop());
    let inner = said.clone();
    let main = async move {
        call_later(10 * MS, say(&inner, "due meanwhile"));
        call_later(HOUR, || panic!("it is withdrawn"));
        drop(spawn(async move {
            drop(catch_cancel(pending::<()>()).await);
            sleep(50 * MS).await;
            say(&inner, "cleaned up")();
        }));
        yield_now().await;
    };
    runner.run(main).expect("not stopped");
    let event_loop = runner.event_loop();
    assert_eq!(event_loop.finish(), 0);
    assert_eq!(*said.borrow(), ["due meanwhile", "cleaned up"]);
    assert_eq!(event_loop.statistics().callbacks, 0);
}

#[test]
fn a_clean_up_that_waits_for_a_callback_has_it() {
    let cleaned = Rc::new(Cell::new(0));
    let mut runner = Runner::with(virtual_loop());
    let inner = cleaned.clone();
    let main = async move {
        drop(spawn(async move {
            drop(catch_cancel(pending::<()>()).await);
            for delay in [Duration::ZERO, 20 * MS] {
                let promise: Promise<u32> = Promise::new();
                let setter = promise.clone();
                call_later(delay, move || setter.set_result(1).expect("pending"));
                inner.set(inner.get() + promise.await.expect("a value"));
            }
            let helper = spawn(yield_now());
            let into = inner.clone();
            helper.on_done(move |_| into.set(into.get() + 10));
            drop(helper.await);
        }));
        yield_now().await;
    };
    runner.run(main).expect("not stopped");
    runner.close();
    assert_eq!(cleaned.get(), 12);
}

#[test]
fn a_task_that_a_callback_starts_at_the_end_is_asked_and_waited_for() {
    let ended = Rc::new(Cell::new(false));
    let mut runner = Runner::with(virtual_loop());
    let inner = ended.clone();
    let main = async move {
        let task = spawn(pending::<()>());
        task.on_done(|_| {
            call_soon(|| {
                call_soon(move || {
                    drop(spawn(async move {
                        // Cancelled before its first step, it would not begin: it is asked later.
                        let cancelled = catch_cancel(pending::<()>()).await;
                        sleep(MS).await;
                        inner.set(cancelled.is_err());
                    }));
                });
            });
        });
        drop(task);
        yield_now().await;
    };
    runner.run(main).expect("not stopped");
    let event_loop = runner.event_loop();
    assert_eq!(event_loop.finish(), 0);
    assert_eq!(event_loop.all_tasks().len(), 0);
    assert!(ended.get());
}

#[test]
fn callbacks_that_never_end_do_not_hold_up_the_end() {
    let rounds = Rc::new(Cell::new(0));
    let count = rounds.clone();
    let mut runner = Runner::with(virtual_loop());
    runner.run(async move { chain(count) }).expect("not stopped");
    let event_loop = runner.event_loop();
    assert_eq!(event_loop.finish(), 0);
    assert_eq!(event_loop.statistics().callbacks, 0);
    let so_far = rounds.get();
    event_loop.run_until_complete(async { sleep(HOUR).await }).expect("not stopped");
    assert_eq!(rounds.get(), so_far, "withdrawn");
    assert_eq!(Rc::strong_count(&rounds), 1);
}

#[test]
fn a_callback_that_stops_the_loop_at_the_end_leaves_the_rest_to_be_dropped() {
    let mut runner = Runner::with(virtual_loop());
    let main = async {
        let task: Task<()> = spawn(pending());
        task.on_done(|_| uring_loop::stop());
        drop(task);
        drop(spawn(async {
            loop {
                drop(catch_cancel(pending::<()>()).await);
            }
        }));
        yield_now().await;
    };
    runner.run(main).expect("not stopped");
    assert_eq!(runner.event_loop().finish(), 1, "it goes on without the rest");
}

#[test]
fn after_a_cancelled_main_task_the_end_is_the_same() {
    let said = Said::default();
    let inner = said.clone();
    let mut runner = Runner::with(virtual_loop());
    let main = async move {
        let task = spawn(pending::<()>());
        let called = say(&inner, "called");
        task.on_done(|_| called());
        drop(task);
        yield_now().await;
        current_task().expect("the main task").cancel();
        pending::<()>().await;
    };
    let error = runner.run(main).expect_err("cancelled");
    assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "{:?}", RunError::Cancelled);
    runner.close();
    assert_eq!(*said.borrow(), ["called"]);
}
