//! Files sent over sockets: all of them, parts, ends, errors, on both rings.

use std::io::{ErrorKind, Write as _};
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use futures_util::join;
use uring_loop::net::{TcpListener, TcpStream, UnixStream};
use uring_loop::testing::{Fault, SimConfig, opcode};

use crate::drops::{End, every_point, inflict, run_for};
use crate::support::{in_child, on_sim, open_descriptors, run_limited};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn file(bytes: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().expect("a place for temporary files");
    file.write_all(bytes).expect("room");
    file
}

async fn receive_all(stream: &mut UnixStream) -> Vec<u8> {
    let mut got = Vec::new();
    loop {
        let bytes = stream.recv().await.expect("open");
        if bytes.is_empty() {
            return got;
        }
        got.extend_from_slice(&bytes);
    }
}

/// What arrives when this part of a file of so many bytes is sent.
async fn send(file: BorrowedFd<'_>, offset: u64, length: u64) -> (u64, Vec<u8>) {
    let (mut one, mut other) = UnixStream::pair().expect("descriptors");
    let sending = async {
        let sent = one.send_file(file, offset, length).await.expect("open");
        one.shutdown(Shutdown::Write).await.expect("open");
        sent
    };
    join!(sending, receive_all(&mut other))
}

/// Parts of a file of 700 000 bytes: offset, length, and how much of that there is.
const PARTS: [(u64, u64, u64); 7] = [
    (0, 700_000, 700_000),
    (0, 1, 1),
    (123_456, 400_000, 400_000),
    (600_000, u64::MAX - 600_000, 100_000),
    (0, 256 << 10, 256 << 10),
    (700_000, 10, 0),
    (5, 0, 0),
];

#[test]
fn every_part_of_a_file_arrives() {
    let bytes = pattern(700_000);
    run_limited(async {
        let file = file(&bytes);
        for (offset, length, there) in PARTS {
            let (sent, got) = send(std::os::fd::AsFd::as_fd(&file), offset, length).await;
            assert_eq!(sent, there, "{offset}, {length}");
            assert!(got == bytes[offset as usize..][..there as usize], "{offset}, {length}");
        }
    });
    on_sim(SimConfig { send_buffer: 10_000, ..SimConfig::seeded(1) }, |sim| async move {
        let bytes = pattern(700_000);
        let mut stream = UnixStream::pair().expect("descriptors");
        for (offset, length, there) in PARTS.into_iter().skip(1) {
            let number = sim.create_file(bytes.clone());
            let file = crate::support::borrowed(number);
            let sending = async { stream.0.send_file(file, offset, length).await.expect("open") };
            let receiving = async {
                let mut got = Vec::new();
                while got.len() < there as usize {
                    got.extend_from_slice(&stream.1.recv().await.expect("open"));
                }
                got
            };
            let (sent, got) = join!(sending, receiving);
            assert_eq!(sent, there);
            assert!(got == bytes[offset as usize..][..there as usize]);
            sim.close(number).expect("open");
        }
    });
}

#[test]
fn a_half_sends_what_a_stream_does() {
    run_limited(async {
        let (one, mut other) = UnixStream::pair().expect("descriptors");
        let (_receive, mut send) = one.into_split();
        let sending = async {
            let parts = vec!["one ".to_owned(), "two ".to_owned()];
            assert_eq!(send.write_vectored(parts).await.0.expect("open"), 8);
            let parts = vec!["three ".to_owned(), "four ".to_owned()];
            send.write_all_vectored(parts).await.0.expect("open");
            assert_eq!(send.send_file(file(b"-five"), 1, 10).await.expect("open"), 4);
            send.shutdown(Shutdown::Write).await.expect("open");
        };
        let ((), got) = join!(sending, receive_all(&mut other));
        assert_eq!(got, b"one two three four five");
    });
}

