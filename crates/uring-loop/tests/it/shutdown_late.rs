//! What completes while the loop shuts down, too late for anybody to take it: a connection is
//! closed, a buffer freed once, a refused or interrupted enter repeated.

use std::cell::Cell;
use std::future::pending;
use std::io::{Read as _, Write as _};
use std::net::TcpStream as Plain;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::buf::IoBuf;
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::testing::{Fault, SimConfig, opcode};
use uring_loop::{EventLoop, spawn, yield_now};

use crate::support::{in_child, logged, open_descriptors, poll_once, small};

/// Who has the listener or stream when the loop goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Task,
    Caller,
    /// Dropped in the turn before: its operation is an orphan.
    Nobody,
}

const HELD: [Held; 3] = [Held::Task, Held::Caller, Held::Nobody];

/// Puts `thing` where it is to be; answers it if that is with the caller.
async fn place<T: 'static>(thing: T, held: Held) -> Option<T> {
    match held {
        Held::Task => drop(spawn(async move {
            let _thing = thing;
            pending::<()>().await;
        })),
        Held::Caller => return Some(thing),
        Held::Nobody => drop(thing),
    }
    None
}

#[test]
fn a_connection_accepted_during_shutdown_is_closed() {
    for held in HELD {
        for late in 0..4 {
            let built = small().build_simulated(SimConfig::seeded(late));
            let (mut event_loop, sim) = built.expect("a ring");
            let (peer, kept) = event_loop
                .run_until_complete(async {
                    // The cancel misses it, and it ends by itself: with a connection.
                    sim.next(opcode::ACCEPT, Fault::LoseCancel);
                    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
                    let address = listener.local_addr().expect("bound");
                    assert!(poll_once(&mut Box::pin(listener.accept())).await.is_pending());
                    for _ in 0..late {
                        yield_now().await;
                    }
                    let kept = place(listener, held).await;
                    (sim.peer_connect(address).expect("it listens"), kept)
                })
                .expect("not cancelled");
            let ((), log) = logged(|| drop(event_loop));
            assert_eq!(log, "", "{held:?}");
            drop(kept);
            assert_eq!(sim.open_descriptors(), [], "{held:?}, {late} turns");
            assert!(peer.ended() || peer.was_reset(), "{held:?}: nobody serves it");
        }
    }
}

#[test]
fn connections_that_arrive_at_a_real_loops_end_are_closed() {
    in_child("shutdown_late::connections_that_arrive_at_a_real_loops_end_are_closed", || {
        drop(EventLoop::new().expect("a ring")); // What a process keeps for good, it has now.
        let before = open_descriptors();
        for round in 0..30 {
            let held = HELD[round % 3];
            let mut event_loop = EventLoop::new().expect("a ring");
            let (plain, kept) = event_loop
                .run_until_complete(async {
                    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
                    let address = listener.local_addr().expect("bound");
                    assert!(poll_once(&mut Box::pin(listener.accept())).await.is_pending());
                    yield_now().await;
                    // The kernel has them; the loop looks no more.
                    let plain: Vec<_> =
                        (0..5).map(|_| Plain::connect(address).expect("it listens")).collect();
                    (plain, place(listener, held).await)
                })
                .expect("not cancelled");
            drop(event_loop);
            drop(kept);
            for mut plain in plain {
                plain.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
                match plain.read(&mut [0; 1]) {
                    Ok(count) => assert_eq!(count, 0),
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
                }
            }
            assert_eq!(open_descriptors(), before, "{held:?}");
        }
    });
}

/// A buffer that counts its drops.
struct Counted(Vec<u8>, Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fill(0xdd);
        self.1.set(self.1.get() + 1);
    }
}

