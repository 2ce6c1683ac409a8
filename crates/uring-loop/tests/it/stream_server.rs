//! Servers with a handler for each connection: failures, closing, ending in order, descriptors that
//! run out.

use std::cell::Cell;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use uring_loop::net::{TcpListener, UnixListener, UnixStream};
use uring_loop::stream::{Server, StreamReader, StreamWriter, serve, start_server, wrap};
use uring_loop::testing::{Fault, SimConfig, opcode};
use uring_loop::time::{now, sleep, timeout};
use uring_loop::{EventLoop, ReportKind, catch_cancel, spawn, yield_now};

use crate::seccomp::{Those, refuse};
use crate::support::{in_child, on_sim, on_sim_with, poll_once, reports_on_sim, small};

const MS: Duration = Duration::from_millis(1);
const EMFILE: i32 = 24;

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line);
        writer.drain().await?;
    }
    Ok(())
}

fn address(server: &Server) -> std::net::SocketAddr {
    server.addresses()[0].ip().expect("TCP")
}

#[test]
fn a_handler_that_fails_costs_its_own_connection_only() {
    let reports = reports_on_sim(|sim| async move {
        let server = start_server("127.0.0.1:0", |mut reader, writer| async move {
            match reader.read_line().await?.first() {
                Some(b'p') => panic!("oh no"),
                Some(b'e') => Err(io::Error::other("that was an e")),
                _ => {
                    writer.write("fine\n");
                    Ok(())
                }
            }
        });
        let server = server.await.expect("free");
        let peers = ["panic\n", "error\n", "ok\n"].map(|line| {
            let peer = sim.peer_connect(address(&server)).expect("it listens");
            peer.send(line).expect("open");
            peer
        });
        sleep(MS).await;
        assert_eq!(peers.each_ref().map(|peer| peer.recv()), [vec![], vec![], b"fine\n".to_vec()]);
        assert!(peers.iter().all(|peer| peer.ended()), "they are closed");
        assert_eq!(server.connections(), 0);
        let peer = sim.peer_connect(address(&server)).expect("it listens");
        peer.send("ok\n").expect("open");
        sleep(MS).await;
        assert_eq!(peer.recv(), b"fine\n", "the server goes on");
    });
    let kinds: Vec<_> = reports.iter().map(|(kind, _)| *kind).collect();
    assert!(kinds.contains(&ReportKind::NeverRetrieved), "{reports:?}");
    assert!(kinds.contains(&ReportKind::ConnectionFailed) && kinds.len() == 2, "{reports:?}");
    let text = reports.iter().map(|(_, text)| &text[..]).collect::<Vec<_>>().join("\n");
    assert!(text.contains("oh no") && text.contains("that was an e"), "{text}");
    assert!(text.contains("connection from 127."), "it says whose: {text}");
}

#[test]
fn a_closed_server_keeps_its_connections() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let server = start_server("127.0.0.1:0", echo).await.expect("free");
        let peer = sim.peer_connect(address(&server)).expect("it listens");
        peer.send("one\n").expect("open");
        sleep(MS).await;
        assert!(server.is_serving());
        server.close();
        server.close();
        assert!(!server.is_serving());
        sleep(MS).await;
        assert!(sim.peer_connect(address(&server)).is_err(), "it listens no more");
        peer.send("two\n").expect("open");
        sleep(MS).await;
        assert_eq!((peer.recv(), server.connections()), (b"one\ntwo\n".to_vec(), 1));
        assert!(poll_once(&mut Box::pin(server.wait_closed())).await.is_pending());
        drop(peer);
        server.wait_closed().await;
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_dropped_server_listens_no_more_and_its_connections_go_on() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let server = start_server("127.0.0.1:0", echo).await.expect("free");
        let address = address(&server);
        let peer = sim.peer_connect(address).expect("it listens");
        sleep(MS).await;
        drop(server);
        sleep(MS).await;
        assert!(sim.peer_connect(address).is_err());
        peer.send("x\n").expect("open");
        sleep(MS).await;
        assert_eq!(peer.recv(), b"x\n");
    });
}

#[test]
fn closing_the_clients_sends_what_was_written_and_aborting_does_not() {
    for abort in [false, true] {
        on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
            let server = start_server("127.0.0.1:0", |mut reader, writer| async move {
                writer.write([7; 100]);
                let end = reader.read_line().await.expect("an end, not an error");
                assert!(end.is_empty());
            });
            let server = server.await.expect("free");
            let peer = sim.peer_connect(address(&server)).expect("it listens");
            sleep(MS).await;
            assert_eq!(server.connections(), 1);
            server.close();
            if abort {
                server.abort_clients()
            } else {
                server.close_clients()
            }
            let reading = spawn(async move {
                let mut got = 0;
                while !peer.ended() {
                    got += peer.recv().len();
                    sleep(MS).await;
                }
                got
            });
            server.wait_closed().await;
            let got = reading.await.expect("no panic");
            assert!(if abort { got <= 10 } else { got == 100 }, "{got}");
        });
    }
}

