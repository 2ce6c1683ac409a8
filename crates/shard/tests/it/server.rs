//! Servers: who accepts, who gets it, limits, drains, and connections that move.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use shard::{Accept, Connection, Ended, Listener, Served, Server, Shard, Shards, Wake};

use crate::{eventually, guarded, seats};

const LONG: Duration = Duration::from_secs(100);

/// Answers each byte with the index of its shard; `m` moves the connection to the next one, `q` is
/// answered late.
async fn tell(mut connection: Connection) {
    let mut moved: u8 = connection.carried().unwrap_or(0);
    loop {
        match connection.readable().await {
            Ok(Wake::Readable) => {}
            _ => return,
        }
        let (count, bytes) = connection.read(Vec::with_capacity(1)).await;
        if !matches!(count, Ok(1..)) {
            return;
        }
        if bytes[0] == b'q' {
            uring_loop::time::sleep(Duration::from_millis(50)).await;
        }
        let shard = Shard::current();
        let answer = vec![b'0' + shard.index() as u8, b'0' + moved];
        if connection.write_all(answer).await.0.is_err() {
            return;
        }
        if bytes[0] == b'm' {
            moved += 1;
            let next = (shard.index() + 1) % shard.count();
            match connection.migrate(next, moved).await {
                Ok(()) | Err((_, None)) => return,
                Err((_, Some(back))) => connection = back,
            }
        }
    }
}

struct Running {
    shards: Shards<Served>,
    listener: Listener,
    address: SocketAddr,
}

fn start(count: usize, accept: Accept, tune: fn(Server) -> Server) -> Running {
    let listener = Listener::bind("127.0.0.1:0", count, accept).expect("bound");
    let (address, clone) = (listener.local_addr().expect("bound"), listener.clone());
    let shards = Shards::builder()
        .cpus(seats(count))
        .spawn(move |shard| async move { tune(Server::new(clone)).serve(&shard, tell).await });
    Running { shards: shards.expect("shards start"), listener, address }
}

fn ask(client: &mut TcpStream, what: u8) -> io::Result<[u8; 2]> {
    client.write_all(&[what])?;
    let mut answer = [0; 2];
    client.read_exact(&mut answer)?;
    Ok(answer)
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("somebody listens")
}

fn total(ends: Vec<Ended<Served>>) -> Served {
    let mut sum = Served::default();
    for served in ends.into_iter().filter_map(Ended::returned) {
        sum.accepted += served.accepted;
        sum.handed += served.handed;
        sum.aborted += served.aborted;
    }
    sum
}

#[test]
fn every_policy_answers_everybody_and_counts_well() {
    for accept in [Accept::ReusePort, Accept::LeastLoaded, Accept::Balanced] {
        guarded(move || {
            let Running { shards, listener, address } = start(3, accept, |server| server);
            let clients: Vec<_> = (0..20)
                .map(|_| {
                    thread::spawn(move || {
                        for _ in 0..5 {
                            let mut client = connect(address);
                            for _ in 0..5 {
                                ask(&mut client, b'a').expect("an answer");
                            }
                        }
                    })
                })
                .collect();
            clients.into_iter().for_each(|client| client.join().expect("no panic"));
            eventually("all have ended", || (0..3).all(|shard| listener.connections(shard) == 0));
            let served = total(shards.shutdown(LONG).expect("nothing fails"));
            assert_eq!((served.accepted, served.aborted), (100, 0), "{accept:?}");
            if accept == Accept::ReusePort {
                assert_eq!(served.handed, 0);
            }
        });
    }
}

#[test]
fn the_least_loaded_gets_the_next_so_that_long_connections_are_even() {
    guarded(|| {
        let Running { shards, listener, address } = start(3, Accept::LeastLoaded, |server| server);
        let mut clients: Vec<_> = (0..30).map(|_| connect(address)).collect();
        let mut on = [0; 3];
        for client in &mut clients {
            let [shard, _] = ask(client, b'a').expect("an answer");
            on[usize::from(shard - b'0')] += 1;
        }
        let counted: Vec<_> = (0..3).map(|shard| listener.connections(shard)).collect();
        assert_eq!(counted, on, "what is counted is what is there");
        // A loaded machine makes queues that weigh too; without them it is ten each.
        assert!(on.iter().all(|count| *count >= 5), "{on:?}");
        drop(clients);
        eventually("all have ended", || (0..3).all(|shard| listener.connections(shard) == 0));
        let served = total(shards.shutdown(LONG).expect("nothing fails"));
        assert_eq!(served.accepted, 30);
        assert!(served.handed >= 10, "{served:?}");
    });
}

