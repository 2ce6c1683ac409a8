//! TCP on the real kernel: bulk both ways, halves, vectored writes, refusals, slow readers, tiny
//! pools, timeouts, half-close, reset, addresses.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream as Plain};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use uring_loop::net::{TcpListener, TcpStream, resolve};
use uring_loop::time::{now, sleep, timeout};
use uring_loop::{EventLoop, spawn, unblock};

use crate::parts::connected_pair;
use crate::support::in_child;

const MIB: usize = 1 << 20;

/// Runs on a fresh loop with few buffers; then nothing of it may be lent any more.
#[track_caller]
fn run<F: Future>(buffers: u16, size: u32, future: F) -> F::Output {
    let mut event_loop = EventLoop::builder().buffers(buffers, size).build().expect("a ring");
    let output = event_loop.run_until_complete(future).expect("not cancelled");
    let pause = async { sleep(Duration::from_millis(20)).await };
    event_loop.run_until_complete(pause).expect("not cancelled");
    let statistics = event_loop.statistics();
    assert!(statistics.enters <= statistics.turns, "{statistics}");
    if let Some((free, all)) = statistics.buffers {
        assert_eq!(free, all, "buffers were not given back");
    }
    output
}

fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251 + seed) as u8).collect()
}

async fn receive_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    loop {
        let bytes = stream.recv().await.expect("open");
        if bytes.is_empty() {
            return got;
        }
        got.extend_from_slice(&bytes);
    }
}

async fn echo(mut stream: TcpStream) {
    loop {
        let bytes = stream.recv().await.expect("open");
        if bytes.is_empty() {
            return;
        }
        stream.write_all(bytes).await.0.expect("open");
    }
}

#[test]
fn large_data_both_ways_at_once() {
    for (buffers, size) in [(256, 4096), (4, 512)] {
        run(buffers, size, async {
            let (one, other) = connected_pair().await;
            let ends = [one, other].into_iter().enumerate().map(|(index, stream)| {
                spawn(async move {
                    let (mut receive, mut send) = stream.into_split();
                    let writer = spawn(async move {
                        send.write_all(pattern(8 * MIB, index)).await.0.expect("open");
                        send.shutdown(Shutdown::Write).await.expect("open");
                    });
                    let mut got = Vec::new();
                    loop {
                        let bytes = receive.recv().await.expect("open");
                        if bytes.is_empty() {
                            break;
                        }
                        got.extend_from_slice(&bytes);
                    }
                    writer.await.expect("no panic");
                    assert!(got == pattern(8 * MIB, 1 - index), "mangled");
                })
            });
            for end in ends.collect::<Vec<_>>() {
                end.await.expect("no panic");
            }
        });
    }
}

#[test]
fn borrowed_halves_work_in_one_task() {
    run(16, 4096, async {
        let (mut one, other) = connected_pair().await;
        let echoing = spawn(echo(other));
        {
            let (mut receive, mut send) = one.split();
            let sending = async {
                send.write_all(pattern(MIB, 3)).await.0.expect("open");
                send.shutdown(Shutdown::Write).await.expect("open");
            };
            let receiving = async {
                let mut got = Vec::new();
                while got.len() < MIB {
                    let (count, part) = receive.read(Vec::with_capacity(10_000)).await;
                    assert!(count.expect("open") > 0, "ended early");
                    got.extend_from_slice(&part);
                }
                got
            };
            let ((), got) = futures_util::join!(sending, receiving);
            assert!(got == pattern(MIB, 3));
        }
        echoing.await.expect("no panic");
    });
}

#[test]
fn vectored_writes_arrive_in_order() {
    run(16, 4096, async {
        let (mut one, mut other) = connected_pair().await;
        // More pieces than a system call takes (IOV_MAX), empty ones among them.
        let pieces: Vec<Vec<u8>> = (0..3000).map(|index| pattern(index % 40, index)).collect();
        let whole = pieces.concat();
        let writer = spawn(async move {
            let (result, back) = one.write_all_vectored(pieces).await;
            result.expect("open");
            assert_eq!(back.len(), 3000, "the buffers come back");
            let (count, _) = one.write_vectored(vec![vec![1; 5], vec![2; 5]]).await;
            assert_eq!(count.expect("open"), 10);
        });
        let mut got = receive_all(&mut other).await;
        writer.await.expect("no panic");
        assert_eq!(got.split_off(whole.len()), [[1; 5], [2; 5]].concat());
        assert!(got == whole);
    });
}

#[test]
fn reads_into_own_buffers_and_receives_mix() {
    run(4, 256, async {
        let (mut one, mut other) = connected_pair().await;
        let sent = pattern(20_000, 5);
        let copy = sent.clone();
        let writer = spawn(async move {
            for part in copy.chunks(777) {
                one.write_all(part.to_vec()).await.0.expect("open");
            }
        });
        let mut got = Vec::new();
        let mut round = 0;
        loop {
            round += 1;
            if round % 3 == 0 {
                let bytes = other.recv().await.expect("open");
                if bytes.is_empty() {
                    break;
                }
                got.extend_from_slice(&bytes);
            } else {
                let (count, part) = other.read(Vec::with_capacity(100)).await;
                if count.expect("open") == 0 {
                    break;
                }
                got.extend_from_slice(&part);
            }
        }
        writer.await.expect("no panic");
        assert!(got == sent);
        let (error, _) = other.read(Vec::new()).await;
        assert_eq!(error.expect_err("no room").kind(), std::io::ErrorKind::InvalidInput);
        assert!(other.recv().await.expect("still at its end").is_empty());
    });
}

