//! The test's side of a simulated kernel.

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;

use super::Errno;
use super::descriptors::{DescriptorKind, FIRST_VIRTUAL, Object};
use super::faults::{Fault, Faults};
use super::log::Event;
use super::network::{Address, Dial, SocketId, SocketKind};
use super::peer::{Peer, PeerListener};
use super::pipes::End;
use super::world::World;

/// Something that a test has planned for a moment of virtual time.
pub(super) type Action = Box<dyn FnOnce(&SimHandle)>;

/// Controls a simulated kernel and looks into it: its network, its files, its clock, its faults.
///
/// Clones are cheap and mean the same kernel.
///
/// # Examples
///
/// A connection that breaks in the middle of an answer:
///
/// ```
/// use uring_loop::net::TcpStream;
/// use uring_loop::testing::{Fault, SimConfig, opcode, simulate};
///
/// simulate(SimConfig::seeded(1), |sim| async move {
///     let outside = sim.peer_listen("192.0.2.1:80".parse().unwrap()).unwrap();
///     let mut stream = TcpStream::connect(outside.local_addr()).await.unwrap();
///     let peer = outside.accept().unwrap();
///
///     sim.next(opcode::SEND, Fault::Short(2)); // the kernel takes two bytes of the next send
///     stream.write_all("hello").await.0.unwrap();
///     assert_eq!(peer.recv(), b"hello");
///
///     // In a second of virtual time the peer resets the connection.
///     let second = sim.now() + 1_000_000_000;
///     sim.at(second, move |_| peer.reset());
///     let error = stream.recv().await.unwrap_err();
///     assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
///     assert_eq!(sim.now(), second);
/// });
/// ```
#[derive(Clone)]
pub struct SimHandle {
    world: Rc<RefCell<World>>,
}

pub(super) fn check<T>(result: Result<T, Errno>) -> io::Result<T> {
    result.map_err(io::Error::from_raw_os_error)
}

impl SimHandle {
    pub(super) fn new(world: Rc<RefCell<World>>) -> Self {
        SimHandle { world }
    }

