//! Jobs whose priority is not 0: a heap beside the queue.
//!
//! # Protocol
//!
//! For each job in the heap a *token* is in the queue, so workers sleep on the queue alone, and the
//! queue alone says when all is done. A worker that takes
//!
//! * a token, takes the first of the heap; unless that is below 0 while plain jobs wait in the
//!   queue: then the token goes to the queue's end;
//! * a plain job, looks whether the heap has one above 0; if so it takes that and leaves the plain
//!   one in the heap in its place. Both go by one at a time, so tokens stay as many as jobs.
//!
//! A pool that never sees a priority pays one load of `len` per job.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::sync::{Arc, PoisonError};

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

use super::call::Run;

#[derive(Default)]
pub(super) struct Ranks {
    /// How many jobs are in the heap.
    len: AtomicUsize,
    heap: Mutex<Heap>,
}

#[derive(Default)]
struct Heap {
    jobs: BinaryHeap<Ranked>,
    count: u64,
}

struct Ranked {
    rank: i32,
    order: u64,
    job: Arc<dyn Run>,
}

impl Ranks {
    fn lock(&self) -> MutexGuard<'_, Heap> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job in; its token has to follow.
    pub(super) fn push(&self, rank: i32, job: Arc<dyn Run>) {
        self.lock().push(rank, job);
        // Relaxed: the token in the queue orders this before the worker that comes for the job. A
        // worker that sees the old number runs a plain job first.
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker has taken a plain job from the queue: what it is to run.
    #[inline]
    pub(super) fn instead_of(&self, job: Arc<dyn Run>) -> Arc<dyn Run> {
        if self.len.load(Ordering::Relaxed) == 0 { job } else { self.exchange(job) }
    }

    #[cold]
    fn exchange(&self, job: Arc<dyn Run>) -> Arc<dyn Run> {
        let mut heap = self.lock();
        match heap.jobs.peek() {
            Some(first) if first.rank > 0 => {
                let first = heap.jobs.pop().expect("it was there a line ago");
                heap.push(0, job);
                first.job
            }
            _ => job,
        }
    }

    /// A worker has taken a token. `Err`: it is to put it back, for one of the `queued` in the
    /// queue is a plain job, and the heap has only lesser ones.
    pub(super) fn take(&self, queued: usize) -> Result<Option<Arc<dyn Run>>, Lesser> {
        let mut heap = self.lock();
        // The queue has a token for each of the heap's but this one.
        if queued >= heap.jobs.len() && heap.jobs.peek().is_some_and(|first| first.rank < 0) {
            return Err(Lesser);
        }
        let first = heap.jobs.pop();
        if first.is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(first.map(|ranked| ranked.job))
    }

    /// Takes all, the first one first.
    pub(super) fn drain(&self) -> Vec<Arc<dyn Run>> {
        let mut heap = self.lock();
        let jobs = std::mem::take(&mut heap.jobs);
        self.len.fetch_sub(jobs.len(), Ordering::Relaxed);
        jobs.into_sorted_vec().into_iter().rev().map(|ranked| ranked.job).collect()
    }
}

/// What waits in the heap is to give way to plain jobs.
#[derive(Debug)]
pub(super) struct Lesser;

impl Heap {
    fn push(&mut self, rank: i32, job: Arc<dyn Run>) {
        self.count += 1;
        self.jobs.push(Ranked { rank, order: self.count, job });
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        (self.rank, self.order) == (other.rank, other.order)
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    /// Higher ranks first, then those that came first.
    fn cmp(&self, other: &Self) -> Order {
        self.rank.cmp(&other.rank).then(other.order.cmp(&self.order))
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::error::JobError;
    use loom::sync::Condvar;
    use loom::thread;
    use std::collections::VecDeque;

    /// Counts its runs.
    #[derive(Default)]
    struct Job(AtomicUsize);

    impl Run for Job {
        fn run(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn refuse(&self, _: JobError) {}
    }

    /// The queue of `crew.rs`: `None` is a token.
    #[derive(Default)]
    struct Queue {
        waiting: Mutex<(VecDeque<Option<Arc<dyn Run>>>, bool)>,
        change: Condvar,
    }

    impl Queue {
        fn send(&self, queued: Option<Arc<dyn Run>>) {
            self.waiting.lock().unwrap().0.push_back(queued);
            self.change.notify_one();
        }

        fn close(&self) {
            self.waiting.lock().unwrap().1 = true;
            self.change.notify_all();
        }

        fn is_closed(&self) -> bool {
            self.waiting.lock().unwrap().1
        }

        fn receive(&self) -> Option<Option<Arc<dyn Run>>> {
            let mut waiting = self.waiting.lock().unwrap();
            loop {
                match waiting.0.pop_front() {
                    Some(queued) => return Some(queued),
                    None if waiting.1 => return None,
                    None => waiting = self.change.wait(waiting).unwrap(),
                }
            }
        }

        fn len(&self) -> usize {
            self.waiting.lock().unwrap().0.len()
        }
    }

    /// What `Crew::work` does.
    fn work(queue: &Queue, ranks: &Ranks) {
        while let Some(queued) = queue.receive() {
            let job = match queued {
                Some(job) => Some(ranks.instead_of(job)),
                None if queue.is_closed() => ranks.take(0).ok().flatten(),
                None => match ranks.take(queue.len()) {
                    Ok(job) => job,
                    Err(Lesser) => {
                        // `close` takes turns with this in the crew, by a lock.
                        queue.send(None);
                        None
                    }
                },
            };
            if let Some(job) = job {
                job.run();
            }
        }
    }

    /// A plain job and a ranked one, given while another thread works; then both work.
    fn each_is_run_once(rank: i32) {
        loom::model(move || {
            let shared = Arc::new((Queue::default(), Ranks::default()));
            let worker = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || work(&shared.0, &shared.1))
            };
            let (queue, ranks) = &*shared;
            let (plain, ranked) = (Arc::<Job>::default(), Arc::<Job>::default());
            queue.send(Some(plain.clone()));
            ranks.push(rank, ranked.clone());
            queue.send(None);
            queue.close();
            work(queue, ranks);
            worker.join().unwrap();
            let runs = [plain, ranked].map(|job| job.0.load(Ordering::Relaxed));
            assert_eq!(runs, [1, 1], "of the plain one, of the ranked one");
            assert!(ranks.drain().is_empty());
        });
    }

    #[test]
    fn loom_a_job_of_higher_rank_and_a_plain_one_are_each_run_once() {
        each_is_run_once(1);
    }

    #[test]
    fn loom_a_job_of_lower_rank_and_a_plain_one_are_each_run_once() {
        each_is_run_once(-1);
    }
}
