//! Floor: a word per direction, and the waiting side parked in futex(2) at once.

use std::time::{Duration, Instant};

use benches::msg::{self, Cores, Peer};
use benches::word::Word;

fn main() -> anyhow::Result<()> {
    msg::main(Peer::new(round_trip))
}

fn round_trip(cores: Cores, count: u64) -> Duration {
    let (question, answer) = (Word::default(), Word::default());
    let count = u32::try_from(count).expect("fewer round trips than a word counts");
    let first = || {
        let begin = Instant::now();
        for number in 1..=count {
            question.publish(number);
            answer.wait_while(number - 1);
        }
        begin.elapsed()
    };
    let second = || {
        for number in 1..=count {
            question.wait_while(number - 1);
            answer.publish(number);
        }
        Duration::ZERO
    };
    msg::pair(cores, first, second)
}
