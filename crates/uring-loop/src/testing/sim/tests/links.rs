//! Chains: links, hard links, linked timeouts, and completions that are skipped.

use super::rig::*;
use crate::driver::ring::{Sqe, Wait, sqe_flags};

const SKIP: u8 = sqe_flags::CQE_SKIP_SUCCESS;

fn run(rig: &mut Rig, chain: impl IntoIterator<Item = Sqe>) -> Vec<(u64, i32)> {
    chain.into_iter().for_each(|sqe| rig.push(sqe));
    let mut seen = rig.poll();
    while rig.ring.hints().any() {
        seen.extend(rig.poll());
    }
    results(&seen)
}

#[test]
fn a_chain_runs_in_order() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let buffer = Memory::new(4);
    let chain =
        [linked(send(1, fd, Memory::of(b"ping"))), linked(recv(2, fd, buffer)), close(3, fd)];
    assert_eq!(run(&mut rig, chain), [(1, 4)]);
    assert_eq!(rig.sim.in_flight(), 2);
    peer.send("pong").expect("open");
    assert_eq!(run(&mut rig, []), [(2, 4), (3, 0)]);
    assert_eq!((peer.recv(), peer.ended()), (b"ping".to_vec(), true));
}

#[test]
fn a_failure_cancels_the_rest_and_a_hard_link_does_not_care() {
    let mut rig = Rig::new();
    let soft = [linked(nop(1)), linked(nop_result(2, -5)), linked(nop(3)), nop(4)];
    let ecanceled = -libc::ECANCELED;
    assert_eq!(run(&mut rig, soft), [(1, 0), (2, -5), (3, ecanceled), (4, ecanceled)]);
    let hard = [flagged(nop_result(1, -5), sqe_flags::IO_HARDLINK), nop(2)];
    assert_eq!(run(&mut rig, hard), [(1, -5), (2, 0)]);
}

#[test]
fn a_short_read_breaks_a_chain() {
    let mut rig = Rig::new();
    let file = rig.sim.create_file("abc");
    let chain = [linked(read(1, file, 0, Memory::new(8))), nop(2)];
    assert_eq!(run(&mut rig, chain), [(1, 3), (2, -libc::ECANCELED)]);
    let chain = [linked(read(1, file, 0, Memory::new(3))), nop(2)];
    assert_eq!(run(&mut rig, chain), [(1, 3), (2, 0)]);
}

#[test]
fn one_bad_entry_fails_the_whole_chain() {
    let mut rig = Rig::new();
    let bad = Sqe { off: 1, ..close(2, 1) };
    let chain = [linked(nop(1)), linked(bad), nop(3), nop(4)];
    let ecanceled = -libc::ECANCELED;
    let seen = run(&mut rig, chain);
    assert_eq!(seen, [(1, ecanceled), (4, 0), (2, -libc::EINVAL), (3, ecanceled)]);
}

#[test]
fn a_chain_ends_with_the_enter_that_submits_it() {
    let mut rig = Rig::new();
    rig.push(linked(nop_result(1, -5)));
    rig.ring.enter(Wait::Submit).expect("nothing goes wrong");
    assert_eq!(run(&mut rig, [nop(2)]), [(1, -5), (2, 0)]);
}

#[test]
fn success_is_silent_where_it_was_asked_to_be() {
    let mut rig = Rig::new();
    assert_eq!(run(&mut rig, [flagged(nop(1), SKIP), nop(2)]), [(2, 0)]);
    // Failure is not; but then what was linked behind it is.
    let chain = [flagged(nop_result(1, -5), SKIP | sqe_flags::IO_LINK), linked(nop(2)), nop(3)];
    assert_eq!(run(&mut rig, chain), [(1, -5)]);
    let chain = [linked(nop_result(1, -5)), flagged(nop(2), SKIP)];
    assert_eq!(run(&mut rig, chain), [(1, -5), (2, -libc::ECANCELED)]);
    assert_eq!(rig.sim.in_flight(), 0);
}

#[test]
fn a_linked_timeout_cancels_what_is_too_slow() {
    let mut rig = Rig::new();
    let (fd, _peer) = rig.connection();
    let chain = [linked(recv(1, fd, Memory::new(4))), linked(link_timeout(2, 1_000)), nop(3)];
    assert_eq!(run(&mut rig, chain), []);
    let mut seen = results(&rig.wait());
    seen.extend(run(&mut rig, []));
    seen.sort();
    let ecanceled = -libc::ECANCELED;
    assert_eq!(seen, [(1, ecanceled), (2, -libc::ETIME), (3, ecanceled)]);
    assert_eq!(rig.sim.now(), 1_000);
}

#[test]
fn a_linked_timeout_is_cancelled_by_what_is_in_time() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let chain = |skip| {
        let guard = flagged(link_timeout(2, 1_000), skip);
        [linked(recv(1, fd, Memory::new(4))), linked(guard), nop(3)]
    };
    assert_eq!(run(&mut rig, chain(0)), []);
    peer.send("x").expect("open");
    assert_eq!(run(&mut rig, []), [(1, 1), (2, -libc::ECANCELED), (3, 0)]);
    // At once, too; and without a word where that was asked for.
    peer.send("x").expect("open");
    assert_eq!(run(&mut rig, chain(SKIP)), [(1, 1), (3, 0)]);
}

#[test]
fn a_linked_timeout_needs_something_to_watch() {
    let mut rig = Rig::new();
    assert_eq!(run(&mut rig, [link_timeout(1, 5)]), [(1, -libc::EINVAL)]);
    let chain = [linked(nop(1)), linked(link_timeout(2, 5)), link_timeout(3, 5)];
    let ecanceled = -libc::ECANCELED;
    assert_eq!(run(&mut rig, chain), [(1, ecanceled), (2, ecanceled), (3, -libc::EINVAL)]);
}