    /// The kernel, about to be changed.
    pub(super) fn world(&self) -> RefMut<'_, World> {
        let mut world = self.world_quietly();
        world.hint = None;
        world
    }

    /// The kernel, with nothing changed that could make work due.
    pub(super) fn world_quietly(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    pub(super) fn peek(&self) -> Option<Ref<'_, World>> {
        self.world.try_borrow().ok()
    }

    pub(super) fn peek_mut(&self) -> Option<RefMut<'_, World>> {
        self.world.try_borrow_mut().ok()
    }

    // The network.

    /// A listening socket of the program under test, and its address; port 0 asks for any.
    ///
    /// # Errors
    ///
    /// EADDRINUSE if something listens there.
    pub fn listen(&self, address: SocketAddr) -> io::Result<(RawFd, SocketAddr)> {
        let world = &mut *self.world();
        let socket = check(world.network.listen(address))?;
        let address = world.network.local(socket).and_then(|local| local.inet());
        let address = address.expect("a listener has an address");
        Ok((world.descriptors.open(Object::Socket(socket)), address))
    }

    /// An unconnected socket of the program under test.
    ///
    /// # Errors
    ///
    /// EMFILE beyond [`super::SimConfig::descriptors`].
    pub fn socket(&self) -> io::Result<RawFd> {
        let world = &mut *self.world();
        if world.descriptors.is_full() {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let socket = world.network.create();
        Ok(world.descriptors.open(Object::Socket(socket)))
    }

    /// Connects from outside to a listener of the program under test.
    ///
    /// # Errors
    ///
    /// ECONNREFUSED if nobody listens there, ETIMEDOUT if its backlog is full.
    pub fn peer_connect(&self, address: SocketAddr) -> io::Result<Peer> {
        self.connect_from_outside(address.into())
    }

    pub(super) fn connect_from_outside(&self, address: Address) -> io::Result<Peer> {
        let world = &mut *self.world();
        let unix = matches!(address, Address::Unix(_));
        let socket = if unix { world.network.create_unix() } else { world.network.create() };
        let errno = match world.network.connect(socket, address) {
            Dial::Established => return Ok(Peer::new(self.clone(), socket)),
            Dial::Refused => libc::ECONNREFUSED,
            Dial::Missing => libc::ENOENT,
            Dial::Silence => libc::ETIMEDOUT,
        };
        world.network.close(socket);
        Err(io::Error::from_raw_os_error(errno))
    }

    /// A listener outside, for the program under test to connect to; port 0 asks for any.
    ///
    /// # Errors
    ///
    /// EADDRINUSE if something listens there.
    pub fn peer_listen(&self, address: SocketAddr) -> io::Result<PeerListener> {
        let socket = check(self.world().network.listen(address))?;
        Ok(PeerListener::new(self.clone(), socket))
    }

    /// From now on a connect to `address` gets no answer at all.
    pub fn black_hole(&self, address: SocketAddr) {
        self.world().network.black_hole(address);
    }

    /// dup(2) of a descriptor of the program under test.
    pub(crate) fn duplicate(&self, fd: RawFd) -> io::Result<RawFd> {
        let world = &mut *self.world();
        let object = check(world.descriptors.resolve(fd))?;
        if world.descriptors.is_full() {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        Ok(world.descriptors.open(object))
    }

    /// Whether bytes wait to be received at a socket of the program under test (`FIONREAD`).
    pub(crate) fn has_unread(&self, fd: RawFd) -> bool {
        let socket = self.socket_of(fd);
        socket.is_ok_and(|socket| self.world_quietly().network.has_unread(socket))
    }

    /// bind(2) of a TCP socket of the program under test.
    pub(crate) fn bind(&self, fd: RawFd, address: SocketAddr) -> io::Result<()> {
        let socket = self.socket_of(fd)?;
        check(self.world().network.bind(socket, address))
    }

    /// listen(2).
    pub(crate) fn listen_on(&self, fd: RawFd) -> io::Result<()> {
        let socket = self.socket_of(fd)?;
        check(self.world().network.start_listening(socket))
    }

    pub(super) fn socket_of(&self, fd: RawFd) -> io::Result<SocketId> {
        match check(self.world_quietly().descriptors.resolve(fd))? {
            Object::Socket(id) => Ok(id),
            _ => Err(io::Error::from_raw_os_error(libc::ENOTSOCK)),
        }
    }

    /// getsockname(2).
    ///
    /// # Errors
    ///
    /// EBADF, ENOTSOCK, and ENOTCONN for a socket without an address.
    pub fn local_addr(&self, fd: RawFd) -> io::Result<SocketAddr> {
        let socket = self.socket_of(fd)?;
        let local = self.world_quietly().network.local(socket);
        check(local.and_then(|local| local.inet()).ok_or(libc::ENOTCONN))
    }

    /// getpeername(2).
    ///
    /// # Errors
    ///
    /// EBADF, ENOTSOCK, ENOTCONN.
    pub fn peer_addr(&self, fd: RawFd) -> io::Result<SocketAddr> {
        let socket = self.socket_of(fd)?;
        let remote = self.world_quietly().network.remote(socket);
        check(remote.and_then(|remote| remote.inet()).ok_or(libc::ENOTCONN))
    }

    /// shutdown(2) of a descriptor of the program under test; `how` is `SHUT_*`.
    ///
    /// # Errors
    ///
    /// EBADF, ENOTSOCK, ENOTCONN, EINVAL.
    pub fn shutdown(&self, fd: RawFd, how: i32) -> io::Result<()> {
        let socket = self.socket_of(fd)?;
        check(self.world().network.shutdown(socket, how))
    }

    /// close(2) of a descriptor of the program under test, without the ring. What requests in
    /// flight hold lives on.
    ///
    /// # Errors
    ///
    /// EBADF.
    pub fn close(&self, fd: RawFd) -> io::Result<()> {
        check(self.world().close(fd)).map(drop)
    }

    /// Descriptors of the program under test that are open, for tests that look for leaks.
    pub fn open_descriptors(&self) -> Vec<(RawFd, DescriptorKind)> {
        let world = self.world_quietly();
        let kind = |object| match object {
            Object::Ring => DescriptorKind::Ring,
            Object::File(_) => DescriptorKind::File,
            Object::Pipe(..) => DescriptorKind::Pipe,
            Object::Socket(id) => match world.network.kind(id) {
                SocketKind::Unconnected => DescriptorKind::Socket,
                SocketKind::Listener => DescriptorKind::Listener,
                SocketKind::Stream => DescriptorKind::Stream,
                SocketKind::Datagrams => DescriptorKind::Datagrams,
            },
        };
        let open = world.descriptors.iter().map(|(fd, object)| (fd, kind(object)));
        open.filter(|(_, kind)| *kind != DescriptorKind::Ring).collect()
    }

    /// The descriptor of the ring itself, for MSG_RING.
    pub fn ring_descriptor(&self) -> RawFd {
        self.world_quietly().ring
    }

    // Pipes.

    /// A pipe of the program under test: the descriptor that is read, and the one that is written.
    ///
    /// # Errors
    ///
    /// EMFILE beyond [`super::SimConfig::descriptors`].
    pub fn pipe(&self) -> io::Result<(RawFd, RawFd)> {
        let world = &mut *self.world();
        if world.descriptors.is_full() {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let pipe = world.pipes.create();
        let reader = world.descriptors.open(Object::Pipe(pipe, End::Reader));
        Ok((reader, world.descriptors.open(Object::Pipe(pipe, End::Writer))))
    }

    /// Whether a descriptor is one of this kernel, and not of the real one.
    pub(crate) fn simulates(&self, fd: RawFd) -> bool {
        fd >= FIRST_VIRTUAL
    }

    // The clock.

    /// Virtual time in nanoseconds.
    pub fn now(&self) -> u64 {
        self.world_quietly().now
    }

    /// Moves virtual time forward, and does what was planned for the time in between. What becomes
    /// due completes at the next enter.
    pub fn advance(&self, nanoseconds: u64) {
        let end = self.now().saturating_add(nanoseconds);
        loop {
            let next = self.world_quietly().agenda.keys().next().map(|(moment, _)| *moment);
            let Some(moment) = next.filter(|moment| *moment <= end) else { break };
            let action = {
                let mut world = self.world();
                world.now = world.now.max(moment);
                world.take_action()
            };
            if let Some(action) = action {
                action(self);
            }
        }
        self.world().now = end;
    }

    /// Plans something for a moment of virtual time, in nanoseconds. It happens when an enter
    /// waits past that moment, or by [`SimHandle::advance`].
    pub fn at(&self, moment: u64, action: impl FnOnce(&SimHandle) + 'static) {
        let mut world = self.world();
        world.next_action += 1;
        let place = (moment, world.next_action);
        world.agenda.insert(place, Box::new(action));
    }

    /// This kernel does not have these opcodes.
    pub(crate) fn do_without(&self, opcodes: &[u8]) {
        self.world().lacks = opcodes.to_vec();
    }

    // Faults.

    /// The next operation of this opcode to be submitted meets `fault`. Several faults for one
    /// opcode strike one operation each, in order.
    pub fn next(&self, opcode: u8, fault: Fault) {
        self.world().script.add(opcode, fault);
    }

    /// The operation in flight with this user data meets `fault`; `false` if there is none.
    pub fn inflict(&self, user_data: u64, fault: Fault) -> bool {
        let mut world = self.world();
        let (passes, now) = (world.passes, world.now);
        let target = world.requests.values_mut().find(|request| request.sqe.user_data == user_data);
        target.map(|request| request.set(fault, passes, now)).is_some()
    }

    /// The next enter fails with `errno`: EINTR the next that waits in vain and has submitted
    /// nothing, others the very next one, before it consumes anything.
    pub fn next_enter(&self, errno: i32) {
        self.world().script.add_enter(errno);
    }

    /// Replaces what goes wrong by chance from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world().config.faults = faults;
    }

    // Sight.

    /// Operations whose terminal completion has not been posted, those in chains included.
    pub fn in_flight(&self) -> usize {
        self.world_quietly().in_flight()
    }

    /// Operations in flight, in words.
    pub fn describe(&self) -> String {
        self.world_quietly().describe()
    }

    /// Buffers of a group that the kernel has; `None` if there is no such group.
    ///
    /// # Panics
    ///
    /// A buffer was put back twice.
    pub fn provided_buffers_free(&self, group: u16) -> Option<u16> {
        self.world().groups.free(group)
    }

    /// How often the ring was entered.
    pub fn enters(&self) -> u64 {
        self.world_quietly().enters
    }

    /// Everything that has happened, in order.
    pub fn log(&self) -> Vec<Event> {
        self.world_quietly().log.clone()
    }

    /// Forgets what has happened so far.
    pub fn clear_log(&self) {
        self.world_quietly().log.clear();
    }
}

impl fmt::Debug for SimHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peek() {
            Some(world) => write!(f, "SimHandle {{ in flight: {} }}", world.describe()),
            None => f.write_str("SimHandle { busy }"),
        }
    }
}
