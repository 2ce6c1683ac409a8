//! Foreign descriptors: waiting until they are ready, and being called whenever they are.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::ControlFlow::{Break, Continue};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::io::{on_readable, on_writable, wait_readable, wait_writable};
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::op::opcode;
use uring_loop::testing::{Fault, Faults, SimConfig};
use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, ReportKind, call_soon, spawn, yield_now};

use crate::support::{on_sim, poll_once, reporting, reports_on_sim, run_limited, settle};

const GUARD: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

/// On the simulated kernel, which hands descriptors that are not its own to the real one, and on
/// this machine's.
#[track_caller]
fn on_both<F: Future<Output = ()>>(piece: impl Fn() -> F) {
    on_sim(SimConfig::seeded(1), |_| piece());
    let mut event_loop = EventLoop::new().expect("a ring");
    let limited = async { timeout(GUARD, piece()).await };
    event_loop.run_until_complete(limited).expect("not cancelled").expect("it waits for ever");
    let pause = async { sleep(5 * MS).await };
    event_loop.run_until_complete(pause).expect("not cancelled");
    let statistics = event_loop.statistics();
    assert_eq!((statistics.in_flight, statistics.orphans), (0, 0), "{:?}", event_loop.in_flight());
}

/// What a library may hand out: a socket that this crate knows nothing of.
fn foreign() -> (Rc<UnixStream>, UnixStream) {
    let (here, there) = UnixStream::pair().expect("descriptors");
    here.set_nonblocking(true).expect("it can be");
    there.set_nonblocking(true).expect("it can be");
    (Rc::new(here), there)
}

/// Reads what is there.
fn drained(mut stream: &UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        all.extend_from_slice(&bytes[..count]);
    }
    all
}

/// Writes until there is no room.
fn filled(mut stream: &UnixStream) {
    while stream.write(&[0; 4096]).is_ok() {}
}

/// An owner of a descriptor that tells when it goes.
struct Told<T>(T, Rc<Cell<bool>>);

impl<T: AsFd> AsFd for Told<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<T> Drop for Told<T> {
    fn drop(&mut self) {
        assert!(!self.1.replace(true), "it goes once");
    }
}

#[test]
fn a_descriptor_is_readable_when_bytes_came_until_they_are_read_and_at_the_end() {
    on_both(|| async {
        let (here, mut there) = foreign();
        let mut waiting = Box::pin(wait_readable(here.clone()));
        assert!(poll_once(&mut waiting).await.is_pending());
        yield_now().await;
        assert!(poll_once(&mut waiting).await.is_pending());
        there.write_all(b"hello").expect("room");
        waiting.await.expect("it can be polled");
        wait_readable(here.clone()).await.expect("it still is");
        assert_eq!(drained(&here), b"hello");
        let mut waiting = Box::pin(wait_readable(here.clone()));
        assert!(poll_once(&mut waiting).await.is_pending());
        drop(there);
        waiting.await.expect("the end is something to read");
        wait_readable(here.clone()).await.expect("and stays");
        assert_eq!((&*here).read(&mut [0]).expect("the end"), 0);
    });
}

#[test]
fn a_descriptor_is_writable_when_there_is_room_again() {
    on_both(|| async {
        let (here, there) = foreign();
        wait_writable(here.clone()).await.expect("it is empty");
        filled(&here);
        let mut waiting = Box::pin(wait_writable(here.clone()));
        assert!(poll_once(&mut waiting).await.is_pending());
        yield_now().await;
        assert!(poll_once(&mut waiting).await.is_pending());
        drained(&there);
        waiting.await.expect("there is room");
        assert!((&*here).write(b"x").is_ok());
        drop(there);
        wait_writable(here).await.expect("a failure is told by the write");
    });
}

#[test]
fn a_file_is_always_ready() {
    on_both(|| async {
        let file = Rc::new(std::fs::File::open("/proc/self/exe").expect("it runs"));
        wait_readable(file.clone()).await.expect("always");
        wait_writable(file).await.expect("always, whatever a write would say");
    });
}

#[test]
fn a_wait_keeps_the_descriptor_and_gives_it_up_when_it_is_over() {
    on_both(|| async {
        let ((here, mut there), gone) = (foreign(), Rc::new(Cell::new(false)));
        let waiting = spawn(wait_readable(Told(here.clone(), gone.clone())));
        yield_now().await;
        assert!(!gone.get());
        there.write_all(b"x").expect("room");
        waiting.await.expect("not cancelled").expect("it can be polled");
        assert!(gone.get(), "whoever is told has it alone");
        assert_eq!(Rc::strong_count(&here), 1);
    });
}

