//! Looking at the network without changing it: what is ready, what poll(2) would tell, addresses.

use super::{Address, Dial, Network, SocketId, SocketKind, State, Stream, Wakes};

impl Network {
    /// What a connect to `address` would come to now.
    pub(in crate::testing::sim) fn sound(&self, address: &Address) -> Dial {
        if self.black_holes.contains(address) {
            return Dial::Silence;
        }
        let Some(id) = self.listener_at(address) else {
            let missing = match address {
                Address::Unix(name) => address.is_path() && !self.files.contains_key(name),
                Address::Inet(_) => false,
            };
            return if missing { Dial::Missing } else { Dial::Refused };
        };
        match &self.socket(id).state {
            State::Listener(listener) if listener.queue.len() >= self.backlog => Dial::Silence,
            _ => Dial::Established,
        }
    }

    pub(in crate::testing::sim) fn has_unread(&self, id: SocketId) -> bool {
        match &self.socket(id).state {
            State::Stream(stream) => !stream.inbox.is_empty(),
            State::Listener(listener) => !listener.queue.is_empty(),
            State::Datagrams(datagrams) => datagrams.readable(),
            _ => false,
        }
    }

    /// Whether a receive would come to something, be it an error.
    pub(in crate::testing::sim) fn readable(&self, id: SocketId) -> bool {
        match &self.socket(id).state {
            State::Stream(stream) => stream.readable(),
            State::Datagrams(datagrams) => datagrams.readable(),
            State::Connecting => false,
            State::Fresh | State::Listener(_) => true,
        }
    }

    /// Whether an accept would come to something, be it an error.
    pub(in crate::testing::sim) fn acceptable(&self, id: SocketId) -> bool {
        match &self.socket(id).state {
            State::Listener(listener) => !listener.queue.is_empty(),
            _ => true,
        }
    }

    /// Whether a send would come to something, be it an error.
    pub(in crate::testing::sim) fn writable(&self, id: SocketId) -> bool {
        match &self.socket(id).state {
            State::Stream(stream) => {
                stream.write_shut || stream.dead || stream.error.is_some() || self.send_room(id) > 0
            }
            State::Connecting => false,
            State::Fresh | State::Listener(_) | State::Datagrams(_) => true,
        }
    }

    /// The events that poll(2) would tell of (`tcp_poll`).
    pub(in crate::testing::sim) fn events(&self, id: SocketId) -> u32 {
        const INPUT: i16 = libc::POLLIN | libc::POLLRDNORM;
        const OUTPUT: i16 = libc::POLLOUT | libc::POLLWRNORM;
        let mut events = 0;
        match &self.socket(id).state {
            State::Fresh => events |= OUTPUT | libc::POLLHUP,
            State::Connecting => {}
            State::Listener(listener) if listener.queue.is_empty() => {}
            State::Listener(_) => events |= INPUT,
            State::Datagrams(datagrams) => {
                let error = if datagrams.error.is_some() { libc::POLLERR } else { 0 };
                let input = if datagrams.readable() { INPUT } else { 0 };
                events |= input | OUTPUT | error;
            }
            State::Stream(stream) => {
                let reading_over = stream.got_fin || stream.read_shut || stream.dead;
                let writing_over = stream.write_shut || stream.dead;
                let flags = [
                    (stream.readable(), INPUT),
                    (self.writable(id), OUTPUT),
                    (reading_over, libc::POLLRDHUP),
                    (reading_over && writing_over, libc::POLLHUP),
                    (stream.error.is_some(), libc::POLLERR),
                ];
                events |= flags.iter().filter(|(on, _)| *on).fold(0, |all, (_, bits)| all | bits);
            }
        }
        events as u32
    }

    pub(in crate::testing::sim) fn wakes(&self, id: SocketId) -> Wakes {
        self.socket(id).wakes
    }

    pub(in crate::testing::sim) fn local(&self, id: SocketId) -> Option<Address> {
        match &self.socket(id).state {
            State::Stream(stream) => Some(stream.local.clone()),
            State::Listener(listener) => Some(listener.local.clone()),
            State::Datagrams(datagrams) if datagrams.local.is_some() => datagrams.local.clone(),
            _ if self.socket(id).bound.is_some() => self.socket(id).bound.clone(),
            _ if self.socket(id).unix => Some(Address::Unix(Vec::new())),
            _ => None,
        }
    }

    pub(in crate::testing::sim) fn remote(&self, id: SocketId) -> Option<Address> {
        match &self.socket(id).state {
            State::Stream(stream) => Some(stream.remote.clone()),
            State::Datagrams(datagrams) => datagrams.peer.clone(),
            _ => None,
        }
    }

    pub(in crate::testing::sim) fn kind(&self, id: SocketId) -> SocketKind {
        match &self.socket(id).state {
            State::Fresh | State::Connecting => SocketKind::Unconnected,
            State::Listener(_) => SocketKind::Listener,
            State::Stream(_) => SocketKind::Stream,
            State::Datagrams(_) => SocketKind::Datagrams,
        }
    }

    /// Whether the other end has said that it sends no more, or has reset the connection.
    pub(in crate::testing::sim) fn ended(&self, id: SocketId) -> bool {
        match &self.socket(id).state {
            State::Stream(stream) => stream.inbox.is_empty() && (stream.got_fin || stream.dead),
            _ => true,
        }
    }

    /// Whether a reset has killed the connection.
    pub(in crate::testing::sim) fn was_reset(&self, id: SocketId) -> bool {
        matches!(&self.socket(id).state, State::Stream(Stream { dead: true, .. }))
    }
}
