//! Receiving without asking each time: a multishot receive whose results wait in the socket.
//!
//! The operation belongs to the socket, not to a future: a `recv` that is dropped loses nothing,
//! the next one finds what has come. What is received, bytes of a stream or of a pipe or datagrams,
//! is a [`Sort`]: `recv_bytes.rs`, `recv_datagrams.rs`.
//!
//! # States of a [`Receiver`]
//!
//! *idle*: nothing is armed. *streaming*: a multishot receive with provided buffers is in flight;
//! completions chain their buffers in its slot. If [so many](BufPool::may_be_held) of them wait and
//! nobody reads, further ones are copied out and the operation is cancelled: what comes then waits
//! in the kernel, and a greedy peer is held by TCP's window. *private*: the pool was empty
//! (`ENOBUFS`) while somebody wanted to read. A one-shot receive into a buffer of our own brings
//! the bytes, which are there already; so a reader never waits for buffers that others sit on, and
//! nothing spins. When a quarter of the pool is free again, the socket goes back to *streaming*.
//! *waiting*: the receive answered EAGAIN or EINTR; a poll tells when it makes sense to try again.
//! *ended*: end of file; it stays so.
//!
//! Three states besides. *polled*: the kernel has no multishot receive (before 6.0) or read (before
//! 6.7), or would miss the end of a pipe in it (see `sys/pipe.rs`); a poll tells when there is
//! something, then comes *once*, into a buffer of our own, then *polled* again; so who is idle
//! holds no buffer, and no worker of the kernel, on old kernels too. *steady*: what is read, and
//! not received from a socket, is always ready, as a file is, and multishot refuses it (`EBADFD`);
//! reads follow one another.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::bufpool::BufPool;
use super::op::{Op, Resident};
use super::ring::Cqe;
use super::{Driver, Key};
use crate::ops::ring::PollAdd;

/// What is received, and how.
pub(crate) trait Sort: 'static {
    type Item;
    /// What a receive must know of its socket.
    type Options: Copy;
    /// The multishot receive in its slot.
    type Streaming: Resident;
    /// A receive into a buffer of our own.
    type Private: Op<Output = io::Result<Self::Item>>;
    /// Whether some descriptors of this sort cannot be polled, and are always ready.
    const MAY_NOT_POLL: bool = false;

    /// Whether this kernel has the multishot receive.
    fn repeats(driver: &Driver) -> bool {
        driver.receives_repeatedly()
    }

    fn streaming(pool: &Rc<BufPool>, fd: RawFd, options: Self::Options) -> Self::Streaming;
    fn private(pool: &Rc<BufPool>, fd: RawFd, options: Self::Options) -> Self::Private;
    /// The oldest of what waits. Runs under the borrow of the driver: nothing foreign.
    fn take(streaming: &mut Self::Streaming) -> Option<Self::Item>;
    /// Whether something waits in it.
    fn holds(streaming: &Self::Streaming) -> bool;
    /// What stands for the end, where there is one.
    fn end(pool: &Rc<BufPool>) -> Option<Self::Item>;
    fn is_end(item: &Self::Item) -> bool;
}

/// The receiving half of a socket.
pub(crate) struct Receiver<S> {
    key: Cell<Key>,
    mode: Cell<Mode>,
    sort: PhantomData<S>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Streaming,
    Private,
    Waiting,
    Ended,
    Polled,
    Once,
    Steady,
}

/// EAGAIN, of a socket in non-blocking mode or a kernel short of memory, and EINTR.
fn transient(result: i32) -> bool {
    matches!(-result, libc::EAGAIN | libc::EINTR)
}

enum Step<T> {
    Ready(T),
    Ended(Cqe),
    Pending,
    NeedsWaker,
}

impl<S: Sort> Receiver<S> {
    pub(crate) const fn new() -> Self {
        Self::beginning(Mode::Streaming)
    }

