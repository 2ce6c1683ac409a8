//! The example: the golden output of `primes`, from other machines.

use std::process::{Command, Output, Stdio};

use crate::roles::Part;
use crate::server::{Server, server};

crate::tests![primes_cluster_prints_the_golden_lines];

const GOLDEN: &str = include_str!("../../../pool/tests/data/s000_primes.txt");

/// The program, built by cargo beside this one: built again now, for cargo does so by itself only
/// when all targets are tested.
fn program() -> std::path::PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().unwrap().parent().unwrap();
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut cargo = Command::new(cargo);
        cargo.args(["build", "--quiet", "--package", "pool-nats", "--examples"]);
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
    }
    profile.join("examples").join("primes_cluster")
}

fn run(server: &Server, flags: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(["--server", &server.url()]).args(flags);
    command.output().unwrap()
}

fn primes_cluster_prints_the_golden_lines() {
    let Some(server) = server("primes_cluster_prints_the_golden_lines") else { return };
    let mut agent = Command::new(program());
    agent.args(["--agent", "--server", &server.url()]).stdin(Stdio::null()).stderr(Stdio::null());
    let _agent = Part(agent.spawn().unwrap());
    let output = run(&server, &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), GOLDEN);
    let output = run(&server, &["--upto", "20000"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2262 primes up to 20000\n");
    let output = run(&server, &["--fibers"]);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("usage: primes_cluster"));
}
