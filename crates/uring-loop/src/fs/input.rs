//! Bytes that were read and that nobody has taken yet: what [`BufReader`](super::BufReader) and
//! [`Stdin`](super::Stdin) have in common.
//!
//! A read in flight belongs to the [`Input`], not to the future that waits for it. So dropping such
//! a future loses nothing, and a line stays here until it is whole.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// A read on its way. The buffer comes back in any case.
pub(super) type Reading = Pin<Box<dyn Future<Output = (io::Result<usize>, Vec<u8>)>>>;

/// Where bytes come from.
pub(super) trait Feed {
    /// Begins a read into the room of an empty buffer.
    fn read(&mut self, room: Vec<u8>) -> Reading;

    /// So many bytes have come, of so much room. `true`: begin the next read before anybody asks.
    fn came(&mut self, count: usize, room: usize) -> bool;
}

pub(super) struct Input {
    /// What was read; that before `start` was taken.
    block: Vec<u8>,
    start: usize,
    reading: Option<Reading>,
    /// The buffer for the next read.
    spare: Vec<u8>,
    size: usize,
}

impl Input {
    pub(super) fn new(size: usize) -> Self {
        Input { block: Vec::new(), start: 0, reading: None, spare: Vec::new(), size: size.max(1) }
    }

    /// What was read and not taken.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.block[self.start..]
    }

    /// So many of them were taken.
    pub(super) fn consume(&mut self, count: usize) {
        assert!(count <= self.bytes().len(), "only what is there can be consumed");
        self.start += count;
    }

    /// Forgets what was read, and what is being read.
    pub(super) fn clear(&mut self) {
        (self.start, self.reading) = (0, None);
        self.block.clear();
    }

    /// Waits for more bytes behind those that are there; 0 is the end. An error does not last: the
    /// next call reads again.
    pub(super) fn poll_more(
        &mut self,
        feed: &mut impl Feed,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => self.begin(feed),
        };
        let Poll::Ready((result, buffer)) = reading.as_mut().poll(cx) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        let count = match result {
            Ok(count) => count,
            Err(error) => {
                self.spare = buffer;
                return Poll::Ready(Err(error));
            }
        };
        let room = buffer.capacity();
        self.take_in(buffer);
        if feed.came(count, room) {
            let mut next = self.begin(feed);
            // It is submitted by its first poll. Whoever comes for it leaves a waker then.
            let polled = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.reading = Some(match polled {
                Poll::Pending => next,
                // Only a loop that ends answers at once.
                Poll::Ready(over) => Box::pin(std::future::ready(over)),
            });
        }
        Poll::Ready(Ok(count))
    }

    fn begin(&mut self, feed: &mut impl Feed) -> Reading {
        let mut room = std::mem::take(&mut self.spare);
        room.clear();
        room.reserve_exact(self.size);
        feed.read(room)
    }

    /// Puts a block behind what is left of those before.
    fn take_in(&mut self, buffer: Vec<u8>) {
        if self.bytes().is_empty() || mutant!("begin-of-a-line-lost-between-blocks") {
            self.spare = std::mem::replace(&mut self.block, buffer);
        } else {
            // Somebody waits for more than a block.
            self.block.drain(..self.start);
            self.block.extend_from_slice(&buffer);
            self.spare = buffer;
        }
        self.start = 0;
        // What a long line has taken is given back when that is read.
        if self.spare.capacity() > 2 * self.size {
            self.spare = Vec::new();
        }
    }

    /// Waits until there are bytes, or the end.
    pub(super) fn poll_some(
        &mut self,
        feed: &mut impl Feed,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes().is_empty() {
            ready!(self.poll_more(feed, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for bytes up to this one, or for the end, and answers how many they are.
    pub(super) async fn until(&mut self, feed: &mut impl Feed, byte: u8) -> io::Result<usize> {
        let mut looked = 0;
        loop {
            let bytes = self.bytes();
            if let Some(at) = bytes[looked..].iter().position(|there| *there == byte) {
                return Ok(looked + at + 1);
            }
            looked = bytes.len();
            if poll_fn(|cx| self.poll_more(feed, cx)).await? == 0 {
                return Ok(looked);
            }
        }
    }

    /// Waits for a line and takes it; with its end, if it has one. Without any bytes it is the end.
    pub(super) async fn line(&mut self, feed: &mut impl Feed) -> io::Result<String> {
        let length = self.until(feed, b'\n').await?;
        let line = std::str::from_utf8(&self.bytes()[..length]).map(str::to_owned);
        self.consume(length);
        line.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// A line without its end.
pub(super) fn chomp(mut line: String) -> String {
    if line.ends_with('\n') {
        line.pop();
        if line.ends_with('\r') {
            line.pop();
        }
    }
    line
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("unread", &self.bytes().len())
            .field("reading", &self.reading.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_line_is_taken_off_once() {
        for (line, bare) in
            [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a\r", "a\r"), ("", "")]
        {
            assert_eq!(chomp(line.to_owned()), bare);
        }
    }
}
