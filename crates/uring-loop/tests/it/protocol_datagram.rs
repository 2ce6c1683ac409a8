//! Protocols of datagram sockets, on both rings: which calls come, in which order, and what ends a
//! socket.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::io::Address;
use uring_loop::net::{Datagram, UdpSocket, UnixDatagram};
use uring_loop::protocol::{
    DatagramProtocol, DatagramTransport, EndpointSocket, connect_datagram_endpoint,
    create_datagram_endpoint, datagram_endpoint,
};
use uring_loop::testing::{Fault, SimConfig, opcode};
use uring_loop::time::{now, sleep};
use uring_loop::{Task, yield_now};

use crate::net_unix::on_both;
use crate::support::{logged, on_sim, poll_once, reports_on_sim};

const MS: Duration = Duration::from_millis(1);
const EIO: i32 = 5;

type Calls = Rc<RefCell<Vec<String>>>;

/// Writes down its calls.
#[derive(Default)]
struct Diary {
    calls: Calls,
    transport: Option<DatagramTransport>,
    made: Option<fn(&DatagramTransport)>,
    received: Option<fn(&DatagramTransport, Datagram<Address>)>,
}

impl Diary {
    fn note(&self, call: impl Into<String>) {
        self.calls.borrow_mut().push(call.into());
    }

    fn transport(&self) -> &DatagramTransport {
        self.transport.as_ref().expect("connection_made comes first")
    }
}

impl DatagramProtocol for Diary {
    fn connection_made(&mut self, transport: DatagramTransport) {
        self.note("made");
        if let Some(made) = self.made {
            made(&transport);
        }
        self.transport = Some(transport);
    }

    fn datagram_received(&mut self, datagram: Datagram<Address>) {
        self.note(format!("{:?}", String::from_utf8_lossy(&datagram)));
        if let Some(received) = self.received {
            received(self.transport(), datagram);
        }
    }

    fn error_received(&mut self, error: io::Error) {
        self.note(format!("error: {:?}", error.kind()));
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.note(error.map_or("lost".to_owned(), |error| format!("lost: {error}")));
    }

    fn pause_writing(&mut self) {
        self.note(format!("pause at {}", self.transport().buffered()));
    }

    fn resume_writing(&mut self) {
        self.note("resume");
    }
}

struct Running {
    transport: DatagramTransport,
    task: Task<Diary>,
    calls: Calls,
}

impl Running {
    async fn start(diary: Diary) -> Self {
        Self::with(diary, UdpSocket::bind("127.0.0.1:0").expect("free")).await
    }

    async fn with(diary: Diary, socket: impl Into<EndpointSocket>) -> Self {
        let calls = diary.calls.clone();
        let (transport, task) = datagram_endpoint(diary, socket).await;
        assert_eq!(calls.borrow()[0], "made", "it answers when the first call is over");
        Running { transport, task, calls }
    }

    fn address(&self) -> SocketAddr {
        self.transport.local_address().and_then(Address::ip).expect("UDP")
    }

    fn calls(&self) -> String {
        self.calls.borrow().join(", ")
    }

    async fn until(&self, count: usize) {
        while self.calls.borrow().len() < count {
            yield_now().await;
        }
    }

    /// All calls, when it is closed.
    async fn end(self) -> String {
        self.transport.close();
        self.task.await.expect("no panic");
        self.calls.borrow().join(", ")
    }
}

fn echo(transport: &DatagramTransport, datagram: Datagram<Address>) {
    transport.send_to(&datagram, datagram.from());
}

