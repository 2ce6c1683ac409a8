//! Peer: tokio. Its own files are std's on the pool of blocking threads, with a copy through a
//! buffer that direct access does not take; so this is std on that pool, as its docs advise.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use benches::files::{self, BLOCK, Blocks, LARGE, Peer};
use tokio::task::spawn_blocking;
use uring_loop::buf::AlignedBuf;

fn main() -> anyhow::Result<()> {
    files::main(Peer { random: Some(random), sequential: Some(sequential), copy: Some(copy) })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async { tokio::spawn(future).await.expect("no panic") })
}

fn open(path: &Path) -> Arc<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
    Arc::new(file.expect("the file"))
}

async fn read(file: Arc<File>, mut buffer: AlignedBuf, offset: u64) -> AlignedBuf {
    let read = spawn_blocking(move || {
        file.read_exact_at(&mut buffer, offset).expect("a disk");
        buffer
    });
    read.await.expect("no panic")
}

fn random(path: &Path, depth: usize, count: u64) -> Duration {
    let file = open(path);
    run(async move {
        let blocks = Arc::new(Mutex::new(Blocks::new(count)));
        let begin = Instant::now();
        let readers = (0..depth).map(|_| {
            let (file, blocks) = (file.clone(), blocks.clone());
            tokio::spawn(async move {
                let mut buffer = AlignedBuf::zeroed(BLOCK);
                loop {
                    let next = blocks.lock().expect("no panic").next();
                    let Some(block) = next else { break };
                    buffer = read(file.clone(), buffer, files::offset(block)).await;
                    files::check(block, &buffer);
                }
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await.expect("no panic");
        }
        begin.elapsed()
    })
}

fn sequential(path: &Path, count: u64) -> Duration {
    let file = open(path);
    run(async move {
        let mut buffer = AlignedBuf::zeroed(LARGE);
        let begin = Instant::now();
        for n in 0..count {
            let offset = files::large_offset(n);
            buffer = read(file.clone(), buffer, offset).await;
            files::check(offset / BLOCK as u64, &buffer);
        }
        begin.elapsed()
    })
}

fn copy(from: &Path, to: &Path, count: u64) -> Duration {
    let (from, to): (Arc<Path>, Arc<Path>) = (from.into(), to.into());
    run(async move {
        let numbers = Arc::new(Mutex::new(0..count));
        let begin = Instant::now();
        let copiers = (0..8).map(|_| {
            let (from, to, numbers) = (from.clone(), to.clone(), numbers.clone());
            tokio::spawn(async move {
                loop {
                    let next = numbers.lock().expect("no panic").next();
                    let Some(n) = next else { break };
                    let (from, to) = (files::small_file(&from, n), files::small_file(&to, n));
                    let copied = spawn_blocking(move || std::fs::copy(from, to));
                    let copied = copied.await.expect("no panic").expect("a disk");
                    assert_eq!(copied, files::SMALL as u64);
                }
            })
        });
        for copier in copiers.collect::<Vec<_>>() {
            copier.await.expect("no panic");
        }
        begin.elapsed()
    })
}
