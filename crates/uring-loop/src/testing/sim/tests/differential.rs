//! The same programs on the simulated ring and on the real one come to the same results: cancels,
//! chains, passes of work, overflow. Sockets and files are in `differential_io.rs`.

use super::rig::*;
use super::twin::{FD, Machine, same, same_enters};
use crate::driver::ring::{Hints, Sqe, Wait, cancel_flags, opcode, sqe_flags};
use crate::sys::probe::Circumstances;

const ALL: u32 = cancel_flags::ALL;
const BY_FD: u32 = cancel_flags::FD;
const ANY: u32 = cancel_flags::ANY;
const OP: u32 = 1 << 5;
const SKIP: u8 = sqe_flags::CQE_SKIP_SUCCESS;
const HARD: u8 = sqe_flags::IO_HARDLINK;
const HOUR: u64 = 3_600_000_000_000;

#[test]
fn cancels_answer_the_same() {
    let of_receives = |target| Sqe { len: u32::from(opcode::RECV), ..cancel(9, target, OP | ALL) };
    let attacks: [On<Sqe>; 12] = [
        (&|_| cancel(9, 1, 0), 2),
        (&|_| cancel(9, 1, ALL), 3),
        (&|_| cancel(9, 3, 0), 2),
        (&|_| cancel(9, 3, ALL), 2),
        (&|_| cancel(9, 77, 0), 1),
        (&|_| cancel(9, 77, ALL), 1),
        (&|_| cancel(9, 0, ANY), 4),
        (&|fd| cancel_fd(9, fd, BY_FD), 2),
        (&|fd| cancel_fd(9, fd, BY_FD | ALL), 2),
        (&|_| cancel_fd(9, -1, BY_FD), 1),
        (&|fd| cancel_fd(9, fd, BY_FD | ANY), 1),
        (&|_| of_receives(0), 3),
    ];
    for (attack, count) in attacks {
        same(|machine| {
            let [(one, _a), (two, _b)] = [machine.connection(), machine.connection()];
            machine.push(recv(1, one, Memory::new(4)));
            machine.push(recv(1, two, Memory::new(4)));
            machine.push(timeout(3, HOUR));
            machine.collect(0);
            let mut said = machine.say_all(&[attack(two)], count);
            said.extend(machine.say_all(&[cancel(9, 1, 0), cancel(10, 0, ANY)], 2 + 4 - count));
            said
        });
    }
}

#[test]
fn a_cancel_of_what_is_over_or_was_cancelled_finds_nothing() {
    same(|machine| {
        let (fd, _far) = machine.connection();
        let mut said = machine.say_all(&[nop(1), cancel(2, 1, 0)], 2);
        said.extend(
            machine.say_all(&[recv(1, fd, Memory::new(4)), cancel(2, 1, 0), cancel(3, 1, 0)], 3),
        );
        said
    });
}

#[test]
fn a_cancelled_poll_or_accept_or_multishot_ends_the_same() {
    same(|machine| {
        let (listener, _) = machine.listen();
        let (fd, _far) = machine.connection();
        let _buffers = BufferRing::new(&mut machine.ring, 0, 4, 16);
        machine.push(accept(FD + 1, listener));
        machine.push(accept_multishot(FD + 2, listener));
        machine.push(poll_add(3, fd, libc::POLLIN));
        machine.push(poll_multishot(4, fd, libc::POLLIN));
        machine.push(recv_multishot(5, fd, 0));
        machine.push(recv_select(6, fd, 0));
        machine.say_all(&[cancel(9, 0, ANY)], 7)
    });
}

#[test]
fn a_cancel_wins_over_bytes_and_loses_none() {
    same(|machine| {
        let (fd, mut far) = machine.connection();
        machine.push(recv(1, fd, Memory::new(4)));
        machine.collect(0);
        far.send(b"abc");
        machine.calm();
        let mut said = machine.say_all(&[cancel(2, 1, 0)], 2);
        said.push(machine.say(recv(3, fd, Memory::new(4))));
        said
    });
}

/// Entries with the number of completions they come to.
type Chain = (Vec<Sqe>, usize);

/// The same with entries that depend on a descriptor.
type On<'a, T> = (&'a dyn Fn(i32) -> T, usize);

