//! Ours: `uring_loop`'s files, with buffers and descriptors as they come.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use benches::files::{self, BLOCK, Blocks, LARGE, Peer};
use uring_loop::fs::{self, File, OpenOptions};
use uring_loop::{gather, spawn};

fn main() -> anyhow::Result<()> {
    files::main(Peer { random: Some(random), sequential: Some(sequential), copy: Some(copy) })
}

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let main = async { spawn(future).await.expect("no panic") };
    uring_loop::run(main).expect("an event loop")
}

async fn open(path: PathBuf) -> File {
    OpenOptions::new().read(true).direct(true).open(path).await.expect("the file")
}

fn random(path: &Path, depth: usize, count: u64) -> Duration {
    let path = path.to_owned();
    run(async move {
        let file = open(path).await;
        let blocks = Rc::new(RefCell::new(Blocks::new(count)));
        let begin = Instant::now();
        let readers = (0..depth).map(|_| {
            let (file, blocks) = (file.clone(), blocks.clone());
            spawn(async move {
                let mut buffer = file.aligned_buffer(BLOCK);
                loop {
                    let next = blocks.borrow_mut().next();
                    let Some(block) = next else { break };
                    let (read, back) = file.read_at(buffer, files::offset(block)).await;
                    buffer = back;
                    assert_eq!(read.expect("a disk"), BLOCK);
                    files::check(block, &buffer);
                }
            })
        });
        gather(readers).await.expect("no panic");
        begin.elapsed()
    })
}

fn sequential(path: &Path, count: u64) -> Duration {
    let path = path.to_owned();
    run(async move {
        let file = open(path).await;
        let mut buffer = file.aligned_buffer(LARGE);
        let begin = Instant::now();
        for n in 0..count {
            let offset = files::large_offset(n);
            let (read, back) = file.read_exact_at(buffer, offset).await;
            buffer = back;
            read.expect("a disk");
            files::check(offset / BLOCK as u64, &buffer);
        }
        begin.elapsed()
    })
}

fn copy(from: &Path, to: &Path, count: u64) -> Duration {
    let (from, to): (Rc<Path>, Rc<Path>) = (from.into(), to.into());
    run(async move {
        let next = Rc::new(RefCell::new(0..count));
        let begin = Instant::now();
        let copiers = (0..8).map(|_| {
            let (from, to, next) = (from.clone(), to.clone(), next.clone());
            spawn(async move {
                loop {
                    let n = next.borrow_mut().next();
                    let Some(n) = n else { break };
                    let (from, to) = (files::small_file(&from, n), files::small_file(&to, n));
                    let copied = fs::copy(from, to).await.expect("a disk");
                    assert_eq!(copied, files::SMALL as u64);
                }
            })
        });
        gather(copiers).await.expect("no panic");
        begin.elapsed()
    })
}
