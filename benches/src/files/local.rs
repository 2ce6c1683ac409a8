//! Reading a file on a runtime whose futures stay on its thread: what those programs have in
//! common. How a block is read, and into what, each says for itself.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{BLOCK, Blocks, LARGE, Peer, check, large_offset, offset};

/// A runtime.
pub trait Runtime: 'static {
    /// Builds one, and runs a future in a task of it.
    fn run(future: impl Future<Output = Duration> + 'static) -> Duration;
    /// Starts a task; the future waits for its end.
    fn spawn(future: impl Future<Output = ()> + 'static) -> impl Future<Output = ()>;
}

/// A file of such a runtime that is read directly.
pub trait DirectFile: Clone + 'static {
    /// Whose it is.
    type Runtime: Runtime;
    /// What a reader reads into, again and again, or what it was given last.
    type Buffer: 'static;

    /// Opens it for so many readers, of so many bytes at a time.
    fn open(path: PathBuf, readers: usize, length: usize) -> impl Future<Output = Self>;
    /// The buffer of one of them.
    fn buffer(&self, length: usize) -> Self::Buffer;
    /// Reads the whole length of the buffer at this offset.
    fn read(&self, buffer: Self::Buffer, offset: u64) -> impl Future<Output = Self::Buffer>;
    /// What was read.
    fn bytes(buffer: &Self::Buffer) -> &[u8];
}

/// A program that reads by `F`, and copies nothing.
#[must_use]
pub fn peer<F: DirectFile>() -> Peer {
    Peer { random: Some(random::<F>), sequential: Some(sequential::<F>), copy: None }
}

fn random<F: DirectFile>(path: &Path, depth: usize, count: u64) -> Duration {
    let path = path.to_owned();
    F::Runtime::run(async move {
        let file = F::open(path, depth, BLOCK).await;
        let blocks = Rc::new(RefCell::new(Blocks::new(count)));
        let begin = Instant::now();
        let readers = (0..depth).map(|_| {
            let (file, blocks) = (file.clone(), blocks.clone());
            F::Runtime::spawn(async move {
                let mut buffer = file.buffer(BLOCK);
                loop {
                    let next = blocks.borrow_mut().next();
                    let Some(block) = next else { break };
                    buffer = file.read(buffer, offset(block)).await;
                    check(block, F::bytes(&buffer));
                }
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await;
        }
        begin.elapsed()
    })
}

fn sequential<F: DirectFile>(path: &Path, count: u64) -> Duration {
    let path = path.to_owned();
    F::Runtime::run(async move {
        let file = F::open(path, 1, LARGE).await;
        let mut buffer = file.buffer(LARGE);
        let begin = Instant::now();
        for n in 0..count {
            let offset = large_offset(n);
            buffer = file.read(buffer, offset).await;
            check(offset / BLOCK as u64, F::bytes(&buffer));
        }
        begin.elapsed()
    })
}

/// Ours.
#[derive(Debug)]
pub struct Loop;

impl Runtime for Loop {
    fn run(future: impl Future<Output = Duration> + 'static) -> Duration {
        let main = async { uring_loop::spawn(future).await.expect("no panic") };
        uring_loop::run(main).expect("an event loop")
    }

    fn spawn(future: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
        let task = uring_loop::spawn(future);
        async { task.await.expect("no panic") }
    }
}
