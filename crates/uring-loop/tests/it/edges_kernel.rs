//! Odd results on the real kernel: interrupted and refused enters, queues that are full on either
//! side, an empty pool of buffers, cancels that come too late. What the kernel would do only under
//! a shortage of memory, a seccomp filter does for one shape of call.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::TcpStream as Plain;
use std::os::fd::{AsRawFd as _, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::op::{Cqe, Driver, Nop, Op, Sqe, opcode, sqe_flags};
use uring_loop::time::{now, sleep, timeout};
use uring_loop::{EventLoop, RingChoice, spawn, unblock, yield_now};

use crate::seccomp::{Those, refuse};
use crate::support::{in_child, kernel_is, poll_once, sockets_receive_ahead};

const MS: Duration = Duration::from_millis(1);
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn run<T>(event_loop: &mut EventLoop, piece: impl Future<Output = T>) -> T {
    event_loop.run_until_complete(piece).expect("not cancelled")
}

/// So many connections from plain sockets.
async fn connections(count: usize) -> Vec<(TcpStream, Plain)> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let address = listener.local_addr().expect("bound");
    let plain: Vec<_> = (0..count).map(|_| Plain::connect(address).expect("it listens")).collect();
    let mut all = Vec::new();
    for plain in plain {
        all.push((listener.accept().await.expect("accepted"), plain));
    }
    all
}

async fn receive_exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        let bytes = timeout(LONG, stream.recv()).await.expect("in time").expect("open");
        assert!(!bytes.is_empty(), "ended after {} of {length} bytes", got.len());
        got.extend_from_slice(&bytes);
    }
    got
}

