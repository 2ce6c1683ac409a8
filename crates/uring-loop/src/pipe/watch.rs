//! Whether anybody still reads a pipe that is written, as the receiving side of a stream from which
//! nothing else comes.
//!
//! # Life story of a [`Watch`]
//!
//! *idle*: nobody has asked. *armed*: a poll of the descriptor is in flight, which the kernel ends
//! when the last reader goes; it is cancelled when the watch is dropped. *over*: that has happened,
//! or our own direction has ended. It stays so.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::reader::again;
use crate::driver::recvbuf::RecvBuf;
use crate::driver::{Driver, Key};
use crate::ops::ring::PollAdd;

pub(super) struct Watch {
    pub(super) driver: Rc<Driver>,
    key: Cell<Key>,
    over: Cell<bool>,
    /// Who waits while it is armed: the operation may be taken from under them.
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    pub(super) fn new(driver: Rc<Driver>) -> Self {
        let (key, over) = (Cell::new(Key::NONE), Cell::new(false));
        Watch { driver, key, over, waker: RefCell::default() }
    }

    /// Ready with an empty buffer when nobody has the other end of `fd` open any more.
    pub(super) fn poll(&self, fd: RawFd, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        while !self.over.get() {
            if self.key.get().is_none() {
                self.key.set(self.driver.start(PollAdd::deserted(fd)));
            }
            let stale = self.waker.replace(Some(cx.waker().clone()));
            drop(stale);
            let told = ready!(self.driver.poll_op::<PollAdd>(self.key.get(), cx));
            self.key.set(Key::NONE);
            match told {
                Ok(()) => self.over.set(true),
                Err(error) if again(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(RecvBuf::from(Vec::new())))
    }

    /// Our direction has ended: there is nothing to watch any more.
    pub(super) fn end(&self) {
        self.over.set(true);
        if mutant!("closed-writer-still-watched") {
            return;
        }
        self.disarm();
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn disarm(&self) {
        let key = self.key.replace(Key::NONE);
        if !key.is_none() {
            self.driver.abandon(key);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.disarm();
    }
}
