//! Connecting to one of several addresses: order, pace, winners, losers, limits. On the simulated
//! kernel, where time is exact and every socket left open is found.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use uring_loop::Builder;
use uring_loop::net::TcpStream;
use uring_loop::testing::{Fault, SimConfig, SimHandle, opcode};
use uring_loop::time::{now, sleep};

use crate::drops::{End, every_point, inflict, run_for};
use crate::support::{on_sim_with, small};

const STAGGER: Duration = Duration::from_millis(250);
const V6: &str = "[2001:db8::1]:80";
const OTHER_V6: &str = "[2001:db8::2]:80";
const V4: &str = "10.0.0.1:80";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A loop that knows one name, `name`, with these addresses.
fn knowing(addresses: &[&str]) -> Builder {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|text| address(text)).collect();
    small().resolve_with(move |_: &str| Ok::<_, io::Error>(addresses.clone()))
}

#[track_caller]
fn on<M, F>(addresses: &[&str], make: M) -> F::Output
where
    M: FnOnce(SimHandle) -> F,
    F: Future,
{
    let config = SimConfig { connect_turns: 0, ..SimConfig::seeded(1) };
    on_sim_with(knowing(addresses), config, make).0
}

#[test]
fn a_silent_address_costs_a_quarter_of_a_second() {
    on(&[V6, V4], |sim| async move {
        sim.black_hole(address(V6));
        let outside = sim.peer_listen(address(V4)).expect("free");
        let start = now();
        let stream = TcpStream::connect("name:80").await.expect("the other family answers");
        assert_eq!(now() - start, STAGGER);
        assert_eq!(stream.peer_addr().expect("connected"), address(V4));
        drop(outside.accept().expect("it has connected"));
    });
}

#[test]
fn a_refusal_lets_the_next_begin_at_once() {
    on(&[V6, OTHER_V6, V4], |sim| async move {
        let outside = sim.peer_listen(address(OTHER_V6)).expect("free");
        let start = now();
        let stream = TcpStream::connect("name:80").await.expect("the last one answers");
        assert_eq!(now(), start);
        assert_eq!(stream.peer_addr().expect("connected"), address(OTHER_V6));
        drop(outside);
    });
}

#[test]
fn the_first_address_wins_if_it_answers_before_the_next_begins() {
    on(&[V6, V4], |sim| async move {
        let (first, second) = (sim.peer_listen(address(V6)), sim.peer_listen(address(V4)));
        let latency = STAGGER - Duration::from_nanos(1);
        sim.next(opcode::CONNECT, Fault::Latency(latency.as_nanos() as u64));
        let stream = TcpStream::connect("name:80").await.expect("it answers");
        assert_eq!(stream.peer_addr().expect("connected"), address(V6));
        assert!(second.expect("free").accept().is_none(), "it was not asked");
        drop(first);
    });
}

#[test]
fn of_two_that_answer_in_one_turn_one_is_closed() {
    let (first, second) = on(&[V6, V4], |sim| async move {
        let first = sim.peer_listen(address(V6)).expect("free");
        let second = sim.peer_listen(address(V4)).expect("free");
        sim.next(opcode::CONNECT, Fault::Latency(300_000_000));
        sim.next(opcode::CONNECT, Fault::Latency(50_000_000));
        let stream = TcpStream::connect("name:80").await.expect("both answer");
        assert_eq!(
            stream.peer_addr().expect("connected"),
            address(V6),
            "the first is looked at first"
        );
        sleep(Duration::from_secs(1)).await;
        let ends = (first.accept().expect("connected"), second.accept().expect("connected"));
        assert!(!ends.0.ended(), "the winner is open");
        assert!(ends.1.ended() || ends.1.was_reset(), "the loser is closed");
        ends
    });
    drop((first, second));
}

#[test]
fn a_late_winner_beats_those_that_began_after_it() {
    on(&[V6, V4, OTHER_V6], |sim| async move {
        let outside = sim.peer_listen(address(V6)).expect("free");
        sim.black_hole(address(V4));
        sim.black_hole(address(OTHER_V6));
        sim.next(opcode::CONNECT, Fault::Latency(600_000_000));
        let start = now();
        let stream = TcpStream::connect("name:80").await.expect("it answers in the end");
        assert_eq!(now() - start, Duration::from_millis(600));
        assert_eq!(stream.peer_addr().expect("connected"), address(V6));
        drop(outside);
    });
}

#[test]
fn an_error_lists_every_address_in_the_order_of_trying() {
    on(&[V6, OTHER_V6, V4], |sim| async move {
        sim.next(opcode::CONNECT, Fault::Fail(libc::ENETUNREACH));
        let error = TcpStream::connect("name:80").await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        let places: Vec<usize> = [V6, V4, OTHER_V6]
            .iter()
            .map(|address| text.find(address).expect("every address is named"))
            .collect();
        assert!(places.is_sorted(), "the families take turns: {text}");
        assert!(text.starts_with("connecting to name:80: "), "{text}");
        let error = TcpStream::connect(address(V4)).await.expect_err("nobody listens");
        assert!(error.to_string().starts_with(&format!("connecting to {V4}: ")), "{error}");
    });
    on(&[], |_| async {
        let error = TcpStream::connect("name:80").await.expect_err("no address");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_limit_ends_all_attempts_together() {
    on(&[V6, V4], |sim| async move {
        sim.black_hole(address(V6));
        sim.black_hole(address(V4));
        let (start, limit) = (now(), Duration::from_secs(3));
        let error = TcpStream::connect_timeout("name:80", limit).await.expect_err("silence");
        assert_eq!((error.kind(), now() - start), (ErrorKind::TimedOut, limit));
        assert_eq!(error.to_string(), "connecting to name:80: no answer within 3s");
        let error = TcpStream::connect_timeout(address(V4), limit).await.expect_err("silence");
        assert_eq!(error.to_string(), format!("connecting to {V4}: no answer within 3s"));
    });
}

#[test]
fn without_descriptors_the_next_address_fares_no_better() {
    let config = SimConfig { descriptors: 0, ..SimConfig::seeded(1) };
    on_sim_with(knowing(&[V6, V4]), config, |_| async {
        let error = TcpStream::connect("name:80").await.expect_err("no descriptor");
        assert_eq!(error.to_string().matches("os error 24").count(), 2, "{error}");
    });
}

#[test]
fn a_race_that_ends_early_closes_all_its_sockets() {
    every_point(opcode::CONNECT, |config, faults, turns, end| {
        if end == End::Forget {
            return; // The sockets are in the future that was forgotten.
        }
        let peers = on_sim_with(knowing(&[V6, V4]), config, |sim| async move {
            let first = sim.peer_listen(address(V6)).expect("free");
            let second = sim.peer_listen(address(V4)).expect("free");
            if turns % 2 == 0 {
                sim.next(opcode::CONNECT, Fault::Fail(libc::EHOSTUNREACH));
            }
            inflict(&sim, &faults);
            let stream = run_for(TcpStream::connect("name:80"), turns, end).await;
            drop(stream.map(|stream| stream.expect("somebody answers")));
            sleep(Duration::from_secs(1)).await;
            [first.accept(), second.accept()]
        });
        for peer in peers.0.into_iter().flatten() {
            assert!(peer.ended() || peer.was_reset(), "a connection is left open");
        }
    });
}
