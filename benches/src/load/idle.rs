//! What idle connections cost: open many, let each echo a little, leave them alone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::connection::open;
use super::pattern::Pattern;

/// What each connection exchanges before it falls silent, so that the server has built whatever it
/// builds for a connection.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    /// Messages there and back, one at a time.
    pub messages: usize,
    /// Bytes of each; at most what a socket takes without being read, 64 KiB.
    pub size: usize,
}

/// Opens `count` connections and lets each exchange what `before` says. They stay open, silent,
/// until dropped.
///
/// # Errors
///
/// When a connection is refused or an echo is not what was sent within ten seconds.
pub fn settle(server: SocketAddr, count: usize, before: Before) -> anyhow::Result<Vec<TcpStream>> {
    let pattern = Pattern::new(before.size);
    let mut echoed = vec![0; before.size];
    let mut streams = open(server, count)?;
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut position = pattern.start(number);
        for _ in 0..before.messages {
            let sent = pattern.at(position, before.size);
            stream.write_all(sent)?;
            let read = stream.read_exact(&mut echoed);
            read.with_context(|| format!("the echo of connection {number}"))?;
            ensure!(echoed == sent, "connection {number} got back something else");
            position = pattern.advance(position, before.size);
        }
    }
    Ok(streams)
}
