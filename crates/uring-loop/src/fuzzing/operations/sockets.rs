//! What a program does with connections, datagrams and pipes, and what the other ends do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;

use super::super::bytes::Bytes;
use super::flow::Flow;
use super::{Errors, Shared, in_time};
use crate::buf::RecvBuf;
use crate::net::{RecvHalf, SendHalf, TcpListener, TcpStream, UdpSocket};
use crate::pipe::{PipeReader, PipeWriter, pipe};
use crate::testing::{Peer, PeerListener, PeerUdp, SimHandle};

/// Connections, and pipes, of one program.
const MOST: usize = 4;

type Work = Pin<Box<dyn Future<Output = ()>>>;
type Streams = Rc<RefCell<Vec<TcpStream>>>;
type Lent = Rc<RefCell<Vec<RecvBuf>>>;

/// A connection of the program, and its other end.
struct Connection {
    peer: Option<Peer>,
    inward: Rc<Flow>,
    outward: Rc<Flow>,
    reader: Shared<RecvHalf<Rc<TcpStream>>>,
    writer: Shared<SendHalf<Rc<TcpStream>>>,
}

struct Pipe {
    flow: Rc<Flow>,
    reader: Shared<PipeReader>,
    writer: Shared<PipeWriter>,
}

struct Datagrams {
    peer: PeerUdp,
    socket: Shared<UdpSocket>,
    address: SocketAddr,
    /// Those that were sent and have not come, by number, with their length.
    sent: Rc<RefCell<BTreeMap<u8, usize>>>,
    next: u8,
}

pub(super) struct Sockets {
    sim: SimHandle,
    errors: Errors,
    listener: Option<Rc<TcpListener>>,
    address: SocketAddr,
    outside: PeerListener,
    /// Ends outside that have connected, and that the program has not accepted yet.
    peers: Vec<Peer>,
    /// Those that the program has connected to, or was about to.
    dialed: Vec<Peer>,
    /// Accepted or connected, and not looked at yet.
    fresh: Streams,
    connections: Vec<Connection>,
    pipes: Vec<Pipe>,
    datagrams: Datagrams,
    /// Of the next flow.
    number: u8,
}

impl Sockets {
    pub(super) fn new(sim: &SimHandle, errors: &Errors) -> Self {
        let listener = TcpListener::bind("127.0.0.1:80").expect("free");
        let socket = UdpSocket::bind("127.0.0.1:53").expect("free");
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let datagrams = Datagrams {
            peer: sim.peer_udp(local(54)).expect("free"),
            socket: Shared::new(socket),
            address: local(53),
            sent: Rc::default(),
            next: 0,
        };
        Sockets {
            sim: sim.clone(),
            errors: errors.clone(),
            listener: Some(Rc::new(listener)),
            address: local(80),
            outside: sim.peer_listen(local(9)).expect("free"),
            peers: Vec::new(),
            dialed: Vec::new(),
            fresh: Rc::default(),
            connections: Vec::new(),
            pipes: Vec::new(),
            datagrams,
            number: 0,
        }
    }

    fn flow(&mut self) -> Rc<Flow> {
        self.number = self.number.wrapping_add(1);
        Flow::new(self.number)
    }

    /// Brings new connections and their other ends together.
    fn adopt(&mut self) {
        self.dialed.extend(std::iter::from_fn(|| self.outside.accept()));
        for stream in self.fresh.take() {
            let (here, there) = (stream.local_addr(), stream.peer_addr());
            let ends = (here.expect("connected"), there.expect("connected"));
            let fits = |peer: &Peer| (peer.peer_addr(), peer.local_addr()) == ends;
            let accepted = self.peers.iter().position(fits).map(|at| self.peers.remove(at));
            let dialed = || self.dialed.iter().position(fits).map(|at| self.dialed.remove(at));
            let peer = accepted.or_else(dialed).expect("each connection comes once");
            let (reader, writer) = stream.into_split();
            let (inward, outward) = (self.flow(), self.flow());
            let (reader, writer) = (Shared::new(reader), Shared::new(writer));
            let peer = Some(peer);
            self.connections.push(Connection { peer, inward, outward, reader, writer });
        }
    }

