//! Dropping, forgetting, selecting away and aborting at every point of an operation's life, on a
//! simulated kernel whose completions come late, out of order, or in spite of a cancel. Each run
//! ends with the look for leaks of `support::on_sim`.

use std::cell::Cell;
use std::future::{Future, ready};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use uring_loop::buf::{IoBuf, IoBufMut};
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::testing::{Fault, Faults, Peer, SimConfig, SimHandle, opcode};
use uring_loop::time::sleep;
use uring_loop::{spawn, yield_now};

use crate::support::{forget, on_sim, on_sim_with, poll_once, small};

/// How a future ends before it is ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Drop,
    Forget,
    Select,
}

pub(crate) const ENDS: [End; 3] = [End::Drop, End::Forget, End::Select];
/// More turns than any operation here takes with the faults given.
pub(crate) const TURNS: usize = 8;

/// Polls for so many turns, then ends the future.
pub(crate) async fn run_for<F: Future>(future: F, turns: usize, end: End) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..turns {
        if let Poll::Ready(output) = poll_once(&mut future).await {
            return Some(output);
        }
        yield_now().await;
    }
    match end {
        End::Drop => drop(future),
        End::Forget => forget(future),
        End::Select => match select(future, ready(())).await {
            Either::Left((output, _)) => return Some(output),
            Either::Right(((), rest)) => drop(rest),
        },
    }
    None
}

/// One case after another: every end, every number of turns, every lateness, with and without a
/// lost race of the cancel.
pub(crate) fn every_point(
    opcode: u8,
    mut case: impl FnMut(SimConfig, Vec<(u8, Fault)>, usize, End),
) {
    for turns in 0..TURNS {
        for late in [0, 1, 2, 5] {
            for lost in [false, true] {
                for end in ENDS {
                    let mut faults = Vec::new();
                    faults.extend((late > 0).then_some((opcode, Fault::Delay(late))));
                    let seed = (turns * 100 + late as usize) as u64;
                    let mut config = SimConfig::seeded(seed);
                    if lost {
                        config.faults = Faults::none().lose_cancel(1.0);
                    }
                    case(config, faults, turns, end);
                }
            }
        }
    }
}

pub(crate) fn inflict(sim: &SimHandle, faults: &[(u8, Fault)]) {
    for (opcode, fault) in faults {
        sim.next(*opcode, *fault);
    }
}

/// A connection to a peer outside.
async fn connection(sim: &SimHandle) -> (TcpStream, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
    (listener.accept().await.expect("a connection waits"), peer)
}

#[test]
fn an_accept_that_ends_early_gives_its_connection_to_the_next() {
    every_point(opcode::ACCEPT, |config, faults, turns, end| {
        on_sim(config, |sim| async move {
            inflict(&sim, &faults);
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("listens");
            let first = run_for(listener.accept(), turns, end).await;
            let mut stream = match first {
                Some(stream) => stream.expect("accepted"),
                None => listener.accept().await.expect("not lost"),
            };
            peer.send("hello").expect("open");
            assert_eq!(&*stream.recv().await.expect("hello"), b"hello");
        });
    });
}

#[test]
fn a_listener_dropped_at_any_point_closes_what_it_accepts_late() {
    every_point(opcode::ACCEPT, |config, faults, turns, end| {
        let peers = on_sim(config, |sim| async move {
            inflict(&sim, &faults);
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let address = listener.local_addr().expect("bound");
            let mut peers = vec![sim.peer_connect(address).expect("it listens")];
            let early = run_for(listener.accept(), turns, end).await;
            peers.push(sim.peer_connect(address).expect("it listens"));
            if turns % 2 == 1 {
                yield_now().await;
            }
            drop(listener);
            drop(early);
            sleep(Duration::from_secs(1)).await;
            peers
        });
        for peer in peers {
            assert!(peer.ended() || peer.was_reset(), "a connection nobody serves is open");
        }
    });
}

#[test]
fn a_recv_that_ends_early_loses_no_byte() {
    every_point(opcode::RECV, |config, faults, turns, end| {
        on_sim(config, |sim| async move {
            let (mut stream, peer) = connection(&sim).await;
            inflict(&sim, &faults);
            let mut got = Vec::new();
            for part in 0..4u8 {
                peer.send([part; 100]).expect("open");
                if let Some(bytes) = run_for(stream.recv(), turns, end).await {
                    got.extend_from_slice(&bytes.expect("open"));
                }
            }
            peer.shutdown_write();
            loop {
                let bytes = stream.recv().await.expect("open");
                if bytes.is_empty() {
                    break;
                }
                got.extend_from_slice(&bytes);
            }
            let sent: Vec<u8> = (0..4u8).flat_map(|part| [part; 100]).collect();
            assert_eq!(got, sent);
        });
    });
}

