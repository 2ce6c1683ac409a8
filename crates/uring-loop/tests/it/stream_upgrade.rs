//! Another stream in the place of the one that a connection has: nothing is lost, nothing goes out
//! twice or by the wrong one, and a failure ends the connection.

use std::cell::RefCell;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use proptest::prelude::*;
use uring_loop::buf::RecvBuf;
use uring_loop::io::{ByteStream, ByteStreamExt, MemoryStream, Rewound, duplex};
use uring_loop::protocol::{Protocol, Transport, connect};
use uring_loop::stream::{StreamReader, StreamWriter, start_server, wrap};
use uring_loop::testing::{SimConfig, check_byte_stream};
use uring_loop::time::sleep;
use uring_loop::{join, spawn, yield_now};

use crate::support::{on_sim, poll_once, run_limited};

const MS: Duration = Duration::from_millis(1);

/// Turns every bit of every byte over: what goes by the wrong stream cannot be read.
struct Turned<S>(S);

fn turn(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

impl<S: ByteStream> ByteStream for Turned<S> {
    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        self.0.poll_recv(cx).map_ok(|bytes| RecvBuf::from(turn(&bytes)))
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn start_send(&self, buffer: Vec<u8>) -> io::Result<()> {
        self.0.start_send(turn(&buffer))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }

    fn abort(&self) {
        self.0.abort();
    }
}

type Plain = Rewound<Rc<dyn ByteStream>>;

/// A handshake: one byte to and fro, then all is turned.
async fn shake(plain: Plain) -> io::Result<Turned<Plain>> {
    plain.send(b"H".to_vec()).await?;
    let mut got = plain.recv().await?;
    if got.first() != Some(&b'H') {
        return Err(io::Error::new(ErrorKind::InvalidData, "that is no handshake"));
    }
    got.advance(1);
    Ok(Turned(Rewound::new(got.to_vec(), plain.stream().clone())))
}

fn ends(capacity: usize) -> ((StreamReader, StreamWriter), (StreamReader, StreamWriter)) {
    let (one, other) = duplex(capacity);
    (wrap(one), wrap(other))
}

#[test]
fn a_connection_goes_on_by_the_new_stream() {
    run_limited(async {
        let ((mut reader, writer), (mut peer_reader, peer)) = ends(4096);
        let client = async {
            assert_eq!(reader.read_line().await.expect("open"), b"220 hello\n");
            writer.write("STARTTLS\n");
            assert_eq!(reader.read_line().await.expect("open"), b"220 go on\n");
            writer.upgrade(&mut reader, shake).await.expect("open");
            writer.write("a secret\n");
            assert_eq!(reader.read_line().await.expect("open"), b"another\n");
        };
        let server = async {
            peer.write("220 hello\n");
            assert_eq!(peer_reader.read_line().await.expect("open"), b"STARTTLS\n");
            peer.write("220 go on\n");
            peer.upgrade(&mut peer_reader, shake).await.expect("open");
            assert_eq!(peer_reader.read_line().await.expect("open"), b"a secret\n");
            peer.write("another\n");
        };
        join((client, server)).await;
    });
}

#[test]
fn what_came_behind_the_request_belongs_to_the_new_stream() {
    run_limited(async {
        let ((mut reader, writer), (mut peer_reader, peer)) = ends(4096);
        // A client that does not wait for the answer.
        peer.write("STARTTLS\nH");
        peer.write(turn(b"first words\n"));
        assert_eq!(reader.read_line().await.expect("open"), b"STARTTLS\n");
        assert!(reader.buffered() > 0);
        writer.write("go on\n");
        writer.upgrade(&mut reader, shake).await.expect("open");
        assert_eq!(reader.read_line().await.expect("open"), b"first words\n");
        assert_eq!(peer_reader.read_line().await.expect("open"), b"go on\n");
        assert_eq!(peer_reader.read_exact(1).await.expect("open"), b"H");
    });
}

#[test]
fn plain_text_that_was_slipped_in_is_not_read_as_something_safe() {
    run_limited(async {
        let ((mut reader, writer), (_peer_reader, peer)) = ends(4096);
        peer.write("go on\nDELETE ALL\n");
        assert_eq!(reader.read_line().await.expect("open"), b"go on\n");
        let error = writer.upgrade(&mut reader, shake).await.expect_err("no handshake");
        assert_eq!(error.to_string(), "that is no handshake");
        assert!(reader.read_line().await.expect("an end").is_empty());
        assert!(writer.is_closing() && writer.stream().is_none());
        let told = writer.wait_closed().await.expect_err("it is lost for that");
        assert_eq!(told.to_string(), "that is no handshake");
        assert!(peer.stream().is_some());
    });
}

#[test]
fn what_was_written_goes_out_first_and_what_is_written_meanwhile_last() {
    run_limited(async {
        // One byte at a time.
        let ((mut reader, writer), (mut peer_reader, _peer)) = ends(1);
        writer.write("plain");
        let upgrade = async {
            let slow = async |plain: Plain| {
                for _ in 0..20 {
                    yield_now().await;
                }
                Ok(Turned(plain))
            };
            writer.upgrade(&mut reader, slow).await.expect("open");
        };
        let meanwhile = async {
            assert_eq!(peer_reader.read_exact(5).await.expect("open"), b"plain");
            writer.write("secret");
            let secret = peer_reader.read_exact(6).await.expect("open");
            assert_eq!(secret, turn(b"secret"));
        };
        join((upgrade, meanwhile)).await;
    });
}

#[test]
fn what_is_written_once_an_upgrade_has_begun_never_goes_out_by_the_old_stream() {
    run_limited(async {
        let ((mut reader, writer), (mut peer_reader, _peer)) = ends(1);
        writer.write("plain");
        let mut upgrade = Box::pin(writer.upgrade(&mut reader, async |plain| Ok(Turned(plain))));
        assert!(poll_once(&mut upgrade).await.is_pending(), "nobody has read");
        writer.write("secret");
        assert_eq!(writer.buffered(), 11);
        // Given up at this point, the secret is lost with the connection.
        drop(upgrade);
        let sent = peer_reader.read_to_end().await.expect("an end");
        assert!(b"plain".starts_with(&sent), "{sent:?}");
    });
}

#[test]
fn an_upgrade_that_is_dropped_closes_the_connection() {
    run_limited(async {
        let ((mut reader, writer), (mut peer_reader, _peer)) = ends(4096);
        let mut upgrade = Box::pin(
            writer.upgrade(&mut reader, async |_: Plain| pending::<io::Result<Plain>>().await),
        );
        assert!(poll_once(&mut upgrade).await.is_pending());
        drop(upgrade);
        assert!(peer_reader.read_to_end().await.expect("an end").is_empty());
        assert!(reader.read_to_end().await.expect("an end").is_empty());
        let error = writer.wait_closed().await.expect_err("it is lost");
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        let error = writer.upgrade(&mut reader, shake).await.expect_err("nothing is left");
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    });
}

#[test]
fn closing_or_aborting_ends_an_upgrade() {
    for abort in [false, true] {
        run_limited(async {
            let ((mut reader, writer), (mut peer_reader, _peer)) = ends(4096);
            let dropped = Rc::new(());
            let held = dropped.clone();
            let upgrade = async {
                let never = async |plain: Plain| {
                    let _held = (held, plain);
                    pending::<io::Result<Plain>>().await
                };
                let error = writer.upgrade(&mut reader, never).await.expect_err("closed");
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            };
            let closing = async {
                yield_now().await;
                if abort {
                    writer.abort();
                } else {
                    writer.write("in vain");
                    writer.close();
                }
            };
            join((upgrade, closing)).await;
            assert_eq!(Rc::strong_count(&dropped), 1, "nobody makes it any more");
            assert!(peer_reader.read_to_end().await.expect("an end").is_empty());
        });
    }
}

#[test]
fn a_direction_that_has_ended_is_not_upgraded() {
    run_limited(async {
        let ((mut reader, writer), _peer) = ends(4096);
        writer.write_eof();
        let error = writer.upgrade(&mut reader, shake).await.expect_err("it has ended");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
#[should_panic(expected = "this reader belongs to another connection")]
fn the_reader_of_another_connection_is_refused() {
    run_limited(async {
        let ((_reader, writer), (mut peer_reader, _peer)) = ends(4096);
        let _ = writer.upgrade(&mut peer_reader, shake).await;
    });
}

#[test]
fn everything_written_is_with_the_kernel_after_a_flush() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let server = start_server("127.0.0.1:0", |_reader, writer: StreamWriter| async move {
            writer.write([7; 100]);
            writer.flush().await.expect("open");
            assert_eq!(writer.buffered(), 0);
            writer.flush().await.expect("at once");
            writer.write([7; 100]);
            writer.abort();
            let error = writer.flush().await.expect_err("closed");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        });
        let server = server.await.expect("free");
        let peer = sim.peer_connect(server.addresses()[0].ip().expect("TCP")).expect("listens");
        sleep(MS).await;
        assert_eq!(server.connections(), 1, "it waits for the peer to read");
        let mut got = 0;
        while !peer.ended() && !peer.was_reset() {
            got += peer.recv().len();
            sleep(MS).await;
        }
        assert!(got >= 100, "{got}");
    });
}

#[test]
fn a_server_sees_an_upgraded_connection_to_its_end() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let handler = async |mut reader: StreamReader, writer: StreamWriter| {
            writer.upgrade(&mut reader, async |plain| Ok(Turned(plain))).await.expect("open");
            writer.write([7; 100]);
        };
        let server = start_server("127.0.0.1:0", handler).await.expect("free");
        let peer = sim.peer_connect(server.addresses()[0].ip().expect("TCP")).expect("listens");
        sleep(MS).await;
        server.close();
        let closed = spawn(async move { server.wait_closed().await });
        sleep(MS).await;
        assert!(!closed.is_done(), "the handler has ended, its bytes are not sent");
        let mut got = Vec::new();
        while got.len() < 100 {
            got.extend(peer.recv());
            sleep(MS).await;
        }
        assert_eq!(got, turn(&[7; 100]));
        closed.await.expect("no panic");
        assert!(peer.ended());
    });
}

