//! Unix sockets: streams, listeners and their files, on both rings.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as PlainListener};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::join;
use uring_loop::net::{UnixListener, UnixStream};
use uring_loop::spawn;
use uring_loop::testing::{Fault, SimConfig, opcode};
use uring_loop::time::{now, timeout};

use crate::drops::{End, every_point, inflict, run_for};
use crate::support::{on_sim, run_limited};

/// Runs the same on a simulated kernel and on the real one.
#[track_caller]
pub(crate) fn on_both<F: Future>(make: impl Fn() -> F) {
    on_sim(SimConfig::seeded(1), |_| make());
    run_limited(make());
}

/// A path that nobody else uses, in a folder that goes with it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().expect("a place for temporary files"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("socket")
    }
}

async fn receive_all(stream: &mut UnixStream) -> Vec<u8> {
    let mut got = Vec::new();
    loop {
        let bytes = stream.recv().await.expect("open");
        if bytes.is_empty() {
            return got;
        }
        got.extend_from_slice(&bytes);
    }
}

#[test]
fn a_client_finds_the_listener_by_its_path() {
    on_both(|| async {
        let place = Place::new();
        let listener = UnixListener::bind(place.path()).expect("free");
        let (server, client) = join!(listener.accept(), UnixStream::connect(place.path()));
        let (mut server, mut client) = (server.expect("accepted"), client.expect("connected"));
        client.write_all("question").await.0.expect("open");
        client.shutdown(Shutdown::Write).await.expect("open");
        assert_eq!(receive_all(&mut server).await, b"question");
        server.write_all_vectored(vec!["an", "swer"]).await.0.expect("still open");
        drop(server);
        assert_eq!(receive_all(&mut client).await, b"answer");
        assert_eq!(listener.local_addr().expect("bound").as_pathname(), Some(&*place.path()));
        assert_eq!(client.peer_addr().expect("connected").as_pathname(), Some(&*place.path()));
        assert!(client.local_addr().expect("a socket").is_unnamed());
    });
}