fn chains() -> Vec<Chain> {
    let bad = |user_data| Sqe { off: 1, ..close(user_data, 1) };
    vec![
        (vec![linked(nop(1)), linked(nop_result(2, -5)), linked(nop(3)), nop(4)], 4),
        (vec![flagged(nop_result(1, -5), HARD), nop(2)], 2),
        (vec![flagged(nop_result(1, -5), HARD), linked(nop_result(2, -7)), nop(3)], 3),
        (vec![linked(nop(1)), linked(bad(2)), nop(3), nop(4)], 4),
        (vec![flagged(nop(1), HARD), flagged(bad(2), HARD), nop(3)], 3),
        (vec![linked(bad(1)), nop(2)], 2),
        (vec![flagged(nop(1), SKIP), nop(2)], 1),
        (vec![linked(flagged(nop_result(1, -5), SKIP)), linked(nop(2)), nop(3)], 1),
        (vec![linked(nop_result(1, -5)), linked(flagged(nop(2), SKIP)), flagged(nop(3), SKIP)], 3),
        (vec![linked(flagged(bad(1), SKIP)), nop(2)], 1),
        (vec![linked(flagged(nop(1), SKIP)), linked(flagged(nop(2), SKIP)), nop(3)], 1),
        (vec![link_timeout(1, 5)], 1),
        (vec![linked(nop(1)), linked(link_timeout(2, 5)), link_timeout(3, 5)], 3),
        (vec![linked(nop(1)), link_timeout(2, HOUR)], 2),
        (vec![linked(nop(1)), linked(link_timeout(2, HOUR)), nop(3)], 3),
        (vec![linked(nop(1)), flagged(link_timeout(2, HOUR), SKIP)], 1),
        (vec![linked(timeout(1, 1_000)), nop(2)], 2),
        (vec![linked(Sqe { op_flags: 1 << 5, ..timeout(1, 1_000) }), nop(2)], 2),
        (vec![entry(250, 1, 0)], 1),
        (vec![flagged(accept(1, -1), sqe_flags::BUFFER_SELECT)], 1),
        (vec![recv(1, -1, Memory::new(1))], 1),
        (vec![Sqe { addr: 0, ..timeout(1, 5) }], 1),
        (vec![Sqe { len: 2, ..timeout(1, 5) }], 1),
    ]
}

#[test]
fn chains_end_the_same() {
    for (chain, count) in chains() {
        same(|machine| machine.say_all(&chain, count));
    }
}

#[test]
fn chains_over_a_connection_end_the_same() {
    let buffer = || Memory::new(8);
    let whole =
        |user_data, fd| Sqe { op_flags: libc::MSG_WAITALL as u32, ..recv(user_data, fd, buffer()) };
    let guard = |skip| flagged(link_timeout(2, 2_000_000), skip);
    let chains: [On<Vec<Sqe>>; 7] = [
        // A short receive is no failure, unless it was to be whole.
        (&|fd| vec![linked(recv(1, fd, buffer())), nop(2), nop(3)], 3),
        (&|fd| vec![linked(whole(1, fd)), nop(2), nop(3)], 3),
        (&|fd| vec![linked(send(1, fd, Memory::of(b"x"))), nop(2), nop(3)], 3),
        (&|fd| vec![linked(poll_add(1, fd, libc::POLLIN)), linked(guard(0)), nop(3)], 3),
        // The first takes the bytes, the second finds the end.
        (&|fd| vec![linked(recv(1, fd, buffer())), linked(recv(2, fd, buffer())), nop(3)], 3),
        (&|_| vec![linked(timeout(1, HOUR)), linked(guard(0)), nop(3)], 3),
        (&|_| vec![linked(timeout(1, HOUR)), linked(guard(SKIP)), nop(3)], 2),
    ];
    for (chain, count) in chains {
        same(|machine| {
            let (fd, mut far) = machine.connection();
            far.send(b"abc");
            far.shutdown_write();
            machine.calm();
            machine.say_all(&chain(fd), count)
        });
    }
}

