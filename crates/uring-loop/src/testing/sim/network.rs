//! A network in memory, TCP and Unix: listeners, connections, half-close, reset. It knows neither
//! rings nor descriptors of its own, and is pure.
//!
//! It answers as Linux does (`net/ipv4/tcp.c`): what has arrived can be read even after a reset;
//! after a FIN a read says end of file whatever came later; a write to an end that is gone is
//! taken, and the next one fails; an end closed with bytes unread sends a reset. Where Unix sockets
//! answer otherwise it is said.

mod address;
mod datagram;
mod end;
mod open;
mod unix;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;

use super::Errno;
pub(super) use address::Address;
use datagram::Datagrams;
pub(super) use datagram::Packet;
use unix::Travelling;

pub(super) type SocketId = u64;

/// The first port that is given to who asks for any (ip_local_port_range).
const FIRST_EPHEMERAL_PORT: u16 = 32768;

#[derive(Debug)]
pub(super) struct Network {
    sockets: BTreeMap<SocketId, Socket>,
    black_holes: BTreeSet<Address>,
    /// Paths that Unix sockets were bound to, with the number of the file.
    files: BTreeMap<Vec<u8>, u64>,
    next_id: SocketId,
    next_port: u16,
    send_buffer: usize,
    backlog: usize,
}

#[derive(Debug)]
struct Socket {
    state: State,
    /// Where it was bound before it connects or listens.
    bound: Option<Address>,
    unix: bool,
    wakes: Wakes,
}

#[derive(Debug)]
enum State {
    Fresh,
    Connecting,
    Listener(Listener),
    Stream(Stream),
    Datagrams(Datagrams),
}

#[derive(Debug)]
struct Listener {
    local: Address,
    queue: VecDeque<SocketId>,
}

/// One end of a connection.
#[derive(Debug)]
struct Stream {
    local: Address,
    remote: Address,
    /// The other end, until it is gone.
    other: Option<SocketId>,
    inbox: VecDeque<u8>,
    travelling: Travelling,
    /// The other end will send no more.
    got_fin: bool,
    read_shut: bool,
    write_shut: bool,
    /// To be reported once (`sk_err`).
    error: Option<Errno>,
    /// Reset: nothing goes either way any more.
    dead: bool,
}

/// How often a socket has been woken for reading and for writing; what a multishot poll counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wakes {
    pub(super) input: u64,
    pub(super) output: u64,
}

/// What came of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    Established,
    Refused,
    /// There is no file of this name (ENOENT).
    Missing,
    /// No answer: the backlog is full, or nobody is there to say no.
    Silence,
}

/// What a socket is, for tests that look for leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketKind {
    Unconnected,
    Listener,
    Stream,
    Datagrams,
}

impl Stream {
    fn new(local: Address, remote: Address, other: SocketId) -> Self {
        Stream {
            local,
            remote,
            other: Some(other),
            inbox: VecDeque::new(),
            travelling: Travelling::default(),
            got_fin: false,
            read_shut: false,
            write_shut: false,
            error: None,
            dead: false,
        }
    }

    fn readable(&self) -> bool {
        !self.inbox.is_empty()
            || self.got_fin
            || self.read_shut
            || self.dead
            || self.error.is_some()
    }

    /// A reset has arrived, or an answer to bytes sent to nobody.
    fn reset(&mut self) {
        if self.dead {
            return;
        }
        self.dead = true;
        self.error = Some(if self.got_fin { libc::EPIPE } else { libc::ECONNRESET });
    }
}

impl Network {
    pub(super) fn new(send_buffer: usize, backlog: usize) -> Self {
        Network {
            sockets: BTreeMap::new(),
            black_holes: BTreeSet::new(),
            files: BTreeMap::new(),
            next_id: 1,
            next_port: FIRST_EPHEMERAL_PORT,
            send_buffer,
            backlog,
        }
    }

    fn insert(&mut self, state: State, unix: bool) -> SocketId {
        let id = self.next_id;
        self.next_id += 1;
        self.sockets.insert(id, Socket { state, bound: None, unix, wakes: Wakes::default() });
        id
    }