#[test]
fn a_wait_that_is_dropped_reads_nothing_and_gives_the_descriptor_up_soon() {
    on_both(|| async {
        let ((here, mut there), gone) = (foreign(), Rc::new(Cell::new(false)));
        // Before its first poll.
        drop(wait_readable(Told(here.clone(), gone.clone())));
        assert!(gone.replace(false));
        // Before it was submitted, and in flight.
        for turns in 0..3 {
            let mut waiting = Box::pin(wait_readable(Told(here.clone(), gone.clone())));
            assert!(poll_once(&mut waiting).await.is_pending());
            for _ in 0..turns {
                sleep(MS).await;
            }
            drop(waiting);
            while !gone.get() {
                sleep(MS).await;
            }
            gone.set(false);
        }
        // When it is done, and nobody was told.
        let mut waiting = Box::pin(wait_readable(Told(here.clone(), gone.clone())));
        assert!(poll_once(&mut waiting).await.is_pending());
        there.write_all(b"x").expect("room");
        sleep(5 * MS).await;
        drop(waiting);
        while !gone.get() {
            sleep(MS).await;
        }
        wait_readable(here.clone()).await.expect("it can be polled");
        assert_eq!(drained(&here), b"x");
    });
}

#[test]
fn several_tasks_wait_for_one_descriptor_each_on_its_own() {
    on_both(|| async {
        let (here, mut there) = foreign();
        filled(&here);
        let one = spawn(wait_readable(here.clone()));
        let two = spawn(wait_readable(here.clone()));
        let room = spawn(wait_writable(here.clone()));
        let given_up = timeout(MS, wait_readable(here.clone())).await;
        assert!(given_up.is_err());
        there.write_all(b"x").expect("room");
        one.await.expect("not cancelled").expect("it can be polled");
        two.await.expect("not cancelled").expect("it can be polled");
        assert!(!room.is_done(), "that is the other direction");
        drained(&there);
        room.await.expect("not cancelled").expect("it can be polled");
    });
}

#[test]
fn a_duplicate_is_as_good_as_the_owner() {
    on_both(|| async {
        let (here, mut there) = foreign();
        let copy = here.as_fd().try_clone_to_owned().expect("a descriptor");
        let waiting = spawn(wait_readable(copy));
        yield_now().await;
        there.write_all(b"x").expect("room");
        waiting.await.expect("not cancelled").expect("it can be polled");
        assert_eq!(drained(&here), b"x");
    });
}

#[test]
fn who_waits_does_not_hold_a_virtual_clock() {
    run_limited(async {
        let (here, _there) = foreign();
        let hour = Duration::from_secs(3600);
        assert!(timeout(hour, wait_readable(here)).await.is_err());
    });
}

#[test]
fn sockets_of_the_loop_can_be_waited_for_where_everything_goes_wrong() {
    for seed in 0..20 {
        on_sim(
            SimConfig { faults: Faults::chaos(), ..SimConfig::seeded(seed) },
            |sim| async move {
                let listener = Rc::new(TcpListener::bind("127.0.0.1:0").expect("free"));
                let address = listener.local_addr().expect("bound");
                for _ in 0..5 {
                    // Given up at some point, and asked for again.
                    let _ = timeout(MS, wait_readable(listener.clone())).await;
                }
                let _peer = sim.peer_connect(address);
                // Faults may fail a wait, and a connection may go while it waits to be accepted.
                let _ = timeout(Duration::from_secs(1), wait_readable(listener.clone())).await;
            },
        );
    }
}

#[test]
fn a_listener_is_readable_when_a_connection_waits_and_a_stream_when_bytes_do() {
    on_sim(SimConfig::seeded(3), |sim| async move {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").expect("free"));
        let mut waiting = Box::pin(wait_readable(listener.clone()));
        assert!(poll_once(&mut waiting).await.is_pending());
        let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
        waiting.await.expect("it can be polled");
        let stream: Rc<TcpStream> = Rc::new(listener.accept().await.expect("it waits"));
        let mut waiting = Box::pin(wait_readable(stream.clone()));
        assert!(poll_once(&mut waiting).await.is_pending());
        peer.send("x").expect("open");
        waiting.await.expect("it can be polled");
        wait_writable(stream).await.expect("there is room");
    });
}

#[test]
fn a_wait_that_fails_says_so() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let (here, _there) = foreign();
        sleep(MS).await; // the loop polls its bell first
        sim.next(opcode::POLL_ADD, Fault::Fail(nix::libc::ENOMEM));
        let error = wait_readable(here).await.expect_err("no memory");
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    });
}

