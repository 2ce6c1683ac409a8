//! Registered buffers and files.

use std::io::ErrorKind;

use uring_loop::buf::{AlignedBuf, FixedBuffers};
use uring_loop::fs::{self, File, OpenOptions};
use uring_loop::testing::{Event, Fault, SimConfig, opcode};
use uring_loop::{EventLoop, gather, spawn, yield_now};

use crate::fs_support::on_both;
use crate::support::{forget, in_child, on_sim, open_descriptors, poll_once};

fn submitted(events: &[Event], wanted: u8) -> usize {
    let is = |event: &&Event| matches!(event, Event::Submitted { opcode, .. } if *opcode == wanted);
    events.iter().filter(is).count()
}

#[test]
fn registered_files_and_buffers_move_the_same_bytes() {
    on_both(|folder| async move {
        let buffers = FixedBuffers::new(4, 5000).expect("memory");
        assert_eq!((buffers.size(), buffers.free()), (8192, 4));
        let mut file = File::create_new(folder.join("x")).await.expect("made");
        file.register().await.expect("a place");
        file.register().await.expect("it has one");
        let mut buffer = buffers.take().expect("free");
        buffer.extend_from_slice(&[7; 8192]);
        let (result, mut buffer) = file.write_all_at(buffer, 0).await;
        result.expect("room");
        buffer.clear();
        assert!(buffer.is_empty());
        let (result, buffer) = file.read_exact_at(buffer, 0).await;
        result.expect("there");
        assert_eq!(buffer[..], [7; 8192]);
        // Ordinary buffers on a registered file, and registered ones on an ordinary file.
        assert_eq!(file.read_exact_at([0; 4], 5).await.1, [7; 4]);
        let other = File::open(folder.join("x")).await.expect("there");
        let (result, buffer) = other.read_exact_at(buffer, 0).await;
        result.expect("there");
        drop((buffer, other));
        assert_eq!(buffers.free(), 4);
    });
}

#[test]
fn all_buffers_of_a_set_are_used_at_once_and_come_back() {
    on_both(|folder| async move {
        let path = folder.join("x");
        fs::write(&path, (0..=255).collect::<Vec<u8>>().repeat(256)).await.expect("room");
        let buffers = FixedBuffers::new(8, 4096).expect("memory");
        let mut file = File::open(&path).await.expect("there");
        file.register().await.expect("a place");
        for round in 0..3_u64 {
            let reads = (0..8_u64).map(|n| {
                let (file, buffer) = (file.clone(), buffers.take().expect("free"));
                spawn(async move {
                    let offset = n * 1000 + round;
                    let (result, buffer) = file.read_exact_at(buffer, offset).await;
                    result.expect("there");
                    let right =
                        (0..4096).all(|at| u64::from(buffer[at]) == (offset + at as u64) % 256);
                    assert!(right, "bytes of another place");
                })
            });
            let reads: Vec<_> = reads.collect();
            assert!(buffers.take().is_none(), "all are taken");
            gather(reads).await.expect("no panic");
        }
        assert_eq!(buffers.free(), 8);
    });
}

#[test]
fn the_registered_operations_are_used_and_only_on_their_loop() {
    let buffer = on_sim(SimConfig::seeded(1), |sim| async move {
        let buffers = FixedBuffers::new(1, 4096).expect("memory");
        let mut file = File::create_new("/x").await.expect("made");
        file.register().await.expect("a place");
        let mut buffer = buffers.take().expect("free");
        buffer.extend_from_slice(b"abc");
        let (_, buffer) = file.write_all_at(buffer, 0).await;
        let (_, buffer) = file.read_at(buffer, 0).await;
        assert_eq!(&buffer[..], b"abc");
        let log = sim.log();
        let counts = [opcode::READ_FIXED, opcode::WRITE_FIXED, opcode::READ, opcode::WRITE];
        assert_eq!(counts.map(|op| submitted(&log, op)), [1, 1, 0, 0]);
        buffer
    });
    // It outlives its loop, and is a buffer like any other to the next.
    on_sim(SimConfig::seeded(2), |sim| async move {
        let file = File::create_new("/y").await.expect("made");
        file.write_all_at(buffer, 0).await.0.expect("room");
        assert_eq!(sim.named_file_bytes("/y").expect("there"), b"abc");
        assert_eq!(submitted(&sim.log(), opcode::WRITE), 1);
    });
}

