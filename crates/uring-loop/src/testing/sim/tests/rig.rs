//! What the tests drive: a ring (simulated or the kernel's), memory, entries by hand.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::driver::ring::{Cqe, Ring, Sqe, Wait, cqe_flags, opcode, socket_flags, sqe_flags};
use crate::testing::sim::{Peer, Sim, SimConfig, SimHandle, layout, memory};

/// Memory is never freed, and kept in sight here, so that a leak checker looks at the product only.
static KEPT_BYTES: Mutex<Vec<&'static [AtomicU8]>> = Mutex::new(Vec::new());
static KEPT_WORDS: Mutex<Vec<&'static [AtomicU64]>> = Mutex::new(Vec::new());

fn keep<T>(kept: &Mutex<Vec<&'static [T]>>, memory: &'static [T]) -> &'static [T] {
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    memory
}

/// Memory that entries may point to: never freed, so that no test can do it too early.
#[derive(Clone, Copy)]
pub(super) struct Memory(&'static [AtomicU8]);

impl Memory {
    pub(super) fn new(length: usize) -> Self {
        Memory::of(&vec![0; length])
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        let bytes: Box<[_]> = bytes.iter().map(|byte| AtomicU8::new(*byte)).collect();
        Memory(keep(&KEPT_BYTES, Box::leak(bytes)))
    }

    pub(super) fn address(self) -> u64 {
        self.0.as_ptr().expose_provenance() as u64
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
    }

    pub(super) fn set(self, at: usize, byte: u8) {
        self.0[at].store(byte, Ordering::Relaxed);
    }
}

/// A ring of provided buffers, the driver's half.
pub(super) struct BufferRing {
    ring: &'static [AtomicU64],
    buffers: Vec<Memory>,
    tail: u16,
}

impl BufferRing {
    pub(super) fn new(ring: &mut Ring, group: u16, count: u16, size: usize) -> Self {
        let memory = page_of_words(usize::from(count) * 2);
        memory::register_leaked(ring, memory, group).expect("a new group");
        let buffers = (0..count).map(|_| Memory::new(size)).collect();
        let mut this = BufferRing { ring: memory, buffers, tail: 0 };
        (0..count).for_each(|id| this.put_back(id));
        this
    }

    pub(super) fn put_back(&mut self, id: u16) {
        let at = usize::from(self.tail) % (self.ring.len() / 2);
        let buffer = self.buffers[usize::from(id)];
        self.tail = self.tail.wrapping_add(1);
        self.ring[at * 2].store(buffer.address(), Ordering::Relaxed);
        let entry = buffer.len() as u64 | u64::from(id) << 32;
        // The reserved half word of the first entry is the tail; elsewhere nobody looks at it.
        let first = if at == 0 { 0 } else { self.ring[1].load(Ordering::Relaxed) };
        self.ring[at * 2 + 1].store(entry, Ordering::Relaxed);
        let first = if at == 0 { entry } else { first } & !(0xffff << 48);
        self.ring[1].store(first | u64::from(self.tail) << 48, Ordering::Release);
    }

    pub(super) fn bytes(&self, cqe: Cqe) -> Vec<u8> {
        let id = cqe.buffer_id().expect("it names a buffer");
        self.buffers[usize::from(id)].bytes()[..cqe.result as usize].to_vec()
    }
}

/// Words that begin at a page; never freed.
pub(super) fn page_of_words(words: usize) -> &'static [AtomicU64] {
    const PAGE: usize = 4096;
    let room: Vec<AtomicU64> = (0..words + PAGE / 8).map(|_| AtomicU64::new(0)).collect();
    let room = keep(&KEPT_WORDS, room.leak());
    let skip = (PAGE - room.as_ptr().addr() % PAGE) % PAGE / 8;
    &room[skip..skip + words]
}

/// A simulated ring and its handle.
pub(super) struct Rig {
    pub(super) ring: Ring,
    pub(super) sim: SimHandle,
}

impl Rig {
    pub(super) fn new() -> Self {
        // Nothing left to chance: each test says what it wants.
        Rig::with(SimConfig { file_turns: 0, connect_turns: 0, ..SimConfig::default() })
    }