#[test]
fn a_shard_that_is_full_lets_connections_wait_until_one_ends() {
    guarded(|| {
        let Running { shards, listener, address } =
            start(1, Accept::ReusePort, |server| server.limit(2));
        let (mut one, mut two, mut three) = (connect(address), connect(address), connect(address));
        ask(&mut one, b'a').expect("an answer");
        ask(&mut two, b'a').expect("an answer");
        three.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        assert!(ask(&mut three, b'a').is_err(), "there is no room");
        assert_eq!(listener.connections(0), 2);
        drop(one);
        three.set_read_timeout(None).expect("set");
        let mut answer = [0; 2];
        three.read_exact(&mut answer).expect("its request waited");
        assert_eq!(&answer, b"00");
        drop((two, three));
        shards.shutdown(LONG).expect("nothing fails");
    });
}

#[test]
fn shards_that_are_all_full_let_connections_wait_too() {
    guarded(|| {
        let Running { shards, address, .. } =
            start(2, Accept::LeastLoaded, |server| server.limit(1));
        let (mut one, mut two, mut three) = (connect(address), connect(address), connect(address));
        let answers = [ask(&mut one, b'a'), ask(&mut two, b'a')].map(|got| got.expect("answered"));
        assert_ne!(answers[0], answers[1], "one each");
        three.write_all(b"a").expect("it is queued");
        drop(two);
        let mut answer = [0; 2];
        three.read_exact(&mut answer).expect("there is room again");
        assert_eq!(answer, answers[1]);
        drop((one, three));
        shards.shutdown(LONG).expect("nothing fails");
    });
}

#[test]
fn an_idle_connection_moves_from_shard_to_shard_with_what_it_carries() {
    guarded(|| {
        let Running { shards, listener, address } = start(3, Accept::LeastLoaded, |server| server);
        let mut client = connect(address);
        let [first, moved] = ask(&mut client, b'm').expect("an answer");
        assert_eq!(moved, b'0');
        for round in 1..50_u8 {
            // Sometimes the next request is there before the connection is.
            let [shard, moved] = ask(&mut client, b'm').expect("an answer");
            assert_eq!(shard, b'0' + (first - b'0' + round) % 3);
            assert_eq!(moved, b'0' + round);
        }
        let count = || (0..3).map(|shard| listener.connections(shard)).sum::<usize>();
        eventually("it is counted once", || count() == 1);
        drop(client);
        eventually("it has ended", || count() == 0);
        let served = total(shards.shutdown(LONG).expect("nothing fails"));
        assert_eq!(served.accepted, 1);
    });
}

#[test]
fn a_drain_ends_idle_connections_at_once_and_lets_requests_finish() {
    guarded(|| {
        let Running { shards, address, .. } =
            start(2, Accept::ReusePort, |server| server.drain(LONG));
        let (mut idle, mut busy) = (connect(address), connect(address));
        ask(&mut idle, b'a').expect("an answer");
        ask(&mut busy, b'a').expect("an answer");
        busy.write_all(b"q").expect("sent");
        let stopper = shards.stopper();
        // On its way or there: a request that has come is answered.
        stopper.stop(LONG * 2);
        let mut answer = [0; 2];
        busy.read_exact(&mut answer).expect("it is finished");
        assert_eq!(idle.read(&mut answer).expect("no reset"), 0, "the end");
        assert_eq!(busy.read(&mut answer).expect("no reset"), 0, "the end");
        let served = total(shards.join().expect("nothing fails"));
        assert_eq!((served.accepted, served.aborted), (2, 0));
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    });
}

#[test]
fn connections_that_wait_to_be_accepted_when_a_drain_begins_are_served() {
    guarded(|| {
        let Running { shards, address, .. } =
            start(1, Accept::ReusePort, |server| server.limit(1).drain(LONG));
        let mut there = connect(address);
        ask(&mut there, b'a').expect("an answer");
        let (mut waits, mut silent) = (connect(address), connect(address));
        waits.write_all(b"a").expect("it is queued");
        shards.stopper().stop(LONG * 2);
        let mut answer = [0; 2];
        waits.read_exact(&mut answer).expect("it is served, limit or not");
        // What is asked late is answered too, if it is the first.
        ask(&mut silent, b'a').expect("an answer");
        assert_eq!(silent.read(&mut answer).expect("no reset"), 0, "the end");
        let served = total(shards.join().expect("nothing fails"));
        assert_eq!((served.accepted, served.aborted), (3, 0));
    });
}

