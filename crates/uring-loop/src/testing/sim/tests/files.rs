//! Operations on simulated files.

use super::rig::*;
use crate::driver::ring::{Sqe, Wait, opcode};
use crate::testing::sim::{DescriptorKind, SimConfig};

#[test]
fn a_file_is_written_and_read() {
    let mut rig = Rig::new();
    let file = rig.sim.create_file("hello");
    assert_eq!(rig.run(write(1, file, 3, Memory::of(b"p me"))).result, 4);
    assert_eq!(rig.sim.file_bytes(file).expect("open"), b"help me");
    let buffer = Memory::new(4);
    assert_eq!(rig.run(read(2, file, 5, buffer)).result, 2);
    assert_eq!(buffer.bytes(), b"me\0\0");
    assert_eq!(rig.run(read(3, file, 7, buffer)).result, 0);
    assert_eq!(rig.run(entry(opcode::FSYNC, 4, file)).result, 0);
}

#[test]
fn vectors_are_scattered_and_gathered() {
    let mut rig = Rig::new();
    let file = rig.sim.create_file("");
    let parts = iovecs(&[Memory::of(b"abc"), Memory::of(b"de")]);
    let vectors = |opcode, user_data, memory: Memory, count| Sqe {
        addr: memory.address(),
        len: count,
        ..entry(opcode, user_data, file)
    };
    assert_eq!(rig.run(vectors(opcode::WRITEV, 1, parts, 2)).result, 5);
    let targets = [Memory::new(2), Memory::new(4)];
    assert_eq!(rig.run(vectors(opcode::READV, 2, iovecs(&targets), 2)).result, 5);
    assert_eq!(targets.map(Memory::bytes), [b"ab".to_vec(), b"cde\0".to_vec()]);
}

#[test]
fn a_path_is_opened() {
    let mut rig = Rig::new();
    rig.sim.create_named_file("/etc/motd", "hi");
    let open = |user_data, path: &[u8], flags: i32| Sqe {
        addr: Memory::of(path).address(),
        op_flags: flags as u32,
        ..entry(opcode::OPENAT, user_data, libc::AT_FDCWD)
    };
    let fd = rig.run(open(1, b"/etc/motd\0", libc::O_RDONLY)).result;
    assert_eq!(rig.sim.open_descriptors(), [(fd, DescriptorKind::File)]);
    assert_eq!(rig.run(write(2, fd, 0, Memory::of(b"x"))).result, -libc::EBADF);
    assert_eq!(rig.run(open(3, b"/none\0", libc::O_RDONLY)).result, -libc::ENOENT);
    let fd = rig.run(open(4, b"/new\0", libc::O_CREAT | libc::O_RDWR)).result;
    assert_eq!(rig.run(write(5, fd, u64::MAX, Memory::of(b"new"))).result, 3);
    assert_eq!(rig.sim.named_file_bytes("/new").expect("made"), b"new");
    assert_eq!(rig.run(close(6, fd)).result, 0);
}

#[test]
fn a_disk_takes_its_time() {
    let mut enters = std::collections::BTreeSet::new();
    for seed in 0..32 {
        let mut rig = Rig::with(SimConfig { file_turns: 3, ..SimConfig::seeded(seed) });
        let file = rig.sim.create_file("abc");
        rig.push(read(1, file, 0, Memory::new(3)));
        let count = (1..).find(|_| !rig.poll().is_empty()).expect("it ends");
        enters.insert(count);
    }
    assert_eq!(enters.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_disk_is_not_waited_for_in_virtual_time() {
    let mut rig = Rig::with(SimConfig { file_turns: 3, ..SimConfig::seeded(2) });
    let file = rig.sim.create_file("abc");
    rig.push(read(1, file, 0, Memory::new(3)));
    rig.ring.enter(Wait::Until(1_000_000)).expect("the read comes before the deadline");
    assert_eq!((results(&rig.pop_all()), rig.sim.now()), (vec![(1, 3)], 0));
}
