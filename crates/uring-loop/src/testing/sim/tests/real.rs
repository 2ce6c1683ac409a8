//! Descriptors of the real kernel in a simulated ring: bells, pipes, children.

use std::os::fd::AsRawFd;

use super::rig::*;
use crate::driver::ring::{Sqe, Wait, opcode};
use crate::sys::eventfd::Bell;

#[test]
fn a_bell_rung_by_another_thread_ends_a_wait() {
    let mut rig = Rig::new();
    let bell = std::sync::Arc::new(Bell::new().expect("an eventfd"));
    rig.push(poll_add(1, bell.fd(), libc::POLLIN));
    let ringer = std::thread::spawn({
        let bell = bell.clone();
        move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            bell.ring();
        }
    });
    assert_eq!(results(&rig.wait()), [(1, i32::from(libc::POLLIN))]);
    ringer.join().expect("it only rings");
}

#[test]
fn a_multishot_poll_hears_every_ring_of_a_bell_that_nobody_reads() {
    let mut rig = Rig::new();
    let bell = Bell::new().expect("an eventfd");
    rig.push(poll_multishot(1, bell.fd(), libc::POLLIN));
    assert_eq!(rig.poll(), []);
    for _ in 0..3 {
        bell.ring();
        assert!(rig.ring.hints().taskrun);
        let cqes = rig.wait();
        assert_eq!(results(&cqes), [(1, i32::from(libc::POLLIN))]);
        assert!(cqes[0].more());
        assert_eq!(rig.poll(), []);
    }
    rig.push(cancel(2, 1, 0));
    assert_eq!(results(&rig.poll()), [(2, 0), (1, -libc::ECANCELED)]);
}

#[test]
fn a_deadline_does_not_wait_for_a_silent_bell() {
    let mut rig = Rig::new();
    let bell = Bell::new().expect("an eventfd");
    rig.push(poll_add(1, bell.fd(), libc::POLLIN));
    rig.ring.enter(Wait::Submit).expect("nothing goes wrong");
    let late = rig.ring.enter(Wait::Until(3_600_000_000_000)).expect_err("nobody rings");
    assert_eq!(late.raw_os_error(), Some(libc::ETIME));
}

#[test]
fn a_real_descriptor_is_read_and_closed() {
    let mut rig = Rig::new();
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    let buffer = Memory::new(8);
    rig.push(read(1, reader.as_raw_fd(), u64::MAX, buffer));
    assert_eq!(rig.poll(), []);
    rig.push(write(2, writer.as_raw_fd(), u64::MAX, Memory::of(b"abc")));
    assert_eq!(results(&rig.poll()), [(2, 3), (1, 3)]);
    assert_eq!(&buffer.bytes()[..3], b"abc");
    let fd = std::os::fd::IntoRawFd::into_raw_fd(writer);
    assert_eq!(rig.run(close(3, fd)).result, 0);
    assert_eq!(rig.run(read(4, reader.as_raw_fd(), u64::MAX, buffer)).result, 0, "the end");
}

#[test]
fn a_bad_real_descriptor_is_bad() {
    let mut rig = Rig::new();
    assert_eq!(rig.run(poll_add(1, 999_999, libc::POLLIN)).result, -libc::EBADF);
}

#[test]
fn a_real_pipe_is_read_again_and_again() {
    let mut rig = Rig::new();
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    let mut buffers = BufferRing::new(&mut rig.ring, 7, 2, 4);
    rig.push(read_multishot(1, reader.as_raw_fd(), 7));
    assert_eq!(rig.poll(), []);
    rig.push(write(2, writer.as_raw_fd(), u64::MAX, Memory::of(b"abcdef")));
    let mut got = Vec::new();
    while got.len() < 6 {
        for cqe in rig.wait().into_iter().filter(|cqe| cqe.user_data == 1) {
            assert!(cqe.more());
            got.extend(buffers.bytes(cqe));
            buffers.put_back(cqe.buffer_id().expect("it has one"));
        }
    }
    assert_eq!(got, b"abcdef");
    drop(writer);
    assert_eq!(results(&rig.wait()), [(1, 0)]);
}

#[test]
fn a_write_to_a_full_real_pipe_waits_and_goes_in_parts() {
    let mut rig = Rig::new();
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    let two = [Memory::new(50_000), Memory::new(50_000)];
    let mut left = 100_000;
    let mut read_so_far = 0;
    while left > 0 {
        let vector = iovecs(&two);
        let whole = Sqe {
            addr: vector.address(),
            len: 2,
            off: u64::MAX,
            ..entry(opcode::WRITEV, 1, writer.as_raw_fd())
        };
        rig.push(whole);
        let cqes = rig.poll();
        match cqes.first() {
            Some(cqe) => left -= cqe.result.min(left),
            None => {
                // Full: it waits until there is room.
                let mut room = vec![0; 1 << 16];
                read_so_far += nix::unistd::read(&reader, &mut room).expect("bytes");
                left -= rig.wait()[0].result.min(left);
            }
        }
    }
    assert!(read_so_far > 0, "it was full at least once");
}

#[test]
#[expect(clippy::zombie_processes, reason = "the ring waits for it")]
fn a_real_child_is_waited_for_and_reaped() {
    let mut rig = Rig::new();
    let child = std::process::Command::new("sh").args(["-c", "exit 5"]).spawn().expect("a shell");
    let pidfd = crate::sys::process::pidfd_open(child.id()).expect("a descriptor");
    let info = Memory::new(128);
    let wait = |user_data| Sqe {
        len: libc::P_PIDFD,
        file_index: libc::WEXITED,
        off: info.address(),
        ..entry(opcode::WAITID, user_data, pidfd.as_raw_fd())
    };
    assert_eq!(rig.run(wait(1)).result, 0);
    let word = |at: usize| i32::from_ne_bytes(info.bytes()[at..at + 4].try_into().expect("four"));
    assert_eq!((word(0), word(8), word(24)), (libc::SIGCHLD, libc::CLD_EXITED, 5));
    assert_eq!(rig.run(wait(2)).result, -libc::ECHILD, "it was reaped");
}
