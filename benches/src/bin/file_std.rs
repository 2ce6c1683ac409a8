//! Threads and std: one thread for each read at a time.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use benches::files::{self, BLOCK, Blocks, LARGE, Peer};
use uring_loop::buf::AlignedBuf;

fn main() -> anyhow::Result<()> {
    files::main(Peer { random: Some(random), sequential: Some(sequential), copy: Some(copy) })
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).expect("the file")
}

fn random(path: &Path, depth: usize, count: u64) -> Duration {
    let file = open(path);
    let blocks = Mutex::new(Blocks::new(count));
    let next = || blocks.lock().expect("no panic").next();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..depth {
            scope.spawn(|| {
                let mut buffer = AlignedBuf::zeroed(BLOCK);
                while let Some(block) = next() {
                    file.read_exact_at(&mut buffer, files::offset(block)).expect("a disk");
                    files::check(block, &buffer);
                }
            });
        }
    });
    begin.elapsed()
}

fn sequential(path: &Path, count: u64) -> Duration {
    let file = open(path);
    let mut buffer = AlignedBuf::zeroed(LARGE);
    let begin = Instant::now();
    for n in 0..count {
        let offset = files::large_offset(n);
        file.read_exact_at(&mut buffer, offset).expect("a disk");
        files::check(offset / BLOCK as u64, &buffer);
    }
    begin.elapsed()
}

fn copy(from: &Path, to: &Path, count: u64) -> Duration {
    let numbers = Mutex::new(0..count);
    let next = || numbers.lock().expect("no panic").next();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(n) = next() {
                    let (from, to) = (files::small_file(from, n), files::small_file(to, n));
                    let copied = std::fs::copy(from, to).expect("a disk");
                    assert_eq!(copied, files::SMALL as u64);
                }
            });
        }
    });
    begin.elapsed()
}
