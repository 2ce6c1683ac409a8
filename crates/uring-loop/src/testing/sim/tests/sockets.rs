//! Each socket operation, and how connections end.

use super::rig::*;
use crate::driver::ring::{Sqe, cqe_flags, opcode, socket_flags};
use crate::testing::sim::{DescriptorKind, SimConfig, layout};

#[test]
fn a_nop_completes() {
    assert_eq!(Rig::new().run(nop(7)).result, 0);
}

#[test]
fn an_unknown_opcode_is_invalid() {
    assert_eq!(Rig::new().run(entry(250, 1, -1)).result, -libc::EINVAL);
}

#[test]
fn bytes_go_both_ways() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    peer.send("hello").expect("it is open");
    let buffer = Memory::new(8);
    assert_eq!(rig.run(recv(1, fd, buffer)).result, 5);
    assert_eq!(&buffer.bytes()[..5], b"hello");
    assert_eq!(rig.run(send(2, fd, Memory::of(b"world"))).result, 5);
    assert_eq!(peer.recv(), b"world");
}

#[test]
fn a_receive_waits_for_its_bytes_and_says_so_by_the_taskrun_hint() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let buffer = Memory::new(8);
    rig.push(recv(1, fd, buffer));
    assert_eq!(rig.poll(), []);
    assert!(!rig.ring.hints().any());
    peer.send("late").expect("it is open");
    assert!(rig.ring.hints().taskrun);
    assert_eq!(buffer.bytes(), [0; 8], "nothing is written before the enter");
    assert_eq!(results(&rig.poll()), [(1, 4)]);
    assert!(!rig.ring.hints().any());
}

#[test]
fn accept_tells_the_address_of_who_connected() {
    let mut rig = Rig::new();
    let (listener, address) = rig.sim.listen(local(0)).expect("a free port");
    let peer = rig.sim.peer_connect(address).expect("it listens");
    let (name, length) = (Memory::new(32), Memory::of(&32u32.to_ne_bytes()));
    let sqe = Sqe { addr: name.address(), off: length.address(), ..accept(1, listener) };
    let fd = rig.run(sqe).result;
    assert_eq!(length.bytes(), 16u32.to_ne_bytes());
    assert_eq!(layout::decode_address(&name.bytes()[..16]), Ok(peer.local_addr().into()));
    assert_eq!(rig.sim.peer_addr(fd).expect("connected"), peer.local_addr());
    assert_eq!(rig.sim.local_addr(fd).expect("connected"), address);
}

#[test]
fn one_multishot_accept_takes_everybody() {
    let mut rig = Rig::new();
    let (listener, address) = rig.sim.listen(local(80)).expect("a free port");
    let _peers: Vec<_> = (0..2).map(|_| rig.sim.peer_connect(address).expect("room")).collect();
    rig.push(accept_multishot(1, listener));
    let cqes = rig.poll();
    assert_eq!(cqes.len(), 2);
    assert!(cqes.iter().all(|cqe| cqe.more() && cqe.result > listener));
    assert!(cqes[0].flags & cqe_flags::SOCK_NONEMPTY != 0);
    let _late = rig.sim.peer_connect(address).expect("room");
    assert!(rig.poll()[0].more());
    assert_eq!(rig.open(), 4);
}

#[test]
fn the_loop_connects_to_a_peer() {
    let mut rig = Rig::new();
    let listener = rig.sim.peer_listen(local(0)).expect("a free port");
    let socket = Sqe { off: libc::SOCK_STREAM as u64, ..entry(opcode::SOCKET, 1, libc::AF_INET) };
    let fd = rig.run(socket).result;
    assert_eq!(rig.sim.open_descriptors(), [(fd, DescriptorKind::Socket)]);
    assert_eq!(rig.run(connect(2, fd, listener.local_addr())).result, 0);
    let peer = listener.accept().expect("somebody connected");
    assert_eq!(peer.peer_addr(), rig.sim.local_addr(fd).expect("connected"));
    assert_eq!(rig.run(connect(3, fd, listener.local_addr())).result, -libc::EISCONN);
    assert_eq!(rig.run(send(4, fd, Memory::of(b"x"))).result, 1);
    assert_eq!(peer.recv(), b"x");
}

