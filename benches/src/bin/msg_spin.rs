//! Floor: a shared word, and both sides spinning on it.
//!
//! Even numbers are questions, odd ones answers: the first side writes 2n, the second 2n + 1.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benches::msg::{self, Cores, Peer};

fn main() -> anyhow::Result<()> {
    msg::main(Peer::new(round_trip))
}

/// Alone on its cache lines (two: the neighbour is prefetched with it).
#[repr(align(128))]
struct Word(AtomicU64);

impl Word {
    fn wait_for(&self, value: u64) {
        while self.0.load(Ordering::Acquire) != value {
            std::hint::spin_loop();
        }
    }
}

fn round_trip(cores: Cores, count: u64) -> Duration {
    let word = Word(AtomicU64::new(1));
    let first = || {
        let begin = Instant::now();
        for number in 1..=count {
            word.0.store(2 * number, Ordering::Release);
            word.wait_for(2 * number + 1);
        }
        begin.elapsed()
    };
    let second = || {
        for number in 1..=count {
            word.wait_for(2 * number);
            word.0.store(2 * number + 1, Ordering::Release);
        }
        Duration::ZERO
    };
    msg::pair(cores, first, second)
}
