//! The end of a child, and those who wait for it.
//!
//! # Life story of an [`Exit`]
//!
//! *idle*: nobody waits, nothing is armed. *armed*: a `ChildExit` is in flight; it takes the status
//! out of the kernel, so it belongs to the child and not to a waiting future: a wait that is
//! dropped loses nothing. *known*: the status is here, and stays. Of those who wait, the one that
//! was polled last has its waker at the operation; all are in `waiters`. Whoever takes the status,
//! and whoever leaves, wakes the others, so that one of them is at the operation next.
//!
//! Dropped before it is known, it leaves the operation in flight without an owner (armed now if it
//! was not): the kernel reaps the child when it ends, and the op lets go of the pidfd.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::process::ExitStatus;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::driver::fd::Fd;
use crate::driver::{Driver, Key};
use crate::hold::{Hold, hold};
use crate::ops::proc::ChildExit;
use crate::sys;
use crate::wake::LocalWaker;

/// What is known of the end of a child.
pub(super) struct Exit {
    pidfd: Rc<Fd>,
    key: Cell<Key>,
    status: Cell<Option<ExitStatus>>,
    /// SIGKILL was sent.
    killed: Rc<Cell<bool>>,
    waiters: RefCell<Vec<(u64, LocalWaker)>>,
    next_waiter: Cell<u64>,
}

impl Exit {
    pub(super) fn new(pidfd: Fd) -> Self {
        Exit {
            pidfd: Rc::new(pidfd),
            key: Cell::new(Key::NONE),
            status: Cell::new(None),
            killed: Rc::default(),
            waiters: RefCell::default(),
            next_waiter: Cell::new(0),
        }
    }

    fn driver(&self) -> &Driver {
        self.pidfd.driver()
    }

    pub(super) fn raw(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }

    /// The status, as far as it was taken from the kernel.
    pub(super) fn known(&self) -> Option<ExitStatus> {
        self.take_done();
        self.status.get()
    }

    /// Whether this process is a copy of the one whose child it is.
    pub(super) fn is_of_another_process(&self) -> bool {
        self.driver().forked()
    }

    pub(super) fn mark_killed(&self) {
        self.killed.set(true);
    }

    /// The status is here: whoever waits can have it.
    fn settle(&self, status: ExitStatus) {
        self.status.set(Some(status));
        self.wake_all();
    }

    fn wake_all(&self) {
        // Not borrowed while they are woken: a waker may do anything.
        let waiters = self.waiters.take();
        waiters.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Takes a status that the operation has brought and nobody has taken.
    fn take_done(&self) {
        let key = self.key.get();
        if !key.is_none() && self.driver().is_done(key) {
            let cx = &mut Context::from_waker(Waker::noop());
            // An error is for who waits next: it meets it again.
            if let Poll::Ready(Ok(status)) = self.poll_operation(cx) {
                self.settle(status);
            }
        }
    }

    /// The status, without waiting.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.known() {
            return Ok(Some(status));
        }
        let armed = !self.key.get().is_none();
        match sys::process::try_wait(self.raw()) {
            Ok(Some(status)) => {
                let key = self.key.replace(Key::NONE);
                if armed {
                    self.driver().abandon(key);
                }
                self.settle(status);
                Ok(Some(status))
            }
            Ok(None) => Ok(None),
            // The operation has it, and its completion is on its way.
            Err(_) if armed => Ok(None),
            Err(error) => Err(lost(&error)),
        }
    }

    fn arm(&self) {
        if self.key.get().is_none() {
            let op = ChildExit::new(self.driver(), self.pidfd.clone(), self.killed.clone());
            self.key.set(self.driver().start(op));
        }
    }

    fn poll_operation(&self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        let polled = self.driver().poll_op::<ChildExit>(self.key.get(), cx);
        if polled.is_ready() {
            self.key.set(Key::NONE);
        }
        polled
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        loop {
            if let Some(status) = self.status.get() {
                return Poll::Ready(Ok(status));
            }
            self.arm();
            match self.poll_operation(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(status)) => self.settle(status),
                Poll::Ready(Err(error)) if transient(&error) => {}
                Poll::Ready(Err(error)) => {
                    self.wake_all();
                    return Poll::Ready(Err(lost(&error)));
                }
            }
        }
    }

    /// Notes a waiter, by its number; a new one gets one.
    fn enlist(&self, number: &mut Option<u64>, waker: &Waker) {
        let number = *number.get_or_insert_with(|| {
            let number = self.next_waiter.get();
            self.next_waiter.set(number + 1);
            number
        });
        let fresh = LocalWaker::new(waker);
        let mut waiters = self.waiters.borrow_mut();
        let stale = match waiters.iter_mut().find(|(other, _)| *other == number) {
            Some((_, old)) => Some(std::mem::replace(old, fresh)),
            None => {
                waiters.push((number, fresh));
                None
            }
        };
        drop(waiters);
        drop(stale);
    }

    /// A waiter goes. Its waker may be the one at the operation: the others see to that.
    fn strike(&self, number: u64) {
        let mut waiters = self.waiters.borrow_mut();
        let at = waiters.iter().position(|(other, _)| *other == number);
        let gone = at.map(|at| waiters.remove(at));
        drop(waiters);
        // Its waker may be anything.
        drop(gone);
        if self.status.get().is_none() && !mutant!("waiter-leaves-without-a-word") {
            self.wake_all();
        }
    }
}

/// EINTR, and EAGAIN: to be asked again.
fn transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// ECHILD, and ESRCH for a child that should be there, have one cause.
pub(super) fn lost(error: &io::Error) -> io::Error {
    let text = match sys::process::is_no_child(error) || sys::process::is_no_process(error) {
        true => "the child has ended and its status is lost: this process ignores SIGCHLD, or \
                 something else in it has waited for the child"
            .to_owned(),
        false => format!("waiting for a child: {error}"),
    };
    io::Error::new(error.kind(), text)
}

impl Drop for Exit {
    fn drop(&mut self) {
        if self.is_of_another_process() || self.known().is_some() {
            return;
        }
        if mutant!("dropped-child-stays-a-zombie") {
            return self.driver().abandon(self.key.get());
        }
        if self.driver().closing() {
            // No loop is left to wait. What was killed ends now; what runs on is not ours any more.
            let _ = self.driver().last_wait().reap(self.raw(), self.killed.get());
        } else {
            self.arm();
        }
        let key = self.key.replace(Key::NONE);
        if !key.is_none() {
            self.driver().leave(key);
        }
    }
}

impl AsFd for Exit {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Future of [`Child::wait`](super::Child::wait).
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<'a> {
    exit: &'a Exit,
    number: Option<u64>,
    hold: Option<Hold>,
}

impl<'a> Wait<'a> {
    pub(super) fn new(exit: &'a Exit) -> Self {
        Wait { exit, number: None, hold: None }
    }
}

impl Future for Wait<'_> {
    type Output = io::Result<ExitStatus>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = this.exit.poll(cx);
        if polled.is_pending() {
            this.exit.enlist(&mut this.number, cx.waker());
            this.hold.get_or_insert_with(|| hold("waiting for a child"));
        } else {
            this.hold = None;
        }
        polled
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.exit.strike(number);
        }
        if mutant!("status-lost-with-the-wait") {
            self.exit.driver().abandon(self.exit.key.replace(Key::NONE));
        }
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wait({})", self.exit.raw())
    }
}
