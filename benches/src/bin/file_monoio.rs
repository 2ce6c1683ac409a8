//! Peer: monoio's files. It has no copy of a file.

use std::cell::RefCell;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use benches::files::{self, BLOCK, Blocks, LARGE, Peer};
use monoio::buf::IoBufMut;
use monoio::fs::File;
use uring_loop::buf::AlignedBuf;

fn main() -> anyhow::Result<()> {
    files::main(Peer { random: Some(random), sequential: Some(sequential), copy: None })
}

/// Aligned memory as monoio's buffer.
struct Aligned(AlignedBuf);

// SAFETY: the memory stays where it is when the value is moved.
unsafe impl IoBufMut for Aligned {
    fn write_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.0.capacity()
    }

    unsafe fn set_init(&mut self, length: usize) {
        self.0.set_len(length);
    }
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + 'static) -> T {
    let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build();
    let mut runtime = runtime.expect("a monoio runtime");
    runtime.block_on(async { monoio::spawn(future).await })
}

async fn open(path: PathBuf) -> Rc<File> {
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
    Rc::new(File::from_std(file.expect("the file")).expect("a file"))
}

async fn read(file: &File, buffer: Aligned, offset: u64, length: usize) -> Aligned {
    let (read, buffer) = file.read_at(buffer, offset).await;
    assert_eq!(read.expect("a disk"), length);
    buffer
}

fn random(path: &Path, depth: usize, count: u64) -> Duration {
    let path = path.to_owned();
    run(async move {
        let file = open(path).await;
        let blocks = Rc::new(RefCell::new(Blocks::new(count)));
        let begin = Instant::now();
        let readers = (0..depth).map(|_| {
            let (file, blocks) = (file.clone(), blocks.clone());
            monoio::spawn(async move {
                let mut buffer = Aligned(AlignedBuf::zeroed(BLOCK));
                loop {
                    let next = blocks.borrow_mut().next();
                    let Some(block) = next else { break };
                    buffer = read(&file, buffer, files::offset(block), BLOCK).await;
                    files::check(block, &buffer.0);
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
        let mut buffer = Aligned(AlignedBuf::zeroed(LARGE));
        let begin = Instant::now();
        for n in 0..count {
            let offset = files::large_offset(n);
            buffer = read(&file, buffer, offset, LARGE).await;
            files::check(offset / BLOCK as u64, &buffer.0);
        }
        begin.elapsed()
    })
}
