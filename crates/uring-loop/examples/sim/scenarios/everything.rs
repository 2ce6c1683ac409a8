//! All the other scenarios at once: some are cancelled, or the loop ends in the middle of it.

use uring_loop::time::sleep;

use super::place::{Kept, Place, keep};
use super::{connect, echo, files, groups, half_close, pipes, protocols, udp, unix};

pub(super) async fn all_at_once(place: Place) {
    let tasks = start(&place);
    place.disturb(tasks).await;
}

/// The main task ends while the others are at work.
pub(super) async fn in_the_middle(place: Place) {
    let place = place.that_ends();
    let tasks = start(&place);
    sleep(place.chance.moment()).await;
    for task in tasks {
        task.detach();
    }
}

fn start(place: &Place) -> Vec<Kept<()>> {
    let mut tasks = Vec::new();
    let mut add = |name: &str, start: &dyn Fn(Place) -> Kept<()>| {
        if !place.chance.one_in(3) {
            tasks.push(start(place.inside(name)));
        }
    };
    add("echo", &|place| keep(echo::run(place)));
    add("half-close", &|place| keep(half_close::run(place)));
    add("files", &|place| keep(files::run(place)));
    add("unix", &|place| keep(unix::run(place)));
    add("udp", &|place| keep(udp::run(place)));
    add("connect", &|place| keep(connect::run(place)));
    add("pipes", &|place| keep(pipes::run(place)));
    add("protocols", &|place| keep(protocols::run(place)));
    add("groups", &|place| keep(groups::run(place)));
    tasks
}
