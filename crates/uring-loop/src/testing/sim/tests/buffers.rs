//! Receives into provided buffers.

use super::rig::*;
use crate::driver::ring::{Sqe, sqe_flags};
use crate::sys::probe::Refused;
use crate::testing::sim::memory;

#[test]
fn a_multishot_receive_takes_a_buffer_for_every_piece() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let mut buffers = BufferRing::new(&mut rig.ring, 3, 4, 8);
    rig.push(recv_multishot(1, fd, 3));
    assert_eq!(rig.poll(), []);
    assert_eq!(rig.sim.provided_buffers_free(3), Some(4), "an idle receive holds no buffer");
    peer.send("0123456789").expect("open");
    let cqes = rig.poll();
    assert_eq!(results(&cqes), [(1, 8), (1, 2)]);
    assert!(cqes.iter().all(|cqe| cqe.more()));
    assert_eq!(cqes.iter().flat_map(|cqe| buffers.bytes(*cqe)).collect::<Vec<_>>(), b"0123456789");
    assert_eq!(rig.sim.provided_buffers_free(3), Some(2));
    for cqe in &cqes {
        buffers.put_back(cqe.buffer_id().expect("it has one"));
    }
    assert_eq!(rig.sim.provided_buffers_free(3), Some(4));
    peer.close();
    let last = rig.poll();
    assert_eq!(results(&last), [(1, 0)]);
    assert_eq!((last[0].more(), last[0].buffer_id()), (false, None), "the end takes no buffer");
}

#[test]
fn without_a_buffer_left_a_multishot_receive_ends_with_enobufs_and_loses_nothing() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let mut buffers = BufferRing::new(&mut rig.ring, 0, 2, 2);
    rig.push(recv_multishot(1, fd, 0));
    peer.send("abcdef").expect("open");
    let cqes = rig.poll();
    assert_eq!(results(&cqes), [(1, 2), (1, 2), (1, -libc::ENOBUFS)]);
    assert!(!cqes[2].more());
    buffers.put_back(1);
    let rest = rig.run(recv_select(2, fd, 0));
    assert_eq!(buffers.bytes(rest), b"ef");
}

#[test]
fn a_length_cuts_the_buffer() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let buffers = BufferRing::new(&mut rig.ring, 0, 2, 8);
    peer.send("abcdef").expect("open");
    let cqe = rig.run(Sqe { len: 3, ..recv_select(1, fd, 0) });
    assert_eq!(buffers.bytes(cqe), b"abc");
}

#[test]
fn the_ring_of_buffers_goes_round_for_ever() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let mut buffers = BufferRing::new(&mut rig.ring, 0, 2, 8);
    rig.push(recv_multishot(1, fd, 0));
    // More rounds than a u16 of tail has room for.
    for round in 0u32..70_000 {
        let text = round.to_ne_bytes();
        peer.send(text).expect("open");
        let cqes = rig.poll();
        assert_eq!(buffers.bytes(cqes[0]), text);
        buffers.put_back(cqes[0].buffer_id().expect("it has one"));
        if round % 1024 == 0 {
            rig.sim.clear_log();
        }
    }
}

#[test]
#[should_panic(expected = "was put back although the kernel has it")]
fn a_buffer_put_back_twice_is_found() {
    let mut rig = Rig::new();
    let (fd, peer) = rig.connection();
    let mut buffers = BufferRing::new(&mut rig.ring, 0, 4, 8);
    peer.send("xy").expect("open");
    let cut = Sqe { len: 1, ..recv_select(1, fd, 0) };
    let [cqe, _other] = [rig.run(cut), rig.run(cut)];
    buffers.put_back(cqe.buffer_id().expect("it has one"));
    buffers.put_back(cqe.buffer_id().expect("it has one"));
    rig.sim.provided_buffers_free(0);
}

#[test]
fn a_file_is_read_into_a_provided_buffer() {
    let mut rig = Rig::new();
    let file = rig.sim.create_file("some text");
    let buffers = BufferRing::new(&mut rig.ring, 0, 2, 4);
    let sqe = Sqe { off: 5, len: 4, addr: 0, ..read(1, file, 0, Memory::new(4)) };
    let cqe = rig.run(flagged(sqe, sqe_flags::BUFFER_SELECT));
    assert_eq!(buffers.bytes(cqe), b"text");
}

#[test]
fn a_group_can_be_registered_once_and_has_a_power_of_two_of_entries() {
    let mut rig = Rig::new();
    let errno = |ring: &mut _, words, group| {
        let error = memory::register_leaked(ring, page_of_words(words), group);
        let error = error.expect_err("it is refused");
        error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>()).map(|said| said.errno)
    };
    assert_eq!(errno(&mut rig.ring, 6, 0), Some(libc::EINVAL));
    assert_eq!(errno(&mut rig.ring, 0, 0), Some(libc::EINVAL));
    let _buffers = BufferRing::new(&mut rig.ring, 0, 2, 4);
    assert_eq!(errno(&mut rig.ring, 4, 0), Some(libc::EEXIST));
}