#[test]
fn a_refused_connect_names_the_address() {
    run(16, 4096, async {
        let free = TcpListener::bind("127.0.0.1:0").expect("free").local_addr().expect("bound");
        sleep(Duration::from_millis(5)).await; // for its close
        let error = TcpStream::connect(free).await.expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with(&format!("connecting to {free}: ")), "{error}");
        let taken = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = taken.local_addr().expect("bound");
        let error = TcpListener::bind(address).expect_err("in use");
        assert!(error.to_string().starts_with(&format!("listening on {address}: ")), "{error}");
    });
}

#[test]
fn addresses_come_in_many_forms() {
    run(16, 4096, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("free");
        let port = listener.local_addr().expect("bound").port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        drop(TcpStream::connect(address).await.expect("a socket address"));
        drop(TcpStream::connect(("127.0.0.1", port)).await.expect("text and port"));
        drop(TcpStream::connect(([127, 0, 0, 1], port)).await.expect("bytes and port"));
        drop(TcpStream::connect(format!("127.0.0.1:{port}")).await.expect("text"));
        let stream = TcpStream::connect(format!("localhost:{port}")).await.expect("a name");
        assert_eq!(stream.peer_addr().expect("connected"), address);
        assert_eq!(resolve(("127.0.0.1", 80)).await.expect("numeric").len(), 1);
        let error = TcpStream::connect("nonsense").await.expect_err("no port");
        assert!(error.to_string().contains("write host:port"), "{error}");
        if let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
            let address = listener.local_addr().expect("bound");
            let stream = TcpStream::connect(address).await.expect("IPv6");
            assert_eq!(stream.peer_addr().expect("connected"), address);
        }
    });
}

