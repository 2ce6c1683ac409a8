//! Protocols and transports: which calls come, in which order, and what ends a connection.

use std::cell::RefCell;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream as Plain;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::buf::RecvBuf;
use uring_loop::io::{ByteStreamExt, duplex};
use uring_loop::net::{TcpListener, UnixListener, UnixStream};
use uring_loop::protocol::{Protocol, Transport, connect, create_connection, create_server, serve};
use uring_loop::testing::{Fault, Peer, SimConfig, SimHandle, opcode};
use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, ReportKind, Task, call_soon, yield_now};

use crate::support::{on_sim, reports_on_sim, run_limited};

const MS: Duration = Duration::from_millis(1);
const EIO: i32 = 5;

/// Writes down its calls.
#[derive(Default)]
struct Diary {
    calls: Rc<RefCell<Vec<String>>>,
    transport: Option<Transport>,
    made: Option<fn(&Transport)>,
    received: Option<fn(&Transport, &[u8])>,
    stays: bool,
}

impl Diary {
    fn note(&self, call: impl Into<String>) {
        self.calls.borrow_mut().push(call.into());
    }

    fn transport(&self) -> &Transport {
        self.transport.as_ref().expect("connection_made comes first")
    }
}

impl Protocol for Diary {
    fn connection_made(&mut self, transport: Transport) {
        self.note("made");
        if let Some(made) = self.made {
            made(&transport);
        }
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: RecvBuf) {
        self.note(String::from_utf8_lossy(&data));
        if let Some(received) = self.received {
            received(self.transport(), &data);
        }
    }

    fn eof_received(&mut self) -> bool {
        self.note("eof");
        self.stays
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.note(error.map_or("lost".to_owned(), |error| format!("lost: {:?}", error.kind())));
    }

    fn pause_writing(&mut self) {
        self.note(format!("pause at {}", self.transport().buffered()));
    }

    fn resume_writing(&mut self) {
        self.note("resume");
    }
}

struct Running {
    transport: Transport,
    task: Task<Diary>,
    peer: Peer,
    calls: Rc<RefCell<Vec<String>>>,
}

impl Running {
    fn calls(&self) -> String {
        self.calls.borrow().join(", ")
    }
}

/// A diary on a connection from outside of the simulated kernel.
async fn run(sim: &SimHandle, diary: Diary) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
    let calls = diary.calls.clone();
    let stream = listener.accept().await.expect("accepted");
    let (transport, task) = connect(diary, stream).await;
    Running { transport, task, peer, calls }
}

#[test]
fn calls_come_in_order_and_the_loss_last() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let diary =
            Diary { received: Some(|transport, data| transport.write(data)), ..<_>::default() };
        let one = run(&sim, diary).await;
        assert_eq!(one.calls(), "made", "when connect has answered, the first call is over");
        one.peer.send("one").expect("open");
        sleep(MS).await;
        one.peer.send("two").expect("open");
        one.peer.shutdown_write();
        sleep(MS).await;
        assert_eq!(one.calls(), "made, one, two, eof, lost");
        assert_eq!(one.peer.recv(), b"onetwo", "what was written is sent first");
        assert!(one.peer.ended() && one.task.is_done() && one.transport.is_closing());
        assert_eq!(one.task.await.expect("it gives the protocol back").calls.borrow().len(), 5);
    });
}

#[test]
fn a_read_timeout_does_not_run_while_reading_is_paused() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
        let mut stream = listener.accept().await.expect("accepted");
        stream.set_read_timeout(Some(Duration::from_secs(10)));
        let diary = Diary::default();
        let calls = diary.calls.clone();
        let (transport, _task) = connect(diary, stream).await;
        for pause in [5, 3600] {
            sleep(Duration::from_secs(8)).await;
            transport.pause_reading();
            sleep(Duration::from_secs(pause)).await;
            transport.resume_reading();
        }
        sleep(Duration::from_secs(8)).await;
        peer.send("one").expect("open");
        sleep(Duration::from_secs(9)).await;
        assert_eq!(calls.borrow().join(", "), "made, one");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(calls.borrow().join(", "), "made, one, lost: TimedOut");
    });
}