#[test]
fn a_server_is_not_closed_before_its_last_byte_is_sent() {
    on_sim(SimConfig { send_buffer: 10, ..SimConfig::seeded(0) }, |sim| async move {
        let server = start_server("127.0.0.1:0", |_reader, writer| async move {
            writer.write([7; 100]);
        });
        let server = server.await.expect("free");
        let peer = sim.peer_connect(address(&server)).expect("it listens");
        sleep(MS).await;
        server.close();
        let closed = spawn(async move { server.wait_closed().await });
        sleep(MS).await;
        assert!(!closed.is_done(), "the handler has ended, its bytes are not sent");
        let mut got = 0;
        while got < 100 {
            got += peer.recv().len();
            sleep(MS).await;
        }
        closed.await.expect("no panic");
        assert!(peer.ended());
    });
}

#[test]
fn serving_for_ever_ends_in_order_when_it_is_cancelled() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let (ended, server) =
            (Rc::new(Cell::new(false)), start_server("127.0.0.1:0", echo).await.expect("free"));
        let server = Rc::new(server);
        let (serving, done) = (server.clone(), ended.clone());
        let task = spawn(async move {
            let result = serving.serve_forever().await;
            done.set(true);
            result
        });
        let peer = sim.peer_connect(address(&server)).expect("it listens");
        peer.send("x\n").expect("open");
        sleep(MS).await;
        let error = server.serve_forever().await.expect_err("one is enough");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(server.is_serving(), "that has changed nothing");
        task.cancel();
        assert!(task.await.expect_err("cancelled").is_cancelled());
        assert!(!ended.get() && !server.is_serving());
        assert_eq!((peer.recv(), server.connections()), (b"x\n".to_vec(), 0));
        sleep(MS).await;
        assert!(peer.ended());
        let error = server.serve_forever().await.expect_err("closed");
        assert!(error.to_string().contains("closed"), "{error}");
    });
}

#[test]
fn serving_for_ever_ends_when_somebody_closes_it() {
    on_sim(SimConfig::seeded(0), |_| async move {
        let server = Rc::new(start_server("127.0.0.1:0", echo).await.expect("free"));
        let closing = server.clone();
        drop(spawn(async move {
            sleep(MS).await;
            closing.close();
        }));
        server.serve_forever().await.expect("in order");
        // Given up, it leaves the server as it was.
        let server = start_server("127.0.0.1:0", echo).await.expect("free");
        assert!(timeout(MS, server.serve_forever()).await.is_err());
        assert!(!server.is_serving(), "a timeout asks, and is heard");
        let server = start_server("127.0.0.1:0", echo).await.expect("free");
        assert!(poll_once(&mut Box::pin(server.serve_forever())).await.is_pending());
        assert!(server.is_serving(), "dropping does not");
    });
}

#[test]
fn shutting_down_waits_for_handlers_and_then_ends_them() {
    on_sim(SimConfig::seeded(0), |sim| async move {
        let cleaned = Rc::new(Cell::new(0));
        let counting = cleaned.clone();
        let handler = move |mut reader: StreamReader, _writer: StreamWriter| {
            let cleaned = counting.clone();
            async move {
                let busy = async {
                    if reader.read_line().await.is_ok_and(|line| line == b"short\n") {
                        sleep(5 * MS).await;
                    } else {
                        pending::<()>().await;
                    }
                };
                if catch_cancel(busy).await.is_err() {
                    cleaned.set(cleaned.get() + 1);
                }
            }
        };
        let server = start_server("127.0.0.1:0", handler).await.expect("free");
        let peers = ["short\n", "long\n"].map(|line| {
            let peer = sim.peer_connect(address(&server)).expect("it listens");
            peer.send(line).expect("open");
            peer
        });
        sleep(MS).await;
        let start = now();
        assert_eq!(server.shut_down(20 * MS).await, 1, "one had to be ended");
        assert_eq!((now() - start, cleaned.get()), (20 * MS, 1));
        sleep(MS).await;
        assert!(peers.iter().all(|peer| peer.ended()));

        let server = start_server("127.0.0.1:0", echo).await.expect("free");
        assert_eq!(server.shut_down(20 * MS).await, 0, "nobody is there");
    });
}