#[test]
fn many_streams_share_a_tiny_pool() {
    run(4, 128, async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let server = spawn(async move {
            for _ in 0..60 {
                drop(spawn(echo(listener.accept().await.expect("accepted"))));
            }
        });
        let clients = (0..60).map(|index| {
            spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("it listens");
                for round in 0..20 {
                    let sent = pattern(400, index + round);
                    stream.write_all(sent.clone()).await.0.expect("open");
                    let mut got = Vec::new();
                    while got.len() < 400 {
                        got.extend_from_slice(&stream.recv().await.expect("open"));
                    }
                    assert!(got == sent);
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("no panic");
        }
        server.await.expect("no panic");
    });
}

#[test]
fn a_greedy_peer_of_a_slow_reader_does_not_stop_others() {
    let mut event_loop = EventLoop::builder().buffers(16, 1024).build().expect("a ring");
    let (slow, greedy) = event_loop
        .run_until_complete(async {
            let (mut slow, mut greedy) = connected_pair().await;
            // Armed once, and then not read.
            assert!(timeout(Duration::ZERO, slow.recv()).await.is_err());
            let greedy = spawn(async move {
                greedy.write_all(pattern(16 * MIB, 9)).await.0.expect("open");
            });
            let (one, mut other) = connected_pair().await;
            drop(spawn(echo(one)));
            for round in 0..100 {
                other.write_all(pattern(3000, round)).await.0.expect("open");
                let mut got = Vec::new();
                while got.len() < 3000 {
                    got.extend_from_slice(&other.recv().await.expect("open"));
                }
                assert!(got == pattern(3000, round));
            }
            (slow, greedy)
        })
        .expect("not cancelled");
    let (free, all) = event_loop.statistics().buffers.expect("in use");
    assert!(free >= all - 6, "a stream nobody reads holds {} of {all} buffers", all - free);
    assert!(!greedy.is_done(), "TCP's window holds the peer");
    event_loop
        .run_until_complete(async {
            let mut slow = slow;
            assert!(receive_all(&mut slow).await == pattern(16 * MIB, 9));
            greedy.await.expect("no panic");
        })
        .expect("not cancelled");
}

#[test]
fn a_stream_times_out_and_stays_usable() {
    run(16, 4096, async {
        let (mut one, mut other) = connected_pair().await;
        let limit = Duration::from_millis(20);
        one.set_read_timeout(Some(limit));
        let start = now();
        let error = one.recv().await.expect_err("nobody writes");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(now() - start >= limit, "too early");
        let (error, buffer) = one.read(Vec::with_capacity(7)).await;
        assert_eq!(error.expect_err("nobody writes").kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(buffer.capacity(), 7, "the buffer comes back");
        other.write_all("late").await.0.expect("open");
        assert_eq!(&*one.recv().await.expect("in time"), b"late");

        one.set_read_timeout(None);
        one.set_write_timeout(Some(limit));
        let (error, buffer) = one.write_all(vec![0; 64 * MIB]).await;
        assert_eq!(error.expect_err("nobody reads").kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(buffer.len(), 64 * MIB);

        let (mut one, mut other) = connected_pair().await;
        one.set_idle_timeout(Some(10 * limit));
        let start = now();
        for _ in 0..4 {
            sleep(limit).await;
            other.write_all("tick").await.0.expect("open");
            drop(one.recv().await.expect("not idle"));
        }
        let error = one.recv().await.expect_err("idle");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(now() - start >= 14 * limit, "each byte begins it anew");
    });
}

#[test]
fn half_close_ends_one_direction_only() {
    run(16, 4096, async {
        let (mut one, mut other) = connected_pair().await;
        one.write_all("question").await.0.expect("open");
        one.shutdown(Shutdown::Write).await.expect("open");
        assert_eq!(receive_all(&mut other).await, b"question");
        other.write_all("answer").await.0.expect("still open");
        drop(other);
        assert_eq!(receive_all(&mut one).await, b"answer");
        assert!(one.recv().await.expect("ended").is_empty());
    });
}

#[test]
fn a_reset_is_an_error_for_reader_and_writer() {
    run(16, 4096, async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let plain = Plain::connect(listener.local_addr().expect("bound")).expect("listens");
        let mut stream = listener.accept().await.expect("accepted");
        let linger = socket2::SockRef::from(&plain);
        linger.set_linger(Some(Duration::ZERO)).expect("a socket");
        let reader = timeout(Duration::from_secs(20), stream.recv());
        let resetter = async {
            sleep(Duration::from_millis(5)).await;
            drop(plain);
        };
        let (read, ()) = futures_util::join!(reader, resetter);
        let error = read.expect("in time").expect_err("reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let error = stream.write_all(vec![0; MIB]).await.0.expect_err("no SIGPIPE either");
        assert!(matches!(
            error.kind(),
            std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset
        ));
    });
}

#[test]
fn a_dropped_listener_closes_what_waits_in_it() {
    run(16, 4096, async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let plain: Vec<_> = (0..8).map(|_| Plain::connect(address).expect("listens")).collect();
        drop(listener.accept().await.expect("accepted"));
        sleep(Duration::from_millis(5)).await; // the others are accepted by the armed accept
        drop(listener);
        let ends = plain.into_iter().map(|mut plain| {
            unblock(move || {
                plain.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
                match plain.read(&mut [0; 1]) {
                    Ok(count) => count == 0,
                    Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
                }
            })
        });
        for ended in join_all(ends).await {
            assert!(ended.expect("a thread"), "a connection that nobody serves stays open");
        }
    });
}

#[test]
fn connections_arrive_in_order_and_nodelay_is_on() {
    run(16, 4096, async {
        let listener = TcpListener::bind_reuse_port("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let mut clients = Vec::new();
        for index in 0..10u8 {
            let mut plain = Plain::connect(address).expect("it listens");
            plain.write_all(&[index]).expect("open");
            clients.push(plain);
        }
        for (index, client) in clients.iter().enumerate() {
            let mut stream = listener.accept().await.expect("accepted");
            assert!(stream.nodelay().expect("a socket"));
            assert_eq!(stream.peer_addr().ok(), client.local_addr().ok());
            assert_eq!(&*stream.recv().await.expect("open"), [index as u8]);
        }
    });
}

#[test]
fn an_accept_without_descriptors_says_so_and_works_again() {
    in_child("net::an_accept_without_descriptors_says_so_and_works_again", || {
        run(16, 4096, async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let address = listener.local_addr().expect("bound");
            let _plain: Vec<_> =
                (0..4).map(|_| Plain::connect(address).expect("it listens")).collect();
            let (_, hard) =
                nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
                    .expect("known");
            let limit = |soft| {
                nix::sys::resource::setrlimit(
                    nix::sys::resource::Resource::RLIMIT_NOFILE,
                    soft,
                    hard,
                )
                .expect("lower than the hard limit");
            };
            limit(3);
            let error = listener.accept().await.expect_err("no descriptor is left");
            assert_eq!(error.to_string().split(": ").next(), Some("accepting a connection"));
            assert!(error.to_string().contains("os error 24"), "{error}");
            let start = now();
            listener.accept().await.expect_err("still none");
            assert!(now() - start >= Duration::from_millis(100), "it did not pause");
            limit(hard.min(1024));
            drop(listener.accept().await.expect("there are descriptors again"));
        });
    });
}

#[test]
fn a_stream_shared_by_two_tasks_closes_when_both_are_gone() {
    run(16, 4096, async {
        let (one, mut other) = connected_pair().await;
        let (receive, send) = one.into_split();
        drop(receive);
        let kept = Rc::new(send);
        other.write_all("x").await.0.expect("still open");
        drop(kept);
        let end = timeout(Duration::from_secs(20), other.recv()).await.expect("in time");
        // The end, or a reset since a byte was left unread.
        assert!(end.map_or(true, |bytes| bytes.is_empty()));
    });
}
