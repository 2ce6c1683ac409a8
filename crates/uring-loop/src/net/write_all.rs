//! Sending a whole buffer. Written by hand: as nested async functions it would hold the buffer
//! four times, and every idle connection would pay for that.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::TcpStream;
use super::limits::Side;
use crate::driver::Key;
use crate::driver::buf::IoBuf;
use crate::ops::net::Send;
use crate::ops::ring::PollAdd;

/// Future of [`TcpStream::write_all`]; it gives the buffer back beside the result.
///
/// *holding*: the buffer is here, nothing is in flight. *sending*: buffer and operation are in
/// their slot. *waiting*: the buffer is here, and a poll for room is in flight, because the
/// socket answered EAGAIN. Dropped while something is in flight, that is cancelled.
#[must_use = "futures do nothing unless awaited"]
pub struct WriteAll<'a, B: IoBuf> {
    stream: &'a TcpStream,
    state: State<B>,
    key: Key,
    sent: usize,
    /// The time was over; the operation was asked to end and is waited for.
    failed: Option<io::Error>,
}

enum State<B> {
    Holding(B),
    Sending,
    Waiting(B),
    Done,
}

// Nothing is pinned in the future: the kernel's memory is in the slot.
impl<B: IoBuf> Unpin for WriteAll<'_, B> {}

impl<'a, B: IoBuf> WriteAll<'a, B> {
    pub(super) fn new(stream: &'a TcpStream, buffer: B) -> Self {
        WriteAll { stream, state: State::Holding(buffer), key: Key::NONE, sent: 0, failed: None }
    }

    /// Submits what is left of the buffer, if anything is.
    fn start(&mut self, buffer: B) -> Option<(io::Result<()>, B)> {
        if self.sent >= buffer.bytes().len() {
            return Some((Ok(()), buffer));
        }
        let Ok(offset) = u32::try_from(self.sent) else {
            let text = "a buffer of more than 4 GiB: send it in parts";
            return Some((Err(io::Error::new(io::ErrorKind::InvalidInput, text)), buffer));
        };
        let op = Send { fd: self.stream.raw(), offset, buffer };
        self.key = self.stream.driver().start(op);
        self.state = State::Sending;
        None
    }

    /// The send has come back.
    fn finish(&mut self, result: io::Result<usize>, buffer: B) -> Option<(io::Result<()>, B)> {
        self.key = Key::NONE;
        self.stream.moved(Side::Write);
        match result {
            Ok(count) => self.sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.failed.is_none() => {
                self.key = self.stream.driver().start(PollAdd::writable(self.stream.raw()));
                self.state = State::Waiting(buffer);
                return None;
            }
            Err(error) => return Some((Err(self.failed.take().unwrap_or(error)), buffer)),
        }
        match self.failed.take() {
            Some(error) if self.sent < buffer.bytes().len() => Some((Err(error), buffer)),
            _ => self.start(buffer),
        }
    }

    /// What is in flight waits; under a timeout it may have waited too long.
    fn watch(&mut self, cx: &mut Context<'_>) {
        if self.failed.is_some() {
            return;
        }
        if let Poll::Ready(error) = self.stream.waiting(Side::Write, cx) {
            self.failed = Some(error);
            self.stream.driver().cancel(self.key);
        }
    }
}

impl<B: IoBuf> Future for WriteAll<'_, B> {
    type Output = (io::Result<()>, B);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let output = match mem::replace(&mut this.state, State::Done) {
                State::Holding(buffer) => this.start(buffer),
                State::Sending => match this.stream.driver().poll_op::<Send<B>>(this.key, cx) {
                    Poll::Ready((result, buffer)) => this.finish(result, buffer),
                    Poll::Pending => {
                        this.state = State::Sending;
                        this.watch(cx);
                        return Poll::Pending;
                    }
                },
                State::Waiting(buffer) => {
                    match this.stream.driver().poll_op::<PollAdd>(this.key, cx) {
                        Poll::Ready(ready) => {
                            this.key = Key::NONE;
                            match this.failed.take().map_or(ready, Err) {
                                Ok(()) => this.start(buffer),
                                Err(error) => Some((Err(error), buffer)),
                            }
                        }
                        Poll::Pending => {
                            this.state = State::Waiting(buffer);
                            this.watch(cx);
                            return Poll::Pending;
                        }
                    }
                }
                State::Done => panic!("a WriteAll is not polled after it was ready"),
            };
            if let Some(output) = output {
                return Poll::Ready(output);
            }
        }
    }
}

impl<B: IoBuf> Drop for WriteAll<'_, B> {
    fn drop(&mut self) {
        if !self.key.is_none() {
            self.stream.driver().abandon(self.key);
        }
        self.stream.done(Side::Write);
    }
}

impl<B: IoBuf> fmt::Debug for WriteAll<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteAll").field("sent", &self.sent).finish_non_exhaustive()
    }
}
