//! Listeners that give encrypted connections, and servers on them.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write as _};
use std::rc::Rc;
use std::time::Duration;

use tls::{TlsAcceptor, TlsConnector, TlsListener, TlsStream};
use uring_loop::buf::RecvBuf;
use uring_loop::io::{ByteStream, ByteStreamExt as _, Listener, MemoryStream, duplex};
use uring_loop::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use uring_loop::protocol::{Protocol, Transport};
use uring_loop::queue::Queue;
use uring_loop::stream::{StreamReader, StreamWriter, wrap};
use uring_loop::time::{now, sleep, timeout};
use uring_loop::{join, spawn};

use crate::support::{ends, pattern, ping_pong, read_to_end, run, run_real};

/// A listener without a kernel.
#[derive(Clone)]
struct Door(Queue<MemoryStream>);

impl Listener for Door {
    type Stream = MemoryStream;

    async fn accept(&self) -> io::Result<MemoryStream> {
        self.0.get().await.map_err(io::Error::other)
    }
}

impl Door {
    /// A client that has come, and says nothing yet.
    fn knock(&self) -> MemoryStream {
        let (one, other) = duplex(64 << 10);
        self.0.put_nowait(other).expect("no limit");
        one
    }
}

type Failures = Rc<RefCell<Vec<ErrorKind>>>;

fn open() -> (Door, TlsListener<Door>, TlsConnector, Failures) {
    let (connector, acceptor) = ends();
    let door = Door(Queue::new());
    let failures = Failures::default();
    let heard = failures.clone();
    let listener = TlsListener::new(door.clone(), acceptor)
        .on_failure(move |error| heard.borrow_mut().push(error.kind()));
    (door, listener, connector, failures)
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line);
        writer.drain().await?;
    }
    Ok(())
}

fn tcp() -> (TlsConnector, TlsAcceptor, TcpListener) {
    let (connector, acceptor) = ends();
    (connector, acceptor, TcpListener::bind("127.0.0.1:0").expect("free"))
}

