//! Bounded queues, passes of work, and the errors of enter.

use super::rig::*;
use crate::driver::ring::{Hints, Wait};
use crate::testing::sim::{Event, Faults, SimConfig};

#[test]
fn a_full_submission_queue_says_no_until_it_was_entered() {
    let mut rig = Rig::with(SimConfig { submissions: 2, ..SimConfig::default() });
    assert!(rig.ring.push(&nop(1)) && rig.ring.push(&nop(2)));
    assert!(!rig.ring.push(&nop(3)));
    assert_eq!(rig.ring.unsubmitted(), 2);
    rig.ring.enter(Wait::Submit).expect("nothing goes wrong");
    assert_eq!(rig.ring.unsubmitted(), 0);
    assert!(rig.ring.push(&nop(3)));
}

#[test]
fn nothing_completes_without_an_enter_and_no_work_is_run_by_a_mere_submit() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    rig.push(recv(1, fd, Memory::new(4)));
    assert_eq!(rig.ring.hints(), Hints::default());
    rig.ring.enter(Wait::Submit).expect("nothing goes wrong");
    peer.send("x").expect("open");
    rig.ring.enter(Wait::Submit).expect("nothing goes wrong");
    assert_eq!(rig.ring.hints(), Hints { taskrun: true, ..Hints::default() });
    assert_eq!(rig.pop_all(), []);
    rig.ring.enter(Wait::Poll).expect("nothing goes wrong");
    assert_eq!(rig.ring.hints(), Hints { completions: true, ..Hints::default() });
    assert_eq!(results(&rig.pop_all()), [(1, 1)]);
}

#[test]
fn a_pass_does_so_much_work_and_the_hint_stays_up_for_the_rest() {
    let mut rig = Rig::new();
    let (fds, peers): (Vec<_>, Vec<_>) = (0..50).map(|_| rig.connection()).unzip();
    for (at, fd) in fds.iter().enumerate() {
        rig.push(recv(at as u64, *fd, Memory::new(4)));
    }
    assert_eq!(rig.poll(), []);
    peers.iter().for_each(|peer| peer.send("x").expect("open"));
    assert_eq!(rig.poll().len(), 20);
    assert!(rig.ring.hints().taskrun);
    assert_eq!((rig.poll().len(), rig.poll().len()), (20, 10));
    assert!(!rig.ring.hints().taskrun);
}

#[test]
fn what_overflows_waits_in_a_backlog_and_comes_in_order() {
    let mut rig = Rig::with(SimConfig { completions: 2, ..SimConfig::default() });
    (0..5).for_each(|user_data| rig.push(nop(user_data)));
    rig.ring.enter(Wait::Submit).expect("nothing goes wrong");
    assert!(rig.ring.hints().overflow);
    let mut seen = rig.pop_all();
    while rig.ring.hints().overflow {
        seen.extend(rig.poll());
    }
    assert_eq!(results(&seen), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]);
    let overflowed = |event: &Event| matches!(event, Event::Completed { overflowed: true, .. });
    assert_eq!(rig.sim.log().iter().filter(|event| overflowed(event)).count(), 3);
}

#[test]
fn a_multishot_that_meets_overflow_is_ended_but_its_result_is_not_lost() {
    let mut rig = Rig::with(SimConfig { completions: 1, ..SimConfig::default() });
    let (listener, address) = rig.sim.listen(local(0)).expect("a free port");
    rig.push(accept_multishot(1, listener));
    assert_eq!(rig.poll(), []);
    let _peers: Vec<_> = (0..2).map(|_| rig.sim.peer_connect(address).expect("room")).collect();
    let first = rig.poll();
    assert!(first[0].more());
    assert!(rig.ring.hints().overflow);
    let second = rig.poll();
    assert!(second[0].result > 0 && !second[0].more());
    assert_eq!(rig.sim.in_flight(), 0);
}

#[test]
fn enter_fails_as_scripted_and_has_consumed_nothing() {
    let mut rig = Rig::new();
    rig.sim.next_enter(libc::EBUSY);
    rig.sim.next_enter(libc::EAGAIN);
    rig.push(nop(1));
    for errno in [libc::EBUSY, libc::EAGAIN] {
        let error = rig.ring.enter(Wait::Poll).expect_err("it was scripted");
        assert_eq!(error.raw_os_error(), Some(errno));
        assert_eq!(rig.ring.unsubmitted(), 1);
    }
    assert_eq!(results(&rig.poll()), [(1, 0)]);
}

#[test]
fn a_signal_ends_a_wait_but_is_told_only_if_nothing_was_submitted() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    rig.sim.next_enter(libc::EINTR);
    rig.push(recv(1, fd, Memory::new(4)));
    rig.ring.enter(Wait::Forever).expect("it has submitted something");
    assert_eq!(rig.pop_all(), []);
    rig.sim.next_enter(libc::EINTR);
    let error = rig.ring.enter(Wait::Forever).expect_err("it was scripted");
    assert_eq!(error.raw_os_error(), Some(libc::EINTR));
    rig.sim.next_enter(libc::EINTR);
    peer.send("x").expect("open");
    assert_eq!(results(&rig.wait()), [(1, 1)], "who has something does not wait");
}

#[test]
fn a_partial_submit_tears_no_chain_and_loses_no_entry() {
    let faults = Faults::none().partial_submit(1.0);
    let mut rig = Rig::with(SimConfig { faults, ..SimConfig::seeded(3) });
    for user_data in 0..9 {
        rig.push(if user_data % 3 == 2 { nop(user_data) } else { linked(nop(user_data)) });
    }
    let mut seen = Vec::new();
    while rig.ring.unsubmitted() > 0 {
        seen.extend(rig.poll());
        assert_eq!(rig.ring.unsubmitted() % 3, 0);
    }
    while rig.ring.hints().any() {
        seen.extend(rig.poll());
    }
    assert_eq!(seen.len(), 9);
    assert!(seen.iter().all(|cqe| cqe.result == 0));
}

#[test]
fn a_refused_set_up_looks_as_the_real_one() {
    let config = SimConfig { refuse: Some(libc::ENOMEM), ..SimConfig::default() };
    let error = crate::testing::sim::Sim::new(config).expect_err("it was told to");
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    assert!(error.to_string().contains("RLIMIT_MEMLOCK"), "{error}");
}

#[test]
#[should_panic(expected = "nothing can complete. In flight: RECV 0x1")]
fn a_wait_for_what_can_never_come_is_a_panic_that_names_it() {
    let mut rig = Rig::new();
    let (fd, _peer) = rig.connection();
    rig.push(recv(1, fd, Memory::new(4)));
    rig.wait();
}
