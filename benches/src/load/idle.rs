//! What idle connections cost: open many, let each echo once, leave them alone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::connection::open;
use super::pattern::Pattern;

/// Opens `count` connections and sends 64 bytes over each and back, so that the server has built
/// whatever it builds for a connection. They stay open, silent, until dropped.
///
/// # Errors
///
/// When a connection is refused or its echo is not what was sent within ten seconds.
pub fn settle(server: SocketAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let pattern = Pattern::new(64);
    let mut streams = open(server, count)?;
    for (number, stream) in streams.iter_mut().enumerate() {
        let sent = pattern.at(Pattern::start(number), 64);
        let mut echoed = [0; 64];
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(sent)?;
        stream.read_exact(&mut echoed).with_context(|| format!("echo of connection {number}"))?;
        ensure!(echoed[..] == *sent, "connection {number} got back something else");
    }
    Ok(streams)
}
