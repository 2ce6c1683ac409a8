//! Accepting connections, of whatever family: one multishot accept that stays armed, and the pause
//! after one that found no descriptors.
//!
//! On a listener in non-blocking mode, one that another program made, the kernel does not wait but
//! answers EAGAIN. There a poll comes before each accept that has found nobody: to ask again at
//! once would be a loop that never rests.
//!
//! The operation wakes whoever has polled it last. Several may wait, so each that got something, or
//! goes, wakes the next of them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::io::ErrorKind::{ConnectionAborted, WouldBlock};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::context;
use crate::driver::fd::Fd;
use crate::driver::{Driver, Key, Next};
use crate::ops::net::{Accept, exhausted};
use crate::ops::ring::PollAdd;
use crate::time::{now, sleep_until};
use crate::wake::LocalWaker;

/// Connections that may wait to be accepted, unless somebody says otherwise. The kernel's own limit
/// (`net.core.somaxconn`) cuts it.
pub(super) const BACKLOG: i32 = 4096;

/// How long an accept waits after one that failed for want of descriptors or memory. They come
/// back when other connections end; asking at once would find none again.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket. Dropping it closes what it has accepted and nobody took.
pub(super) struct Acceptor {
    accepting: Cell<Key>,
    /// What `accepting` names is no accept but a poll: there was nobody.
    polling: Cell<bool>,
    /// Nothing is asked for before this.
    paused_until: Cell<Option<Instant>>,
    /// Who waits, by number, in the order of beginning.
    waiting: RefCell<VecDeque<(u64, LocalWaker)>>,
    next_number: Cell<u64>,
    fd: Fd,
}

impl Acceptor {
    pub(super) fn new(fd: Fd) -> Self {
        Acceptor {
            accepting: Cell::new(Key::NONE),
            polling: Cell::new(false),
            paused_until: Cell::new(None),
            waiting: RefCell::default(),
            next_number: Cell::new(1),
            fd,
        }
    }

    /// The next connection, in the order in which they arrived.
    pub(super) async fn accept(&self) -> io::Result<Fd> {
        if let Some(moment) = self.paused_until() {
            sleep_until(moment).await;
            self.end_pause();
        }
        let mut waiting = Waiting::new(self);
        poll_fn(|cx| waiting.poll(cx)).await
    }

    /// Somebody waits on. Wakers are foreign code: they are made and dropped without the borrow.
    fn enter(&self, number: u64, cx: &Context<'_>) {
        let at = |line: &VecDeque<(u64, LocalWaker)>| line.iter().position(|one| one.0 == number);
        let stands = {
            let line = self.waiting.borrow();
            at(&line).is_some_and(|at| line[at].1.will_wake(cx.waker()))
        };
        if stands {
            return;
        }
        let fresh = (number, LocalWaker::new(cx.waker()));
        let mut line = self.waiting.borrow_mut();
        let stale = match at(&line) {
            Some(at) => Some(std::mem::replace(&mut line[at], fresh)),
            None => {
                line.push_back(fresh);
                None
            }
        };
        drop(line);
        drop(stale);
    }

    /// Somebody waits no more: the next is to look, since what was to come for all may have come to
    /// this one.
    fn leave(&self, number: u64) {
        let (own, next) = {
            let mut line = self.waiting.borrow_mut();
            let own = line.iter().position(|one| one.0 == number).and_then(|at| line.remove(at));
            (own, line.pop_front())
        };
        drop(own);
        if let Some((_, waker)) = next
            && !mutant!("a-second-accept-is-forgotten")
        {
            waker.wake();
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Fd>> {
        if !context::take_budget() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let driver = self.fd.driver();
        loop {
            if self.polling.get() {
                // Whatever came of it, the next accept tells.
                let _ = ready!(driver.poll_op::<PollAdd>(self.accepting.get(), cx));
                self.polling.set(false);
                self.accepting.set(Key::NONE);
            }
            if self.accepting.get().is_none() {
                let accept = Accept { driver: driver.clone(), fd: self.fd.as_raw_fd() };
                self.accepting.set(driver.start_multishot(accept));
            }
            let accepted = match driver.poll_item::<Accept>(self.accepting.get(), cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Next::More(accepted)) => accepted,
                Poll::Ready(Next::Last(accepted)) => {
                    if !mutant!("multishot-not-armed-again") {
                        self.accepting.set(Key::NONE);
                    }
                    accepted
                }
            };
            match accepted {
                Ok(fd) => return Poll::Ready(Ok(fd)),
                // Its peer took it back.
                Err(error) if error.kind() == ConnectionAborted => {}
                // There was none after all.
                Err(error) if error.kind() == WouldBlock => self.await_one(),
                Err(error) => {
                    if exhausted(&error) && !mutant!("no-pause-without-descriptors") {
                        self.paused_until.set(Some(now() + PAUSE));
                    }
                    let text = format!("accepting a connection: {error}");
                    return Poll::Ready(Err(io::Error::new(error.kind(), text)));
                }
            }
        }
    }

    /// Nobody came. If the accept has ended with that, a poll tells when somebody does.
    fn await_one(&self) {
        if self.accepting.get().is_none() && !mutant!("nobody-there-asked-again-at-once") {
            let poll = PollAdd::readable(self.fd.as_raw_fd());
            self.accepting.set(self.fd.driver().start(poll));
            self.polling.set(true);
        }
    }

    /// When to ask again, if the last accept found no descriptors.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until.get()
    }

    pub(super) fn end_pause(&self) {
        self.paused_until.set(None);
    }

    pub(super) fn driver(&self) -> &Driver {
        self.fd.driver()
    }
}

/// One who waits for a connection.
pub(super) struct Waiting<'a> {
    pub(super) acceptor: &'a Acceptor,
    /// 0: it has not waited yet.
    number: u64,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(acceptor: &'a Acceptor) -> Self {
        Waiting { acceptor, number: 0 }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Fd>> {
        let polled = self.acceptor.poll_accept(cx);
        if polled.is_ready() {
            self.end();
            return polled;
        }
        if self.number == 0 {
            self.number = self.acceptor.next_number.get();
            self.acceptor.next_number.set(self.number + 1);
        }
        self.acceptor.enter(self.number, cx);
        Poll::Pending
    }

    fn end(&mut self) {
        let number = std::mem::take(&mut self.number);
        if number != 0 {
            self.acceptor.leave(number);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl AsFd for Acceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Acceptor {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        let key = self.accepting.replace(Key::NONE);
        if !key.is_none() {
            self.fd.driver().abandon(key);
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fd.fmt(f)
    }
}