    /// One that waits until there is something before it takes anything: what would look like the
    /// end now is none.
    pub(crate) const fn polling_first() -> Self {
        Self::beginning(Mode::Waiting)
    }

    /// One that polls before each read.
    pub(crate) const fn polling() -> Self {
        Self::beginning(Mode::Polled)
    }

    const fn beginning(mode: Mode) -> Self {
        Receiver { key: Cell::new(Key::NONE), mode: Cell::new(mode), sort: PhantomData }
    }

    /// Whether something may wait here, or the end may, so that a read must not go past this.
    pub(crate) fn armed(&self) -> bool {
        !self.key.get().is_none() || matches!(self.mode.get(), Mode::Ended | Mode::Waiting)
    }

    /// Whether it holds nothing and knows nothing of the descriptor that the kernel does not.
    pub(crate) fn idle(&self) -> bool {
        self.key.get().is_none() && self.mode.get() != Mode::Ended
    }

    /// Whether something has come, be it the end, that nobody has taken.
    pub(crate) fn holds(&self, driver: &Driver) -> bool {
        let key = self.key.get();
        match self.mode.get() {
            _ if key.is_none() => false,
            Mode::Private | Mode::Once | Mode::Steady => driver.is_done(key),
            Mode::Waiting | Mode::Polled | Mode::Ended => false,
            Mode::Streaming => {
                // SAFETY: in this mode the slot holds an `S::Streaming`, whose memory the kernel
                // doesn't use.
                let held = unsafe {
                    driver.with_resident(key, |streaming: &mut S::Streaming, _, _| {
                        S::holds(streaming)
                    })
                };
                held.unwrap_or(false)
            }
        }
    }

    /// Whether it has met the end.
    pub(crate) fn has_ended(&self) -> bool {
        self.mode.get() == Mode::Ended
    }

    /// Whether each read is to have a poll before it.
    pub(crate) fn polls(&self) -> bool {
        self.mode.get() == Mode::Polled
    }