    pub(super) fn with(config: SimConfig) -> Self {
        let (sim, handle) = Sim::new(config).expect("it is not told to refuse");
        Rig { ring: Ring::Sim(Box::new(sim)), sim: handle }
    }

    #[track_caller]
    pub(super) fn push(&mut self, sqe: Sqe) {
        assert!(self.ring.push(&sqe), "the submission queue is full");
    }

    pub(super) fn pop_all(&mut self) -> Vec<Cqe> {
        std::iter::from_fn(|| self.ring.pop()).collect()
    }

    /// One enter that does not wait.
    pub(super) fn poll(&mut self) -> Vec<Cqe> {
        self.ring.enter(Wait::Poll).expect("nothing goes wrong");
        self.pop_all()
    }

    /// One enter that waits for something.
    pub(super) fn wait(&mut self) -> Vec<Cqe> {
        self.ring.enter(Wait::Forever).expect("nothing goes wrong");
        self.pop_all()
    }

    /// Submits one entry and answers with its completion.
    #[track_caller]
    pub(super) fn run(&mut self, sqe: Sqe) -> Cqe {
        self.push(sqe);
        let cqes = self.wait();
        assert_eq!(cqes.len(), 1, "{cqes:?}");
        assert_eq!(cqes[0].user_data, sqe.user_data);
        cqes[0]
    }

    /// A connection: the descriptor here, the peer there.
    pub(super) fn connection(&mut self) -> (RawFd, Peer) {
        let (listener, address) = self.sim.listen(local(0)).expect("a free port");
        let peer = self.sim.peer_connect(address).expect("it listens");
        let cqe = self.run(accept(0xacce, listener));
        self.sim.close(listener).expect("it was open");
        (cqe.result, peer)
    }

    pub(super) fn open(&self) -> usize {
        self.sim.open_descriptors().len()
    }
}

pub(super) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// User data and result of each.
pub(super) fn results(cqes: &[Cqe]) -> Vec<(u64, i32)> {
    cqes.iter().map(|cqe| (cqe.user_data, cqe.result)).collect()
}

pub(super) fn entry(opcode: u8, user_data: u64, fd: RawFd) -> Sqe {
    Sqe { opcode, user_data, fd, ..Sqe::default() }
}

pub(super) fn nop(user_data: u64) -> Sqe {
    entry(opcode::NOP, user_data, -1)
}

/// A NOP that ends with this result.
pub(super) fn nop_result(user_data: u64, result: i32) -> Sqe {
    Sqe { op_flags: 1, len: result as u32, ..nop(user_data) }
}

pub(super) fn accept(user_data: u64, fd: RawFd) -> Sqe {
    entry(opcode::ACCEPT, user_data, fd)
}

pub(super) fn accept_multishot(user_data: u64, fd: RawFd) -> Sqe {
    Sqe { ioprio: socket_flags::ACCEPT_MULTISHOT, ..accept(user_data, fd) }
}

fn with_memory(opcode: u8, user_data: u64, fd: RawFd, memory: Memory) -> Sqe {
    Sqe { addr: memory.address(), len: memory.len() as u32, ..entry(opcode, user_data, fd) }
}

pub(super) fn recv(user_data: u64, fd: RawFd, memory: Memory) -> Sqe {
    with_memory(opcode::RECV, user_data, fd, memory)
}

pub(super) fn recv_select(user_data: u64, fd: RawFd, group: u16) -> Sqe {
    let flags = sqe_flags::BUFFER_SELECT;
    Sqe { flags, buf_index: group, ..entry(opcode::RECV, user_data, fd) }
}

pub(super) fn recv_multishot(user_data: u64, fd: RawFd, group: u16) -> Sqe {
    Sqe { ioprio: socket_flags::RECV_MULTISHOT, ..recv_select(user_data, fd, group) }
}

pub(super) fn send(user_data: u64, fd: RawFd, memory: Memory) -> Sqe {
    let op_flags = libc::MSG_NOSIGNAL as u32;
    Sqe { op_flags, ..with_memory(opcode::SEND, user_data, fd, memory) }
}

pub(super) fn send_all(user_data: u64, fd: RawFd, memory: Memory) -> Sqe {
    let op_flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32;
    Sqe { op_flags, ..send(user_data, fd, memory) }
}

