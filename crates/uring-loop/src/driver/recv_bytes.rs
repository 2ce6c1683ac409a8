//! Receiving bytes: of a stream, and of what is read the same way (`source.rs` has the difference).

use std::io;
use std::marker::PhantomData;
use std::mem;
use std::os::fd::RawFd;
use std::rc::Rc;

use super::Driver;
use super::bufpool::{self, BufPool, Chain};
use super::op::{Op, Resident};
use super::recv::Sort;
use super::recvbuf::RecvBuf;
use super::ring::{Cqe, Sqe};
use super::source::Source;

/// The bytes of such a source.
#[derive(Debug)]
pub(crate) struct Bytes<S>(PhantomData<S>);

/// The multishot receive in its slot.
pub(crate) struct Streaming<S> {
    pool: Rc<BufPool>,
    /// Bytes that came after the chain was long enough. Boxed: it is rare, and the slot is small.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in every idle connection")]
    spill: Option<Box<Vec<u8>>>,
    chain: Chain,
    stopping: bool,
    fd: RawFd,
    source: PhantomData<S>,
}

impl<S: Source> Resident for Streaming<S> {
    const MULTISHOT: bool = true;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        S::repeatedly(sqe);
        sqe.fd = self.fd;
        bufpool::select(sqe);
    }

    fn more(&mut self, cqe: Cqe) -> bool {
        let Some(id) = cqe.buffer_id() else { return false };
        if self.spill.is_some() || self.chain.count() >= self.pool.may_be_held() {
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

/// A receive into a buffer of our own.
pub(crate) struct Private<S> {
    fd: RawFd,
    buffer: RecvBuf,
    source: PhantomData<S>,
}

// SAFETY: the entry points to the heap buffer that `self` owns, of the length given; it is not
// touched before `complete`. The descriptor is the stream's, closed through the driver.
unsafe impl<S: Source> Op for Private<S> {
    type Output = io::Result<RecvBuf>;
    const HOLDS_CLOCK: bool = false;

    fn prepare(&mut self, sqe: &mut Sqe) {
        S::once(sqe);
        sqe.fd = self.fd;
        sqe.addr = self.buffer.base() as u64;
        sqe.len = self.buffer.capacity();
    }

    fn complete(mut self, cqe: Cqe) -> io::Result<RecvBuf> {
        self.buffer.set_end(cqe.into_result()?);
        Ok(self.buffer)
    }
}

impl<S: Source> Sort for Bytes<S> {
    type Item = RecvBuf;
    type Options = ();
    type Streaming = Streaming<S>;
    type Private = Private<S>;
    const MAY_NOT_POLL: bool = S::MAY_NOT_POLL;

    fn repeats(driver: &Driver) -> bool {
        S::repeats(driver)
    }

    fn streaming(pool: &Rc<BufPool>, fd: RawFd, (): ()) -> Streaming<S> {
        let (chain, source) = (Chain::EMPTY, PhantomData);
        Streaming { pool: pool.clone(), spill: None, chain, stopping: false, fd, source }
    }

    fn private(pool: &Rc<BufPool>, fd: RawFd, (): ()) -> Private<S> {
        Private { fd, buffer: RecvBuf::private(pool), source: PhantomData }
    }

    fn take(streaming: &mut Streaming<S>) -> Option<RecvBuf> {
        let Streaming { pool, chain, spill, .. } = streaming;
        chain.pop(pool).or_else(|| Some(RecvBuf::from(*spill.take()?)))
    }

    fn holds(streaming: &Streaming<S>) -> bool {
        streaming.chain.count() > 0 || streaming.spill.is_some()
    }

    fn end(pool: &Rc<BufPool>) -> Option<RecvBuf> {
        Some(RecvBuf::empty(pool))
    }

    fn is_end(bytes: &RecvBuf) -> bool {
        bytes.is_empty()
    }
}
