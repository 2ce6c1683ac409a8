//! Children of a soak: talked to, killed, given up, or left to the loop.

use uring_loop::process::{Command, Stdio};
use uring_loop::time::{sleep, timeout};

use crate::scenarios::place::{Place, keep_many};

pub(super) async fn run(place: Place) {
    let children = keep_many(place.chance.between(1, 3), |_| child(place.clone()));
    place.disturb(children).await;
}

async fn child(place: Place) {
    let mut cat = Command::new("cat");
    cat.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(place.chance.one_in(2));
    // One that is not killed on drop ends all the same: its input does.
    let mut cat = cat.spawn().expect("there is a cat");
    sleep(place.chance.moment()).await;
    match place.chance.below(5) {
        0 => {}
        1 => assert!(!cat.kill().await.expect("our child").success(), "it was killed"),
        2 => {
            let ended = timeout(place.chance.moment(), cat.wait()).await;
            assert!(ended.is_err(), "it ends by itself while its input is open");
        }
        _ => {
            let bytes = place.chance.bytes(place.chance.below(100_000));
            let output = cat.communicate(bytes.clone()).await.expect("open");
            assert!(output.status.success() && output.stdout == bytes, "mangled");
        }
    }
}