/// Whether the other side has closed, by an end or a reset.
async fn has_ended(mut plain: Plain) -> bool {
    let read = unblock(move || {
        plain.set_read_timeout(Some(LONG)).expect("not zero");
        plain.read(&mut [0; 1])
    });
    match read.await.expect("a thread") {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// `IORING_ENTER_GETEVENTS`. Calls without it fetch nothing: the loop makes them in the middle of
/// a turn, when its queue of submissions is full.
const GETEVENTS: u32 = 1;

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// A wait that a signal ends is EINTR. It goes on, and nothing turns round it.
#[test]
fn what_was_submitted_does_not_wait_for_a_spin() {
    let mut event_loop = EventLoop::builder().spin(2 * LONG).build().expect("a ring");
    let start = Instant::now();
    run(&mut event_loop, async { Driver::current().submit(Nop).await.expect("nothing to fail") });
    assert!(start.elapsed() < LONG, "it waited for the spin to end");
}

#[test]
fn signals_that_interrupt_the_wait_are_nothing_but_a_turn() {
    in_child("edges_kernel::signals_that_interrupt_the_wait_are_nothing_but_a_turn", || {
        // SAFETY: the handler only touches an atomic; no SA_RESTART, and the rest is empty.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
        }
        // SAFETY: takes nothing.
        let main = unsafe { libc::pthread_self() };
        let mut event_loop = EventLoop::new().expect("a ring");
        let (mut stream, mut plain) = run(&mut event_loop, connections(1)).remove(0);
        let before = event_loop.statistics();
        let sender = std::thread::spawn(move || {
            for _ in 0..50 {
                std::thread::sleep(MS);
                // SAFETY: the thread is this test's, which joins this one before it ends.
                assert_eq!(unsafe { libc::pthread_kill(main, libc::SIGUSR1) }, 0);
            }
            plain.write_all(b"after all").expect("open");
            plain
        });
        run(&mut event_loop, async {
            let slept = spawn(async {
                let start = now();
                sleep(20 * MS).await;
                assert!(now() - start >= 20 * MS, "a signal made it too short");
            });
            assert_eq!(receive_exactly(&mut stream, 9).await, b"after all");
            slept.await.expect("no panic");
        });
        drop(sender.join().expect("no panic"));
        let after = event_loop.statistics();
        let (signals, parks) = (SIGNALS.load(Ordering::Relaxed) as u64, after.parks - before.parks);
        assert!(signals > 10 && parks > 5, "{signals} signals, {parks} parks");
        let enters = after.enters - before.enters;
        assert!(enters < signals + 30, "{enters} enters for {signals} signals");
    });
}

fn a_kernel_that_refuses_for_a_while(errno: i32) {
    let builder = EventLoop::builder().ring(RingChoice::Kernel);
    let mut event_loop = builder.build().expect("a ring");
    run(&mut event_loop, async { sleep(MS).await }); // the bell's entry is handed over
    refuse(libc::SYS_io_uring_enter, &Those::With(1, 13), errno);
    let before = event_loop.statistics();
    run(&mut event_loop, async {
        let driver = Driver::current();
        let thirteen = join_all((0..13).map(|_| driver.submit(Nop)));
        let fourteenth = async {
            sleep(50 * MS).await; // timers go on
            driver.submit(Nop).await
        };
        let (thirteen, fourteenth) = futures_util::join!(thirteen, fourteenth);
        assert!(thirteen.iter().all(Result::is_ok) && fourteenth.is_ok());
    });
    let after = event_loop.statistics();
    let retries = after.retries - before.retries;
    // Each was followed by a millisecond's sleep, so in 50 ms there is no room for more.
    assert!(retries > 0 && retries < 100, "{retries} refused enters");
    assert!(after.enters <= after.turns, "{after}");
}

#[test]
fn enters_refused_with_ebusy_are_repeated_at_leisure() {
    in_child("edges_kernel::enters_refused_with_ebusy_are_repeated_at_leisure", || {
        a_kernel_that_refuses_for_a_while(libc::EBUSY);
    });
}

#[test]
fn enters_refused_with_eagain_are_repeated_at_leisure() {
    in_child("edges_kernel::enters_refused_with_eagain_are_repeated_at_leisure", || {
        a_kernel_that_refuses_for_a_while(libc::EAGAIN);
    });
}

/// `IORING_OP_WRITE` of one byte.
struct WriteByte {
    fd: RawFd,
    byte: Box<u8>,
}

// SAFETY: the entry points to the byte on the heap, which `self` owns; the descriptor is open
// until the test's end, after the operations.
unsafe impl Op for WriteByte {
    type Output = std::io::Result<u32>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::WRITE;
        sqe.fd = self.fd;
        sqe.off = u64::MAX; // no position: a pipe
        sqe.addr = (&raw const *self.byte) as u64;
        sqe.len = 1;
    }

    fn complete(self, cqe: Cqe) -> std::io::Result<u32> {
        cqe.into_result()
    }
}

#[test]
fn entries_and_cancels_that_find_the_queue_full_go_later_and_in_order() {
    in_child(
        "edges_kernel::entries_and_cancels_that_find_the_queue_full_go_later_and_in_order",
        || {
            let builder = EventLoop::builder().ring(RingChoice::Kernel).submissions(4);
            let mut event_loop = builder.build().expect("a ring");
            let (mut streams, plain): (Vec<_>, Vec<_>) =
                run(&mut event_loop, connections(20)).into_iter().unzip();
            run(&mut event_loop, async {
                for stream in &mut streams {
                    assert!(poll_once(&mut stream.recv()).await.is_pending());
                }
                yield_now().await;
            });
            refuse(libc::SYS_io_uring_enter, &Those::Without(3, GETEVENTS), libc::EAGAIN);
            let (mut from, to) = std::io::pipe().expect("a pipe");
            run(&mut event_loop, async {
                let driver = Driver::current();
                let writes = (0..50).map(|byte| {
                    driver.submit(WriteByte { fd: to.as_raw_fd(), byte: Box::new(byte) })
                });
                assert!(join_all(writes).await.iter().all(Result::is_ok));
                let mut bytes = [0; 50];
                from.read_exact(&mut bytes).expect("written");
                if !kernel_is(6, 5) {
                    bytes.sort_unstable(); // Writes to pipes were given to several workers.
                }
                assert_eq!(bytes.to_vec(), (0..50).collect::<Vec<_>>(), "out of order");
                // 20 cancels and 20 closes for a queue of 4.
                drop(streams);
                for plain in plain {
                    assert!(has_ended(plain).await, "a dropped stream is open");
                }
            });
            let statistics = event_loop.statistics();
            assert!(statistics.backlogged >= 40, "{statistics:?}");
            assert_eq!((statistics.in_flight, statistics.orphans), (0, 0), "{statistics:?}");
        },
    );
}

