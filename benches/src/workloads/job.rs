//! One job of the workloads that come in jobs: the same work for a thread, for a coroutine, and for
//! a worker process, which gets it as bytes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::{Workload, downloads, file_ops, files, primes};

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Whether this is a prime.
    Prime(u64),
    /// Wait so long.
    Sleep(Duration),
    /// Copy a file.
    Copy {
        /// What is read.
        from: PathBuf,
        /// What is written; it doesn't exist yet.
        to: PathBuf,
    },
    /// Get what a server has under a number.
    Download {
        /// Where it listens.
        server: SocketAddr,
        /// What is asked for.
        number: u64,
    },
}

/// What came of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Time from the job's begin to its end.
    pub took: Duration,
    /// 1 for a prime, the bytes copied, the digest of what was downloaded, 0 for a wait.
    pub answer: u64,
}

impl Job {
    /// Does it on this thread, which is blocked meanwhile.
    ///
    /// # Errors
    ///
    /// When a file can't be copied, or a download fails.
    pub fn blocking(self) -> anyhow::Result<Done> {
        let start = Instant::now();
        let answer = match self {
            Self::Prime(n) => u64::from(primes::by_trial(n)),
            Self::Sleep(time) => {
                std::thread::sleep(time);
                0
            }
            Self::Copy { from, to } => files::copy(&from, &to)?,
            Self::Download { server, number } => downloads::blocking(server, number)?,
        };
        Ok(Done { took: start.elapsed(), answer })
    }

    /// Does it on this thread's event loop. Checking a number blocks the loop: there is nothing to
    /// wait for in it.
    ///
    /// # Errors
    ///
    /// When a file can't be copied, or a download fails.
    ///
    /// # Cancel safety
    ///
    /// None for a copy (part of the file is written): run it in a task. Else Strict.
    pub async fn coroutine(self) -> anyhow::Result<Done> {
        let start = Instant::now();
        let answer = match self {
            Self::Prime(n) => u64::from(primes::by_trial(n)),
            Self::Sleep(time) => {
                uring_loop::time::sleep(time).await;
                0
            }
            Self::Copy { from, to } => file_ops::copy(&from, &to).await?,
            Self::Download { server, number } => downloads::coroutine(server, number).await?,
        };
        Ok(Done { took: start.elapsed(), answer })
    }

    /// Checks what came of it, as far as that shows without looking at files.
    ///
    /// # Errors
    ///
    /// When the answer is wrong, or the wait was too short.
    pub fn verify(&self, done: &Done) -> anyhow::Result<()> {
        match *self {
            Self::Prime(n) => ensure!(
                done.answer == u64::from(primes::by_powers(n)),
                "{n} was taken for {}",
                if done.answer == 1 { "a prime" } else { "a product" }
            ),
            Self::Sleep(time) => ensure!(
                done.took >= time,
                "a sleeper was woken after {:?}, before its {time:?} were over",
                done.took
            ),
            Self::Copy { .. } => {}
            Self::Download { number, .. } => ensure!(
                done.answer == downloads::expected(number),
                "download {number} brought something else than it should"
            ),
        }
        Ok(())
    }

    /// How many jobs of `workload` a loop has under way at a time.
    #[must_use]
    pub fn at_a_time(workload: Workload) -> usize {
        // each holds two files and a buffer
        if workload == Workload::Copy { 64 } else { usize::MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_that_woke_early_is_found_out() {
        let job = Job::Sleep(Duration::from_millis(20));
        assert!(job.verify(&Done { took: Duration::from_millis(19), answer: 0 }).is_err());
        assert!(job.verify(&Done { took: Duration::from_millis(20), answer: 0 }).is_ok());
    }

    #[test]
    fn a_wrong_verdict_on_a_number_is_found_out() {
        let done = Done { took: Duration::ZERO, answer: 1 };
        assert!(Job::Prime(97).verify(&done).is_ok());
        assert!(Job::Prime(91).verify(&done).is_err());
    }
}
