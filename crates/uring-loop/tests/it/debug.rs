//! Debug mode: slow polls, polls that never end, tasks dropped while they wait.

use std::future::pending;
use std::thread;
use std::time::Duration;

use uring_loop::{EventLoop, ReportKind, gather, join, spawn, yield_now};

use crate::support::{Reports, in_child, logged, reporting};

/// A loop in debug mode that keeps its reports.
fn debugged(slow: Duration) -> (EventLoop, Reports) {
    let builder = EventLoop::builder().virtual_clock().debug(true).slow_poll(slow);
    reporting(builder.build().expect("a ring"))
}

#[test]
fn a_slow_poll_is_reported_with_name_place_and_duration() {
    let (mut event_loop, reports) = debugged(Duration::from_millis(30));
    let slow = async {
        thread::sleep(Duration::from_millis(50));
        yield_now().await;
    };
    let task = event_loop.spawn(slow).named("sleepy");
    event_loop.run_until_complete(task).expect("not stopped").expect("no panic");
    let reports = reports.borrow();
    let slow: Vec<_> = reports.iter().filter(|(_, text)| text.contains("sleepy at ")).collect();
    assert_eq!(slow.len(), 1, "{reports:?}");
    assert_eq!(slow[0].0, ReportKind::Slow);
    assert!(slow[0].1.starts_with("a poll took 0.") && slow[0].1.contains("debug.rs"), "{slow:?}");
}

#[test]
fn a_slow_callback_is_reported_by_its_name() {
    let (mut event_loop, reports) = debugged(Duration::from_millis(30));
    event_loop.call_soon(|| thread::sleep(Duration::from_millis(50))).named("slow_callback");
    event_loop.run_until_complete(yield_now()).expect("not stopped");
    assert!(reports.borrow().iter().any(|(_, text)| text.contains("slow_callback")));
}

#[test]
fn a_task_dropped_while_pending_is_reported() {
    let (mut event_loop, reports) = debugged(Duration::from_secs(60));
    event_loop
        .run_until_complete(async {
            drop(spawn(pending::<()>()).named("forgotten"));
            yield_now().await;
        })
        .expect("not stopped");
    assert!(reports.borrow().is_empty());
    drop(event_loop);
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].0, ReportKind::DroppedPending);
    assert!(reports[0].1.contains("forgotten"));
}

#[test]
fn what_a_gathering_alone_holds_is_not_reported_besides_who_awaits_it() {
    let (mut event_loop, reports) = debugged(Duration::from_secs(60));
    event_loop
        .run_until_complete(async {
            let own = spawn(pending::<()>()).named("own");
            let waits = async move {
                let several = gather!(own, pending::<()>());
                let _ = join((several, gather!(..[pending::<()>()]))).await;
            };
            drop(spawn(waits).named("waits"));
            yield_now().await;
        })
        .expect("not stopped");
    drop(event_loop);
    let mut named: Vec<_> = reports.borrow().iter().map(|(_, text)| text.clone()).collect();
    named.sort();
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named.iter().any(|text| text.contains("own")), "{named:?}");
    assert!(named.iter().any(|text| text.contains("waits")), "{named:?}");
}

#[test]
fn without_debug_mode_nothing_of_it_is_reported() {
    let ((), log) = logged(|| {
        let builder = EventLoop::builder().virtual_clock().debug(false).slow_poll(Duration::ZERO);
        let mut event_loop = builder.build().expect("a ring");
        event_loop
            .run_until_complete(async {
                drop(spawn(pending::<()>()));
                thread::sleep(Duration::from_millis(5));
                yield_now().await;
            })
            .expect("not stopped");
    });
    assert_eq!(log, "");
}

#[test]
fn a_poll_that_does_not_end_is_reported_from_outside() {
    in_child("debug::a_poll_that_does_not_end_is_reported_from_outside", || {
        // The watcher has a thread of its own, and so needs the log of the whole process.
        let said = crate::support::log_of_the_process();
        let builder = EventLoop::builder().debug(true).stall(Duration::from_millis(20));
        let mut event_loop = builder.build().expect("a ring");
        let reported = move || {
            let said = said.lock().expect("no panic").join("\n");
            said.contains("stands still") && said.contains(": endless at ")
        };
        let task = event_loop.spawn(async move {
            while !reported() {
                thread::sleep(Duration::from_millis(1)); // it never yields
            }
        });
        let task = task.named("endless");
        event_loop.run_until_complete(task).expect("not stopped").expect("no panic");
    });
}

#[test]
fn debug_mode_is_asked_for_by_the_environment() {
    in_child("debug::debug_mode_is_asked_for_by_the_environment", || {
        for (value, on) in [("1", true), ("0", false), ("", false)] {
            // SAFETY: the only thread of this process.
            unsafe { std::env::set_var("URING_LOOP_DEBUG", value) };
            let described = format!("{:?}", EventLoop::builder());
            assert!(described.contains(&format!("debug: {on}")), "{value:?}: {described}");
        }
    });
}
