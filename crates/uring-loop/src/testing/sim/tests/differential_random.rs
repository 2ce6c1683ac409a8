//! Programs made by chance come to the same results on all rings: receives of all sorts, polls,
//! sends, chains with limits, cancels by all that they can aim at, and descriptors that are closed
//! under operations in flight.
//!
//! One seed is one program. `DIFFERENTIAL_SEED` runs one alone, `DIFFERENTIAL_SEEDS` so many.

use std::collections::BTreeMap;

use super::rig::*;
use super::twin::{Far, Machine, same};
use crate::driver::ring::{Cqe, Sqe, Wait, cancel_flags, opcode, socket_flags};
use crate::testing::sim::random::Random;

const HOUR: u64 = 3_600_000_000_000;
const STEPS: usize = 24;
const CONNECTIONS: u64 = 3;
const GROUP: u16 = 7;

struct Connection {
    fd: i32,
    far: Far,
    /// Nothing new is begun on it.
    closed: bool,
    /// The far end has said its last.
    ended: bool,
    /// Who receives: one at a time, since nothing says which of two gets the bytes.
    receiver: Option<u64>,
}

struct Program<'a> {
    machine: &'a mut Machine,
    random: Random,
    connections: Vec<Connection>,
    buffers: BufferRing,
    /// Where receives put their bytes.
    memory: BTreeMap<u64, Memory>,
    next: u64,
    said: Vec<String>,
}

impl<'a> Program<'a> {
    fn new(machine: &'a mut Machine, seed: u64) -> Self {
        let buffers = BufferRing::new(&mut machine.ring, GROUP, 8, 8);
        let connections = (0..CONNECTIONS)
            .map(|_| {
                let (fd, far) = machine.connection();
                Connection { fd, far, closed: false, ended: false, receiver: None }
            })
            .collect();
        let (random, memory) = (Random::new(seed), BTreeMap::new());
        Program { machine, random, connections, buffers, memory, next: 0, said: Vec::new() }
    }