#[test]
fn lines_are_served_encrypted() {
    run_real(async {
        let (connector, acceptor, listener) = tcp();
        let address = listener.local_addr().expect("bound");
        let server = uring_loop::stream::serve([TlsListener::new(listener, acceptor)], echo);
        assert_eq!(server.addresses()[0].ip(), Some(address));
        let clients = (0..5).map(|number| {
            let connector = connector.clone();
            spawn(async move {
                let tcp = TcpStream::connect(address).await.expect("it listens");
                let stream = connector.connect("localhost", tcp).await.expect("content");
                let (mut reader, writer) = wrap(stream);
                writer.write(format!("hello {number}\n"));
                writer.write_eof();
                reader.read_to_end().await.expect("a good-bye, no cut")
            })
        });
        for (number, client) in clients.collect::<Vec<_>>().into_iter().enumerate() {
            let line = format!("hello {number}\n");
            assert_eq!(client.await.expect("no panic"), line.as_bytes());
        }
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn a_protocol_is_served_encrypted_and_can_ask_what_was_agreed_on() {
    #[derive(Default)]
    struct Answers(Option<Transport>);
    impl Protocol for Answers {
        fn connection_made(&mut self, transport: Transport) {
            let stream = transport.stream().expect("open");
            let tls = stream.as_any().and_then(|any| any.downcast_ref::<TlsStream<UnixStream>>());
            let version = tls.expect("it is this").protocol_version();
            transport.write(format!("{version} "));
            self.0 = Some(transport);
        }
        fn data_received(&mut self, data: RecvBuf) {
            self.0.as_ref().expect("connection_made comes first").write(&data);
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    run_real(async {
        let (connector, acceptor) = ends();
        let place = folder.path().join("socket");
        let listener = TlsListener::new(UnixListener::bind(&place).expect("free"), acceptor);
        let server = uring_loop::protocol::serve(Answers::default, [listener]);
        let unix = UnixStream::connect(&place).await.expect("it listens");
        let stream = connector.connect("localhost", unix).await.expect("content");
        stream.send(b"and back".to_vec()).await.expect("open");
        stream.write_eof().await.expect("open");
        assert_eq!(read_to_end(&stream).await.expect("a good-bye"), b"TLSv1.3 and back");
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn clients_that_are_silent_or_speak_nonsense_hold_up_nobody() {
    run(async {
        let (door, listener, connector, failures) = open();
        let silent: Vec<_> = (0..20).map(|_| door.knock()).collect();
        let start = now();
        let nonsense = door.knock();
        nonsense.send(b"GET / HTTP/1.0\r\n\r\n".to_vec()).await.expect("open");
        drop(door.knock());
        let good = door.knock();
        let (client, server) =
            join((connector.connect("localhost", good), listener.accept())).await;
        ping_pong(&client.expect("content"), &server.expect("content")).await;
        assert!(now() - start < Duration::from_secs(1), "it was kept waiting");
        assert_eq!(listener.handshakes(), 20);
        let mut told = failures.take();
        told.sort_by_key(|kind| format!("{kind:?}"));
        assert_eq!(told, [ErrorKind::InvalidData, ErrorKind::UnexpectedEof]);
        // Their time is over; nobody need accept for that.
        sleep(Duration::from_secs(61)).await;
        assert_eq!(listener.handshakes(), 0);
        assert_eq!(failures.take(), [ErrorKind::TimedOut; 20]);
        for one in silent {
            assert!(read_to_end(&one).await.expect("an end").is_empty());
        }
    });
}

#[test]
fn the_limit_of_a_handshake_can_be_said() {
    run(async {
        let (door, listener, _, failures) = open();
        let listener = listener.handshake_timeout(Duration::from_secs(5));
        let silent = door.knock();
        let start = now();
        let nobody = timeout(Duration::from_secs(20), listener.accept()).await;
        assert!(nobody.is_err() && now() - start >= Duration::from_secs(20));
        assert_eq!(*failures.borrow(), [ErrorKind::TimedOut]);
        assert!(read_to_end(&silent).await.expect("an end").is_empty());
    });
}

#[test]
fn an_accept_that_is_given_up_loses_no_connection() {
    run(async {
        let (door, listener, connector, _) = open();
        for wait in 0..12 {
            let client = connector.connect("localhost", door.knock());
            let server = async {
                // At one point of the handshake or another, or behind it.
                drop(timeout(Duration::ZERO, listener.accept()).await);
                for _ in 0..wait {
                    uring_loop::yield_now().await;
                }
                listener.accept().await
            };
            let (client, server) = join((client, server)).await;
            ping_pong(&client.expect("content"), &server.expect("content")).await;
        }
        assert_eq!(listener.handshakes(), 0);
    });
}

#[test]
fn a_listener_that_goes_closes_what_nobody_has_accepted() {
    run(async {
        let (door, listener, connector, failures) = open();
        let silent = door.knock();
        // Of two whose handshake is done, one is taken.
        let (one, other) = (door.knock(), door.knock());
        let shake = |stream| {
            let connector = connector.clone();
            spawn(async move { connector.connect("localhost", stream).await.expect("content") })
        };
        let (one, other) = (shake(one), shake(other));
        let server = listener.accept().await;
        let (one, other) = (one.await.expect("no panic"), other.await.expect("no panic"));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(listener.handshakes(), 1);
        drop((listener, door));
        assert!(read_to_end(&silent).await.expect("an end").is_empty());
        ping_pong(&one, &server.expect("content")).await;
        assert!(read_to_end(&other).await.expect("a good-bye").is_empty());
        assert_eq!(*failures.borrow(), []);
    });
}

#[test]
fn files_go_out_encrypted() {
    run_real(async {
        let bytes = pattern(300_000, 7);
        let mut file = tempfile::tempfile().expect("a place for temporary files");
        file.write_all(&bytes).expect("room");
        let (connector, acceptor, listener) = tcp();
        let address = listener.local_addr().expect("bound");
        let file = Rc::new(file);
        let handler = move |_reader, writer: StreamWriter| {
            let file = file.clone();
            async move {
                writer.write("here: ");
                writer.send_file(&*file, 0, u64::MAX).await.map(drop)
            }
        };
        let server = uring_loop::stream::serve([TlsListener::new(listener, acceptor)], handler);
        let tcp = TcpStream::connect(address).await.expect("it listens");
        let stream = connector.connect("localhost", tcp).await.expect("content");
        stream.write_eof().await.expect("open");
        let got = read_to_end(&stream).await.expect("a good-bye");
        assert!(got == [b"here: ", &bytes[..]].concat());
        server.close();
        server.wait_closed().await;
    });
}
