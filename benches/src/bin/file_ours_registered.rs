//! Ours with registered buffers and a registered file.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use benches::files::{self, BLOCK, Blocks, LARGE, Peer};
use uring_loop::buf::FixedBuffers;
use uring_loop::fs::{File, OpenOptions};
use uring_loop::{gather, spawn};

fn main() -> anyhow::Result<()> {
    files::main(Peer { random: Some(random), sequential: Some(sequential), copy: None })
}

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let main = async { spawn(future).await.expect("no panic") };
    uring_loop::run(main).expect("an event loop")
}

async fn open(path: PathBuf) -> File {
    let mut file = OpenOptions::new().read(true).direct(true).open(path).await.expect("the file");
    file.register().await.expect("a place");
    file
}

fn random(path: &Path, depth: usize, count: u64) -> Duration {
    let path = path.to_owned();
    run(async move {
        let file = open(path).await;
        let depth = u16::try_from(depth).expect("the options see to it");
        let buffers = FixedBuffers::new(depth, BLOCK).expect("memory that may be locked");
        let blocks = Rc::new(RefCell::new(Blocks::new(count)));
        let begin = Instant::now();
        let readers = (0..depth).map(|_| {
            let (file, blocks) = (file.clone(), blocks.clone());
            let mut buffer = buffers.take().expect("one for each");
            spawn(async move {
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
        let buffers = FixedBuffers::new(1, LARGE).expect("memory that may be locked");
        let mut buffer = buffers.take().expect("the only one");
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
