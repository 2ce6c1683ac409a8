//! Ours: `uring_loop`'s files, with buffers and descriptors as they come.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use benches::files::local::{self, DirectFile, Loop, Runtime as _};
use benches::files::{self, Peer};
use uring_loop::buf::AlignedBuf;
use uring_loop::fs::{self, File, OpenOptions};
use uring_loop::{gather, spawn};

fn main() -> anyhow::Result<()> {
    files::main(Peer { copy: Some(copy), ..local::peer::<Ours>() })
}

#[derive(Clone)]
struct Ours(File);

impl DirectFile for Ours {
    type Runtime = Loop;
    type Buffer = AlignedBuf;

    async fn open(path: PathBuf, _: usize, _: usize) -> Self {
        Ours(OpenOptions::new().read(true).direct(true).open(path).await.expect("the file"))
    }

    fn buffer(&self, length: usize) -> AlignedBuf {
        self.0.aligned_buffer(length)
    }

    async fn read(&self, buffer: AlignedBuf, offset: u64) -> AlignedBuf {
        let (read, buffer) = self.0.read_at(buffer, offset).await;
        assert_eq!(read.expect("a disk"), buffer.capacity());
        buffer
    }

    fn bytes(buffer: &AlignedBuf) -> &[u8] {
        buffer
    }
}

fn copy(from: &Path, to: &Path, count: u64) -> Duration {
    let (from, to): (Rc<Path>, Rc<Path>) = (from.into(), to.into());
    Loop::run(async move {
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
