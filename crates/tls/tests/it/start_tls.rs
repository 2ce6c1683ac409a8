//! TLS on a stream that was in use in plain text, and limits of time.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tls::TlsAcceptor;
use uring_loop::buf::RecvBuf;
use uring_loop::io::{ByteStreamExt as _, duplex};
use uring_loop::protocol::{Protocol, Transport, connect};
use uring_loop::stream::{StreamReader, StreamWriter, open_connection, start_server, wrap};
use uring_loop::time::{now, timeout};
use uring_loop::{join, spawn};

use crate::support::{ends, pattern, ping_pong, read, run, run_real, tcp};

#[test]
fn a_stream_in_use_goes_on_encrypted() {
    run_real(async {
        let (connector, acceptor) = ends();
        let (one, other) = tcp().await;
        let client = async {
            assert_eq!(read(&one, 10).await, b"220 hello\n");
            one.send(b"STARTTLS\n".to_vec()).await.expect("open");
            assert_eq!(read(&one, 9).await, b"220 go on");
            connector.connect("localhost", one).await.expect("content")
        };
        let server = async {
            other.send(b"220 hello\n".to_vec()).await.expect("open");
            assert_eq!(read(&other, 9).await, b"STARTTLS\n");
            other.send(b"220 go on".to_vec()).await.expect("open");
            acceptor.accept(other).await.expect("content")
        };
        let (client, server) = join((client, server)).await;
        ping_pong(&client, &server).await;
    });
}

#[test]
fn a_peer_that_says_nothing_is_given_up_by_a_timeout() {
    run(async {
        let (connector, acceptor) = ends();
        let limit = Duration::from_secs(20);
        for server in [false, true] {
            let (silent, stream) = duplex(1000);
            let start = now();
            let elapsed = match server {
                false => timeout(limit, connector.connect("localhost", stream)).await.is_err(),
                true => timeout(limit, acceptor.accept(stream)).await.is_err(),
            };
            assert!(elapsed && now() - start >= limit);
            // The connection is gone with it.
            while !silent.recv().await.expect("an end").is_empty() {}
        }
    });
}

/// A server that speaks lines, and TLS when it is asked to.
async fn serve(
    mut reader: StreamReader,
    writer: StreamWriter,
    acceptor: TlsAcceptor,
) -> io::Result<()> {
    writer.write("220 hello\n");
    while let Some(line) = reader.next_line().await? {
        if line == b"STARTTLS\n" {
            writer.write("220 go on\n");
            writer.upgrade(&mut reader, |plain| acceptor.accept(plain)).await?;
        } else {
            let answer = [b"250 ", line].concat();
            writer.write(answer);
        }
    }
    Ok(())
}