#[test]
fn a_callback_comes_as_long_as_there_is_something_and_ends_when_it_breaks_off() {
    on_both(|| async {
        let ((here, mut there), gone) = (foreign(), Rc::new(Cell::new(false)));
        let heard = Rc::new(RefCell::new(Vec::new()));
        let kept = heard.clone();
        let callback = on_readable(Told(here, gone.clone()), move |stream| {
            let mut byte = [0];
            match (&*stream.0).read(&mut byte).expect("it is ready") {
                0 => Break(()),
                _ => {
                    kept.borrow_mut().push(byte[0]);
                    Continue(())
                }
            }
        });
        there.write_all(b"abc").expect("room");
        while heard.borrow().len() < 3 {
            sleep(MS).await;
        }
        there.write_all(b"d").expect("room");
        drop(there);
        while !gone.get() {
            sleep(MS).await;
        }
        assert_eq!(*heard.borrow(), b"abcd");
        assert!(format!("{callback:?}").contains("done"), "{callback:?}");
    });
}

#[test]
fn a_callback_for_room_writes_all_there_is_and_breaks_off() {
    on_both(|| async {
        let (here, there) = foreign();
        let bytes: Vec<u8> = (0..1_000_000).map(|at| at as u8).collect();
        let (mut rest, count) = (bytes.clone(), bytes.len());
        let callback = on_writable(here, move |stream| {
            while !rest.is_empty() {
                match (&**stream).write(&rest) {
                    Ok(written) => drop(rest.drain(..written)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Continue(()),
                    Err(error) => panic!("{error}"),
                }
            }
            Break(())
        });
        let (there, mut got) = (Rc::new(there), Vec::new());
        while got.len() < count {
            wait_readable(there.clone()).await.expect("it can be polled");
            got.extend(drained(&there));
        }
        assert!(got == bytes);
        drop(callback);
    });
}

#[test]
fn a_callback_that_is_cancelled_comes_no_more_and_gives_the_descriptor_up() {
    on_both(|| async {
        let ((here, mut there), gone) = (foreign(), Rc::new(Cell::new(false)));
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        let callback = on_readable(Told(here.clone(), gone.clone()), move |_| {
            counted.set(counted.get() + 1);
            Continue(())
        });
        there.write_all(b"x").expect("room");
        while calls.get() < 3 {
            yield_now().await; // nobody reads: it comes again and again
        }
        callback.cancel();
        let so_far = calls.get();
        while !gone.get() {
            yield_now().await;
        }
        assert_eq!(calls.get(), so_far);
        assert_eq!(drained(&here), b"x");
    });
}

#[test]
fn a_callback_that_panics_is_reported_and_ends_the_watching() {
    let gone = Rc::new(Cell::new(false));
    let seen = gone.clone();
    let reports = reports_on_sim(|_| async move {
        let (here, mut there) = foreign();
        there.write_all(b"x").expect("room");
        on_readable(Told(here, seen.clone()), |_| panic!("out of tea"));
        while !seen.get() {
            sleep(MS).await;
        }
    });
    assert!(gone.get());
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].0, ReportKind::CallbackPanicked);
    assert!(reports[0].1.contains("out of tea"), "{reports:?}");
}

#[test]
fn a_descriptor_that_cannot_be_watched_is_reported_and_given_up() {
    let gone = Rc::new(Cell::new(false));
    let seen = gone.clone();
    let reports = reports_on_sim(|sim| async move {
        let (here, _there) = foreign();
        sleep(MS).await; // the loop polls its bell first
        sim.next(opcode::POLL_ADD, Fault::Fail(nix::libc::ENOMEM));
        on_readable(Told(here, seen.clone()), |_| panic!("it is not called"));
        while !seen.get() {
            sleep(MS).await;
        }
    });
    assert!(gone.get());
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].0, ReportKind::WatchFailed);
    assert!(reports[0].1.contains("on_readable"), "{reports:?}");
}

#[test]
fn the_end_of_the_loop_ends_waits_and_callbacks() {
    let gone = [(); 2].map(|()| Rc::new(Cell::new(false)));
    let (mut event_loop, reports) = reporting(EventLoop::new().expect("a ring"));
    let (here, there) = foreign();
    let (one, two) = (Told(here.clone(), gone[0].clone()), Told(here.clone(), gone[1].clone()));
    let watched = async {
        drop(spawn(wait_readable(one)));
        on_readable(two, |_| Continue(()));
        call_soon(uring_loop::stop);
        std::future::pending::<()>().await;
    };
    assert!(event_loop.run_until_complete(watched).is_err(), "it was stopped");
    settle(&mut event_loop);
    assert!(!gone[0].get() && !gone[1].get());
    drop(event_loop);
    assert!(gone[0].get() && gone[1].get());
    assert_eq!(Rc::strong_count(&here), 1);
    assert!(reports.borrow().is_empty(), "{reports:?}");
    drop(there);
}
