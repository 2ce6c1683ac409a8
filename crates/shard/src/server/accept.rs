//! Accepting, and what to do when that fails.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use uring_loop::io::wait_readable;
use uring_loop::time::sleep;
use uring_loop::yield_now;

use super::hub::Hub;

/// The pauses when descriptors or memory are short. They come back when connections end; asking at
/// once would find none again, and again.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);
/// Accepts in a row before others have their turn.
const BUDGET: u32 = 32;

/// What an error of accept(2) means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// Nobody is there.
    Empty,
    /// That connection is gone; the next may be well. (accept(2) lists those that are errors of the
    /// network.)
    Next,
    /// Something is short.
    Short,
    /// The socket is of no use.
    Fatal,
}

fn meaning(error: &io::Error) -> Meaning {
    use Errno::*;
    match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
        EAGAIN => Meaning::Empty,
        EINTR | ECONNABORTED | EPERM | EPROTO | ENETDOWN | ENOPROTOOPT | EHOSTDOWN | ENONET
        | EHOSTUNREACH | EOPNOTSUPP | ENETUNREACH | ETIMEDOUT => Meaning::Next,
        EMFILE | ENFILE | ENOBUFS | ENOMEM if mutant!("want-is-fatal") => Meaning::Fatal,
        EMFILE | ENFILE | ENOBUFS | ENOMEM => Meaning::Short,
        _ => Meaning::Fatal,
    }
}

/// Accepts on one socket until the server drains, and tells the hub of a failure.
pub(super) async fn run(hub: Rc<Hub>, socket: Arc<TcpListener>) {
    let Ok(_pass) = hub.accepting.enter() else { return };
    if let Err(error) = accept(&hub, socket).await {
        hub.failure.borrow_mut().get_or_insert(error);
        hub.failed.set();
    }
}

/// Accepts on one socket until the server drains. Connections come one by one, by accept4(2) after
/// a poll: a multishot accept would take more than there is room for, and when it is cancelled, may
/// have taken one that nobody hears of.
async fn accept(hub: &Rc<Hub>, socket: Arc<TcpListener>) -> io::Result<()> {
    let (mut pause, mut row) = (FIRST, 0);
    loop {
        let Some(()) = unless_draining(hub, hub.wait_for_room()).await else { return Ok(()) };
        let error = match socket.accept() {
            Ok((stream, peer)) => {
                pause = FIRST;
                hub.place(stream.into(), peer).await;
                row += 1;
                if row == BUDGET {
                    row = 0;
                    yield_now().await;
                }
                continue;
            }
            Err(error) => error,
        };
        row = 0;
        match meaning(&error) {
            Meaning::Empty => match unless_draining(hub, wait_readable(socket.clone())).await {
                None => return Ok(()),
                Some(polled) => polled?,
            },
            Meaning::Next => {}
            Meaning::Short => {
                if pause == FIRST {
                    tracing::warn!(target: "shard", "accepting connections: {error}; it is tried \
                        again after pauses. If descriptors are short, raise the limit (ulimit -n) \
                        or lower Server::limit");
                }
                let Some(()) = unless_draining(hub, sleep(pause)).await else { return Ok(()) };
                pause = (pause * 2).min(LONGEST);
            }
            Meaning::Fatal => {
                let text = format!("accepting connections: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
}

/// Takes what waits in a socket that nobody will accept on any more: closing it would reset them.
pub(super) async fn sweep(hub: &Rc<Hub>, socket: &TcpListener) {
    while let Ok((stream, peer)) = socket.accept() {
        hub.place(stream.into(), peer).await;
    }
}

/// `None`: the server drains.
async fn unless_draining<T>(hub: &Rc<Hub>, future: impl Future<Output = T>) -> Option<T> {
    let draining = async {
        hub.draining.wait().await;
        None
    };
    if hub.draining.is_set() {
        return None;
    }
    uring_loop::race((async { Some(future.await) }, draining)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_accept_have_their_meanings() {
        let of = |errno: Errno| meaning(&errno.into());
        assert_eq!(of(Errno::EAGAIN), Meaning::Empty);
        assert_eq!(of(Errno::ECONNABORTED), Meaning::Next);
        assert_eq!(of(Errno::EMFILE), Meaning::Short);
        assert_eq!(of(Errno::EBADF), Meaning::Fatal);
        assert_eq!(of(Errno::EINVAL), Meaning::Fatal);
        assert_eq!(meaning(&io::Error::other("no errno")), Meaning::Fatal);
    }
}
