//! Pipes: on the simulated kernel and on the real one, with multishot reads and without them.

use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use uring_loop::io::ByteStreamExt;
use uring_loop::op::opcode;
use uring_loop::pipe::{PipeReader, PipeStream, PipeWriter, pipe};
use uring_loop::testing::{Fault, Faults, SimConfig, check_byte_stream};
use uring_loop::time::{sleep, timeout};
use uring_loop::{Builder, run, spawn, unblock, yield_now};

use crate::support::{in_child, kernel_is, on_sim_with, poll_once, settle, small};

const MS: Duration = Duration::from_millis(1);

/// What a kernel may have, or lack.
const KERNELS: [&[u8]; 2] = [&[], &[opcode::READ_MULTISHOT]];

/// Runs a piece on every kernel there is, and looks for what it leaves.
#[track_caller]
fn everywhere<F: Future<Output = ()>>(piece: impl Fn() -> F) {
    for lacks in KERNELS {
        on_sim_with(small().without(lacks), SimConfig::seeded(1), |_| piece());
        on_the_real_one(small().without(lacks), &piece);
    }
}

#[track_caller]
fn on_the_real_one<F: Future<Output = ()>>(builder: Builder, piece: impl Fn() -> F) {
    let mut event_loop = builder.build().expect("a ring");
    let limited = async { timeout(Duration::from_secs(60), piece()).await };
    event_loop.run_until_complete(limited).expect("not cancelled").expect("it waits for ever");
    let pause = async { sleep(5 * MS).await };
    event_loop.run_until_complete(pause).expect("not cancelled");
    let statistics = event_loop.statistics();
    assert_eq!((statistics.in_flight, statistics.orphans), (0, 0), "{:?}", event_loop.in_flight());
    if let Some((free, all)) = statistics.buffers {
        assert_eq!(free, all, "buffers were not given back");
    }
}

