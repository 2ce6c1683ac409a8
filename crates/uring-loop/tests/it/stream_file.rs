//! Files between what is written: whole, in order, on every kind of stream.

use std::future::Future;
use std::io::{ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::buf::RecvBuf;
use uring_loop::io::{MemoryStream, duplex};
use uring_loop::net::UnixStream;
use uring_loop::protocol::{Protocol, connect};
use uring_loop::stream::{StreamReader, StreamWriter, wrap};
use uring_loop::testing::{Fault, Faults, SimConfig, opcode};
use uring_loop::time::sleep;
use uring_loop::{join, spawn, yield_now};

use crate::support::{borrowed, on_sim, poll_once, run_limited};

const MS: Duration = Duration::from_millis(1);
const SIZE: usize = 700_000;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn file(bytes: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().expect("a place for temporary files");
    file.write_all(bytes).expect("room");
    file
}

fn around(before: &[u8], bytes: &[u8], behind: &[u8]) -> Vec<u8> {
    [before, bytes, behind].concat()
}

/// A file that is sent while another task writes.
async fn among_writes(file: impl AsFd, writer: StreamWriter) {
    writer.write("before ");
    let writer = Rc::new(writer);
    let other = writer.clone();
    let meanwhile = spawn(async move {
        other.write(" behind");
        other.write_eof();
    });
    let sent = writer.send_file(file, 100, u64::MAX).await.expect("open");
    assert_eq!(sent, (SIZE - 100) as u64);
    meanwhile.await.expect("no panic");
}

#[test]
fn a_file_stands_between_what_was_written_before_and_meanwhile() {
    let bytes = pattern(SIZE);
    let expected = around(b"before ", &bytes[100..], b" behind");
    run_limited(async {
        let (one, other) = UnixStream::pair().expect("descriptors");
        let (_reader, writer) = wrap(one);
        let (mut reader, _writer) = wrap(other);
        let (got, ()) = join((reader.read_to_end(), among_writes(file(&bytes), writer))).await;
        assert!(got.expect("open") == expected, "over a socket");
        let (one, other) = duplex(999);
        let (_reader, writer) = wrap(one);
        let (mut reader, _writer) = wrap(other);
        let (got, ()) = join((reader.read_to_end(), among_writes(file(&bytes), writer))).await;
        assert!(got.expect("open") == expected, "through memory");
    });
    for seed in 0..10 {
        let (bytes, expected) = (bytes.clone(), expected.clone());
        on_sim(SimConfig { send_buffer: 10_000, ..SimConfig::seeded(seed) }, |sim| async move {
            let number = sim.create_file(bytes);
            let (one, other) = UnixStream::pair().expect("descriptors");
            sim.set_faults(Faults::none().short(0.3).delay(0.3, 4).file_again(0.1).again(0.1));
            let (_reader, writer) = wrap(one);
            let (mut reader, _writer) = wrap(other);
            let sending = among_writes(borrowed(number), writer);
            let (got, ()) = join((reader.read_to_end(), sending)).await;
            assert!(got.expect("open") == expected, "mangled");
            sim.close(number).expect("open");
        });
    }
}

#[test]
fn a_protocol_sends_files_too() {
    struct Deaf;
    impl Protocol for Deaf {
        fn data_received(&mut self, _: RecvBuf) {}
    }
    run_limited(async {
        let (one, other) = UnixStream::pair().expect("descriptors");
        let (transport, _task) = connect(Deaf, one).await;
        let (mut reader, _writer) = wrap(other);
        let bytes = pattern(SIZE);
        let sending = async {
            transport.write("before ");
            let sent = transport.send_file(file(&bytes), 0, 5).await.expect("open");
            assert_eq!(sent, 5);
            transport.send_file(file(&bytes), 5, u64::MAX).await.expect("open");
            transport.close();
        };
        let (got, ()) = join((reader.read_to_end(), sending)).await;
        assert!(got.expect("open") == around(b"before ", &bytes, b""));
    });
}

/// A sender through 1000 bytes of memory, and a file that does not fit.
fn small_way() -> (StreamWriter, (StreamReader, StreamReader, StreamWriter), std::fs::File) {
    let (one, other): (MemoryStream, _) = duplex(1000);
    let (ours, writer) = wrap(one);
    let (reader, theirs) = wrap(other);
    (writer, (ours, reader, theirs), file(&pattern(SIZE)))
}

async fn begun<F: Future + Unpin>(sending: &mut F) {
    for _ in 0..20 {
        assert!(poll_once(sending).await.is_pending(), "there is no room for all of it");
        sleep(MS).await;
    }
}

#[test]
fn one_file_at_a_time_and_none_behind_the_end() {
    run_limited(async {
        let (writer, (_ours, mut reader, _theirs), file) = small_way();
        let mut sending = Box::pin(writer.send_file(&file, 0, 5000));
        begun(&mut sending).await;
        let second = writer.send_file(&file, 0, 1).await.expect_err("one is under way");
        assert_eq!(second.kind(), ErrorKind::ResourceBusy);
        writer.write("!");
        writer.write_eof();
        let (sent, got) = join((sending, reader.read_to_end())).await;
        assert_eq!(sent.expect("open"), 5000);
        assert!(got.expect("open") == around(&pattern(5000), b"!", b""));
        let late = writer.send_file(&file, 0, 1).await.expect_err("it has ended");
        assert_eq!(late.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_sending_that_is_given_up_lets_the_rest_go_on() {
    run_limited(async {
        let (writer, (_ours, mut reader, _theirs), file) = small_way();
        let mut sending = Box::pin(writer.send_file(&file, 0, u64::MAX));
        begun(&mut sending).await;
        writer.write("the end");
        drop(sending);
        drop(writer);
        let got = reader.read_to_end().await.expect("open");
        let bytes = got.strip_suffix(b"the end").expect("what was written follows");
        assert!(bytes.len() < SIZE && pattern(SIZE).starts_with(bytes), "a piece of it, whole");
    });
}

#[test]
fn a_connection_that_goes_ends_it() {
    run_limited(async {
        for abort in [false, true] {
            let (writer, (_ours, mut reader, _theirs), file) = small_way();
            let mut sending = Box::pin(writer.send_file(&file, 0, u64::MAX));
            begun(&mut sending).await;
            if abort {
                writer.abort()
            } else {
                writer.close()
            }
            let (sent, got) = join((sending, reader.read_to_end())).await;
            assert_eq!(sent.expect_err("it is closed").kind(), ErrorKind::ConnectionReset);
            let got = got.map_or(0, |got| got.len());
            assert!(got < SIZE, "{got} bytes");
        }
    });
    on_sim(SimConfig::seeded(0), |sim| async move {
        let number = sim.create_file(pattern(SIZE));
        let (one, other) = UnixStream::pair().expect("descriptors");
        let (_reader, writer) = wrap(one);
        let sending = writer.send_file(borrowed(number), 0, u64::MAX);
        let going = async {
            sleep(MS).await;
            drop(other);
        };
        let (sent, ()) = join((sending, going)).await;
        let kind = sent.expect_err("nobody reads").kind();
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
        sim.close(number).expect("open");
    });
}

#[test]
fn an_error_of_the_disk_is_told_and_the_connection_goes_on() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        const EIO: i32 = 5;
        let number = sim.create_file(pattern(SIZE));
        let (one, other) = UnixStream::pair().expect("descriptors");
        let (_reader, writer) = wrap(one);
        let (mut reader, _writer) = wrap(other);
        sim.next(opcode::READ, Fault::Fail(EIO));
        let error = writer.send_file(borrowed(number), 0, 9).await.expect_err("the disk");
        assert_eq!(error.raw_os_error(), Some(EIO));
        writer.write("sorry\n");
        assert_eq!(reader.read_line().await.expect("open"), b"sorry\n");
        yield_now().await;
        sim.close(number).expect("open");
    });
}
