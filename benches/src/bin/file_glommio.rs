//! Peer: glommio's `DmaFile`, which gives a buffer with each read. It has no copy of a file.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use benches::files;
use benches::files::local::{self, DirectFile, Runtime};
use glommio::io::{DmaFile, ReadResult};

fn main() -> anyhow::Result<()> {
    files::main(local::peer::<Dma>())
}

struct Glommio;

impl Runtime for Glommio {
    fn run(future: impl Future<Output = Duration> + 'static) -> Duration {
        // No placement: the thread is pinned already.
        let executor = glommio::LocalExecutorBuilder::default().make();
        let executor = executor.expect("a glommio executor");
        executor.run(async { glommio::spawn_local(future).await })
    }

    fn spawn(future: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
        glommio::spawn_local(future)
    }
}

#[derive(Clone)]
struct Dma(Rc<DmaFile>);

impl DirectFile for Dma {
    type Runtime = Glommio;
    /// How much is read at a time, and what was read last.
    type Buffer = (usize, Option<ReadResult>);

    async fn open(path: PathBuf, _: usize, _: usize) -> Self {
        Dma(Rc::new(DmaFile::open(path).await.expect("the file")))
    }

    fn buffer(&self, length: usize) -> Self::Buffer {
        (length, None)
    }

    async fn read(&self, (length, last): Self::Buffer, offset: u64) -> Self::Buffer {
        drop(last);
        let read = self.0.read_at_aligned(offset, length).await.expect("a disk");
        assert_eq!(read.len(), length);
        (length, Some(read))
    }

    fn bytes((_, read): &Self::Buffer) -> &[u8] {
        read.as_deref().unwrap_or_default()
    }
}
