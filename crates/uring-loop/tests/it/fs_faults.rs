//! What disks do to programs: less than was asked for, later, not at all.

use std::io::{self, ErrorKind};
use std::task::Poll;

use uring_loop::fs::{self, File, OpenOptions};
use uring_loop::testing::{Fault, Faults, SimConfig, opcode};

use crate::support::{on_sim, poll_once};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const ENOSPC: i32 = 28;
const ESTALE: i32 = 116;
const EDQUOT: i32 = 122;

fn errno(error: &io::Error) -> Option<i32> {
    error.get_ref()?.source()?.downcast_ref::<io::Error>()?.raw_os_error()
}

#[test]
fn short_transfers_are_gone_on_with_until_all_is_moved() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let file = File::create_new("/x").await.expect("made");
        let bytes: Vec<u8> = (0..200).collect();
        for short in [1, 7, 50] {
            sim.next(opcode::WRITE, Fault::Short(short));
            sim.next(opcode::READ, Fault::Short(short));
            sim.next(opcode::WRITEV, Fault::Short(short));
        }
        file.write_all_at(bytes.clone(), 10).await.0.expect("room");
        assert_eq!(sim.named_file_bytes("/x").expect("there")[10..], bytes);
        let (result, back) = file.read_exact_at(vec![0; 200], 10).await;
        result.expect("they are there");
        assert_eq!(back, bytes);
        let parts: Vec<Vec<u8>> = bytes.chunks(30).map(<[u8]>::to_vec).collect();
        file.write_all_vectored_at(parts, 500).await.0.expect("room");
        assert_eq!(sim.named_file_bytes("/x").expect("there")[500..], bytes);
    });
}

#[test]
fn signals_and_shortage_of_memory_are_gone_over() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        for op in [opcode::READ, opcode::WRITE, opcode::READV, opcode::WRITEV] {
            sim.next(op, Fault::Fail(EINTR));
            sim.next(op, Fault::Fail(EAGAIN));
        }
        sim.next(opcode::FSYNC, Fault::Fail(EINTR));
        sim.next(opcode::OPENAT, Fault::Fail(EINTR));
        let file = File::create_new("/x").await.expect("made");
        file.write_all_at("abc", 0).await.0.expect("room");
        assert_eq!(file.read_at([0; 3], 0).await.0.expect("there"), 3);
        assert_eq!(file.write_vectored_at(vec!["de"], 3).await.0.expect("room"), 2);
        assert_eq!(file.read_vectored_at(vec![[0; 5]], 0).await.0.expect("there"), 5);
        file.sync_all().await.expect("a disk");
    });
}

#[test]
fn an_error_of_the_disk_is_told_and_the_buffer_comes_back() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let mut file = File::create_new("/x").await.expect("made");
        for code in [EIO, ENOSPC, EDQUOT, ESTALE] {
            sim.next(opcode::WRITE, Fault::Fail(code));
            let (result, buffer) = file.write_at("bytes", 0).await;
            let error = result.expect_err("scripted");
            assert_eq!((errno(&error), buffer), (Some(code), "bytes"));
            assert_eq!(error.kind(), io::Error::from_raw_os_error(code).kind());
            assert!(error.to_string().starts_with("writing /x: "), "{error}");
        }
        sim.next(opcode::READ, Fault::Fail(EIO));
        let (result, buffer) = file.read_at(vec![7; 3], 0).await;
        assert_eq!((errno(&result.expect_err("scripted")), buffer), (Some(EIO), vec![7; 3]));
        sim.next(opcode::FSYNC, Fault::Fail(EIO));
        let error = file.sync_all().await.expect_err("scripted");
        assert_eq!(error.to_string(), "syncing /x: Input/output error (os error 5)");
        // In the middle of a buffer: the cursor tells how far it came.
        sim.next(opcode::WRITE, Fault::Short(4));
        sim.next(opcode::WRITE, Fault::Fail(ENOSPC));
        let error = file.write_all("0123456789").await.0.expect_err("scripted");
        assert_eq!((error.kind(), file.position()), (ErrorKind::StorageFull, 4));
        file.write_all("456789").await.0.expect("room again");
        assert_eq!(sim.named_file_bytes("/x").expect("there"), b"0123456789");
    });
}

#[test]
fn a_directory_that_the_disk_cannot_look_at_is_not_taken_for_a_file() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        fs::create_dir("/there").await.expect("made");
        sim.next(opcode::STATX, Fault::Fail(EIO));
        let error = fs::create_dir_all("/there").await.expect_err("scripted");
        assert_eq!(errno(&error), Some(EIO), "{error}");
        fs::create_dir_all("/there").await.expect("it is there");
        fs::write("/file", "").await.expect("room");
        let error = fs::create_dir_all("/file").await.expect_err("it is a file");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    });
}

#[test]
fn what_completes_after_it_was_dropped_is_given_back() {
    for latency in [0, 1_000_000] {
        on_sim(SimConfig::seeded(3), |sim| async move {
            sim.create_named_file("/x", vec![1; 100]);
            sim.next(opcode::OPENAT, Fault::Latency(latency));
            let mut open = Box::pin(File::open("/x"));
            if let Poll::Ready(opened) = poll_once(&mut open).await {
                drop(opened);
            }
            drop(open); // The descriptor that comes of it is closed: `on_sim` looks.

            let file = OpenOptions::new().read(true).write(true).open("/x").await.expect("there");
            sim.next(opcode::READ, Fault::Latency(latency));
            let mut read = Box::pin(file.read_at(vec![0; 100], 0));
            assert!(poll_once(&mut read).await.is_pending());
            drop(read);
            sim.next(opcode::WRITE, Fault::Latency(latency));
            let mut write = Box::pin(file.write_all_at(vec![2; 100], 0));
            assert!(poll_once(&mut write).await.is_pending());
            drop(write);
            // The file goes while both are in flight: they have it open.
            drop(file);
        });
    }
}

#[test]
fn programs_on_a_failing_disk_hear_of_it_and_leak_nothing() {
    let mut failures = 0;
    for seed in 0..40 {
        let faults = Faults::chaos().file_error(0.1).scribble(0.5);
        let config = SimConfig { faults, ..SimConfig::seeded(seed) };
        failures += on_sim(config, |_| async {
            let mut failures = 0;
            let mut note = |result: io::Result<()>| {
                if let Err(error) = result {
                    let text = error.to_string();
                    assert!(text.contains("/a"), "an error names its file: {text}");
                    let known = [EIO, ENOSPC, EDQUOT, ESTALE, 2, 17, 20, 39];
                    assert!(known.contains(&errno(&error).unwrap_or(2)), "{text}");
                    failures += 1;
                }
            };
            for n in 0..10 {
                let (folder, path) = (format!("/a{n}"), format!("/a{n}/file"));
                note(fs::create_dir(&folder).await);
                note(fs::write(&path, vec![n; 1000]).await);
                note(fs::rename(&path, format!("{path}2")).await);
                note(fs::read(format!("{path}2")).await.map(drop));
                note(fs::copy(format!("{path}2"), &path).await.map(drop));
                note(fs::remove_dir_all(&folder).await);
            }
            failures
        });
    }
    assert!(failures > 100, "the disk did fail: {failures}");
}
