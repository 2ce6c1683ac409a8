//! The lines of a stream, one after the other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::reader::Found;
use super::{ReadError, StreamReader};

/// The lines of a [`StreamReader`], each with its `\n`; see [`StreamReader::lines`].
///
/// # Cancel safety
///
/// Strict: dropping it loses no byte.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Lines<'a> {
    reader: &'a mut StreamReader,
    offset: usize,
    waits: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(reader: &'a mut StreamReader) -> Self {
        reader.settle();
        Lines { reader, offset: 0, waits: false }
    }
}

impl Lines<'_> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let polled = self.reader.poll_fill(cx);
        self.waits = polled.is_pending();
        polled
    }
}

impl Drop for Lines<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.reader.give_up();
        }
    }
}

impl Stream for Lines<'_> {
    type Item = Result<Vec<u8>, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let found = this.reader.look(&[b"\n"], &mut this.offset);
            let item = match found {
                Found::Line(length) => Ok(this.reader.take_line(length)),
                Found::Overrun(consumed) => Err(this.reader.drop_line(consumed)),
                Found::NeedsMore => match ready!(this.poll_fill(cx)) {
                    Ok(true) => continue,
                    Ok(false) if this.reader.buffered() == 0 => return Poll::Ready(None),
                    Ok(false) => Ok(this.reader.take_line(this.reader.buffered())),
                    Err(error) => Err(error.into()),
                },
            };
            this.offset = 0;
            return Poll::Ready(Some(item));
        }
    }
}