    /// The next item; the last one again and again after the end.
    pub(crate) fn poll(
        &self,
        driver: &Driver,
        fd: RawFd,
        options: S::Options,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<S::Item>> {
        loop {
            // By itself, for nearly every poll of a socket is this one: it stays short.
            if self.mode.get() == Mode::Streaming && !self.key.get().is_none() {
                match self.poll_streaming(driver, cx) {
                    Step::Ready(item) => return Poll::Ready(Ok(item)),
                    Step::Pending | Step::NeedsWaker => return Poll::Pending,
                    Step::Ended(cqe) => self.streaming_ended(driver, cqe)?,
                }
            } else if let Some(done) = ready!(self.poll_otherwise(driver, fd, options, cx)) {
                return Poll::Ready(done);
            }
        }
    }

    /// One step of a receiver that is not streaming, or not yet: `None` is a step to the next.
    #[inline(never)]
    fn poll_otherwise(
        &self,
        driver: &Driver,
        fd: RawFd,
        options: S::Options,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<S::Item>>> {
        let pool = match driver.buffers() {
            Ok(pool) => pool,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        if self.mode.get() == Mode::Ended
            && let Some(end) = S::end(&pool)
        {
            return Poll::Ready(Some(Ok(end)));
        }
        if self.key.get().is_none() {
            self.arm(driver, fd, options, &pool);
        }
        match self.mode.get() {
            Mode::Private | Mode::Once | Mode::Steady => {
                match ready!(self.poll_private(driver, cx)) {
                    Err(error) if transient(-error.raw_os_error().unwrap_or(0)) => {
                        // Who polls each time does it anyway.
                        if !self.polls() {
                            self.mode.set(Mode::Waiting);
                        }
                    }
                    done => return Poll::Ready(Some(done)),
                }
            }
            Mode::Waiting | Mode::Polled => {
                // Whatever came of it, the next receive will tell.
                let _ = ready!(driver.poll_op::<PollAdd>(self.key.get(), cx));
                self.key.set(Key::NONE);
                self.mode.set(if self.polls() { Mode::Once } else { Mode::Streaming });
            }
            // Armed to stream.
            Mode::Streaming | Mode::Ended => {}
        }
        Poll::Ready(None)
    }

    /// What the end of a multishot receive says of the next one.
    fn streaming_ended(&self, driver: &Driver, cqe: Cqe) -> io::Result<()> {
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
            errno if S::MAY_NOT_POLL && errno == -libc::EBADFD => self.mode.set(Mode::Steady),
            // Our own stop, or the loop's end: the arming tells which.
            errno if errno == -libc::ECANCELED && !driver.closing() => {}
            errno => return Err(io::Error::from_raw_os_error(-errno)),
        }
        Ok(())
    }

    fn arm(&self, driver: &Driver, fd: RawFd, options: S::Options, pool: &Rc<BufPool>) {
        let by_itself = match self.mode.get() {
            Mode::Once | Mode::Steady => true,
            Mode::Private => !pool.plenty(),
            _ => false,
        };
        if by_itself {
            self.key.set(driver.start(S::private(pool, fd, options)));
            return;
        }
        if !S::repeats(driver) && self.mode.get() != Mode::Waiting {
            self.mode.set(Mode::Polled);
        }
        if matches!(self.mode.get(), Mode::Waiting | Mode::Polled) {
            self.key.set(driver.start(PollAdd::readable(fd)));
            return;
        }
        self.mode.set(Mode::Streaming);
        self.key.set(driver.place(S::streaming(pool, fd, options)));
    }

    fn poll_streaming(&self, driver: &Driver, cx: &mut Context<'_>) -> Step<S::Item> {
        let key = self.key.get();
        // The clone of a waker need not say that it wakes the same (`Waker::noop` does not).
        let mut noted = false;
        loop {
            // SAFETY: in this mode the slot holds an `S::Streaming`, whose memory the kernel
            // doesn't use.
            let step = unsafe {
                driver.with_resident(key, |streaming: &mut S::Streaming, done, waker| {
                    if let Some(item) = S::take(streaming) {
                        Step::Ready(item)
                    } else if let Some(cqe) = done {
                        Step::Ended(cqe)
                    } else if noted || waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
                        Step::Pending
                    } else {
                        Step::NeedsWaker
                    }
                })
            };
            match step.expect("the socket's key is good until the operation has ended") {
                Step::NeedsWaker => {
                    driver.set_waker(key, cx);
                    noted = true;
                }
                Step::Ended(cqe) => {
                    // SAFETY: as above.
                    drop(unsafe { driver.take_resident::<S::Streaming>(key) });
                    self.key.set(Key::NONE);
                    return Step::Ended(cqe);
                }
                step => return step,
            }
        }
    }

    fn poll_private(&self, driver: &Driver, cx: &mut Context<'_>) -> Poll<io::Result<S::Item>> {
        let Poll::Ready(result) = driver.poll_op::<S::Private>(self.key.get(), cx) else {
            return Poll::Pending;
        };
        self.key.set(Key::NONE);
        if self.mode.get() == Mode::Once {
            self.mode.set(Mode::Polled);
        }
        if result.as_ref().is_ok_and(S::is_end) {
            self.mode.set(Mode::Ended);
        }
        Poll::Ready(result)
    }

    /// What is armed ends, and the next poll arms anew: the options have changed.
    pub(crate) fn rearm(&self, driver: &Driver) {
        if self.mode.get() == Mode::Streaming {
            driver.cancel(self.key.get());
        }
    }

    /// The socket goes: what is in flight is cancelled, what waits is given back.
    pub(crate) fn abandon(&self, driver: &Driver) {
        let key = self.key.replace(Key::NONE);
        if !key.is_none() {
            driver.abandon(key);
        }
    }
}
