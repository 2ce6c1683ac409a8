//! Ours with registered buffers and a registered file.

use std::path::PathBuf;

use benches::files;
use benches::files::local::{self, DirectFile, Loop};
use uring_loop::buf::{FixedBuf, FixedBuffers};
use uring_loop::fs::{File, OpenOptions};

fn main() -> anyhow::Result<()> {
    files::main(local::peer::<Registered>())
}

#[derive(Clone)]
struct Registered {
    file: File,
    buffers: FixedBuffers,
}

impl DirectFile for Registered {
    type Runtime = Loop;
    type Buffer = FixedBuf;

    async fn open(path: PathBuf, readers: usize, length: usize) -> Self {
        let mut file =
            OpenOptions::new().read(true).direct(true).open(path).await.expect("the file");
        file.register().await.expect("a place");
        let readers = u16::try_from(readers).expect("the options see to it");
        let buffers = FixedBuffers::new(readers, length).expect("memory that may be locked");
        Registered { file, buffers }
    }

    fn buffer(&self, _: usize) -> FixedBuf {
        self.buffers.take().expect("one for each reader")
    }

    async fn read(&self, buffer: FixedBuf, offset: u64) -> FixedBuf {
        let (read, buffer) = self.file.read_at(buffer, offset).await;
        assert_eq!(read.expect("a disk"), buffer.capacity());
        buffer
    }

    fn bytes(buffer: &FixedBuf) -> &[u8] {
        buffer
    }
}
