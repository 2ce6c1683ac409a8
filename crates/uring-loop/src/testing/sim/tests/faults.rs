//! What goes wrong on purpose, one thing at a time.

use super::rig::*;
use crate::driver::ring::{Ring, Wait, opcode};
use crate::testing::sim::{Fault, Faults, SimConfig};

#[test]
fn a_scripted_failure_strikes_the_next_operation_only() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    peer.send("ab").expect("open");
    rig.sim.next(opcode::RECV, Fault::Fail(libc::EAGAIN));
    assert_eq!(rig.run(recv(1, fd, Memory::new(4))).result, -libc::EAGAIN);
    assert_eq!(rig.run(recv(2, fd, Memory::new(4))).result, 2);
}

#[test]
fn a_scripted_short_transfer_is_short_even_with_waitall() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    rig.sim.next(opcode::SEND, Fault::Short(2));
    assert_eq!(rig.run(send_all(1, fd, Memory::of(b"abc"))).result, 2);
    assert_eq!(peer.recv(), b"ab");
}

#[test]
fn a_delayed_operation_ends_so_many_enters_late() {
    let mut rig = Rig::new();
    rig.sim.next(opcode::CLOSE, Fault::Delay(2));
    let fd = rig.sim.socket().expect("room");
    rig.push(close(1, fd));
    assert_eq!((rig.poll(), rig.poll()), (vec![], vec![]));
    assert_eq!(results(&rig.poll()), [(1, 0)]);
    // Who waits does not see the delay.
    let (fd, _peer) = rig.connection();
    rig.sim.next(opcode::SHUTDOWN, Fault::Delay(9));
    assert_eq!(rig.run(shutdown(2, fd, libc::SHUT_WR)).result, 0);
}

#[test]
fn latency_is_virtual_time() {
    let faults = Faults::none().latency(500, 700);
    let mut rig = Rig::with(SimConfig { faults, ..SimConfig::seeded(1) });
    let file = rig.sim.create_file("abc");
    assert_eq!(rig.run(read(1, file, 0, Memory::new(3))).result, 3);
    assert!((500..=700).contains(&rig.sim.now()), "{}", rig.sim.now());
}

#[test]
fn a_multishot_may_end_with_a_good_result() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let _buffers = BufferRing::new(&mut rig.ring, 0, 4, 8);
    rig.push(recv_multishot(1, fd, 0));
    assert_eq!(rig.poll(), []);
    assert!(rig.sim.inflict(1, Fault::EndMultishot));
    assert!(!rig.sim.inflict(2, Fault::EndMultishot));
    peer.send("x").expect("open");
    let cqes = rig.poll();
    assert_eq!((results(&cqes), cqes[0].more()), (vec![(1, 1)], false));
    assert_eq!(rig.sim.in_flight(), 0);
}

#[test]
fn buffers_may_run_out_under_a_receive_in_flight() {
    let mut rig = Rig::new();
    let (fd, _peer) = rig.connection();
    let _buffers = BufferRing::new(&mut rig.ring, 0, 4, 8);
    rig.push(recv_multishot(1, fd, 0));
    assert_eq!(rig.poll(), []);
    rig.sim.inflict(1, Fault::Fail(libc::ENOBUFS));
    assert_eq!(results(&rig.poll()), [(1, -libc::ENOBUFS)]);
    assert_eq!(rig.sim.provided_buffers_free(0), Some(4));
}

#[test]
fn an_accept_without_descriptors_leaves_the_connection_in_the_queue() {
    let mut rig = Rig::with(SimConfig { descriptors: 1, ..SimConfig::default() });
    let (listener, address) = rig.sim.listen(local(0)).expect("a free port");
    let peer = rig.sim.peer_connect(address).expect("it listens");
    let cqe = rig.run(accept_multishot(1, listener));
    assert_eq!((cqe.result, cqe.more()), (-libc::EMFILE, false));
    assert!(!peer.was_reset());
    assert_eq!(rig.sim.socket().expect_err("full").raw_os_error(), Some(libc::EMFILE));
}

#[test]
fn an_aborted_accept_has_lost_its_connection() {
    let mut rig = Rig::new();
    let (listener, address) = rig.sim.listen(local(0)).expect("a free port");
    let [first, second] = [(); 2].map(|()| rig.sim.peer_connect(address).expect("it listens"));
    rig.sim.next(opcode::ACCEPT, Fault::Fail(libc::ECONNABORTED));
    assert_eq!(rig.run(accept(1, listener)).result, -libc::ECONNABORTED);
    assert!(first.was_reset() && !second.was_reset());
    let fd = rig.run(accept(2, listener)).result;
    assert_eq!(rig.sim.peer_addr(fd).expect("connected"), second.local_addr());
}

