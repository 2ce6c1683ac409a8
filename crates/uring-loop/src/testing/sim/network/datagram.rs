//! Datagrams, UDP and Unix: each arrives whole, with its sender, or not at all.

use std::collections::VecDeque;

use super::super::Errno;
use super::{Address, Network, SocketId, State};

/// The longest payload of UDP over IPv4.
const LONGEST: usize = 65_507;
/// Pieces that one send may be cut into (`UDP_MAX_SEGMENTS`).
const MOST_SEGMENTS: usize = 128;

/// A socket for datagrams.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    pub(super) local: Option<Address>,
    pub(super) peer: Option<Address>,
    inbox: VecDeque<Packet>,
    /// To be reported once: nobody listens where it is connected to.
    pub(super) error: Option<Errno>,
}

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::testing::sim) struct Packet {
    pub(in crate::testing::sim) from: Address,
    pub(in crate::testing::sim) bytes: Vec<u8>,
}

impl Datagrams {
    pub(super) fn readable(&self) -> bool {
        !self.inbox.is_empty() || self.error.is_some()
    }
}

impl Network {
    pub(in crate::testing::sim) fn create_datagrams(&mut self, unix: bool) -> SocketId {
        self.insert(State::Datagrams(Datagrams::default()), unix)
    }

    fn datagrams(&mut self, id: SocketId) -> Result<&mut Datagrams, Errno> {
        match &mut self.socket_mut(id).state {
            State::Datagrams(datagrams) => Ok(datagrams),
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    pub(in crate::testing::sim) fn is_for_datagrams(&self, id: SocketId) -> bool {
        matches!(self.socket(id).state, State::Datagrams(_))
    }

    /// bind(2) of a socket for datagrams; port 0 asks for any.
    pub(in crate::testing::sim) fn bind_datagrams(
        &mut self,
        id: SocketId,
        mut address: Address,
    ) -> Result<(), Errno> {
        if let Address::Inet(inet) = &mut address
            && inet.port() == 0
        {
            inet.set_port(self.port());
        }
        let file = address.is_path().then(|| address.unix_name());
        let in_use = match &file {
            Some(name) => self.files.contains_key(name),
            None => self.bound_to(&address).is_some(),
        };
        if in_use {
            return Err(libc::EADDRINUSE);
        }
        self.files.extend(file.map(|name| (name, id)));
        self.datagrams(id)?.local = Some(address);
        Ok(())
    }

    fn bound_to(&self, address: &Address) -> Option<SocketId> {
        if address.is_path() {
            let id = *self.files.get(&address.unix_name())?;
            let socket = self.sockets.get(&id)?;
            return matches!(socket.state, State::Datagrams(_)).then_some(id);
        }
        let at = |state: &State| match state {
            State::Datagrams(Datagrams { local: Some(local), .. }) => local.hears(address),
            _ => false,
        };
        self.sockets.iter().find(|(_, socket)| at(&socket.state)).map(|(id, _)| *id)
    }

    /// Who is at a Unix address: ENOENT or ECONNREFUSED if nobody.
    fn unix_receiver(&self, address: &Address) -> Result<SocketId, Errno> {
        self.bound_to(address).ok_or_else(|| {
            let missing = address.is_path() && !self.files.contains_key(&address.unix_name());
            if missing { libc::ENOENT } else { libc::ECONNREFUSED }
        })
    }

    /// connect(2): from now on only to and from there.
    pub(in crate::testing::sim) fn connect_datagrams(
        &mut self,
        id: SocketId,
        address: Address,
    ) -> Result<(), Errno> {
        if address.is_unix() {
            self.unix_receiver(&address)?;
        } else {
            self.name_sender(id, &address)?;
        }
        self.datagrams(id)?.peer = Some(address);
        Ok(())
    }

    /// Two sockets for datagrams that are connected to each other: by names that nobody else has.
    pub(in crate::testing::sim) fn datagram_pair(&mut self) -> [SocketId; 2] {
        let ids = [self.create_datagrams(true), self.create_datagrams(true)];
        let names = ids.map(|id| Address::Unix(format!("\0\0{id}").into_bytes()));
        for (id, [own, other]) in ids.into_iter().zip([[0, 1], [1, 0]]) {
            if let Ok(datagrams) = self.datagrams(id) {
                datagrams.local = Some(names[own].clone());
                datagrams.peer = Some(names[other].clone());
            }
        }
        ids
    }

    /// A UDP socket that sends has a name, if it had none.
    fn name_sender(&mut self, id: SocketId, to: &Address) -> Result<(), Errno> {
        let facing = to.facing(|| self.port());
        let unix = self.is_unix(id);
        let datagrams = self.datagrams(id)?;
        if datagrams.local.is_none() && !unix {
            datagrams.local = Some(facing);
        }
        Ok(())
    }

    /// Sends one datagram, or several of `segment` bytes, and answers how many bytes that was.
    pub(in crate::testing::sim) fn send_datagram(
        &mut self,
        id: SocketId,
        to: Option<Address>,
        bytes: &[u8],
        segment: Option<usize>,
    ) -> Result<usize, Errno> {
        let unix = self.is_unix(id);
        let datagrams = self.datagrams(id)?;
        if let Some(error) = datagrams.error.take() {
            return Err(error);
        }
        let connected = to.is_none();
        let missing = if unix { libc::ENOTCONN } else { libc::EDESTADDRREQ };
        let to = to.or_else(|| datagrams.peer.clone()).ok_or(missing)?;
        let size = segment.unwrap_or(usize::MAX);
        if !unix && bytes.len() > LONGEST {
            return Err(libc::EMSGSIZE);
        }
        if size == 0 || bytes.len().div_ceil(size) > MOST_SEGMENTS {
            return Err(libc::EINVAL);
        }
        self.name_sender(id, &to)?;
        let from = self.datagrams(id)?.local.clone().unwrap_or(Address::Unix(Vec::new()));
        let receiver = if unix { Some(self.unix_receiver(&to)?) } else { self.bound_to(&to) };
        match receiver {
            Some(receiver) if bytes.is_empty() => self.deliver(receiver, &from, bytes),
            Some(receiver) => {
                bytes.chunks(size).for_each(|part| self.deliver(receiver, &from, part))
            }
            None if connected => self.datagrams(id)?.error = Some(libc::ECONNREFUSED),
            None => {}
        }
        self.wake(id, true, true);
        Ok(bytes.len())
    }

    /// A datagram reaches its socket; one of UDP that finds no room, or comes from elsewhere than
    /// the socket is connected to, is dropped.
    fn deliver(&mut self, receiver: SocketId, from: &Address, bytes: &[u8]) {
        let (room, unix) = (self.send_buffer, self.is_unix(receiver));
        let Ok(datagrams) = self.datagrams(receiver) else { return };
        let queued: usize = datagrams.inbox.iter().map(|packet| packet.bytes.len()).sum();
        let foreign = datagrams.peer.as_ref().is_some_and(|peer| peer != from);
        if foreign || (!unix && queued + bytes.len() > room) {
            return;
        }
        datagrams.inbox.push_back(Packet { from: from.clone(), bytes: bytes.to_vec() });
        self.wake(receiver, true, false);
    }

    /// Takes the oldest datagram (or looks at it): EAGAIN if there is none.
    pub(in crate::testing::sim) fn receive_datagram(
        &mut self,
        id: SocketId,
        peek: bool,
    ) -> Result<Packet, Errno> {
        let datagrams = self.datagrams(id)?;
        if let Some(error) = datagrams.error.take() {
            return Err(error);
        }
        let packet = match peek {
            true => datagrams.inbox.front().cloned(),
            false => datagrams.inbox.pop_front(),
        };
        packet.ok_or(libc::EAGAIN)
    }
}
