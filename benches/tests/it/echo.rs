//! Echo: every byte, in order, whoever asks.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use benches::load::{self, Before, Client, Exchange, Plan};

use crate::{SERVERS, start};

const FLOOR: &str = env!("CARGO_BIN_EXE_echo_floor");
const OURS: &str = env!("CARGO_BIN_EXE_echo_ours");
const EPOLL: &str = env!("CARGO_BIN_EXE_echo_epoll");

fn plan(server: SocketAddr, client: Client) -> Plan {
    Plan {
        connections: 20,
        exchange: Exchange::Echo(100),
        depth: 3,
        warm_up: Duration::from_millis(20),
        duration: Duration::from_millis(80),
        core: 0,
        client,
        spin: false,
        server,
    }
}

fn check(program: &str, plan: &Plan) {
    let outcome = load::run(plan, || ()).unwrap_or_else(|error| panic!("{program}: {error:#}"));
    assert!(outcome.requests > 0 && outcome.latency.len() == outcome.requests, "{outcome:?}");
}

#[test]
fn every_server_answers_both_load_makers() {
    for program in SERVERS {
        let server = start(program, &[]);
        check(program, &plan(server.address, Client::Epoll));
        check(program, &plan(server.address, Client::Uring));
    }
}

fn large(plan: Plan) -> Plan {
    Plan { exchange: Exchange::Echo(40_000), depth: 2, ..plan }
}

#[test]
fn messages_larger_than_the_servers_buffer_come_back_whole() {
    for program in SERVERS {
        let server = start(program, &["--buffer=1000"]);
        check(program, &large(plan(server.address, Client::Epoll)));
        check(program, &large(plan(server.address, Client::Uring)));
    }
}

#[test]
fn the_floor_with_fewer_buffers_than_connections_starves_nobody() {
    for options in [["--buffers=2", "--batch=1"], ["--buffers=2", "--direct"]] {
        let server = start(FLOOR, &options);
        check(FLOOR, &plan(server.address, Client::Uring));
    }
}

#[test]
fn a_silent_connection_costs_the_others_nothing() {
    for program in SERVERS {
        let server = start(program, &[]);
        let _silent = load::settle(server.address, 50, Before { messages: 1, size: 64 }).unwrap();
        check(program, &plan(server.address, Client::Epoll));
    }
}

/// Sends all before it reads anything, so that the server meets a full socket.
fn exchange_under_pressure(server: SocketAddr, length: usize) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sent: Vec<u8> = (0..length).map(|i| (i / 7 % 251) as u8).collect();
    let expected = sent.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    // The sender blocks on full sockets by now; nothing is asserted of the time.
    std::thread::sleep(Duration::from_millis(100));
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    assert!(received == expected, "{} of {length} bytes came back", received.len());
}

#[test]
fn a_client_that_reads_late_gets_every_byte_in_order() {
    for (program, options) in [(EPOLL, &[][..]), (OURS, &[]), (FLOOR, &[]), (FLOOR, &["--direct"])]
    {
        let server = start(program, options);
        exchange_under_pressure(server.address, 16 << 20);
    }
}

#[test]
fn a_connection_reset_in_the_middle_leaves_the_server_alive() {
    for (program, options) in [(EPOLL, &[][..]), (OURS, &[]), (FLOOR, &[]), (FLOOR, &["--direct"])]
    {
        let server = start(program, options);
        for _ in 0..20 {
            let mut stream = TcpStream::connect(server.address).unwrap();
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            stream.set_nonblocking(true).unwrap();
            let bytes = vec![1; 1 << 20];
            while stream.write(&bytes).is_ok() {}
        }
        exchange_under_pressure(server.address, 1 << 20);
    }
}
