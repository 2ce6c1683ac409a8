//! Closing a connection on which the peer has sent what nobody read: the last answer arrives all
//! the same, and nobody waits for ever.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as Plain};
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use uring_loop::buf::RecvBuf;
use uring_loop::io::{ByteStream, ByteStreamExt};
use uring_loop::net::{TcpListener, TcpStream, UnixStream};
use uring_loop::protocol::{Protocol, Transport, create_server};
use uring_loop::stream::{Server, StreamReader, StreamWriter, serve, start_server, wrap};
use uring_loop::testing::{Peer, SimConfig, SimHandle};
use uring_loop::time::{now, sleep, timeout};
use uring_loop::{EventLoop, spawn, unblock};

use crate::support::on_sim;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// More than the client's buffer takes, and less than that of the server's socket.
const ANSWER: usize = 100_000;

/// A client with a small buffer that has sent a request and reads nothing yet.
fn client(address: SocketAddr) -> Plain {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it is ours");
    socket.connect(&address.into()).expect("it listens");
    let mut client = Plain::from(socket);
    client.write_all(&[1; 1000]).expect("there is room");
    client
}

/// Answers without having read the request, lets `close` close, and tells what the client reads.
async fn answered<F: Future>(close: impl FnOnce(TcpStream) -> F) -> (usize, Option<ErrorKind>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let mut client = client(listener.local_addr().expect("bound"));
    let mut server = listener.accept().await.expect("a client");
    server.socket().set_send_buffer_size(1 << 20).expect("it is ours");
    server.write_all(vec![7; ANSWER]).await.0.expect("the kernel has room");
    let reads = async {
        // The close is behind us, or has begun.
        sleep(20 * MS).await;
        unblock(move || {
            let mut got = Vec::new();
            let error = client.read_to_end(&mut got).err().map(|error| error.kind());
            (got.len(), error)
        })
        .await
        .expect("the helper does not panic")
    };
    uring_loop::join((close(server), reads)).await.1
}

#[test]
fn an_answer_is_lost_with_a_stream_that_is_just_dropped_and_not_with_one_that_is_closed() {
    uring_loop::run(async {
        let (got, error) = answered(async |server| drop(server)).await;
        assert!(got < ANSWER && error == Some(ErrorKind::ConnectionReset), "{got} {error:?}");
        let closed = async |server: TcpStream| server.close(10 * SECOND).await.expect("it ends");
        assert_eq!(answered(closed).await, (ANSWER, None));
        // A reader and a writer do it by themselves, however they go.
        let closed = async |server| {
            let (_reader, writer) = wrap(server);
            writer.close();
            writer.wait_closed().await.expect("in order");
        };
        assert_eq!(answered(closed).await, (ANSWER, None));
        assert_eq!(answered(async |server| drop(wrap(server))).await, (ANSWER, None));
    })
    .expect("a loop");
}

fn address(server: &Server) -> SocketAddr {
    server.addresses()[0].ip().expect("TCP")
}

/// A peer that has sent more than the server's handler reads.
fn chatty(sim: &SimHandle, address: SocketAddr) -> Peer {
    let peer = sim.peer_connect(address).expect("it listens");
    peer.send([1; 1000]).expect("open");
    peer
}

/// The peer has the answer, a clean end behind it, and can still send.
#[track_caller]
fn assert_clean(peer: &Peer, answer: &[u8]) {
    assert_eq!(peer.recv(), answer);
    assert!(peer.ended() && !peer.was_reset(), "it was reset");
    peer.send([2; 1000]).expect("not reset");
    assert!(!peer.was_reset(), "it was reset by what came later");
}

#[test]
fn a_handler_that_answers_without_reading_does_not_reset_the_connection() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let handler = |_: StreamReader, writer: StreamWriter| async move { writer.write("no\n") };
        let server = start_server("127.0.0.1:0", handler).await.expect("free");
        let peer = chatty(&sim, address(&server));
        sleep(MS).await;
        assert_clean(&peer, b"no\n");
        assert_eq!(server.connections(), 1, "it takes what still comes");
        drop(peer);
        sleep(MS).await;
        assert_eq!(server.connections(), 0);
    });
}

