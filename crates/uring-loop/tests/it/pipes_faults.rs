//! Pipes on a simulated kernel where things go wrong: short, late, interrupted, out of order, and
//! dropped at every point.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use proptest::prelude::*;
use uring_loop::op::opcode;
use uring_loop::pipe::pipe;
use uring_loop::spawn;
use uring_loop::testing::{Fault, Faults, SimConfig, SimHandle};
use uring_loop::time::sleep;

use crate::drops::{ENDS, End, run_for};
use crate::support::{on_sim, on_sim_with, small};

const READS: [u8; 2] = [opcode::READ_MULTISHOT, opcode::READ];

#[test]
fn reads_and_writes_that_fail_for_a_moment_are_tried_again() {
    for lacks in [&[][..], &[opcode::READ_MULTISHOT]] {
        for errno in [Errno::EINTR as i32, Errno::EAGAIN as i32] {
            on_sim_with(small().without(lacks), SimConfig::seeded(5), |sim| async move {
                let (mut reader, mut writer) = pipe().expect("room");
                for opcode in READS.into_iter().chain([opcode::WRITE, opcode::WRITEV]) {
                    sim.next(opcode, Fault::Fail(errno));
                }
                writer.write_all("one").await.0.expect("open");
                assert_eq!(reader.read([0; 3]).await.0.expect("open"), 3);
                sim.next(opcode::READ, Fault::Fail(errno));
                writer.write_all_vectored(vec!["t", "wo"]).await.0.expect("open");
                assert_eq!(&*reader.recv().await.expect("open"), b"two");
            });
        }
    }
}

#[test]
fn errors_are_told_and_leave_the_pipe_usable() {
    on_sim(SimConfig::seeded(5), |sim| async move {
        let (mut reader, mut writer) = pipe().expect("room");
        let eio = Errno::EIO as i32;
        sim.next(opcode::READ_MULTISHOT, Fault::Fail(eio));
        assert_eq!(reader.recv().await.expect_err("told").raw_os_error(), Some(eio));
        sim.next(opcode::WRITE, Fault::Fail(eio));
        assert_eq!(writer.write_all("x").await.0.expect_err("told").raw_os_error(), Some(eio));
        writer.write_all("on").await.0.expect("open");
        assert_eq!(&*reader.recv().await.expect("open"), b"on");
    });
}

#[test]
fn a_kernel_that_does_not_know_the_flags_of_writes_is_asked_without() {
    on_sim(SimConfig::seeded(5), |sim| async move {
        let (mut reader, mut writer) = pipe().expect("room");
        sim.next(opcode::WRITE, Fault::Fail(Errno::EOPNOTSUPP as i32));
        writer.write_all("once more").await.0.expect("without flags");
        assert_eq!(&*reader.recv().await.expect("open"), b"once more");
        // Refused without flags, it is an error like any other.
        sim.next(opcode::WRITE, Fault::Fail(Errno::EOPNOTSUPP as i32));
        let error = writer.write_all("x").await.0.expect_err("told");
        assert_eq!(error.raw_os_error(), Some(Errno::EOPNOTSUPP as i32));
    });
}

#[test]
fn an_empty_pool_does_not_stop_a_reader() {
    let config = SimConfig { faults: Faults::none().no_buffers(0.5), ..SimConfig::seeded(8) };
    on_sim(config, |_| async move {
        let (mut reader, mut writer) = pipe().expect("room");
        for part in 0..9u8 {
            writer.write_all([part; 99]).await.0.expect("open");
            assert_eq!(&*reader.recv().await.expect("open"), [part; 99]);
        }
    });
}

