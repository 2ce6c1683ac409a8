//! Floor: an eventfd per direction, blocking reads and writes.

use std::time::{Duration, Instant};

use benches::msg::{self, Cores, Peer};
use nix::sys::eventfd::EventFd;

fn main() -> anyhow::Result<()> {
    msg::main(Peer::new(round_trip))
}

fn round_trip(cores: Cores, count: u64) -> Duration {
    let eventfd = || EventFd::new().expect("an eventfd");
    let (question, answer) = (eventfd(), eventfd());
    let first = || {
        let begin = Instant::now();
        for _ in 0..count {
            question.write(1).expect("writing an eventfd");
            assert_eq!(answer.read(), Ok(1));
        }
        begin.elapsed()
    };
    let second = || {
        for _ in 0..count {
            assert_eq!(question.read(), Ok(1));
            answer.write(1).expect("writing an eventfd");
        }
        Duration::ZERO
    };
    msg::pair(cores, first, second)
}
