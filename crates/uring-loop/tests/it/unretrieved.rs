//! Errors and panics of tasks whose result nobody takes: whom the loop tells, and when.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use uring_loop::{
    EventLoop, RemoteError, ReportKind, Runner, Task, all_tasks, catch_cancel, join, spawn,
    spawn_all, spawn_eager, yield_now,
};

use crate::support::{end_as_cancelled, reporting, virtual_loop};

/// What is reported of the loop that runs `main`, in order.
fn told(main: impl AsyncFnOnce()) -> Vec<String> {
    let (mut event_loop, reports) = reporting(virtual_loop());
    event_loop.run_until_complete(main()).expect("not stopped");
    let reports = reports.borrow();
    assert!(reports.iter().all(|(kind, _)| *kind == ReportKind::NeverRetrieved), "{reports:?}");
    reports.iter().map(|(_, text)| text.clone()).collect()
}

/// An error of a make of one's own.
#[derive(Debug)]
struct Odd;

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an odd error")
    }
}

fn odd() -> Result<u8, Odd> {
    Err(Odd)
}

#[test]
fn a_task_that_panics_is_reported_once_nobody_can_take_its_result() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    event_loop
        .run_until_complete(async {
            let taken = spawn(async { panic!("taken") });
            assert!(taken.await.expect_err("a panic").is_panic());
            let dropped = spawn(async { panic!("dropped") }).named("careless");
            yield_now().await;
            drop(dropped);
            drop(spawn(async { panic!("detached") }));
            yield_now().await;
        })
        .expect("not stopped");
    let reports = reports.borrow();
    let texts: Vec<_> = reports.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("careless at ") && texts[0].ends_with("dropped"), "{texts:?}");
    assert!(texts[1].ends_with("detached"), "{texts:?}");
    assert!(reports.iter().all(|(kind, _)| *kind == ReportKind::NeverRetrieved));
}

#[test]
fn a_failure_is_reported_with_the_end_of_the_loop_although_the_handle_is_held() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    let [held] = event_loop
        .run_until_complete(async {
            let task = spawn(async { panic!("held") });
            yield_now().await;
            [task]
        })
        .expect("not stopped");
    assert!(reports.borrow().is_empty());
    drop(event_loop);
    assert_eq!(reports.borrow().len(), 1);
    drop(held);
    assert_eq!(reports.borrow().len(), 1, "it is reported once");
}

#[test]
fn errors_of_common_types_are_reported_unasked() {
    let told = told(async || {
        drop(spawn(async { Err::<(), _>(io::Error::other("1")) }));
        drop(spawn(async { Err::<(), _>("2".to_owned()) }));
        drop(spawn(async { Err::<(), Box<dyn Error>>("3".into()) }));
        drop(spawn(async { Err::<(), Box<dyn Error + Send + Sync>>("4".into()) }));
        drop(spawn(async { Err::<usize, _>(io::Error::other("5")) }));
        drop(spawn(async { Err::<u64, _>(io::Error::other("6")) }));
        yield_now().await;
    });
    let numbers: Vec<_> = (1..=6).map(|number| format!("({number}): Task-")).collect();
    assert_eq!(told.len(), numbers.len(), "{told:?}");
    for (text, number) in told.iter().zip(&numbers) {
        assert!(text.contains(number) && text.contains("unretrieved.rs"), "{text}");
    }
}

#[test]
fn neither_values_nor_errors_of_other_types_are_reported_unasked() {
    let told = told(async || {
        drop(spawn(async { Ok::<(), String>(()) }));
        drop(spawn(async { io::Result::Ok(7_usize) }));
        drop(spawn(async { Err::<String, String>("a value".to_owned()) }));
        drop(spawn(async { odd() }));
        drop(spawn(async { Ok::<u8, Odd>(7) }).report_error());
        yield_now().await;
    });
    assert_eq!(told, [] as [&str; 0]);
}

#[test]
fn an_error_of_any_type_is_reported_if_that_was_asked_for() {
    let told = told(async || {
        drop(spawn(async { odd() }).named("dropped at once").report_error());
        let later = spawn(async { odd() }).report_error().named("dropped later");
        let twice = spawn(async { Err::<(), _>("common".to_owned()) }).named("asked twice");
        yield_now().await;
        drop(later);
        drop(twice.report_error().report_error());
    });
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("(an odd error): dropped at once at "), "{told:?}");
    assert!(told[1].contains("(an odd error): dropped later at "), "{told:?}");
    assert!(told[2].contains("(common): asked twice at "), "{told:?}");
}

#[test]
fn it_may_be_asked_for_when_the_task_has_ended() {
    let told = told(async || {
        let task = spawn(async { odd() });
        yield_now().await;
        assert!(task.is_done());
        drop(task.report_error());
        drop(spawn_eager(async { odd() }).report_error());
        drop(spawn_eager(async { Err::<(), _>("eager".to_owned()) }));
        drop(spawn_all([async { Err::<(), _>("of many".to_owned()) }]));
        yield_now().await;
    });
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[2].contains("(eager)") && told[3].contains("(of many)"), "{told:?}");
}

