//! One program, three rings: the simulated one, the soft one, and that of the machine's kernel.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{IntoRawFd, RawFd};
use std::time::Duration;

use super::rig::*;
use crate::driver::ring::{Cqe, Ring, Sqe, Wait};
use crate::sys::clock;
use crate::sys::uring::Wanted;
use crate::testing::sim::{Peer, SimConfig, SimHandle};

/// User data from here on ends with a descriptor if it ends well; its number does not matter.
pub(super) const FD: u64 = 0x100;

pub(super) struct Machine {
    pub(super) ring: Ring,
    sim: Option<SimHandle>,
    /// Real descriptors to close at the end.
    open: BTreeSet<RawFd>,
}

/// The far end of a connection.
pub(super) enum Far {
    Sim(Peer),
    Real(TcpStream),
}

/// Runs a program on all and compares what it has seen.
#[track_caller]
pub(super) fn same(program: impl Fn(&mut Machine) -> Vec<String>) {
    let simulated = program(&mut Machine::simulated(256));
    assert_eq!(simulated, program(&mut Machine::soft(256)), "simulated, then soft");
    compare(256, simulated, program);
}

/// The same without the soft ring, for what can only be seen by looking at single enters: when
/// completion work is done, and how much of it. The completion queue has `completions` entries, a
/// power of two.
#[track_caller]
pub(super) fn same_enters(completions: u32, program: impl Fn(&mut Machine) -> Vec<String>) {
    compare(completions, program(&mut Machine::simulated(completions)), program);
}

#[track_caller]
fn compare(
    completions: u32,
    simulated: Vec<String>,
    program: impl Fn(&mut Machine) -> Vec<String>,
) {
    assert!(!simulated.is_empty(), "the program looks at something");
    if std::env::var_os("URING_LOOP_KERNEL").is_some() {
        return println!("skipped: the simulated kernel is a young one");
    }
    match Machine::real(completions) {
        Ok(mut machine) => assert_eq!(simulated, program(&mut machine), "simulated, then real"),
        Err(error) => println!("skipped: no ring of the real kernel: {error}"),
    }
}

impl Machine {
    fn simulated(completions: u32) -> Self {
        let completions = completions as usize;
        let config =
            SimConfig { completions, connect_turns: 0, file_turns: 0, ..SimConfig::default() };
        let rig = Rig::with(config);
        Machine { ring: rig.ring, sim: Some(rig.sim), open: BTreeSet::new() }
    }

    fn soft(completions: u32) -> Self {
        let wanted = Wanted { submissions: 64, completions, ..Wanted::default() };
        let ring = Ring::soft(&wanted).expect("descriptors");
        Machine { ring, sim: None, open: BTreeSet::new() }
    }

    fn real(completions: u32) -> std::io::Result<Self> {
        let submissions = completions.min(64);
        let wanted = Wanted { submissions, completions, ..Wanted::default() };
        Ok(Machine { ring: Ring::kernel(&wanted)?, sim: None, open: BTreeSet::new() })
    }

    /// Whether its descriptors are those of this machine.
    pub(super) fn is_real(&self) -> bool {
        self.sim.is_none()
    }

    fn adopt(&mut self, fd: RawFd) -> RawFd {
        self.open.insert(fd);
        fd
    }