/// The end of a connection, by whatever the handler did with its two sides.
#[track_caller]
fn ends_cleanly<F>(handler: impl Fn(StreamReader, StreamWriter) -> F + 'static)
where
    F: Future<Output = ()> + 'static,
{
    on_sim(SimConfig::seeded(0), |sim| async move {
        let server = start_server("127.0.0.1:0", handler).await.expect("free");
        let peer = chatty(&sim, address(&server));
        sleep(10 * MS).await;
        assert_clean(&peer, b"no\n");
        drop(peer);
        sleep(10 * MS).await;
    });
}

#[test]
fn whoever_of_reader_and_writer_goes_last_does_not_reset_the_connection() {
    ends_cleanly(async |_reader, writer| {
        writer.write("no\n");
        writer.close();
    });
    ends_cleanly(async |reader, writer| {
        writer.write("no\n");
        drop(writer);
        sleep(5 * MS).await; // It is sent, and its writer long gone.
        drop(reader);
    });
    ends_cleanly(async |reader, writer| {
        drop(reader);
        writer.write("no\n");
        writer.drain().await.expect("open");
        sleep(5 * MS).await;
        writer.close();
    });
    ends_cleanly(async |mut reader, writer| {
        // Bytes that the loop has taken from the kernel, and nobody from the loop.
        assert_eq!(reader.read(1).await.expect("open"), [1]);
        writer.write("no\n");
        writer.drain().await.expect("open");
        sleep(5 * MS).await;
    });
}

struct Refuses;

impl Protocol for Refuses {
    fn connection_made(&mut self, transport: Transport) {
        transport.pause_reading();
        transport.write("no\n");
        transport.close();
    }

    fn data_received(&mut self, _: RecvBuf) {
        unreachable!("it does not read");
    }
}

#[test]
fn a_transport_that_closes_without_reading_does_not_reset_the_connection() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let server = create_server(|| Refuses, "127.0.0.1:0").await.expect("free");
        let peer = chatty(&sim, address(&server));
        sleep(MS).await;
        assert_clean(&peer, b"no\n");
        drop(peer);
        sleep(MS).await;
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_peer_that_falls_silent_or_never_ends_is_not_waited_for_for_ever() {
    for (pause, expected) in [(3 * SECOND, 2), (SECOND, 30)] {
        on_sim(SimConfig::seeded(0), |sim| async move {
            let handler = |_, writer: StreamWriter| async move { writer.write("no\n") };
            let server = start_server("127.0.0.1:0", handler).await.expect("free");
            let peer = Rc::new(chatty(&sim, address(&server)));
            let begin = now();
            for round in 1..40 {
                let peer = peer.clone();
                let moment = (pause * round + MS).as_nanos() as u64;
                sim.at(moment, move |_| drop(peer.send([3; 10])));
            }
            sleep(MS).await;
            server.close();
            server.wait_closed().await;
            assert_eq!((now() - begin).as_secs(), expected);
        });
    }
}

#[test]
fn a_server_that_shuts_down_waits_for_no_peer_longer_than_it_was_told() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let handler = |_, writer: StreamWriter| async move { writer.write("no\n") };
        let server = start_server("127.0.0.1:0", handler).await.expect("free");
        let peers = [0; 2].map(|_| chatty(&sim, address(&server)));
        sleep(MS).await;
        let [quick, slow] = peers;
        sim.at((100 * MS).as_nanos() as u64, move |_| drop(quick));
        let begin = now();
        assert_eq!(server.shut_down(SECOND).await, 1, "of two, one ended in time");
        assert_eq!((now() - begin).as_secs(), 1);
        assert_eq!(slow.recv(), b"no\n", "what had arrived before is there");
        assert!(slow.ended());
    });
}

#[test]
fn nobody_waits_where_everything_was_read() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let server = start_server("127.0.0.1:0", async |mut reader: StreamReader, writer| {
            let _: &StreamWriter = &writer;
            reader.read_exact(1000).await.expect("open");
            writer.write("yes\n");
        });
        let server = server.await.expect("free");
        let peer = chatty(&sim, address(&server));
        sleep(MS).await;
        assert_eq!(server.connections(), 0);
        assert_eq!(peer.recv(), b"yes\n");
        assert!(peer.ended() && !peer.was_reset());
    });
}

