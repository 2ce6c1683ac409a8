//! Names that stand for several addresses, some of which nobody listens at; connects that are given
//! up meanwhile.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::time::timeout;
use uring_loop::{race, spawn};

use super::place::{Place, keep_many};

const GREETING: &[u8] = b"welcome";

/// Much longer than a connect takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A resolver for names that are made of addresses: `1-3` stands for 127.0.0.1 and 127.0.0.3.
pub(super) fn addresses_in(name: &str) -> io::Result<Vec<SocketAddr>> {
    let host = |text: &str| text.parse().map_err(io::Error::other);
    name.split('-').map(|text| Ok(address(host(text)?, 0))).collect()
}

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], port))
}

pub(super) async fn run(place: Place) {
    let (one, other) = listeners();
    let port = one.local_addr().expect("bound").port();
    let clients = keep_many(place.chance.between(2, 8), |_| client(place.clone(), port));
    race((greet(&place, &one), greet(&place, &other), place.disturb(clients))).await;
}

/// 127.0.0.1 and 127.0.0.2 listen at one port, and others do not.
fn listeners() -> (TcpListener, TcpListener) {
    for _ in 0..100 {
        let one = TcpListener::bind(address(1, 0)).expect("a free port");
        let port = one.local_addr().expect("bound").port();
        if let Ok(other) = TcpListener::bind(address(2, port)) {
            return (one, other);
        }
    }
    panic!("no port is free at two addresses");
}

async fn greet(place: &Place, listener: &TcpListener) {
    loop {
        let Some(mut stream) = place.ok(listener.accept().await) else { continue };
        let place = place.clone();
        drop(spawn(async move { place.ok(stream.write_all(GREETING).await.0) }));
    }
}

async fn client(place: Place, port: u16) {
    for _ in 0..place.chance.between(1, 4) {
        let chance = &place.chance;
        let hosts: Vec<_> = (0..chance.between(1, 4)).map(|_| chance.between(1, 4)).collect();
        let reachable = hosts.iter().any(|host| *host <= 2);
        let names: Vec<_> = hosts.iter().map(usize::to_string).collect();
        let target = format!("{}:{port}", names.join("-"));
        let limit = if chance.one_in(3) { chance.moment() } else { LIMIT };
        match timeout(limit, TcpStream::connect(target)).await {
            Err(_) => assert!(limit < LIMIT, "it neither connects nor fails"),
            Ok(Err(error)) => {
                let refused = error.kind() == ErrorKind::ConnectionRefused;
                if !place.ends && (reachable || !refused) {
                    place.pass_over(&error);
                }
            }
            Ok(Ok(stream)) => {
                assert!(reachable, "connected to nobody");
                place.ok(welcome(&place, stream).await);
            }
        }
    }
}

async fn welcome(place: &Place, mut stream: TcpStream) -> io::Result<()> {
    let (mut greeting, before) = (Vec::new(), place.troubles());
    loop {
        let bytes = stream.recv().await?;
        greeting.extend_from_slice(&bytes);
        if bytes.is_empty() {
            let whole = greeting == GREETING || place.may_be_half_done(before);
            assert!(whole && GREETING.starts_with(&greeting), "it ends behind {greeting:?}");
            return Ok(());
        }
    }
}
