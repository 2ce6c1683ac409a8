//! The same programs on the simulated ring and on the real one come to the same results: Unix
//! sockets, descriptors that travel, datagrams.

use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use socket2::Type;

use super::rig::*;
use super::twin::{Machine, same};
use crate::driver::ring::{Sqe, opcode, socket_flags, sqe_flags};
use crate::testing::sim::layout;

const ALL: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
const RIGHTS: (i32, i32) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);

/// A message of these bytes; its name and control data, if they are not empty.
fn message_of(name: Memory, bytes: Memory, control: Memory) -> Memory {
    let place = |memory: Memory| if memory.len() == 0 { 0 } else { memory.address() };
    let vectors = iovecs(&[bytes]);
    let words = [
        place(name),
        name.len() as u64,
        vectors.address(),
        1,
        place(control),
        control.len() as u64,
        0,
    ];
    Memory::of(&words.into_iter().flat_map(u64::to_ne_bytes).collect::<Vec<u8>>())
}

fn none() -> Memory {
    Memory::new(0)
}

fn sendmsg(user_data: u64, fd: RawFd, message: Memory) -> Sqe {
    let op_flags = libc::MSG_NOSIGNAL as u32;
    Sqe { addr: message.address(), len: 1, op_flags, ..entry(opcode::SENDMSG, user_data, fd) }
}

fn recvmsg(user_data: u64, fd: RawFd, message: Memory) -> Sqe {
    Sqe { addr: message.address(), len: 1, ..entry(opcode::RECVMSG, user_data, fd) }
}

fn recvmsg_multishot(user_data: u64, fd: RawFd, message: Memory, group: u16) -> Sqe {
    let op_flags = libc::MSG_TRUNC as u32;
    let (ioprio, flags) = (socket_flags::RECV_MULTISHOT, sqe_flags::BUFFER_SELECT);
    Sqe { ioprio, flags, buf_index: group, op_flags, ..recvmsg(user_data, fd, message) }
}

/// Lengths of name and control data, and the flags, as a message has them after it was received.
fn told(message: Memory) -> String {
    let bytes = message.bytes();
    let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight"));
    format!("name {}, control {}, flags {:#x}", word(8) as u32, word(40), word(48) as u32)
}

#[test]
fn a_unix_pair_ends_the_same() {
    same(|machine| {
        let [one, other] = machine.unix_pair(Type::STREAM);
        let mut said = vec![machine.say(send(1, one, Memory::of(b"abc")))];
        said.push(machine.say(recv(2, other, Memory::new(2))));
        said.push(machine.say(shutdown(3, one, libc::SHUT_WR)));
        said.push(machine.say(send(4, one, Memory::of(b"x"))));
        said.push(machine.say(poll_add(5, other, ALL)));
        said.push(machine.say(recv(6, other, Memory::new(2))));
        said.push(machine.say(recv(7, other, Memory::new(2))));
        said.push(machine.say(shutdown(8, one, libc::SHUT_RD)));
        said.push(machine.say(send(9, other, Memory::of(b"x"))));
        said.push(machine.say(poll_add(10, one, ALL)));
        said
    });
    for unread in [false, true] {
        same(|machine| {
            let [one, other] = machine.unix_pair(Type::STREAM);
            let mut said = vec![machine.say(send(1, one, Memory::of(b"left")))];
            if unread {
                said.push(machine.say(send(2, other, Memory::of(b"unread"))));
            }
            let one = machine.disown(one);
            said.push(machine.say(close(3, one)));
            said.push(machine.say(poll_add(4, other, ALL)));
            said.push(machine.say(send(5, other, Memory::of(b"x"))));
            said.extend((6..9).map(|at| machine.say(recv(at, other, Memory::new(9)))));
            said
        });
    }
}

#[test]
fn descriptors_travel_the_same_way() {
    let mut file = tempfile::tempfile().expect("a place for temporary files");
    file.write_all(b"inside").expect("room");
    file.rewind().expect("a file");
    let numbers = [file.as_raw_fd(); 2].map(i32::to_ne_bytes).concat();
    for room in [64, 24, 20, 16, 0] {
        same(|machine| {
            let [one, other] = machine.unix_pair(Type::STREAM);
            let control = layout::encode_control(RIGHTS.0, RIGHTS.1, &numbers, 99);
            let outgoing = message_of(none(), Memory::of(b"with"), Memory::of(&control));
            let mut said = vec![machine.say(send(1, one, Memory::of(b"plain ")))];
            said.push(machine.say(sendmsg(2, one, outgoing)));
            said.push(machine.say(send(3, one, Memory::of(b" after"))));
            let (bytes, control) = (Memory::new(32), Memory::new(room));
            let incoming = message_of(none(), bytes, control);
            said.push(machine.say(recvmsg(4, other, incoming)));
            said.push(told(incoming));
            said.push(format!("{:?}", String::from_utf8_lossy(&bytes.bytes())));
            for number in received_descriptors(&control.bytes()) {
                said.push(inside(number));
            }
            said.push(machine.say(recv(5, other, Memory::new(32))));
            said
        });
    }
}

