//! A loop in a forked child: a clear error for every use, no harm to the parent, and a loop of the
//! child's own works. Each test forks in a process of its own.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use uring_loop::net::TcpListener;
use uring_loop::op::{Driver, Nop};
use uring_loop::signal::{SignalKind, signals};
use uring_loop::time::sleep;
use uring_loop::{EventLoop, unblock};

use crate::parts::connected_pair;
use crate::support::{in_child, poll_once};

/// Runs `body` in a forked process and fails if it panics or hangs.
#[track_caller]
fn in_fork(body: impl FnOnce()) {
    // SAFETY: the process runs one test, and no other thread of it holds a lock that `body` needs:
    // the other threads are helpers and the test harness, all of them waiting.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        // SAFETY: kills a child that hangs.
        unsafe { libc::alarm(20) };
        let code = i32::from(catch_unwind(AssertUnwindSafe(body)).is_err());
        // SAFETY: ends the child without the parent's destructors.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: our child, and room for its status.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "the forked child failed (14: it hung)");
}

fn words(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("text")).to_owned(),
    }
}

/// The panic's words name the cause and the fix.
#[track_caller]
fn is_refused<R>(use_it: impl FnOnce() -> R) {
    let refused = catch_unwind(AssertUnwindSafe(use_it)).err().expect("it must not work");
    let words = words(refused);
    assert!(words.contains("belongs to the process that made it"), "{words}");
    assert!(words.contains("must make its own (EventLoop::new)"), "{words}");
}

fn run<F: Future>(event_loop: &mut EventLoop, future: F) -> F::Output {
    event_loop.run_until_complete(future).expect("not cancelled")
}

#[test]
fn running_the_parents_loop_is_refused() {
    in_child("fork::running_the_parents_loop_is_refused", || {
        let mut event_loop = EventLoop::new().expect("a ring");
        let (mut one, mut other) = run(&mut event_loop, connected_pair());
        // An operation is in flight, and the parent's to complete.
        run(&mut event_loop, async {
            assert!(poll_once(&mut other.recv()).await.is_pending());
        });
        let mut slot = Some(event_loop);
        in_fork(|| {
            let mut event_loop = slot.take().expect("it is there");
            is_refused(|| run(&mut event_loop, async { sleep(Duration::from_millis(1)).await }));
            is_refused(|| run(&mut event_loop, async { other.recv().await.map(|_| ()) }));
            // Its drop is quiet, and does not shut the parent's ring down.
            drop(event_loop);
        });
        let mut event_loop = slot.expect("taken in the child only");
        run(&mut event_loop, async {
            one.write_all("unharmed").await.0.expect("open");
            assert_eq!(&*other.recv().await.expect("open"), b"unharmed");
        });
    });
}

#[test]
fn polling_the_parents_operations_on_a_new_loop_is_refused() {
    in_child("fork::polling_the_parents_operations_on_a_new_loop_is_refused", || {
        let mut event_loop = EventLoop::new().expect("a ring");
        let (mut one, mut other) = run(&mut event_loop, connected_pair());
        let (fresh, listener) = run(&mut event_loop, async {
            assert!(poll_once(&mut other.recv()).await.is_pending());
            (connected_pair().await, TcpListener::bind("127.0.0.1:0").expect("free"))
        });
        // Not submitted yet; its driver is the parent's.
        let nop = run(&mut event_loop, async { Some(Driver::current().submit(Nop)) });
        in_fork(|| {
            let mut own = EventLoop::new().expect("a ring for the child");
            let (mut fresh, _) = fresh;
            is_refused(|| run(&mut own, async { other.recv().await.map(|_| ()) }));
            is_refused(|| run(&mut own, async { fresh.recv().await.map(|_| ()) }));
            is_refused(|| run(&mut own, async { fresh.write_all("x").await.0 }));
            is_refused(|| run(&mut own, async { listener.accept().await.map(|_| ()) }));
            is_refused(|| run(&mut own, nop.expect("made")));
            // The child's copies close without a word.
            drop((other, fresh, listener));
            run(&mut own, async { sleep(Duration::from_millis(1)).await });
        });
        run(&mut event_loop, async {
            one.write_all("unharmed").await.0.expect("open");
        });
    });
}

#[test]
fn a_child_has_a_loop_of_its_own() {
    in_child("fork::a_child_has_a_loop_of_its_own", || {
        let mut event_loop = EventLoop::new().expect("a ring");
        // A helper thread exists in the parent, and idles; the child has none.
        run(&mut event_loop, async {
            assert_eq!(unblock(|| 1).await.expect("a thread"), 1);
        });
        drop(EventLoop::new().expect("its door is free for the next"));
        in_fork(|| {
            let mut own = EventLoop::new().expect("a ring for the child");
            let handle = own.handle();
            run(&mut own, async {
                let (mut one, mut other) = connected_pair().await;
                one.write_all("child").await.0.expect("open");
                assert_eq!(&*other.recv().await.expect("open"), b"child");
                assert_eq!(unblock(|| 2).await.expect("a thread"), 2);
                let thread = std::thread::spawn(move || handle.spawn(|| async { 3 }).wait());
                while !thread.is_finished() {
                    sleep(Duration::from_millis(1)).await;
                }
                assert_eq!(thread.join().expect("no panic").expect("answered"), 3);
            });
        });
        run(&mut event_loop, async {
            let (mut one, mut other) = connected_pair().await;
            one.write_all("parent").await.0.expect("open");
            assert_eq!(&*other.recv().await.expect("open"), b"parent");
            assert_eq!(unblock(|| 4).await.expect("a thread"), 4);
        });
    });
}

fn eventfds() -> usize {
    let links = std::fs::read_dir("/proc/self/fd").expect("proc").filter_map(Result::ok);
    links
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter(|link| link.to_string_lossy().contains("eventfd"))
        .count()
}

/// A bell shared with the parent would wake the one when the other is meant.
#[test]
fn a_loop_of_the_child_has_a_bell_of_its_own() {
    in_child("fork::a_loop_of_the_child_has_a_bell_of_its_own", || {
        drop(EventLoop::new().expect("a ring"));
        let before = eventfds();
        drop(EventLoop::new().expect("a ring"));
        assert_eq!(eventfds(), before, "the bell is kept for the next loop");
        in_fork(|| {
            let event_loop = EventLoop::new().expect("a ring");
            assert_eq!(eventfds(), before + 1);
            drop(event_loop);
        });
    });
}

/// asyncio: test_unix_events.py, test_fork_signal_handling.
#[test]
fn a_signal_for_the_child_is_heard_by_its_own_loop_only() {
    in_child("fork::a_signal_for_the_child_is_heard_by_its_own_loop_only", || {
        let mut event_loop = EventLoop::new().expect("a ring");
        let mut heard = run(&mut event_loop, async {
            signals(SignalKind::TERMINATE).expect("it can be handled")
        });
        in_fork(|| {
            let mut own = EventLoop::new().expect("a ring for the child");
            run(&mut own, async {
                let mut own = signals(SignalKind::TERMINATE).expect("it can be handled");
                assert!(poll_once(&mut Box::pin(own.recv())).await.is_pending());
                raise(Signal::SIGTERM).expect("a signal");
                own.recv().await;
            });
        });
        run(&mut event_loop, async {
            sleep(Duration::from_millis(5)).await;
            assert!(poll_once(&mut Box::pin(heard.recv())).await.is_pending(), "not the parent's");
            raise(Signal::SIGTERM).expect("a signal");
            heard.recv().await;
        });
    });
}