/// One enter, and what can be seen of it without a wait.
fn look(machine: &mut Machine, wait: Wait) -> String {
    machine.calm();
    let result = machine.ring.enter(wait).map_err(|error| error.raw_os_error());
    let cqes: Vec<_> = std::iter::from_fn(|| machine.ring.pop()).collect();
    let Hints { taskrun, overflow, .. } = machine.ring.hints();
    format!("{result:?} {:?} taskrun {taskrun} overflow {overflow}", results(&cqes))
}

#[test]
fn what_completes_at_once_is_seen_after_a_mere_submit_and_links_take_a_pass() {
    same_enters(256, |machine| {
        machine.push(nop(1));
        let mut said = vec![look(machine, Wait::Submit)];
        machine.push(linked(nop(1)));
        machine.push(linked(nop(2)));
        machine.push(nop(3));
        said.push(look(machine, Wait::Submit));
        said.push(look(machine, Wait::Submit));
        said.push(look(machine, Wait::Poll));
        said.push(look(machine, Wait::Poll));
        machine.push(linked(nop_result(1, -5)));
        machine.push(nop(2));
        said.push(look(machine, Wait::Submit));
        said.push(look(machine, Wait::Poll));
        said
    });
}

#[test]
fn a_late_result_is_seen_after_a_pass_only() {
    same_enters(256, |machine| {
        let (fd, mut far) = machine.connection();
        machine.push(recv(1, fd, Memory::new(4)));
        let mut said = vec![look(machine, Wait::Submit)];
        far.send(b"x");
        said.push(look(machine, Wait::Submit));
        said.push(look(machine, Wait::Poll));
        machine.push(recv(1, fd, Memory::new(4)));
        machine.push(cancel(2, 1, 0));
        said.push(look(machine, Wait::Submit));
        said.push(look(machine, Wait::Poll));
        said
    });
}

#[test]
fn a_deadline_that_passes_is_told_only_if_nothing_was_submitted() {
    same_enters(256, |machine| {
        let (fd, _far) = machine.connection();
        machine.push(recv(1, fd, Memory::new(4)));
        vec![look(machine, Wait::Until(1)), look(machine, Wait::Until(1))]
    });
}

#[test]
fn overflow_goes_the_same_way() {
    const ENTRIES: u32 = 4;
    for multishot in [false, true] {
        same_enters(ENTRIES, |machine| {
            let (listener, address) = machine.listen();
            let fars: Vec<_> = if multishot {
                machine.push(accept_multishot(FD, listener));
                machine.collect(0);
                (0..6).map(|_| machine.dial(address)).collect()
            } else {
                Vec::new()
            };
            let mut said = Vec::new();
            for round in 0..2 {
                (0..ENTRIES).for_each(|at| machine.push(nop(u64::from(round * ENTRIES + at))));
                machine.ring.enter(Wait::Submit).expect("nothing goes wrong");
                said.push(format!("{:?}", machine.ring.hints()));
            }
            machine.ring.enter(Wait::Poll).expect("nothing goes wrong");
            let mut cqes = Vec::new();
            for _ in 0..8 {
                cqes.extend(std::iter::from_fn(|| machine.ring.pop()));
                machine.ring.enter(Wait::Poll).expect("nothing goes wrong");
            }
            cqes.extend(std::iter::from_fn(|| machine.ring.pop()));
            said.extend(machine.words(cqes));
            drop(fars);
            said
        });
    }
}

/// Since Linux 6.13 an enter runs so many items of work, twice if it submits too.
#[test]
fn work_is_done_in_portions_of_the_same_size() {
    if !bounds_its_work(&Circumstances::read().kernel) {
        return println!("skipped: this kernel runs all the work it finds");
    }
    same_enters(256, |machine| {
        let mut connections: Vec<_> = (0..50).map(|_| machine.connection()).collect();
        let mut said = Vec::new();
        for (submits, wait) in [(true, Wait::Poll), (false, Wait::Poll), (false, Wait::Forever)] {
            for (at, (fd, _)) in connections.iter().enumerate() {
                machine.push(recv(at as u64, *fd, Memory::new(4)));
            }
            machine.collect(0);
            connections.iter_mut().for_each(|(_, far)| far.send(b"x"));
            if submits {
                machine.push(nop(99));
            }
            said.extend((0..3).map(|_| look(machine, wait)));
        }
        said
    });
}

fn bounds_its_work(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map_while(|word| word.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(13))
}
