//! The matrix of cancels: by what, of what, and what comes of it.

use super::rig::*;
use crate::driver::ring::{Cqe, Sqe, Wait, cancel_flags, opcode};
use crate::testing::sim::{Fault, Peer, SimConfig};

const ALL: u32 = cancel_flags::ALL;
const FD: u32 = cancel_flags::FD;
const ANY: u32 = cancel_flags::ANY;
const OP: u32 = 1 << 5;
const ECANCELED: i32 = -libc::ECANCELED;

/// Two receives and a timeout in flight on two connections.
struct Busy {
    rig: Rig,
    fds: [i32; 2],
    _peers: [Peer; 2],
}

fn busy() -> Busy {
    let mut rig = Rig::new();
    let [(one, a), (two, b)] = [rig.connection(), rig.connection()];
    rig.push(recv(1, one, Memory::new(4)));
    rig.push(recv(1, two, Memory::new(4)));
    rig.push(timeout(3, 1_000_000));
    assert_eq!(rig.poll(), []);
    Busy { rig, fds: [one, two], _peers: [a, b] }
}

/// The answer of the cancel, and what it has ended.
fn outcome(busy: &mut Busy, sqe: Sqe) -> (i32, Vec<u64>) {
    busy.rig.push(sqe);
    let cqes = busy.rig.poll();
    let (answers, ended): (Vec<Cqe>, Vec<Cqe>) =
        cqes.into_iter().partition(|cqe| cqe.user_data == 9);
    assert!(ended.iter().all(|cqe| cqe.result == ECANCELED && !cqe.more()), "{ended:?}");
    (answers[0].result, ended.iter().map(|cqe| cqe.user_data).collect())
}

#[test]
fn each_way_to_aim_hits_what_it_means() {
    assert_eq!(outcome(&mut busy(), cancel(9, 1, 0)), (0, vec![1]));
    assert_eq!(outcome(&mut busy(), cancel(9, 1, ALL)), (2, vec![1, 1]));
    assert_eq!(outcome(&mut busy(), cancel(9, 3, 0)), (0, vec![3]));
    assert_eq!(outcome(&mut busy(), cancel(9, 8, 0)), (-libc::ENOENT, vec![]));
    assert_eq!(outcome(&mut busy(), cancel(9, 8, ALL)), (0, vec![]));
    assert_eq!(outcome(&mut busy(), cancel(9, 0, ANY)), (3, vec![1, 1, 3]));
    let fd = busy().fds[1];
    assert_eq!(outcome(&mut busy(), cancel_fd(9, fd, FD)), (0, vec![1]));
    assert_eq!(outcome(&mut busy(), cancel_fd(9, fd, FD | ALL)), (1, vec![1]));
    assert_eq!(outcome(&mut busy(), cancel_fd(9, 5, FD | ALL)), (0, vec![]));
    assert_eq!(outcome(&mut busy(), cancel_fd(9, fd + 99, FD)), (-libc::EBADF, vec![]));
    assert_eq!(outcome(&mut busy(), cancel_fd(9, fd, FD | ANY)), (-libc::EINVAL, vec![]));
    let of_receives = Sqe { len: u32::from(opcode::RECV), ..cancel(9, 0, OP | ALL) };
    assert_eq!(outcome(&mut busy(), of_receives), (2, vec![1, 1]));
}

#[test]
fn what_was_cancelled_is_not_found_again_and_its_end_is_completion_work() {
    let Busy { mut rig, fds: _, _peers } = busy();
    rig.push(cancel(9, 3, 0));
    rig.push(cancel(10, 3, 0));
    rig.ring.enter(Wait::Submit).expect("nothing goes wrong");
    assert_eq!(results(&rig.pop_all()), [(9, 0), (10, -libc::ENOENT)]);
    assert!(rig.ring.hints().taskrun);
    assert_eq!(results(&rig.poll()), [(3, ECANCELED)]);
}

#[test]
fn a_cancel_wins_over_bytes_that_have_arrived_but_not_been_taken() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    rig.push(recv(1, fd, Memory::new(4)));
    assert_eq!(rig.poll(), []);
    peer.send("x").expect("open");
    rig.push(cancel(2, 1, 0));
    assert_eq!(results(&rig.poll()), [(2, 0), (1, ECANCELED)]);
    assert_eq!(rig.run(recv(3, fd, Memory::new(4))).result, 1, "nothing was lost");
}

#[test]
fn a_cancelled_transfer_tells_what_it_had_moved() {
    let mut rig = Rig::with(SimConfig { send_buffer: 4, ..SimConfig::default() });
    let (fd, _peer) = rig.connection();
    rig.push(send_all(1, fd, Memory::of(b"abcdef")));
    rig.push(cancel(2, 1, 0));
    assert_eq!(results(&rig.poll()), [(2, 0), (1, 4)]);
}

#[test]
fn a_file_operation_in_hand_cannot_be_cancelled() {
    let mut rig = Rig::new();
    let file = rig.sim.create_file("abc");
    let mut answers = std::collections::BTreeSet::new();
    for _ in 0..32 {
        rig.sim.next(opcode::READ, Fault::Delay(3));
        rig.push(read(1, file, 0, Memory::new(3)));
        rig.push(cancel(2, 1, 0));
        let cqes = rig.poll();
        assert_eq!((cqes.len(), cqes[0].user_data), (1, 2));
        answers.insert(cqes[0].result);
        assert_eq!(results(&rig.wait()), [(1, 3)]);
    }
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), [-libc::EALREADY, -libc::ENOENT]);
}

fn wait_for(rig: &mut Rig, count: usize) -> Vec<Cqe> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.extend(rig.wait());
    }
    seen
}

#[test]
fn a_lost_cancel_lets_the_operation_succeed() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    rig.sim.next(opcode::RECV, Fault::LoseCancel);
    rig.push(recv(1, fd, Memory::new(4)));
    assert_eq!(rig.poll(), []);
    peer.send("abc").expect("open");
    rig.push(cancel(2, 1, 0));
    let seen = wait_for(&mut rig, 2);
    assert!([-libc::EALREADY, -libc::ENOENT].contains(&seen[0].result), "{seen:?}");
    assert_eq!(results(&seen[1..]), [(1, 3)]);
}

#[test]
fn a_lost_cancel_of_an_accept_yields_a_descriptor() {
    for sqe in [accept, accept_multishot] {
        let mut rig = Rig::new();
        let (listener, _) = rig.sim.listen(local(0)).expect("a free port");
        rig.sim.next(opcode::ACCEPT, Fault::LoseCancel);
        rig.push(sqe(1, listener));
        rig.push(cancel(2, 1, 0));
        let seen = wait_for(&mut rig, 2);
        let late = seen[1];
        assert!(late.user_data == 1 && late.result > 0 && !late.more(), "{late:?}");
        assert_eq!(rig.run(recv(3, late.result, Memory::new(4))).result, 0, "nobody is there");
    }
}

#[test]
fn a_lost_cancel_with_nothing_to_succeed_with_still_ends() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..32 {
        let mut rig = Rig::with(SimConfig::seeded(seed));
        let (fd, _peer) = rig.connection();
        rig.sim.next(opcode::RECV, Fault::LoseCancel);
        rig.push(recv(1, fd, Memory::new(4)));
        rig.push(cancel(2, 1, 0));
        let seen = wait_for(&mut rig, 2);
        ends.insert(seen[1].result);
    }
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [ECANCELED, -libc::EINTR]);
}
