//! The same programs on the simulated ring and on the real one come to the same results.

use super::rig::*;
use super::twin::{FD, Far, Machine, same, same_sized};
use crate::driver::ring::{Hints, Sqe, Wait, cancel_flags, opcode, socket_flags, sqe_flags};
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
    let attacks: [(&dyn Fn(i32) -> Sqe, usize); 12] = [
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

#[test]
fn multishot_accept_and_receive_go_the_same_way() {
    same(|machine| {
        let (listener, address) = machine.listen();
        let mut buffers = BufferRing::new(&mut machine.ring, 7, 4, 4);
        machine.push(accept_multishot(FD, listener));
        machine.collect(0);
        let (mut one, two) = (machine.dial(address), machine.dial(address));
        let accepted = machine.collect(2);
        assert!(accepted.iter().all(|cqe| cqe.more()));
        machine.push(recv_multishot(1, accepted[0].result, 7));
        machine.push(recv_multishot(2, accepted[1].result, 7));
        machine.collect(0);
        one.send(b"abcdef");
        let cqes = machine.collect(2);
        let mut said: Vec<String> =
            cqes.iter().map(|cqe| format!("{cqe:?} {:?}", buffers.bytes(*cqe))).collect();
        cqes.iter().for_each(|cqe| buffers.put_back(cqe.buffer_id().expect("it has one")));
        drop(two);
        said.extend(machine.say_all(&[], 1));
        one.send(b"0123456789abcdefghi");
        said.extend(machine.say_all(&[], 5));
        buffers.put_back(0);
        said.push(format!("{:?}", machine.run(recv_select(3, accepted[0].result, 7))));
        said
    });
}

#[test]
fn an_idle_receive_without_buffers_fails_at_once_unless_it_polls_first() {
    same(|machine| {
        let (fd, mut far) = machine.connection();
        let mut said =
            vec![machine.say(recv_select(1, fd, 9)), machine.say(recv_multishot(2, fd, 9))];
        machine.push(Sqe { ioprio: socket_flags::POLL_FIRST, ..recv_select(3, fd, 9) });
        machine.collect(0);
        far.send(b"x");
        said.extend(machine.say_all(&[], 1));
        said
    });
}

/// Entries with the number of completions they come to.
type Chain = (Vec<Sqe>, usize);

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
    let chains: [(&dyn Fn(i32) -> Vec<Sqe>, usize); 7] = [
        // A short receive is no failure, unless it was to be whole.
        (&|fd| vec![linked(recv(1, fd, buffer())), nop(2), nop(3)], 3),
        (&|fd| vec![linked(whole(1, fd)), nop(2), nop(3)], 3),
        (&|fd| vec![linked(send(1, fd, Memory::of(b"x"))), nop(2), nop(3)], 3),
        (&|fd| vec![linked(poll_add(1, fd, libc::POLLIN)), linked(guard(0)), nop(3)], 3),
        // The first takes the bytes, the second waits in vain.
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

#[test]
fn a_reset_is_told_the_same() {
    same(|machine| {
        let (fd, mut far) = machine.connection();
        far.send(b"last");
        machine.calm();
        far.reset();
        machine.calm();
        let receive = |user_data| recv(user_data, fd, Memory::new(99));
        let mut said: Vec<String> = (1..4).map(|at| machine.say(receive(at))).collect();
        said.push(machine.say(send(4, fd, Memory::of(b"x"))));
        said.push(machine.say(shutdown(5, fd, libc::SHUT_RDWR)));
        said
    });
    same(|machine| {
        let (fd, far) = machine.connection();
        machine.push(recv(1, fd, Memory::new(4)));
        machine.collect(0);
        far.reset();
        let mut said = machine.say_all(&[], 1);
        said.push(machine.say(send(4, fd, Memory::of(b"x"))));
        said
    });
}

#[test]
fn a_reset_of_a_polled_or_sending_connection_is_told_the_same() {
    same(|machine| {
        let (fd, far) = machine.connection();
        far.reset();
        machine.calm();
        let every = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
        vec![
            machine.say(poll_add(1, fd, every)),
            machine.say(send(2, fd, Memory::of(b"x"))),
            machine.say(send(3, fd, Memory::of(b"x"))),
            machine.say(poll_add(4, fd, every)),
            machine.say(recv(5, fd, Memory::new(4))),
        ]
    });
}

#[test]
fn a_peer_that_leaves_is_told_the_same() {
    same(|machine| {
        let (fd, far) = machine.connection();
        drop(far);
        machine.calm();
        let every = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
        let mut said = vec![machine.say(poll_add(1, fd, every))];
        said.push(machine.say(send(2, fd, Memory::of(b"x"))));
        machine.calm();
        said.push(machine.say(poll_add(3, fd, every)));
        said.push(machine.say(recv(4, fd, Memory::new(4))));
        said.push(machine.say(send(5, fd, Memory::of(b"x"))));
        said.push(machine.say(send(6, fd, Memory::of(b"x"))));
        said
    });
    // With bytes unread its kernel sends a reset.
    same(|machine| {
        let (fd, far) = machine.connection();
        let mut said = vec![machine.say(send(1, fd, Memory::of(b"unread")))];
        machine.calm();
        drop(far);
        machine.calm();
        said.push(machine.say(recv(2, fd, Memory::new(4))));
        said.push(machine.say(recv(3, fd, Memory::new(4))));
        said
    });
}

#[test]
fn half_close_is_told_the_same() {
    same(|machine| {
        let (fd, mut far) = machine.connection();
        let mut said = vec![machine.say(shutdown(1, fd, libc::SHUT_WR))];
        said.push(machine.say(send(2, fd, Memory::of(b"x"))));
        far.send(b"still");
        machine.calm();
        said.push(machine.say(recv(3, fd, Memory::new(9))));
        said.push(machine.say(shutdown(4, fd, libc::SHUT_RD)));
        said.push(machine.say(recv(5, fd, Memory::new(9))));
        said.push(machine.say(shutdown(6, fd, 9)));
        far.shutdown_write();
        machine.calm();
        said.push(machine.say(poll_add(7, fd, libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP)));
        said
    });
}

#[test]
fn connects_end_the_same() {
    same(|machine| {
        let (listener, address) = machine.listen();
        let fd = machine.socket();
        let mut said = vec![
            machine.say(poll_add(1, fd, libc::POLLIN | libc::POLLOUT)),
            machine.say(recv(2, fd, Memory::new(4))),
            machine.say(send(3, fd, Memory::of(b"x"))),
            machine.say(shutdown(4, fd, libc::SHUT_WR)),
            machine.say(connect(5, fd, address)),
            machine.say(connect(6, fd, address)),
            machine.say(poll_add(7, fd, libc::POLLIN | libc::POLLOUT)),
            machine.say(accept(FD, listener)),
        ];
        // Port 1 of the loopback: nobody is there.
        let other = machine.socket();
        said.push(machine.say(connect(8, other, local(1))));
        said.push(machine.say(connect(9, other, address)));
        said
    });
}

#[test]
fn the_wrong_descriptor_is_told_the_same() {
    same(|machine| {
        let (listener, _) = machine.listen();
        let (fd, _far) = machine.connection();
        let file = machine.file(b"text");
        vec![
            machine.say(accept(1, fd)),
            machine.say(accept(2, file)),
            machine.say(recv(3, listener, Memory::new(4))),
            machine.say(recv(4, file, Memory::new(4))),
            machine.say(send(5, listener, Memory::of(b"x"))),
            machine.say(shutdown(6, file, libc::SHUT_WR)),
            machine.say(recv(7, -1, Memory::new(4))),
            machine.say(close(8, -1)),
            machine.say(Sqe { off: 99, ..entry(opcode::SOCKET, 9, libc::AF_INET) }),
            machine.say(Sqe { off: 1, ..entry(opcode::SOCKET, 10, 99) }),
            machine.say(entry(opcode::MSG_RING, 11, fd)),
            machine
                .say(Sqe { op_flags: libc::MSG_DONTWAIT as u32, ..recv(12, fd, Memory::new(4)) }),
        ]
    });
}

#[test]
fn what_is_in_flight_survives_close_the_same() {
    same(|machine| {
        let (fd, mut far) = machine.connection();
        machine.push(recv(1, fd, Memory::new(4)));
        let fd = machine.disown(fd);
        let mut said = machine.say_all(&[close(2, fd)], 1);
        far.send(b"abc");
        said.extend(machine.say_all(&[], 1));
        said
    });
}

#[test]
fn zero_copy_sends_complete_twice_or_once_the_same() {
    let zero_copy = |machine: &mut Machine, sqe: Sqe, count| machine.say_all(&[sqe], count);
    same(|machine| {
        let (fd, mut far) = machine.connection();
        machine.push(send_zc(1, fd, Memory::of(b"abc")));
        assert_eq!(far_bytes(machine, &mut far), b"abc");
        let mut said = machine.say_all(&[], 2);
        let reports = Sqe { ioprio: 1 << 3, ..send_zc(2, fd, Memory::of(b"abc")) };
        machine.push(reports);
        assert_eq!(far_bytes(machine, &mut far), b"abc");
        said.extend(machine.say_all(&[], 2));
        said
    });
    same(|machine| {
        let fd = machine.socket();
        zero_copy(machine, send_zc(1, fd, Memory::of(b"abc")), 2)
    });
    same(|machine| zero_copy(machine, flagged(send_zc(1, -1, Memory::of(b"abc")), SKIP), 1));
    same(|machine| zero_copy(machine, send_zc(1, -1, Memory::of(b"abc")), 2));
}

fn far_bytes(machine: &mut Machine, far: &mut Far) -> Vec<u8> {
    machine.ring.enter(Wait::Submit).expect("nothing goes wrong");
    far.take(3)
}

#[test]
fn files_are_read_and_written_the_same() {
    same(|machine| {
        let file = machine.file(b"hello world");
        let buffer = Memory::new(8);
        let mut said = Vec::new();
        for (at, offset) in [0, u64::MAX, u64::MAX, 9, 11, 1 << 63].into_iter().enumerate() {
            said.push(machine.say(read(at as u64, file, offset, buffer)));
            said.push(format!("{:?}", buffer.bytes()));
        }
        said.push(machine.say(write(10, file, 20, Memory::of(b"end"))));
        said.push(machine.say(read(11, file, 16, buffer)));
        said.push(format!("{:?}", buffer.bytes()));
        said.push(machine.say(entry(opcode::FSYNC, 12, file)));
        said.push(machine.say(poll_add(13, file, libc::POLLIN | libc::POLLOUT)));
        // A short read breaks a chain.
        said.extend(machine.say_all(&[linked(read(14, file, 20, buffer)), nop(15)], 2));
        said
    });
}

#[test]
fn messages_and_vectors_go_the_same_way() {
    same(|machine| {
        let (fd, mut far) = machine.connection();
        let outgoing = message(iovecs(&[Memory::of(b"ab"), Memory::of(b"cd")]));
        let sendmsg = Sqe { addr: outgoing.address(), len: 1, ..entry(opcode::SENDMSG, 1, fd) };
        let mut said = vec![machine.say(sendmsg), format!("{:?}", far.take(4))];
        far.send(b"123456");
        machine.calm();
        let parts = [Memory::new(4), Memory::new(4)];
        let incoming = message(iovecs(&parts));
        incoming.set(48, 0xff);
        let recvmsg = Sqe { addr: incoming.address(), len: 1, ..entry(opcode::RECVMSG, 2, fd) };
        said.push(machine.say(recvmsg));
        said.push(format!("{:?}, flags {}", parts.map(Memory::bytes), incoming.bytes()[48]));
        let file = machine.file(b"");
        let vectors = iovecs(&[Memory::of(b"abc"), Memory::of(b"de")]);
        let writev = Sqe { addr: vectors.address(), len: 2, ..entry(opcode::WRITEV, 3, file) };
        said.push(machine.say(writev));
        said.push(machine.say(Sqe { opcode: opcode::READV, user_data: 4, off: 1, ..writev }));
        said
    });
}

#[test]
fn polls_go_the_same_way() {
    same(|machine| {
        let (fd, mut far) = machine.connection();
        machine.push(poll_multishot(1, fd, libc::POLLIN));
        let mut said = machine.say_all(&[poll_add(2, fd, libc::POLLIN | libc::POLLOUT)], 1);
        for _ in 0..2 {
            far.send(b"x");
            said.extend(machine.say_all(&[], 1));
        }
        said.extend(machine.say_all(&[cancel(3, 1, 0)], 2));
        said
    });
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
    same(|machine| {
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
    same(|machine| {
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
    same(|machine| {
        let (fd, _far) = machine.connection();
        machine.push(recv(1, fd, Memory::new(4)));
        vec![look(machine, Wait::Until(1)), look(machine, Wait::Until(1))]
    });
}

#[test]
fn overflow_goes_the_same_way() {
    const ENTRIES: u32 = 4;
    for multishot in [false, true] {
        same_sized(ENTRIES, |machine| {
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
    same(|machine| {
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