#[test]
fn a_peer_that_neither_sends_nor_takes_anything_is_let_go_of() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let peer = sim.peer_connect(listener.local_addr().expect("bound")).expect("it listens");
        let mut stream = listener.accept().await.expect("accepted");
        stream.set_read_timeout(Some(Duration::from_secs(10)));
        let made = |transport: &Transport| transport.write([7; 100]);
        let (_, task) = connect(Diary { made: Some(made), ..Diary::default() }, stream).await;
        let calls = task.await.expect("no panic").calls.borrow().join(", ");
        assert_eq!(calls, "made, lost: TimedOut");
        sleep(MS).await;
        assert_eq!(peer.recv().len(), 10, "what it had room for");
        assert!(peer.ended(), "it is still connected");
    });
}

#[test]
fn our_direction_may_stay_open_behind_the_peers_end() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let one = run(&sim, Diary { stays: true, ..Diary::default() }).await;
        assert!(one.transport.is_reading());
        one.peer.shutdown_write();
        sleep(MS).await;
        assert_eq!(one.calls(), "made, eof");
        assert!(!one.transport.is_reading() && !one.transport.is_closing());
        one.transport.write("still ");
        one.transport.write_all(["h", "ere"]);
        one.transport.write_eof();
        sleep(MS).await;
        assert_eq!(one.peer.recv(), b"still here");
        assert!(one.peer.ended());
        assert_eq!(one.calls(), "made, eof", "both ends, but nobody has closed it");
        one.transport.close();
        sleep(MS).await;
        assert_eq!(one.calls(), "made, eof, lost");
    });
}

#[test]
fn a_stream_that_cannot_half_close_is_closed_at_its_end() {
    struct Whole(uring_loop::io::MemoryStream);
    impl uring_loop::io::ByteStream for Whole {
        fn poll_recv(
            &self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<RecvBuf>> {
            self.0.poll_recv(cx)
        }
        fn poll_ready(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
            self.0.poll_ready(cx)
        }
        fn start_send(&self, buffer: Vec<u8>) -> io::Result<()> {
            self.0.start_send(buffer)
        }
        fn poll_flush(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
            self.0.poll_flush(cx)
        }
        fn poll_shutdown(&self, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
            unreachable!("it cannot")
        }
        fn abort(&self) {
            self.0.abort();
        }
        fn can_half_close(&self) -> bool {
            false
        }
    }
    uring_loop::testing::run(async {
        let (one, other) = duplex(100);
        let (transport, task) =
            connect(Diary { stays: true, ..Diary::default() }, Whole(one)).await;
        assert!(!transport.can_write_eof());
        other.write_eof().await.expect("open");
        let diary = task.await.expect("no panic");
        assert_eq!(*diary.calls.borrow(), ["made", "eof", "lost"]);
    });
}

#[test]
fn what_comes_while_reading_is_paused_comes_later() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let diary = Diary { made: Some(Transport::pause_reading), ..Diary::default() };
        let one = run(&sim, diary).await;
        one.transport.pause_reading();
        one.peer.send("1").expect("open");
        sleep(MS).await;
        assert_eq!(one.calls(), "made");
        assert!(!one.transport.is_reading());
        one.transport.resume_reading();
        one.transport.resume_reading();
        sleep(MS).await;
        assert_eq!(one.calls(), "made, 1");
        // Bytes that were received already when it is paused.
        one.peer.send("2").expect("open");
        one.transport.pause_reading();
        sleep(MS).await;
        one.peer.send("3").expect("open");
        one.peer.shutdown_write();
        sleep(MS).await;
        assert_eq!(one.calls(), "made, 1");
        one.transport.resume_reading();
        sleep(MS).await;
        let calls = one.calls();
        assert!(
            ["made, 1, 2, 3, eof, lost", "made, 1, 23, eof, lost"].contains(&&calls[..]),
            "{calls}"
        );
    });
}