fn received_descriptors(control: &[u8]) -> Vec<RawFd> {
    let items = layout::decode_control(control).unwrap_or_default();
    let rights = items.into_iter().filter(|item| (item.0, item.1) == RIGHTS);
    let data = rights.flat_map(|item| item.2).collect::<Vec<u8>>();
    data.chunks_exact(4).map(|four| RawFd::from_ne_bytes(four.try_into().expect("four"))).collect()
}

/// What is in a file that was received; it is closed.
fn inside(number: RawFd) -> String {
    let mut file = std::fs::File::from(crate::testing::sim::memory::adopt_descriptor(number));
    file.rewind().expect("a file");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("a file");
    text
}

/// A datagram in its buffer: the header without its flags beyond truncation, then the payload.
fn laid_out(bytes: &[u8], name_room: usize) -> String {
    let word = |at: usize| u32::from_ne_bytes(bytes[at * 4..at * 4 + 4].try_into().expect("four"));
    let payload = &bytes[16 + name_room..];
    format!(
        "name {} control {} length {} flags {:#x} {payload:?}",
        word(0),
        word(1),
        word(2),
        word(3)
    )
}

fn send_to(user_data: u64, fd: RawFd, bytes: &[u8], to: SocketAddr) -> Sqe {
    let name = Memory::of(&layout::encode_address(to));
    sendmsg(user_data, fd, message_of(name, Memory::of(bytes), none()))
}

#[test]
fn a_multishot_receive_lays_datagrams_out_the_same() {
    same(|machine| {
        let ((one, _), (other, address)) = (machine.udp(), machine.udp());
        let mut buffers = BufferRing::new(&mut machine.ring, 7, 2, 64);
        let template = message_of(Memory::new(28), none(), none());
        machine.push(recvmsg_multishot(1, other, template, 7));
        machine.collect(0);
        let mut said = Vec::new();
        for (at, bytes) in [&b"short"[..], &[7; 40], b""].into_iter().enumerate() {
            machine.push(send_to(10 + at as u64, one, bytes, address));
            let mut cqes = machine.collect(2);
            cqes.sort_by_key(|cqe| cqe.user_data);
            said.push(laid_out(&buffers.bytes(cqes[0]), 28));
            buffers.put_back(cqes[0].buffer_id().expect("it has one"));
            said.extend(machine.words(cqes));
        }
        // The empty one was the last of its request. Without buffers a new one fails.
        machine.push(recvmsg_multishot(2, other, template, 9));
        machine.push(send_to(20, one, b"nowhere to go", address));
        said.extend(machine.say_all(&[], 2));
        said
    });
}

#[test]
fn single_datagrams_are_told_the_same() {
    same(|machine| {
        let ((one, from), (other, address)) = (machine.udp(), machine.udp());
        let mut said = Vec::new();
        for (at, flags) in [0, libc::MSG_TRUNC].into_iter().enumerate() {
            said.push(machine.say(send_to(1, one, b"longer than its buffer", address)));
            let (name, bytes) = (Memory::new(64), Memory::new(6));
            let incoming = message_of(name, bytes, none());
            let sqe = Sqe { op_flags: flags as u32, ..recvmsg(2 + at as u64, other, incoming) };
            said.push(machine.say(sqe));
            said.push(format!("{} {:?}", told(incoming), bytes.bytes()));
            assert_eq!(layout::decode_address(&name.bytes()[..16]), Ok(from.into()));
        }
        said.push(machine.say(send(8, one, Memory::of(b"to whom?"))));
        said.push(machine.say(send_to(9, one, &[0; 70_000], address)));
        said
    });
}

#[test]
fn nobody_at_the_other_end_of_a_connected_socket_is_told_the_same() {
    same(|machine| {
        let ((one, _), (other, address)) = (machine.udp(), machine.udp());
        let mut said = vec![machine.say(connect(1, one, address))];
        let other = machine.disown(other);
        said.push(machine.say(close(2, other)));
        machine.calm();
        said.push(machine.say(send(3, one, Memory::of(b"x"))));
        machine.calm();
        said.push(machine.say(recv(4, one, Memory::new(9))));
        said.push(machine.say(send(5, one, Memory::of(b"x"))));
        machine.calm();
        said.push(machine.say(send(6, one, Memory::of(b"x"))));
        said
    });
}

#[test]
fn unix_datagrams_are_told_the_same() {
    same(|machine: &mut Machine| {
        let [one, other] = machine.unix_pair(Type::DGRAM);
        let mut said = vec![machine.say(send(1, one, Memory::of(b"whole")))];
        said.push(machine.say(send(2, one, Memory::of(b""))));
        said.push(machine.say(poll_add(3, other, libc::POLLIN)));
        said.push(machine.say(recv(4, other, Memory::new(3))));
        said.push(machine.say(recv(5, other, Memory::new(3))));
        said
    });
}
