//! The dump: who waits for whom, and for what.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use uring_loop::net::TcpListener;
use uring_loop::queue::Queue;
use uring_loop::signal::{SignalKind, signals};
use uring_loop::sync::Lock;
use uring_loop::time::sleep;
use uring_loop::{
    Dump, EventLoop, Promise, Task, TaskGroup, WaitUntil, as_completed, gather, shield, spawn,
    wait, yield_now,
};

fn run<F: Future>(debug: bool, future: F) -> F::Output {
    let builder = EventLoop::builder().virtual_clock().debug(debug);
    builder.build().expect("a ring").run_until_complete(future).expect("not stopped")
}

/// The line that names a task, with its indentation.
fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let named = format!("name={name:?}");
    text.lines().find(|line| line.contains(&named)).unwrap_or_else(|| panic!("no {name}:\n{text}"))
}

fn depth(line: &str) -> usize {
    (line.len() - line.trim_start().len()) / 4
}

#[test]
fn tasks_stand_below_the_one_that_awaits_them() {
    run(false, async {
        let inner = spawn(sleep(Duration::from_secs(60))).named("inner");
        let middle = spawn(async { inner.await.is_ok() }).named("middle");
        let outer = spawn(async { middle.await.is_ok() }).named("outer");
        drop(spawn(pending::<()>()).named("alone"));
        for _ in 0..4 {
            yield_now().await;
        }
        let text = Dump::current().to_string();
        let depths = ["outer", "middle", "inner", "alone"].map(|name| depth(line(&text, name)));
        assert_eq!(depths, [0, 1, 2, 0], "{text}");
        let order = |name: &str| text.find(line(&text, name)).expect("it is there");
        assert!(order("outer") < order("middle") && order("middle") < order("inner"), "{text}");
        assert!(line(&text, "middle").ends_with("waiting on inner>"), "{text}");
        assert!(line(&text, "inner").ends_with("waiting on a timer, 60.0s left>"), "{text}");
        outer.abort();
    });
}

#[test]
fn children_that_are_gathered_stand_below_who_gathers() {
    run(false, async {
        let gathering = spawn(async {
            gather((0..3).map(|n| spawn(pending::<u32>()).named(format!("child {n}"))))
                .await
                .is_ok()
        });
        let gathering = gathering.named("gathering");
        for _ in 0..3 {
            yield_now().await;
        }
        let text = Dump::current().to_string();
        for n in 0..3 {
            assert_eq!(depth(line(&text, &format!("child {n}"))), 1, "{text}");
        }
        assert!(line(&text, "gathering").contains("waiting on child"), "{text}");
        gathering.abort();
    });
}

#[test]
fn tasks_stand_below_whoever_waits_for_them_apart_from_the_tree() {
    run(false, async {
        let child = |name: &str| spawn(pending::<()>()).named(name);
        let shielded = child("shielded");
        let waits = [
            spawn(async { shield(shielded).await.is_ok() }).named("shielding"),
            spawn({
                let some = vec![child("waited for 0"), child("waited for 1")];
                async { wait(some, WaitUntil::AllCompleted).await.is_ok() }
            })
            .named("waiting"),
            spawn({
                let some = [child("as completed 0"), child("as completed 1")];
                async { as_completed(some).next().await.is_some() }
            })
            .named("taking"),
        ];
        for _ in 0..3 {
            yield_now().await;
        }
        let text = Dump::current().to_string();
        let below = |name: &str, above: &str| {
            assert_eq!(depth(line(&text, name)), 1, "{text}");
            assert!(line(&text, above).contains(name), "{text}");
        };
        below("shielded", "shielding");
        below("waited for 0", "waiting");
        below("waited for 1", "waiting");
        below("as completed 0", "taking");
        below("as completed 1", "taking");
        waits.iter().for_each(|task| task.abort());
        yield_now().await;
        let text = Dump::current().to_string();
        assert_eq!(depth(line(&text, "shielded")), 0, "nobody waits for it any more:\n{text}");
    });
}

#[test]
fn children_of_a_group_stand_below_the_task_that_waits_for_it() {
    run(false, async {
        let parent = spawn(async {
            let ended = TaskGroup::<()>::scope(async |group| {
                group.spawn_value(pending::<()>()).named("older").await.ok();
                Ok(())
            });
            ended.await.is_ok()
        });
        let parent = parent.named("parent");
        let family = spawn(async {
            let ended = TaskGroup::<()>::scope(async |group| {
                group.spawn_value(pending::<()>()).named("first child");
                let inner = group.clone();
                group
                    .spawn_value(async move {
                        inner.spawn_value(pending::<()>()).named("its sibling");
                        pending::<()>().await;
                    })
                    .named("second child");
                Ok(())
            });
            ended.await.is_ok()
        });
        let family = family.named("family");
        for _ in 0..3 {
            yield_now().await;
        }
        let text = Dump::current().to_string();
        for (child, above) in [
            ("older", "parent"),
            ("first child", "family"),
            ("second child", "family"),
            ("its sibling", "family"),
        ] {
            assert_eq!(depth(line(&text, child)), 1, "{text}");
            assert!(line(&text, above).contains(child), "{text}");
        }
        parent.abort();
        family.abort();
        yield_now().await;
        let text = Dump::current().to_string();
        assert_eq!(text.lines().count(), 1, "nothing is left of them:\n{text}");
    });
}

