//! Many clients of one echo server; some are cancelled, some leave with bytes unread, which resets
//! their connection.

use std::io;
use std::net::{Shutdown, SocketAddr};

use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::time::timeout;
use uring_loop::{JoinError, race, spawn};

use super::place::{Place, keep, keep_many};

pub(super) async fn run(place: Place) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let clients = keep_many(place.chance.between(3, 16), |_| client(place.clone(), address));
    // The listener stays until the clients are gone: a request to cancel drops the serving while
    // one of the clients is still to end, and meanwhile others may connect.
    race((serve(&place, &listener), place.disturb(clients))).await;
}

async fn serve(place: &Place, listener: &TcpListener) {
    loop {
        // A faulty kernel has connections that are gone before they are accepted.
        let Some(stream) = place.ok(listener.accept().await) else { continue };
        let place = place.clone();
        drop(spawn(async move { place.ok(echo(&place, stream).await) }));
    }
}

async fn echo(place: &Place, mut stream: TcpStream) -> io::Result<()> {
    loop {
        if place.chance.one_in(8) {
            // A receive that is given up loses nothing.
            if let Ok(bytes) = timeout(place.chance.moment(), stream.recv()).await {
                let bytes = bytes?;
                if bytes.is_empty() {
                    return Ok(());
                }
                stream.write_all(bytes).await.0?;
            }
            continue;
        }
        let bytes = stream.recv().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        stream.write_all(bytes).await.0?;
    }
}

async fn client(place: Place, address: SocketAddr) {
    let Some(mut stream) = place.ok(TcpStream::connect(address).await) else { return };
    let sent = place.chance.bytes(place.chance.below(20_000));
    match place.chance.below(6) {
        0 => {}
        // What comes back is not read: a reset.
        // (Given up at some time, since the server does not read on while nobody reads from it.)
        1 => drop(timeout(place.chance.moment(), stream.write_all(sent)).await),
        _ => {
            place.ok(there_and_back(&place, stream, sent).await);
        }
    }
}

async fn there_and_back(place: &Place, stream: TcpStream, sent: Vec<u8>) -> io::Result<()> {
    let (mut receive, mut send) = stream.into_split();
    let (copy, chance) = (sent.clone(), place.chance.clone());
    let writer = keep(async move {
        let mut rest = &copy[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(chance.between(1, rest.len().min(7000)));
            if let Err(error) = send.write_all(piece.to_vec()).await.0 {
                // So that nobody waits for the rest.
                let _ = send.shutdown(Shutdown::Write).await;
                return Err(error);
            }
            rest = behind;
        }
        Ok::<_, io::Error>(send)
    });
    let (mut received, before) = (0, place.troubles());
    while received < sent.len() {
        let bytes = receive.recv().await?;
        if bytes.is_empty() {
            // A reset is told once; then it was told to the writer.
            let written = writer.end().await;
            let told = matches!(written, Ok(Err(_))) || place.may_be_half_done(before);
            assert!(told, "nothing was told");
            return outcome(place, written);
        }
        assert!(sent[received..].starts_with(&bytes), "mangled behind {received} bytes");
        received += bytes.len();
    }
    // Whole: nothing has gone wrong on the way there, either.
    outcome(place, writer.end().await)
}

fn outcome<T>(place: &Place, written: Result<io::Result<T>, JoinError>) -> io::Result<()> {
    match written {
        // A loop that is ended cancels all its tasks.
        Err(error) if error.is_cancelled() && place.ends => Ok(()),
        written => written.map_err(io::Error::from)?.map(drop),
    }
}
