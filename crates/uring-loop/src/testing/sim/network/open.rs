//! How connections begin: binding, listening, connecting, accepting.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{Address, Dial, Listener, Network, Socket, SocketId, State, Stream};
use crate::testing::sim::Errno;

impl Network {
    /// A listener at `address`; port 0 asks for any.
    pub(in crate::testing::sim) fn listen(
        &mut self,
        address: impl Into<Address>,
    ) -> Result<SocketId, Errno> {
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
    pub(in crate::testing::sim) fn bind(
        &mut self,
        id: SocketId,
        mut address: SocketAddr,
    ) -> Result<(), Errno> {
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
    pub(in crate::testing::sim) fn start_listening(&mut self, id: SocketId) -> Result<(), Errno> {
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
    pub(in crate::testing::sim) fn black_hole(&mut self, address: impl Into<Address>) {
        self.black_holes.insert(address.into());
    }

    pub(super) fn listener_at(&self, address: &Address) -> Option<SocketId> {
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
    pub(in crate::testing::sim) fn start_connecting(&mut self, id: SocketId) -> Result<(), Errno> {
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
    pub(in crate::testing::sim) fn stop_connecting(&mut self, id: SocketId) {
        let socket = self.socket_mut(id);
        if matches!(socket.state, State::Connecting) {
            socket.state = State::Fresh;
        }
    }

    /// Connects a socket to the listener at `address`.
    pub(in crate::testing::sim) fn connect(
        &mut self,
        id: SocketId,
        address: impl Into<Address>,
    ) -> Dial {
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
    pub(in crate::testing::sim) fn accept(&mut self, id: SocketId) -> Result<SocketId, Errno> {
        match &mut self.socket_mut(id).state {
            State::Listener(listener) => listener.queue.pop_front().ok_or(libc::EAGAIN),
            _ => Err(libc::EINVAL),
        }
    }

    /// A connection that came and left before anybody looked; for an accept that must yield one.
    pub(in crate::testing::sim) fn phantom(&mut self, listener: SocketId) -> Option<SocketId> {
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
}