#[test]
fn tasks_that_wait_for_each_other_are_shown_as_a_circle() {
    run(false, async {
        let place = Rc::new(RefCell::new(None::<Task<()>>));
        let inner = place.clone();
        let one = spawn(async move {
            let other = inner.borrow_mut().take().expect("it was put there");
            other.await.ok();
        });
        let one = one.named("one");
        let (one_ref, other) = (one.task_ref(), spawn(async move { one.await.unwrap_or(()) }));
        place.replace(Some(other.named("other")));
        for _ in 0..3 {
            yield_now().await;
        }
        let text = Dump::current().to_string();
        assert!(line(&text, "one").starts_with("in a circle: "), "{text}");
        assert!(line(&text, "other").starts_with("in a circle: "), "{text}");
        one_ref.abort();
    });
}

#[test]
fn a_task_of_any_output_tells_what_the_dump_tells() {
    run(false, async {
        let task = spawn(sleep(Duration::from_secs(5))).named("sleeper");
        yield_now().await;
        let any = task.task_ref();
        assert_eq!(any.info().waiting_on.as_deref(), Some("a timer, 5.0s left"));
        assert_eq!(any.info().state, "waiting");
        assert_eq!(format!("{any:?}"), format!("{task:?}"));
        assert!(format!("{any:?}").starts_with("<Task pending name=\"sleeper\" at "), "{any:?}");
        task.abort();
        assert_eq!((any.info().state, any.info().waiting_on), ("finished", None));
    });
}

#[test]
fn operations_are_named() {
    run(false, async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let accepting = spawn(async move { listener.accept().await.is_ok() }).named("accepting");
        yield_now().await;
        yield_now().await;
        let text = Dump::current().to_string();
        assert!(line(&text, "accepting").contains("waiting on ACCEPT"), "{text}");
        accepting.abort();
    });
}

#[test]
fn in_debug_mode_locks_queues_and_promises_are_named() {
    run(true, async {
        let lock = Rc::new(Lock::new(()));
        let inner = lock.clone();
        let held = lock.lock().await;
        let locking = spawn(async move { drop(inner.lock().await) }).named("locking");
        let getting = spawn(async { Queue::<u8>::new().get().await.is_ok() }).named("getting");
        let promised = spawn(async { Promise::<u8>::new().await.is_ok() }).named("promised");
        yield_now().await;
        let text = Dump::current().to_string();
        assert!(line(&text, "locking").ends_with("waiting on sync::lock>"), "{text}");
        assert!(line(&text, "getting").ends_with("waiting on queue>"), "{text}");
        assert!(line(&text, "promised").ends_with("waiting on a promise>"), "{text}");
        drop(held);
        locking.await.expect("no panic");
        getting.abort();
        promised.abort();
    });
}

#[test]
fn a_task_shows_itself_in_words() {
    run(false, async {
        let task = spawn(sleep(Duration::from_secs(5))).named("sleeper");
        yield_now().await;
        let text = format!("{task:?}");
        assert!(text.starts_with("<Task pending name=\"sleeper\" at "), "{text}");
        assert!(text.contains("dump.rs:"), "{text}");
        assert!(text.ends_with(" waiting on a timer, 5.0s left>"), "{text}");
        task.cancel();
        assert!(format!("{task:?}").starts_with("<Task cancelling "), "{task:?}");
        yield_now().await;
        assert!(format!("{task:?}").starts_with("<Task finished "), "{task:?}");
        assert!(format!("{task:#?}").contains("[complete"), "{task:#?}");
    });
}

#[test]
fn a_signal_prints_the_dump_while_the_loop_goes_on() {
    const SELF: &str = "dump::a_signal_prints_the_dump_while_the_loop_goes_on";
    if std::env::var_os("URING_LOOP_TEST_DUMP").is_some() {
        let builder = EventLoop::builder().dump_on_signal(true);
        let mut event_loop = builder.build().expect("a ring");
        for _ in 0..2 {
            event_loop
                .run_until_complete(async {
                    let mut also = signals(SignalKind::USER1).expect("it can be handled");
                    let waiting = spawn(pending::<()>()).named("waits for ever");
                    yield_now().await;
                    raise(Signal::SIGUSR1).expect("a signal");
                    also.recv().await;
                    sleep(Duration::from_millis(1)).await; // the loop has looked by then
                    waiting.abort();
                })
                .expect("not stopped");
        }
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args([SELF, "--exact", "--nocapture", "--test-threads=1"])
        .env("URING_LOOP_TEST_DUMP", "1")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.matches("name=\"waits for ever\"").count(), 2, "{text}");
}
