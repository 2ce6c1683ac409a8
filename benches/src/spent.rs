//! Time and CPU time of a piece of work.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// What a piece of work took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// From its begin to its end.
    pub time: Duration,
    /// Of all threads of this process, the kernel's workers for it included; not of its children.
    pub cpu: Duration,
}

/// The begin of a piece of work.
#[derive(Debug, Clone, Copy)]
pub struct Begin {
    moment: Instant,
    cpu: Duration,
}

impl Begin {
    /// It begins now.
    #[must_use]
    pub fn now() -> Self {
        Self { cpu: cpu_time(), moment: Instant::now() }
    }

    /// What was spent since.
    #[must_use]
    pub fn spent(&self) -> Spent {
        Spent { time: self.moment.elapsed(), cpu: cpu_time().saturating_sub(self.cpu) }
    }
}

/// CPU time of this process, to the nanosecond (clock_gettime(2)).
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("every process has one");
    Duration::new(time.tv_sec() as u64, time.tv_nsec() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_takes_time_and_no_cpu_time() {
        let begin = Begin::now();
        std::thread::sleep(Duration::from_millis(50));
        let spent = begin.spent();
        assert!(spent.time >= Duration::from_millis(50), "{spent:?}");
        // Tests beside this one use the CPU of the same process.
        let begin = Begin::now();
        while begin.spent().cpu < Duration::from_millis(5) {
            std::hint::black_box(0);
        }
        assert!(begin.spent().time >= Duration::from_micros(10));
    }
}
