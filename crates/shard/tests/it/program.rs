//! An example that serves, started by a test and ended by being dropped.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::eventually;

/// A running server of two shards.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts it on a free port with two shards, and waits until both say where they listen.
    pub(crate) fn start(command: &mut Command) -> Program {
        command.args(["--addr", "127.0.0.1:0", "--shards", "0,0"]).stdout(Stdio::piped());
        // If a test hangs, nobody ends it.
        command.args(["--seconds", "300"]);
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        for _ in 0..2 {
            line.clear();
            lines.read_line(&mut line).expect("every shard says where");
        }
        // Somebody must go on reading, or they would be told that nobody does.
        thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        let word = line.split(' ').nth(2).unwrap_or("").trim_end_matches(':');
        let address = word.parse().unwrap_or_else(|_| panic!("no address in {line:?}"));
        Program { child, address }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn signal(&self, pid: i32, signal: Signal) {
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// The processes that serve, as the kernel knows them.
    pub(crate) fn workers(&self) -> BTreeSet<i32> {
        let file = format!("/proc/{0}/task/{0}/children", self.pid());
        let children = std::fs::read_to_string(file).expect("it runs");
        children.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
    }

    /// Kills a process, and waits for the one that takes its place.
    pub(crate) fn kill(&self, victim: i32) {
        self.signal(victim, Signal::SIGKILL);
        self.is_replaced(victim);
    }

    pub(crate) fn is_replaced(&self, victim: i32) {
        eventually("it is replaced", || {
            let now = self.workers();
            now.len() == 2 && !now.contains(&victim)
        });
    }

    pub(crate) fn ends_well(&mut self) {
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