pub(super) fn send_zc(user_data: u64, fd: RawFd, memory: Memory) -> Sqe {
    Sqe { opcode: opcode::SEND_ZC, ..send(user_data, fd, memory) }
}

pub(super) fn read(user_data: u64, fd: RawFd, offset: u64, memory: Memory) -> Sqe {
    Sqe { off: offset, ..with_memory(opcode::READ, user_data, fd, memory) }
}

pub(super) fn write(user_data: u64, fd: RawFd, offset: u64, memory: Memory) -> Sqe {
    Sqe { off: offset, ..with_memory(opcode::WRITE, user_data, fd, memory) }
}

pub(super) fn read_multishot(user_data: u64, fd: RawFd, group: u16) -> Sqe {
    let (flags, off) = (sqe_flags::BUFFER_SELECT, u64::MAX);
    Sqe { flags, off, buf_index: group, ..entry(opcode::READ_MULTISHOT, user_data, fd) }
}

/// An array of iovecs over these.
pub(super) fn iovecs(memories: &[Memory]) -> Memory {
    let words = memories.iter().flat_map(|memory| [memory.address(), memory.len() as u64]);
    Memory::of(&words.flat_map(u64::to_ne_bytes).collect::<Vec<u8>>())
}

/// A msghdr over an array of iovecs.
pub(super) fn message(iovecs: Memory) -> Memory {
    let count = (iovecs.len() / layout::IOVEC) as u64;
    let words = [0, 0, iovecs.address(), count, 0, 0, 0];
    Memory::of(&words.into_iter().flat_map(u64::to_ne_bytes).collect::<Vec<u8>>())
}

pub(super) fn timespec(ns: u64) -> Memory {
    let words = [ns / 1_000_000_000, ns % 1_000_000_000];
    Memory::of(&words.into_iter().flat_map(u64::to_ne_bytes).collect::<Vec<u8>>())
}

pub(super) fn timeout(user_data: u64, ns: u64) -> Sqe {
    let addr = timespec(ns).address();
    Sqe { addr, len: 1, ..entry(opcode::TIMEOUT, user_data, -1) }
}

pub(super) fn link_timeout(user_data: u64, ns: u64) -> Sqe {
    Sqe { opcode: opcode::LINK_TIMEOUT, ..timeout(user_data, ns) }
}

pub(super) fn cancel(user_data: u64, target: u64, flags: u32) -> Sqe {
    Sqe { addr: target, op_flags: flags, ..entry(opcode::ASYNC_CANCEL, user_data, -1) }
}

pub(super) fn cancel_fd(user_data: u64, fd: RawFd, flags: u32) -> Sqe {
    Sqe { op_flags: flags, ..entry(opcode::ASYNC_CANCEL, user_data, fd) }
}

pub(super) fn connect(user_data: u64, fd: RawFd, address: SocketAddr) -> Sqe {
    let address = Memory::of(&layout::encode_address(address));
    let (addr, off) = (address.address(), address.len() as u64);
    Sqe { addr, off, ..entry(opcode::CONNECT, user_data, fd) }
}

pub(super) fn close(user_data: u64, fd: RawFd) -> Sqe {
    entry(opcode::CLOSE, user_data, fd)
}

pub(super) fn shutdown(user_data: u64, fd: RawFd, how: i32) -> Sqe {
    Sqe { len: how as u32, ..entry(opcode::SHUTDOWN, user_data, fd) }
}

pub(super) fn poll_add(user_data: u64, fd: RawFd, events: i16) -> Sqe {
    Sqe { op_flags: events as u32, ..entry(opcode::POLL_ADD, user_data, fd) }
}

pub(super) fn poll_multishot(user_data: u64, fd: RawFd, events: i16) -> Sqe {
    Sqe { len: 1, ..poll_add(user_data, fd, events) }
}

pub(super) fn flagged(mut sqe: Sqe, flags: u8) -> Sqe {
    sqe.flags |= flags;
    sqe
}

pub(super) fn linked(sqe: Sqe) -> Sqe {
    flagged(sqe, sqe_flags::IO_LINK)
}

/// Flags without the one that depends on what has arrived meanwhile.
pub(super) fn steady_flags(cqe: Cqe) -> u32 {
    cqe.flags & !cqe_flags::SOCK_NONEMPTY
}