#[test]
fn a_connect_to_nobody_is_refused_and_to_a_black_hole_hangs() {
    let mut rig = Rig::new();
    let fd = rig.sim.socket().expect("room");
    assert_eq!(rig.run(connect(1, fd, local(9))).result, -libc::ECONNREFUSED);
    rig.sim.black_hole(local(10));
    rig.push(connect(2, fd, local(10)));
    rig.push(cancel(3, 2, 0));
    assert_eq!(results(&rig.poll()), [(3, 0), (2, -libc::ECANCELED)]);
}

#[test]
fn a_connect_waits_for_room_in_the_backlog() {
    let mut rig = Rig::with(SimConfig { backlog: 1, connect_turns: 0, ..SimConfig::default() });
    let listener = rig.sim.peer_listen(local(0)).expect("a free port");
    let fds = [1, 2].map(|user_data| {
        let fd = rig.sim.socket().expect("room");
        rig.push(connect(user_data, fd, listener.local_addr()));
        fd
    });
    assert_eq!(results(&rig.poll()), [(1, 0)]);
    let first = listener.accept().expect("it is first");
    assert_eq!(first.peer_addr(), rig.sim.local_addr(fds[0]).expect("connected"));
    assert_eq!(results(&rig.poll()), [(2, 0)]);
}

#[test]
fn sends_are_partial_when_the_way_is_full_and_whole_with_waitall() {
    let mut rig = Rig::with(SimConfig { send_buffer: 4, ..SimConfig::default() });
    let (fd, peer) = rig.connection();
    let bytes = Memory::of(b"0123456789");
    assert_eq!(rig.run(send(1, fd, bytes)).result, 4);
    rig.push(send(2, fd, Memory::of(b"ab")));
    assert_eq!(rig.poll(), []);
    assert_eq!(peer.recv_at_most(1), b"0");
    assert_eq!(results(&rig.poll()), [(2, 1)]);
    assert_eq!(peer.recv(), b"123a");

    rig.push(send_all(3, fd, bytes));
    assert_eq!(rig.poll(), []);
    assert_eq!(peer.recv(), b"0123");
    assert_eq!(rig.poll(), []);
    assert_eq!(peer.recv(), b"4567");
    assert_eq!(results(&rig.poll()), [(3, 10)]);
    assert_eq!(peer.recv(), b"89");
}

#[test]
fn a_receive_with_waitall_waits_for_all_or_the_end() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let buffer = Memory::new(6);
    let sqe = Sqe { op_flags: libc::MSG_WAITALL as u32, ..recv(1, fd, buffer) };
    rig.push(sqe);
    peer.send("abc").expect("open");
    assert_eq!(rig.poll(), []);
    peer.send("defg").expect("open");
    assert_eq!(results(&rig.poll()), [(1, 6)]);
    assert_eq!(buffer.bytes(), b"abcdef");
    rig.push(sqe);
    peer.close();
    assert_eq!(results(&rig.poll()), [(1, 1)]);
}

#[test]
fn dontwait_answers_eagain() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let sqe = Sqe { op_flags: libc::MSG_DONTWAIT as u32, ..recv(1, fd, Memory::new(4)) };
    assert_eq!(rig.run(sqe).result, -libc::EAGAIN);
    peer.send("x").expect("open");
    let peek = Sqe { op_flags: libc::MSG_PEEK as u32, ..recv(2, fd, Memory::new(4)) };
    assert_eq!(rig.run(peek).result, 1);
    assert_eq!(rig.run(sqe).result, 1, "a peek has left it there");
}

#[test]
fn messages_are_scattered_and_gathered() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let parts = [Memory::of(b"ab"), Memory::of(b""), Memory::of(b"cde")];
    let outgoing = message(iovecs(&parts));
    let sqe = Sqe { addr: outgoing.address(), len: 1, ..entry(opcode::SENDMSG, 1, fd) };
    assert_eq!(rig.run(sqe).result, 5);
    assert_eq!(peer.recv(), b"abcde");

    peer.send("123456").expect("open");
    let parts = [Memory::new(4), Memory::new(4)];
    let incoming = message(iovecs(&parts));
    incoming.set(48, 0xff);
    let sqe = Sqe { addr: incoming.address(), len: 1, ..entry(opcode::RECVMSG, 2, fd) };
    assert_eq!(rig.run(sqe).result, 6);
    assert_eq!(parts.map(Memory::bytes), [b"1234".to_vec(), b"56\0\0".to_vec()]);
    assert_eq!(incoming.bytes()[48], 0, "the flags were written back");
}

