//! The loop by asyncio's words: callbacks, stop, run_forever, closing, a loop on its own thread.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use uring_loop::queue::Queue;
use uring_loop::sync::{Barrier, Condition, Event, Lock, LockGuard, Semaphore};
use uring_loop::time::{Sleep, now, sleep};
use uring_loop::{
    Callback, EventLoop, Handle, LoopClosed, LoopThread, Promise, PromiseSetter, RemoteCallback,
    RemotePromise, RemoteTask, RunError, Runner, Task, TaskGroup, TaskRef, all_tasks, call_at,
    call_later, call_soon, current_task, spawn, spawn_eager, stop, yield_now,
};

use crate::support::virtual_loop;

/// A list that callbacks write to.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<String>>>);

impl Notes {
    fn note(&self, text: impl Into<String>) {
        self.0.borrow_mut().push(text.into());
    }

    /// A callback that writes a word.
    fn later(&self, text: &'static str) -> impl FnOnce() + 'static {
        let notes = self.clone();
        move || notes.note(text)
    }

    fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

#[test]
fn callbacks_run_in_the_order_they_were_asked_for() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    for word in ["one", "two", "three"] {
        event_loop.call_soon(notes.later(word));
    }
    event_loop.call_soon(stop);
    assert!(notes.all().is_empty(), "none runs inside of the call");
    event_loop.run_forever().expect("stopped");
    assert_eq!(notes.all(), ["one", "two", "three"]);
}

#[test]
fn callbacks_and_tasks_share_one_queue() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    let inner = notes.clone();
    event_loop.call_soon(notes.later("first"));
    let task = event_loop.spawn(async move {
        inner.note("task");
        yield_now().await;
        inner.note("task again");
    });
    event_loop.call_soon(notes.later("last"));
    event_loop.run_until_complete(task).expect("not stopped").expect("no panic");
    assert_eq!(notes.all(), ["first", "task", "last", "task again"]);
}

#[test]
fn a_callback_due_later_runs_later() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    event_loop.call_later(Duration::from_secs(2), notes.later("two"));
    event_loop.call_later(Duration::from_secs(1), notes.later("one"));
    event_loop.call_soon(notes.later("now"));
    event_loop.call_later(Duration::from_secs(3), stop);
    let begin = event_loop.now();
    event_loop.run_forever().expect("stopped");
    assert_eq!(notes.all(), ["now", "one", "two"]);
    assert_eq!(event_loop.now() - begin, Duration::from_secs(3));
}

#[test]
fn callbacks_of_one_moment_keep_their_order() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    let when = event_loop.now() + Duration::from_secs(1);
    for word in ["a", "b", "c", "d"] {
        event_loop.call_at(when, notes.later(word));
    }
    event_loop.call_at(when, stop);
    event_loop.run_forever().expect("stopped");
    assert_eq!(notes.all(), ["a", "b", "c", "d"]);
}

#[test]
fn a_moment_that_is_past_is_due_at_once() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    event_loop
        .run_until_complete(async {
            sleep(Duration::from_secs(1)).await;
            let callback = call_at(now() - Duration::from_millis(500), notes.later("past"));
            assert!(callback.when().is_some_and(|when| when < now()));
            sleep(Duration::from_millis(1)).await;
        })
        .expect("not stopped");
    assert_eq!(notes.all(), ["past"]);
}

#[test]
fn a_cancelled_callback_never_runs() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    let soon = event_loop.call_soon(notes.later("soon"));
    let later = event_loop.call_later(Duration::from_secs(1), notes.later("later"));
    assert!(!soon.is_cancelled());
    soon.cancel();
    event_loop
        .run_until_complete(async {
            later.cancel();
            sleep(Duration::from_secs(2)).await;
        })
        .expect("not stopped");
    assert!(notes.all().is_empty());
    assert!(soon.is_cancelled() && later.is_cancelled());
    assert_eq!(event_loop.statistics().callbacks, 0);
}

#[test]
fn a_callback_that_cancels_itself_runs_on() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    let own = Rc::new(RefCell::new(None::<uring_loop::Callback>));
    let (inner, inside) = (own.clone(), notes.clone());
    let callback = event_loop.call_soon(move || {
        inner.borrow().as_ref().expect("set before it runs").cancel();
        inside.note("to the end");
    });
    own.replace(Some(callback));
    event_loop.run_until_complete(yield_now()).expect("not stopped");
    assert_eq!(notes.all(), ["to the end"]);
    assert!(own.borrow().as_ref().expect("set").is_cancelled());
}