#[test]
fn an_error_that_was_retrieved_is_not_reported() {
    let told = told(async || {
        let task = || spawn(async { odd() }).report_error();
        assert!(task().await.expect("no panic").is_err(), "awaited");

        let seen = task();
        yield_now().await;
        assert!(matches!(seen.result(), Some(Ok(Err(Odd)))), "looked at");
        drop(seen);

        let shown = Rc::new(Cell::new(false));
        let (before, show) = (task(), shown.clone());
        before.on_done(move |result| show.set(matches!(result, Ok(Err(Odd)))));
        drop(before);
        yield_now().await;
        yield_now().await;
        assert!(shown.get(), "shown to a callback");

        let due = spawn(async { odd() });
        yield_now().await;
        due.on_done(|_| ());
        drop(due.report_error()); // the callback is still to come
        yield_now().await;
    });
    assert_eq!(told, [] as [&str; 0]);
}

/// asyncio: test_tasks.py, test_tb_logger_not_called_after_cancel.
#[test]
fn a_failure_behind_which_the_task_is_cancelled_is_not_reported() {
    let told = told(async || {
        let (task, by_ref) = (spawn(async { panic!("late") }), spawn(async { panic!("later") }));
        yield_now().await;
        assert!(!task.cancel(), "it has ended");
        assert!(!by_ref.task_ref().cancel());
        let heard = spawn(async { panic!("before its end") });
        heard.cancel();
        drop(spawn(async { panic!("told") }));
        yield_now().await;
        drop((task, by_ref, heard));
    });
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with(": told"), "{told:?}");
}

/// asyncio: "unhandled exception during asyncio.run() shutdown".
#[test]
fn a_task_that_fails_while_it_is_ended_with_the_run_is_reported() {
    let (event_loop, reports) = reporting(virtual_loop());
    let mut runner = Runner::with(event_loop);
    let main = async {
        for panics in [true, false] {
            let task = spawn(async move {
                let asked = catch_cancel(pending::<()>()).await;
                match panics {
                    true => panic!("in the clean-up"),
                    false => asked.map_err(|_| "the clean-up failed".to_owned()),
                }
            });
            drop(task);
        }
        yield_now().await;
    };
    runner.run(main).expect("not stopped");
    assert!(reports.borrow().is_empty());
    drop(runner);
    let reports = reports.borrow();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports.iter().all(|(kind, _)| *kind == ReportKind::NeverRetrieved), "{reports:?}");
    let told = |what: &str| reports.iter().any(|(_, text)| text.contains(what));
    assert!(told(": in the clean-up") && told("(the clean-up failed)"), "{reports:?}");
}

/// The loop ends while handles are held, made before the end of their tasks and after it.
#[test]
fn an_error_is_reported_with_the_end_of_the_loop_once() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    let held = event_loop
        .run_until_complete(async {
            let before = spawn(async { odd() }).report_error();
            let common = spawn_eager(async { Err::<(), _>("common".to_owned()) }).report_error();
            let after = spawn_eager(async { odd() }).report_error();
            yield_now().await;
            (before, common, after)
        })
        .expect("not stopped");
    let outside = event_loop.spawn(async { Err::<(), _>("outside".to_owned()) });
    event_loop.run_until_complete(yield_now()).expect("not stopped");
    assert!(reports.borrow().is_empty());
    drop(event_loop);
    assert_eq!(reports.borrow().len(), 4, "{reports:?}");
    drop((held, outside));
    assert_eq!(reports.borrow().len(), 4, "it is reported once");
}

#[test]
fn what_is_reported_with_the_end_of_the_loop_comes_in_the_order_of_its_tasks() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    let fail = |name: u32| spawn(async { odd() }).named(format!("no. {name};")).report_error();
    let main = async {
        let tasks: Vec<_> = (0..20).map(fail).collect();
        yield_now().await;
        tasks
    };
    let held = event_loop.run_until_complete(main).expect("not stopped");
    drop(event_loop);
    let reports = reports.borrow();
    assert_eq!(reports.len(), held.len());
    for (name, (_, text)) in reports.iter().enumerate() {
        assert!(text.contains(&format!("no. {name};")), "{reports:?}");
    }
}

