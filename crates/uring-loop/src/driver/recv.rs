//! Receiving without asking each time: a multishot receive whose bytes wait in the stream.
//!
//! The operation belongs to the stream, not to a future: a `recv` that is dropped loses nothing,
//! the next one finds the bytes.
//!
//! # States of a [`Receiver`]
//!
//! *idle*: nothing is armed. *streaming*: a multishot `RECV` with provided buffers is in flight;
//! completions chain their buffers in its slot. If [`HELD`] of them wait and nobody reads, further
//! bytes are copied out and the operation is cancelled: a greedy peer is then held by TCP's
//! window. *private*: the pool was empty (`ENOBUFS`) while somebody wanted to read. A one-shot
//! `RECV` into a buffer of our own brings the bytes, which are there already; so a reader never
//! waits for buffers that others sit on, and nothing spins. When a quarter of the pool is free
//! again, the stream goes back to *streaming*. *waiting*: the receive answered EAGAIN or EINTR; a
//! poll tells when it makes sense to try again. *ended*: end of file; it stays so.

use std::cell::Cell;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::bufpool::{self, BufPool, Chain, HELD};
use super::op::{Op, Resident};
use super::recvbuf::RecvBuf;
use super::ring::{Cqe, Sqe, opcode, socket_flags};
use super::{Driver, Key};
use crate::ops::ring::PollAdd;

/// The multishot receive in its slot.
struct Streaming {
    pool: Rc<BufPool>,
    /// Bytes that came after the chain was long enough. Boxed: it is rare, and the slot is small.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in every idle connection")]
    spill: Option<Box<Vec<u8>>>,
    chain: Chain,
    stopping: bool,
    fd: RawFd,
}

impl Resident for Streaming {
    const MULTISHOT: bool = true;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::RECV;
        sqe.fd = self.fd;
        sqe.ioprio = socket_flags::RECV_MULTISHOT;
        bufpool::select(sqe);
    }

    fn more(&mut self, cqe: Cqe) -> bool {
        let Some(id) = cqe.buffer_id() else { return false };
        if self.spill.is_some() || self.chain.count() >= HELD {
            bufpool::copy_completed(&self.pool, cqe, self.spill.get_or_insert_default());
            return !mem::replace(&mut self.stopping, true);
        }
        self.chain.push(&self.pool, id, cqe.result.max(0) as u32);
        false
    }

    fn reclaim(mut self, cqe: Cqe) {
        while self.chain.pop(&self.pool).is_some() {}
        if !mutant!("late-buffer-kept") {
            drop(bufpool::lend_completed(&self.pool, cqe));
        }
    }
}

impl Streaming {
    fn take(&mut self) -> Option<RecvBuf> {
        self.chain.pop(&self.pool).or_else(|| {
            let spill = self.spill.take()?;
            Some(RecvBuf::copied(&self.pool, &spill))
        })
    }
}

/// A receive into a buffer of our own.
struct Private {
    fd: RawFd,
    buffer: RecvBuf,
}

// SAFETY: the entry points to the heap buffer that `self` owns, of the length given; it is not
// touched before `complete`. The descriptor is the stream's, closed through the driver.
unsafe impl Op for Private {
    type Output = io::Result<RecvBuf>;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        sqe.opcode = opcode::RECV;
        sqe.fd = self.fd;
        sqe.addr = self.buffer.base() as u64;
        sqe.len = self.buffer.capacity();
    }

    fn complete(mut self, cqe: Cqe) -> io::Result<RecvBuf> {
        self.buffer.set_end(cqe.into_result()?);
        Ok(self.buffer)
    }
}

/// The receiving half of a stream.
pub(crate) struct Receiver {
    key: Cell<Key>,
    mode: Cell<Mode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Streaming,
    Private,
    Waiting,
    Ended,
}

/// EAGAIN, of a socket in non-blocking mode or a kernel short of memory, and EINTR.
fn transient(result: i32) -> bool {
    matches!(-result, libc::EAGAIN | libc::EINTR)
}

enum Step {
    Ready(RecvBuf),
    Ended(Cqe),
    Pending,
    NeedsWaker,
}

impl Receiver {
    pub(crate) const fn new() -> Self {
        Receiver { key: Cell::new(Key::NONE), mode: Cell::new(Mode::Streaming) }
    }

    /// Whether bytes may wait here, so that a read must not go past them.
    pub(crate) fn armed(&self) -> bool {
        !self.key.get().is_none() || self.mode.get() == Mode::Ended
    }

