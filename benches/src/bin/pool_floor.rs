//! The floor: one thread, and a word for each way. A side that was busy a moment ago looks at its
//! word for a while before it sleeps on it. A payload is copied, and looked at where it is.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use benches::pools::{self, Pool};
use benches::word::Word;

/// For how long a side looks.
const LOOK: Duration = Duration::from_micros(50);
/// Who asked so lately looks; who comes later sleeps at once.
const LATELY: Duration = Duration::from_micros(100);
/// Ends the worker.
const STOP: u64 = u64::MAX;

/// One way. Numbers go one at a time; the word counts them.
#[derive(Default)]
struct Way {
    word: Word,
    number: AtomicU64,
    /// The receiver sleeps, or is about to.
    asleep: AtomicBool,
}

impl Way {
    fn send(&self, count: u32, number: u64) {
        // Relaxed: setting the word publishes it.
        self.number.store(number, Ordering::Relaxed);
        self.word.set(count);
        if self.asleep.load(Ordering::SeqCst) {
            self.word.wake();
        }
    }

    fn receive(&self, count: u32, look: Duration) -> u64 {
        let before = count.wrapping_sub(1);
        if !self.has_come(before, look) {
            self.asleep.store(true, Ordering::SeqCst);
            self.word.wait_while(before);
            self.asleep.store(false, Ordering::SeqCst);
        }
        self.number.load(Ordering::Relaxed)
    }

    fn has_come(&self, before: u32, look: Duration) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < look {
            for _ in 0..64 {
                if self.word.get() != before {
                    return true;
                }
                std::hint::spin_loop();
            }
            // Both may be on one core: where a thread runs is the kernel's choice, as with the
            // pools, and for a sleeper one core is the quicker place.
            std::thread::yield_now();
        }
        false
    }
}

struct Floor {
    ways: Arc<(Way, Way)>,
    worker: Option<JoinHandle<()>>,
    count: u32,
    last: Instant,
}

fn work(ways: &(Way, Way)) {
    let mut count = 1;
    loop {
        match ways.0.receive(count, LOOK) {
            STOP => return,
            number => ways.1.send(count, 2 * number),
        }
        count = count.wrapping_add(1);
    }
}

impl Pool for Floor {
    /// One, whatever is asked for.
    fn new(_: usize) -> Self {
        let ways = Arc::new((Way::default(), Way::default()));
        let own = ways.clone();
        let worker = Some(std::thread::spawn(move || work(&own)));
        Self { ways, worker, count: 0, last: Instant::now() }
    }

    fn double(&mut self, number: u64) -> u64 {
        self.count = self.count.wrapping_add(1);
        let look = if self.last.elapsed() < LATELY { LOOK } else { Duration::ZERO };
        self.ways.0.send(self.count, number);
        let doubled = self.ways.1.receive(self.count, look);
        self.last = Instant::now();
        doubled
    }

    fn payload(&mut self, length: usize, count: u64) -> Option<Duration> {
        let from = vec![1; length];
        // Filled, so that no page is made while the clock runs.
        let mut to = vec![2; length];
        let begin = Instant::now();
        for _ in 0..count {
            to.copy_from_slice(black_box(&from));
            assert_eq!(pools::look(black_box(&to)), pools::seen(length));
        }
        Some(begin.elapsed())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.ways.0.send(self.count.wrapping_add(1), STOP);
        if let Some(worker) = self.worker.take() {
            worker.join().expect("no panic");
        }
    }
}

fn main() -> anyhow::Result<()> {
    pools::main::<Floor>()
}