#[test]
fn read_and_write_do_on_sockets_too() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    assert_eq!(rig.run(write(1, fd, 0, Memory::of(b"xyz"))).result, 3);
    assert_eq!(peer.recv(), b"xyz");
    peer.send("ab").expect("open");
    let buffer = Memory::new(4);
    assert_eq!(rig.run(read(2, fd, 0, buffer)).result, 2);
    assert_eq!(buffer.bytes(), b"ab\0\0");
}

#[test]
fn a_zero_copy_send_gives_its_buffer_back_by_a_second_completion() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    rig.push(send_zc(1, fd, Memory::of(b"abc")));
    let first = rig.wait();
    assert_eq!((results(&first), first[0].more()), (vec![(1, 3)], true));
    assert_eq!(rig.sim.in_flight(), 1, "the buffer is still the kernel's");
    let second = rig.wait();
    assert_eq!(results(&second), [(1, 0)]);
    assert!(second[0].notification() && !second[0].more());
    assert_eq!((rig.sim.in_flight(), peer.recv()), (0, b"abc".to_vec()));
}

#[test]
#[should_panic(expected = "changed while it was in flight")]
fn bytes_that_change_under_a_send_are_found() {
    let mut rig = Rig::with(SimConfig { send_buffer: 1, ..SimConfig::default() });
    let (fd, peer) = rig.connection();
    let bytes = Memory::of(b"abc");
    rig.push(send_all(1, fd, bytes));
    rig.poll();
    bytes.set(0, b'X');
    while peer.recv() != b"c" {
        rig.poll();
    }
}

#[test]
fn half_close_leaves_the_other_direction_open() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    assert_eq!(rig.run(shutdown(1, fd, libc::SHUT_WR)).result, 0);
    assert!(peer.ended());
    assert_eq!(rig.run(send(2, fd, Memory::of(b"x"))).result, -libc::EPIPE);
    peer.send("still").expect("open");
    assert_eq!(rig.run(recv(3, fd, Memory::new(9))).result, 5);
    peer.shutdown_write();
    assert_eq!(rig.run(recv(4, fd, Memory::new(9))).result, 0);
}

#[test]
fn a_reset_is_told_once_after_the_bytes_before_it() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    peer.send("last words").expect("open");
    peer.reset();
    assert_eq!(rig.run(recv(1, fd, Memory::new(99))).result, 10);
    assert_eq!(rig.run(recv(2, fd, Memory::new(99))).result, -libc::ECONNRESET);
    assert_eq!(rig.run(recv(3, fd, Memory::new(99))).result, 0);
    assert_eq!(rig.run(send(4, fd, Memory::of(b"x"))).result, -libc::EPIPE);
}

#[test]
fn a_send_to_a_peer_that_left_fails_the_second_time() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    peer.close();
    assert_eq!(rig.run(send(1, fd, Memory::of(b"x"))).result, 1);
    assert_eq!(rig.run(send(2, fd, Memory::of(b"x"))).result, -libc::EPIPE);
    assert_eq!(rig.run(recv(3, fd, Memory::new(4))).result, 0);
}

#[test]
fn a_peer_that_leaves_with_bytes_unread_resets() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    assert_eq!(rig.run(send(1, fd, Memory::of(b"unread"))).result, 6);
    drop(peer);
    assert_eq!(rig.run(recv(2, fd, Memory::new(4))).result, -libc::ECONNRESET);
}

#[test]
fn after_close_a_descriptor_is_bad_but_what_is_in_flight_goes_on() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    rig.push(recv(1, fd, Memory::new(4)));
    rig.push(close(2, fd));
    assert_eq!(results(&rig.poll()), [(2, 0)]);
    assert!(!peer.ended(), "the receive still holds the connection");
    assert_eq!(rig.run(recv(3, fd, Memory::new(4))).result, -libc::EBADF);
    assert_eq!(rig.run(close(4, fd)).result, -libc::EBADF);
    peer.send("x").expect("open");
    assert_eq!(results(&rig.poll()), [(1, 1)]);
    assert!(peer.ended());
}

