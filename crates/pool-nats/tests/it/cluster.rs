//! Jobs that are kept on three servers, some of which die: exactly n results, none lost.

use std::time::Duration;

use pool::{Executor as _, JobError, JobOptions};
use pool_nats::{Queue, RemotePool};

use crate::roles::{Manner, Part, agent_at};
use crate::server::server;
use crate::servers::Cluster;
use crate::support::{end_of, eventually, lines, waiting_requests, workers};
use crate::work;

crate::tests![
    a_server_that_leads_is_killed_and_its_jobs_go_on,
    two_servers_of_three_are_killed_and_jobs_wait_for_them,
    an_idle_agent_has_one_request_at_the_server,
    replicas_that_there_are_no_servers_for_are_refused,
];

const TWO: Manner =
    Manner { workers: 2, ack_wait: 2000, patience: 60_000, storage: "file", functions: "all" };

fn queue(url: &str) -> Queue {
    Queue::new(url, "tests").replicas(3).ack_wait(Duration::from_millis(TWO.ack_wait))
}

fn client(url: &str) -> RemotePool {
    RemotePool::connect(queue(url), work::functions()).unwrap()
}

/// The queue of a new cluster, and the server that everything in it depends on.
fn cluster(test: &str) -> Option<(Cluster, usize)> {
    let cluster = Cluster::start(test, 3)?;
    drop(client(&cluster.url()));
    let leader = cluster.leader_of_all();
    Some((cluster, leader))
}

fn a_server_that_leads_is_killed_and_its_jobs_go_on() {
    const N: u64 = 3000;
    let test = "a_server_that_leads_is_killed";
    let Some((mut cluster, leader)) = cluster(test) else { return };
    let path = cluster.servers[leader].path("notes");
    // The client knows the one address, and learns there of the others. The agents are connected to
    // these: nobody tells them that what they have asked for died with the leader.
    let pool = client(&cluster.servers[leader].url());
    let others = (1..3).map(|n| cluster.servers[(leader + n) % 3].url());
    let _agents: Vec<Part> = others.map(|url| agent_at(&[], &url, TWO)).collect();
    workers(&pool, 4);
    let jobs: Vec<_> = (0..N)
        .map(|n| match n % 10 {
            0 => pool.submit(work::note_once, (path.clone(), n, 0)),
            _ => pool.submit(work::slow_square, (n,)),
        })
        .collect();
    eventually("a third is done", || pool.statistics().jobs < N as usize * 2 / 3);
    cluster.servers[leader].kill();
    eventually("two thirds are done", || pool.statistics().jobs < N as usize / 3);
    cluster.servers[leader].start_again();
    for (n, job) in (0..N).zip(jobs) {
        let right = if n % 10 == 0 { n } else { n * n };
        assert_eq!(end_of(job), Ok(right));
    }
    // And not once too often.
    assert_eq!(lines(&path, "begin"), N as usize / 10);
}

fn two_servers_of_three_are_killed_and_jobs_wait_for_them() {
    const N: u64 = 600;
    let test = "two_servers_of_three_are_killed";
    let Some((mut cluster, leader)) = cluster(test) else { return };
    let pool = client(&cluster.url());
    let _agents = [(); 2].map(|()| agent_at(&[], &cluster.url(), TWO));
    workers(&pool, 4);
    let mut jobs: Vec<_> = (0..N).map(|n| pool.submit(work::slow_square, (n,))).collect();
    eventually("a third is done", || pool.statistics().jobs < N as usize * 2 / 3);
    let killed = [leader, (leader + 1) % 3];
    killed.iter().for_each(|n| cluster.servers[*n].kill());
    // Whoever cannot wait learns of the reason, the others wait.
    jobs.extend((N..N + 100).map(|n| pool.submit(work::slow_square, (n,))));
    let options = JobOptions::new().deadline(Duration::from_secs(2));
    let error = end_of(pool.submit_with(options, work::square, (3,))).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, JobError::TimedOut(late) if !late.started));
    // The first servers to die are not missed at once.
    let known = ["has not confirmed", "more than half of the servers of a cluster have to be up"];
    assert!(known.iter().any(|reason| text.contains(reason)), "{text}");
    killed.iter().for_each(|n| cluster.servers[*n].start_again());
    for (n, job) in (0..).zip(jobs) {
        assert_eq!(end_of(job), Ok(n * n));
    }
}

fn an_idle_agent_has_one_request_at_the_server() {
    let Some(server) = server("an_idle_agent_has_one_request") else { return };
    let _agent = agent_at(&[], &server.url(), TWO);
    eventually("it asks", || waiting_requests(&server) == Some(1));
    // It goes on to ask for nothing more than it needs.
    std::thread::sleep(Duration::from_millis(4500));
    assert_eq!(waiting_requests(&server), Some(1));
}

fn replicas_that_there_are_no_servers_for_are_refused() {
    let Some(server) = server("replicas_that_there_are_no_servers_for") else { return };
    let error = RemotePool::connect(queue(&server.url()), work::functions()).unwrap_err();
    assert!(error.to_string().contains("replicas > 1 not supported"), "{error}");
}
