//! The interface of the file comparison programs (`file_*`).
//!
//! A program gives up to three functions and calls [`main`]. The file that is read and the order in
//! which its blocks are asked for are those of this file, so that every program reads the same; and
//! each checks that every block is the one it asked for. Only fio has its own order, and checks
//! nothing.

pub mod fio;
pub mod local;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::once::{self, Length};
use crate::pin;
use crate::process::print_metrics;
use crate::spent::Spent;

/// Bytes of a block that is read at random.
pub const BLOCK: usize = 4096;
/// Bytes that are read in one go one after the other.
pub const LARGE: usize = 1 << 20;
/// Bytes of the file that is read: more than the caches of most disks.
pub const LENGTH: u64 = 256 << 20;
/// Bytes of a small file that is copied.
pub const SMALL: usize = 4096;
/// How many of those there are.
pub const FILES: u64 = 200;

/// What one program can do. Each function builds its own runtime, on the calling thread, which is
/// pinned already (threads that it starts are too).
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Reads `count` blocks of the file at random, past the page cache, `depth` of them at a time.
    pub random: Option<fn(file: &Path, depth: usize, count: u64) -> Duration>,
    /// Reads `count` pieces of [`LARGE`] bytes of the file one after the other, past the page
    /// cache, one at a time, from the start again at its end.
    pub sequential: Option<fn(file: &Path, count: u64) -> Duration>,
    /// Copies `count` small files, eight at a time: file `n % FILES` of one folder, see
    /// [`small_file`], to the other.
    pub copy: Option<fn(from: &Path, to: &Path, count: u64) -> Duration>,
}

/// Blocks in random order: a xorshift generator, so that all programs ask for the same.
#[derive(Debug, Clone)]
pub struct Blocks {
    state: u64,
    left: u64,
}

impl Blocks {
    /// So many of them.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self { state: 0x9E37_79B9_7F4A_7C15, left: count }
    }
}

impl Iterator for Blocks {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        Some(self.state % (LENGTH / BLOCK as u64))
    }
}

/// The offset of a block.
#[must_use]
pub fn offset(block: u64) -> u64 {
    block * BLOCK as u64
}

/// The offset of the `n`th large piece.
#[must_use]
pub fn large_offset(n: u64) -> u64 {
    n * LARGE as u64 % LENGTH
}

/// Checks that what was read begins with this block: each begins with its number.
///
/// # Panics
///
/// If it does not.
pub fn check(block: u64, bytes: &[u8]) {
    let number = bytes.first_chunk().map(|number| u64::from_le_bytes(*number));
    assert_eq!(number, Some(block), "not the block that was asked for");
}

/// A small file in a folder.
#[must_use]
pub fn small_file(folder: &Path, n: u64) -> PathBuf {
    folder.join((n % FILES).to_string())
}

/// The file that is read; made if it is not there. It stays, since making it takes longer than
/// reading.
///
/// # Errors
///
/// When there is no room.
fn prepare(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("uring-loop-bench-256M");
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == LENGTH) {
        return Ok(path);
    }
    // Under another name until it is whole: programs may be started side by side.
    let fresh = folder.join(format!("uring-loop-bench-256M.{}", std::process::id()));
    let making = || format!("making {}", fresh.display());
    let mut file = BufWriter::with_capacity(LARGE, File::create(&fresh).with_context(making)?);
    for block in 0..LENGTH / BLOCK as u64 {
        let mut bytes = [0x5a; BLOCK];
        bytes[..8].copy_from_slice(&block.to_le_bytes());
        file.write_all(&bytes).with_context(making)?;
    }
    file.into_inner()?.sync_all().with_context(making)?;
    fs::rename(&fresh, &path).with_context(making)?;
    Ok(path)
}

/// A folder of small files and an empty one, in one that goes with the value.
struct Folders(PathBuf);

impl Folders {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let folders = Folders(folder.join(format!("uring-loop-bench-{}", std::process::id())));
        fs::create_dir_all(folders.from())?;
        fs::create_dir_all(folders.to())?;
        for n in 0..FILES {
            fs::write(small_file(&folders.from(), n), vec![n as u8; SMALL])?;
        }
        Ok(folders)
    }

    fn from(&self) -> PathBuf {
        self.0.join("from")
    }

    fn to(&self) -> PathBuf {
        self.0.join("to")
    }

    /// That the copies are there, and right.
    fn check(&self, count: u64) -> anyhow::Result<()> {
        for n in 0..count.min(FILES) {
            let copy = fs::read(small_file(&self.to(), n))?;
            anyhow::ensure!(copy == vec![n as u8; SMALL], "copy {n} is not like its original");
        }
        Ok(())
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        // Nobody is there to be told.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Measures one thing about reading files and prints one line of JSON.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    length: Length,
    /// Core to run on
    #[arg(long, default_value_t = 0, global = true)]
    core: usize,
    /// Where the files are: on the disk that is meant [default: the folder for temporary files]
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Direct reads of 4 KiB at random
    Random {
        /// Reads at a time
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
        depth: u16,
    },
    /// Direct reads of 1 MiB one after the other
    Sequential,
    /// Copies of small files, eight at a time
    Copy,
}

/// The whole of a `file_*` program. For what it has not it prints an empty object.
///
/// # Errors
///
/// When the files cannot be made, or pinning is refused.
pub fn main(peer: Peer) -> anyhow::Result<()> {
    let options = Options::parse();
    once::limit_life();
    pin::to_core(options.core)?;
    let folder = options.folder.unwrap_or_else(std::env::temp_dir);
    match options.what {
        What::Random { depth } => {
            let Some(random) = peer.random else { return nothing() };
            let file = prepare(&folder)?;
            measure(options.length, |count| random(&file, depth.into(), count))
        }
        What::Sequential => {
            let Some(sequential) = peer.sequential else { return nothing() };
            let file = prepare(&folder)?;
            measure(options.length, |count| sequential(&file, count))
        }
        What::Copy => {
            let Some(copy) = peer.copy else { return nothing() };
            let folders = Folders::new(&folder)?;
            let mut most = 0;
            measure(options.length, |count| {
                most = most.max(count);
                copy(&folders.from(), &folders.to(), count)
            })?;
            folders.check(most)
        }
    }
}

fn nothing() -> anyhow::Result<()> {
    print_metrics([]);
    Ok(())
}

/// Time and CPU time per unit.
fn measure(length: Length, mut work: impl FnMut(u64) -> Duration) -> anyhow::Result<()> {
    let per_unit = length.spent_per_unit(|count| {
        let before = cpu_time()?;
        let time = work(count);
        Ok(Spent { time, cpu: cpu_time()? - before })
    })?;
    print_metrics([("ns", per_unit.ns), ("cpu_ns", per_unit.cpu_ns)]);
    Ok(())
}

/// Of all threads of this process, the kernel's workers for it included, and of its children that
/// have ended (getrusage(2)).
fn cpu_time() -> anyhow::Result<Duration> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let mut microseconds = 0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        microseconds +=
            usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    }
    Ok(Duration::from_micros(u64::try_from(microseconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lie_in_the_file_and_all_over_it() {
        let blocks: Vec<u64> = Blocks::new(10_000).collect();
        assert_eq!(blocks.len(), 10_000);
        let all = LENGTH / BLOCK as u64;
        assert!(blocks.iter().all(|block| *block < all));
        for tenth in 0..10 {
            let range = all * tenth / 10..all * (tenth + 1) / 10;
            let inside = blocks.iter().filter(|block| range.contains(block)).count();
            assert!((800..1200).contains(&inside), "{inside} in tenth {tenth}");
        }
    }
}
