//! What `run` and `Runner` do with the tasks that are left, and whom a loop tells what goes wrong.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{
    ReportKind, RunError, Runner, call_soon, catch_cancel, current_task, spawn, yield_now,
};

use crate::support::{logged, reporting, virtual_loop};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn tasks_that_are_left_are_asked_to_end_and_waited_for() {
    let cleaned = Rc::new(Cell::new(0));
    let mut runner = Runner::with(virtual_loop());
    let inner = cleaned.clone();
    let result = runner.run(async move {
        for _ in 0..3 {
            let inner = inner.clone();
            drop(spawn(async move {
                let cancelled = catch_cancel(sleep(HOUR)).await;
                sleep(Duration::from_secs(1)).await;
                inner.set(inner.get() + 1);
                assert!(cancelled.is_err());
            }));
        }
        yield_now().await;
        "done"
    });
    assert_eq!(result.expect("not stopped"), "done");
    assert_eq!(cleaned.get(), 0, "the loop may run again: nobody was asked yet");
    runner.close();
    assert_eq!(cleaned.get(), 3);
}

#[test]
fn a_task_started_while_others_clean_up_is_asked_too() {
    let ended = Rc::new(Cell::new(false));
    let inner = ended.clone();
    let mut runner = Runner::with(virtual_loop());
    let main = async move {
        drop(spawn(async move {
            let _cancelled = catch_cancel(pending::<()>()).await;
            drop(spawn(async move {
                let cancelled = catch_cancel(pending::<()>()).await;
                inner.set(cancelled.is_err());
            }));
        }));
        yield_now().await;
    };
    runner.run(main).expect("not stopped");
    drop(runner);
    assert!(ended.get());
}

#[test]
fn a_task_that_does_not_end_in_time_is_reported_and_dropped() {
    let (event_loop, reports) = reporting(virtual_loop());
    let held = Rc::new(());
    let inner = held.clone();
    let mut runner = Runner::with(event_loop);
    let main = async move {
        drop(
            spawn(async move {
                let _held = inner;
                loop {
                    let _swallowed = catch_cancel(pending::<()>()).await;
                }
            })
            .named("stubborn"),
        );
        yield_now().await;
    };
    runner.run(main).expect("not stopped");
    drop(runner);
    assert_eq!(Rc::strong_count(&held), 1);
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].0, ReportKind::Shutdown);
    assert!(reports[0].1.contains("has not ended 5s after") && reports[0].1.contains("stubborn"));
}

#[test]
fn a_runner_that_unwinds_asks_nobody() {
    let asked = Rc::new(Cell::new(false));
    let inner = asked.clone();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let mut runner = Runner::with(virtual_loop());
        runner.run(async move {
            drop(spawn(async move {
                let cancelled = catch_cancel(pending::<()>()).await;
                inner.set(cancelled.is_err());
            }));
            yield_now().await;
            panic!("the main task");
        })
    }));
    assert!(panic.is_err());
    assert!(!asked.get());
}

#[test]
fn a_cancelled_main_task_is_an_error_of_the_run() {
    let mut event_loop = virtual_loop();
    let main = async {
        current_task().expect("the main task").cancel();
        pending::<()>().await;
    };
    assert_eq!(event_loop.run_until_complete(main), Err(RunError::Cancelled));
    let mut runner = Runner::with(event_loop);
    let main = async {
        current_task().expect("the main task").cancel();
        pending::<()>().await;
    };
    let error = runner.run(main).expect_err("cancelled");
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
}

#[test]
fn a_main_task_that_swallows_its_cancel_gives_its_value() {
    let mut event_loop = virtual_loop();
    let main = async {
        let me = current_task().expect("the main task");
        call_soon(move || assert!(me.cancel()));
        catch_cancel(pending::<()>()).await.is_err()
    };
    assert_eq!(event_loop.run_until_complete(main), Ok(true));
}

#[test]
fn a_panic_in_a_callback_is_reported_and_the_loop_goes_on() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    event_loop.call_soon(|| panic!("oh no")).named("unlucky");
    let result = event_loop.run_until_complete(async {
        yield_now().await;
        7
    });
    assert_eq!(result, Ok(7));
    let reports = reports.borrow();
    assert_eq!(reports[0].0, ReportKind::CallbackPanicked);
    assert!(reports[0].1.ends_with(": oh no") && reports[0].1.contains("runner.rs"), "{reports:?}");
    assert!(reports[0].1.starts_with("a callback panicked: unlucky at "), "{reports:?}");
}

#[test]
fn a_handler_that_panics_is_reported_to_the_log_with_what_it_was_told() {
    let ((), log) = logged(|| {
        let mut event_loop = virtual_loop();
        event_loop.set_exception_handler(|_| panic!("the handler too"));
        event_loop.call_soon(|| panic!("the callback"));
        event_loop.run_until_complete(yield_now()).expect("not stopped");
    });
    assert!(log.contains("the exception handler panicked: the handler too"), "{log}");
    assert!(log.contains("the callback"), "{log}");
}

#[test]
fn without_a_handler_reports_go_to_the_log() {
    let ((), log) = logged(|| {
        let mut event_loop = virtual_loop();
        event_loop.call_soon(|| panic!("for the log"));
        event_loop.run_until_complete(yield_now()).expect("not stopped");
    });
    assert!(log.contains("ERROR") && log.contains("for the log"), "{log}");
}

#[test]
fn a_handler_may_use_the_loop() {
    let mut event_loop = virtual_loop();
    event_loop.set_exception_handler(|_| {
        drop(spawn(async { panic!("one more, from the handler") }));
        uring_loop::stop();
    });
    event_loop.call_soon(|| panic!("the first"));
    let result = event_loop.run_until_complete(pending::<()>());
    assert_eq!(result, Err(RunError::Stopped));
}