#[test]
fn an_abstract_name_needs_no_file() {
    let name = format!("uring-loop-{}", std::process::id());
    on_both(|| async {
        let address = SocketAddr::from_abstract_name(&name).expect("short");
        let listener = UnixListener::bind_addr(&address).expect("free");
        let error = UnixListener::bind_addr(&address).expect_err("taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("listening on @{name}: ")), "{error}");
        let client = UnixStream::connect_addr(&address);
        let (server, client) = join!(listener.accept(), client);
        let (mut server, client) = (server.expect("accepted"), client.expect("connected"));
        let peer = client.peer_addr().expect("connected");
        assert_eq!(peer.as_abstract_name(), Some(name.as_bytes()));
        drop(client);
        assert!(server.recv().await.expect("its end").is_empty());
        drop(listener);
        // Its close may still be under way.
        while let Ok(stream) = UnixStream::connect_addr(&address).await {
            drop(stream);
        }
        let error = UnixStream::connect_addr(&address).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn what_cannot_be_reached_is_told_with_its_path() {
    on_both(|| async {
        let place = Place::new();
        let error = UnixStream::connect(place.path()).await.expect_err("no such file");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = format!("connecting to {}: ", place.path().display());
        assert!(error.to_string().starts_with(&text), "{error}");
        let mut listener = UnixListener::bind(place.path()).expect("free");
        listener.keep_file();
        drop(listener);
        // Its close may still be under way.
        while let Ok(stream) = UnixStream::connect(place.path()).await {
            drop(stream);
        }
        let error = UnixStream::connect(place.path()).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = UnixListener::bind(place.path()).expect_err("the file is there");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let long = PathBuf::from("x".repeat(108));
        let error = UnixListener::bind(long).expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let nameless = UnixStream::pair().expect("descriptors").0.local_addr().expect("a socket");
        let error = UnixStream::connect_addr(&nameless).await.expect_err("no name");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_listener_removes_the_file_it_has_made_and_no_other() {
    let place = Place::new();
    run_limited(async {
        let listener = UnixListener::bind(place.path()).expect("free");
        assert!(place.path().exists());
        drop(listener);
        assert!(!place.path().exists(), "the file is left behind");

        let listener = UnixListener::bind(place.path()).expect("free again");
        std::fs::remove_file(place.path()).expect("it is there");
        // A successor has taken the place.
        let successor = PlainListener::bind(place.path()).expect("free");
        drop(listener);
        assert!(place.path().exists(), "the successor's file is gone");

        let inherited = UnixListener::from_owned_fd(successor.into());
        let (server, client) = join!(inherited.accept(), UnixStream::connect(place.path()));
        drop((server.expect("accepted"), client.expect("connected")));
        drop(inherited);
        assert!(place.path().exists(), "the file of another is gone");
    });
    on_sim(SimConfig::seeded(1), |sim| async move {
        let path = "/run/some.sock";
        let listener = UnixListener::bind(path).expect("free");
        sim.remove_socket_file(path);
        let successor = UnixListener::bind(path).expect("free");
        drop(listener);
        assert!(sim.socket_file_exists(path), "the successor's file is gone");
        drop(successor);
        assert!(!sim.socket_file_exists(path), "the file is left behind");
    });
}

#[test]
fn a_pair_is_read_in_every_way() {
    on_both(|| async {
        let (mut one, mut other) = UnixStream::pair().expect("descriptors");
        one.write_all("abcdef").await.0.expect("open");
        let (count, buffer) = other.read(Vec::with_capacity(4)).await;
        assert_eq!((count.expect("open"), &*buffer), (4, &b"abcd"[..]));
        assert_eq!(&*other.recv().await.expect("open"), b"ef");
        let (mut receive, mut send) = one.split();
        let there = async {
            let bytes = receive.recv().await.expect("open");
            bytes.to_vec()
        };
        let back = async {
            let question = other.recv().await.expect("open");
            other.write_all(question).await.0.expect("open");
        };
        let asking = async { send.write_all("ping").await.0.expect("open") };
        let (answer, (), ()) = join!(there, back, asking);
        assert_eq!(answer, b"ping");
        let (mut receive, send) = one.into_split();
        drop(send);
        drop(other);
        assert!(receive.recv().await.expect("its end").is_empty());
    });
}

#[test]
fn an_end_that_goes_with_bytes_unread_is_a_reset_for_the_other() {
    on_both(|| async {
        let (mut one, other) = UnixStream::pair().expect("descriptors");
        one.write_all("unread").await.0.expect("open");
        drop(other);
        let error = one.recv().await.expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = one.write_all("more").await.0.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn who_will_not_be_read_may_not_write() {
    on_both(|| async {
        let (mut one, mut other) = UnixStream::pair().expect("descriptors");
        other.shutdown(Shutdown::Read).await.expect("open");
        let error = one.write_all("x").await.0.expect_err("it will not be read");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        other.write_all("still").await.0.expect("open in this direction");
        assert_eq!(&*one.recv().await.expect("open"), b"still");
    });
}

#[test]
fn limits_are_kept_and_a_read_that_was_given_up_does_not_shorten_the_next() {
    const LIMIT: Duration = Duration::from_secs(10);
    on_both(|| async {
        let (mut one, mut other) = UnixStream::pair().expect("descriptors");
        one.set_read_timeout(Some(LIMIT));
        let short = Duration::from_secs(8);
        let given_up = timeout(short, one.read(Vec::with_capacity(4))).await;
        given_up.expect_err("nobody writes");
        let start = now();
        let (result, buffer) = one.read(Vec::with_capacity(4)).await;
        assert_eq!(result.expect_err("nobody writes").kind(), ErrorKind::TimedOut);
        assert_eq!(buffer.capacity(), 4, "the buffer comes back");
        assert_eq!(now() - start, LIMIT, "the limit begins with the wait");
        other.set_write_timeout(Some(LIMIT));
        let (result, buffer) = other.write_all(vec![1; 4 << 20]).await;
        assert_eq!(result.expect_err("nobody reads").kind(), ErrorKind::TimedOut);
        assert_eq!(buffer.len(), 4 << 20);
    });
}

#[test]
fn large_data_goes_both_ways_at_once() {
    on_both(|| async {
        let (one, other) = UnixStream::pair().expect("descriptors");
        let ends = [one, other].map(|stream| {
            spawn(async move {
                let (mut receive, mut send) = stream.into_split();
                let bytes: Vec<u8> = (0..300_000u32).map(|at| (at * 31) as u8).collect();
                let sent = bytes.clone();
                let sending = spawn(async move {
                    send.write_all(sent).await.0.expect("open");
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
                sending.await.expect("no panic");
                assert!(got == bytes, "mangled");
            })
        });
        for end in ends {
            end.await.expect("no panic");
        }
    });
}

#[test]
fn the_kernel_tells_who_is_at_the_other_end() {
    on_both(|| async {
        let (one, _other) = UnixStream::pair().expect("descriptors");
        let who = one.peer_cred().expect("a Unix socket");
        assert_eq!(who.pid, std::process::id() as i32);
        let me = std::fs::metadata("/proc/self").expect("/proc is mounted");
        let (uid, gid) = {
            use std::os::unix::fs::MetadataExt;
            (me.uid(), me.gid())
        };
        assert_eq!((who.uid, who.gid), (uid, gid));
    });
}

#[test]
fn a_stream_that_somebody_else_has_made_works_in_non_blocking_mode_too() {
    run_limited(async {
        let (plain, other) = std::os::unix::net::UnixStream::pair().expect("descriptors");
        plain.set_nonblocking(true).expect("a socket");
        let mut one = UnixStream::from_owned_fd(plain.into());
        let mut other = UnixStream::from_owned_fd(other.into());
        let later = async {
            uring_loop::yield_now().await;
            other.write_all("late").await.0.expect("open");
        };
        let ((count, buffer), ()) = join!(one.read(Vec::with_capacity(9)), later);
        assert_eq!((count.expect("open"), &*buffer), (4, &b"late"[..]));
        let reading = async { receive_all(&mut other).await.len() };
        let writing = async {
            one.write_all(vec![7; 2 << 20]).await.0.expect("open");
            one.shutdown(Shutdown::Both).await.expect("open");
        };
        assert_eq!(join!(reading, writing).0, 2 << 20);
    });
}

#[test]
fn a_unix_connect_that_ends_early_closes_its_socket() {
    every_point(opcode::CONNECT, |config, faults, turns, end| {
        if end == End::Forget {
            return; // The socket is in the future that was forgotten, as any value would be.
        }
        let peer = on_sim(config, |sim| async move {
            inflict(&sim, &faults);
            let outside = sim.peer_listen_unix("/run/some.sock").expect("free");
            let stream = run_for(UnixStream::connect("/run/some.sock"), turns, end).await;
            drop(stream.map(|stream| stream.expect("it listens")));
            uring_loop::time::sleep(Duration::from_secs(1)).await;
            outside.accept()
        });
        if let Some(peer) = peer {
            assert!(peer.ended() || peer.was_reset(), "the connection is open");
        }
    });
}

#[test]
fn a_connect_that_fails_by_script_leaves_nothing() {
    for errno in [libc::EAGAIN, libc::ECONNREFUSED, libc::EACCES] {
        on_sim(SimConfig::seeded(3), |sim| async move {
            let _outside = sim.peer_listen_unix("/run/some.sock").expect("free");
            sim.next(opcode::CONNECT, Fault::Fail(errno));
            let error = UnixStream::connect("/run/some.sock").await.expect_err("it fails");
            assert_eq!(error.kind(), std::io::Error::from_raw_os_error(errno).kind());
        });
    }
}
