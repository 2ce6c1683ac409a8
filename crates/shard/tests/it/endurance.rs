//! Many connections, at a time and one after another, to the example `echo_sharded`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{eventually, example, guarded};

struct Echo {
    child: Child,
    address: SocketAddr,
}

impl Echo {
    fn start(more: &[&str]) -> Echo {
        let mut child = Command::new(example("echo_sharded"))
            .args(["--addr", "127.0.0.1:0", "--shards", "0,0"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where");
        let address = line.split(' ').nth(2).and_then(|word| word.strip_suffix(':'));
        let address = address.and_then(|word| word.parse().ok());
        Echo { child, address: address.unwrap_or_else(|| panic!("{line}")) }
    }

    /// The process, and those that it has started.
    fn processes(&self) -> Vec<u32> {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
        let children = children.expect("it runs");
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        children.chain([own]).collect()
    }

    /// Memory in use, in kB.
    fn memory(&self) -> u64 {
        let of = |pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let text = line.expect("told").trim().trim_end_matches(" kB");
            text.parse::<u64>().expect("a number")
        };
        self.processes().into_iter().map(of).sum()
    }

    fn descriptors(&self) -> usize {
        let of = |pid| fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
        self.processes().into_iter().map(of).sum()
    }

    /// So many connections one after another, on four threads.
    fn connect_often(&self, times: usize) {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..times / 4 {
                        let mut client = TcpStream::connect(self.address).expect("it listens");
                        // No port of ours is to be held back behind its end.
                        let linger = Some(std::time::Duration::ZERO);
                        socket2::SockRef::from(&client).set_linger(linger).expect("set");
                        ask(&mut client);
                    }
                });
            }
        });
    }
}

fn ask(client: &mut TcpStream) {
    client.write_all(b"hello").expect("it is there");
    client.read_exact(&mut [0; 5]).expect("an answer");
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn memory_is_level_over_ten_thousand_connections() {
    guarded(|| {
        for accept in ["reuseport", "least-loaded"] {
            let echo = Echo::start(&["--accept", accept]);
            let empty = echo.descriptors();
            echo.connect_often(2000);
            eventually("they are closed", || echo.descriptors() <= empty + 2);
            let before = echo.memory();
            echo.connect_often(10_000);
            eventually("they are closed", || echo.descriptors() <= empty + 2);
            let after = echo.memory();
            // A hundred bytes for each would show.
            assert!(after < before + 1000, "{accept}: {before} kB before, {after} kB after");
        }
    });
}

/// Holds half of them, and serves itself of each when it is told to go on.
fn hold_half(address: SocketAddr, go_on: impl FnOnce()) {
    let connect = |_| TcpStream::connect(address).expect("it listens");
    let mut clients: Vec<_> = (0..HALF).map(connect).collect();
    clients.iter_mut().step_by(7).for_each(ask);
    go_on();
    clients.iter_mut().for_each(ask);
}

const HALF: usize = 10_000;

/// Two processes on either side, since one has not as many descriptors by default.
#[test]
fn twenty_thousand_idle_connections_are_held_and_every_one_is_served() {
    let needed = HALF as u64 + 2000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it can be read");
    let limit = hard.max(needed);
    // The others inherit it. Only who may raises the hard one.
    if setrlimit(Resource::RLIMIT_NOFILE, limit, limit).is_err() {
        println!("skipped: twenty_thousand_idle_connections: the limit of descriptors is {hard}");
        return;
    }
    guarded(move || {
        let echo = Echo::start(&["--mode", "processes"]);
        let empty = echo.memory();
        let own = std::env::current_exe().expect("it runs");
        let mut other = Command::new(own)
            .args(["--exact", "endurance::the_other_half", "--ignored", "--nocapture"])
            .env("ADDRESS", echo.address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        hold_half(echo.address, || {
            let mut lines = BufReader::new(other.stdout.as_mut().expect("piped"));
            let mut line = String::new();
            while line.trim() != "held" {
                line.clear();
                assert!(lines.read_line(&mut line).expect("it is text") > 0, "it failed");
            }
            eventually("all are accepted", || echo.descriptors() > 2 * HALF);
            let each = (echo.memory() - empty) * 1024 / (2 * HALF) as u64;
            assert!(each < 4096, "{each} bytes of memory for each");
            // Its stdin ends: it goes on.
            drop(other.stdin.take());
        });
        assert!(other.wait().expect("it ends").success());
    });
}

#[test]
#[ignore = "no test by itself: the process that holds half of the twenty thousand connections"]
fn the_other_half() {
    let address = std::env::var("ADDRESS").expect("given").parse().expect("an address");
    hold_half(address, || {
        println!("\nheld");
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
    });
}
