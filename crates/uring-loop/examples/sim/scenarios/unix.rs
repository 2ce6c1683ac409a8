//! Unix streams that carry descriptors: received, given up on the way, or never taken. When the
//! loop is gone, no copy of any may be open.

use std::io;
use std::path::PathBuf;

use uring_loop::net::{UnixListener, UnixStream};
use uring_loop::time::{sleep, timeout};
use uring_loop::{race, spawn};

use super::place::{Place, keep_many, persist};

pub(super) async fn run(place: Place) {
    persist(&place, || uring_loop::fs::create_dir_all(&place.folder)).await;
    let path = place.folder.join("socket");
    let listener = UnixListener::bind(&path).expect("a free name");
    let serving = async {
        loop {
            let Some(stream) = place.ok(listener.accept().await) else { continue };
            let place = place.clone();
            drop(spawn(async move { place.ok(take(&place, stream).await) }));
        }
    };
    let clients = keep_many(place.chance.between(2, 8), |_| {
        let (place, path) = (place.clone(), path.clone());
        async move {
            place.ok(give(&place, path).await);
        }
    });
    race((serving, place.disturb(clients))).await;
}

/// Takes messages, tells how many descriptors came with each, and may leave in the middle.
async fn take(place: &Place, mut stream: UnixStream) -> io::Result<()> {
    let mut kept = Vec::new();
    loop {
        let receive = stream.recv_with_fds(Vec::with_capacity(100), 4);
        let received = if place.chance.one_in(6) {
            // Given up: what comes then is lost, but its descriptors are closed.
            match timeout(place.chance.moment(), receive).await {
                Ok((received, _)) => received?,
                Err(_) => return Ok(()),
            }
        } else {
            receive.await.0?
        };
        if received.count == 0 {
            return Ok(());
        }
        assert!(!received.truncated, "there was room for all");
        stream.write_all([received.fds.len() as u8]).await.0?;
        kept.extend(received.fds);
        if place.chance.one_in(3) {
            kept.clear();
        }
    }
}

async fn give(place: &Place, path: PathBuf) -> io::Result<()> {
    let mut stream = UnixStream::connect(path).await?;
    for _ in 0..place.chance.between(1, 6) {
        let fds: Vec<_> = (0..place.chance.below(4)).map(|_| place.canary()).collect();
        let count = fds.len();
        stream.send_with_fds("descriptors", fds).await.0?;
        match place.chance.below(8) {
            // They are on their way, and nobody will take them.
            0 => return Ok(()),
            1 => sleep(place.chance.moment()).await,
            _ => {}
        }
        // Bytes behind the first bring none; whoever answers may have left.
        let mut told = 0;
        while told < count {
            let (read, answer) = stream.read([0; 1]).await;
            if read? == 0 {
                return Ok(());
            }
            told += usize::from(answer[0]);
        }
        assert_eq!(told, count, "more descriptors arrived than were sent");
    }
    Ok(())
}
