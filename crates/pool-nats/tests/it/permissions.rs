//! What a server's accounts have to allow: so much that all works, and no more.

use pool::Executor as _;
use pool_nats::{Queue, RemotePool, Storage};

use crate::roles::{Manner, agent_at};
use crate::server::{Server, is_there};
use crate::support::{GUARD, end_of, eventually, lines};
use crate::work;

crate::tests![the_permissions_of_the_readme_are_enough];

/// As in the README, which has them for the pool `primes`.
const README: &str = include_str!("../../README.md");

fn the_permissions_of_the_readme_are_enough() {
    let test = "the_permissions_of_the_readme_are_enough";
    if !is_there(test) {
        return;
    }
    let config = README.split("```text\n").nth(1).and_then(|text| text.split("```").next());
    let config = config.expect("the README has a block of configuration");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("permissions.conf");
    std::fs::write(&file, config.replace("primes", "tests")).unwrap();
    let flags = ["-js", "-c", file.to_str().unwrap()];
    let mut server = Server::start(test, &flags).unwrap();
    let path = server.path("notes");
    let url = |login: &str| server.url().replace("//", &format!("//{login}@"));
    let manner = Manner { workers: 1, storage: "memory", ..Manner::default() };
    let mut agent = agent_at(&[], &url("agent:secret-of-agents"), manner);
    // Whoever comes first makes the queue; both may.
    let queue = Queue::new(url("client:secret-of-clients"), "tests");
    let pool = RemotePool::connect(queue.storage(Storage::Memory), work::functions());
    let pool = pool.unwrap();
    assert!(pool.wait_for_workers(1, GUARD));
    assert_eq!(end_of(pool.submit(work::square, (12,))), Ok(144));
    assert_eq!(end_of(pool.submit(work::note_once, (path.clone(), 1, 0))), Ok(1));
    assert_eq!(lines(&path, "begin"), 1);
    // Looking for jobs, and taking them off the queue.
    agent.kill();
    let job = pool.submit(work::square, (3,));
    eventually("it is in the queue", || pool.statistics().queued == 1);
    assert!(job.cancel());
    let job = pool.submit(work::square, (5,));
    eventually("it is in the queue, too", || pool.statistics().queued == 1);
    let agent = url("agent:secret-of-agents");
    server.kill();
    server.start_again();
    // The server has forgotten all, the client looks for it.
    let _agent = agent_at(&[], &agent, manner);
    assert_eq!(end_of(job), Ok(25));
    assert_eq!(pool.statistics().republished, 1);
    let denied = server.log();
    assert!(!denied.contains("Violation"), "{denied}");
}