#[test]
fn completions_of_different_operations_change_places() {
    let orders: std::collections::BTreeSet<Vec<u64>> = (0..16)
        .map(|seed| {
            let faults = Faults::none().reorder(1.0);
            let mut rig = Rig::with(SimConfig { faults, ..SimConfig::seeded(seed) });
            let (fds, peers): (Vec<_>, Vec<_>) = (0..4).map(|_| rig.connection()).unzip();
            for (at, fd) in fds.iter().enumerate() {
                rig.push(recv(at as u64, *fd, Memory::new(4)));
            }
            rig.poll();
            peers.iter().for_each(|peer| peer.send("x").expect("open"));
            rig.poll().iter().map(|cqe| cqe.user_data).collect()
        })
        .collect();
    assert!(orders.len() > 4, "{orders:?}");
}

#[test]
fn scribbles_touch_what_is_the_kernels_and_nothing_else() {
    let faults = Faults::none().scribble(1.0);
    let mut rig = Rig::with(SimConfig { faults, ..SimConfig::seeded(1) });
    let (fd, peer) = rig.connection();
    let buffer = Memory::new(64);
    rig.push(recv(1, fd, buffer));
    rig.poll();
    let garbage = buffer.bytes();
    assert_ne!(garbage, [0; 64]);
    peer.send("abc").expect("open");
    assert_eq!(results(&rig.poll()), [(1, 3)]);
    assert_eq!(&buffer.bytes()[..3], b"abc");
    let after = buffer.bytes();
    for _ in 0..4 {
        rig.poll();
    }
    assert_eq!(buffer.bytes(), after, "the operation is over: its memory is not touched any more");
}

#[test]
fn every_chance_strikes_sooner_or_later() {
    let struck = |faults: Faults, errno: i32| {
        let config = SimConfig { faults, ..SimConfig::seeded(5) };
        let mut rig = Rig::with(config);
        let _buffers = BufferRing::new(&mut rig.ring, 0, 32, 8);
        let (listener, address) = rig.sim.listen(local(0)).expect("a free port");
        (0..200).any(|_| {
            let peer = rig.sim.peer_connect(address).expect("room");
            let fd = rig.run(accept(1, listener)).result;
            if fd < 0 {
                return fd == -errno;
            }
            peer.send("x").expect("open");
            let result = rig.run(recv_select(2, fd, 0)).result;
            rig.sim.close(fd).expect("open");
            result == -errno
        })
    };
    assert!(struck(Faults::none().again(0.1), libc::EAGAIN));
    assert!(struck(Faults::none().no_buffers(0.1), libc::ENOBUFS));
    assert!(struck(Faults::none().accept_no_descriptor(0.1), libc::EMFILE));
    assert!(struck(Faults::none().accept_aborted(0.1), libc::ECONNABORTED));
    assert!(struck(Faults::none().no_memory(0.1), libc::ENOMEM));
    assert!(struck(Faults::none().no_memory(0.1), libc::ENOBUFS));
}

#[test]
fn a_connection_that_breaks_on_the_way_is_reset_for_both_ends() {
    let faults = Faults::none().reset(1.0);
    let mut rig = Rig::with(SimConfig { faults, ..SimConfig::seeded(1) });
    let (fd, peer) = rig.connection();
    assert_eq!(rig.run(send_all(1, fd, Memory::of(b"abc"))).result, -libc::ECONNRESET);
    assert!(peer.was_reset());
    assert_eq!(rig.run(send_all(2, fd, Memory::of(b"abc"))).result, -libc::EPIPE);
}

#[test]
fn a_disk_without_memory_says_so_and_does_nothing() {
    let faults = Faults::none().no_memory(1.0);
    let mut rig = Rig::with(SimConfig { faults, ..SimConfig::seeded(1) });
    let file = rig.sim.create_file("abc");
    assert_eq!(rig.run(read(1, file, 0, Memory::new(3))).result, -libc::ENOMEM);
    rig.sim.set_faults(Faults::none());
    assert_eq!(rig.run(read(2, file, 0, Memory::new(3))).result, 3);
}

#[test]
fn closing_the_ring_does_not_wait_for_a_disk() {
    let faults = Faults::none().scribble(1.0);
    let mut rig = Rig::with(SimConfig { faults, ..SimConfig::seeded(1) });
    let file = rig.sim.create_file("abc");
    let buffer = Memory::new(64);
    rig.sim.next(opcode::READ, Fault::Latency(1_000));
    rig.push(read(1, file, 0, buffer));
    rig.ring.enter(Wait::Submit).expect("nothing goes wrong");
    assert_eq!(buffer.bytes(), [0; 64]);
    rig.ring = Ring::Closed;
    assert_ne!(buffer.bytes(), [0; 64], "who frees its buffer before the end is found out");
    assert_eq!(rig.sim.in_flight(), 0);
}
