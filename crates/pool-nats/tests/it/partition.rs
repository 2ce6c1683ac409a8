//! The network between client, server and agents breaks, and heals.
//!
//! Server, client and one agent are in network namespaces of their own, on one machine: links
//! between them are taken down and up again. That needs root and `ip` (iproute2), and is skipped
//! elsewhere.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::roles::{Manner, agent_at, part};
use crate::server::{Server, is_there};
use crate::support::eventually;

crate::tests![a_network_that_breaks_and_heals_loses_nothing];

/// Three namespaces: the server's, and two with a link to it each.
struct Net {
    name: String,
}

/// Their ends of the links have these addresses; nobody outside of the namespaces sees them.
const SERVER: [&str; 2] = ["10.77.1.1", "10.77.2.1"];
const OTHER: [&str; 2] = ["10.77.1.2", "10.77.2.2"];

fn ip(words: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Net {
    /// `None` where it cannot be had.
    fn new() -> Option<Net> {
        let net = Net { name: format!("pn{}", std::process::id()) };
        let name = &net.name;
        let mut fine = ip(&format!("netns add {name}s"));
        fine &= ip(&format!("-n {name}s link set lo up"));
        for (n, (server, other)) in SERVER.into_iter().zip(OTHER).enumerate() {
            fine &= ip(&format!("netns add {name}{n}"));
            let veth = format!("link add l{n} type veth peer name l{n} netns {name}{n}");
            fine &= ip(&format!("-n {name}s {veth}"));
            fine &= ip(&format!("-n {name}s addr add {server}/24 dev l{n}"));
            fine &= ip(&format!("-n {name}{n} addr add {other}/24 dev l{n}"));
            fine &= ip(&format!("-n {name}s link set l{n} up"));
            fine &= ip(&format!("-n {name}{n} link set l{n} up"));
            fine &= ip(&format!("-n {name}{n} link set lo up"));
        }
        fine.then_some(net)
    }

    fn within(&self, which: &str) -> Vec<String> {
        ["ip", "netns", "exec", &format!("{}{which}", self.name)].map(str::to_owned).to_vec()
    }

    fn set_link(&self, n: usize, state: &str) {
        assert!(ip(&format!("-n {}s link set l{n} {state}", self.name)));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for which in ["s", "0", "1"] {
            let _ = ip(&format!("netns del {}{which}", self.name));
        }
    }
}

fn a_network_that_breaks_and_heals_loses_nothing() {
    const TEST: &str = "a_network_that_breaks_and_heals_loses_nothing";
    if !is_there(TEST) {
        return;
    }
    let Some(net) = Net::new() else {
        println!("skipped: {TEST}: it needs root, network namespaces and `ip` (iproute2)");
        return;
    };
    let server = Server::start_within(TEST, net.within("s"), 4222, &["-js"]).unwrap();
    let manner = Manner { workers: 1, ..Manner::default() };
    let _here = agent_at(&net.within("s"), "nats://127.0.0.1:4222", manner);
    let _there = agent_at(&net.within("0"), &format!("nats://{}:4222", SERVER[0]), manner);
    let url = format!("nats://{}:4222", SERVER[1]);
    let mut client = part(&net.within("1"), "role-client", &[&url, "3000"]);
    let mut said = BufReader::new(client.0.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "submitted\n");
    std::thread::sleep(Duration::from_millis(300));
    // An agent is cut off for longer than it may be silent about a job, then the client.
    for link in [0, 1] {
        net.set_link(link, "down");
        std::thread::sleep(Duration::from_millis(2500));
        net.set_link(link, "up");
    }
    let mut text = String::new();
    said.read_to_string(&mut text).unwrap();
    assert_eq!(text, "3000 right of 3000\n");
    eventually("the client ends", || client.0.try_wait().unwrap().is_some());
    drop(server);
}
