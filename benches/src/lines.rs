//! The interface of the programs that measure reading lines (`lines_*`) from a connection.
//!
//! The other side, a process of its own, writes many lines at a time without a pause, so there is
//! always more to read: what is measured is the reading.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::companion::Companion;
use crate::once::{self, Length, TwoCores};
use crate::pin;
use crate::process::print_metrics;
use crate::spent::Spent;

/// One way to read lines. Every function builds its runtime, connects, reads in a spawned task, and
/// tells what its lines took.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Reads `count` lines, each by itself and where possible into the same memory, and
    /// [checks](Job::check) them.
    pub read_line: fn(job: Job) -> Spent,
    /// The same by what the runtime has as a stream of lines, each with memory of its own.
    pub lines: Option<fn(job: Job) -> Spent>,
}

/// What a program is to do, once.
#[derive(Debug)]
pub struct Job {
    /// Where the lines come from.
    pub from: Address,
    /// How many are to be read; more come.
    pub count: u64,
    /// What they are like.
    pub line: Line,
}

/// What to connect to.
#[derive(Debug)]
pub enum Address {
    /// Over the loopback.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Lines of one length.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// With its `\n`.
    length: usize,
}

/// Lines begin with these letters in turn.
const LETTERS: usize = 26;
/// The other side writes at least so many bytes at a time.
const CHUNK: usize = 64 << 10;

impl Line {
    fn letter(n: u64) -> u8 {
        b'a' + (n % LETTERS as u64) as u8
    }

    /// Checks the `n`th line, which may be with or without its `\n`.
    ///
    /// # Panics
    ///
    /// If it is not that one.
    pub fn check(self, n: u64, line: &[u8]) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let right = text.len() + 1 == self.length && text[0] == Self::letter(n);
        assert!(right, "line {n} is {line:?}");
    }

    /// Some lines after which the letters begin anew.
    fn chunk(self) -> Vec<u8> {
        let rounds = CHUNK.div_ceil(LETTERS * self.length);
        let mut chunk = Vec::with_capacity(rounds * LETTERS * self.length);
        for n in 0..(rounds * LETTERS) as u64 {
            chunk.push(Self::letter(n));
            chunk.resize(chunk.len() + self.length - 2, b'.');
            chunk.push(b'\n');
        }
        chunk
    }
}

/// Measures reading lines and prints one line of JSON.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    duration: Length,
    #[command(flatten)]
    cores: TwoCores,
    /// Bytes of a line, its end included
    #[arg(
        long,
        default_value_t = 80,
        value_parser = clap::value_parser!(u16).range(2..),
        global = true
    )]
    length: u16,
    /// From a Unix socket instead of TCP
    #[arg(long, global = true)]
    unix: bool,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// One line after the other
    ReadLine,
    /// A stream of lines
    Lines,
    #[command(hide = true)]
    OtherWrites,
}

/// The whole of a `lines_*` program. For what it has not it prints an empty object.
///
/// # Errors
///
/// When no connection can be made, or pinning is refused.
pub fn main(peer: Peer) -> anyhow::Result<()> {
    let options = Options::parse();
    once::limit_life();
    let line = Line { length: options.length.into() };
    let way = match options.what {
        What::ReadLine => Some(peer.read_line),
        What::Lines => peer.lines,
        What::OtherWrites => {
            pin::to_core(options.cores.other_core)?;
            return write(options.unix, line);
        }
    };
    let Some(way) = way else {
        print_metrics([]);
        return Ok(());
    };
    pin::to_core(options.cores.core)?;
    let per_unit = options.duration.spent_per_unit(|count| {
        let mut other = other_side(&options)?;
        let address = other.line()?;
        let from = match options.unix {
            true => Address::Unix(address.into()),
            false => Address::Tcp(address.parse()?),
        };
        let spent = way(Job { from, count, line });
        other.finish()?;
        Ok(spent)
    })?;
    print_metrics([("ns", per_unit.ns), ("cpu_ns", per_unit.cpu_ns)]);
    Ok(())
}

fn other_side(options: &Options) -> anyhow::Result<Companion> {
    let words = [
        "other-writes".to_owned(),
        format!("--other-core={}", options.cores.other_core),
        format!("--length={}", options.length),
    ];
    let unix = options.unix.then(|| "--unix".to_owned());
    Companion::start(&words.into_iter().chain(unix).collect::<Vec<_>>())
}

/// The other side: writes to whoever comes, until nobody reads any more.
fn write(unix: bool, line: Line) -> anyhow::Result<()> {
    let mut stream: Box<dyn Write> = if unix {
        let name = format!("uring-loop-bench-{}.socket", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).context("making a socket")?;
        println!("{}", path.display());
        let accepted = listener.accept();
        std::fs::remove_file(&path).context("removing a socket")?;
        Box::new(accepted?.0)
    } else {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        println!("{}", listener.local_addr()?);
        Box::new(listener.accept()?.0)
    };
    let chunk = line.chunk();
    let mut chunks = 0.0;
    while stream.write_all(&chunk).is_ok() {
        chunks += 1.0;
    }
    print_metrics([("bytes", chunks * chunk.len() as f64)]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_of_whole_lines_that_follow_each_other_and_itself() {
        for length in [2, 16, 80, 1024, 65535] {
            let line = Line { length };
            let chunk = line.chunk();
            assert!(chunk.len() >= CHUNK && chunk.len().is_multiple_of(length * LETTERS));
            for (n, text) in chunk.split_inclusive(|byte| *byte == b'\n').enumerate() {
                line.check(n as u64, text);
                line.check(n as u64 + LETTERS as u64, &text[..length - 1]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "line 1 is")]
    fn a_line_that_was_left_out_is_noticed() {
        Line { length: 4 }.check(1, b"a..\n");
    }
}
