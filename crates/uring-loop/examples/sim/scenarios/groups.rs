//! Task groups whose children are at all kinds of operations: one fails, or a limit expires, or
//! nothing happens. Whichever it is, when the group is over no child is left.

use std::io;
use std::rc::Rc;

use uring_loop::net::UnixStream;
use uring_loop::pipe::pipe;
use uring_loop::time::{sleep, timeout};
use uring_loop::{TaskGroup, catch_cancel, fs, try_join};

use super::place::Place;

pub(super) async fn run(place: Place) {
    persist_folder(&place).await;
    for round in 0..place.chance.between(2, 8) {
        one(&place, round).await;
    }
}

async fn persist_folder(place: &Place) {
    super::place::persist(place, || fs::create_dir_all(&place.folder)).await;
}

async fn one(place: &Place, round: usize) {
    let alive = Rc::new(());
    let chance = &place.chance;
    let fails = chance.one_in(3);
    let children = chance.between(1, 6);
    let limit = chance.moment() + chance.moment();
    let group = TaskGroup::<io::Error>::scope(async |group| {
        for number in 0..children {
            let (place, alive) = (place.clone(), alive.clone());
            drop(group.spawn(async move {
                let _alive = alive;
                child(&place, round, number).await
            }));
        }
        if fails {
            sleep(chance.moment()).await;
            return Err(io::Error::other("on purpose"));
        }
        Ok(())
    });
    let ended = if chance.one_in(2) { timeout(limit, group).await } else { Ok(group.await) };
    assert_eq!(Rc::strong_count(&alive), 1, "a child outlives its group");
    match ended {
        Err(_) => {}
        Ok(Ok(())) => assert!(!fails, "the body has failed"),
        Ok(Err(errors)) => {
            for error in errors.iter() {
                if error.to_string() != "on purpose" {
                    place.pass_over(error);
                }
            }
        }
    }
}

async fn child(place: &Place, round: usize, number: usize) -> io::Result<()> {
    match place.chance.below(5) {
        0 => sleep(place.chance.moment()).await,
        1 => {
            let path = place.folder.join(format!("{round} {number}"));
            fs::write(&path, vec![7; 3000]).await?;
            assert_eq!(fs::read(&path).await?, [7; 3000]);
        }
        2 => stream(place).await?,
        3 => through_a_pipe().await?,
        _ => {
            // It cleans up when it is asked to end, and hands the request on.
            if let Err(cancelled) = catch_cancel(sleep(place.chance.moment())).await {
                sleep(place.chance.moment()).await;
                cancelled.propagate().await;
            }
        }
    }
    Ok(())
}

async fn stream(place: &Place) -> io::Result<()> {
    let (mut one, mut other) = UnixStream::pair()?;
    let bytes = place.chance.bytes(place.chance.between(1, 9000));
    let sending = async { one.write_all(bytes.clone()).await.0 };
    let receiving = async {
        let mut received = 0;
        while received < bytes.len() {
            let part = other.recv().await?;
            assert!(!part.is_empty() && bytes[received..].starts_with(&part), "mangled");
            received += part.len();
        }
        Ok::<_, io::Error>(())
    };
    // An error of one is the end of the other, who would wait for ever.
    try_join((sending, receiving)).await.map(drop)
}

async fn through_a_pipe() -> io::Result<()> {
    let (mut reader, mut writer) = pipe()?;
    writer.write_all("through").await.0?;
    drop(writer);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await?;
    assert_eq!(bytes, b"through");
    Ok(())
}
