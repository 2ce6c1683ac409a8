//! The same programs on the simulated ring and on the real one come to the same results: sockets
//! and files. The ring itself is in `differential.rs`.

use super::rig::*;
use super::twin::{FD, Far, Machine, same};
use crate::driver::ring::{Sqe, Wait, opcode, socket_flags, sqe_flags};

const SKIP: u8 = sqe_flags::CQE_SKIP_SUCCESS;

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
