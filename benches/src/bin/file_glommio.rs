//! Peer: glommio's `DmaFile`. It has no copy of a file.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use benches::files::{self, BLOCK, Blocks, LARGE, Peer};
use glommio::io::DmaFile;

fn main() -> anyhow::Result<()> {
    files::main(Peer { random: Some(random), sequential: Some(sequential), copy: None })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + 'static) -> T {
    // No placement: the thread is pinned already.
    let executor = glommio::LocalExecutorBuilder::default().make().expect("a glommio executor");
    executor.run(async { glommio::spawn_local(future).await })
}

async fn open(path: PathBuf) -> Rc<DmaFile> {
    Rc::new(DmaFile::open(path).await.expect("the file"))
}

fn random(path: &Path, depth: usize, count: u64) -> Duration {
    let path = path.to_owned();
    run(async move {
        let file = open(path).await;
        let blocks = Rc::new(RefCell::new(Blocks::new(count)));
        let begin = Instant::now();
        let readers = (0..depth).map(|_| {
            let (file, blocks) = (file.clone(), blocks.clone());
            glommio::spawn_local(async move {
                loop {
                    let next = blocks.borrow_mut().next();
                    let Some(block) = next else { break };
                    let read = file.read_at_aligned(files::offset(block), BLOCK).await;
                    files::check(block, &read.expect("a disk"));
                }
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await;
        }
        begin.elapsed()
    })
}

fn sequential(path: &Path, count: u64) -> Duration {
    let path = path.to_owned();
    run(async move {
        let file = open(path).await;
        let begin = Instant::now();
        for n in 0..count {
            let offset = files::large_offset(n);
            let read = file.read_at_aligned(offset, LARGE).await.expect("a disk");
            assert_eq!(read.len(), LARGE);
            files::check(offset / BLOCK as u64, &read);
        }
        begin.elapsed()
    })
}