/// A server's side: it upgrades when it is asked to.
#[derive(Default)]
struct Upgrading {
    transport: Option<Transport>,
    calls: Rc<RefCell<Vec<String>>>,
}

impl Protocol for Upgrading {
    fn connection_made(&mut self, transport: Transport) {
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: RecvBuf) {
        self.calls.borrow_mut().push(String::from_utf8_lossy(&data).into_owned());
        let transport = self.transport.clone().expect("connection_made comes first");
        if let Some(behind) = data.strip_prefix(b"STARTTLS\n") {
            transport.pause_reading();
            transport.write("go on\n");
            let unread = behind.to_vec();
            drop(spawn(async move {
                if transport.upgrade(unread, shake).await.is_ok() {
                    transport.write("upgraded\n");
                    transport.resume_reading();
                }
            }));
        }
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        let error = error.map_or("lost".to_owned(), |error| format!("lost: {error}"));
        self.calls.borrow_mut().push(error);
    }
}

#[test]
fn a_protocol_can_upgrade_its_connection() {
    run_limited(async {
        for pipelined in [false, true] {
            let (one, other) = duplex(4096);
            let (transport, task) = connect(Upgrading::default(), one).await;
            let (mut reader, writer) = wrap(other);
            writer.write("STARTTLS\n");
            if pipelined {
                writer.write([&b"H"[..], &turn(b"early")].concat());
            }
            assert_eq!(reader.read_line().await.expect("open"), b"go on\n");
            assert_eq!(reader.read_exact(1).await.expect("open"), b"H");
            if !pipelined {
                writer.write("H");
                writer.flush().await.expect("open");
                yield_now().await;
                writer.write(turn(b"early"));
            }
            assert_eq!(reader.read_exact(9).await.expect("open"), turn(b"upgraded\n"));
            writer.close();
            let calls = task.await.expect("no panic").calls.take();
            assert_eq!(calls[1..], ["early", "lost"], "{calls:?}");
            assert!(transport.is_closing());
        }
    });
}

