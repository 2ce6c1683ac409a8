//! Requests of HTTP/1.1: each is answered, to the byte, whoever asks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use benches::http::{ANSWER, REQUEST};
use benches::load::{self, Client, Exchange, Plan};

use crate::start;

const SERVERS: [&str; 3] = [
    env!("CARGO_BIN_EXE_http_hyper"),
    env!("CARGO_BIN_EXE_http_ours"),
    env!("CARGO_BIN_EXE_http_tokio"),
];

#[test]
fn every_server_answers_both_load_makers_however_many_requests_are_under_way() {
    for program in SERVERS {
        let server = start(program, &[]);
        for (client, depth) in [(Client::Epoll, 1), (Client::Epoll, 5), (Client::Uring, 3)] {
            let plan = Plan {
                connections: 20,
                exchange: Exchange::Http,
                depth,
                warm_up: Duration::from_millis(20),
                duration: Duration::from_millis(80),
                core: 0,
                client,
                spin: false,
                server: server.address,
            };
            let outcome = load::run(&plan, || ()).unwrap_or_else(|e| panic!("{program}: {e:#}"));
            assert!(outcome.requests > 0, "{program}: {outcome:?}");
        }
    }
}

#[test]
fn a_request_that_comes_in_pieces_is_answered_once() {
    for program in SERVERS {
        let server = start(program, &[]);
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in REQUEST.chunks(7) {
            stream.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answered = Vec::new();
        stream.read_to_end(&mut answered).unwrap();
        assert_eq!(String::from_utf8_lossy(&answered), String::from_utf8_lossy(ANSWER));
    }
}
