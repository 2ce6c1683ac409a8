//! Peer: crossbeam's bounded channel between two blocking threads.

use std::time::{Duration, Instant};

use benches::msg::{self, Cores, Peer, ROOM};
use crossbeam_channel::bounded;

fn main() -> anyhow::Result<()> {
    msg::main(Peer { one_way: Some(one_way), ..Peer::new(round_trip) })
}

fn round_trip(cores: Cores, count: u64) -> Duration {
    let (ask, asked) = bounded(ROOM);
    let (reply, replied) = bounded(ROOM);
    let first = move || {
        let begin = Instant::now();
        for number in 0..count {
            ask.send(number).expect("the other side listens");
            assert_eq!(replied.recv(), Ok(number));
        }
        begin.elapsed()
    };
    let second = move || {
        asked.iter().for_each(|number| reply.send(number).expect("the other side listens"));
        Duration::ZERO
    };
    msg::pair(cores, first, second)
}

fn one_way(cores: Cores, count: u64) -> Duration {
    let (send, receive) = bounded(ROOM);
    let first = move || {
        (0..count).for_each(|number| send.send(number).expect("the other side listens"));
        Duration::ZERO
    };
    let second = move || {
        let begin = Instant::now();
        (0..count).for_each(|number| assert_eq!(receive.recv(), Ok(number)));
        begin.elapsed()
    };
    msg::pair(cores, first, second)
}
