//! Descriptors that travel over Unix streams: they arrive, and none is leaked, whatever ends
//! early. Real descriptors travel on the simulated ring too, so what is counted is this process's.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use futures_util::join;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use uring_loop::net::{TcpListener, TcpStream, UnixStream};
use uring_loop::spawn;
use uring_loop::testing::{Fault, SimConfig, opcode};
use uring_loop::time::sleep;

use crate::drops::{End, every_point, inflict, run_for};
use crate::net_unix::on_both;
use crate::support::{in_child, on_sim, open_descriptors, run_limited, sockets_receive_ahead};

/// A file with these bytes, to be read from its beginning.
fn file(bytes: &str) -> File {
    let mut file = tempfile::tempfile().expect("a place for temporary files");
    file.write_all(bytes.as_bytes()).expect("room");
    file.rewind().expect("a file");
    file
}

fn text(fd: OwnedFd) -> String {
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text).expect("a file");
    text
}

fn close_on_exec(fd: impl AsFd) -> bool {
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).expect("open");
    flags & libc::FD_CLOEXEC != 0
}

/// How many descriptors are open once a loop has run: what it made for good, the bell of a door,
/// is among them.
fn settled_descriptors() -> usize {
    on_both(|| async {});
    open_descriptors()
}

#[test]
fn descriptors_arrive_with_the_first_byte_of_theirs() {
    on_both(|| async {
        let (mut one, mut other) = UnixStream::pair().expect("descriptors");
        one.write_all("plain ").await.0.expect("open");
        let sent = vec![file("one"), file("two")];
        let (result, buffer, sent) = one.send_with_fds("with two", sent).await;
        result.expect("open");
        assert_eq!((buffer, sent.len()), ("with two", 2), "everything comes back");
        one.write_all(" after").await.0.expect("open");
        let (first, buffer) = other.recv_with_fds(Vec::with_capacity(99), 8).await;
        let first = first.expect("open");
        assert_eq!(&*buffer, b"plain with two", "it stops where theirs end");
        assert_eq!((first.count, first.truncated), (14, false));
        assert!(first.fds.iter().all(close_on_exec));
        let texts: Vec<String> = first.fds.into_iter().map(text).collect();
        assert_eq!(texts, ["one", "two"]);
        let (rest, buffer) = other.recv_with_fds(Vec::with_capacity(99), 8).await;
        assert_eq!((rest.expect("open").fds.len(), &*buffer), (0, &b" after"[..]));
    });
}

#[test]
fn a_connection_is_handed_over() {
    run_limited(async {
        let (mut one, mut other) = UnixStream::pair().expect("descriptors");
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let (server, client) = join!(listener.accept(), TcpStream::connect(address));
        let (server, mut client) = (server.expect("accepted"), client.expect("connected"));
        let (result, _, handed) = one.send_with_fds("c", vec![server]).await;
        result.expect("open");
        drop(handed);
        let (received, _) = other.recv_with_fds([0; 1], 1).await;
        let fd = received.expect("open").fds.pop().expect("it came along");
        let mut server = TcpStream::from_owned_fd(fd);
        client.write_all("hello").await.0.expect("open");
        assert_eq!(&*server.recv().await.expect("open"), b"hello");
        assert_eq!(server.peer_addr().ok(), client.local_addr().ok());
    });
}

#[test]
fn a_large_buffer_carries_its_descriptors_once() {
    on_both(|| async {
        let (mut one, mut other) = UnixStream::pair().expect("descriptors");
        let shared = Rc::new(file("shared"));
        let sending = spawn({
            let shared = shared.clone();
            async move { one.send_with_fds(vec![5; 1 << 20], vec![shared]).await.0 }
        });
        let (mut bytes, mut fds) = (0, Vec::new());
        while bytes < 1 << 20 {
            let (received, _) = other.recv_with_fds(Vec::with_capacity(50_000), 4).await;
            let received = received.expect("open");
            assert!(received.count > 0 && !received.truncated);
            bytes += received.count;
            fds.extend(received.fds);
        }
        sending.await.expect("no panic").expect("open");
        assert_eq!((bytes, fds.len()), (1 << 20, 1));
        assert_eq!(Rc::strong_count(&shared), 1, "the operation has let go of it");
    });
}

#[test]
fn what_has_no_room_is_closed_and_told() {
    in_child("net_unix_fds::what_has_no_room_is_closed_and_told", || {
        let before = settled_descriptors();
        on_both(|| async {
            let (mut one, mut other) = UnixStream::pair().expect("descriptors");
            let sent = vec![file("one"), file("two"), file("three")];
            one.send_with_fds("x", sent).await.0.expect("open");
            let (received, _) = other.recv_with_fds([0; 4], 1).await;
            let received = received.expect("open");
            assert_eq!((received.count, received.fds.len()), (1, 1));
            assert!(received.truncated);
            // Who asks for none, or does not ask at all, gets none.
            one.send_with_fds("y", vec![file("four")]).await.0.expect("open");
            let (received, _) = other.recv_with_fds([0; 4], 0).await;
            assert!(received.expect("open").truncated);
            one.send_with_fds("z", vec![file("five")]).await.0.expect("open");
            assert_eq!(&*other.recv().await.expect("open"), b"z");
        });
        assert_eq!(open_descriptors(), before, "descriptors are leaked");
    });
}

