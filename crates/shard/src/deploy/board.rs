//! What shards say of themselves, where all processes can read it.
//!
//! # Life story
//!
//! A file in memory (memfd_create(2)), sealed to its size, with a record for each shard. The
//! supervisor makes it and reads it; a worker inherits it and writes its own record, once in a
//! while, by one pwrite(2). During a reload a successor writes where its predecessor wrote, which
//! has stopped then. A record can be read while it is written, so it carries a sum; one that does
//! not add up is read again, and then left out. No process maps the file: a worker that is killed
//! at any point leaves at worst a record that does not add up.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::server::Listener;

const WORDS: usize = 6;
const RECORD: usize = WORDS * 8;

/// How a shard stands; from [`Deploy::statistics`](crate::Deploy::statistics).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ShardStatistics {
    /// Its index.
    pub shard: usize,
    /// The process it is in.
    pub process: u32,
    /// Connections that it has.
    pub connections: usize,
    /// Connections that it has accepted since it began.
    pub accepted: u64,
    /// How long ready tasks wait for their turn, smoothed; measured where it decides about
    /// connections.
    pub delay: Duration,
    /// When its loop had its last turn that it told of, by CLOCK_MONOTONIC.
    pub(super) alive: Duration,
}

impl ShardStatistics {
    /// That of a shard of this process, with all its listeners.
    pub(super) fn of(listeners: &[Listener], shard: usize) -> Self {
        let all = listeners.iter();
        ShardStatistics {
            shard,
            process: std::process::id(),
            connections: all.clone().map(|listener| listener.connections(shard)).sum(),
            accepted: all.clone().map(|listener| listener.accepted(shard)).sum(),
            delay: all.map(|listener| listener.delay(shard)).max().unwrap_or_default(),
            alive: Duration::ZERO,
        }
    }

    fn encode(&self) -> [u8; RECORD] {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (delay, alive) = (micros(self.delay), micros(self.alive));
        let values =
            [u64::from(self.process), self.connections as u64, self.accepted, delay, alive];
        let mut record = [0; RECORD];
        for (place, value) in record.chunks_mut(8).zip([&values[..], &[sum(&values)]].concat()) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        record
    }

    /// `None`: nobody has written it, or somebody is at it.
    fn decode(shard: usize, record: &[u8; RECORD]) -> Option<Self> {
        let mut values = [0_u64; WORDS];
        for (value, bytes) in values.iter_mut().zip(record.chunks_exact(8)) {
            *value = u64::from_ne_bytes(bytes.try_into().ok()?);
        }
        let [process, connections, accepted, delay, alive, told] = values;
        let adds_up = told == sum(&values[..WORDS - 1]) || mutant!("torn-records-are-believed");
        adds_up.then(|| ShardStatistics {
            shard,
            process: process as u32,
            connections: connections as usize,
            accepted,
            delay: Duration::from_micros(delay),
            alive: Duration::from_micros(alive),
        })
    }
}

/// Never 0, so that an empty record does not add up.
fn sum(values: &[u64]) -> u64 {
    let mix = |sum: u64, value: &u64| (sum ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
    values.iter().fold(0x5368_6172_6421, mix) | 1
}

#[derive(Debug)]
pub(super) struct Board(File);

impl Board {
    /// One for so many shards, inherited by children.
    pub(super) fn new(shards: usize) -> io::Result<Self> {
        let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
        let file = File::from(memfd_create(c"shards", flags)?);
        file.set_len((shards * RECORD) as u64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
        fcntl(file.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(Board(file))
    }

    /// The one that was inherited; it is not inherited further.
    pub(super) fn inherited(fd: OwnedFd) -> io::Result<Self> {
        fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok(Board(fd.into()))
    }

    pub(super) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(super) fn write(&self, statistics: &ShardStatistics) -> io::Result<()> {
        self.0.write_all_at(&statistics.encode(), (statistics.shard * RECORD) as u64)
    }

    /// `None`: it has not said anything yet.
    pub(super) fn read(&self, shard: usize) -> Option<ShardStatistics> {
        (0..2).find_map(|_| {
            let mut record = [0; RECORD];
            self.0.read_exact_at(&mut record, (shard * RECORD) as u64).ok()?;
            ShardStatistics::decode(shard, &record)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(shard: usize) -> ShardStatistics {
        let delay = Duration::from_micros(77);
        let alive = Duration::from_micros(1 << 50);
        ShardStatistics { shard, process: 123, connections: 5, accepted: 1 << 40, delay, alive }
    }

    #[test]
    fn what_a_shard_writes_is_read_and_what_nobody_wrote_is_not() {
        let board = Board::new(3).expect("made");
        board.write(&some(1)).expect("written");
        assert_eq!(board.read(1), Some(some(1)));
        assert_eq!((board.read(0), board.read(2), board.read(3)), (None, None, None));
    }

    #[test]
    fn a_record_that_is_half_written_is_left_out() {
        let (old, new) = (some(0).encode(), ShardStatistics { connections: 9, ..some(0) }.encode());
        for cut in 9..RECORD - 1 {
            let mut torn = old;
            torn[..cut].copy_from_slice(&new[..cut]);
            let read = ShardStatistics::decode(0, &torn);
            assert!(read.is_none() || torn == new || torn == old, "cut at {cut}: {read:?}");
        }
    }

    #[test]
    fn the_board_cannot_be_made_shorter() {
        let board = Board::new(1).expect("made");
        assert!(board.0.set_len(0).is_err());
    }
}
