//! The virtual clock: deadlines, timeouts, plans.

use super::rig::*;
use crate::driver::ring::{Sqe, Wait, opcode};
use crate::testing::sim::{Fault, SimConfig};

#[track_caller]
fn late(rig: &mut Rig, deadline: u64) {
    let error = rig.ring.enter(Wait::Until(deadline)).expect_err("nothing is due");
    assert_eq!(error.raw_os_error(), Some(libc::ETIME));
    assert_eq!(rig.sim.now(), deadline);
}

#[test]
fn a_deadline_is_reached_at_once_when_nothing_is_due() {
    let mut rig = Rig::with(SimConfig { start: 5, ..SimConfig::default() });
    assert_eq!(rig.sim.now(), 5);
    late(&mut rig, 3_600_000_000_000);
    // A deadline in the past does not turn the clock back.
    rig.ring.enter(Wait::Until(7)).expect_err("it is past");
    assert_eq!(rig.sim.now(), 3_600_000_000_000);
}

#[test]
fn a_timeout_after_a_submission_is_not_told() {
    let mut rig = Rig::new();
    let (fd, _peer) = rig.connection();
    rig.push(recv(1, fd, Memory::new(4)));
    rig.ring.enter(Wait::Until(50)).expect("it has submitted something");
    assert_eq!((rig.pop_all(), rig.sim.now()), (vec![], 50));
}

#[test]
fn a_timeout_comes_at_its_moment() {
    let mut rig = Rig::new();
    rig.push(timeout(1, 100));
    let absolute = Sqe { op_flags: 1, ..timeout(2, 40) };
    rig.push(absolute);
    rig.ring.enter(Wait::Submit).expect("nothing goes wrong");
    late(&mut rig, 30);
    assert_eq!(results(&rig.wait()), [(2, -libc::ETIME)]);
    assert_eq!(rig.sim.now(), 40);
    rig.sim.advance(60);
    assert!(rig.ring.hints().taskrun);
    assert_eq!(results(&rig.poll()), [(1, -libc::ETIME)]);
}

#[test]
fn a_timeout_may_count_completions_instead() {
    let mut rig = Rig::new();
    rig.push(Sqe { off: 2, ..timeout(1, 1_000) });
    rig.push(nop(2));
    assert_eq!(results(&rig.poll()), [(2, 0)]);
    rig.push(nop(3));
    assert_eq!(results(&rig.poll()), [(3, 0), (1, 0)]);
}

#[test]
fn plans_are_carried_out_while_an_enter_waits() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    rig.push(recv(1, fd, Memory::new(4)));
    rig.sim.at(200, move |_| peer.send("abc").expect("open"));
    late_or_submitted(&mut rig, 100);
    rig.ring.enter(Wait::Until(1_000)).expect("the plan comes first");
    assert_eq!((results(&rig.pop_all()), rig.sim.now()), (vec![(1, 3)], 200));
}

fn late_or_submitted(rig: &mut Rig, deadline: u64) {
    rig.ring.enter(Wait::Until(deadline)).expect("it has submitted something");
    assert_eq!(rig.sim.now(), deadline);
}

#[test]
fn plans_are_carried_out_by_advance_in_their_order() {
    let rig = Rig::new();
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    for moment in [30, 10, 20, 99] {
        let seen = seen.clone();
        rig.sim.at(moment, move |sim| seen.borrow_mut().push((moment, sim.now())));
    }
    rig.sim.advance(50);
    assert_eq!(*seen.borrow(), [(10, 10), (20, 20), (30, 30)]);
    assert_eq!(rig.sim.now(), 50);
}

#[test]
fn a_deadline_can_come_before_a_slow_operation() {
    let mut rig = Rig::new();
    let file = rig.sim.create_file("abc");
    rig.sim.next(opcode::READ, Fault::Latency(500));
    rig.push(read(1, file, 0, Memory::new(3)));
    rig.ring.enter(Wait::Submit).expect("nothing goes wrong");
    late(&mut rig, 100);
    rig.ring.enter(Wait::Until(9_000)).expect("the read comes first");
    assert_eq!((results(&rig.pop_all()), rig.sim.now()), (vec![(1, 3)], 500));
}
