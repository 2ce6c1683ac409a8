//! A connection that is nothing but memory, with back pressure.
//!
//! Each direction is a `Way`: a queue of buffers as they were handed over. It behaves as a socket
//! does: up to its capacity, bytes count as taken by the kernel; what goes beyond is in flight,
//! and holds the sender.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::ByteStream;
use crate::context;
use crate::driver::recvbuf::RecvBuf;

/// Two ends of a connection in memory. Each direction takes `capacity` bytes, and one buffer
/// beyond, before its sender has to wait for the reader.
///
/// It needs no kernel, but a loop: both ends belong to one thread. What one end sends arrives in
/// the same pieces.
///
/// # Panics
///
/// If the capacity is 0.
///
/// # Examples
///
/// See [`ByteStreamExt`](super::ByteStreamExt).
pub fn duplex(capacity: usize) -> (MemoryStream, MemoryStream) {
    assert!(capacity > 0, "a stream in memory needs room for a byte at least");
    let (there, back) = (Way::new(capacity), Way::new(capacity));
    let one = MemoryStream { incoming: back.clone(), outgoing: there.clone() };
    (one, MemoryStream { incoming: there, outgoing: back })
}

/// One end of a connection in memory; see [`duplex`].
pub struct MemoryStream {
    incoming: Rc<Way>,
    outgoing: Rc<Way>,
}

/// One direction.
struct Way {
    capacity: usize,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Vec<u8>>,
    /// In all buffers of the queue.
    bytes: usize,
    /// No more will come: it was shut down, aborted, or the sending end is gone.
    ended: bool,
    /// The receiving end is gone: nobody will read.
    deserted: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Whom to wake; a waker is foreign code, so it is woken when nothing is borrowed.
#[must_use]
struct Wake(Option<Waker>);

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

impl Way {
    fn new(capacity: usize) -> Rc<Self> {
        Rc::new(Way { capacity, state: RefCell::default() })
    }

    fn take(&self, cx: &Context<'_>) -> Poll<Vec<u8>> {
        let fresh = cx.waker().clone();
        let mut state = self.state.borrow_mut();
        if let Some(bytes) = state.queue.pop_front() {
            state.bytes -= bytes.len();
            let wake = Wake(if self.holds(&state) { None } else { state.writer.take() });
            drop(state);
            drop(wake);
            return Poll::Ready(bytes);
        }
        if state.ended {
            return Poll::Ready(Vec::new());
        }
        let stale = state.reader.replace(fresh);
        drop(state);
        drop(stale);
        Poll::Pending
    }

    /// Whether more was handed over than there is room for.
    fn holds(&self, state: &State) -> bool {
        state.bytes > self.capacity && !state.deserted
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let fresh = cx.waker().clone();
        let mut state = self.state.borrow_mut();
        if !self.holds(&state) {
            return Poll::Ready(if state.deserted { Err(deserted()) } else { Ok(()) });
        }
        let stale = state.writer.replace(fresh);
        drop(state);
        drop(stale);
        Poll::Pending
    }

    fn put(&self, buffer: Vec<u8>) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        assert!(!self.holds(&state), "start_send before poll_ready was ready: there is no room");
        if state.deserted {
            return Err(deserted());
        }
        if state.ended {
            return Err(shut_down());
        }
        if buffer.is_empty() {
            return Ok(());
        }
        state.bytes += buffer.len();
        state.queue.push_back(buffer);
        let wake = Wake(state.reader.take());
        drop(state);
        drop(wake);
        Ok(())
    }

    /// No more will be sent.
    fn end(&self) {
        let mut state = self.state.borrow_mut();
        state.ended = true;
        let wakes = (Wake(state.reader.take()), Wake(state.writer.take()));
        drop(state);
        drop(wakes);
    }

    /// What is in flight, as it is not within the capacity, is given up.
    fn give_up(&self) {
        let mut state = self.state.borrow_mut();
        while state.bytes > self.capacity {
            let excess = state.bytes - self.capacity;
            let Some(last) = state.queue.back_mut() else { break };
            let kept = last.len().saturating_sub(excess);
            let given_up = last.len() - kept;
            last.truncate(kept);
            if kept == 0 {
                state.queue.pop_back();
            }
            state.bytes -= given_up;
        }
    }

    /// Nobody will read any more.
    fn desert(&self) {
        let mut state = self.state.borrow_mut();
        state.deserted = true;
        state.bytes = 0;
        let unread = mem::take(&mut state.queue);
        let wake = Wake(state.writer.take());
        drop(state);
        drop((unread, wake));
    }
}

fn deserted() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the other end of the stream is gone")
}

fn shut_down() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "this direction of the stream was shut down")
}

impl ByteStream for MemoryStream {
    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        // As a socket does, it makes room for other tasks now and then.
        if !context::take_budget() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.incoming.take(cx).map(|bytes| Ok(RecvBuf::from(bytes)))
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.state.borrow().ended {
            return Poll::Ready(Err(shut_down()));
        }
        self.outgoing.poll_room(cx)
    }

    fn start_send(&self, buffer: Vec<u8>) -> io::Result<()> {
        self.outgoing.put(buffer)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_room(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.state.borrow().ended {
            return Poll::Ready(Ok(()));
        }
        let flushed = self.outgoing.poll_room(cx);
        if let Poll::Ready(Ok(())) = flushed {
            self.outgoing.end();
        }
        flushed
    }

    fn abort(&self) {
        self.outgoing.give_up();
        self.outgoing.end();
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.outgoing.end();
        self.incoming.desert();
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unread = self.incoming.state.borrow().bytes;
        f.debug_struct("MemoryStream").field("unread", &unread).finish_non_exhaustive()
    }
}
