//! The same programs on the simulated ring and on the real one come to the same results: pipes.

use super::rig::*;
use super::twin::{Machine, same};
use crate::driver::ring::{Sqe, opcode};

const END: u64 = u64::MAX;

/// Whether the real kernel is too old for a program.
fn lacks(machine: &Machine, opcode: u8) -> bool {
    machine.is_real() && !machine.ring.supports(opcode)
}

#[test]
fn bytes_and_the_end_come_through_the_same() {
    same(|machine| {
        let (reader, writer) = machine.pipe();
        let mut said = Vec::new();
        machine.push(read(1, reader, END, Memory::new(4)));
        machine.collect(0);
        said.extend(machine.say_all(&[write(2, writer, END, Memory::of(b"abcdef"))], 2));
        said.push(machine.say(read(3, reader, END, Memory::new(4))));
        machine.push(read(4, reader, END, Memory::new(4)));
        machine.collect(0);
        let writer = machine.disown(writer);
        said.extend(machine.say_all(&[close(5, writer)], 2));
        said.push(machine.say(read(6, reader, END, Memory::new(4))));
        said
    });
}

#[test]
fn a_full_pipe_takes_more_when_it_was_read_and_none_when_nobody_reads() {
    // Linux counts pages, so that sizes are told in whole ones here.
    same(|machine| {
        let (reader, writer) = machine.pipe();
        let mut said = vec![machine.say(write(1, writer, END, Memory::new(100_000)))];
        machine.push(write(2, writer, END, Memory::new(4096)));
        machine.collect(0);
        said.extend(machine.say_all(&[read(3, reader, END, Memory::new(4096))], 2));
        machine.push(write(4, writer, END, Memory::new(1)));
        machine.collect(0);
        let reader = machine.disown(reader);
        said.extend(machine.say_all(&[close(5, reader)], 2));
        said.push(machine.say(write(6, writer, END, Memory::new(1))));
        said
    });
}

#[test]
fn what_a_poll_tells_of_pipes_is_the_same() {
    same(|machine| {
        let (reader, writer) = machine.pipe();
        let both = libc::POLLIN | libc::POLLOUT;
        let mut said = vec![machine.say(poll_add(1, writer, both))];
        machine.push(poll_add(2, reader, both));
        machine.push(poll_add(3, writer, 0));
        machine.collect(0);
        said.extend(machine.say_all(&[write(4, writer, END, Memory::of(b"x"))], 2));
        let other = machine.pipe();
        let closed = machine.disown(other.1);
        said.push(machine.say(close(5, closed)));
        said.push(machine.say(poll_add(6, other.0, both)));
        let closed = machine.disown(reader);
        said.extend(machine.say_all(&[close(7, closed)], 2));
        said.push(machine.say(poll_add(8, writer, both)));
        said
    });
}

#[test]
fn multishot_reads_go_the_same_way() {
    same(|machine| {
        if lacks(machine, opcode::READ_MULTISHOT) {
            return Vec::new();
        }
        let (reader, writer) = machine.pipe();
        let mut buffers = BufferRing::new(&mut machine.ring, 7, 2, 4);
        machine.push(read_multishot(1, reader, 7));
        machine.collect(0);
        machine.push(write(2, writer, END, Memory::of(b"abcdefghij")));
        // Two buffers, and then none for the rest.
        let cqes = machine.collect(4);
        let mut said: Vec<String> = cqes
            .iter()
            .filter(|cqe| cqe.result > 0 && cqe.user_data == 1)
            .map(|cqe| format!("{:?}", buffers.bytes(*cqe)))
            .collect();
        said.extend(machine.words(cqes));
        buffers.put_back(0);
        buffers.put_back(1);
        machine.push(read_multishot(3, reader, 7));
        said.extend(machine.say_all(&[], 1));
        let writer = machine.disown(writer);
        said.extend(machine.say_all(&[close(4, writer)], 2));
        said
    });
}

#[test]
fn multishot_reads_are_refused_the_same() {
    same(|machine| {
        if lacks(machine, opcode::READ_MULTISHOT) {
            return Vec::new();
        }
        let (reader, writer) = machine.pipe();
        let _buffers = BufferRing::new(&mut machine.ring, 7, 2, 4);
        let good = read_multishot(1, reader, 9);
        vec![
            machine.say(good),
            machine.say(Sqe { flags: 0, ..good }),
            machine.say(Sqe { len: 4, ..good }),
            machine.say(Sqe { addr: 4096, ..good }),
            machine.say(read_multishot(2, writer, 7)),
            machine.say(read(3, writer, END, Memory::new(1))),
            machine.say(write(4, reader, END, Memory::new(1))),
        ]
    });
    same(|machine| {
        if lacks(machine, opcode::READ_MULTISHOT) {
            return Vec::new();
        }
        let _buffers = BufferRing::new(&mut machine.ring, 7, 2, 4);
        let file = machine.file(b"always ready");
        vec![machine.say(read_multishot(1, file, 7))]
    });
}

#[test]
fn a_wait_for_a_child_is_refused_the_same() {
    same(|machine| {
        if lacks(machine, opcode::WAITID) {
            return Vec::new();
        }
        let (reader, _) = machine.pipe();
        let wait = Sqe {
            len: libc::P_PIDFD,
            file_index: libc::WEXITED,
            off: Memory::new(128).address(),
            ..entry(opcode::WAITID, 1, 999_999)
        };
        let _ = reader;
        vec![
            machine.say(wait),
            machine.say(Sqe { op_flags: 1, ..wait }),
            machine.say(Sqe { addr: 8, ..wait }),
        ]
    });
}
