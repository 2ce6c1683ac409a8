//! Pairs of sockets that send each other datagrams. Receives that are given up lose none, and none
//! comes twice.

use std::net::SocketAddr;
use std::time::Duration;

use uring_loop::net::UdpSocket;
use uring_loop::spawn;
use uring_loop::time::timeout;

use super::place::{Place, keep_many, persist};

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
            let sender_place = place.clone();
            let sent = spawn(async move {
                persist(&sender_place, async || sender.send_to(copy.clone(), there).await.0).await;
            });
            expect(&place, &mut other, here, &bytes).await;
            if let Err(error) = sent.await {
                assert!(place.ends, "{error}");
            }
        } else {
            persist(&place, async || one.send_to(bytes.clone(), there).await.0).await;
            expect(&place, &mut other, here, &bytes).await;
        }
        if round % 2 == 0 {
            persist(&place, async || other.send_to(bytes.clone(), here).await.0).await;
            expect(&place, &mut one, there, &bytes).await;
        }
    }
}

/// Receives one datagram: this one, the next that was sent.
async fn expect(place: &Place, socket: &mut UdpSocket, from: SocketAddr, bytes: &[u8]) {
    let mut impatience = place.chance.below(3);
    loop {
        let limit = if impatience > 0 { place.chance.moment() } else { LIMIT };
        impatience = impatience.saturating_sub(1);
        match timeout(limit, socket.recv()).await {
            Ok(datagram) => {
                // It waits for who has memory.
                let Some(datagram) = place.ok(datagram) else { continue };
                assert_eq!((datagram.from(), &*datagram), (&from, bytes));
                return;
            }
            Err(_) => assert!(limit < LIMIT, "it was sent, and is lost"),
        }
    }
}