#[test]
fn an_aborted_connection_is_gone_at_once_whatever_was_not_read() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let server = start_server("127.0.0.1:0", async |reader: StreamReader, writer| {
            let _: &StreamWriter = &writer;
            sleep(MS).await;
            writer.abort();
            drop(reader);
        });
        let server = server.await.expect("free");
        let peer = chatty(&sim, address(&server));
        sleep(2 * MS).await;
        assert_eq!(server.connections(), 0);
        assert!(peer.was_reset());
    });
}

#[test]
fn closing_tells_of_a_peer_that_does_not_end_and_of_one_that_has_gone() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let accept = async || (chatty(&sim, address), listener.accept().await.expect("a peer"));

        let (peer, stream) = accept().await;
        let begin = now();
        let error = stream.close(SECOND).await.expect_err("it did not end");
        assert_eq!((error.kind(), now() - begin), (ErrorKind::TimedOut, SECOND));
        sleep(MS).await;
        assert!(peer.ended(), "it is closed all the same");

        let (peer, stream) = accept().await;
        let closing = spawn(stream.close(Duration::MAX));
        sleep(MS).await;
        peer.reset();
        let error = closing.await.expect("no panic").expect_err("it went away");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);

        // Dropped on the way it is closed.
        let (peer, stream) = accept().await;
        let closing = spawn(stream.close(SECOND));
        sleep(MS).await;
        closing.abort();
        sleep(MS).await;
        assert!(peer.ended());
    });
}

#[test]
fn closing_takes_and_sends_at_a_time() {
    // Both have sent more than fits. Neither reads before it has sent.
    let config = SimConfig { send_buffer: 1000, ..SimConfig::seeded(0) };
    on_sim(config, |sim| async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let client = TcpStream::connect(listener.local_addr().expect("bound"));
        let (server, client) = uring_loop::join((listener.accept(), client)).await;
        let (server, client) = (server.expect("a client"), client.expect("it listens"));
        client.send(vec![1; 50_000]).await.expect("handed over");
        server.send(vec![7; 50_000]).await.expect("handed over");
        let closing = spawn(server.close(SECOND));
        client.flush().await.expect("the server takes it");
        let mut got = 0;
        loop {
            match client.recv().await.expect("no reset").len() {
                0 => break,
                count => got += count,
            }
        }
        assert_eq!(got, 50_000);
        drop(client);
        closing.await.expect("no panic").expect("in order");
        drop(sim);
    });
}

#[test]
fn the_end_of_a_unix_stream_is_no_error_either() {
    let ours_and_theirs = async || {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        theirs.send(vec![1; 1000]).await.expect("open");
        theirs.flush().await.expect("open");
        ours.send("no\n".into()).await.expect("open");
        (ours, theirs)
    };
    let run = || async {
        let (ours, theirs) = ours_and_theirs().await;
        let (reader, writer) = wrap(ours);
        drop((writer, reader));
        assert_eq!(&*theirs.recv().await.expect("open"), b"no\n");
        assert!(theirs.recv().await.expect("no error").is_empty());
        drop(theirs);
        sleep(MS).await;
    };
    on_sim(SimConfig::seeded(0), |_| run());
    uring_loop::testing::run(run());
}

#[test]
fn what_was_not_read_is_known_before_and_after_the_loop_has_received() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
        let mut stream = listener.accept().await.expect("a peer");
        assert!(!stream.has_unread());
        peer.send("one").expect("open");
        assert!(stream.has_unread(), "in the kernel");
        assert_eq!(&*stream.recv().await.expect("open"), b"one");
        assert!(!stream.has_unread());
        peer.send("two").expect("open");
        sleep(MS).await;
        assert!(stream.has_unread(), "in a buffer of the loop");
        let (count, buffer) = stream.read(vec![0; 1]).await;
        assert_eq!((count.expect("open"), &buffer[..1]), (1, &b"t"[..]));
        assert!(stream.has_unread(), "the rest");
        assert_eq!(&*stream.recv().await.expect("open"), b"wo");
        assert!(!stream.has_unread());
        peer.shutdown_write();
        assert!(stream.recv().await.expect("open").is_empty());
        assert!(!stream.has_unread(), "an end is nothing to read");
    });
}

/// Leaves a connection that lingers, whether its reader or its writer went last.
async fn leave_one(sim: &SimHandle, reader_last: bool) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let address = listener.local_addr().expect("bound");
    let _server = serve([listener], move |reader, writer: StreamWriter| async move {
        writer.write("no\n");
        if reader_last {
            drop(writer);
            sleep(MS).await;
        }
        drop::<StreamReader>(reader);
    });
    let peer = chatty(sim, address);
    sleep(3 * MS).await;
    assert_eq!(peer.recv(), b"no\n");
    peer
}

