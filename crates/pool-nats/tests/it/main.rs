//! The tests of the pool past one machine: against a real `nats-server`, one for each test, with
//! agents that are processes of their own. A program of its own (`harness = false`), for the
//! workers of the agents are this very program.
//!
//! Without `nats-server` the tests print that they are skipped, and pass; with the variable
//! `SERVERS_REQUIRED` set they fail.

mod away;
mod cluster;
mod example;
mod far;
mod faults;
mod jobs;
mod line;
mod partition;
mod permissions;
mod refusals;
mod roles;
#[path = "../../../pool/tests/it/runner.rs"]
mod runner;
mod server;
mod servers;
mod support;
mod tls;
mod work;

fn main() -> std::process::ExitCode {
    pool::init();
    if let Some(code) = roles::play() {
        return code;
    }
    runner::main(&all())
}

fn all() -> Vec<runner::Test> {
    // The slowest first: two run at a time.
    [
        cluster::TESTS,
        far::TESTS,
        partition::TESTS,
        faults::TESTS,
        away::TESTS,
        jobs::TESTS,
        permissions::TESTS,
        refusals::TESTS,
        tls::TESTS,
        example::TESTS,
    ]
    .concat()
}
