//! Who is away for a while and comes back: an agent that is stopped, a client that is started anew.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Duration;

use nix::sys::signal::Signal;
use pool::{Executor as _, JobError};

use crate::roles::{Manner, agent_like, an_agent, part};
use crate::server::server;
use crate::support::{client, end_of, eventually, lines, queued, workers};
use crate::work;

crate::tests![
    an_agent_that_was_stopped_and_goes_on_spoils_nothing,
    what_an_agent_that_was_stopped_ran_once_is_not_run_again,
    a_client_that_is_started_anew_is_not_disturbed_by_its_old_jobs,
    results_that_nobody_was_there_to_hear_are_said_again,
];

fn an_agent_that_was_stopped_and_goes_on_spoils_nothing() {
    let Some(server) = server("an_agent_that_was_stopped_and_goes_on") else { return };
    let (path, flag) = (server.path("notes"), server.path("flag"));
    let first = an_agent(&server);
    let pool = client(&server);
    workers(&pool, 1);
    let jobs: Vec<_> = (0..6u64)
        .map(|n| pool.submit(work::note_and_wait, (path.clone(), n, flag.clone())))
        .collect();
    eventually("it has begun", || lines(&path, "begin") == 1);
    // The agent only: its worker goes on, and finishes.
    first.signal(Signal::SIGSTOP);
    let _second = agent_like(&server, Manner { workers: 6, ..Manner::default() });
    eventually("all run at the other one", || lines(&path, "begin") == 7);
    std::fs::write(&flag, "").unwrap();
    for (n, job) in (0..).zip(jobs) {
        assert_eq!(end_of(job), Ok(n));
    }
    let before = pool.statistics().late;
    first.signal(Signal::SIGCONT);
    eventually("its results come too late", || pool.statistics().late > before);
    // And it is one like any other again.
    workers(&pool, 7);
    assert_eq!(end_of(pool.submit(work::square, (3,))), Ok(9));
    drop(pool);
    eventually("the queue is empty", || queued(&server) == 0);
}

fn what_an_agent_that_was_stopped_ran_once_is_not_run_again() {
    let Some(server) = server("what_an_agent_that_was_stopped_ran_once") else { return };
    let path = server.path("notes");
    let first = an_agent(&server);
    let pool = client(&server);
    let job = pool.submit(work::note_once, (path.clone(), 1, 500));
    eventually("it runs", || lines(&path, "begin") == 1);
    first.signal(Signal::SIGSTOP);
    let _second = an_agent(&server);
    assert!(matches!(end_of(job), Err(JobError::Lost(_))));
    let before = pool.statistics().late;
    first.signal(Signal::SIGCONT);
    eventually("its result comes too late", || pool.statistics().late > before);
    assert_eq!((lines(&path, "begin"), lines(&path, "end")), (1, 1));
    drop(pool);
    eventually("the queue is empty", || queued(&server) == 0);
}

fn a_client_that_is_started_anew_is_not_disturbed_by_its_old_jobs() {
    let Some(server) = server("a_client_that_is_started_anew") else { return };
    // Nobody waits for what an agent has for a client that is silent for so long.
    let _agent = agent_like(&server, Manner { patience: 2000, ..Manner::default() });
    let mut old = part(&[], "role-client", &[&server.url(), "2000"]);
    let mut said = BufReader::new(old.0.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "submitted\n");
    eventually("its jobs are in the queue", || queued(&server) > 200);
    old.kill();
    let mut new = part(&[], "role-client", &[&server.url(), "100"]);
    let mut text = String::new();
    new.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "submitted\n100 right of 100\n");
    eventually("the queue is empty", || queued(&server) == 0);
}

fn results_that_nobody_was_there_to_hear_are_said_again() {
    let Some(mut server) = server("results_that_nobody_was_there_to_hear") else { return };
    let path = server.path("notes");
    let mut agent = an_agent(&server);
    // Once it runs, its result is nowhere but at the agent.
    let mut client = part(&[], "role-client-of-one", &[&server.url(), &path, "1500"]);
    eventually("it runs", || lines(&path, "begin") == 1);
    // The client is stopped, the connection of both is lost, and only the agent makes it again.
    client.signal(Signal::SIGSTOP);
    server.kill();
    server.start_again();
    eventually("it is done", || lines(&path, "end") == 1);
    // The agent is to go when it has told all there is to tell.
    agent.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(agent.0.try_wait().unwrap().is_none(), "it has left without having been heard");
    client.signal(Signal::SIGCONT);
    let mut text = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "Ok(1)\n");
    assert!(agent.0.wait().unwrap().success());
}
