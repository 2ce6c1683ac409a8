//! Pipes of which either end goes first; receives that are given up lose nothing.

use uring_loop::join;
use uring_loop::pipe::{PipeReader, PipeWriter, pipe};
use uring_loop::time::{sleep, timeout};

use super::place::{Place, keep, keep_many};

pub(super) async fn run(place: Place) {
    let pipes = keep_many(place.chance.between(1, 6), |_| both_ends(place.clone()));
    place.disturb(pipes).await;
}

async fn both_ends(place: Place) {
    let (reader, writer) = pipe().expect("descriptors");
    let bytes = place.chance.bytes(place.chance.below(100_000));
    // How much is read before the reader goes; usually all of it.
    let most = if place.chance.one_in(3) { place.chance.below(50_000) } else { usize::MAX };
    if place.chance.one_in(2) {
        let reading = keep(read(place.clone(), reader, bytes.clone(), most));
        write(&place, writer, &bytes, most).await;
        if let Err(error) = reading.end().await {
            assert!(error.is_cancelled() && place.ends, "{error}");
        };
    } else {
        let reading = read(place.clone(), reader, bytes.clone(), most);
        join((reading, write(&place, writer, &bytes, most))).await;
    }
}

async fn write(place: &Place, mut writer: PipeWriter, bytes: &[u8], most: usize) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(place.chance.between(1, rest.len()));
        let (result, piece) = writer.write_all(piece.to_vec()).await;
        if let Err(error) = result {
            assert!(most < bytes.len() || place.ends, "the reader is there: {error}");
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
            return;
        }
        assert!(rest.starts_with(&piece), "the buffer came back changed");
        rest = behind;
        if place.chance.one_in(4) {
            sleep(place.chance.moment()).await;
        }
    }
}

async fn read(place: Place, mut reader: PipeReader, bytes: Vec<u8>, most: usize) {
    let mut received = 0;
    while received < most {
        let part: Vec<u8> = match place.chance.below(4) {
            0 => {
                let (count, part) = reader.read(Vec::with_capacity(700)).await;
                count.expect("open");
                part
            }
            1 => match timeout(place.chance.moment(), reader.recv()).await {
                Ok(part) => part.expect("open").to_vec(),
                Err(_) => continue,
            },
            _ => reader.recv().await.expect("open").to_vec(),
        };
        if part.is_empty() {
            assert!(place.ends || received == bytes.len(), "it ends behind {received} bytes");
            return;
        }
        assert!(bytes[received..].starts_with(&part), "mangled behind {received} bytes");
        received += part.len();
    }
}
