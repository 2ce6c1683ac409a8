//! Peer: the usual pool by hand: threads that take boxed jobs from a crossbeam channel.

use std::time::Duration;

use benches::pools::{self, Pool};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

type Job = Box<dyn FnOnce() + Send>;

struct Crossbeam {
    jobs: Sender<Job>,
    reply: Sender<u64>,
    replied: Receiver<u64>,
}

impl Crossbeam {
    fn send(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.send(Box::new(job)).expect("the workers live");
    }
}

impl Pool for Crossbeam {
    fn new(workers: usize) -> Self {
        let (jobs, queue) = unbounded::<Job>();
        for _ in 0..workers {
            let queue = queue.clone();
            // They end when the last sender is dropped.
            std::thread::spawn(move || queue.iter().for_each(|job| job()));
        }
        let (reply, replied) = bounded(1);
        Self { jobs, reply, replied }
    }

    fn double(&mut self, number: u64) -> u64 {
        let reply = self.reply.clone();
        self.send(move || reply.send(2 * number).expect("the submitter waits"));
        self.replied.recv().expect("we hold a sender ourselves")
    }

    fn submissions(&mut self, count: u64) -> Option<(Duration, Duration)> {
        Some(pools::count_down(count, |task| self.send(|| task.run())))
    }
}

fn main() -> anyhow::Result<()> {
    pools::main::<Crossbeam>()
}
