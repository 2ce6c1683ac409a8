//! Peer: procspawn's pool of processes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use benches::pin;
use benches::pools::lives::{self, Killed, Sign};
use benches::pools::{self, Pool};
use procspawn::serde::{Shmem, with_ipc_mode};

struct Procspawn(procspawn::Pool);

/// Calls that are out at a time: each has two channels, of two sockets each.
const OUT: usize = 250;

fn double(number: u64) -> u64 {
    2 * number
}

fn look(bytes: Shmem) -> u64 {
    pools::look(&bytes)
}

impl Pool for Procspawn {
    fn new(workers: usize) -> Self {
        Self(procspawn::Pool::new(workers).expect("a procspawn pool"))
    }

    fn double(&mut self, number: u64) -> u64 {
        self.0.spawn(number, double).join().expect("the worker lives")
    }

    /// At most [`OUT`] at a time: what is waited for in between is no submission.
    fn submissions(&mut self, count: u64) -> Option<(Duration, Duration)> {
        let begin = Instant::now();
        let mut submitting = Duration::ZERO;
        let mut calls = VecDeque::with_capacity(OUT);
        let right = |(number, call): (u64, procspawn::JoinHandle<u64>)| {
            assert_eq!(call.join().expect("the worker lives"), 2 * number);
        };
        for number in 0..count {
            if calls.len() == OUT {
                calls.pop_front().into_iter().for_each(right);
            }
            let now = Instant::now();
            calls.push_back((number, self.0.spawn(number, double)));
            submitting += now.elapsed();
        }
        calls.into_iter().for_each(right);
        Some((submitting, begin.elapsed()))
    }

    fn kill(&mut self) -> Option<Killed> {
        let sign = Sign::new();
        let call = self.0.spawn(sign.path(), lives::stuck);
        let begin = sign.kill();
        assert!(call.join().is_err());
        let noticed = begin.elapsed();
        assert_eq!(self.double(1), 2);
        Some(Killed { noticed, replaced: begin.elapsed() })
    }

    /// In its shared memory, which is filled by copying and sent once.
    fn payload(&mut self, length: usize, count: u64) -> Option<Duration> {
        let bytes = vec![1; length];
        let begin = Instant::now();
        for _ in 0..count {
            // Its pool forgets that for arguments (1.0.2), and they would be sent by value.
            let call = with_ipc_mode(|| self.0.spawn(Shmem::from_bytes(&bytes), look));
            let seen = call.join();
            assert_eq!(seen.expect("the worker lives"), pools::seen(length));
        }
        Some(begin.elapsed())
    }
}

fn main() -> anyhow::Result<()> {
    procspawn::init();
    pin::raise_file_limit()?;
    pools::main::<Procspawn>()
}
