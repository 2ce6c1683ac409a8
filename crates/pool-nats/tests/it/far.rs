//! Client and agents far from the server: delay, jitter, and lines that are cut in the middle of a
//! word. Exactly n results, none lost.

use pool::Executor as _;
use pool_nats::RemotePool;

use crate::line::Line;
use crate::roles::{Manner, agent_at};
use crate::server::{queue, server};
use crate::support::{end_of, eventually, lines, queued, workers};
use crate::work;

crate::tests![lines_that_are_long_and_cut_now_and_then_lose_nothing];

fn lines_that_are_long_and_cut_now_and_then_lose_nothing() {
    const N: u64 = 1000;
    const CUTS: usize = 5;
    let Some(server) = server("lines_that_are_long_and_cut_now_and_then") else { return };
    let path = server.path("notes");
    let [to_client, to_agents] = [(); 2].map(|()| Line::to(&server.url(), CUTS));
    let manner = Manner { workers: 4, ack_wait: 2000, ..Manner::default() };
    let _agents = [(); 2].map(|()| agent_at(&[], &to_agents.url(), manner));
    let pool = RemotePool::connect(queue(&to_client.url(), 2000, "file"), work::functions());
    let pool = pool.unwrap();
    workers(&pool, 8);
    let jobs: Vec<_> = (0..N)
        .map(|n| match n % 10 {
            0 => pool.submit(work::note_once, (path.clone(), n, 0)),
            _ => pool.submit(work::slow_square, (n,)),
        })
        .collect();
    for (n, job) in (0..N).zip(jobs) {
        let right = if n % 10 == 0 { n } else { n * n };
        assert_eq!(end_of(job), Ok(right));
    }
    // And not once too often.
    assert_eq!(lines(&path, "begin"), N as usize / 10);
    // What the client has heard, the agents know to be heard, though answers were lost on the way.
    eventually("the queue is empty", || queued(&server) == 0);
    assert_eq!([to_client.cuts(), to_agents.cuts()], [CUTS; 2], "the lines were not cut");
}
