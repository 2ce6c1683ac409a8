//! The interface of the programs that measure datagrams (`udp_*`): UDP over the loopback.
//!
//! The measured side has a process and a core to itself; the other side (`udp/other.rs`) is the
//! same for all. A program says how its runtime answers, receives and sends.

mod batch;
mod other;

use std::net::{SocketAddr, UdpSocket};

use clap::{Parser, Subcommand};

pub use batch::Batch;

use crate::companion::Companion;
use crate::once::{self, Length, TwoCores};
use crate::pin;
use crate::process::print_metrics;
use crate::spent::Spent;

/// One way to deal with datagrams. Every function builds its runtime and tells what its datagrams
/// took.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Receives datagrams and sends each back to where it came from.
    pub answer: fn(job: Job) -> Spent,
    /// The same with a task for each answer, where the runtime has tasks.
    pub answer_by_tasks: Option<fn(job: Job) -> Spent>,
    /// Receives datagrams, and [notes](Tally::note) each.
    pub receive: fn(job: Job) -> (Spent, Tally),
    /// Sends datagrams of `size` bytes to where the socket is connected, from `depth` tasks; in
    /// all at least `count`, and how many.
    pub send: fn(job: Job) -> (Spent, u64),
}

/// What a program is to do, once.
#[derive(Debug)]
pub struct Job {
    /// Bound, and connected where it sends. It blocks.
    pub socket: UdpSocket,
    /// Datagrams.
    pub count: u64,
    /// Bytes of each.
    pub size: usize,
    /// How many are under way at a time.
    pub depth: usize,
}

/// Which datagrams of a flood have come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// The number of the first, and that behind the last.
    range: Option<(u64, u64)>,
    received: u64,
}

impl Tally {
    /// One has come.
    ///
    /// # Panics
    ///
    /// If it is older than the one before: the loopback keeps their order.
    pub fn note(&mut self, datagram: &[u8]) {
        let number = number(datagram);
        let (_, next) = self.range.get_or_insert((number, number));
        assert!(number >= *next, "an old datagram");
        *next = number + 1;
        self.received += 1;
    }

    /// How many were sent from the first to the last, and how many of those have come.
    fn counts(self) -> (u64, u64) {
        let (first, next) = self.range.unwrap_or_default();
        (next - first, self.received)
    }
}

/// The number that a datagram begins with.
fn number(datagram: &[u8]) -> u64 {
    u64::from_le_bytes(*datagram.first_chunk().expect("it has room for a number"))
}

fn set_number(datagram: &mut [u8], number: u64) {
    datagram[..8].copy_from_slice(&number.to_le_bytes());
}

/// Measures datagrams over the loopback and prints one line of JSON.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    cores: TwoCores,
    /// Bytes of a datagram
    #[arg(
        long,
        default_value_t = 64,
        value_parser = clap::value_parser!(u16).range(8..=1472),
        global = true
    )]
    size: u16,
    /// How many are under way at a time
    #[arg(
        long,
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=128),
        global = true
    )]
    depth: u16,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// The other side asks, this one answers
    Answer,
    /// The same, with a task for each answer
    AnswerByTasks,
    /// The other side floods, this one receives
    Receive,
    /// This side floods, from as many tasks as it has under way
    Send,
    #[command(hide = true)]
    OtherAsks { to: SocketAddr },
    #[command(hide = true)]
    OtherFloods { to: SocketAddr },
    #[command(hide = true)]
    OtherSwallows,
}

/// The whole of a `udp_*` program. For what it has not it prints an empty object.
///
/// # Errors
///
/// When sockets or processes cannot be had, pinning is refused, or the other side found a mistake.
pub fn main(peer: Peer) -> anyhow::Result<()> {
    let options = Options::parse();
    once::limit_life();
    let (size, depth) = (options.size.into(), options.depth.into());
    match options.what {
        What::Answer | What::AnswerByTasks | What::Receive | What::Send => {
            pin::to_core(options.cores.core)?;
            measure(peer, &options)
        }
        What::OtherAsks { to } => {
            pin::to_core(options.cores.other_core)?;
            other::ask(to, size, depth)
        }
        What::OtherFloods { to } => {
            pin::to_core(options.cores.other_core)?;
            other::flood(to, size)
        }
        What::OtherSwallows => {
            pin::to_core(options.cores.other_core)?;
            other::swallow(size)
        }
    }
}