#[test]
fn a_protocol_that_writes_too_much_is_told_between_its_calls() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let made = |transport: &Transport| {
            transport.set_limits(20, 50);
            transport.write([7; 50]);
            transport.write([7; 1]);
        };
        let one = run(&sim, Diary { made: Some(made), ..Diary::default() }).await;
        sleep(MS).await;
        assert_eq!(one.calls(), "made, pause at 51");
        let mut got = 0;
        while got < 51 {
            // The rest is in the peer's buffer then, and sent.
            assert!(got > 40 || one.calls() == "made, pause at 51", "{}", one.calls());
            got += one.peer.recv().len();
            sleep(MS).await;
        }
        sleep(MS).await;
        assert_eq!(one.calls(), "made, pause at 51, resume");
        one.transport.set_limits(0, 0);
        one.transport.write("x");
        sleep(MS).await;
        assert_eq!(one.peer.recv(), b"x");
        sleep(MS).await;
        assert!(one.calls().ends_with("resume, pause at 1, resume"), "{}", one.calls());
    });
}

#[test]
fn closing_sends_what_was_written_and_aborting_does_not() {
    for abort in [false, true] {
        on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
            let one = run(&sim, Diary::default()).await;
            one.transport.write([7; 100]);
            sleep(MS).await;
            if abort {
                one.transport.abort()
            } else {
                one.transport.close()
            }
            one.peer.send("in vain").expect("not known yet");
            let mut got = 0;
            for _ in 0..50 {
                got += one.peer.recv().len();
                sleep(MS).await;
            }
            assert_eq!(got, if abort { 10 } else { 100 });
            // It has said something, and so may have more to say.
            assert_eq!(one.calls(), if abort { "made, lost" } else { "made" });
            drop(one.peer);
            sleep(MS).await;
            let calls = one.calls.borrow().join(", ");
            assert_eq!(calls, "made, lost", "no pause, nothing received, no error");
        });
    }
}

#[test]
fn an_error_is_told_and_reported_unless_the_peer_just_went() {
    let reports = reports_on_sim(|sim| async move {
        let one = run(&sim, Diary::default()).await;
        one.peer.reset();
        let calls = one.task.await.expect("no panic").calls.borrow().join(", ");
        assert_eq!(calls, "made, lost: ConnectionReset");
    });
    assert_eq!(reports, []);
    for opcode in [opcode::RECV, opcode::SEND] {
        let reports = reports_on_sim(|sim| async move {
            sim.next(opcode, Fault::Fail(EIO));
            let one = run(&sim, Diary::default()).await;
            one.transport.write("x");
            let calls = one.task.await.expect("no panic").calls.borrow().join(", ");
            assert!(calls.starts_with("made, lost: "), "{calls}");
        });
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(
            reports[0].0 == ReportKind::ConnectionFailed && reports[0].1.contains("os error 5")
        );
    }
}

/// A diary that is called instead of another one.
fn successor(calls: &Rc<RefCell<Vec<String>>>, transport: &Transport) -> Diary {
    Diary { calls: calls.clone(), transport: Some(transport.clone()), ..Diary::default() }
}

