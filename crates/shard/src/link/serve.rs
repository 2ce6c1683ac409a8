//! The task that serves a link: takes in, sends out, sleeps, and reads the socket.
//!
//! The socket carries bytes that ring ([`RINGS`]); connections: [`CARRIES`], a length, where it
//! came from (postcard), and the descriptor with it; and, when one side wants no more connections
//! of a listener, [`LEAVES`] and its number, which the other side answers with [`HEARS`] and that
//! number: nothing of that listener follows it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use uring_loop::net::UnixStream;
use uring_loop::{race, yield_now};

use super::frame::{Inbox, Kind, Message, Step};
use super::{Carried, Host, Link, Reply, Running};
use crate::calls::Outcome;
use crate::mesh;
use crate::sys::futex;
use crate::sys::memory::Memory;
use crate::wire::{BY_FUTEX, BY_SOCKET, Consumer, Lie};

/// How many frames are taken before others have their turn.
const BATCH: usize = 128;
/// How often in a row one may be woken for nothing. Once is well possible: the ring for what was
/// taken already.
const MOST_IDLE: u32 = 1000;

const RINGS: u8 = 1;
const CARRIES: u8 = 2;
const LEAVES: u8 = 3;
const HEARS: u8 = 4;
/// The longest address: its kind, 16 bytes, and numbers of up to 5.
const MOST_ADDRESS: usize = 40;
/// Descriptors that are taken at a time.
const MOST_FDS: usize = 16;

/// Why a link is over.
#[derive(Debug)]
pub(crate) enum End {
    /// The other process is gone.
    Gone,
    /// It has written what cannot be.
    Lied(&'static str),
    Failed(io::Error),
}

impl From<Lie> for End {
    fn from(Lie(what): Lie) -> Self {
        End::Lied(what)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Failed(error)
    }
}

/// Serves a link until it is over. Dropped, it ends the link too.
pub(crate) async fn serve(link: Rc<Link>, consumer: Consumer<Rc<Memory>>, host: Host) -> End {
    struct Ends<'a>(&'a Link);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.end();
        }
    }
    let _ends = Ends(&link);
    let three = (receive(&link, consumer, &host), send(&link), listen(&link, &host));
    let Err(end) = race(three).await;
    end
}

/// Takes in what comes by the ring.
async fn receive(
    link: &Rc<Link>,
    mut consumer: Consumer<Rc<Memory>>,
    host: &Host,
) -> Result<std::convert::Infallible, End> {
    let own = link.bell.place(true);
    let how = match host.woken {
        Some(how) => how,
        None if futex::is_there(link.memory.clone(), own).await => BY_FUTEX,
        None => BY_SOCKET,
    };
    let (mut inbox, mut idle) = (Inbox::default(), 0);
    loop {
        let frames = take_in(link, &mut inbox, &mut consumer, host)?;
        let unblocked = unblock(link)?;
        if frames > 0 || unblocked {
            idle = 0;
            // What was started has its turn first; then there may be more.
            yield_now().await;
            continue;
        }
        link.rung.clear();
        let look = || Ok(!consumer.is_empty()? || can_go_on(link)?);
        if !link.bell.arm_unless(how, look)? {
            continue;
        }
        match how {
            BY_FUTEX => futex::wait(link.memory.clone(), own).await?,
            _ => link.rung.wait().await,
        }
        link.bell.disarm();
        idle += 1;
        if idle > MOST_IDLE {
            return Err(End::Lied("a bell that rings for nothing, again and again"));
        }
    }
}

/// Takes a batch of frames, and handles the messages in them; how many frames.
fn take_in(
    link: &Rc<Link>,
    inbox: &mut Inbox,
    consumer: &mut Consumer<Rc<Memory>>,
    host: &Host,
) -> Result<usize, Lie> {
    let mut messages = Vec::new();
    let mut frames = 0;
    while frames < BATCH {
        match inbox.take(consumer)? {
            Step::Empty => break,
            Step::Part => {}
            Step::Whole(message) => messages.push(message),
        }
        frames += 1;
    }
    if frames > 0 && consumer.give_back() {
        link.ring();
    }
    messages.into_iter().try_for_each(|message| handle(link, message, host))?;
    Ok(frames)
}

/// Whether something that waits for room could go out.
fn can_go_on(link: &Link) -> Result<bool, Lie> {
    let out = &mut *link.out.borrow_mut();
    Ok(out.outbox.blocked && out.outbox.has_room(&mut out.producer)?)
}

fn unblock(link: &Link) -> Result<bool, Lie> {
    let can = can_go_on(link)?;
    if can {
        link.poked.set();
    }
    Ok(can)
}

fn handle(link: &Rc<Link>, message: Message, host: &Host) -> Result<(), Lie> {
    let Message { kind, call, bytes } = message;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let outcome = match kind {
        Kind::Call => return begin(link, call, &bytes, host),
        Kind::Cancel => {
            // One that was answered meanwhile is not found.
            let running = link.running.borrow();
            let task = match running.get(call as usize) {
                Some(Running::Yes(Some(task))) => Some(task.clone()),
                _ => None,
            };
            drop(running);
            if let Some(task) = task {
                task.cancel();
            }
            return Ok(());
        }
        Kind::Done => Outcome::Value(Box::new(bytes)),
        Kind::Panicked => Outcome::Panicked(text(&bytes).into()),
        Kind::Refused => Outcome::Refused(text(&bytes).into()),
        Kind::Stopped => Outcome::Stopped,
    };
    link.calls.finish(call, outcome);
    Ok(())
}

