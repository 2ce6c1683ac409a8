//! The floor: a bare ring, one entry and one buffer for each read at a time, no tasks.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use benches::files::{self, BLOCK, Blocks, LARGE, Peer};
use benches::uring::{self, Parts};
use io_uring::{opcode, types};
use uring_loop::buf::AlignedBuf;

fn main() -> anyhow::Result<()> {
    files::main(Peer { random: Some(random), sequential: Some(sequential), copy: None })
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).expect("the file")
}

/// Reads a piece of `length` bytes for each offset, `depth` at a time; `check` sees them.
fn read_all(
    path: &Path,
    (depth, length): (usize, usize),
    mut offsets: impl Iterator<Item = u64>,
    mut check: impl FnMut(u64, &[u8]),
) -> Duration {
    let file = open(path);
    let mut buffers: Vec<AlignedBuf> = (0..depth).map(|_| AlignedBuf::zeroed(length)).collect();
    let mut wanted = vec![0; depth];
    let mut ring = uring::build(depth as u32 * 2, depth as u32 * 4).expect("a ring");
    let mut parts = Parts::new(&mut ring).expect("a ring");
    let mut free: Vec<usize> = (0..depth).collect();
    let begin = Instant::now();
    loop {
        while let Some(at) = free.pop() {
            let Some(offset) = offsets.next() else {
                free.push(at);
                break;
            };
            wanted[at] = offset;
            let pointer = buffers[at].as_mut_ptr();
            let read = opcode::Read::new(types::Fd(file.as_raw_fd()), pointer, length as u32);
            let entry = read.offset(offset).build().user_data(at as u64);
            // SAFETY: the buffer stays where it is, and is not touched until its completion.
            unsafe { parts.push(&entry) }.expect("room for an entry");
        }
        if free.len() == depth {
            return begin.elapsed();
        }
        parts.enter(1).expect("nothing is wrong with the ring");
        for done in &mut parts.done {
            let at = done.user_data() as usize;
            assert_eq!(done.result(), length as i32);
            check(wanted[at], &buffers[at]);
            free.push(at);
        }
    }
}

fn random(path: &Path, depth: usize, count: u64) -> Duration {
    let offsets = Blocks::new(count).map(files::offset);
    read_all(path, (depth, BLOCK), offsets, |offset, bytes| {
        files::check(offset / BLOCK as u64, bytes);
    })
}

fn sequential(path: &Path, count: u64) -> Duration {
    let offsets = (0..count).map(files::large_offset);
    read_all(path, (1, LARGE), offsets, |offset, bytes| {
        files::check(offset / BLOCK as u64, bytes);
    })
}
