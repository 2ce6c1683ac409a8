//! Pairs of sockets that send each other datagrams. Receives that are given up lose none, and none
//! comes twice.

use std::net::SocketAddr;
use std::time::Duration;

use uring_loop::net::UdpSocket;
use uring_loop::spawn;
use uring_loop::time::timeout;

use super::place::{Place, keep_many};

/// Much longer than a datagram takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(place: Place) {
    let pairs = keep_many(place.chance.between(1, 6), |number| pair(place.clone(), number as u8));
    place.disturb(pairs).await;
}

fn local() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

async fn pair(place: Place, number: u8) {
    let (mut one, here) = local();
    let (mut other, there) = local();
    for round in 0..place.chance.between(1, 12) as u8 {
        let bytes = [vec![number, round], place.chance.bytes(place.chance.below(40))].concat();
        if place.chance.one_in(3) {
            // By a task of its own, through a second handle.
            let (sender, copy) = (one.sender(), bytes.clone());
            let sent = spawn(async move { sender.send_to(copy, there).await.0 });
            expect(&place, &mut other, here, &bytes).await;
            match sent.await {
                Ok(sent) => sent.expect("room"),
                Err(error) => assert!(place.ends, "{error}"),
            }
        } else {
            one.send_to(bytes.clone(), there).await.0.expect("room");
            expect(&place, &mut other, here, &bytes).await;
        }
        if round % 2 == 0 {
            other.send_to(bytes.clone(), here).await.0.expect("room");
            expect(&place, &mut one, there, &bytes).await;
        }
    }
}

/// Receives one datagram: this one, the next that was sent.
async fn expect(place: &Place, socket: &mut UdpSocket, from: SocketAddr, bytes: &[u8]) {
    for _ in 0..place.chance.below(3) {
        if let Ok(datagram) = timeout(place.chance.moment(), socket.recv()).await {
            let datagram = datagram.expect("it was sent");
            assert_eq!((datagram.from(), &*datagram), (&from, bytes));
            return;
        }
    }
    let datagram = timeout(LIMIT, socket.recv()).await.expect("it was sent, and is lost");
    let datagram = datagram.expect("it was sent");
    assert_eq!((datagram.from(), &*datagram), (&from, bytes));
}