// SAFETY: the heap block of a vector stays where it is when the vector is moved.
unsafe impl IoBuf for Counted {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The simulated kernel looks at the memory of each operation at its end: a buffer freed before
/// that is found there.
#[test]
fn what_streams_have_in_flight_at_the_end_is_freed_once_and_after_its_completion() {
    for held in HELD {
        for lost in [true, false] {
            let config = SimConfig { send_buffer: 64, ..SimConfig::seeded(7) };
            let (mut event_loop, sim) = small().build_simulated(config).expect("a ring");
            let dropped = Rc::new(Cell::new(0));
            let (peer, kept) = event_loop
                .run_until_complete(async {
                    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
                    let address = listener.local_addr().expect("bound");
                    let peer = sim.peer_connect(address).expect("it listens");
                    let mut stream = listener.accept().await.expect("accepted");
                    if lost {
                        sim.next(opcode::RECV, Fault::LoseCancel);
                        sim.next(opcode::SEND, Fault::LoseCancel);
                    }
                    assert!(poll_once(&mut stream.recv()).await.is_pending());
                    let buffer = Counted(vec![1; 1000], dropped.clone());
                    assert!(poll_once(&mut stream.write_all(buffer)).await.is_pending());
                    yield_now().await;
                    // More than the pool has: these come at the end or never.
                    peer.send(vec![2; 5000]).expect("open");
                    (peer, place(stream, held).await)
                })
                .expect("not cancelled");
            let ((), log) = logged(|| drop(event_loop));
            assert_eq!(log, "", "{held:?}");
            drop(kept);
            assert_eq!(dropped.get(), 1, "{held:?}");
            assert!(peer.recv().iter().all(|byte| *byte == 1), "a freed buffer was sent");
            assert_eq!((sim.in_flight(), sim.open_descriptors()), (0, vec![]), "{held:?}");
        }
    }
}

#[test]
fn a_shutdown_whose_enters_are_refused_and_interrupted_goes_on_to_the_end() {
    let (mut event_loop, sim) = small().build_simulated(SimConfig::seeded(8)).expect("a ring");
    event_loop
        .run_until_complete(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let address = listener.local_addr().expect("bound");
            let _peer = sim.peer_connect(address).expect("it listens");
            let mut stream = listener.accept().await.expect("accepted");
            assert!(poll_once(&mut stream.recv()).await.is_pending());
            yield_now().await;
            for errno in [libc::EBUSY, libc::EAGAIN, libc::EINTR, libc::EAGAIN, libc::EBUSY] {
                sim.next_enter(errno);
            }
            place((listener, stream), Held::Task).await;
        })
        .expect("not cancelled");
    let ((), log) = logged(|| drop(event_loop));
    assert_eq!(log, "");
    assert_eq!((sim.in_flight(), sim.open_descriptors()), (0, vec![]));
}

/// Streams that sent and received until the last turn, on the kernel: nothing is left open, and
/// nothing is waited for that will not come.
#[test]
fn a_loop_goes_in_the_middle_of_traffic() {
    in_child("shutdown_late::a_loop_goes_in_the_middle_of_traffic", || {
        drop(EventLoop::new().expect("a ring"));
        let before = open_descriptors();
        for turns in 0..20 {
            let builder = EventLoop::builder().buffers(8, 256).submissions(8);
            let mut event_loop = builder.build().expect("a ring");
            let kept = event_loop
                .run_until_complete(async {
                    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
                    let address = listener.local_addr().expect("bound");
                    let mut kept = Vec::new();
                    for index in 0..10 {
                        let mut plain = Plain::connect(address).expect("it listens");
                        plain.write_all(&[5; 2000]).expect("open");
                        kept.push(plain);
                        let mut stream = listener.accept().await.expect("accepted");
                        drop(spawn(async move {
                            if index % 2 == 0 {
                                stream.write_all(vec![6; 16 << 20]).await.0.expect("open");
                            }
                            while stream.recv().await.is_ok() {}
                        }));
                    }
                    drop(spawn(async move { while listener.accept().await.is_ok() {} }));
                    drop(spawn(async move { TcpStream::connect(address).await.map(drop) }));
                    for _ in 0..turns {
                        yield_now().await;
                    }
                    kept
                })
                .expect("not cancelled");
            let ((), log) = logged(|| drop(event_loop));
            assert_eq!(log, "");
            drop(kept);
            assert_eq!(open_descriptors(), before, "after {turns} turns");
        }
    });
}