#[test]
fn datagrams_come_one_by_one_with_their_sender_and_the_loss_last() {
    on_both(|| async {
        let server = Running::start(Diary { received: Some(echo), ..Diary::default() }).await;
        let mut client = UdpSocket::bind("127.0.0.1:0").expect("free");
        for bytes in ["one", "", "three"] {
            client.send_to(bytes, server.address()).await.0.expect("room");
        }
        for bytes in ["one", "", "three"] {
            let datagram = client.recv().await.expect("the echo");
            assert_eq!((&*datagram, *datagram.from()), (bytes.as_bytes(), server.address()));
        }
        assert!(server.transport.peer_address().is_none() && !server.transport.is_closing());
        assert_eq!(server.end().await, r#"made, "one", "", "three", lost"#);
    });
}

#[test]
fn both_ends_can_be_made_by_address() {
    on_both(|| async {
        let factory = || Diary { received: Some(echo), ..Diary::default() };
        let (server, _) = create_datagram_endpoint(factory, "127.0.0.1:0").await.expect("free");
        let address = server.local_address().and_then(Address::ip).expect("UDP");
        let made = |transport: &DatagramTransport| transport.send("hello");
        let factory = || Diary { made: Some(made), ..Diary::default() };
        let (client, task) =
            connect_datagram_endpoint(factory, address).await.expect("it is there");
        assert_eq!(client.peer_address().and_then(Address::ip), Some(address));
        client.send_to("again", address);
        let calls = async {
            loop {
                yield_now().await;
                if client.buffered() == 0 && server.buffered() == 0 {
                    sleep(MS).await;
                    client.close();
                    break task.await.expect("no panic").calls.take();
                }
            }
        };
        assert_eq!(calls.await, ["made", "\"hello\"", "\"again\"", "lost"]);
        server.abort();
        let error = create_datagram_endpoint(Diary::default, "127.0.0.1").await;
        assert_eq!(error.expect_err("no port").kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn where_nobody_listens_is_told_and_the_socket_goes_on() {
    on_both(|| async {
        let gone = UdpSocket::bind("127.0.0.1:0").expect("free").local_addr().expect("bound");
        sleep(10 * MS).await; // for its close
        let socket = UdpSocket::bind("127.0.0.1:0").expect("free");
        socket.connect(gone).await.expect("nothing is sent yet");
        let client = Running::with(Diary::default(), socket).await;
        client.transport.send("x");
        client.until(2).await;
        assert_eq!(client.calls(), "made, error: ConnectionRefused");
        let late = UdpSocket::bind(gone).expect("free again");
        late.send_to("late", client.address()).await.0.expect("room");
        client.until(3).await;
        assert_eq!(client.end().await, r#"made, error: ConnectionRefused, "late", lost"#);
    });
}

#[test]
fn what_cannot_be_sent_is_told_and_the_rest_is_sent() {
    on_both(|| async {
        let mut peer = UdpSocket::bind("127.0.0.1:0").expect("free");
        let to = peer.local_addr().expect("bound");
        let client = Running::start(Diary::default()).await;
        client.transport.send("to whom?");
        client.transport.send_to(vec![0; 70_000], to);
        client.transport.send_to("x", to);
        client.transport.send_to("y", unix("/no/address/of/this/kind"));
        client.transport.send_to("z", to);
        for bytes in ["x", "z"] {
            assert_eq!(&*peer.recv().await.expect("sent"), bytes.as_bytes());
        }
        let calls = client.end().await;
        assert_eq!(calls.matches("error: ").count(), 3, "{calls}");
        assert!(calls.ends_with("lost"));
    });
}

fn unix(path: &str) -> Address {
    std::os::unix::net::SocketAddr::from_pathname(path).expect("short enough").into()
}

#[test]
#[should_panic(expected = "cannot send to 127.0.0.1:1")]
fn a_connected_socket_sends_to_its_peer_only() {
    on_sim(SimConfig::seeded(1), |_| async {
        let to = UdpSocket::bind("127.0.0.1:0").expect("free").local_addr().expect("bound");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("free");
        socket.connect(to).await.expect("an address");
        let client = Running::with(Diary::default(), socket).await;
        client.transport.send_to("fine", to);
        client.transport.send_to("not so", SocketAddr::from(([127, 0, 0, 1], 1)));
    });
}

#[test]
fn unix_sockets_are_endpoints_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    on_both(|| async {
        let socket = UnixDatagram::bind(&path).expect("free");
        let server = Running::with(Diary { received: Some(echo), ..<_>::default() }, socket).await;
        let own = folder.path().join("client");
        let socket = UnixDatagram::bind(&own).expect("free");
        let client = Running::with(Diary::default(), socket).await;
        client.transport.send_to("hello", unix(path.to_str().expect("plain")));
        client.until(2).await;
        assert_eq!(client.end().await, r#"made, "hello", lost"#);
        // Its file is gone with it; so who is sent to is not there.
        server.transport.send_to("x", unix(own.to_str().expect("plain")));
        server.until(3).await;
        assert_eq!(server.calls(), r#"made, "hello", error: NotFound"#);
        assert!(matches!(server.transport.socket().as_deref(), Some(EndpointSocket::Unix(_))));
        server.end().await;
    });
    assert!(!path.exists());
}

/// A Unix socket whose peer's queue is full holds its sender: there is something to be flushed.
async fn held() -> (Running, UnixDatagram) {
    let (socket, peer) = UnixDatagram::pair().expect("room");
    let running = Running::with(Diary::default(), socket).await;
    (running, peer)
}

#[test]
fn a_protocol_that_sends_too_much_is_told_when_to_go_on() {
    on_both(|| async {
        let (sender, mut peer) = held().await;
        sender.transport.set_limits(20, 50);
        assert_eq!(sender.transport.limits(), (20, 50));
        let flood = 2000;
        for _ in 0..flood {
            sender.transport.send([7; 12]);
        }
        assert_eq!(sender.transport.buffered(), flood * 20, "each counts 8 more");
        sender.until(2).await;
        let first = sender.calls.borrow()[1].clone();
        assert!(first.starts_with("pause at "), "{first}");
        for _ in 0..flood {
            assert_eq!(&*peer.recv().await.expect("open"), [7; 12]);
        }
        sender.until(3).await;
        assert_eq!(sender.calls.borrow()[2], "resume");
        assert_eq!((sender.transport.buffered(), sender.calls.borrow().len()), (0, 3));
        sender.end().await;
    });
}

#[test]
fn a_flood_of_empty_datagrams_is_too_much_too() {
    on_both(|| async {
        let (sender, mut peer) = held().await;
        sender.transport.set_limits(0, 80);
        for _ in 0..10 {
            sender.transport.send("");
        }
        assert_eq!(sender.calls(), "made");
        sender.transport.send("");
        sender.until(3).await;
        assert_eq!(sender.calls(), "made, pause at 88, resume");
        for _ in 0..11 {
            assert!(peer.recv().await.expect("open").is_empty());
        }
        sender.end().await;
    });
}

#[test]
fn closing_sends_what_was_given_and_aborting_does_not() {
    on_both(|| async {
        for abort in [false, true] {
            let (sender, mut peer) = held().await;
            for number in 0..1000_u16 {
                sender.transport.send(number.to_le_bytes());
            }
            if abort {
                sender.transport.abort();
            } else {
                sender.transport.close();
            }
            assert!(sender.transport.is_closing());
            sender.transport.send("too late, or not");
            for number in (0..1000_u16).filter(|_| !abort) {
                assert_eq!(&*peer.recv().await.expect("sent"), number.to_le_bytes());
            }
            sender.task.await.expect("no panic");
            let calls = sender.calls.borrow().join(", ");
            assert!(calls.ends_with("lost"), "{calls}");
            assert!(!abort || calls == "made, lost", "{calls}");
            assert!(sender.transport.socket().is_none() && sender.transport.buffered() == 0);
        }
    });
}

#[test]
fn what_is_sent_through_a_closed_socket_is_dropped_and_told_to_the_log() {
    on_sim(SimConfig::seeded(1), |_| async {
        let client = Running::start(Diary::default()).await;
        let transport = client.transport.clone();
        assert_eq!(client.end().await, "made, lost");
        let ((), log) = logged(|| (0..4).for_each(|_| transport.send("x")));
        assert_eq!(log, "");
        let ((), log) = logged(|| transport.send("x"));
        assert!(log.contains("is dropped"), "{log}");
        assert_eq!(transport.buffered(), 0);
    });
}

#[test]
fn a_closed_socket_receives_no_more() {
    on_both(|| async {
        let (one, peer) = held().await;
        peer.send("in time").await.0.expect("open");
        one.until(2).await;
        one.transport.close();
        peer.send("too late").await.0.expect("not gone yet");
        assert_eq!(one.end().await, r#"made, "in time", lost"#);
    });
}

#[test]
fn a_receive_that_fails_is_tried_again_and_given_up_in_the_end() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let fail = |times: usize| {
            (0..times).for_each(|_| sim.next(opcode::RECVMSG, Fault::Fail(EIO)));
        };
        fail(3);
        let server = Running::start(Diary::default()).await;
        let client = UdpSocket::bind("127.0.0.1:0").expect("free");
        client.send_to("it waits", server.address()).await.0.expect("room");
        sleep(Duration::from_millis(2500)).await;
        assert_eq!(server.calls().matches("error: ").count(), 3, "{}", server.calls());
        sleep(Duration::from_secs(1)).await;
        let calls = server.end().await;
        assert!(calls.contains(r#""it waits", lost"#), "{calls}");

        fail(5);
        let start = now();
        let server = Running::start(Diary::default()).await;
        server.task.await.expect("no panic");
        assert_eq!(now() - start, Duration::from_secs(4), "with a pause between two");
        let calls = server.calls.take();
        assert_eq!(calls.len(), 6, "{calls:?}");
        assert_eq!(calls[5], "lost: Input/output error (os error 5)");
    });
}

#[test]
fn a_cancelled_task_closes_its_socket_in_order() {
    on_both(|| async {
        let (sender, mut peer) = held().await;
        for _ in 0..1000 {
            sender.transport.send("x");
        }
        sender.task.cancel();
        for _ in 0..1000 {
            assert_eq!(&*peer.recv().await.expect("sent"), b"x");
        }
        sender.task.await.expect("it gives the protocol back");
        assert!(sender.calls.borrow().join(", ").ends_with("lost"));
    });
}

#[test]
fn an_aborted_task_closes_its_socket_at_once() {
    on_both(|| async {
        let one = Running::start(Diary::default()).await;
        one.task.abort();
        yield_now().await;
        assert!(one.transport.is_closing() && one.transport.socket().is_none());
        assert_eq!(one.calls(), "made");
    });
}

#[test]
fn the_socket_of_a_call_that_is_dropped_is_closed() {
    on_both(|| async {
        let diary = Diary::default();
        let calls = diary.calls.clone();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("free");
        let mut making = Box::pin(datagram_endpoint(diary, socket));
        assert!(poll_once(&mut making).await.is_pending());
        drop(making);
        while calls.borrow().len() < 2 {
            yield_now().await;
        }
        assert_eq!(*calls.borrow(), ["made", "lost"]);
    });
}

#[test]
fn a_protocol_that_panics_costs_its_socket() {
    let reports = reports_on_sim(|_| async {
        let received = |_: &DatagramTransport, _: Datagram<Address>| panic!("oh no");
        let server = Running::start(Diary { received: Some(received), ..<_>::default() }).await;
        let client = UdpSocket::bind("127.0.0.1:0").expect("free");
        client.send_to("x", server.address()).await.0.expect("room");
        sleep(MS).await;
        assert!(server.transport.is_closing() && server.transport.socket().is_none());
        drop(server);
    });
    assert!(reports.len() == 1 && reports[0].1.contains("oh no"), "{reports:?}");
}