fn measure(peer: Peer, options: &Options) -> anyhow::Result<()> {
    if matches!(options.what, What::AnswerByTasks) && peer.answer_by_tasks.is_none() {
        print_metrics([]);
        return Ok(());
    }
    // Of the last run, which is the one that counts.
    let mut lost = 0.0;
    let per_unit = options.length.spent_per_unit(|count| {
        let (spent, sent, received) = match options.what {
            What::Answer => answer(peer.answer, options, count)?,
            What::AnswerByTasks => {
                let by_tasks = peer.answer_by_tasks.expect("looked at before");
                answer(by_tasks, options, count)?
            }
            What::Receive => receive(peer, options, count)?,
            _ => send(peer, options, count)?,
        };
        lost = (sent - received) as f64 / sent as f64;
        Ok(spent)
    })?;
    print_metrics([
        ("ns", per_unit.ns),
        ("cpu_ns", per_unit.cpu_ns),
        ("per_second", 1e9 / per_unit.ns),
        ("lost_percent", lost * 100.0),
    ]);
    Ok(())
}

/// What was spent, and how many datagrams were sent and received.
type Run = (Spent, u64, u64);

fn job(options: &Options, socket: UdpSocket, count: u64) -> Job {
    Job { socket, count, size: options.size.into(), depth: options.depth.into() }
}

fn other_side(options: &Options, what: &[String]) -> anyhow::Result<Companion> {
    let number = |name: &str, number: usize| [format!("--{name}"), number.to_string()];
    let numbers = [
        number("other-core", options.cores.other_core),
        number("size", options.size.into()),
        number("depth", options.depth.into()),
    ];
    Companion::start(&[what, &numbers.concat()].concat())
}

fn answer(how: fn(Job) -> Spent, options: &Options, count: u64) -> anyhow::Result<Run> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let to = socket.local_addr()?.to_string();
    let other = other_side(options, &["other-asks".to_owned(), to])?;
    let spent = how(job(options, socket, count));
    other.finish()?;
    Ok((spent, count, count))
}

fn receive(peer: Peer, options: &Options, count: u64) -> anyhow::Result<Run> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let to = socket.local_addr()?.to_string();
    let other = other_side(options, &["other-floods".to_owned(), to])?;
    let (spent, tally) = (peer.receive)(job(options, socket, count));
    other.finish()?;
    let (sent, received) = tally.counts();
    anyhow::ensure!(received == count, "{received} datagrams were received instead of {count}");
    Ok((spent, sent, received))
}

fn send(peer: Peer, options: &Options, count: u64) -> anyhow::Result<Run> {
    let mut other = other_side(options, &["other-swallows".to_owned()])?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(other.line()?)?;
    let (spent, sent) = (peer.send)(job(options, socket, count));
    let received = other.finish()?.get("received").copied().unwrap_or(0.0) as u64;
    anyhow::ensure!(sent >= count, "{sent} datagrams were sent instead of {count}");
    anyhow::ensure!((1..=sent).contains(&received), "{received} of {sent} datagrams arrived");
    let share = count as f64 / sent as f64;
    let spent = Spent { time: spent.time.mul_f64(share), cpu: spent.cpu.mul_f64(share) };
    Ok((spent, sent, received))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_flood_has_lost_is_seen_by_its_numbers() {
        let mut tally = Tally::default();
        for number in [5, 6, 9, 10_u64] {
            tally.note(&number.to_le_bytes());
        }
        assert_eq!(tally.counts(), (6, 4));
    }

    #[test]
    #[should_panic(expected = "an old datagram")]
    fn nothing_counts_twice() {
        let mut tally = Tally::default();
        tally.note(&7_u64.to_le_bytes());
        tally.note(&7_u64.to_le_bytes());
    }
}