#[test]
fn what_a_cancelled_callback_holds_is_dropped_at_once() {
    let event_loop = virtual_loop();
    let held = Rc::new(());
    let inner = held.clone();
    let callback = event_loop.call_later(Duration::from_secs(1), move || drop(inner));
    let mut event_loop = event_loop;
    event_loop.run_until_complete(async { callback.cancel() }).expect("not stopped");
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn a_callback_shows_its_name_and_where_it_comes_from() {
    let event_loop = virtual_loop();
    let unnamed = format!("{:?}", event_loop.call_soon(|| ()));
    assert!(unnamed.starts_with("<Callback scheduled name=\"Callback-1\" at "), "{unnamed}");
    let named = event_loop.call_later(Duration::from_secs(1), stop).named("stop_loop");
    assert_eq!(named.name(), "stop_loop");
    assert!(named.location().file().ends_with("loop_api.rs"));
    named.cancel();
    assert!(format!("{named:?}").contains("cancelled"), "{named:?}");
    assert!(event_loop.all_tasks().is_empty(), "callbacks are not tasks");
}

#[test]
fn a_stop_lets_what_is_ready_run_and_nothing_it_makes_ready() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    let inner = notes.clone();
    event_loop.call_soon(move || {
        call_soon(inner.later("made ready before the stop"));
        stop();
        call_soon(inner.later("made ready after the stop"));
    });
    event_loop.call_soon(notes.later("ready with it"));
    event_loop.run_forever().expect("stopped");
    assert_eq!(notes.all(), ["ready with it"]);
    event_loop.call_soon(stop);
    event_loop.run_forever().expect("stopped");
    assert_eq!(notes.all()[1..], ["made ready before the stop", "made ready after the stop"]);
}

#[test]
fn a_stop_among_thousands_lets_all_that_are_ready_run() {
    let mut event_loop = virtual_loop();
    let ran = Rc::new(Cell::new(0));
    for index in 0..5000 {
        let ran = ran.clone();
        event_loop.call_soon(move || {
            ran.set(ran.get() + 1);
            if index == 10 {
                stop();
            }
            call_soon(|| panic!("it belongs to the next run"));
        });
    }
    event_loop.run_forever().expect("stopped");
    assert_eq!(ran.get(), 5000);
}

#[test]
fn a_stop_before_the_run_lets_one_round_run() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    let inner = notes.clone();
    event_loop.call_soon(move || {
        inner.note("first round");
        call_soon(inner.later("second round"));
    });
    event_loop.stop();
    event_loop.run_forever().expect("stopped");
    assert_eq!(notes.all(), ["first round"]);
}

#[test]
fn a_stop_in_the_main_task_gives_no_result_and_drops_it() {
    let mut event_loop = virtual_loop();
    let held = Rc::new(());
    let inner = held.clone();
    let result = event_loop.run_until_complete(async move {
        stop();
        sleep(Duration::from_secs(1)).await;
        drop(inner);
    });
    assert_eq!(result, Err(RunError::Stopped));
    assert_eq!(Rc::strong_count(&held), 1, "its future was dropped");
}

#[test]
fn a_stop_and_a_result_at_once_give_the_result() {
    let mut event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        stop();
        7
    });
    assert_eq!(result, Ok(7));
    assert_eq!(event_loop.run_until_complete(async { 8 }), Ok(8), "the stop is used up");
}

#[test]
fn whoever_the_main_task_woke_at_its_end_still_runs() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    let inner = notes.clone();
    event_loop
        .run_until_complete(async move {
            let last = inner.clone();
            call_soon(move || {
                last.note("woken by the main task");
                call_soon(last.later("a round too late"));
            });
        })
        .expect("not stopped");
    assert_eq!(notes.all(), ["woken by the main task"]);
}

#[test]
fn a_task_goes_on_in_the_next_run() {
    let mut event_loop = virtual_loop();
    let mut task = event_loop.spawn(async {
        sleep(Duration::from_secs(10)).await;
        "late"
    });
    let early = event_loop.run_until_complete(async {
        call_later(Duration::from_secs(5), stop);
        (&mut task).await
    });
    assert!(matches!(early, Err(RunError::Stopped)));
    assert!(!task.is_done());
    assert_eq!(event_loop.run_until_complete(task).expect("not stopped").expect("done"), "late");
}

#[test]
fn a_loop_cannot_be_run_inside_of_a_loop() {
    let mut outer = virtual_loop();
    let caught = outer.run_until_complete(async {
        let mut inner = virtual_loop();
        catch_unwind(AssertUnwindSafe(|| inner.run_forever().is_ok())).is_err()
    });
    assert_eq!(caught, Ok(true));
}

