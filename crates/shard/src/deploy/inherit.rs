//! Sockets that come from a parent: from systemd by its protocol, from our supervisor by ours.
//!
//! Ours is a variable: `SHARD_WORKER=parent:index:count:cpu:board:socket,socket;socket` (listeners
//! are set apart by `;`). It holds only for
//! a child of that parent; what such a child starts in turn inherits the variable, not its meaning.
//! The descriptors have kept their numbers, since the supervisor does not close them at exec.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::unistd::{getpid, getppid};

use super::board::Board;
use crate::sys;

pub(super) const VARIABLE: &str = "SHARD_WORKER";

/// The first descriptor of systemd's (sd_listen_fds(3)).
const LISTEN_FDS_START: RawFd = 3;

/// What a worker is to do.
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) parent: i32,
    pub(super) index: usize,
    /// How many workers there are.
    pub(super) count: usize,
    pub(super) cpu: usize,
    /// By listener.
    pub(super) sockets: Vec<Vec<TcpListener>>,
    /// Where it says how it stands.
    pub(super) board: Board,
    /// The line to the supervisor, which is our stdin.
    pub(super) line: UnixStream,
}

impl Charge {
    /// That of this process. `None`: it is no worker.
    pub(super) fn take() -> io::Result<Option<Charge>> {
        let Ok(text) = std::env::var(VARIABLE) else { return Ok(None) };
        let Some(words) = Words::parse(&text) else {
            let text = format!("{VARIABLE}={text:?} is not what a supervisor writes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        if words.parent != getppid().as_raw() {
            return Ok(None);
        }
        let line = io::stdin().as_fd().try_clone_to_owned()?;
        let adopt_all = |fds: &Vec<RawFd>| fds.iter().copied().map(adopt).collect();
        let sockets = words.sockets.iter().map(adopt_all).collect::<io::Result<_>>()?;
        let board = Board::inherited(sys::adopt(words.board)?)?;
        let Words { parent, index, count, cpu, .. } = words;
        Ok(Some(Charge { parent, index, count, cpu, sockets, board, line: line.into() }))
    }

    /// What the supervisor writes for a child.
    pub(super) fn text(
        (index, count): (usize, usize),
        cpu: usize,
        board: &Board,
        sockets: &[Vec<RawFd>],
    ) -> String {
        let texts =
            |fds: &Vec<RawFd>| fds.iter().map(RawFd::to_string).collect::<Vec<_>>().join(",");
        let sockets: Vec<_> = sockets.iter().map(texts).collect();
        let (parent, board) = (getpid(), board.number());
        format!("{parent}:{index}:{count}:{cpu}:{board}:{}", sockets.join(";"))
    }
}

/// The parts of the variable.
#[derive(Debug, PartialEq, Eq)]
struct Words {
    parent: i32,
    index: usize,
    count: usize,
    cpu: usize,
    board: RawFd,
    sockets: Vec<Vec<RawFd>>,
}

impl Words {
    fn parse(text: &str) -> Option<Words> {
        let group = |text: &str| text.split(',').map(|fd| fd.parse().ok()).collect();
        let mut parts = text.split(':');
        let words = Words {
            parent: parts.next()?.parse().ok()?,
            index: parts.next()?.parse().ok()?,
            count: parts.next()?.parse().ok()?,
            cpu: parts.next()?.parse().ok()?,
            board: parts.next()?.parse().ok()?,
            sockets: parts.next()?.split(';').map(group).collect::<Option<_>>()?,
        };
        (parts.next().is_none() && words.index < words.count).then_some(words)
    }
}

/// The sockets that systemd has bound for us.
pub(super) fn from_systemd() -> io::Result<Vec<TcpListener>> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<i32>().ok();
    if number("LISTEN_PID") != Some(getpid().as_raw()) {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS").unwrap_or(0);
    (LISTEN_FDS_START..LISTEN_FDS_START + count).map(adopt).collect()
}

/// Takes over an inherited descriptor, which is not inherited further.
fn adopt(fd: RawFd) -> io::Result<TcpListener> {
    let fd: OwnedFd = sys::adopt(fd)?;
    let socket = socket2::Socket::from(fd);
    socket.set_cloexec(true)?;
    if !socket.is_listener()? {
        let text = "an inherited socket does not listen: give listening sockets of streams";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_a_child_is_read_by_it() {
        let board = Board::new(1).expect("made");
        let words = Words::parse(&Charge::text((3, 4), 7, &board, &[vec![10, 11], vec![12]]))
            .expect("it is ours");
        let (parent, board) = (getpid().as_raw(), board.number());
        let sockets = vec![vec![10, 11], vec![12]];
        let expected = Words { parent, index: 3, count: 4, cpu: 7, board, sockets };
        assert_eq!(words, expected);
    }

    #[test]
    fn what_nobody_wrote_is_not_read() {
        for text in [
            "",
            "1:2:3:4:5",
            "1:2:3:4:5:",
            "1:2:3:4:5:6:7",
            "1:2:3:x:5:6",
            "1:2:3:4:5:6,",
            "1:3:3:4:5:6",
        ] {
            assert_eq!(Words::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_variable_that_is_meant_for_another_process_changes_nothing() {
        // No supervisor started this test, and systemd has not, either.
        assert!(Charge::take().expect("it can be read").is_none());
        assert!(from_systemd().expect("it can be read").is_empty());
    }
}