    fn name(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn run(mut self) -> Vec<String> {
        for _ in 0..STEPS {
            let at = self.random.below(CONNECTIONS) as usize;
            match self.random.below(13) {
                0..3 => self.receive(at),
                3 | 4 => self.arrive(at),
                5 => self.end(at),
                6 => self.watch(at),
                7 => self.cancel(at),
                8 => self.chain(),
                9 => self.limited(at),
                10 => self.send(at),
                11 => self.time(),
                _ => self.close(at),
            }
            self.settle();
        }
        let all = Sqe { op_flags: cancel_flags::ANY | cancel_flags::ALL, ..cancel(0xff, 0, 0) };
        self.push(all);
        self.settle();
        for connection in self.connections.iter().filter(|connection| connection.closed) {
            self.machine.disown(connection.fd);
        }
        self.said
    }

    fn push(&mut self, sqe: Sqe) {
        self.said.push(format!("{} {:#x}", opcode::name(sqe.opcode), sqe.user_data));
        self.machine.push(sqe);
    }

    /// Until nothing comes any more.
    fn settle(&mut self) {
        let mut seen = Vec::new();
        let mut quiet = 0;
        while quiet < 4 {
            self.machine.calm();
            self.machine.ring.enter(Wait::Poll).expect("nothing goes wrong");
            let before = seen.len();
            seen.extend(std::iter::from_fn(|| self.machine.ring.pop()));
            quiet = if seen.len() == before { quiet + 1 } else { 0 };
        }
        // Who is first of several is the ring's affair.
        seen.sort_by_key(|cqe| cqe.user_data);
        for cqe in seen {
            self.note(cqe);
        }
    }

    fn note(&mut self, cqe: Cqe) {
        let mut words = self.machine.words(vec![Cqe { flags: cqe.flags & 0xffff, ..cqe }]);
        if cqe.buffer_id().is_some() && cqe.result >= 0 {
            words.push(format!("{:?}", self.buffers.bytes(cqe)));
        }
        if let Some(id) = cqe.buffer_id() {
            self.buffers.put_back(id);
        }
        if let Some(memory) = self.memory.get(&cqe.user_data) {
            words.push(format!("{:?}", memory.bytes()));
        }
        if !cqe.more() {
            let ended = |it: &&mut Connection| it.receiver == Some(cqe.user_data);
            self.connections.iter_mut().filter(ended).for_each(|it| it.receiver = None);
        }
        self.said.extend(words);
    }

    fn free(&mut self, at: usize) -> Option<(u64, i32)> {
        let name = self.name();
        let connection = &mut self.connections[at];
        if connection.closed || connection.receiver.is_some() {
            return None;
        }
        connection.receiver = Some(name);
        Some((name, connection.fd))
    }

    fn memory(&mut self, name: u64) -> Memory {
        let memory = Memory::new(1 + self.random.below(6) as usize);
        self.memory.insert(name, memory);
        memory
    }

    fn receive(&mut self, at: usize) {
        let Some((name, fd)) = self.free(at) else { return };
        let sqe = match self.random.below(5) {
            0 => recv(name, fd, self.memory(name)),
            1 => Sqe { op_flags: libc::MSG_WAITALL as u32, ..recv(name, fd, self.memory(name)) },
            2 => recv_select(name, fd, GROUP),
            3 => Sqe { ioprio: socket_flags::POLL_FIRST, ..recv(name, fd, self.memory(name)) },
            _ => recv_multishot(name, fd, GROUP),
        };
        self.push(sqe);
    }

    fn arrive(&mut self, at: usize) {
        let count = 1 + self.random.below(10) as usize;
        let mut bytes = vec![0; count];
        self.random.fill(&mut bytes);
        let connection = &mut self.connections[at];
        let heard = !connection.closed || connection.receiver.is_some();
        if heard && !connection.ended {
            connection.far.send(&bytes);
        }
    }

    fn end(&mut self, at: usize) {
        let connection = &mut self.connections[at];
        if !connection.ended && self.random.chance(0.3) {
            connection.ended = true;
            connection.far.shutdown_write();
        }
    }

    /// Not for bytes: whether a poll sees them before a receive has them is the ring's affair.
    fn watch(&mut self, at: usize) {
        let name = self.name();
        let connection = &self.connections[at];
        if !connection.closed {
            let events = if self.random.chance(0.5) { libc::POLLRDHUP } else { 0 };
            self.push(poll_add(name, connection.fd, events));
        }
    }

    fn cancel(&mut self, at: usize) {
        let name = self.name();
        let target = 1 + self.random.below(self.next);
        let fd = self.connections[at].fd;
        let closed = self.connections[at].closed;
        match self.random.below(4) {
            0 if !closed => {
                self.push(cancel_fd(name, fd, cancel_flags::FD | cancel_flags::ALL));
            }
            1 => self.push(cancel(name, target, cancel_flags::ALL)),
            _ => self.push(cancel(name, target, 0)),
        }
    }

    fn chain(&mut self) {
        let result = if self.random.chance(0.5) { 0 } else { -5 };
        let names = [self.name(), self.name(), self.name()];
        self.push(linked(nop(names[0])));
        self.push(linked(nop_result(names[1], result)));
        self.push(nop(names[2]));
    }

    /// A receive with a limit, and something behind it. (Limits are never over: virtual time stands
    /// still in enters that do not wait.)
    fn limited(&mut self, at: usize) {
        let Some((name, fd)) = self.free(at) else { return };
        let (limit, last) = (self.name(), self.name());
        let memory = self.memory(name);
        self.push(linked(recv(name, fd, memory)));
        self.push(linked(link_timeout(limit, HOUR)));
        self.push(nop(last));
    }

    fn send(&mut self, at: usize) {
        let name = self.name();
        let connection = &self.connections[at];
        if !connection.closed {
            self.push(send(name, connection.fd, Memory::of(b"to the far end")));
        }
    }

    fn time(&mut self) {
        let name = self.name();
        self.push(timeout(name, HOUR));
    }

    /// What is in flight on it goes on.
    fn close(&mut self, at: usize) {
        let name = self.name();
        if self.random.chance(0.4) && !std::mem::replace(&mut self.connections[at].closed, true) {
            self.push(close(name, self.connections[at].fd));
        }
    }
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("DIFFERENTIAL_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("DIFFERENTIAL_SEEDS").unwrap_or(20)).collect(),
    }
}

#[test]
fn random_programs_come_to_the_same_on_all_rings() {
    for seed in seeds() {
        println!("DIFFERENTIAL_SEED={seed}");
        same(|machine| Program::new(machine, seed).run());
    }
}
