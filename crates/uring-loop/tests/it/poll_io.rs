//! Streams under the traits of other crates: nothing is lost by a select, nothing waits for a flush
//! that nobody calls, and the end does not overtake a send.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::ReadBuf;
use uring_loop::io::{PollIo, duplex};
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::testing::{Peer, SimConfig, SimHandle};
use uring_loop::time::sleep;
use uring_loop::{spawn, yield_now};

use crate::support::{on_sim, poll_once};

const MS: Duration = Duration::from_millis(1);

async fn connected(sim: &SimHandle) -> (PollIo<TcpStream>, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
    (PollIo::new(listener.accept().await.expect("accepted")), peer)
}

#[test]
fn futures_traits_read_and_write() {
    on_sim(SimConfig { send_buffer: 100, ..SimConfig::seeded(0) }, |sim| async move {
        let (mut io, peer) = connected(&sim).await;
        let task = spawn(async move {
            let mut line = String::new();
            assert_eq!(io.read_line(&mut line).await.expect("open"), 6);
            assert_eq!(line, "hello\n");
            let mut exact = [0; 4];
            io.read_exact(&mut exact).await.expect("open");
            assert_eq!(&exact, b"1234");
            assert_eq!(io.read(&mut []).await.expect("no room"), 0);
            io.write_all(&vec![7; 1000]).await.expect("open");
            io.close().await.expect("open");
            let error = io.write_all(b"late").await.expect_err("it has ended");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            let mut rest = Vec::new();
            io.read_to_end(&mut rest).await.expect("open");
            rest
        });
        peer.send("hel").expect("open");
        sleep(MS).await;
        peer.send("lo\n1234rest").expect("open");
        let mut got = 0;
        for _ in 0..100 {
            got += peer.recv().len();
            sleep(MS).await;
        }
        assert_eq!((got, peer.ended()), (1000, true));
        peer.shutdown_write();
        assert_eq!(task.await.expect("no panic"), b"rest");
    });
}

#[test]
fn tokio_traits_read_and_write() {
    use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite};
    on_sim(SimConfig::seeded(0), |sim| async move {
        let (mut io, peer) = connected(&sim).await;
        let mut io = Pin::new(&mut io);
        assert!(AsyncWrite::is_write_vectored(&*io));
        peer.send("hello world").expect("open");
        let mut memory = [0; 8];
        let mut buffer = ReadBuf::new(&mut memory);
        poll_fn(|cx| AsyncRead::poll_read(io.as_mut(), cx, &mut buffer)).await.expect("open");
        assert_eq!(buffer.filled(), b"hello wo");
        poll_fn(|cx| AsyncRead::poll_read(io.as_mut(), cx, &mut buffer)).await.expect("no room");
        let seen = poll_fn(|cx| match AsyncBufRead::poll_fill_buf(io.as_mut(), cx) {
            Poll::Ready(bytes) => Poll::Ready(bytes.map(<[u8]>::to_vec)),
            Poll::Pending => Poll::Pending,
        });
        assert_eq!(seen.await.expect("open"), b"rld");
        AsyncBufRead::consume(io.as_mut(), 3);
        let pieces = [IoSlice::new(b"head "), IoSlice::new(b""), IoSlice::new(b"body")];
        let write = poll_fn(|cx| AsyncWrite::poll_write_vectored(io.as_mut(), cx, &pieces));
        assert_eq!(write.await.expect("open"), 9);
        let write = poll_fn(|cx| AsyncWrite::poll_write(io.as_mut(), cx, b"!"));
        assert_eq!(write.await.expect("open"), 1);
        poll_fn(|cx| AsyncWrite::poll_flush(io.as_mut(), cx)).await.expect("open");
        poll_fn(|cx| AsyncWrite::poll_shutdown(io.as_mut(), cx)).await.expect("open");
        sleep(MS).await;
        assert_eq!(peer.recv(), b"head body!");
        assert!(peer.ended());
    });
}

/// Much code in tokio's style never flushes: what a write took must arrive all the same.
#[test]
fn a_second_small_write_without_a_flush_arrives() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let (mut io, peer) = connected(&sim).await;
        io.write_all(b"one").await.expect("open");
        io.write_all(b"two").await.expect("open");
        sleep(MS).await;
        assert_eq!(peer.recv(), b"onetwo");
        drop(io);
    });
}

/// A peer that takes the answer and closes at once: the end of the stream and the completion of the
/// send come in one batch, and who polls the reading side first must not see the end first.
#[test]
fn the_end_does_not_overtake_a_flush() {
    for turns in 0..4 {
        on_sim(SimConfig::seeded(turns), |sim| async move {
            let (mut io, peer) = connected(&sim).await;
            assert!(poll_once(&mut io.read(&mut [0; 9])).await.is_pending());
            io.write_all(b"answer").await.expect("open");
            assert!(poll_once(&mut io.flush()).await.is_pending());
            // All of it happens before this task looks again.
            peer.shutdown_write();
            for _ in 0..turns + 2 {
                yield_now().await;
            }
            let mut told = Vec::new();
            poll_fn(|cx| {
                let mut buffer = [0; 9];
                if !told.contains(&"end") && io.poll_read(cx, &mut buffer).is_ready() {
                    told.push("end");
                }
                if !told.contains(&"flushed") && io.poll_flush(cx).is_ready() {
                    told.push("flushed");
                }
                if told.len() == 2 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            assert_eq!(told, ["flushed", "end"]);
            assert_eq!(io.read(&mut [0; 9]).await.expect("it stays"), 0);
        });
    }
}

#[test]
fn the_end_is_told_though_nobody_flushes_any_more() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let (mut io, peer) = connected(&sim).await;
        io.write_all(&[7; 100]).await.expect("open");
        assert!(poll_once(&mut io.flush()).await.is_pending());
        // The peer ends its direction and does not read: the flush never comes to an end.
        peer.shutdown_write();
        assert_eq!(io.read(&mut [0; 9]).await.expect("the end"), 0);
    });
}

#[test]
fn a_select_loses_no_byte() {
    uring_loop::testing::run(async {
        let (one, other) = duplex(10);
        let (mut one, mut other) = (PollIo::new(one), PollIo::new(other));
        let sender = spawn(async move {
            for round in 0..200_u8 {
                one.write_all(&[round; 7]).await.expect("open");
                if round % 3 == 0 {
                    yield_now().await;
                }
            }
            one.close().await.expect("open");
        });
        let mut got = Vec::new();
        loop {
            let mut buffer = [0; 5];
            let read = {
                let read = pin!(other.read(&mut buffer));
                match select(read, pin!(yield_now())).await {
                    Either::Left((read, _)) => Some(read.expect("open")),
                    Either::Right(_) => None,
                }
            };
            match read {
                Some(0) => break,
                Some(count) => got.extend_from_slice(&buffer[..count]),
                None => {}
            }
        }
        sender.await.expect("no panic");
        let expected: Vec<u8> = (0..200_u8).flat_map(|round| [round; 7]).collect();
        assert!(got == expected, "{} bytes", got.len());
    });
}

#[test]
fn what_was_read_ahead_comes_out_with_the_stream() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let (mut io, peer) = connected(&sim).await;
        peer.send("hello").expect("open");
        assert_eq!(io.read(&mut [0; 2]).await.expect("open"), 2);
        assert!(io.get_ref().peer_addr().is_ok(), "it can be looked at");
        let (_stream, rest) = io.into_parts();
        assert_eq!(&*rest.expect("three bytes"), b"llo");
    });
}