    fn socket(&self, id: SocketId) -> &Socket {
        self.sockets.get(&id).expect("a socket lives as long as something refers to it")
    }

    fn socket_mut(&mut self, id: SocketId) -> &mut Socket {
        self.sockets.get_mut(&id).expect("a socket lives as long as something refers to it")
    }

    fn stream_mut(&mut self, id: SocketId) -> Option<&mut Stream> {
        match &mut self.sockets.get_mut(&id)?.state {
            State::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    fn wake(&mut self, id: SocketId, input: bool, output: bool) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.wakes.input += u64::from(input);
            socket.wakes.output += u64::from(output);
        }
    }

    fn port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
        port
    }

    pub(super) fn create(&mut self) -> SocketId {
        self.insert(State::Fresh, false)
    }

    pub(super) fn create_unix(&mut self) -> SocketId {
        self.insert(State::Fresh, true)
    }

    /// Sends what fits and answers how much that was: EAGAIN if nothing does. `forced` bytes fit
    /// always.
    pub(super) fn send(
        &mut self,
        id: SocketId,
        bytes: &[u8],
        forced: bool,
    ) -> Result<usize, Errno> {
        let (room, unix) = (self.send_room(id), self.is_unix(id));
        let State::Stream(stream) = &mut self.socket_mut(id).state else {
            return Err(if unix { libc::ENOTCONN } else { libc::EPIPE });
        };
        // A Unix stream leaves the error to who reads.
        if !unix && let Some(error) = stream.error.take() {
            return Err(error);
        }
        if stream.write_shut || stream.dead {
            return Err(libc::EPIPE);
        }
        let Some(other) = stream.other else {
            stream.reset();
            self.wake(id, true, true);
            return Ok(bytes.len());
        };
        let count = if forced { bytes.len() } else { bytes.len().min(room) };
        if count == 0 && !bytes.is_empty() {
            return Err(libc::EAGAIN);
        }
        let target = self.stream_mut(other).expect("the other end is a stream while it lives");
        target.inbox.extend(&bytes[..count]);
        self.wake(other, count > 0, false);
        Ok(count)
    }

    fn send_room(&self, id: SocketId) -> usize {
        let State::Stream(Stream { other: Some(other), .. }) = self.socket(id).state else {
            return usize::MAX;
        };
        match &self.socket(other).state {
            State::Stream(stream) => self.send_buffer.saturating_sub(stream.inbox.len()),
            _ => usize::MAX,
        }
    }

    /// Takes up to `most` bytes that have arrived (or looks at them): none is the end of the
    /// stream, EAGAIN is "not yet".
    pub(super) fn receive(
        &mut self,
        id: SocketId,
        most: usize,
        peek: bool,
    ) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
        let unix = self.is_unix(id);
        let stream = match &mut self.socket_mut(id).state {
            State::Stream(stream) => stream,
            State::Connecting => return Err(libc::EAGAIN),
            State::Fresh | State::Listener(_) if unix => return Err(libc::EINVAL),
            _ => return Err(libc::ENOTCONN),
        };
        let nothing = (Vec::new(), Vec::new());
        if !stream.inbox.is_empty() {
            let count = stream.travelling.most(most.min(stream.inbox.len()));
            if peek {
                return Ok((stream.inbox.iter().take(count).copied().collect(), Vec::new()));
            }
            let bytes = stream.inbox.drain(..count).collect();
            let descriptors = stream.travelling.take(count);
            if let Some(other) = stream.other {
                self.wake(other, false, count > 0);
            }
            return Ok((bytes, descriptors));
        }
        // A Unix stream tells the error first.
        if stream.got_fin && !(unix && stream.error.is_some()) {
            return Ok(nothing);
        }
        if let Some(error) = stream.error.take() {
            return Err(error);
        }
        if stream.read_shut || stream.dead { Ok(nothing) } else { Err(libc::EAGAIN) }
    }
}