#[test]
fn a_stream_dropped_while_it_receives_gives_its_buffers_back() {
    every_point(opcode::RECV, |config, faults, turns, end| {
        on_sim(config, |sim| async move {
            let (mut stream, peer) = connection(&sim).await;
            inflict(&sim, &faults);
            peer.send([7; 1000]).expect("open");
            let bytes = run_for(stream.recv(), turns, end).await;
            drop(stream);
            // Bytes that were lent outlive their stream.
            if let Some(bytes) = bytes {
                assert!(bytes.expect("open").iter().all(|byte| *byte == 7));
            }
            // It may have been reset by now, with bytes unread.
            let _ = peer.send([8; 1000]);
        });
    });
}

#[test]
fn a_connect_that_ends_early_closes_its_socket() {
    every_point(opcode::CONNECT, |config, faults, turns, end| {
        if end == End::Forget {
            return; // The socket is in the future that was forgotten, as any value would be.
        }
        let peer = on_sim(config, |sim| async move {
            inflict(&sim, &faults);
            let outside = sim.peer_listen("127.0.0.1:9".parse().expect("numeric")).expect("free");
            let stream = run_for(TcpStream::connect(outside.local_addr()), turns, end).await;
            if let Some(stream) = stream {
                drop(stream.expect("it listens"));
            }
            sleep(Duration::from_secs(1)).await;
            outside.accept()
        });
        if let Some(peer) = peer {
            assert!(peer.ended() || peer.was_reset(), "the connection is open");
        }
    });
}

#[test]
fn a_forgotten_connect_leaves_nothing_in_flight() {
    for turns in 0..TURNS {
        let (mut event_loop, sim) =
            small().build_simulated(SimConfig::seeded(turns as u64)).expect("a ring");
        let outside = sim.peer_listen("127.0.0.1:9".parse().expect("numeric")).expect("free");
        event_loop
            .run_until_complete(async {
                let connect = TcpStream::connect(outside.local_addr());
                drop(run_for(connect, turns, End::Forget).await);
            })
            .expect("not cancelled");
        drop(event_loop);
        assert_eq!(sim.in_flight(), 0, "{}", sim.describe());
    }
}

/// A buffer that counts how many of its kind are alive.
struct Counted {
    bytes: Vec<u8>,
    alive: Rc<Cell<i32>>,
}

impl Counted {
    fn new(bytes: Vec<u8>, alive: &Rc<Cell<i32>>) -> Self {
        alive.set(alive.get() + 1);
        Counted { bytes, alive: alive.clone() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.bytes.fill(0xdd);
        self.alive.set(self.alive.get() - 1);
    }
}

// SAFETY: the heap block of a vector stays where it is when the vector is moved.
unsafe impl IoBuf for Counted {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

// SAFETY: as above; the memory belongs to this vector alone.
unsafe impl IoBufMut for Counted {
    fn spare(&mut self) -> (*mut u8, usize) {
        (self.bytes.as_mut_ptr(), self.bytes.capacity())
    }

