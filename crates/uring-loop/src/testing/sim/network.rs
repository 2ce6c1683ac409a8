//! A network in memory, TCP and Unix: listeners, connections, half-close, reset. It knows neither
//! rings nor descriptors of its own, and is pure.
//!
//! It answers as Linux does (`net/ipv4/tcp.c`): what has arrived can be read even after a reset;
//! after a FIN a read says end of file whatever came later; a write to an end that is gone is
//! taken, and the next one fails; an end closed with bytes unread sends a reset. Where Unix sockets
//! answer otherwise it is said.

mod address;
mod datagram;
mod unix;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
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

    /// A listener at `address`; port 0 asks for any.
    pub(super) fn listen(&mut self, address: impl Into<Address>) -> Result<SocketId, Errno> {
        let mut address = address.into();
        if let Address::Inet(inet) = &mut address
            && inet.port() == 0
        {
            inet.set_port(self.port());
        }
        let taken = |socket: &Socket| match &socket.state {
            State::Listener(listener) => listener.local == address,
            _ => false,
        };
        let name = match &address {
            Address::Unix(name) if address.is_path() => Some(name.clone()),
            _ => None,
        };
        // Of a path it is the file that counts, not who once made it.
        let in_use = match &name {
            Some(name) => self.files.contains_key(name),
            None => self.sockets.values().any(taken),
        };
        if in_use {
            return Err(libc::EADDRINUSE);
        }
        let unix = address.is_unix();
        let queue = VecDeque::new();
        let id = self.insert(State::Listener(Listener { local: address, queue }), unix);
        self.files.extend(name.map(|name| (name, id)));
        Ok(id)
    }

    /// bind(2) of a socket that neither connects nor listens yet.
    pub(super) fn bind(&mut self, id: SocketId, mut address: SocketAddr) -> Result<(), Errno> {
        if address.port() == 0 {
            address.set_port(self.port());
        }
        let address = Address::Inet(address);
        let taken = self.sockets.values().any(|socket| match &socket.state {
            State::Listener(listener) => listener.local == address,
            _ => socket.bound.as_ref() == Some(&address),
        });
        let fresh = matches!(self.socket(id).state, State::Fresh);
        match (fresh && self.socket(id).bound.is_none(), taken) {
            (false, _) => Err(libc::EINVAL),
            (true, true) => Err(libc::EADDRINUSE),
            (true, false) => {
                self.socket_mut(id).bound = Some(address);
                Ok(())
            }
        }
    }

    /// listen(2); one that was not bound listens on any port.
    pub(super) fn start_listening(&mut self, id: SocketId) -> Result<(), Errno> {
        if !matches!(self.socket(id).state, State::Fresh) {
            return Err(libc::EINVAL);
        }
        let anywhere = || Address::Inet(([0, 0, 0, 0], 0).into());
        let local = match self.socket(id).bound.clone() {
            Some(bound) => bound,
            None => anywhere().facing(|| self.port()),
        };
        self.socket_mut(id).state = State::Listener(Listener { local, queue: VecDeque::new() });
        Ok(())
    }

    /// Connects to `address` will hang from now on, as behind a firewall that drops packets.
    pub(super) fn black_hole(&mut self, address: impl Into<Address>) {
        self.black_holes.insert(address.into());
    }

    fn listener_at(&self, address: &Address) -> Option<SocketId> {
        if address.is_path() {
            let id = *self.files.get(&address.unix_name())?;
            let socket = self.sockets.get(&id)?;
            return matches!(socket.state, State::Listener(_)).then_some(id);
        }
        let at = |socket: &Socket| match &socket.state {
            State::Listener(listener) => listener.local.hears(address),
            _ => false,
        };
        self.sockets.iter().find(|(_, socket)| at(socket)).map(|(id, _)| *id)
    }

    /// Marks a fresh socket as connecting: EISCONN or EALREADY if it is not fresh.
    pub(super) fn start_connecting(&mut self, id: SocketId) -> Result<(), Errno> {
        let socket = self.socket_mut(id);
        match socket.state {
            State::Fresh => socket.state = State::Connecting,
            State::Connecting => return Err(libc::EALREADY),
            State::Listener(_) | State::Stream(_) => return Err(libc::EISCONN),
            State::Datagrams(_) => return Err(libc::EOPNOTSUPP),
        }
        Ok(())
    }

    /// A connect came to nothing: the socket may be connected again.
    pub(super) fn stop_connecting(&mut self, id: SocketId) {
        let socket = self.socket_mut(id);
        if matches!(socket.state, State::Connecting) {
            socket.state = State::Fresh;
        }
    }

    /// Connects a socket to the listener at `address`.
    pub(super) fn connect(&mut self, id: SocketId, address: impl Into<Address>) -> Dial {
        let address = address.into();
        let answer = self.sound(&address);
        if answer == Dial::Established {
            let listener = self.listener_at(&address).expect("it answered");
            let bound = self.socket(id).bound.clone();
            let local = bound.unwrap_or_else(|| address.facing(|| self.port()));
            let there = Stream::new(address.clone(), local.clone(), id);
            let accepted = self.insert(State::Stream(there), address.is_unix());
            self.socket_mut(id).state = State::Stream(Stream::new(local, address, accepted));
            if let State::Listener(listener) = &mut self.socket_mut(listener).state {
                listener.queue.push_back(accepted);
            }
            self.wake(listener, true, false);
            self.wake(id, false, true);
        }
        answer
    }

    /// Takes a connection from a listener's queue: EAGAIN if there is none.
    pub(super) fn accept(&mut self, id: SocketId) -> Result<SocketId, Errno> {
        match &mut self.socket_mut(id).state {
            State::Listener(listener) => listener.queue.pop_front().ok_or(libc::EAGAIN),
            _ => Err(libc::EINVAL),
        }
    }

    /// A connection that came and left before anybody looked; for an accept that must yield one.
    pub(super) fn phantom(&mut self, listener: SocketId) -> Option<SocketId> {
        let State::Listener(Listener { local, .. }) = &self.socket(listener).state else {
            return None;
        };
        let (local, unix) = (local.clone(), self.socket(listener).unix);
        let client = if unix { self.create_unix() } else { self.create() };
        let remote = local.facing(|| self.port());
        let stream = Stream::new(local.clone(), remote.clone(), client);
        let accepted = self.insert(State::Stream(stream), unix);
        self.socket_mut(client).state = State::Stream(Stream::new(remote, local, accepted));
        self.close(client);
        Some(accepted)
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

    /// shutdown(2). A listener that is shut for reading stops listening.
    pub(super) fn shutdown(&mut self, id: SocketId, how: i32) -> Result<(), Errno> {
        let (read, write) = match how {
            libc::SHUT_RD => (true, false),
            libc::SHUT_WR => (false, true),
            libc::SHUT_RDWR => (true, true),
            _ => return Err(libc::EINVAL),
        };
        let unix = self.is_unix(id);
        match &mut self.socket_mut(id).state {
            State::Stream(stream) if !stream.dead => {
                stream.read_shut |= read;
                let fin = write && !std::mem::replace(&mut stream.write_shut, true);
                let other = stream.other;
                self.wake(id, true, true);
                self.fin(other.filter(|_| fin));
                // Who will not be read may not write: a Unix stream tells that at once.
                if let Some(stream) =
                    other.filter(|_| unix && read).and_then(|o| self.stream_mut(o))
                {
                    stream.write_shut = true;
                }
                Ok(())
            }
            State::Listener(_) if read => {
                self.drop_queue(id);
                self.socket_mut(id).state = State::Fresh;
                self.wake(id, true, true);
                Ok(())
            }
            State::Listener(_) => Ok(()),
            _ => Err(libc::ENOTCONN),
        }
    }

    fn fin(&mut self, other: Option<SocketId>) {
        let Some(other) = other else { return };
        if let Some(stream) = self.stream_mut(other) {
            stream.got_fin = true;
            self.wake(other, true, true);
        }
    }

    /// Sends a reset; this end is dead too.
    pub(super) fn reset(&mut self, id: SocketId) {
        let unix = self.sockets.get(&id).is_some_and(|socket| socket.unix);
        let Some(stream) = self.stream_mut(id) else { return };
        if unix {
            // There is no such thing, but for bytes that are left unread.
            stream.inbox.push_back(0);
            return self.close_unix_stream(id);
        }
        stream.dead = true;
        let other = stream.other;
        self.wake(id, true, true);
        let Some(other) = other else { return };
        if let Some(stream) = self.stream_mut(other) {
            stream.reset();
            self.wake(other, true, true);
        }
    }

    /// Somebody on the way sends a reset to both ends of a TCP connection.
    pub(super) fn break_connection(&mut self, id: SocketId) {
        if self.is_unix(id) {
            return;
        }
        let other = self.stream_mut(id).and_then(|stream| stream.other);
        for end in [Some(id), other].into_iter().flatten() {
            if let Some(stream) = self.stream_mut(end) {
                stream.reset();
                self.wake(end, true, true);
            }
        }
    }

    /// The last reference is gone.
    pub(super) fn close(&mut self, id: SocketId) {
        self.drop_queue(id);
        if self.is_unix(id) {
            self.close_unix_stream(id);
        } else if let Some(stream) = self.stream_mut(id) {
            let (unread, dead) = (!stream.inbox.is_empty(), stream.dead);
            let (fin_sent, other) = (stream.write_shut, stream.other);
            if unread && !dead {
                self.reset(id);
            } else if !dead && !fin_sent {
                self.fin(other);
            }
            if let Some(stream) = other.and_then(|other| self.stream_mut(other)) {
                stream.other = None;
            }
            if let Some(other) = other {
                self.wake(other, false, true);
            }
        }
        self.sockets.remove(&id);
    }

    /// Nobody will accept these any more.
    fn drop_queue(&mut self, id: SocketId) {
        let State::Listener(listener) = &mut self.socket_mut(id).state else { return };
        for waiting in std::mem::take(&mut listener.queue) {
            self.reset(waiting);
            self.close(waiting);
        }
    }
}