#[test]
fn a_closed_loop_refuses_everything_but_being_closed() {
    let mut event_loop = virtual_loop();
    let handle = event_loop.handle();
    let held = Rc::new(());
    let inner = held.clone();
    event_loop.call_soon(move || drop(inner));
    event_loop.close();
    event_loop.close();
    assert!(event_loop.is_closed() && handle.is_closed());
    assert_eq!(Rc::strong_count(&held), 1, "its callbacks were dropped");
    assert_eq!(handle.stop(), Err(LoopClosed));
    let refused = |f: &mut dyn FnMut(&mut EventLoop)| {
        let panic = catch_unwind(AssertUnwindSafe(|| f(&mut event_loop))).expect_err("refused");
        panic.downcast_ref::<&str>().map(|text| text.contains("closed")) == Some(true)
    };
    let mut refused = refused;
    assert!(refused(&mut |closed| drop(closed.call_soon(|| ()))));
    assert!(refused(&mut |closed| drop(closed.call_later(Duration::ZERO, || ()))));
    assert!(refused(&mut |closed| drop(closed.call_at(closed.now(), || ()))));
    assert!(refused(&mut |closed| drop(closed.spawn(async {}))));
    assert!(refused(&mut |closed| closed.run_forever().expect("refused")));
    assert!(refused(&mut |closed| closed.run_until_complete(async {}).expect("refused")));
    event_loop.stop(); // of which nobody hears
    assert_eq!(event_loop.finish(), 0, "there is nothing to bring to an end");
    assert!(!event_loop.is_running() && event_loop.all_tasks().is_empty());
}

/// Other threads are refused by the compiler: what belongs to a loop does not leave its thread.
#[test]
fn what_belongs_to_a_loop_stays_on_its_thread_and_handles_travel() {
    /// There are two ways to call it for a type that is `Send`, so that it cannot be called.
    trait StaysHere<Which> {
        fn stays_here() {}
    }
    impl<T: ?Sized> StaysHere<()> for T {}
    struct Travels;
    impl<T: ?Sized + Send> StaysHere<Travels> for T {}

    <EventLoop as StaysHere<_>>::stays_here();
    <Runner as StaysHere<_>>::stays_here();
    <Task<u8> as StaysHere<_>>::stays_here();
    <TaskRef as StaysHere<_>>::stays_here();
    <Callback as StaysHere<_>>::stays_here();
    <Promise<u8> as StaysHere<_>>::stays_here();
    <TaskGroup<u8> as StaysHere<_>>::stays_here();
    <Sleep as StaysHere<_>>::stays_here();
    <Lock<u8> as StaysHere<_>>::stays_here();
    <LockGuard<'_, u8> as StaysHere<_>>::stays_here();
    <Event as StaysHere<_>>::stays_here();
    <Condition as StaysHere<_>>::stays_here();
    <Semaphore as StaysHere<_>>::stays_here();
    <Barrier as StaysHere<_>>::stays_here();
    <Queue<u8> as StaysHere<_>>::stays_here();

    fn travels<T: Send>() {}
    travels::<Handle>();
    travels::<RemoteCallback>();
    travels::<RemoteTask<u8>>();
    travels::<PromiseSetter<u8, ()>>();
    travels::<RemotePromise<u8, ()>>();
    travels::<LoopThread>();
}

#[test]
fn loops_of_one_thread_know_their_own_tasks() {
    let (mut one, two) = (virtual_loop(), virtual_loop());
    let a = one.spawn(async {}).named("of the first");
    let b = two.spawn(async {}).named("of the second");
    assert_eq!((a.name(), b.name()), ("of the first".into(), "of the second".into()));
    one.run_until_complete(async {
        assert_eq!(b.name(), "of the second", "while the other runs");
    })
    .expect("not stopped");
    drop(two);
    assert!(b.name().starts_with("Task-"), "its loop is gone, and its name with it");
    assert_eq!(a.name(), "of the first");
}

#[test]
fn names_leave_nothing_behind() {
    let mut event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            for round in 0..1000 {
                let task = spawn(async { current_task().expect("it runs").name() });
                let name = format!("round {round}");
                assert_eq!(task.named(name.clone()).await.expect("no panic"), name);
            }
        })
        .expect("not stopped");
    assert!(format!("{event_loop:?}").contains("extras: 0"), "{event_loop:?}");
}