#[test]
fn a_closed_listener_resets_who_waits_in_its_queue() {
    let mut rig = Rig::new();
    let (listener, address) = rig.sim.listen(local(0)).expect("a free port");
    let peer = rig.sim.peer_connect(address).expect("it listens");
    assert_eq!(rig.run(close(1, listener)).result, 0);
    assert!(peer.was_reset());
    let refused = rig.sim.peer_connect(address).expect_err("nobody listens");
    assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn a_listener_that_is_shut_down_ends_its_accepts() {
    let mut rig = Rig::new();
    let (listener, _) = rig.sim.listen(local(0)).expect("a free port");
    rig.push(accept_multishot(1, listener));
    rig.push(shutdown(2, listener, libc::SHUT_RD));
    assert_eq!(results(&rig.poll()), [(2, 0), (1, -libc::EINVAL)]);
}

#[test]
fn operations_on_the_wrong_kind_of_descriptor_fail() {
    let mut rig = Rig::new();
    let (fd, _peer) = rig.connection();
    let (listener, _) = rig.sim.listen(local(0)).expect("a free port");
    let (file, fresh) = (rig.sim.create_file("x"), rig.sim.socket().expect("room"));
    let bytes = Memory::new(4);
    for (sqe, errno) in [
        (accept(1, fd), libc::EINVAL),
        (recv(2, listener, bytes), libc::ENOTCONN),
        (recv(3, file, bytes), libc::ENOTSOCK),
        (recv(4, fresh, bytes), libc::ENOTCONN),
        (send(5, fresh, bytes), libc::EPIPE),
        (shutdown(6, fresh, libc::SHUT_WR), libc::ENOTCONN),
        (recv(7, -1, bytes), libc::EBADF),
        (Sqe { addr: 0, ..recv(8, fd, bytes) }, libc::EFAULT),
        (entry(opcode::SOCKET, 9, libc::AF_UNIX), libc::EAFNOSUPPORT),
    ] {
        if errno == libc::EFAULT {
            _peer.send("x").expect("open");
        }
        assert_eq!(rig.run(sqe).result, -errno, "{sqe:?}");
    }
}

#[test]
fn poll_first_waits_even_where_the_attempt_would_fail() {
    let mut rig = Rig::new();
    let (fd, _peer) = rig.connection();
    // There is no such group, which a receive without the flag finds at once.
    assert_eq!(rig.run(recv_select(1, fd, 5)).result, -libc::ENOBUFS);
    rig.push(Sqe { ioprio: socket_flags::POLL_FIRST, ..recv_select(2, fd, 5) });
    assert_eq!(rig.poll(), []);
}

#[test]
fn a_poll_tells_what_is_ready() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    assert_eq!(rig.run(poll_add(1, fd, libc::POLLIN | libc::POLLOUT)).result, 4);
    rig.push(poll_add(2, fd, libc::POLLIN));
    assert_eq!(rig.poll(), []);
    peer.send("x").expect("open");
    assert_eq!(results(&rig.poll()), [(2, i32::from(libc::POLLIN))]);
}

#[test]
fn a_multishot_poll_tells_of_every_wake_and_only_of_those() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    rig.push(poll_multishot(1, fd, libc::POLLIN));
    assert_eq!(rig.poll(), []);
    for _ in 0..2 {
        peer.send("x").expect("open");
        let cqes = rig.poll();
        assert_eq!(results(&cqes), [(1, i32::from(libc::POLLIN))]);
        assert!(cqes[0].more());
        assert_eq!(rig.poll(), []);
    }
    drop(peer);
    assert_eq!(rig.poll().len(), 1);
}

#[test]
fn a_message_to_the_ring_itself_is_completion_work() {
    let mut rig = Rig::new();
    let ring = rig.sim.ring_descriptor();
    rig.push(Sqe { off: 99, len: 5, ..entry(opcode::MSG_RING, 1, ring) });
    rig.ring.enter(crate::driver::ring::Wait::Submit).expect("nothing goes wrong");
    assert_eq!(results(&rig.pop_all()), [(1, 0)]);
    assert!(rig.ring.hints().taskrun);
    assert_eq!(results(&rig.poll()), [(99, 5)]);
    let fd = rig.sim.socket().expect("room");
    assert_eq!(rig.run(entry(opcode::MSG_RING, 1, fd)).result, -libc::EBADFD);
}
