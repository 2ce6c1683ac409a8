//! A `nats-server` of a test's own: another port, another folder, ended with the test.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pool_nats::{Queue, Storage};
use tempfile::TempDir;

use crate::roles;
use crate::support::eventually;

pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    port: u16,
    flags: Vec<String>,
    /// `ip netns exec NAME` where it runs in a network namespace.
    within: Vec<String>,
}

/// Where the program is; Debian puts it where not everybody looks.
fn program() -> Option<&'static str> {
    let there = |path: &&str| {
        let mut command = Command::new(path);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ["nats-server", "/usr/sbin/nats-server"].into_iter().find(there)
}

/// A port that is free at this moment; others ask for theirs in the same way, so it stays so for a
/// while.
pub(crate) fn free_port() -> u16 {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    free.local_addr().unwrap().port()
}

/// Whether the tests can run; says so if they cannot.
pub(crate) fn is_there(test: &str) -> bool {
    let there = program().is_some();
    assert!(
        there || std::env::var_os("SERVERS_REQUIRED").is_none(),
        "nats-server is missing (apt-get install nats-server), and SERVERS_REQUIRED is set"
    );
    if !there {
        println!("skipped: {test}: it needs nats-server (apt-get install nats-server)");
    }
    there
}

/// A server with JetStream; `None` where there is none to be had, which is said.
pub(crate) fn server(test: &str) -> Option<Server> {
    Server::start(test, &["-js"])
}

impl Server {
    pub(crate) fn start(test: &str, flags: &[&str]) -> Option<Server> {
        Self::start_within(test, Vec::new(), free_port(), flags)
    }

    pub(crate) fn start_within(
        test: &str,
        within: Vec<String>,
        port: u16,
        flags: &[&str],
    ) -> Option<Server> {
        if !is_there(test) {
            return None;
        }
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let folder = tempfile::Builder::new().prefix("pool-nats-").tempdir().unwrap();
        let child = spawn(&within, port, &flags, folder.path());
        let server = Server { child, folder, port, flags, within };
        server.wait_until_up();
        Some(server)
    }

    fn wait_until_up(&self) {
        if self.within.is_empty() {
            eventually("the server answers", || {
                TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            });
        } else {
            eventually("the server is ready", || self.log().contains("Server is ready"));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The queue of the tests, in files: who falls silent is given up after a second.
    pub(crate) fn queue(&self) -> Queue {
        queue(&self.url(), 1000, "file")
    }

    /// A place for files of the test.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// What it has written down of itself.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL: nothing is written down any more.
    pub(crate) fn kill(&mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL).unwrap();
        self.child.wait().unwrap();
    }

    /// The same port and the same files.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.within, self.port, &self.flags, self.folder.path());
        self.wait_until_up();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(within: &[String], port: u16, flags: &[String], folder: &Path) -> Child {
    let address = if within.is_empty() { "127.0.0.1" } else { "0.0.0.0" };
    let mut command = roles::command(within, "role-server");
    command.arg(program().unwrap()).args(["-a", address, "-p", &port.to_string()]).args(flags);
    command.arg("-sd").arg(folder).arg("-l").arg(folder.join("log"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// A queue named `tests`.
pub(crate) fn queue(url: &str, ack_wait_millis: u64, storage: &str) -> Queue {
    let storage = if storage == "memory" { Storage::Memory } else { Storage::File };
    let ack_wait = std::time::Duration::from_millis(ack_wait_millis);
    Queue::new(url, "tests").storage(storage).ack_wait(ack_wait)
}
