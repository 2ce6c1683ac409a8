//! Callbacks and tasks that other threads send to a loop: their order among its own, what they find
//! there, how they are withdrawn and asked to end, and who hears of their failures.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use uring_loop::time::sleep;
use uring_loop::{
    EventLoop, Handle, JoinError, LoopThread, RemoteError, ReportKind, all_tasks, call_soon,
    catch_cancel, current_task, spawn, task_local, yield_now,
};

use crate::support::{logged, reporting, virtual_loop};

task_local! {
    static USER: &'static str = "nobody";
}

/// What was said, by any thread.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<&'static str>>>);

impl Said {
    fn later(&self, word: &'static str) -> impl FnOnce() + Send + 'static {
        let said = self.clone();
        move || said.0.lock().expect("no panic").push(word)
    }

    fn all(&self) -> Vec<&'static str> {
        self.0.lock().expect("no panic").clone()
    }
}

fn background() -> LoopThread {
    LoopThread::start(EventLoop::builder()).expect("a ring")
}

#[test]
fn callbacks_run_in_the_order_in_which_they_were_asked_for_whichever_way() {
    let (mut event_loop, said) = (virtual_loop(), Said::default());
    let inner = said.clone();
    event_loop
        .run_until_complete(async move {
            let handle = Handle::current();
            call_soon(inner.later("one"));
            handle.call_soon(inner.later("two")).expect("open");
            call_soon(inner.later("three"));
            handle.call_soon(inner.later("four")).expect("open");
            assert!(inner.all().is_empty(), "none runs inside of the call");
            yield_now().await;
        })
        .expect("not stopped");
    assert_eq!(said.all(), ["one", "two", "three", "four"]);
}

#[test]
fn a_callback_of_another_thread_does_not_overtake_what_is_ready() {
    let (mut event_loop, said) = (virtual_loop(), Said::default());
    event_loop.call_soon(said.later("ready"));
    let (handle, sent) = (event_loop.handle(), said.later("sent"));
    thread::spawn(move || drop(handle.call_soon(sent).expect("open"))).join().expect("no panic");
    event_loop.call_soon(said.later("ready too"));
    event_loop
        .run_until_complete(async {
            yield_now().await;
        })
        .expect("not stopped");
    assert_eq!(said.all(), ["ready", "ready too", "sent"]);
}

#[test]
fn a_callback_of_another_thread_is_a_callback_like_any_other() {
    let background = background();
    let (sender, receiver) = mpsc::channel();
    let call = move || {
        let before = USER.get();
        USER.set("the callback");
        let own = current_task().map(|callback| callback.name());
        sender.send((before, USER.get(), own)).expect("somebody listens");
    };
    background.handle().call_soon(call).expect("open");
    let (before, after, own) = receiver.recv().expect("it ran");
    assert_eq!((before, after), ("nobody", "the callback"));
    assert!(own.is_some_and(|name| name.starts_with("Callback-")));
}

#[test]
fn a_slow_callback_of_another_thread_is_reported_in_debug_mode() {
    let builder = EventLoop::builder().debug(true).slow_poll(Duration::from_millis(20));
    let (mut event_loop, reports) = reporting(builder.build().expect("a ring"));
    let slow = || thread::sleep(Duration::from_millis(30));
    event_loop.handle().call_soon(slow).expect("open");
    event_loop
        .run_until_complete(async {
            yield_now().await;
            yield_now().await;
        })
        .expect("not stopped");
    let reports = reports.borrow();
    let place = format!("remote_calls.rs:{}", line!() - 8);
    assert!(
        reports.iter().any(|(kind, text)| *kind == ReportKind::Slow && text.contains(&place)),
        "{place}: {reports:?}"
    );
}

#[test]
fn a_callback_that_withdraws_itself_runs_on_and_says_so() {
    let background = background();
    let own: Arc<Mutex<Option<uring_loop::RemoteCallback>>> = Arc::default();
    let (sender, receiver) = mpsc::channel();
    let inner = own.clone();
    let kept = own.lock().expect("no panic");
    let call = move || {
        let own = inner.lock().expect("no panic").take().expect("it was kept");
        sender.send((own.cancel(), own.is_cancelled())).expect("somebody listens");
    };
    let callback = background.handle().call_soon(call).expect("open");
    assert!(!callback.is_cancelled());
    assert_eq!(format!("{callback:?}"), "<RemoteCallback scheduled>");
    let mut kept = kept;
    *kept = Some(callback.clone());
    drop(kept);
    assert_eq!(receiver.recv().expect("it ran to its end"), (false, true));
    assert!(callback.is_cancelled());
    assert_eq!(format!("{callback:?}"), "<RemoteCallback cancelled>");
}

#[test]
fn a_loop_that_goes_drops_what_a_callback_holds_though_its_handle_is_kept() {
    let event_loop = virtual_loop();
    let held = Arc::new(());
    let inner = held.clone();
    let callback = event_loop.handle().call_soon(move || drop(inner)).expect("open");
    drop(event_loop);
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(!callback.cancel(), "there is nothing to withdraw");
}