/// The thread that started them is gone when they end.
#[test]
fn failures_of_tasks_that_another_thread_has_dropped_are_reported() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    let handle = event_loop.handle();
    thread::spawn(move || {
        drop(handle.spawn(|| async { panic!("a panic") }));
        drop(handle.spawn(|| async { Err::<(), _>("an error".to_owned()) }));
        drop(handle.spawn(|| async { Ok::<(), String>(()) }));
        drop(handle.spawn(|| async { odd() }));
        drop(handle.spawn(|| async { end_as_cancelled().await }));
    })
    .join()
    .expect("no panic");
    let ended = async {
        while all_tasks().len() > 1 {
            yield_now().await
        }
    };
    event_loop
        .run_until_complete(async {
            yield_now().await;
            ended.await;
        })
        .expect("not stopped");
    let reports = reports.borrow();
    let texts: Vec<_> = reports.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].ends_with(": a panic") && texts[0].contains("unretrieved.rs"), "{texts:?}");
    assert!(texts[1].contains("(an error): Task-"), "{texts:?}");
}

#[test]
fn failures_that_another_thread_has_taken_are_not_reported() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    let handle = event_loop.handle();
    let (panics, fails) = (
        handle.spawn(|| async { panic!("a panic") }),
        handle.spawn(|| async { Err::<(), _>("an error".to_owned()) }),
    );
    let (panicked, failed) =
        event_loop.run_until_complete(join((panics, fails))).expect("not stopped");
    let panicked: Result<(), RemoteError> = panicked;
    assert!(matches!(panicked, Err(RemoteError::Task(error)) if error.is_panic()));
    assert_eq!(failed.expect("no panic"), Err("an error".to_owned()));
    drop(event_loop);
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

#[test]
fn asking_without_the_loop_changes_nothing() {
    let mut event_loop = virtual_loop();
    let held = event_loop.run_until_complete(async { [spawn_eager(async { odd() })] });
    let [task] = held.expect("not stopped");
    drop(event_loop);
    drop(task.report_error());
}

/// One that panics when it is printed.
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("it must not be said")
    }
}

#[test]
fn an_error_that_panics_when_it_is_printed_is_reported_all_the_same() {
    let told = told(async || {
        drop(spawn(async { Err::<(), _>(Unspeakable) }).report_error());
        yield_now().await;
    });
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("an error that panics when it is printed"), "{told:?}");
}

/// The payload of a panic, which is seen to go.
struct Payload(Arc<AtomicBool>);

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A handler is lent the payload of the panic. It may drop the handle of that task, of all tasks,
/// while it looks at it.
#[test]
fn what_a_handler_looks_at_outlives_the_handle_of_its_task() {
    let gone = Arc::new(AtomicBool::new(false));
    let held: Rc<RefCell<Option<Task<()>>>> = Rc::default();
    let mut event_loop = virtual_loop();
    let looked = Rc::new(Cell::new(false));
    let (theirs, seen, done) = (held.clone(), gone.clone(), looked.clone());
    event_loop.set_exception_handler(move |report| {
        assert!(theirs.take().is_some(), "the handle is dropped here");
        assert!(!seen.load(Ordering::Relaxed), "its payload went with it");
        let payload = report.panic.expect("a panic").downcast_ref::<Payload>();
        assert!(payload.is_some_and(|payload| !payload.0.load(Ordering::Relaxed)));
        done.set(true);
    });
    let payload = Payload(gone.clone());
    let main = async {
        let task = spawn(async move { panic_any(payload) });
        yield_now().await;
        held.replace(Some(task));
    };
    event_loop.run_until_complete(main).expect("not stopped");
    drop(event_loop);
    assert!(looked.get(), "the handler got to its end");
    assert!(gone.load(Ordering::Relaxed), "and then the payload went");
}

/// The same for an error that, when it is printed, drops the handle of its own task.
#[test]
fn an_error_may_drop_the_handle_of_its_task_when_it_is_printed() {
    type Held = Rc<RefCell<Option<Task<Result<(), Reckless>>>>>;
    struct Reckless {
        held: Held,
        text: String,
    }
    impl fmt::Display for Reckless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            drop(self.held.take());
            f.write_str(&self.text)
        }
    }
    let held = Held::default();
    let (mut event_loop, reports) = reporting(virtual_loop());
    let inner = held.clone();
    let main = async {
        let error = Reckless { held: inner, text: "still there".repeat(10) };
        let task = spawn_eager(async move { Err::<(), _>(error) }).report_error();
        held.replace(Some(task));
    };
    event_loop.run_until_complete(main).expect("not stopped");
    drop(event_loop);
    assert!(held.take().is_none());
    assert!(reports.borrow()[0].1.contains("there): Task-"), "{reports:?}");
}

#[test]
fn a_handler_that_spawns_and_fails_at_the_end_harms_nobody() {
    let mut event_loop = virtual_loop();
    event_loop.set_exception_handler(|_| {
        drop(catch_unwind(AssertUnwindSafe(|| drop(spawn(async { odd() }).report_error()))));
    });
    let held = event_loop.run_until_complete(async {
        let tasks: Vec<_> = (0..3).map(|_| spawn(async { odd() }).report_error()).collect();
        yield_now().await;
        tasks
    });
    drop::<EventLoop>(event_loop);
    assert_eq!(held.expect("not stopped").len(), 3);
}
