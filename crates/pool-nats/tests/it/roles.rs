//! The parts that children of the tests play: agents, and clients.

use std::collections::HashMap;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pool::{Executor as _, ProcessPool};
use pool_nats::{Agent, RemotePool};

use crate::server::{Server, queue};
use crate::{tls, work};

/// How an agent is to be.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) workers: usize,
    pub(crate) ack_wait: u64,
    /// In milliseconds.
    pub(crate) patience: u64,
    pub(crate) storage: &'static str,
    pub(crate) functions: &'static str,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner { workers: 1, ack_wait: 1000, patience: 60_000, storage: "file", functions: "all" }
    }
}

/// In a child with a part to play: plays it.
pub(crate) fn play() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().collect();
    let play = match words.get(1).map(String::as_str) {
        Some("role-agent") => agent,
        Some("role-client") => client,
        Some("role-client-of-one") => client_of_one,
        Some("role-server") => server,
        _ => return None,
    };
    // Nothing of a test that hangs, and is ended for it, is to stay.
    set_pdeathsig(Signal::SIGKILL).unwrap();
    Some(play(&words[2..]))
}

/// Becomes the server.
fn server(words: &[String]) -> ExitCode {
    let error = Command::new(&words[0]).args(&words[1..]).exec();
    eprintln!("{}: {error}", words[0]);
    ExitCode::FAILURE
}

fn agent(words: &[String]) -> ExitCode {
    let [url, workers, ack_wait, patience, storage, functions] = words else {
        return ExitCode::from(9);
    };
    let functions = match functions.as_str() {
        "all" => work::functions(),
        _ => work::other_functions(),
    };
    let workers = ProcessPool::builder().workers(workers.parse().unwrap());
    let queue = tls::as_told(queue(url, ack_wait.parse().unwrap(), storage));
    let agent = Agent::new(queue, functions);
    let patience = Duration::from_millis(patience.parse().unwrap());
    match agent.workers(workers).patience(patience).run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Has numbers squared, slowly, each as a job of its own; prints how many of the results were
/// right, and how many there were.
fn client(words: &[String]) -> ExitCode {
    let [url, count] = words else { return ExitCode::from(9) };
    let count: u64 = count.parse().unwrap();
    let pool = RemotePool::connect(queue(url, 1000, "file"), work::functions()).unwrap();
    let jobs: Vec<_> = (0..count).map(|n| (n, pool.submit(work::slow_square, (n,)))).collect();
    println!("submitted");
    let mut results = HashMap::new();
    for (n, job) in jobs {
        match job.wait() {
            Ok(square) => drop(results.insert(n, square)),
            Err(error) => println!("job {n}: {error}"),
        }
    }
    let right = results.iter().filter(|(n, square)| **square == **n * **n).count();
    println!("{right} right of {}", results.len());
    ExitCode::SUCCESS
}

/// Has a line noted, once, and prints what became of it.
fn client_of_one(words: &[String]) -> ExitCode {
    let [url, path, millis] = words else { return ExitCode::from(9) };
    let pool = RemotePool::connect(queue(url, 1000, "file"), work::functions()).unwrap();
    let job = pool.submit(work::note_once, (path.clone(), 1, millis.parse().unwrap()));
    println!("{:?}", job.wait());
    ExitCode::SUCCESS
}

/// A child that is ended with the test.
pub(crate) struct Part(pub(crate) Child);

impl Part {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What starts a child that plays a part, perhaps in a network namespace.
pub(crate) fn command(within: &[String], role: &str) -> Command {
    let own = std::env::current_exe().unwrap();
    let mut command = match within {
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(own);
            command
        }
        [] => Command::new(own),
    };
    command.arg(role);
    command
}

/// A child that plays a part.
pub(crate) fn part(within: &[String], role: &str, words: &[&str]) -> Part {
    let mut command = command(within, role);
    Part(command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
}

/// An agent of this server, in the manner of most tests.
pub(crate) fn an_agent(server: &Server) -> Part {
    agent_like(server, Manner::default())
}

pub(crate) fn agent_like(server: &Server, manner: Manner) -> Part {
    agent_at(&[], &server.url(), manner)
}

pub(crate) fn agent_at(within: &[String], url: &str, manner: Manner) -> Part {
    let Manner { workers, ack_wait, patience, storage, functions } = manner;
    let [workers, ack_wait, patience] =
        [workers as u64, ack_wait, patience].map(|number| number.to_string());
    part(within, "role-agent", &[url, &workers, &ack_wait, &patience, storage, functions])
}