#[test]
fn a_protocol_whose_upgrade_fails_loses_its_connection() {
    run_limited(async {
        let (one, other) = duplex(4096);
        let (_, task) = connect(Upgrading::default(), one).await;
        let (mut reader, writer) = wrap(other);
        writer.write("STARTTLS\nno handshake");
        assert!(reader.read_to_end().await.expect("an end").starts_with(b"go on\n"));
        let calls = task.await.expect("no panic").calls.take();
        assert_eq!(calls[1..], ["lost: that is no handshake"], "{calls:?}");
    });
}

#[test]
fn a_rewound_stream_is_a_stream_like_any_other() {
    run_limited(check_byte_stream(async || {
        let (one, other): (MemoryStream, MemoryStream) = duplex(1000);
        (Rewound::new(Vec::new(), one), Rewound::new(Vec::new(), other))
    }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the bytes are cut, and whatever was read before.
    #[test]
    fn no_byte_is_lost_or_read_twice(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..30), 1..20),
        reads in prop::collection::vec(1usize..40, 0..6),
        ends_early in any::<bool>(),
    ) {
        let sent: Vec<u8> = pieces.concat();
        let got = run_limited(async {
            let ((mut reader, writer), (_peer_reader, peer)) = ends(64);
            let sending = spawn(async move {
                for piece in pieces {
                    peer.write(piece);
                    peer.drain().await.expect("open");
                    yield_now().await;
                }
                peer.write_eof();
                peer.flush().await.expect("open");
                (peer, _peer_reader)
            });
            let mut got = Vec::new();
            for most in reads {
                got.extend_from_slice(reader.read(most).await.expect("open"));
                writer.upgrade(&mut reader, async |plain| Ok(plain)).await.expect("open");
            }
            if ends_early {
                while !reader.at_eof() {
                    got.extend_from_slice(reader.read(7).await.expect("open"));
                }
                writer.upgrade(&mut reader, async |plain| Ok(plain)).await.expect("open");
            }
            got.extend(reader.read_to_end().await.expect("open"));
            drop(sending.await.expect("no panic"));
            got
        });
        prop_assert_eq!(got, sent);
    }
}
