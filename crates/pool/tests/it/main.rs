//! The tests of both pools. A program of its own (`harness = false`), because the workers of a
//! process pool are this very program and must turn aside at the top of `main`.
//!
//! Takes what cargo passes on: name filters, `--exact`, `--skip`, `--list`, `--nocapture`,
//! `--test-threads`, `--ignored` (there are none) and `--format terse`.

mod awaiting;
mod event_loop;
mod example;
mod handshake;
mod hygiene;
mod life;
mod limits;
mod maps;
mod ported;
mod processes;
mod properties;
mod runner;
mod scopes;
mod sets;
mod shared;
mod sleeping;
mod support;
mod survival;
mod threads;

fn main() -> std::process::ExitCode {
    // A child of a test that must not be a pool's worker, see `processes`.
    if let Some(code) = processes::without_init() {
        return code;
    }
    pool::init();
    survival::child_roles();
    runner::main(&all())
}

fn all() -> Vec<runner::Test> {
    [
        threads::TESTS,
        ported::TESTS,
        processes::TESTS,
        properties::TESTS,
        survival::TESTS,
        awaiting::TESTS,
        event_loop::TESTS,
        example::TESTS,
        handshake::TESTS,
        hygiene::TESTS,
        life::TESTS,
        limits::TESTS,
        maps::TESTS,
        scopes::TESTS,
        sets::TESTS,
        shared::TESTS,
        sleeping::TESTS,
    ]
    .concat()
}