#[test]
fn connections_that_outlive_the_drain_are_aborted() {
    guarded(|| {
        let listener = Listener::bind("127.0.0.1:0", 1, Accept::ReusePort).expect("bound");
        let address = listener.local_addr().expect("bound");
        let shards = Shards::builder().cpus(seats(1)).spawn(move |shard| async move {
            let brief = Duration::from_millis(20);
            let stubborn = |connection: Connection| async move {
                let (_stream, seat) = connection.into_stream();
                seat.draining().await;
                assert!(seat.is_draining());
                std::future::pending::<()>().await;
            };
            Server::new(listener).drain(brief).serve(&shard, stubborn).await
        });
        let shards = shards.expect("shards start");
        let mut client = connect(address);
        thread::sleep(Duration::from_millis(20));
        let served = total(shards.shutdown(LONG).expect("nothing fails"));
        assert_eq!((served.accepted, served.aborted), (1, 1));
        assert_eq!(client.read(&mut [0; 1]).expect("closed in order"), 0);
    });
}

#[test]
fn a_panic_in_a_service_ends_its_own_connection_alone() {
    guarded(|| {
        let listener = Listener::bind("127.0.0.1:0", 1, Accept::ReusePort).expect("bound");
        let (address, counts) = (listener.local_addr().expect("bound"), listener.clone());
        let shards = Shards::builder().cpus(seats(1)).spawn(move |shard| async move {
            let first = std::cell::Cell::new(true);
            let service = move |connection: Connection| {
                assert!(!first.replace(false), "in the call, not in the future");
                tell(connection)
            };
            Server::new(listener).serve(&shard, service).await
        });
        let shards = shards.expect("shards start");
        let mut unlucky = connect(address);
        assert_eq!(unlucky.read(&mut [0; 1]).expect("closed in order"), 0);
        ask(&mut connect(address), b'a').expect("others are served");
        eventually("none is counted", || counts.connections(0) == 0);
        shards.shutdown(LONG).expect("nothing fails");
    });
}

#[test]
fn servers_that_make_no_sense_are_refused() {
    guarded(|| {
        let listener = Listener::bind("127.0.0.1:0", 2, Accept::ReusePort).expect("bound");
        let failure = Shards::builder()
            .cpus(seats(1))
            .spawn(|shard| async move { Server::new(listener).serve(&shard, tell).await });
        let failure = failure.expect("shards start").join().expect_err("for two shards");
        let text = failure.to_string();
        assert!(text.contains("a listener for 2 shards in a group of 1"), "{text}");
    });
}

#[test]
fn a_shard_that_begins_anew_serves_on_with_the_socket_it_had() {
    guarded(|| {
        let listener = Listener::bind("127.0.0.1:0", 1, Accept::ReusePort).expect("bound");
        let address = listener.local_addr().expect("bound");
        let (ended, has_ended) = channel();
        let shards = Shards::builder()
            .cpus(seats(1))
            .on_panic(shard::Restart::new())
            .observe(move |_| ended.send(()).expect("the test waits"))
            .spawn(move |shard| async move {
                let server = Server::new(listener);
                if shard.incarnation() == 0 {
                    let served = server.serve(&shard, tell);
                    let _ = uring_loop::time::timeout(Duration::from_millis(30), served).await;
                    panic!("the end of the first life");
                }
                server.serve(&shard, tell).await
            })
            .expect("shards start");
        has_ended.recv().expect("the first life ends");
        // It waits in the socket, whoever accepts there.
        ask(&mut connect(address), b'a').expect("the second life answers");
        shards.shutdown(LONG).expect("it is well in the end");
    });
}

/// The limit of descriptors belongs to the whole process, so this needs one of its own.
#[test]
fn want_of_descriptors_stops_accepting_for_a_while_and_nothing_else() {
    let own = std::env::current_exe().expect("it runs");
    let output = Command::new(own)
        .args(["--exact", "server::in_want_of_descriptors", "--ignored", "--nocapture"])
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "lowers the limit of descriptors: want_of_descriptors_… runs it in a child"]
fn in_want_of_descriptors() {
    guarded(|| {
        let Running { shards, listener, address } = start(2, Accept::LeastLoaded, |server| server);
        let mut first = connect(address);
        ask(&mut first, b'a').expect("an answer");
        let mut clients: Vec<_> = (0..20).map(|_| connect(address)).collect();
        for client in &mut clients {
            ask(client, b'a').expect("an answer");
        }
        let open = std::fs::read_dir("/proc/self/fd").expect("proc").count() as u64;
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it can be read");
        // Room for clients' ends, but not for as many on the server's side.
        setrlimit(Resource::RLIMIT_NOFILE, open + 9, hard).expect("lowered");
        let mut more: Vec<_> = (0..6).map(|_| connect(address)).collect();
        more.iter_mut().for_each(|client| client.write_all(b"a").expect("it is queued"));
        thread::sleep(Duration::from_millis(100));
        ask(&mut first, b'a').expect("those that are there are served");
        assert!(listener.connections(0) + listener.connections(1) < 27, "there is no room for all");
        clients.clear();
        for client in &mut more {
            client.read_exact(&mut [0; 2]).expect("descriptors are back");
        }
        drop((first, more));
        shards.shutdown(LONG).expect("nothing fails");
    });
}