/// Starts a call of theirs as a task that answers.
fn begin(link: &Rc<Link>, call: u32, bytes: &[u8], host: &Host) -> Result<(), Lie> {
    let (function, request) = bytes.split_first_chunk().ok_or(Lie("a call of no function"))?;
    match link.running.borrow_mut().get_mut(call as usize) {
        Some(running @ Running::No) => *running = Running::Yes(None),
        _ => return Err(Lie("a call with the number of another")),
    }
    let reply = Reply { link: Some(link.clone()), call };
    let work = host.functions.run(u64::from_le_bytes(*function), request);
    let task = uring_loop::spawn(async move {
        match mesh::outcome(work).await {
            Ok(Ok(bytes)) => reply.answer(Kind::Done, bytes),
            Ok(Err(refused)) => reply.answer(Kind::Refused, refused.into_bytes()),
            Err(panicked) => reply.answer(Kind::Panicked, panicked.into_bytes()),
        }
    });
    // A loop that starts tasks at once may have run it to its end.
    if let Some(Running::Yes(place)) = link.running.borrow_mut().get_mut(call as usize) {
        *place = Some(task.task_ref());
    }
    Ok(())
}

/// Sends what is posted, all that has come together at once.
async fn send(link: &Rc<Link>) -> Result<std::convert::Infallible, End> {
    loop {
        link.poked.wait().await;
        link.poked.clear();
        let wrote = {
            let out = &mut *link.out.borrow_mut();
            out.outbox.flush(&mut out.producer)?
        };
        if wrote {
            link.ring();
        }
        yield_now().await;
    }
}

/// Reads the socket: its end is that of the other process.
async fn listen(link: &Rc<Link>, host: &Host) -> Result<std::convert::Infallible, End> {
    let own = OwnedFd::from(link.socket.try_clone()?);
    let mut stream = UnixStream::from_owned_fd(own);
    let (mut bytes, mut fds) = (Vec::new(), VecDeque::new());
    loop {
        let (received, buffer) = stream.recv_with_fds(Vec::with_capacity(256), MOST_FDS).await;
        let received = match received {
            Ok(received) if received.count > 0 => received,
            // A reset is an end too: it has died with something unread.
            _ => return Err(End::Gone),
        };
        bytes.extend_from_slice(&buffer);
        fds.extend(received.fds);
        take_connections(link, &mut bytes, &mut fds, received.truncated, host)?;
        if fds.len() > MOST_FDS {
            return Err(End::Lied("descriptors that belong to nothing"));
        }
    }
}

/// Takes from the socket's bytes what is whole.
fn take_connections(
    link: &Link,
    bytes: &mut Vec<u8>,
    fds: &mut VecDeque<OwnedFd>,
    truncated: bool,
    host: &Host,
) -> Result<(), End> {
    let mut rest = &bytes[..];
    loop {
        match *rest {
            [RINGS, ref more @ ..] => {
                link.rung.set();
                rest = more;
            }
            [CARRIES, length, ref more @ ..] if usize::from(length) <= MOST_ADDRESS => {
                let Some((address, more)) = more.split_at_checked(usize::from(length)) else {
                    break;
                };
                let carried = super::decode::<Carried>(address);
                let carried = carried.map_err(|_| End::Lied("a connection without an address"))?;
                link.taken.set(link.taken.get() + 1);
                match fds.pop_front() {
                    Some(fd) => (host.take)(carried, fd),
                    // Our table of descriptors is full, and the kernel has closed it.
                    None if truncated => {}
                    None => return Err(End::Lied("a connection without a descriptor")),
                }
                rest = more;
            }
            [LEAVES, listener, ref more @ ..] => {
                let bits = link.closed.get() | super::bit(u16::from(listener));
                link.closed.set(bits);
                send_bytes(&link.socket, &[HEARS, listener], &[])?;
                rest = more;
            }
            [HEARS, listener, ref more @ ..] => {
                link.heard.set(link.heard.get() | super::bit(u16::from(listener)));
                link.hears.set();
                rest = more;
            }
            [] | [CARRIES | LEAVES | HEARS] => break,
            _ => return Err(End::Lied("bytes in the socket that mean nothing")),
        }
    }
    let left = rest.len();
    bytes.drain(..bytes.len() - left);
    Ok(())
}

/// Rings by the socket. One that is full rings already.
pub(super) fn send_bell(socket: &StdUnixStream) {
    let _ = send_bytes(socket, &[RINGS], &[]);
}

pub(super) fn send_leave(socket: &StdUnixStream, listener: u16) -> io::Result<()> {
    send_bytes(socket, &[LEAVES, listener as u8], &[])
}

pub(super) fn send_connection(
    socket: &StdUnixStream,
    connection: BorrowedFd<'_>,
    carried: Carried,
) -> io::Result<()> {
    let address = super::encode(&carried).map_err(io::Error::other)?;
    let bytes = [&[CARRIES, address.len() as u8], &address[..]].concat();
    send_bytes(socket, &bytes, &[connection.as_raw_fd()])
}

/// Sends bytes, and descriptors with them. So few go whole or not at all.
fn send_bytes(socket: &StdUnixStream, bytes: &[u8], fds: &[RawFd]) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(fds)];
    let control = if fds.is_empty() { &[][..] } else { &rights };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &[io::IoSlice::new(bytes)], control, flags, None)?;
    Ok(())
}