    /// The next bytes; none at the end of the stream.
    pub(crate) fn poll(
        &self,
        driver: &Driver,
        fd: RawFd,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<RecvBuf>> {
        let pool = driver.buffers()?;
        loop {
            if self.mode.get() == Mode::Ended {
                return Poll::Ready(Ok(RecvBuf::empty(&pool)));
            }
            if self.key.get().is_none() {
                self.arm(driver, fd, &pool);
            }
            let cqe = match self.mode.get() {
                Mode::Private => match ready!(self.poll_private(driver, &pool, cx)) {
                    Err(error) if transient(-error.raw_os_error().unwrap_or(0)) => {
                        self.mode.set(Mode::Waiting);
                        continue;
                    }
                    done => return Poll::Ready(done),
                },
                Mode::Waiting => {
                    // Whatever came of it, the next receive will tell.
                    let _ = ready!(driver.poll_op::<PollAdd>(self.key.get(), cx));
                    self.key.set(Key::NONE);
                    self.mode.set(Mode::Streaming);
                    continue;
                }
                _ => match self.poll_streaming(driver, cx) {
                    Step::Ready(buffer) => return Poll::Ready(Ok(buffer)),
                    Step::Pending | Step::NeedsWaker => return Poll::Pending,
                    Step::Ended(cqe) => cqe,
                },
            };
            match cqe.result {
                // Ended early, with bytes that were taken before this: arm anew.
                1.. => {}
                0 => self.mode.set(Mode::Ended),
                errno if errno == -libc::ENOBUFS => {
                    if !mutant!("empty-pool-asked-again-at-once") {
                        self.mode.set(Mode::Private);
                    }
                }
                errno if transient(errno) => self.mode.set(Mode::Waiting),
                // Our own stop, or the loop's end: the arming tells which.
                errno if errno == -libc::ECANCELED && !driver.closing() => {}
                errno => return Poll::Ready(Err(io::Error::from_raw_os_error(-errno))),
            }
        }
    }

    fn arm(&self, driver: &Driver, fd: RawFd, pool: &Rc<BufPool>) {
        if self.mode.get() == Mode::Waiting {
            self.key.set(driver.start(PollAdd::readable(fd)));
            return;
        }
        if self.mode.get() == Mode::Private && !pool.plenty() {
            let op = Private { fd, buffer: RecvBuf::private(pool) };
            self.key.set(driver.start(op));
            return;
        }
        self.mode.set(Mode::Streaming);
        let streaming =
            Streaming { pool: pool.clone(), spill: None, chain: Chain::EMPTY, stopping: false, fd };
        self.key.set(driver.place(streaming));
    }

    fn poll_streaming(&self, driver: &Driver, cx: &mut Context<'_>) -> Step {
        let key = self.key.get();
        loop {
            // SAFETY: in this mode the slot holds a `Streaming`, whose memory the kernel doesn't
            // use.
            let step = unsafe {
                driver.with_resident(key, |streaming: &mut Streaming, done, waker| {
                    if let Some(buffer) = streaming.take() {
                        Step::Ready(buffer)
                    } else if let Some(cqe) = done {
                        Step::Ended(cqe)
                    } else if waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
                        Step::Pending
                    } else {
                        Step::NeedsWaker
                    }
                })
            };
            match step.expect("the stream's key is good until the operation has ended") {
                Step::NeedsWaker => driver.set_waker(key, cx),
                Step::Ended(cqe) => {
                    // SAFETY: as above.
                    drop(unsafe { driver.take_resident::<Streaming>(key) });
                    self.key.set(Key::NONE);
                    return Step::Ended(cqe);
                }
                step => return step,
            }
        }
    }

    fn poll_private(
        &self,
        driver: &Driver,
        pool: &Rc<BufPool>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<RecvBuf>> {
        let Poll::Ready(result) = driver.poll_op::<Private>(self.key.get(), cx) else {
            return Poll::Pending;
        };
        self.key.set(Key::NONE);
        Poll::Ready(match result {
            Ok(buffer) if buffer.is_empty() => {
                self.mode.set(Mode::Ended);
                Ok(RecvBuf::empty(pool))
            }
            other => other,
        })
    }

    /// The stream goes: what is in flight is cancelled, what waits is given back.
    pub(crate) fn abandon(&self, driver: &Driver) {
        let key = self.key.replace(Key::NONE);
        if !key.is_none() {
            driver.abandon(key);
        }
    }
}
