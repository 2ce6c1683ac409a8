//! The line between the supervisor and a worker: what is said on it, in words.
//!
//! The worker says `ready` when it serves, and `again` when its loop begins anew (after a panic, as
//! [`Builder::on_panic`](crate::Builder::on_panic) says). The supervisor says `link`, with the two
//! descriptors of a link. Each side reads lines of bounded length, and the end of the line is that
//! of the other process.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use uring_loop::net::UnixStream;
use uring_loop::sync::Event;

use crate::link::Parts;

/// A worker serves.
pub(super) const READY: &str = "ready";
/// Its loop is a new one: it has no links any more.
pub(super) const AGAIN: &str = "again";
/// The longest line.
pub(super) const LONGEST: usize = 128;
/// Letters that wait for a worker which does not read. It is stuck; what is left out, the other
/// side of that link sees as its end.
const MOST_LETTERS: usize = 1024;

/// What a worker is told of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invitation {
    /// The shard at the other end.
    pub(super) shard: usize,
    /// Which side this is.
    pub(super) side: usize,
}

impl Invitation {
    pub(super) fn text(self) -> String {
        format!("link {} {}\n", self.shard, self.side)
    }

    pub(super) fn parse(line: &str) -> Option<Invitation> {
        let mut words = line.strip_prefix("link ")?.split(' ').map(|word| word.parse().ok());
        let invitation = Invitation { shard: words.next()??, side: words.next()?? };
        (words.next().is_none() && invitation.side < 2).then_some(invitation)
    }
}

/// Lines out of what comes in pieces. A line that is too long is cut.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.0);
                    lines.push(String::from_utf8_lossy(&line).into_owned());
                }
                _ if self.0.len() < LONGEST => self.0.push(*byte),
                _ => {}
            }
        }
        lines
    }
}

/// Letters to a worker, sent by a task until the worker is forgotten.
#[derive(Default)]
pub(super) struct Letters {
    waiting: RefCell<VecDeque<(Invitation, Parts)>>,
    written: Event,
    closed: Cell<bool>,
}

impl Letters {
    pub(super) fn write(&self, invitation: Invitation, parts: Parts) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < MOST_LETTERS {
            waiting.push_back((invitation, parts));
            self.written.set();
        }
    }

    pub(super) fn close(&self) {
        self.closed.set(true);
        self.written.set();
    }

    /// Sends them, one after another. A worker that is gone is heard of elsewhere.
    pub(super) async fn send(self: Rc<Self>, mut line: UnixStream) {
        loop {
            self.written.wait().await;
            self.written.clear();
            loop {
                if self.closed.get() {
                    return;
                }
                let Some((invitation, parts)) = self.waiting.borrow_mut().pop_front() else {
                    break;
                };
                let fds: Vec<OwnedFd> = vec![parts.memory, parts.socket.into()];
                if line.send_with_fds(invitation.text(), fds).await.0.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_read_as_it_was_written() {
        let invitation = Invitation { shard: 13, side: 1 };
        assert_eq!(Invitation::parse(invitation.text().trim_end()), Some(invitation));
        for text in ["", "link", "link 1", "link 1 2", "link 1 0 0", "link x 1", "lonk 1 1"] {
            assert_eq!(Invitation::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn lines_come_in_any_pieces_and_long_ones_are_cut() {
        let mut lines = Lines::default();
        assert!(lines.push(b"rea").is_empty());
        assert_eq!(lines.push(b"dy\nagain\nx"), ["ready", "again"]);
        lines.push(&[b'y'; 10_000]);
        assert_eq!(lines.push(b"\n")[0].len(), LONGEST);
    }
}
