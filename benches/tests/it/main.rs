//! The measured programs do what they say: servers echo every byte in order, also under pressure
//! and on both load makers, or answer every request; they announce themselves and end when they
//! should; programs that measure themselves measure what they say; `compare` drives them all.

mod compare;
mod echo;
mod foreign;
mod http;
mod life;
mod programs;
mod workloads;

use std::path::Path;

/// The echo servers.
const SERVERS: [&str; 7] = [
    env!("CARGO_BIN_EXE_echo_compio"),
    env!("CARGO_BIN_EXE_echo_epoll"),
    env!("CARGO_BIN_EXE_echo_floor"),
    env!("CARGO_BIN_EXE_echo_glommio"),
    env!("CARGO_BIN_EXE_echo_monoio"),
    env!("CARGO_BIN_EXE_echo_ours"),
    env!("CARGO_BIN_EXE_echo_tokio"),
];

fn start(program: &str, options: &[&str]) -> benches::process::Server {
    benches::process::Server::start(Path::new(program), options).unwrap()
}