    unsafe fn set_filled(&mut self, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.bytes.set_len(len) };
    }
}

#[test]
fn a_write_that_ends_early_keeps_its_buffer_until_the_kernel_lets_go() {
    every_point(opcode::SEND, |config, faults, turns, end| {
        let config = SimConfig { send_buffer: 64, ..config };
        let alive = Rc::new(Cell::new(0));
        on_sim(config, |sim| {
            let alive = alive.clone();
            async move {
                let (mut stream, peer) = connection(&sim).await;
                inflict(&sim, &faults);
                let buffer = Counted::new(vec![7; 1000], &alive);
                let written = run_for(stream.write_all(buffer), turns, end).await;
                assert!(written.is_none(), "the peer does not read");
                // Now it does: the kernel takes from the buffer, if the write still stands.
                for _ in 0..4 {
                    assert!(peer.recv().iter().all(|byte| *byte == 7), "a freed buffer was sent");
                    yield_now().await;
                }
                drop(stream);
                assert!(peer.recv().iter().all(|byte| *byte == 7), "a freed buffer was sent");
            }
        });
        // Forgotten before the first poll it lies in the future, afterwards in its slot, which
        // goes with the loop.
        if end != End::Forget || turns > 0 {
            assert_eq!(alive.get(), 0, "the buffer was not dropped");
        }
    });
}

#[test]
fn a_read_that_ends_early_keeps_its_buffer_until_the_kernel_lets_go() {
    every_point(opcode::RECV, |config, faults, turns, end| {
        let config = SimConfig { faults: config.faults.clone().scribble(1.0), ..config };
        let alive = Rc::new(Cell::new(0));
        on_sim(config, |sim| {
            let alive = alive.clone();
            async move {
                let (mut stream, peer) = connection(&sim).await;
                inflict(&sim, &faults);
                let buffer = Counted::new(Vec::with_capacity(512), &alive);
                let mut read = Box::pin(run_for(stream.read(buffer), turns, end));
                assert!(poll_once(&mut read).await.is_pending() || turns == 0);
                peer.send([7; 300]).expect("open");
                if turns > 0
                    && let Some((result, buffer)) = read.as_mut().await
                {
                    let count = result.expect("open");
                    assert_eq!(buffer.bytes[..count], vec![7; count]);
                }
                drop(read);
            }
        });
        if end != End::Forget {
            assert_eq!(alive.get(), 0, "the buffer was not dropped");
        }
    });
}

#[test]
fn a_task_aborted_at_any_point_leaks_nothing() {
    for seed in 0..60 {
        for abort in [true, false] {
            let config = SimConfig { send_buffer: 512, ..SimConfig::chaos(seed) };
            on_sim(config, |sim| async move {
                let listener = TcpListener::bind("127.0.0.1:0").expect("free");
                let address = listener.local_addr().expect("bound");
                let peers: Vec<_> =
                    (0..3).map(|_| sim.peer_connect(address).expect("it listens")).collect();
                let server = spawn(async move {
                    while let Ok(mut stream) = listener.accept().await {
                        let serve = async move {
                            while let Ok(bytes) = stream.recv().await {
                                if bytes.is_empty() || stream.write_all(bytes).await.0.is_err() {
                                    return;
                                }
                            }
                        };
                        drop(spawn(serve));
                    }
                });
                for (round, peer) in peers.iter().enumerate() {
                    let _ = peer.send(vec![1; 700]);
                    for _ in 0..(seed as usize + round) % 7 {
                        yield_now().await;
                    }
                }
                if abort {
                    server.abort();
                } else {
                    server.cancel();
                }
                drop(peers);
                // The listener may have failed by chance; then it was over before.
                let _ = server.await;
            });
        }
    }
}

/// Accepts in a race that is often lost. `None`: chance took the connection.
async fn accept_in_spite_of(listener: &TcpListener, peer: &Peer, seed: u64) -> Option<TcpStream> {
    for round in 0..1000 {
        let pause = Box::pin(sleep(Duration::from_nanos(1 + (seed + round) % 5)));
        match select(Box::pin(listener.accept()), pause).await {
            Either::Left((Ok(stream), _)) => return Some(stream),
            _ if peer.ended() || peer.was_reset() => return None,
            // Descriptors are scarce by chance. The listener pauses before it asks again, for
            // longer than a thousand of these rounds take.
            Either::Left(_) => sleep(Duration::from_secs(1)).await,
            Either::Right(_) => {}
        }
    }
    panic!("seed {seed}: nothing is accepted");
}

/// Everything at once: echo under chaos, with branches that lose a race in every round.
#[test]
fn selecting_under_chaos_loses_no_byte_and_leaks_nothing() {
    for seed in 0..100 {
        let config = SimConfig { send_buffer: 300, completions: 16, ..SimConfig::chaos(seed) };
        on_sim_with(small(), config, |sim| async move {
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("listens");
            let Some(mut stream) = accept_in_spite_of(&listener, &peer, seed).await else {
                return;
            };
            let sent: Vec<u8> = (0..2000u32).map(|at| at as u8).collect();
            peer.send(&sent).expect("open");
            peer.shutdown_write();
            let mut got = Vec::new();
            for round in 0.. {
                assert!(round < 10_000, "seed {seed}: stuck at {} bytes", got.len());
                let pause = Box::pin(sleep(Duration::from_nanos(1 + seed % 3)));
                match select(stream.recv(), pause).await {
                    Either::Left((Ok(bytes), _)) if bytes.is_empty() => break,
                    Either::Left((Ok(bytes), _)) => got.extend_from_slice(&bytes),
                    Either::Left((Err(error), _)) if error.raw_os_error() == Some(libc::EAGAIN) => {
                    }
                    Either::Left((Err(error), _)) => panic!("seed {seed}: {error}"),
                    Either::Right(_) => {}
                }
            }
            assert_eq!(got, sent, "seed {seed}");
        });
    }
}