/// Every end, after every number of turns, with every lateness and lost races of cancels.
fn every_point(mut case: impl FnMut(SimConfig, &'static [u8], Option<u32>, usize, End)) {
    for turns in 0..6 {
        for late in [0, 1, 3] {
            for lost in [0.0, 1.0] {
                for end in ENDS {
                    for lacks in [&[][..], &[opcode::READ_MULTISHOT]] {
                        let faults = Faults::none().lose_cancel(lost);
                        let seed = (turns * 10 + late) as u64;
                        let config = SimConfig { faults, ..SimConfig::seeded(seed) };
                        case(config, lacks, (late > 0).then_some(late as u32), turns, end);
                    }
                }
            }
        }
    }
}

fn delay(sim: &SimHandle, late: Option<u32>, opcodes: &[u8]) {
    for (opcode, late) in opcodes.iter().zip(late.into_iter().cycle()) {
        sim.next(*opcode, Fault::Delay(late));
    }
}

#[test]
fn receiving_that_ends_at_any_point_loses_no_byte() {
    every_point(|config, lacks, late, turns, end| {
        on_sim_with(small().without(lacks), config, |sim| async move {
            let (mut reader, mut writer) = pipe().expect("room");
            let mut got = Vec::new();
            for part in 0..4u8 {
                delay(&sim, late, &[opcode::READ_MULTISHOT, opcode::READ, opcode::POLL_ADD]);
                writer.write_all(vec![part; 300]).await.0.expect("open");
                if let Some(bytes) = run_for(reader.recv(), turns, end).await {
                    got.extend_from_slice(&bytes.expect("open"));
                }
            }
            drop(writer);
            reader.read_to_end(&mut got).await.expect("open");
            let sent: Vec<u8> = (0..4u8).flat_map(|part| [part; 300]).collect();
            assert_eq!(got, sent);
        });
    });
}

#[test]
fn ends_that_go_at_any_point_leave_nothing() {
    every_point(|config, lacks, late, turns, end| {
        on_sim_with(small().without(lacks), config, |sim| async move {
            delay(&sim, late, &[opcode::READ_MULTISHOT, opcode::READ, opcode::WRITE]);
            let (mut reader, mut writer) = pipe().expect("room");
            drop(run_for(writer.write_all(vec![1; 200_000]), turns, end).await);
            drop(run_for(reader.read(vec![0; 100]), turns, end).await);
            drop(run_for(reader.recv(), turns, end).await);
            if turns % 2 == 0 {
                drop(reader);
                let (result, _) = writer.write_all(vec![1; 200_000]).await;
                assert_eq!(result.expect_err("nobody").kind(), io::ErrorKind::BrokenPipe);
            } else {
                drop(run_for(writer.write_all_vectored(vec!["x"; 9]), turns, end).await);
                drop(writer);
                let mut rest = Vec::new();
                reader.read_to_end(&mut rest).await.expect("open");
            }
            let watched = pipe().expect("room");
            drop(run_for(watched.1.closed(), turns, end).await);
        });
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever goes wrong, what goes in comes out, in order, once.
    #[test]
    fn chunks_of_any_size_come_through_any_chaos(
        seed in any::<u64>(),
        chunks in prop::collection::vec(0usize..9000, 0..12),
        reads in prop::collection::vec(prop::option::of(1usize..3000), 1..6),
        old in any::<bool>(),
    ) {
        let lacks: &[u8] = if old { &[opcode::READ_MULTISHOT] } else { &[] };
        let sent: Vec<u8> = (0..chunks.iter().sum()).map(|at: usize| (at * 31) as u8).collect();
        let bytes = sent.clone();
        let (got, _) = on_sim_with(small().without(lacks), SimConfig::chaos(seed), |_| async move {
            let (mut reader, mut writer) = pipe().expect("room");
            let writing = spawn(async move {
                let mut rest = &bytes[..];
                for chunk in chunks {
                    let (now, later) = rest.split_at(chunk);
                    rest = later;
                    if chunk % 3 == 0 {
                        let halves = now.split_at(chunk / 2);
                        let halves = vec![halves.0.to_vec(), halves.1.to_vec()];
                        writer.write_all_vectored(halves).await.0.expect("open");
                    } else {
                        writer.write_all(now.to_vec()).await.0.expect("open");
                    }
                    sleep(Duration::from_micros(chunk as u64 % 7)).await;
                }
            });
            let mut got = Vec::new();
            for how in reads.into_iter().cycle() {
                let before = got.len();
                match how {
                    None => got.extend_from_slice(&reader.recv().await.expect("open")),
                    Some(size) => {
                        let (count, bytes) = reader.read(vec![0; size]).await;
                        got.extend_from_slice(&bytes[..count.expect("open")]);
                    }
                }
                if got.len() == before {
                    break;
                }
            }
            writing.await.expect("not cancelled");
            got
        });
        prop_assert_eq!(got, sent);
    }
}

#[test]
fn a_write_into_a_pipe_of_one_page_ends_though_it_is_refused_now_and_then() {
    for seed in 0..30 {
        let faults = Faults::none().again(0.5).short(0.9);
        let config = SimConfig { send_buffer: 4096, faults, ..SimConfig::seeded(seed) };
        on_sim(config, |_| async {
            let (mut reader, mut writer) = pipe().expect("room");
            // Nobody reads yet, and poll(2) tells of room in fresh pages only.
            writer.write_all("through").await.0.expect("open");
            drop(writer);
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).await.expect("open");
            assert_eq!(bytes, b"through", "seed {seed}");
        });
    }
}
