//! Peer: the pool of the crate threadpool, whose jobs have no result: a channel brings it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use benches::pools::{self, Pool};

struct Threadpool {
    pool: threadpool::ThreadPool,
    reply: Sender<u64>,
    replied: Receiver<u64>,
}

impl Pool for Threadpool {
    fn new(workers: usize) -> Self {
        let (reply, replied) = channel();
        Self { pool: threadpool::ThreadPool::new(workers), reply, replied }
    }

    fn double(&mut self, number: u64) -> u64 {
        let reply = self.reply.clone();
        self.pool.execute(move || reply.send(2 * number).expect("the submitter waits"));
        self.replied.recv().expect("we hold a sender ourselves")
    }

    fn submissions(&mut self, count: u64) -> Option<(Duration, Duration)> {
        Some(pools::count_down(count, |task| self.pool.execute(|| task.run())))
    }
}

fn main() -> anyhow::Result<()> {
    pools::main::<Threadpool>()
}