#[test]
fn places_are_given_back_behind_the_operations_that_use_them() {
    on_both(|folder| async move {
        let at = |n: u8| folder.join(n.to_string());
        for n in 0..4 {
            fs::write(at(n), vec![n; 4096]).await.expect("room");
        }
        let buffers = FixedBuffers::new(4, 4096).expect("memory");
        // More files than there are places; each goes with a read in flight, and the next takes
        // its place in the same turn.
        for round in 0..300_u32 {
            let n = (round % 4) as u8;
            let mut file = File::open(at(n)).await.expect("there");
            file.register().await.expect("a place is free again");
            let Some(buffer) = buffers.take() else {
                yield_now().await;
                continue;
            };
            let mut read = Box::pin(async move { file.read_exact_at(buffer, 0).await });
            if round % 3 == 0 {
                let _ = poll_once(&mut read).await;
                drop(read);
            } else {
                let (result, buffer) = read.await;
                result.expect("there");
                assert!(buffer.iter().all(|byte| *byte == n), "bytes of another file");
            }
        }
    });
}

#[test]
fn when_all_places_are_taken_that_is_said() {
    on_sim(SimConfig::seeded(1), |_| async {
        let mut files = Vec::new();
        let error = loop {
            let mut file = File::create(format!("/{}", files.len())).await.expect("made");
            match file.register().await {
                Ok(()) => files.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!((files.len(), error.kind()), (256, ErrorKind::QuotaExceeded));
        assert!(error.to_string().contains("all 256 places"), "{error}");
        files.pop();
        files[0].clone().register().await.expect("it has one");
        let mut file = File::open("/0").await.expect("there");
        file.register().await.expect("one is free again");
    });
    on_sim(SimConfig::seeded(1), |_| async {
        for (count, size) in [(0, 4096), (1, 0), (65535, 1 << 20)] {
            let error = FixedBuffers::new(count, size).expect_err("too many or none");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn a_place_that_cannot_be_filled_is_given_back() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let mut file = File::create("/x").await.expect("made");
        for _ in 0..300 {
            sim.next(opcode::FILES_UPDATE, Fault::Fail(12));
            let error = file.register().await.expect_err("scripted");
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
            assert!(error.to_string().starts_with("registering /x: "), "{error}");
        }
        let mut register = Box::pin(file.register());
        let _ = poll_once(&mut register).await;
        drop(register);
        file.register().await.expect("a place");
        file.write_all_at("abc", 0).await.0.expect("room");
    });
}

#[test]
fn registered_memory_is_aligned_enough_for_direct_access() {
    on_both(|folder| async move {
        let path = folder.join("x");
        let mut bytes = AlignedBuf::new(8192);
        bytes.extend_from_slice(&[3; 8192]);
        fs::write(&path, bytes).await.expect("room");
        let Ok(mut file) = OpenOptions::new().read(true).direct(true).open(&path).await else {
            return;
        };
        file.register().await.expect("a place");
        let buffers = FixedBuffers::new(2, 4096).expect("memory");
        let (result, buffer) = file.read_exact_at(buffers.take().expect("free"), 4096).await;
        result.expect("there");
        assert_eq!(buffer[..], [3; 4096]);
    });
}

#[test]
fn what_is_registered_is_waited_for_when_the_loop_goes() {
    in_child("fs_registered::what_is_registered_is_waited_for_when_the_loop_goes", || {
        drop(EventLoop::new().expect("a ring")); // What a process keeps for good, it has now.
        let folder = tempfile::tempdir().expect("a place for temporary files");
        let path = folder.path().join("x");
        std::fs::write(&path, vec![5; 1 << 20]).expect("room");
        let before = open_descriptors();
        for waits in [false, true] {
            let mut event_loop = EventLoop::new().expect("a ring");
            let kept = event_loop.run_until_complete(async {
                let buffers = FixedBuffers::new(16, 1 << 16).expect("memory");
                let mut file = File::open(&path).await.expect("there");
                file.register().await.expect("a place");
                for n in 0..16_u64 {
                    let (file, buffer) = (file.clone(), buffers.take().expect("free"));
                    let mut read = Box::pin(async move { file.read_at(buffer, n << 16).await.0 });
                    let _ = poll_once(&mut read).await;
                    match n % 3 {
                        0 => drop(read),
                        1 => forget(read), // Its slot is the loop's alone.
                        _ => drop(spawn(read)),
                    }
                }
                if waits {
                    yield_now().await;
                }
                // Sets and files outlive their loop.
                (buffers, file)
            });
            drop(event_loop);
            drop(kept);
        }
        assert!(open_descriptors() <= before + 2, "those of the forgotten reads at most");
    });
}