    pub(super) fn begin(&mut self, input: &mut Bytes<'_>, lent: &Lent) -> Option<Work> {
        self.adopt();
        let errors = self.errors.clone();
        match input.below(10) {
            0 | 1 => Some(Box::pin(accept(self.listener.clone()?, errors, self.fresh.clone()))),
            2 => {
                let (address, fresh) = (self.outside.local_addr(), self.fresh.clone());
                Some(Box::pin(async move {
                    match TcpStream::connect(address).await {
                        Ok(stream) => fresh.borrow_mut().push(stream),
                        Err(error) => errors.check_gone(&error),
                    }
                }))
            }
            kind @ 3..=6 => {
                let number = input.below(MOST);
                let connection = self.connections.get(number)?;
                Some(match kind {
                    3 | 4 => connection.receive(errors, input.flag().then(|| lent.clone())),
                    5 => connection.send(errors, input.size()),
                    _ => connection.shut_down(errors),
                })
            }
            7 => Some(self.datagrams.receive(errors, input.flag().then(|| lent.clone()))),
            kind => {
                if self.pipes.len() < MOST && input.below(4) == 0 {
                    let flow = self.flow();
                    let (reader, writer) = pipe().expect("descriptors");
                    let (reader, writer) = (Shared::new(reader), Shared::new(writer));
                    self.pipes.push(Pipe { flow, reader, writer });
                }
                let pipe = self.pipes.get(input.below(MOST))?;
                Some(match kind {
                    8 => pipe.receive(errors, input.flag().then(|| lent.clone())),
                    _ => pipe.send(errors, input.size()),
                })
            }
        }
    }

    /// The other ends act.
    pub(super) fn outside(&mut self, input: &mut Bytes<'_>) {
        self.adopt();
        match input.below(8) {
            0 | 1 if self.connections.len() + self.peers.len() < MOST => {
                // Refused when nobody listens any more.
                self.peers.extend(self.sim.peer_connect(self.address));
            }
            2 => self.datagrams.come(input.size()),
            kind => {
                let number = input.below(MOST);
                let Some(connection) = self.connections.get_mut(number) else { return };
                match kind {
                    7 => connection.lose_peer(input.flag()),
                    6 => connection.end_peer(),
                    5 => connection.peer_receives(),
                    _ => connection.peer_sends(input.size()),
                }
            }
        }
    }

    /// Something goes while operations may be at it.
    pub(super) fn close(&mut self, input: &mut Bytes<'_>) {
        self.adopt();
        let number = input.below(2 * MOST);
        if number < self.connections.len() {
            drop(self.connections.swap_remove(number));
        } else if number < MOST + self.pipes.len() && number >= MOST {
            drop(self.pipes.swap_remove(number - MOST));
        } else if number == MOST - 1 {
            // Who waits for a connection has it still.
            self.listener = None;
        }
    }

    /// Nothing more comes from outside.
    pub(super) fn end_outside(&mut self) {
        self.adopt();
        self.connections.iter_mut().for_each(Connection::end_peer);
    }

    /// Takes all that has come, and looks whether that is everything.
    pub(super) async fn drain(&mut self, lent: &Lent) {
        // Tasks may have got some meanwhile.
        self.end_outside();
        while let Some(listener) = self.listener.clone().filter(|_| !self.peers.is_empty()) {
            let one = accept(listener, self.errors.clone(), self.fresh.clone());
            in_time(one).await;
            self.adopt();
            self.end_outside();
            lent.borrow_mut().clear();
        }
        for connection in &self.connections {
            connection.drain(&self.errors).await;
        }
    }
}

async fn accept(listener: Rc<TcpListener>, errors: Errors, fresh: Streams) {
    match listener.accept().await {
        Ok(stream) => fresh.borrow_mut().push(stream),
        Err(error) => errors.check(&error),
    }
}

/// Bytes that a stream has given.
fn received(flow: &Flow, bytes: RecvBuf, lent: Option<Lent>) {
    if bytes.is_empty() {
        return flow.came_to_its_end();
    }
    flow.came(&bytes);
    if let Some(lent) = lent {
        lent.borrow_mut().push(bytes);
    }
}

/// Its other end goes with it, while operations may be under way still.
impl Drop for Connection {
    fn drop(&mut self) {
        self.inward.spoil();
        self.outward.spoil();
    }
}

impl Connection {
    fn receive(&self, errors: Errors, lent: Option<Lent>) -> Work {
        let (reader, flow) = (self.reader.clone(), self.inward.clone());
        Box::pin(async move {
            let Some(mut reader) = reader.borrow() else { return };
            match reader.get().recv().await {
                Ok(bytes) => received(&flow, bytes, lent),
                Err(error) => {
                    errors.check_gone(&error);
                    flow.spoil();
                }
            }
        })
    }