fn is_cancelled<T>(ended: Result<T, RemoteError>) -> bool {
    matches!(ended, Err(RemoteError::Task(JoinError::Cancelled(_))))
}

#[test]
fn a_task_is_asked_to_end_from_another_thread() {
    let background = background();
    let (begun, has_begun) = mpsc::channel();
    let mut waiting = background.handle().spawn(move || async move {
        begun.send(()).expect("somebody listens");
        pending::<()>().await;
    });
    has_begun.recv().expect("it has begun");
    waiting.cancel();
    waiting.cancel();
    assert!(format!("{waiting:?}").starts_with("<RemoteTask cancelling on loop "), "{waiting:?}");
    assert!(is_cancelled(waiting.wait()));

    let (begun, has_begun) = mpsc::channel();
    let mut cleans_up = background.handle().spawn(move || async move {
        begun.send(()).expect("somebody listens");
        let asked = catch_cancel(pending::<()>()).await.is_err();
        sleep(Duration::from_millis(1)).await;
        asked
    });
    has_begun.recv().expect("it has begun");
    cleans_up.cancel();
    assert!(cleans_up.wait().expect("a value: it has swallowed the request"));
}

#[test]
fn a_task_that_another_thread_cancels_ahead_of_its_first_step_never_takes_it() {
    let mut event_loop = virtual_loop();
    let began = Arc::new(AtomicBool::new(false));
    let inner = began.clone();
    let mut task = event_loop.handle().spawn(move || {
        inner.store(true, Ordering::Relaxed);
        async {}
    });
    task.cancel();
    let ended = event_loop.run_until_complete(&mut task).expect("not stopped");
    assert!(is_cancelled(ended));
    assert!(!began.load(Ordering::Relaxed));
}

#[test]
fn a_request_that_comes_too_late_changes_nothing() {
    let mut event_loop = virtual_loop();
    let mut task = event_loop.handle().spawn(|| async { 7 });
    event_loop
        .run_until_complete(async {
            while all_tasks().len() > 1 {
                yield_now().await;
            }
        })
        .expect("not stopped");
    event_loop.run_until_complete(yield_now()).expect("not stopped");
    task.cancel();
    drop(event_loop);
    task.cancel();
    assert_eq!(task.wait().expect("it was sent before"), 7);
}

#[test]
fn a_handle_that_is_dropped_behind_the_failure_reports_it_on_the_loop() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    let handle = event_loop.handle();
    let failed = handle.spawn(|| async { Err::<(), _>("an error".to_owned()) });
    let panicked = handle.spawn(|| async { panic!("a panic") });
    let fine = handle.spawn(|| async { Ok::<(), String>(()) });
    let end = async {
        yield_now().await;
        while all_tasks().len() > 1 {
            yield_now().await;
        }
    };
    event_loop.run_until_complete(end).expect("not stopped");
    assert!(reports.borrow().is_empty(), "they can be taken still: {reports:?}");
    thread::spawn(move || drop((failed, panicked, fine))).join().expect("no panic");
    assert!(reports.borrow().is_empty(), "the handler is called on its own thread");
    event_loop.run_until_complete(yield_now()).expect("not stopped");
    let reports = reports.borrow();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports.iter().all(|(kind, _)| *kind == ReportKind::NeverRetrieved));
    assert!(reports[0].1.contains("(an error): Task-"), "{reports:?}");
    assert!(reports[0].1.contains("remote_calls.rs"), "{reports:?}");
    assert!(reports[1].1.ends_with(": a panic"), "{reports:?}");
}

#[test]
fn a_failure_that_comes_back_to_a_loop_that_ends_or_has_ended_is_not_lost() {
    let failing = |handle: &Handle| handle.spawn(|| async { Err::<(), _>("an error".to_owned()) });
    let (mut event_loop, reports) = reporting(virtual_loop());
    let (early, late) = (failing(&event_loop.handle()), failing(&event_loop.handle()));
    event_loop
        .run_until_complete(async {
            for _ in 0..10 {
                yield_now().await;
            }
        })
        .expect("not stopped");
    drop(early);
    drop(event_loop); // before it has looked at its door
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
    let ((), log) = logged(|| drop(late));
    assert!(log.contains("(an error): Task-"), "{log}");
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
}

#[test]
fn a_result_that_was_taken_is_not_reported() {
    let (mut event_loop, reports) = reporting(virtual_loop());
    let failing = event_loop.handle().spawn(|| async { Err::<(), _>("an error".to_owned()) });
    let taken = Rc::new(RefCell::new(None));
    let into = taken.clone();
    event_loop
        .run_until_complete(async move {
            let task = spawn(async move { into.replace(Some(failing.await.expect("no panic"))) });
            task.await.expect("no panic");
        })
        .expect("not stopped");
    drop(event_loop);
    assert_eq!(taken.take(), Some(Err("an error".to_owned())));
    assert!(reports.borrow().is_empty(), "{reports:?}");
}
