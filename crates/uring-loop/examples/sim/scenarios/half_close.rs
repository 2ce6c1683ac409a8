//! A request that ends, then an answer that ends: each direction of a connection by itself.

use std::io;
use std::net::{Shutdown, SocketAddr};

use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::{race, spawn};

use super::place::{Place, keep_many};

pub(super) async fn run(place: Place) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let serving = async {
        loop {
            let Some(stream) = place.ok(listener.accept().await) else { continue };
            let place = place.clone();
            drop(spawn(async move { place.ok(answer(stream).await) }));
        }
    };
    let clients = keep_many(place.chance.between(2, 8), |_| client(place.clone(), address));
    race((serving, place.disturb(clients))).await;
}

/// Reads a request to its end, and sends it back in reverse.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    loop {
        let (count, part) = stream.read(Vec::with_capacity(3000)).await;
        if count? == 0 {
            break;
        }
        request.extend_from_slice(&part);
    }
    request.reverse();
    let pieces: Vec<Vec<u8>> = request.chunks(999).map(<[u8]>::to_vec).collect();
    stream.write_all_vectored(pieces).await.0?;
    stream.shutdown(Shutdown::Write).await?;
    let after = stream.recv().await?;
    assert!(after.is_empty(), "there is nothing behind the end of a request");
    Ok(())
}

async fn client(place: Place, address: SocketAddr) {
    let (request, before) = (place.chance.bytes(place.chance.below(30_000)), place.troubles());
    let Some(answer) = place.ok(ask(&place, address, request.clone()).await) else { return };
    // A loop that is ended drops whoever answers, and so does an error there.
    let whole = answer.len() == request.len() || place.may_be_half_done(before);
    let right = request.iter().rev().zip(&answer).all(|(one, other)| one == other);
    assert!(whole && right, "mangled, or not whole: {}", answer.len());
}

async fn ask(place: &Place, address: SocketAddr, request: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await.0?;
    stream.shutdown(Shutdown::Write).await?;
    let mut answer = Vec::new();
    loop {
        if place.chance.one_in(2) {
            let bytes = stream.recv().await?;
            answer.extend_from_slice(&bytes);
            if bytes.is_empty() {
                return Ok(answer);
            }
        } else {
            let (count, part) = stream.read(Vec::with_capacity(500)).await;
            answer.extend_from_slice(&part);
            if count? == 0 {
                return Ok(answer);
            }
        }
    }
}