/// Multishot operations that meet a full queue of completions end there, and are armed again.
#[test]
fn a_queue_of_completions_that_overflows_loses_none() {
    let builder = EventLoop::builder().submissions(4).completions(4).buffers(64, 256);
    let mut event_loop = builder.build().expect("a ring");
    run(&mut event_loop, async {
        let driver = Driver::current();
        let nops = join_all((0..64).map(|_| driver.submit(Nop))).await;
        assert!(nops.iter().all(Result::is_ok));
    });
    let nops = event_loop.statistics();
    assert!(nops.overflows > 0, "{nops:?}");
    run(&mut event_loop, async {
        let mut all = connections(12).await;
        for (stream, _) in &mut all {
            assert!(poll_once(&mut stream.recv()).await.is_pending());
        }
        yield_now().await;
        for round in 0..5u8 {
            for (index, (_, plain)) in all.iter_mut().enumerate() {
                plain.write_all(&[round * 16 + index as u8; 700]).expect("open");
            }
            for (index, (stream, _)) in all.iter_mut().enumerate() {
                let got = receive_exactly(stream, 700).await;
                assert_eq!(got, [round * 16 + index as u8; 700]);
            }
        }
    });
    let statistics = event_loop.statistics();
    assert!(statistics.overflows > nops.overflows, "{statistics:?}");
    // One accept and twelve receives, if none had ended early.
    let entries = statistics.submissions - nops.submissions;
    assert!(entries > 20, "{entries} entries: nothing was armed again");
}

#[test]
fn a_pool_that_is_empty_parks_who_is_not_read_and_serves_who_reads() {
    if !sockets_receive_ahead() {
        return println!("skipped: who is not read takes no buffer");
    }
    let mut event_loop = EventLoop::builder().buffers(4, 256).build().expect("a ring");
    let mut all = run(&mut event_loop, connections(4));
    let mut unread = all.remove(0);
    run(&mut event_loop, async {
        assert!(poll_once(&mut unread.0.recv()).await.is_pending());
        yield_now().await;
        unread.1.write_all(&[1; 4 * 256]).expect("open");
        while Driver::current().in_flight_table().iter().any(|op| op.operation == "RECV") {
            unread.1.write_all(&[1; 64]).expect("open");
            sleep(MS).await; // until the receive has met the empty pool
        }
    });
    assert_eq!(event_loop.statistics().buffers, Some((0, 4)));
    let enters = |event_loop: &mut EventLoop| event_loop.statistics().enters;

    // Who reads is served.
    run(&mut event_loop, async {
        for (stream, plain) in &mut all {
            plain.write_all(&[2; 100]).expect("open");
            assert_eq!(receive_exactly(stream, 100).await, [2; 100]);
        }
    });

    // Who was armed and is left alone meets the empty pool, and then costs nothing.
    let before = enters(&mut event_loop);
    run(&mut event_loop, async {
        for (stream, plain) in &mut all {
            assert!(poll_once(&mut stream.recv()).await.is_pending());
            yield_now().await;
            plain.write_all(&[3; 100]).expect("open");
        }
        for _ in 0..30 {
            sleep(MS).await;
        }
    });
    let spent = enters(&mut event_loop) - before;
    assert!(spent < 80, "{spent} enters in thirty sleeps");

    run(&mut event_loop, async {
        receive_exactly(&mut unread.0, 4 * 256).await;
        for (stream, _) in &mut all {
            assert_eq!(receive_exactly(stream, 100).await, [3; 100]);
        }
        drop((unread, all));
        sleep(20 * MS).await;
    });
    assert_eq!(event_loop.statistics().buffers, Some((4, 4)), "not all were given back");
}

