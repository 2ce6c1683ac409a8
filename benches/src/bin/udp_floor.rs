//! The floor: bare sockets that block, and as many datagrams per call as there are.

use benches::spent::{Begin, Spent};
use benches::udp::{self, Batch, Job, Peer, Tally};

/// Datagrams of one call, at most.
const TOGETHER: usize = 32;
/// More than any datagram has.
const ROOM: usize = 1500;

fn main() -> anyhow::Result<()> {
    udp::main(Peer { answer, answer_by_tasks: None, receive, send })
}

fn answer(job: Job) -> Spent {
    let mut batch = Batch::new(TOGETHER, ROOM);
    let mut left = job.count;
    let begin = Begin::now();
    while left > 0 {
        let count = batch.receive(&job.socket).expect("datagrams");
        batch.send_back(&job.socket, count).expect("sent");
        left = left.saturating_sub(count as u64);
    }
    begin.spent()
}

fn receive(job: Job) -> (Spent, Tally) {
    let mut batch = Batch::new(TOGETHER, ROOM);
    let mut tally = Tally::default();
    let mut left = job.count as usize;
    let begin = Begin::now();
    while left > 0 {
        let count = batch.receive(&job.socket).expect("datagrams").min(left);
        (0..count).for_each(|n| tally.note(batch.datagram(n)));
        left -= count;
    }
    (begin.spent(), tally)
}

fn send(job: Job) -> (Spent, u64) {
    let mut batch = Batch::new(job.depth, job.size);
    let times = job.count.div_ceil(job.depth as u64);
    let begin = Begin::now();
    for _ in 0..times {
        batch.send(&job.socket, job.depth).expect("sent");
    }
    (begin.spent(), times * job.depth as u64)
}