async fn to_the_end(mut reader: PipeReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.expect("open");
    bytes
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn bytes_come_through_and_then_the_end_again_and_again() {
    everywhere(|| async {
        let (mut reader, mut writer) = pipe().expect("room");
        writer.write_all("one").await.0.expect("open");
        assert_eq!(&*reader.recv().await.expect("open"), b"one");
        let (late, ()) = uring_loop::join((reader.recv(), async {
            yield_now().await;
            writer.write_all(vec![2; 3]).await.0.expect("open");
        }))
        .await;
        assert_eq!(&*late.expect("open"), [2; 3]);
        drop(writer);
        for _ in 0..3 {
            assert!(reader.recv().await.expect("the end").is_empty());
        }
        assert_eq!(reader.read([0; 4]).await.0.expect("the end"), 0);
    });
}

#[test]
fn a_recv_that_is_dropped_loses_nothing() {
    everywhere(|| async {
        let (mut reader, mut writer) = pipe().expect("room");
        assert!(poll_once(&mut reader.recv()).await.is_pending());
        for part in 0..5u8 {
            writer.write_all([part; 10]).await.0.expect("open");
            // Its bytes wait in the reader; a receive that is not polled takes none of them.
            drop(reader.recv());
            yield_now().await;
        }
        drop(writer);
        let expected: Vec<u8> = (0..5u8).flat_map(|part| [part; 10]).collect();
        assert_eq!(to_the_end(reader).await, expected);
    });
}

#[test]
fn a_read_fills_a_buffer_and_the_rest_is_kept() {
    everywhere(|| async {
        let (mut reader, mut writer) = pipe().expect("room");
        writer.write_all("straight").await.0.expect("open");
        let (count, bytes) = reader.read(Vec::with_capacity(20)).await;
        assert_eq!((count.expect("open"), &bytes[..]), (8, &b"straight"[..]));
        // From now on a multishot read is armed, and a read takes from what it brings.
        assert!(poll_once(&mut reader.recv()).await.is_pending());
        writer.write_all("abcdef").await.0.expect("open");
        let (count, bytes) = reader.read([0; 4]).await;
        assert_eq!((count.expect("open"), &bytes), (4, b"abcd"));
        assert_eq!(&*reader.recv().await.expect("open"), b"ef");
        let (refused, _) = reader.read(Vec::new()).await;
        assert_eq!(refused.expect_err("no room").kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn a_write_of_more_than_the_pipe_takes_waits_for_the_reader() {
    everywhere(|| async {
        let (reader, mut writer) = pipe().expect("room");
        let bytes = pattern(500_000);
        let sent = bytes.clone();
        let written = spawn(async move {
            let (result, back) = writer.write_all(sent).await;
            result.expect("open");
            assert_eq!(back.len(), 500_000);
            let parts = vec![vec![1; 100_000], vec![], vec![2; 70_000], vec![3; 1]];
            let (result, parts) = writer.write_all_vectored(parts).await;
            result.expect("open");
            assert_eq!(parts[2].len(), 70_000);
        });
        let got = to_the_end(reader).await;
        written.await.expect("not cancelled");
        assert_eq!(got.len(), 500_000 + 170_001);
        assert!(got.starts_with(&bytes));
        assert!(got.ends_with(&[1, 2, 3][1..]));
    });
}

#[test]
fn a_pipe_that_nobody_reads_holds_few_buffers_and_loses_nothing() {
    everywhere(|| async {
        let (mut reader, mut writer) = pipe().expect("room");
        assert!(poll_once(&mut reader.recv()).await.is_pending());
        let bytes = pattern(20_000);
        for part in bytes.chunks(700) {
            writer.write_all(part.to_vec()).await.0.expect("open");
        }
        // Others get their buffers all the same.
        let (mut other, mut more) = pipe().expect("room");
        more.write_all("other").await.0.expect("open");
        assert_eq!(&*other.recv().await.expect("open"), b"other");
        drop(writer);
        assert_eq!(to_the_end(reader).await, bytes);
    });
}

#[test]
fn readers_go_on_when_users_keep_all_buffers() {
    everywhere(|| async {
        let (mut reader, mut writer) = pipe().expect("room");
        let mut kept = Vec::new();
        for part in 0..20u8 {
            writer.write_all(vec![part; 300]).await.0.expect("open");
            let mut count = 0;
            while count < 300 {
                let bytes = reader.recv().await.expect("open");
                assert!(bytes.iter().all(|byte| *byte == part));
                count += bytes.len();
                kept.push(bytes);
            }
        }
        assert_eq!(kept.iter().map(|bytes| bytes.len()).sum::<usize>(), 6000);
    });
}

#[test]
fn a_write_that_nobody_will_read_says_so() {
    everywhere(|| async {
        let (reader, mut writer) = pipe().expect("room");
        assert!(poll_once(&mut Box::pin(writer.closed())).await.is_pending());
        drop(reader);
        writer.closed().await.expect("it only looks");
        let (result, bytes) = writer.write_all("lost").await;
        assert_eq!(result.expect_err("nobody").kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(bytes, "lost");
        let (result, _) = writer.write_all_vectored(vec!["lost"]).await;
        assert_eq!(result.expect_err("nobody").kind(), io::ErrorKind::BrokenPipe);
        // Nothing to write is no question to the other side.
        writer.write_all("").await.0.expect("nothing was done");
        assert_eq!(writer.write_vectored(vec![""; 2]).await.0.expect("nothing was done"), 0);
    });
}

#[test]
fn a_writer_that_waits_is_told_when_the_reader_goes() {
    everywhere(|| async {
        let (reader, mut writer) = pipe().expect("room");
        let gone = spawn(async move {
            sleep(MS).await;
            drop(reader);
        });
        let (result, _) = writer.write_all(vec![0; 1 << 20]).await;
        assert_eq!(result.expect_err("nobody").kind(), io::ErrorKind::BrokenPipe);
        gone.await.expect("not cancelled");
    });
}

#[test]
fn a_broken_pipe_does_not_end_a_program_with_the_default_action() {
    in_child("pipes::a_broken_pipe_does_not_end_a_program_with_the_default_action", || {
        use nix::sys::signal::{SigHandler, Signal, signal};
        // SAFETY: the default action runs no code.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.expect("it has one");
        if !kernel_is(6, 18) {
            return println!("skipped: this kernel has no RWF_NOSIGNAL");
        }
        run(async {
            let (reader, mut writer) = pipe().expect("room");
            drop(reader);
            writer.closed().await.expect("it only looks");
            for _ in 0..2 {
                let (result, _) = writer.write_all("lost").await;
                assert_eq!(result.expect_err("nobody").kind(), io::ErrorKind::BrokenPipe);
                let (result, _) = writer.write_all_vectored(vec!["lo", "st"]).await;
                assert_eq!(result.expect_err("nobody").kind(), io::ErrorKind::BrokenPipe);
            }
        })
        .expect("a ring");
    });
}

#[test]
fn descriptors_that_cannot_be_polled_are_read_to_the_end() {
    for lacks in KERNELS {
        on_the_real_one(small().without(lacks), || async {
            let mut file = tempfile::tempfile().expect("a place for temporary files");
            let bytes = pattern(5000);
            file.write_all(&bytes).expect("room");
            io::Seek::rewind(&mut file).expect("a file");
            let twin = file.try_clone().expect("room");
            let mut reader = PipeReader::from_fd(file);
            let (count, start) = reader.read(Vec::with_capacity(100)).await;
            assert_eq!((count.expect("a file"), &start[..]), (100, &bytes[..100]));
            assert_eq!(&*reader.recv().await.expect("a file"), &bytes[100..356]);
            assert_eq!(to_the_end(reader).await, &bytes[356..]);
            // And written, behind what is there.
            let mut writer = PipeWriter::from_fd(twin);
            writer.write_all("more").await.0.expect("room");
            let mut twin = std::fs::File::from(writer.into_fd());
            io::Seek::seek(&mut twin, io::SeekFrom::Start(4998)).expect("a file");
            let mut end = Vec::new();
            twin.read_to_end(&mut end).expect("a file");
            assert_eq!(end, [&bytes[4998..], b"more"].concat());
        });
    }
}

#[test]
fn descriptors_in_non_blocking_mode_wait_as_others_do() {
    for lacks in KERNELS {
        on_the_real_one(small().without(lacks), || async {
            let (reader, writer) = std::io::pipe().expect("room");
            for fd in [reader.as_raw_fd(), writer.as_raw_fd()] {
                // SAFETY: open until the end of this loop.
                let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
                fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a pipe");
            }
            let (mut reader, mut writer) =
                (PipeReader::from_fd(reader), PipeWriter::from_fd(writer));
            // An old kernel refuses the flags of the first write, which then comes again when it is
            // polled.
            writer.write_all([0]).await.0.expect("room");
            let (count, byte) = reader.read([1]).await;
            assert_eq!((count.expect("open"), byte), (1, [0]));
            let mut filling = Box::pin(writer.write_all(pattern(300_000)));
            assert!(poll_once(&mut filling).await.is_pending());
            sleep(MS).await;
            let (count, start) = reader.read(vec![0; 100]).await;
            let mut got = start[..count.expect("open")].to_vec();
            let read = async {
                while got.len() < 300_000 {
                    got.extend_from_slice(&reader.recv().await.expect("open"));
                }
            };
            let (((written, _), ()), _) =
                (uring_loop::join((&mut filling, read)).await, sleep(MS).await);
            written.expect("open");
            assert_eq!(got, pattern(300_000));
            drop(filling);
            // Given out, they are as others expect them.
            let fd = writer.into_fd();
            let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL).expect("a pipe"));
            assert!(!flags.contains(OFlag::O_NONBLOCK));
        });
    }
}

#[test]
fn a_reader_is_given_out_unless_it_may_have_taken_bytes() {
    run(async {
        let (reader, writer) = pipe().expect("room");
        let mut plain = std::fs::File::from(writer.into_fd());
        plain.write_all(b"all of it").expect("open");
        let mut reader = PipeReader::from_fd(reader.into_fd().expect("nothing was received"));
        assert_eq!(&*reader.recv().await.expect("open"), b"all of it");
        assert!(poll_once(&mut reader.recv()).await.is_pending());
        let mut reader = reader.into_fd().expect_err("more may have been taken");
        plain.write_all(b"more").expect("open");
        assert_eq!(&*reader.recv().await.expect("open"), b"more");
    })
    .expect("a ring");
}

#[test]
fn a_terminal_can_be_talked_to() {
    for lacks in KERNELS {
        on_the_real_one(small().without(lacks), || async {
            let pty = nix::pty::openpty(None, None).expect("a terminal");
            let mut ours = PipeReader::from_fd(pty.master.try_clone().expect("room"));
            let mut keyboard = PipeWriter::from_fd(pty.master);
            let mut program = PipeReader::from_fd(pty.slave.try_clone().expect("room"));
            let mut screen = PipeWriter::from_fd(pty.slave);
            assert!(poll_once(&mut program.recv()).await.is_pending(), "no line yet");
            keyboard.write_all("ls\n").await.0.expect("open");
            assert_eq!(&*program.recv().await.expect("open"), b"ls\n");
            screen.write_all("x").await.0.expect("open");
            let mut shown = Vec::new();
            while shown.len() < 5 {
                shown.extend_from_slice(&ours.recv().await.expect("open"));
            }
            assert_eq!(shown, b"ls\r\nx", "what was typed is shown");
            let mut end = Box::pin(ours.recv());
            assert!(poll_once(&mut end).await.is_pending());
            drop((program, screen));
            let gone = end.await.expect_err("nobody is at the other side");
            assert_eq!(gone.raw_os_error(), Some(nix::errno::Errno::EIO as i32));
        });
    }
}

#[test]
fn named_pipes_wait_for_the_other_side_and_not_the_loop() {
    for lacks in KERNELS {
        on_the_real_one(small().without(lacks), || async {
            let folder = tempfile::tempdir().expect("a place for temporary files");
            let path = folder.path().join("fifo");
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a new name");
            // The writer first: it waits for a reader.
            let mut opening = Box::pin(PipeWriter::open(&path));
            assert!(timeout(10 * MS, &mut opening).await.is_err());
            let mut reader = PipeReader::open(&path).await.expect("it is there");
            // Nobody has written: that is not the end.
            assert!(timeout(10 * MS, reader.recv()).await.is_err());
            let mut writer = opening.await.expect("a reader is there");
            assert!(timeout(10 * MS, reader.recv()).await.is_err());
            writer.write_all("through a name").await.0.expect("open");
            assert_eq!(&*reader.recv().await.expect("open"), b"through a name");
            drop(writer);
            assert!(reader.recv().await.expect("the end").is_empty());
            // And one that is filled with a buffer of one's own.
            let mut reader = PipeReader::open(&path).await.expect("it is there");
            let other = path.clone();
            let written = spawn(async move {
                sleep(5 * MS).await;
                unblock(move || std::fs::write(other, b"plain")).await
            });
            let (count, bytes) = reader.read([0; 9]).await;
            assert_eq!((count.expect("open"), &bytes[..5]), (5, &b"plain"[..]));
            written.await.expect("not cancelled").expect("a thread").expect("a reader is there");
            let missing = PipeReader::open(folder.path().join("none")).await.expect_err("missing");
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
            assert!(missing.to_string().contains("none`: No such file"), "{missing}");
            PipeWriter::open(folder.path()).await.expect_err("a folder is not written");
        });
    }
}

/// Two pipes, one each way, as the two ends of one connection.
async fn crossed() -> (PipeStream, PipeStream) {
    let ((one, to_one), (other, to_other)) = (pipe().expect("room"), pipe().expect("room"));
    (PipeStream::new(one, to_other), PipeStream::new(other, to_one))
}

#[test]
fn two_pipes_keep_the_promises_of_a_stream() {
    everywhere(|| check_byte_stream(crossed));
}

#[test]
fn two_pipes_on_a_kernel_full_of_faults_keep_them() {
    for seed in 0..6 {
        let config = SimConfig { send_buffer: 5000, ..SimConfig::seeded(seed) };
        on_sim_with(small(), config, |sim| {
            check_byte_stream(async move || {
                sim.set_faults(Faults::none());
                let crossed = crossed().await;
                sim.set_faults(Faults::chaos());
                crossed
            })
        });
    }
}

#[test]
fn what_was_handed_over_is_written_on_a_kernel_without_the_flags() {
    on_sim_with(small(), SimConfig::seeded(3), |sim| async move {
        let (one, other) = crossed().await;
        sim.next(opcode::WRITE, Fault::Fail(nix::errno::Errno::EOPNOTSUPP as i32));
        one.send(b"handed over".to_vec()).await.expect("open");
        assert_eq!(&*other.recv().await.expect("open"), b"handed over");
    });
}

#[test]
fn pipes_are_not_inherited() {
    run(async {
        let (reader, writer) = pipe().expect("room");
        for fd in [reader.as_raw_fd(), writer.as_raw_fd()] {
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("open");
            let flags =
                info.lines().find_map(|line| line.strip_prefix("flags:\t")).expect("it has");
            let flags = i32::from_str_radix(flags, 8).expect("octal");
            assert!(flags & OFlag::O_CLOEXEC.bits() != 0, "{info}");
        }
    })
    .expect("a ring");
}

#[test]
fn a_loop_that_ends_gives_the_pipes_back() {
    let (mut event_loop, sim) =
        small().build_simulated(SimConfig::seeded(3)).expect("a simulated ring");
    let (mut reader, mut writer) =
        event_loop.run_until_complete(async { pipe().expect("room") }).expect("not cancelled");
    event_loop
        .run_until_complete(async {
            assert!(poll_once(&mut reader.recv()).await.is_pending());
            drop(poll_once(&mut Box::pin(writer.write_all(vec![0; 1 << 20]))).await);
        })
        .expect("not cancelled");
    settle(&mut event_loop);
    drop(event_loop);
    drop((reader, writer));
    assert_eq!(sim.open_descriptors(), []);
}