/// Counts the drops of what an operation owns.
struct Owned(Rc<Cell<usize>>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

struct OwningNop {
    _owned: Owned,
}

// SAFETY: the entry has no pointer and no descriptor.
unsafe impl Op for OwningNop {
    type Output = std::io::Result<u32>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::NOP;
    }

    fn complete(self, cqe: Cqe) -> std::io::Result<u32> {
        cqe.into_result()
    }
}

/// The completions lie in the queue when the futures are dropped: each cancel finds nothing
/// (ENOENT), and none of them hits who lies in the slot next.
#[test]
fn cancels_of_what_is_already_complete_hit_nobody() {
    let mut event_loop = EventLoop::builder().submissions(4).build().expect("a ring");
    let dropped = Rc::new(Cell::new(0));
    let mut rounds = 0;
    let before = event_loop.statistics();
    run(&mut event_loop, async {
        let driver = Driver::current();
        for _ in 0..20 {
            let mut nops: Vec<_> = (0..30)
                .map(|_| driver.submit(OwningNop { _owned: Owned(dropped.clone()) }))
                .collect();
            for nop in &mut nops {
                assert!(poll_once(nop).await.is_pending());
            }
            drop(nops); // most were flushed and are complete, unseen
            let next = join_all((0..30).map(|_| driver.submit(Nop)));
            assert!(next.await.iter().all(Result::is_ok), "hit by a late cancel");
            rounds += 1;
        }
        sleep(MS).await;
    });
    let after = event_loop.statistics();
    assert_eq!(dropped.get(), rounds * 30, "freed once each");
    assert_eq!((after.in_flight, after.orphans), (0, 0), "{after:?}");
    // Only failed cancels complete.
    let late = after.completions - before.completions - 20 * 60;
    assert!(late > 100, "only {late} cancels came too late");
}

/// A read of a pipe, in the hands of a worker.
struct WorkersRead {
    fd: RawFd,
    buffer: Box<[u8; 64]>,
    _owned: Owned,
}

// SAFETY: the entry points to the heap buffer that `self` owns; the descriptor is open until the
// test's end, after the operations.
unsafe impl Op for WorkersRead {
    type Output = std::io::Result<u32>;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::READ;
        sqe.flags |= sqe_flags::ASYNC;
        sqe.fd = self.fd;
        sqe.off = u64::MAX;
        sqe.addr = self.buffer.as_mut_ptr() as u64;
        sqe.len = 64;
    }

    fn complete(self, cqe: Cqe) -> std::io::Result<u32> {
        cqe.into_result()
    }
}

/// A cancel interrupts the worker and answers EALREADY; the operation ends later, by itself.
#[test]
fn cancels_of_what_a_worker_has_in_hand_are_waited_out() {
    let (from, to) = std::io::pipe().expect("a pipe");
    let mut event_loop = EventLoop::new().expect("a ring");
    let dropped = Rc::new(Cell::new(0));
    let read = |fd| WorkersRead { fd, buffer: Box::new([0; 64]), _owned: Owned(dropped.clone()) };
    run(&mut event_loop, async {
        let driver = Driver::current();
        let mut reads: Vec<_> = (0..6).map(|_| driver.submit(read(from.as_raw_fd()))).collect();
        for read in &mut reads {
            assert!(poll_once(read).await.is_pending());
        }
        sleep(20 * MS).await; // the workers have them
        let asked = reads.pop().expect("six");
        asked.cancel();
        let result = timeout(LONG, asked).await.expect("in time");
        let errno = result.expect_err("nobody wrote").raw_os_error();
        assert!(matches!(errno, Some(libc::ECANCELED | libc::EINTR)), "{errno:?}");
        assert_eq!(dropped.get(), 1);
        drop(reads);
        assert_eq!(dropped.get(), 1, "the workers may still write to the others");
        let all_over = async {
            while dropped.get() < 6 {
                sleep(MS).await;
            }
        };
        timeout(LONG, all_over).await.expect("the orphans end");
    });
    let statistics = event_loop.statistics();
    assert_eq!((statistics.in_flight, statistics.orphans), (0, 0), "{statistics:?}");
    drop(event_loop);
    assert_eq!(dropped.get(), 6, "freed once each");
    drop((from, to));
}
