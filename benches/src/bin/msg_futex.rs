//! Floor: a word per direction, and the waiting side parked in futex(2) at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use benches::msg::{self, Cores, Peer};

fn main() -> anyhow::Result<()> {
    msg::main(Peer::new(round_trip))
}

/// A counter the other side waits on. Alone on its cache lines.
#[repr(align(128))]
struct Word(AtomicU32);

impl Word {
    fn publish(&self, value: u32) {
        self.0.store(value, Ordering::Release);
        self.futex(libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
    }

    /// Parks until the word is no longer `before`. The kernel compares and parks in one step, so a
    /// publication in between is not lost.
    fn wait_while(&self, before: u32) {
        while self.0.load(Ordering::Acquire) == before {
            self.futex(libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, before);
        }
    }

    fn futex(&self, operation: libc::c_int, value: u32) {
        let no_timeout = std::ptr::null::<libc::timespec>();
        // SAFETY: the word is alive during the call, and a null timeout means none.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation, value, no_timeout) };
    }
}

fn round_trip(cores: Cores, count: u64) -> Duration {
    let (question, answer) = (Word(AtomicU32::new(0)), Word(AtomicU32::new(0)));
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
