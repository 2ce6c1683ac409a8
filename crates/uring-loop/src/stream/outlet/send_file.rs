//! A file between what is written.
//!
//! Pieces of it go out one by one, and the next is read meanwhile. They are bytes like those that
//! are written, so all kinds of streams send files, TLS too; and they stand together: what others
//! write is held back until the last piece is sent, or there will be no more.

use std::future::poll_fn;
use std::io;

use super::{Outlet, gone};
use crate::combine::join;
use crate::fs::Part;

impl Outlet {
    /// Sends a part of a file behind what was written, and answers how many bytes that was. `drive`
    /// sees to it that somebody sends.
    pub(crate) async fn send_file(&self, mut part: Part, drive: impl Fn()) -> io::Result<u64> {
        self.hold()?;
        let _holding = Holding(self);
        self.all_sent().await?;
        let mut done = 0;
        let mut piece = part.next(Vec::new()).await?;
        while !piece.is_empty() {
            let count = piece.len() as u64;
            let spare = self.put(piece)?;
            drive();
            let (next, sent) = join((part.next(spare), self.all_sent())).await;
            sent?;
            done += count;
            piece = next?;
        }
        Ok(done)
    }

    /// Waits until what goes before the held bytes is sent.
    async fn all_sent(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_sent(cx)).await;
        self.check_open()
    }

    fn check_open(&self) -> io::Result<()> {
        match self.loss() {
            Some(loss) => Err(loss.error().unwrap_or_else(gone)),
            None => Ok(()),
        }
    }

    /// Puts a piece where there is nothing, since it was all sent; gives memory for the next.
    fn put(&self, piece: Vec<u8>) -> io::Result<Vec<u8>> {
        self.check_open()?;
        let mut state = self.state.borrow_mut();
        let spare = std::mem::replace(&mut state.pending, piece);
        self.settle(state);
        Ok(spare)
    }
}

/// What was written meanwhile follows, however the sending ends.
struct Holding<'a>(&'a Outlet);

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        if !mutant!("what-is-behind-a-file-stays-behind") {
            self.0.unhold();
        }
    }
}