#[test]
fn short_reads_and_sends_are_gone_on_from() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let bytes = pattern(600_000);
        let number = sim.create_file(bytes.clone());
        let (mut one, mut other) = UnixStream::pair().expect("descriptors");
        for short in [1, 1000, 70_000] {
            sim.next(opcode::READ, Fault::Short(short));
            sim.next(opcode::SEND, Fault::Short(short));
        }
        let sending = async {
            let file = crate::support::borrowed(number);
            assert_eq!(one.send_file(file, 0, 600_000).await.expect("open"), 600_000);
            one.shutdown(Shutdown::Write).await.expect("open");
        };
        let ((), got) = join!(sending, receive_all(&mut other));
        assert!(got == bytes, "mangled");
        sim.close(number).expect("open");
    });
}

#[test]
fn an_error_of_either_side_is_told() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let number = sim.create_file(pattern(600_000));
        let (mut one, other) = UnixStream::pair().expect("descriptors");
        sim.next(opcode::READ, Fault::Fail(libc::EIO));
        let file = crate::support::borrowed(number);
        let error = one.send_file(file, 0, 1000).await.expect_err("the disk");
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        drop(other);
        let error = one.send_file(file, 0, 600_000).await.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        sim.close(number).expect("open");
    });
    run_limited(async {
        let (mut one, _other) = UnixStream::pair().expect("descriptors");
        let folder = std::fs::File::open("/").expect("it is there");
        let error = one.send_file(&folder, 0, 10).await.expect_err("no file");
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        one.set_write_timeout(Some(Duration::from_secs(1)));
        let error = one.send_file(file(&pattern(4 << 20)), 0, 4 << 20).await;
        assert_eq!(error.expect_err("nobody reads").kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn the_file_may_be_closed_and_the_call_given_up_at_any_point() {
    every_point(opcode::READ, |config, faults, turns, end| {
        if end == End::Forget {
            return; // The descriptor of the file is in the future that was forgotten.
        }
        on_sim(config, |sim| async move {
            let number = sim.create_file(pattern(600_000));
            let (mut one, mut other) = UnixStream::pair().expect("descriptors");
            inflict(&sim, &faults);
            let sending = one.send_file(crate::support::borrowed(number), 0, 600_000);
            let mut sending = Box::pin(sending);
            assert!(crate::support::poll_once(&mut sending).await.is_pending());
            sim.close(number).expect("open");
            drop(run_for(sending, turns, end).await);
            drop(one);
            let got = receive_all(&mut other).await;
            assert!(pattern(600_000).starts_with(&got), "mangled");
        });
    });
    in_child("net_send_file::the_file_may_be_closed_and_the_call_given_up_at_any_point", || {
        run_limited(async {});
        let before = open_descriptors();
        for turns in 0..5 {
            run_limited(async {
                let (mut one, mut other) = UnixStream::pair().expect("descriptors");
                let bytes = pattern(600_000);
                let opened = OwnedFd::from(file(&bytes));
                let mut sending = Box::pin(one.send_file(&opened, 0, 600_000));
                assert!(crate::support::poll_once(&mut sending).await.is_pending());
                drop(run_for(sending, turns, End::Drop).await);
                drop(opened);
                drop(one);
                let got = receive_all(&mut other).await;
                assert!(bytes.starts_with(&got), "mangled");
            });
            assert_eq!(open_descriptors(), before, "{turns} turns");
        }
    });
}

#[test]
fn a_tcp_stream_sends_files_too() {
    run_limited(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let (server, client) = join!(listener.accept(), TcpStream::connect(address));
        let (mut server, mut client) = (server.expect("accepted"), client.expect("connected"));
        let bytes = pattern(900_000);
        let sending = async {
            let sent = server.send_file(file(&bytes), 100, u64::MAX - 100).await.expect("open");
            drop(server);
            sent
        };
        let receiving = async {
            let mut got = Vec::new();
            loop {
                let bytes = client.recv().await.expect("open");
                if bytes.is_empty() {
                    break got;
                }
                got.extend_from_slice(&bytes);
            }
        };
        let (sent, got) = join!(sending, receiving);
        assert_eq!(sent, 899_900);
        assert!(got == bytes[100..], "mangled");
    });
}