#[test]
fn all_tasks_are_those_that_have_not_ended() {
    let mut event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let me = current_task().expect("a task runs");
            let ended = spawn(async {});
            let waiting = spawn(std::future::pending::<()>()).named("waiting");
            yield_now().await;
            assert!(ended.is_done());
            let all = all_tasks();
            assert_eq!(all, [me.clone(), waiting.task_ref()]);
            assert!(!all.contains(&ended.task_ref()));
            assert_eq!(all[1].name(), "waiting");
            assert!(all[1].cancel(), "it was asked");
            assert!(waiting.await.expect_err("cancelled").is_cancelled());
            assert!(!all[1].cancel(), "it has ended");
            assert_eq!(all_tasks(), [me]);
        })
        .expect("not stopped");
    assert_eq!(current_task(), None);
}

#[test]
fn an_eager_task_runs_inside_of_spawn() {
    let (mut event_loop, notes) = (virtual_loop(), Notes::default());
    let inner = notes.clone();
    event_loop
        .run_until_complete(async move {
            let outer = current_task();
            let (deep, deeper) = (inner.clone(), inner.clone());
            let at_once = spawn_eager(async move {
                deep.note("at once");
                spawn_eager(async move { deeper.note("nested") }).await.expect("no panic");
                current_task()
            });
            assert!(at_once.is_done());
            assert_eq!(current_task(), outer);
            assert_ne!(at_once.await.expect("no panic"), outer);
            let last = inner.clone();
            let waits = spawn_eager(async move {
                last.note("begins");
                yield_now().await;
                last.note("ends");
            });
            inner.note("after spawn");
            assert!(!waits.is_done());
            waits.await.expect("no panic");
        })
        .expect("not stopped");
    assert_eq!(notes.all(), ["at once", "nested", "begins", "after spawn", "ends"]);
}

#[test]
fn a_loop_may_start_all_tasks_eagerly() {
    let builder = EventLoop::builder().virtual_clock().eager_tasks(true);
    let mut event_loop = builder.build().expect("a ring");
    let before = event_loop.spawn(async { 1 });
    assert!(!before.is_done(), "no loop runs yet");
    let result = event_loop.run_until_complete(async {
        let panics = spawn(async { panic!("at once") });
        assert!(panics.is_done());
        assert!(panics.await.expect_err("a panic").is_panic());
        spawn(async { 2 }).is_done()
    });
    assert_eq!(result, Ok(true));
    assert!(before.is_done());
}

#[test]
fn a_thread_of_its_own_runs_a_loop_until_it_is_stopped() {
    let background = LoopThread::start(EventLoop::builder()).expect("a ring");
    let handle = background.handle().clone();
    assert!(handle.is_running() && !handle.is_closed());
    let (sender, receiver) = mpsc::channel();
    let call = move || sender.send(thread::current().id()).expect("somebody listens");
    handle.call_soon(call).expect("open");
    assert_eq!(receiver.recv().expect("it ran"), background.thread().id());
    background.stop();
    assert!(handle.is_closed() && !handle.is_running());
    assert_eq!(handle.call_soon(|| ()).err(), Some(LoopClosed));
}

#[test]
fn a_stop_from_another_thread_wakes_the_loop() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let handle = event_loop.handle();
    let stopper = thread::spawn(move || {
        while !handle.is_running() {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20)); // it is parked by now
        handle.stop()
    });
    event_loop.run_forever().expect("stopped");
    assert_eq!(stopper.join().expect("no panic"), Ok(()));
}

/// Sends the loop a callback that says so and then blocks; and another behind it.
fn two_callbacks(
    handle: &Handle,
) -> (mpsc::Receiver<()>, mpsc::Sender<()>, uring_loop::RemoteCallback, uring_loop::RemoteCallback)
{
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let blocks = move || {
        begun.send(()).expect("somebody waits");
        may_go_on.recv().expect("somebody says so");
    };
    let blocking = handle.call_soon(blocks).expect("open");
    let behind = handle.call_soon(|| panic!("it was withdrawn")).expect("open");
    (has_begun, go_on, blocking, behind)
}

#[test]
fn a_remote_callback_is_withdrawn_before_it_runs_and_waited_for_while_it_does() {
    let background = LoopThread::start(EventLoop::builder()).expect("a ring");
    let (has_begun, go_on, blocking, behind) = two_callbacks(background.handle());
    has_begun.recv().expect("it runs");
    assert!(behind.cancel(), "it has not begun");
    let (ended, has_ended) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let withdrawn = blocking.cancel();
        ended.send(()).expect("somebody waits");
        withdrawn
    });
    let early = has_ended.recv_timeout(Duration::from_millis(20));
    assert!(early.is_err(), "cancel returned while the callback ran");
    go_on.send(()).expect("it waits");
    has_ended.recv().expect("cancel returns");
    assert!(!waiter.join().expect("no panic"), "it was too late");
    background.stop();
}