#[test]
fn a_server_without_descriptors_says_so_and_tries_again_later() {
    let reports = reports_on_sim(|sim| async move {
        sim.next(opcode::ACCEPT, Fault::Fail(EMFILE));
        let server = start_server("127.0.0.1:0", echo).await.expect("free");
        let peer = sim.peer_connect(address(&server)).expect("it listens");
        peer.send("x\n").expect("open");
        sleep(Duration::from_millis(500)).await;
        assert_eq!(peer.recv(), b"", "it waits");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(peer.recv(), b"x\n");
    });
    assert_eq!(reports.len(), 1, "once: {reports:?}");
    assert_eq!(reports[0].0, ReportKind::ConnectionFailed);
    assert!(reports[0].1.contains("accepting a connection"), "{reports:?}");
}

#[test]
fn a_cancelled_handler_just_closes_its_connection() {
    let reports = reports_on_sim(|sim| async move {
        let server = start_server("127.0.0.1:0", echo).await.expect("free");
        let peer = sim.peer_connect(address(&server)).expect("it listens");
        sleep(MS).await;
        let tasks = uring_loop::all_tasks();
        let handler = tasks.iter().find(|task| task.name().starts_with("connection from"));
        assert!(handler.expect("it is named").cancel());
        sleep(MS).await;
        assert!(peer.ended());
        assert_eq!(server.connections(), 0);
    });
    assert_eq!(reports, []);
}

#[test]
fn any_listener_can_be_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let mut event_loop = EventLoop::new().expect("a ring");
    let talk = async {
        let listener = UnixListener::bind(&path).expect("free");
        let server = serve([listener], echo);
        let (mut reader, writer) = wrap(UnixStream::connect(&path).await.expect("it listens"));
        writer.write("hello\n");
        assert_eq!(reader.read_line().await.expect("open"), b"hello\n");
        assert_eq!(server.addresses()[0].to_string(), path.display().to_string());
        server.shut_down(Duration::ZERO).await;
        assert!(reader.read_to_end().await.is_ok_and(|rest| rest.is_empty()));
        yield_now().await;
    };
    event_loop.run_until_complete(talk).expect("not cancelled");
}

#[test]
fn an_address_that_is_named_twice_is_listened_on_once() {
    let (one, other) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let addresses = move |_: &str| Ok([one, other, one].map(|ip| (ip, 0).into()).to_vec());
    let builder = small().resolve_with(addresses);
    on_sim_with(builder, SimConfig::seeded(0), |_| async {
        let server = start_server("twice.example:80", echo).await.expect("free");
        let listens: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
        assert_eq!(listens, ["127.0.0.1:80", "127.0.0.2:80"]);
        server.close();
    });
}

#[test]
fn a_name_is_listened_on_at_all_its_addresses() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let talk = async {
        let server = start_server("localhost:0", echo).await.expect("free");
        assert!(!server.addresses().is_empty());
        for address in server.addresses() {
            let address = address.ip().expect("TCP");
            let (mut reader, writer) =
                uring_loop::stream::open_connection(address).await.expect("it listens");
            writer.write("hello\n");
            assert_eq!(reader.read_line().await.expect("open"), b"hello\n");
        }
        let error = start_server("localhost", echo).await.expect_err("no port");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    };
    event_loop.run_until_complete(talk).expect("not cancelled");
}

/// IPv6 that is not compiled in, or switched off by `ipv6.disable=1`.
#[test]
fn a_kernel_without_ipv6_serves_the_other_addresses_of_a_name() {
    in_child("stream_server::a_kernel_without_ipv6_serves_the_other_addresses_of_a_name", || {
        let inet6 = Those::With(0, libc::AF_INET6 as u32);
        refuse(libc::SYS_socket, &inet6, libc::EAFNOSUPPORT);
        let both =
            |_: &str| Ok(vec![(Ipv6Addr::LOCALHOST, 0).into(), (Ipv4Addr::LOCALHOST, 0).into()]);
        let builder = EventLoop::builder().resolve_with(both);
        let mut event_loop = builder.build().expect("a ring");
        let talk = async {
            let error = TcpListener::bind("[::1]:0").expect_err("no such socket");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("this kernel has no IPv6"), "{error}");
            let server = start_server("both:0", echo).await.expect("free");
            let addresses: Vec<_> = server.addresses().iter().filter_map(|at| at.ip()).collect();
            assert!(matches!(*addresses, [SocketAddr::V4(_)]), "{addresses:?}");
        };
        event_loop.run_until_complete(talk).expect("not cancelled");
    });
}
