//! The other side of datagrams: asks, floods or swallows, in a process of its own, with bare
//! sockets and many datagrams per call, so that it is not what the measured side waits for.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::{Batch, number, set_number};
use crate::companion::told_to_end;
use crate::process::print_metrics;

/// Datagrams of one call.
const TOGETHER: usize = 32;
/// How long a socket waits before this side looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(10);
/// Whoever was asked and says nothing for so long will not answer any more.
const SILENCE: Duration = Duration::from_secs(5);

fn socket(to: Option<SocketAddr>) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("binding a socket")?;
    if let Some(address) = to {
        socket.connect(address).context("connecting a socket")?;
    }
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// What is not there yet, and what tells that the measured side has closed its socket.
fn harmless(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionRefused)
}

/// Keeps `depth` datagrams under way and checks that what comes back is what was sent, once.
pub(super) fn ask(to: SocketAddr, size: usize, depth: usize) -> anyhow::Result<()> {
    let (socket, told) = (socket(Some(to))?, told_to_end()?);
    let (mut out, mut back) = (Batch::new(depth, size), Batch::new(depth, size));
    // What is under way: a number goes to the place that is its remainder, and its successor there
    // is the next with that.
    let mut awaited: Vec<u64> = (0..depth as u64).collect();
    awaited.iter().enumerate().for_each(|(n, &first)| set_number(out.room(n), first));
    out.send(&socket, depth)?;
    let mut heard = Instant::now();
    let mut answers = 0.0;
    while !told.load(Ordering::Acquire) {
        let count = match back.receive(&socket) {
            Err(error) if harmless(&error) => {
                ensure!(heard.elapsed() < SILENCE, "no answer for {SILENCE:?}");
                continue;
            }
            received => received.context("receiving answers")?,
        };
        heard = Instant::now();
        for n in 0..count {
            let answer = back.datagram(n);
            ensure!(answer.len() == size, "an answer has {} bytes", answer.len());
            let awaited = &mut awaited[(number(answer) % depth as u64) as usize];
            ensure!(number(answer) == *awaited, "an answer that was not awaited");
            *awaited += depth as u64;
            set_number(out.room(n), *awaited);
        }
        answers += count as f64;
        match out.send(&socket, count) {
            Err(error) if harmless(&error) => {}
            sent => sent.context("asking")?,
        }
    }
    print_metrics([("answers", answers)]);
    Ok(())
}

/// Sends numbered datagrams without a pause.
pub(super) fn flood(to: SocketAddr, size: usize) -> anyhow::Result<()> {
    let (socket, told) = (socket(Some(to))?, told_to_end()?);
    let mut batch = Batch::new(TOGETHER, size);
    let mut next = 0;
    while !told.load(Ordering::Acquire) {
        for n in 0..TOGETHER {
            set_number(batch.room(n), next);
            next += 1;
        }
        match batch.send(&socket, TOGETHER) {
            Err(error) if harmless(&error) => {}
            sent => sent.context("flooding")?,
        }
    }
    print_metrics([("sent", next as f64)]);
    Ok(())
}

/// Swallows datagrams of one size and counts them. Told to end, it takes what is there still.
pub(super) fn swallow(size: usize) -> anyhow::Result<()> {
    let socket = socket(None)?;
    println!("{}", socket.local_addr()?);
    let told = told_to_end()?;
    let mut batch = Batch::new(TOGETHER, size + 1);
    let mut received = 0;
    loop {
        let ending = told.load(Ordering::Acquire);
        match batch.receive(&socket) {
            Err(error) if harmless(&error) && ending => break,
            Err(error) if harmless(&error) => {}
            Err(error) => return Err(error).context("swallowing"),
            Ok(count) => {
                let strange = (0..count).find(|&n| batch.datagram(n).len() != size);
                if let Some(n) = strange {
                    bail!("a datagram has {} bytes", batch.datagram(n).len());
                }
                received += count;
            }
        }
    }
    print_metrics([("received", received as f64)]);
    Ok(())
}
