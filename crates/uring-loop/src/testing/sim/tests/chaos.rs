//! Everything at once: one seed is one run, and whatever happens nothing is lost.

use std::collections::BTreeMap;

use super::rig::*;
use crate::driver::ring::{Cqe, Wait, cancel_flags};
use crate::testing::sim::{Event, SimConfig};

/// A small echo server made by hand on one ring, with all faults on. Answers with the log.
struct Echo {
    rig: Rig,
    listener: i32,
    listening: bool,
    /// By user data: the descriptor, its memory and the bytes to send back.
    connections: BTreeMap<u64, (i32, Memory, Vec<u8>)>,
    next: u64,
}

const LISTENER: u64 = 1;
const SENDING: u64 = 1 << 32;

impl Echo {
    fn turn(&mut self) {
        if !self.listening {
            self.listening = self.rig.ring.push(&accept_multishot(LISTENER, self.listener));
        }
        // All its errors are ordinary.
        let _ = self.rig.ring.enter(Wait::Poll);
        for cqe in self.rig.pop_all() {
            if cqe.user_data == LISTENER { self.accepted(cqe) } else { self.moved(cqe) }
        }
    }

    fn accepted(&mut self, cqe: Cqe) {
        self.listening = cqe.more();
        if cqe.result > 0 {
            self.next += 1;
            let memory = Memory::new(16);
            self.connections.insert(self.next, (cqe.result, memory, Vec::new()));
            self.rig.push(recv(self.next, cqe.result, memory));
        }
    }

    fn moved(&mut self, cqe: Cqe) {
        let id = cqe.user_data & !SENDING;
        let (fd, memory, pending) = self.connections.get_mut(&id).expect("a connection");
        let (fd, memory) = (*fd, *memory);
        match cqe.result {
            0 if cqe.user_data == id => {
                self.connections.remove(&id);
                self.rig.sim.close(fd).expect("it was open");
                return;
            }
            count if count > 0 && cqe.user_data == id => {
                *pending = memory.bytes()[..count as usize].to_vec();
            }
            count if count > 0 => drop(pending.drain(..count as usize)),
            errno => assert_eq!(errno, -libc::EAGAIN),
        }
        let sqe = if pending.is_empty() {
            recv(id, fd, memory)
        } else {
            send(id | SENDING, fd, Memory::of(pending))
        };
        self.rig.push(sqe);
    }
}

fn run(seed: u64) -> Vec<Event> {
    let rig = Rig::with(SimConfig { completions: 4, send_buffer: 24, ..SimConfig::chaos(seed) });
    let (listener, address) = rig.sim.listen(local(80)).expect("a free port");
    let mut echo =
        Echo { rig, listener, listening: false, connections: BTreeMap::new(), next: LISTENER };
    let mut aborted = 0;
    for round in 0..6u8 {
        let peer = echo.rig.sim.peer_connect(address).expect("room");
        let text: Vec<u8> = (0..50).map(|at| at ^ round).collect();
        peer.send(&text).expect("open");
        let mut back = Vec::new();
        while back.len() < text.len() && !peer.was_reset() {
            echo.turn();
            back.extend(peer.recv());
        }
        assert!(peer.was_reset() || back == text, "{back:?}");
        aborted += u32::from(peer.was_reset());
    }
    while !echo.connections.is_empty() {
        echo.turn();
    }
    assert!(aborted < 6, "some connections survive");
    shut_down(&mut echo)
}

/// Cancel until nothing is left; what comes late is given back.
fn shut_down(echo: &mut Echo) -> Vec<Event> {
    while echo.rig.sim.in_flight() > 0 || echo.rig.ring.hints().any() {
        echo.rig.ring.push(&cancel(2, 0, cancel_flags::ANY));
        let _ = echo.rig.ring.enter(Wait::Poll);
        for cqe in echo.rig.pop_all() {
            if cqe.user_data == LISTENER && cqe.result > 0 {
                echo.rig.sim.close(cqe.result).expect("a late descriptor");
            }
        }
    }
    echo.rig.sim.close(echo.listener).expect("it was open");
    assert_eq!(echo.rig.sim.open_descriptors(), []);
    echo.rig.sim.log()
}

#[test]
fn an_echo_server_survives_everything_and_a_seed_repeats_it() {
    let logs: Vec<_> = (0..40).map(run).collect();
    for (seed, log) in (0..40).zip(&logs) {
        assert_eq!(run(seed), *log, "seed {seed} gave two different runs");
    }
    assert_ne!(logs[0], logs[1]);
}

#[test]
fn the_log_can_be_read() {
    let mut rig = Rig::new();
    rig.run(nop(5));
    let text: Vec<String> = rig.sim.log().iter().map(ToString::to_string).collect();
    assert_eq!(text, ["> NOP 0x5 fd=-1 len=0", "< 0x5 0 flags=0x0", "= 1 consumed errno=0"]);
}

#[test]
fn a_ring_lists_what_is_in_flight() {
    let mut rig = Rig::new();
    let (fd, _peer) = rig.connection();
    rig.push(recv(0x77, fd, Memory::new(4)));
    rig.poll();
    let debug = format!("{:?}", rig.ring);
    assert!(debug.contains(&format!("RECV 0x77 fd={fd}")), "{debug}");
}