    fn send(&self, errors: Errors, length: usize) -> Work {
        let (writer, flow) = (self.writer.clone(), self.outward.clone());
        Box::pin(async move {
            let Some(mut writer) = writer.borrow() else { return };
            let Some(bytes) = flow.begin(length) else { return };
            let (result, back) = writer.get().write_all(bytes.clone()).await;
            assert!(back == bytes, "the buffer came back changed");
            match result {
                Ok(()) => flow.done(),
                Err(error) => {
                    errors.check_gone(&error);
                    flow.spoil();
                }
            }
        })
    }

    fn shut_down(&self, errors: Errors) -> Work {
        let (writer, flow) = (self.writer.clone(), self.outward.clone());
        Box::pin(async move {
            let Some(mut writer) = writer.borrow() else { return };
            flow.end();
            if let Err(error) = writer.get().shutdown(Shutdown::Write).await {
                errors.check_gone(&error);
            }
        })
    }

    fn peer_sends(&self, length: usize) {
        let Some(peer) = &self.peer else { return };
        let Some(bytes) = self.inward.begin(length) else { return };
        match peer.send(bytes) {
            Ok(()) => self.inward.done(),
            Err(_) => self.inward.spoil(),
        }
    }

    fn peer_receives(&self) {
        if let Some(peer) = &self.peer {
            self.outward.came(&peer.recv());
        }
    }

    fn end_peer(&mut self) {
        if let Some(peer) = &self.peer {
            self.inward.end();
            peer.shutdown_write();
        }
    }

    /// The other end is gone, and perhaps what was on its way.
    fn lose_peer(&mut self, resets: bool) {
        let Some(peer) = self.peer.take() else { return };
        self.inward.spoil();
        self.outward.spoil();
        if resets { peer.reset() } else { peer.close() }
    }

    async fn drain(&self, errors: &Errors) {
        while let Some(mut reader) = self.reader.borrow() {
            match in_time(reader.get().recv()).await {
                Ok(bytes) if bytes.is_empty() => {
                    self.inward.came_to_its_end();
                    break;
                }
                Ok(bytes) => self.inward.came(&bytes),
                Err(error) => {
                    errors.check_gone(&error);
                    assert!(self.inward.is_spoiled(), "nothing has happened to it: {error}");
                    break;
                }
            }
        }
        self.peer_receives();
        self.outward.settle();
    }
}

impl Pipe {
    fn receive(&self, errors: Errors, lent: Option<Lent>) -> Work {
        let (reader, flow) = (self.reader.clone(), self.flow.clone());
        Box::pin(async move {
            let Some(mut reader) = reader.borrow() else { return };
            match reader.get().recv().await {
                // A writer goes with its pipe.
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => received(&flow, bytes, lent),
                Err(error) => errors.check(&error),
            }
        })
    }

    fn send(&self, errors: Errors, length: usize) -> Work {
        let (writer, flow) = (self.writer.clone(), self.flow.clone());
        Box::pin(async move {
            let Some(mut writer) = writer.borrow() else { return };
            let Some(bytes) = flow.begin(length) else { return };
            let (result, back) = writer.get().write_all(bytes.clone()).await;
            assert!(back == bytes, "the buffer came back changed");
            match result {
                Ok(()) => flow.done(),
                Err(error) => errors.check_gone(&error),
            }
        })
    }
}

impl Datagrams {
    /// One comes from outside.
    fn come(&mut self, length: usize) {
        let length = 1 + length % 3000;
        self.next = self.next.wrapping_add(1);
        let free = self.sent.borrow_mut().insert(self.next, length).is_none();
        // Numbers come again when there were so many that nobody has received.
        if free && self.peer.send_to(vec![self.next; length], self.address).is_err() {
            self.sent.borrow_mut().remove(&self.next);
        }
    }

    fn receive(&self, errors: Errors, lent: Option<Lent>) -> Work {
        let (socket, sent, from) = (self.socket.clone(), self.sent.clone(), self.peer.local_addr());
        Box::pin(async move {
            let Some(mut socket) = socket.borrow() else { return };
            let datagram = match socket.get().recv().await {
                Ok(datagram) => datagram,
                Err(error) => return errors.check(&error),
            };
            assert_eq!(*datagram.from(), from);
            let info = datagram.info().clone();
            assert!(info.count == datagram.len() && info.count <= info.length, "{info:?}");
            // Of one that was cut to nothing, nobody knows which it was.
            let Some(number) = datagram.first() else { return };
            let length = sent.borrow_mut().remove(number).expect("none comes twice");
            assert_eq!(info.length, length, "how long it was");
            assert!(datagram.iter().all(|byte| byte == number), "bytes of another");
            if let Some(lent) = lent {
                lent.borrow_mut().push(datagram.into_bytes());
            }
        })
    }
}