#[test]
fn a_protocol_that_hands_its_connection_over_is_not_called_any_more() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let one = run(&sim, Diary::default()).await;
        one.transport.set_limits(20, 50);
        one.transport.write([7; 60]);
        sleep(MS).await;
        assert_eq!(one.calls(), "made, pause at 60");
        // By another task: before the next call.
        let new = Rc::<RefCell<Vec<String>>>::default();
        one.transport.set_protocol(successor(&new, &one.transport));
        sleep(MS).await;
        assert_eq!(*new.borrow(), ["pause at 60"], "it does not know yet");
        while one.transport.buffered() > 0 {
            drop(one.peer.recv());
            sleep(MS).await;
        }
        one.peer.send("for the new one").expect("open");
        sleep(MS).await;
        // Twice at once: the one in between is never called.
        let last = Rc::<RefCell<Vec<String>>>::default();
        one.transport.set_protocol(Diary::default());
        one.transport.set_protocol(successor(&last, &one.transport));
        one.peer.shutdown_write();
        let old = one.task.await.expect("it gives the first one back");
        assert_eq!(old.calls.borrow().join(", "), "made, pause at 60");
        assert_eq!(new.borrow()[1..], ["resume", "for the new one"]);
        assert_eq!(*last.borrow(), ["eof", "lost"]);
        // Nothing is kept for a connection that is gone.
        let calls = Rc::<RefCell<Vec<String>>>::default();
        one.transport.set_protocol(successor(&calls, &one.transport));
        assert_eq!(Rc::strong_count(&calls), 1);
    });
}

#[test]
fn a_protocol_may_hand_over_in_a_call_and_the_next_one_is_for_the_new() {
    struct Greets(Rc<RefCell<Vec<String>>>, Option<Transport>);
    impl Protocol for Greets {
        fn connection_made(&mut self, transport: Transport) {
            self.1 = Some(transport);
        }
        fn data_received(&mut self, data: RecvBuf) {
            assert_eq!(&*data, b"upgrade");
            let transport = self.1.take().expect("connection_made comes first");
            transport.write("go on");
            transport.set_protocol(successor(&self.0, &transport));
        }
        fn connection_lost(&mut self, _: Option<io::Error>) {
            panic!("it is not its connection any more");
        }
    }
    on_sim(SimConfig::seeded(0), |sim| async move {
        let calls = Rc::<RefCell<Vec<String>>>::default();
        let listener = sim.peer_listen(([127, 0, 0, 1], 0).into()).expect("free");
        let made = create_connection(|| Greets(calls.clone(), None), listener.local_addr());
        let (_, task) = made.await.expect("it listens");
        let peer = listener.accept().expect("it has come");
        peer.send("upgrade").expect("open");
        sleep(MS).await;
        assert_eq!(peer.recv(), b"go on");
        peer.send("one").expect("open");
        sleep(MS).await;
        peer.reset();
        drop(task.await.expect("no panic"));
        assert_eq!(*calls.borrow(), ["one", "lost: ConnectionReset"]);
    });
}

#[test]
fn any_listener_can_be_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("socket");
    let talk = |path: std::path::PathBuf| async move {
        let listener = UnixListener::bind(&path).expect("free");
        let factory =
            || Diary { received: Some(|transport, data| transport.write(data)), ..<_>::default() };
        let server = serve(factory, [listener]);
        assert_eq!(server.addresses()[0].to_string(), path.display().to_string());
        let stream = UnixStream::connect(&path).await.expect("it listens");
        let (transport, task) = connect(Diary::default(), stream).await;
        transport.write("hello");
        transport.write_eof();
        let calls = task.await.expect("no panic").calls.borrow().join(", ");
        assert_eq!(calls, "made, hello, eof, lost");
        server.close();
        server.wait_closed().await;
    };
    run_limited(talk(place));
    on_sim(SimConfig::seeded(0), |_| talk("/run/socket".into()));
}

#[test]
fn a_protocol_that_panics_costs_its_own_connection() {
    let reports = reports_on_sim(|sim| async move {
        let received = |transport: &Transport, data: &[u8]| {
            transport.write("not sent any more");
            assert!(data != b"bad", "oh no");
            transport.write(data);
        };
        let factory = move || Diary { received: Some(received), ..Diary::default() };
        let server = create_server(factory, "127.0.0.1:0").await.expect("free");
        let address = server.addresses()[0].ip().expect("TCP");
        let bad = sim.peer_connect(address).expect("it listens");
        bad.send("bad").expect("open");
        sleep(MS).await;
        assert!(bad.recv().is_empty() && (bad.ended() || bad.was_reset()));
        assert_eq!(server.connections(), 0);
        let good = sim.peer_connect(address).expect("it listens");
        good.send("good").expect("open");
        sleep(MS).await;
        assert!(good.recv().ends_with(b"good"));
        assert_eq!(server.shut_down(Duration::ZERO).await, 1);
        sleep(MS).await;
        assert!(sim.peer_connect(address).is_err());
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].1.contains("oh no"), "{reports:?}");
}