#[test]
fn a_full_table_of_descriptors_costs_the_descriptors_only() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let (mut one, mut other) = UnixStream::pair().expect("descriptors");
        one.send_with_fds("x", vec![file("lost")]).await.0.expect("open");
        sim.next(opcode::RECVMSG, Fault::NoDescriptor);
        let (received, buffer) = other.recv_with_fds([0; 4], 4).await;
        let received = received.expect("the bytes arrive");
        assert_eq!((received.count, buffer[0], received.fds.len()), (1, b'x', 0));
        assert!(received.truncated);
    });
    in_child("net_unix_fds::a_full_table_of_descriptors_costs_the_descriptors_only", || {
        run_limited(async {
            let (mut one, mut other) = UnixStream::pair().expect("descriptors");
            one.send_with_fds("x", vec![file("lost")]).await.0.expect("open");
            let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("known");
            setrlimit(Resource::RLIMIT_NOFILE, 3, hard).expect("lower");
            let (received, buffer) = other.recv_with_fds([0; 4], 4).await;
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("as before");
            let received = received.expect("the bytes arrive");
            assert_eq!((received.count, buffer[0], received.fds.len()), (1, b'x', 0));
            assert!(received.truncated);
            one.send_with_fds("y", vec![file("again")]).await.0.expect("open");
            let (received, _) = other.recv_with_fds([0; 4], 4).await;
            let fd = received.expect("open").fds.pop().expect("there is room again");
            assert_eq!(text(fd), "again");
        });
    });
}

#[test]
fn a_use_that_would_lose_descriptors_is_refused() {
    let ahead = sockets_receive_ahead();
    on_both(|| async move {
        let (mut one, mut other) = UnixStream::pair().expect("descriptors");
        let refused = |error: std::io::Error| {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            error.to_string()
        };
        let (result, _, back) = one.send_with_fds("", vec![file("x")]).await;
        assert!(refused(result.expect_err("no byte")).contains("at least one"));
        assert_eq!(back.len(), 1);
        let shared = Rc::new(file("x"));
        let (result, _, _) = one.send_with_fds("x", vec![shared; 254]).await;
        assert!(refused(result.expect_err("too many")).starts_with("254 descriptors"));
        let (result, _) = other.recv_with_fds([0; 4], 254).await;
        assert!(refused(result.expect_err("too many")).starts_with("254 descriptors"));
        let (result, _) = other.recv_with_fds(Vec::new(), 1).await;
        refused(result.expect_err("no room"));
        one.write_all("hello").await.0.expect("open");
        assert_eq!(&*other.recv().await.expect("open"), b"hello");
        if !ahead {
            return; // Nothing is lost then.
        }
        let (result, _) = other.recv_with_fds([0; 4], 1).await;
        assert!(refused(result.expect_err("it receives ahead")).contains("recv_with_fds"));
    });
}

#[test]
fn a_receive_of_descriptors_that_ends_early_closes_them() {
    in_child("net_unix_fds::a_receive_of_descriptors_that_ends_early_closes_them", || {
        let before = settled_descriptors();
        every_point(opcode::RECVMSG, |config, faults, turns, end| {
            if end == End::Forget {
                return; // A forgotten operation keeps for good what it has received.
            }
            on_sim(config, |sim| async move {
                inflict(&sim, &faults);
                let (mut one, mut other) = UnixStream::pair().expect("descriptors");
                let receiving = spawn(async move {
                    drop(run_for(other.recv_with_fds([0; 4], 2), turns, end).await);
                    other
                });
                one.send_with_fds("x", vec![file("lost")]).await.0.expect("open");
                drop(receiving.await.expect("no panic"));
            });
            assert_eq!(open_descriptors(), before, "{turns} turns, then {end:?}");
        });
        // The same on the real ring, which cannot be told when to complete.
        for turns in 0..6 {
            run_limited(async {
                let (mut one, mut other) = UnixStream::pair().expect("descriptors");
                let receiving = spawn(async move {
                    drop(run_for(other.recv_with_fds([0; 4], 2), turns, End::Drop).await);
                    other
                });
                one.send_with_fds("x", vec![file("lost")]).await.0.expect("open");
                drop(receiving.await.expect("no panic"));
            });
            assert_eq!(open_descriptors(), before, "real, {turns} turns");
        }
    });
}

#[test]
fn a_send_of_descriptors_that_ends_early_keeps_them_open_until_the_kernel_lets_go() {
    in_child(
        "net_unix_fds::\
         a_send_of_descriptors_that_ends_early_keeps_them_open_until_the_kernel_lets_go",
        || {
            settled_descriptors();
            every_point(opcode::SENDMSG, |config, faults, turns, end| {
                let before = open_descriptors();
                let config = SimConfig { send_buffer: 4, ..config };
                on_sim(config, |sim| async move {
                    let (mut one, mut other) = UnixStream::pair().expect("descriptors");
                    // The way is full: the send waits.
                    one.write_all("full").await.0.expect("room");
                    inflict(&sim, &faults);
                    let send = one.send_with_fds("x", vec![file("sent")]);
                    drop(run_for(send, turns, end).await);
                    assert_eq!(other.read([0; 4]).await.0.expect("open"), 4);
                    sleep(Duration::from_millis(1)).await;
                    drop(one);
                    // It was sent in the end, or it was not.
                    let (received, _) = other.recv_with_fds([0; 4], 1).await;
                    let received = received.expect("open");
                    assert_eq!(received.fds.len(), received.count);
                    for fd in received.fds {
                        assert_eq!(text(fd), "sent");
                    }
                });
                // What was forgotten keeps its file for good, and its loop's memory.
                if end != End::Forget {
                    assert_eq!(open_descriptors(), before, "{turns} turns, then {end:?}");
                }
            });
        },
    );
}
