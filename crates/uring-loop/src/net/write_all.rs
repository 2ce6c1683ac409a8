//! Sending a whole buffer. Written by hand: as nested async functions it would hold the buffer
//! four times, and every idle connection would pay for that.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::connected::Connected;
use super::limits::{self, Side};
use crate::driver::Key;
use crate::driver::buf::IoBuf;
use crate::ops::net::{Send, SendZeroCopy, no_zero_copy};
use crate::ops::ring::PollAdd;

/// Future of [`TcpStream::write_all`](super::TcpStream::write_all) and
/// [`UnixStream::write_all`](super::UnixStream::write_all); it gives the buffer back beside
/// the result.
// Its state is what is there, for a state of its own would make it larger:
//
// | buffer | key | state |
// |---|---|---|
// | here | none | *holding*: nothing is in flight, or what the stream took over before |
// | none | good | *sending*: buffer and operation, a `Send<B>`, or a `SendZeroCopy<B>` if |
// |      |      | `zero_copy` says so, are in their slot |
// | here | good | *waiting*: a `PollAdd` is in flight, because the socket answered EAGAIN |
// | none | none | *done* |
//
// Between two of them it passes through *holding* or *done* only, so that a panic never leaves the
// key of one operation beside the sign of the other. Dropped while something is in flight, that is
// cancelled.
#[must_use = "futures do nothing unless awaited"]
pub struct WriteAll<'a, B: IoBuf> {
    stream: &'a Connected,
    buffer: Option<B>,
    key: Key,
    sent: u32,
    /// The time was over; the operation was asked to end and is waited for.
    late: bool,
    /// What is being sent is not copied.
    zero_copy: bool,
}

// Nothing is pinned in the future: the kernel's memory is in the slot.
impl<B: IoBuf> Unpin for WriteAll<'_, B> {}

impl<'a, B: IoBuf> WriteAll<'a, B> {
    pub(super) fn new(stream: &'a Connected, buffer: B) -> Self {
        let (key, buffer) = (Key::NONE, Some(buffer));
        WriteAll { stream, buffer, key, sent: 0, late: false, zero_copy: false }
    }

    /// Submits what is left of the buffer, if anything is.
    fn start(&mut self, buffer: B) -> Option<(io::Result<()>, B)> {
        let Ok(length) = u32::try_from(buffer.bytes().len()) else {
            let text = "a buffer of more than 4 GiB: send it in parts";
            return Some((Err(io::Error::new(io::ErrorKind::InvalidInput, text)), buffer));
        };
        if self.sent >= length {
            return Some((Ok(()), buffer));
        }
        let (fd, offset, driver) = (self.stream.raw(), self.sent, self.stream.driver());
        self.zero_copy = self.stream.sends_without_copy((length - offset) as usize);
        self.key = match self.zero_copy {
            true => driver.start(SendZeroCopy { fd, offset, buffer }),
            false => driver.start(Send { fd, offset, buffer }),
        };
        None
    }

    /// A send without a copy has come back. Where there is none, plain sends go on from here.
    fn finish_zero_copy(
        &mut self,
        result: io::Result<usize>,
        (buffer, copied): (B, bool),
    ) -> Option<(io::Result<()>, B)> {
        let refused = result.as_ref().is_err_and(no_zero_copy);
        if copied || refused {
            self.stream.set_zero_copy_from(usize::MAX);
        }
        self.finish(if refused { Ok(0) } else { result }, buffer)
    }

    /// The send has come back.
    fn finish(&mut self, result: io::Result<usize>, buffer: B) -> Option<(io::Result<()>, B)> {
        self.stream.moved(Side::Write);
        match result {
            // No more than there are, and those fit (`start`).
            Ok(count) => self.sent += count as u32,
            Err(_) if self.late => return Some((Err(limits::too_late()), buffer)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.buffer = Some(buffer);
                self.key = self.stream.driver().start(PollAdd::writable(self.stream.raw()));
                return None;
            }
            Err(error) => return Some((Err(error), buffer)),
        }
        if self.late && (self.sent as usize) < buffer.bytes().len() {
            return Some((Err(limits::too_late()), buffer));
        }
        self.start(buffer)
    }

    /// The poll for room has come back. `None`: send on.
    fn room(&mut self, result: io::Result<()>) -> Option<(io::Result<()>, B)> {
        let result = if self.late { Err(limits::too_late()) } else { result };
        let error = result.err()?;
        self.buffer.take().map(|buffer| (Err(error), buffer))
    }

    /// What is in flight waits; under a timeout it may have waited too long.
    fn watch(&mut self, cx: &mut Context<'_>) {
        if !self.late && self.stream.waiting(Side::Write, cx).is_ready() {
            self.late = true;
            self.stream.driver().cancel(self.key);
        }
    }

    /// Waits for the send or the poll that is in flight.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<(io::Result<()>, B)>> {
        let driver = self.stream.driver();
        // The buffer, and the flag, say which of them the key stands for.
        Poll::Ready(if self.buffer.is_none() && self.zero_copy {
            let (result, kept) = ready!(driver.poll_op::<SendZeroCopy<B>>(self.key, cx));
            self.key = Key::NONE;
            self.finish_zero_copy(result, kept)
        } else if self.buffer.is_none() {
            let (result, buffer) = ready!(driver.poll_op::<Send<B>>(self.key, cx));
            self.key = Key::NONE;
            self.finish(result, buffer)
        } else {
            let result = ready!(driver.poll_op::<PollAdd>(self.key, cx));
            self.key = Key::NONE;
            self.room(result)
        })
    }
}

impl<B: IoBuf> Future for WriteAll<'_, B> {
    type Output = (io::Result<()>, B);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let output = if this.key.is_none() {
                let ahead = ready!(this.stream.poll_outgoing(cx));
                let buffer = this.buffer.take();
                let buffer = buffer.expect("a WriteAll is not polled after it was ready");
                match ahead {
                    Ok(()) => this.start(buffer),
                    Err(error) => Some((Err(error), buffer)),
                }
            } else {
                match this.wait(cx) {
                    Poll::Ready(output) => output,
                    Poll::Pending => {
                        this.watch(cx);
                        return Poll::Pending;
                    }
                }
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