#[test]
fn a_cancelled_connection_is_closed_in_order() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let one = run(&sim, Diary::default()).await;
        one.transport.write([7; 100]);
        one.task.cancel();
        let mut got = 0;
        for _ in 0..50 {
            got += one.peer.recv().len();
            sleep(MS).await;
        }
        assert_eq!((got, &one.calls()[..]), (100, "made, lost"));
    });
}

#[test]
fn an_aborted_task_aborts_its_connection() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let one = run(&sim, Diary::default()).await;
        one.task.abort();
        sleep(MS).await;
        assert!(one.peer.ended() && one.transport.is_closing());
        one.transport.write("in vain");
        assert_eq!(one.transport.buffered(), 0);
    });
}

#[test]
fn a_connection_that_is_made_tells_both_sides_their_addresses() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let listener = sim.peer_listen(([127, 0, 0, 1], 0).into()).expect("free");
        let (transport, task) =
            create_connection(Diary::default, listener.local_addr()).await.expect("it listens");
        assert_eq!(
            transport.peer_address().and_then(|peer| peer.ip()),
            Some(listener.local_addr())
        );
        assert!(transport.local_address().is_some() && transport.stream().is_some());
        transport.close();
        drop(task.await.expect("no panic"));
        assert!(transport.stream().is_none());
        let refused = create_connection(Diary::default, "127.0.0.1:1").await;
        assert_eq!(refused.expect_err("nobody").kind(), io::ErrorKind::ConnectionRefused);
    });
}

/// A call of a protocol stops the loop: what was written before that reaches the client.
#[test]
fn what_was_written_before_a_stop_arrives() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let received = |transport: &Transport, _: &[u8]| {
        transport.write(vec![7; 4 << 20]);
        transport.write("Okay. Shutting down.\n");
        transport.close();
        drop(call_soon(uring_loop::stop));
    };
    let factory = move || Diary { received: Some(received), ..Diary::default() };
    let server = event_loop
        .run_until_complete(async { create_server(factory, "127.0.0.1:0").await })
        .expect("not cancelled")
        .expect("free");
    let address = server.addresses()[0].ip().expect("TCP");
    let client = std::thread::spawn(move || {
        let mut plain = Plain::connect(address).expect("it listens");
        plain.write_all(b"shutdown\n").expect("open");
        std::thread::sleep(Duration::from_millis(50));
        let mut got = Vec::new();
        plain.read_to_end(&mut got).expect("no reset");
        got
    });
    event_loop.run_forever().expect("stopped");
    drop(server);
    assert_eq!(event_loop.finish(), 0);
    drop(event_loop);
    let got = client.join().expect("no panic");
    assert!(got.ends_with(b"Okay. Shutting down.\n"), "{} bytes", got.len());
    assert_eq!(got.len(), (4 << 20) + 21);
}

#[test]
fn a_connection_that_is_closed_before_its_first_call_comes_to_its_end() {
    for abort in [false, true] {
        on_sim(SimConfig::seeded(0), |sim| async move {
            let server = create_server(Diary::default, "127.0.0.1:0").await.expect("free");
            let peer = sim.peer_connect(server.addresses()[0].ip().expect("TCP"));
            let peer = peer.expect("it listens");
            peer.send("nobody reads this").expect("open");
            while server.connections() == 0 {
                yield_now().await;
            }
            // Its task has not run yet.
            if abort {
                server.abort_clients()
            } else {
                server.close_clients()
            }
            server.close();
            sleep(MS).await;
            assert!(peer.ended());
            drop(peer);
            let closed = timeout(Duration::from_secs(60), server.wait_closed());
            closed.await.expect("nobody is left");
        });
    }
}