    pub(super) fn listen(&mut self) -> (RawFd, SocketAddr) {
        if let Some(sim) = &self.sim {
            return sim.listen(local(0)).expect("a free port");
        }
        let listener = TcpListener::bind(local(0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        (self.adopt(listener.into_raw_fd()), address)
    }

    pub(super) fn dial(&mut self, address: SocketAddr) -> Far {
        match &self.sim {
            Some(sim) => Far::Sim(sim.peer_connect(address).expect("it listens")),
            None => {
                let stream = TcpStream::connect(address).expect("it listens");
                // Else bytes wait at the far end until earlier ones are acknowledged, which takes
                // 40 ms if nothing is sent back.
                stream.set_nodelay(true).expect("it is connected");
                Far::Real(stream)
            }
        }
    }

    pub(super) fn connection(&mut self) -> (RawFd, Far) {
        let (listener, address) = self.listen();
        let far = self.dial(address);
        let fd = self.run(accept(FD, listener)).result;
        (fd, far)
    }

    /// An unconnected socket.
    pub(super) fn socket(&mut self) -> RawFd {
        let stream = Sqe { off: libc::SOCK_STREAM as u64, ..socket(FD) };
        self.run(stream).result
    }

    /// Two Unix sockets, connected to each other.
    pub(super) fn unix_pair(&mut self, kind: socket2::Type) -> [RawFd; 2] {
        if let Some(sim) = &self.sim {
            return sim.unix_pair(kind).expect("room");
        }
        crate::sys::socket::unix_pair(kind).expect("descriptors").map(|fd| self.adopt(fd))
    }

    /// A bound UDP socket and its address.
    pub(super) fn udp(&mut self) -> (RawFd, SocketAddr) {
        if let Some(sim) = &self.sim {
            let fd = sim.udp(&local(0)).expect("room");
            return (fd, sim.local_addr(fd).expect("bound"));
        }
        let socket = std::net::UdpSocket::bind(local(0)).expect("free");
        let address = socket.local_addr().expect("bound");
        (self.adopt(socket.into_raw_fd()), address)
    }

    pub(super) fn file(&mut self, bytes: &[u8]) -> RawFd {
        if let Some(sim) = &self.sim {
            return sim.create_file(bytes);
        }
        let mut file = tempfile::tempfile().expect("a place for temporary files");
        file.write_all(bytes).expect("room");
        std::io::Seek::rewind(&mut file).expect("a file");
        self.adopt(file.into_raw_fd())
    }

    /// The end that is read, and the end that is written.
    pub(super) fn pipe(&mut self) -> (RawFd, RawFd) {
        if let Some(sim) = &self.sim {
            return sim.pipe().expect("room");
        }
        let (reader, writer) = crate::sys::pipe::pipe().expect("room");
        (self.adopt(reader.into_raw_fd()), self.adopt(writer.into_raw_fd()))
    }

    /// The program closes this one itself.
    pub(super) fn disown(&mut self, fd: RawFd) -> RawFd {
        self.open.remove(&fd);
        fd
    }

    #[track_caller]
    pub(super) fn push(&mut self, sqe: Sqe) {
        assert!(self.ring.push(&sqe), "the submission queue is full");
    }

    /// Submits, and takes so many completions; no more may come within a while.
    #[track_caller]
    pub(super) fn collect(&mut self, count: usize) -> Vec<Cqe> {
        let hang_guard = clock::monotonic_ns() + 10_000_000_000;
        let mut seen = Vec::new();
        while seen.len() < count {
            let wait = if self.is_real() { Wait::Until(hang_guard) } else { Wait::Forever };
            if let Err(error) = self.ring.enter(wait) {
                assert_eq!(error.raw_os_error(), Some(libc::EINTR), "{error}; seen {seen:?}");
            }
            seen.extend(std::iter::from_fn(|| self.ring.pop()));
        }
        for _ in 0..4 {
            self.calm();
            self.ring.enter(Wait::Poll).expect("nothing goes wrong");
            seen.extend(std::iter::from_fn(|| self.ring.pop()));
        }
        assert_eq!(seen.len(), count, "{seen:?}");
        self.adopt_all(&seen);
        seen
    }

    fn adopt_all(&mut self, cqes: &[Cqe]) {
        if self.is_real() {
            let made = |cqe: &&Cqe| cqe.user_data >= FD && cqe.result >= 0;
            self.open.extend(cqes.iter().filter(made).map(|cqe| cqe.result));
        }
    }

    /// What came of these, in words.
    pub(super) fn words(&mut self, cqes: Vec<Cqe>) -> Vec<String> {
        self.adopt_all(&cqes);
        cqes.into_iter().map(words).collect()
    }

    /// Lets what is on its way through the real network arrive.
    pub(super) fn calm(&self) {
        if self.is_real() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[track_caller]
    pub(super) fn run(&mut self, sqe: Sqe) -> Cqe {
        self.push(sqe);
        self.collect(1)[0]
    }

    /// As `run`, in words.
    #[track_caller]
    pub(super) fn say(&mut self, sqe: Sqe) -> String {
        words(self.run(sqe))
    }

    /// Submits all, and says what came of it in the order of user data.
    #[track_caller]
    pub(super) fn say_all(&mut self, sqes: &[Sqe], count: usize) -> Vec<String> {
        sqes.iter().for_each(|sqe| self.push(*sqe));
        let mut cqes = self.collect(count);
        cqes.sort_by_key(|cqe| cqe.user_data);
        cqes.into_iter().map(words).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The ring first: what is in flight must not see a descriptor of somebody else.
        self.ring = Ring::Closed;
        for fd in std::mem::take(&mut self.open) {
            nix::unistd::close(fd).expect("it was open");
        }
    }
}

fn socket(user_data: u64) -> Sqe {
    entry(crate::driver::ring::opcode::SOCKET, user_data, libc::AF_INET)
}

fn words(cqe: Cqe) -> String {
    let result = match cqe.result {
        0.. if cqe.user_data >= FD => "descriptor".to_owned(),
        count @ 0.. => count.to_string(),
        count if cqe.notification() => format!("notification {count:#x}"),
        errno => nix::errno::Errno::from_raw(-errno).to_string(),
    };
    format!("{:#x}: {result}, flags {:#x}", cqe.user_data, steady_flags(cqe))
}

impl Far {
    pub(super) fn send(&mut self, bytes: &[u8]) {
        match self {
            Far::Sim(peer) => peer.send(bytes).expect("open"),
            Far::Real(stream) => stream.write_all(bytes).expect("open"),
        }
    }

    /// Takes so many bytes.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        match self {
            Far::Sim(peer) => peer.recv_at_most(count),
            Far::Real(stream) => {
                let mut bytes = vec![0; count];
                stream.read_exact(&mut bytes).expect("they come");
                bytes
            }
        }
    }

    pub(super) fn shutdown_write(&self) {
        match self {
            Far::Sim(peer) => peer.shutdown_write(),
            Far::Real(stream) => {
                stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
            }
        }
    }

    pub(super) fn reset(self) {
        match self {
            Far::Sim(peer) => peer.reset(),
            Far::Real(stream) => {
                let stream = socket2::Socket::from(stream);
                stream.set_linger(Some(Duration::ZERO)).expect("a socket has it");
            }
        }
    }
}