#[test]
fn a_loop_that_is_dropped_lingers_for_nobody_and_one_that_finishes_has_patience() {
    for reader_last in [false, true] {
        for finishes in [false, true] {
            let builder = EventLoop::builder().shutdown_patience(SECOND);
            let (mut event_loop, sim) =
                builder.build_simulated(SimConfig::seeded(0)).expect("a ring");
            let peer = event_loop.run_until_complete(leave_one(&sim, reader_last));
            let peer = peer.expect("not stopped");
            let begin = sim.now();
            sim.at(begin + (100 * MS).as_nanos() as u64, move |_| drop(peer));
            let left = if finishes { event_loop.finish() } else { 0 };
            drop(event_loop);
            let took = Duration::from_nanos(sim.now() - begin);
            assert_eq!((left, took.as_millis() / 100), (0, u128::from(finishes)), "{reader_last}");
            sim.advance(SECOND.as_nanos() as u64);
            assert_eq!(sim.open_descriptors(), []);
        }
    }
}

#[test]
fn a_peer_that_never_stops_sending_is_let_go_of_in_the_end() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let peer = leave_one(&sim, false).await;
        let mut sent = 0;
        while peer.send(vec![1; 1 << 20]).is_ok() {
            sent += 1;
            assert!(sent < 100, "it takes all there is");
            sleep(MS).await;
        }
        assert!(sent > 50, "{sent} MiB are not that much");
    });
}

#[test]
fn the_end_of_a_loop_waits_2_s_for_a_peer_that_goes_on_and_on() {
    for reader_last in [false, true] {
        let (mut event_loop, sim) =
            EventLoop::builder().build_simulated(SimConfig::seeded(0)).expect("a ring");
        let peer = event_loop.run_until_complete(leave_one(&sim, reader_last));
        let peer = Rc::new(peer.expect("not stopped"));
        let begin = sim.now();
        for tick in 0..100 {
            let peer = peer.clone();
            // In the end nobody is there to be sent anything.
            sim.at(begin + tick * (100 * MS).as_nanos() as u64, move |_| drop(peer.send("tick")));
        }
        assert_eq!(event_loop.finish(), 0, "{reader_last}");
        assert_eq!(Duration::from_nanos(sim.now() - begin).as_secs(), 2, "{reader_last}");
    }
}

/// A TCP stream that was dropped with more on its way than the peer takes, which reads nothing, by
/// another descriptor; the peer; and for how long the kernel lets it stand still.
async fn left_behind(own: Option<Duration>) -> (Socket, TcpStream, Option<Duration>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let address = listener.local_addr().expect("bound");
    let (client, server) = uring_loop::join((TcpStream::connect(address), listener.accept())).await;
    let client = client.expect("it listens");
    client.set_user_timeout(own).expect("it is TCP");
    let kept = Socket::from(client.as_fd().try_clone_to_owned().expect("a number is free"));
    assert_eq!(kept.tcp_user_timeout().expect("it is TCP"), own);
    client.start_send(vec![0; 32 << 20]).expect("nothing is on its way");
    drop(client);
    let limit = kept.tcp_user_timeout().expect("it is TCP");
    (kept, server.expect("a client"), limit)
}

fn without_patience(main: impl Future<Output = ()>) {
    let builder = EventLoop::builder().shutdown_patience(Duration::ZERO);
    builder.build().expect("a ring").run_until_complete(main).expect("not stopped");
}

#[test]
fn a_peer_that_takes_nothing_does_not_keep_what_a_dropped_stream_has_left() {
    without_patience(async {
        let (_kept, _server, limit) = left_behind(None).await;
        assert_eq!(limit, Some(60 * SECOND));
    });
}

#[test]
fn the_kernel_ends_it_after_the_limit_that_its_user_had_set() {
    without_patience(async {
        let (kept, _server, limit) = left_behind(Some(SECOND)).await;
        assert_eq!(limit, Some(SECOND));
        let ended = async {
            while kept.peer_addr().is_ok() {
                sleep(20 * MS).await;
            }
        };
        timeout(60 * SECOND, ended).await.expect("the kernel gives up");
    });
}