#[test]
fn reader_and_writer_go_on_encrypted() {
    run_real(async {
        let (connector, acceptor) = ends();
        let handler = move |reader, writer| serve(reader, writer, acceptor.clone());
        let server = start_server("127.0.0.1:0", handler).await.expect("free");
        let address = server.addresses()[0].ip().expect("TCP");
        let (mut reader, writer) = open_connection(address).await.expect("it listens");
        assert_eq!(reader.read_line().await.expect("open"), b"220 hello\n");
        writer.write("in plain text\n");
        assert_eq!(reader.read_line().await.expect("open"), b"250 in plain text\n");
        writer.write("STARTTLS\n");
        assert_eq!(reader.read_line().await.expect("open"), b"220 go on\n");
        let shake = |plain| connector.connect("localhost", plain);
        writer.upgrade(&mut reader, shake).await.expect("both are content");
        for round in 0..3 {
            let text: Vec<u8> = pattern(9000, round).iter().map(|byte| byte % 64 + b' ').collect();
            writer.write([&text[..], b"\n"].concat());
            let answer = reader.read_line().await.expect("open");
            assert_eq!((&answer[..4], &answer[4..answer.len() - 1]), (&b"250 "[..], &text[..]));
        }
        assert!(writer.peer_address().is_some());
        writer.write_eof();
        assert!(reader.read_to_end().await.expect("a good-bye, no cut").is_empty());
        writer.close();
        writer.wait_closed().await.expect("in order");
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn a_client_that_does_not_wait_for_the_answer_is_understood() {
    run(async {
        let (connector, acceptor) = ends();
        let (one, other) = duplex(64 << 10);
        let (mut reader, writer) = wrap(one);
        let (server_reader, server_writer) = wrap(other);
        let server = spawn(serve(server_reader, server_writer, acceptor));
        writer.write("STARTTLS\n");
        assert_eq!(reader.read_line().await.expect("open"), b"220 hello\n");
        assert_eq!(reader.read_line().await.expect("open"), b"220 go on\n");
        writer
            .upgrade(&mut reader, |plain| connector.connect("localhost", plain))
            .await
            .expect("ok");
        writer.write("x\n");
        assert_eq!(reader.read_line().await.expect("open"), b"250 x\n");
        drop((reader, writer));
        server.await.expect("no panic").expect("a good-bye");
    });
    // The handshake begins in the same piece as the request.
    run(async {
        let (connector, acceptor) = ends();
        let (one, other) = duplex(64 << 10);
        let ((mut reader, writer), (mut server_reader, server_writer)) = (wrap(one), wrap(other));
        writer.write("STARTTLS\n");
        let client = async {
            let shake = |plain| connector.connect("localhost", plain);
            writer.upgrade(&mut reader, shake).await.expect("content");
            writer.write("x\n");
            assert_eq!(reader.read_line().await.expect("open"), b"y\n");
        };
        let server = async {
            // So that its hello is there.
            uring_loop::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(server_reader.read_line().await.expect("open"), b"STARTTLS\n");
            let accept = |plain| acceptor.accept(plain);
            server_writer.upgrade(&mut server_reader, accept).await.expect("content");
            assert_eq!(server_reader.read_line().await.expect("open"), b"x\n");
            server_writer.write("y\n");
        };
        join((client, server)).await;
    });
}

/// CVE-2011-0411 and its like: what somebody in between puts behind the answer in plain text must
/// not be read as if the server had said it encrypted.
#[test]
fn plain_text_behind_the_answer_is_refused() {
    run(async {
        let (connector, _) = ends();
        let (one, other) = duplex(64 << 10);
        let (mut reader, writer) = wrap(one);
        other.send(b"220 go on\n250 you are admin\n".to_vec()).await.expect("open");
        assert_eq!(reader.read_line().await.expect("open"), b"220 go on\n");
        let shake = |plain| connector.connect("localhost", plain);
        let error = writer.upgrade(&mut reader, shake).await.expect_err("that is not TLS");
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert!(reader.read_to_end().await.expect("an end").is_empty());
        assert!(writer.is_closing());
    });
}

#[test]
fn a_handshake_that_takes_too_long_closes_the_connection() {
    run(async {
        let (connector, _) = ends();
        let (one, silent) = duplex(64 << 10);
        let (mut reader, writer) = wrap(one);
        let shake = |plain| connector.connect("localhost", plain);
        let limit = Duration::from_secs(20);
        assert!(timeout(limit, writer.upgrade(&mut reader, shake)).await.is_err());
        while !silent.recv().await.expect("an end").is_empty() {}
        let error = writer.wait_closed().await.expect_err("it is lost");
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    });
}

/// Upgrades when it is asked to, and sends back what it gets then.
struct Upgrading {
    acceptor: TlsAcceptor,
    transport: Option<Transport>,
    encrypted: bool,
}

impl Protocol for Upgrading {
    fn connection_made(&mut self, transport: Transport) {
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: RecvBuf) {
        let transport = self.transport.clone().expect("connection_made comes first");
        if std::mem::replace(&mut self.encrypted, true) {
            return transport.write(&data);
        }
        let behind = data.strip_prefix(b"STARTTLS\n").expect("nothing else is said").to_vec();
        transport.pause_reading();
        transport.write("220 go on\n");
        let acceptor = self.acceptor.clone();
        drop(spawn(async move {
            let accept = |plain| acceptor.accept(plain);
            // An error is told to `connection_lost`.
            if transport.upgrade(behind, accept).await.is_ok() {
                transport.resume_reading();
            }
        }));
    }
}

#[test]
fn a_protocol_goes_on_encrypted() {
    run_real(async {
        let (connector, acceptor) = ends();
        let (one, other) = tcp().await;
        let protocol = Upgrading { acceptor, transport: None, encrypted: false };
        let (_, task) = connect(protocol, other).await;
        let (mut reader, writer) = wrap(one);
        writer.write("STARTTLS\n");
        assert_eq!(reader.read_line().await.expect("open"), b"220 go on\n");
        let shake = |plain| connector.connect("localhost", plain);
        writer.upgrade(&mut reader, shake).await.expect("both are content");
        writer.write("and back\n");
        assert_eq!(reader.read_line().await.expect("open"), b"and back\n");
        writer.close();
        assert!(task.await.expect("no panic").encrypted);
    });
}
