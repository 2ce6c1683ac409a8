//! Peer: monoio's files. It has no copy of a file.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use benches::files;
use benches::files::local::{self, DirectFile, Runtime};
use monoio::buf::IoBufMut;
use monoio::fs::File;
use uring_loop::buf::AlignedBuf;

fn main() -> anyhow::Result<()> {
    files::main(local::peer::<Direct>())
}

struct Monoio;

impl Runtime for Monoio {
    fn run(future: impl Future<Output = Duration> + 'static) -> Duration {
        let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build();
        let mut runtime = runtime.expect("a monoio runtime");
        runtime.block_on(async { monoio::spawn(future).await })
    }

    fn spawn(future: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
        monoio::spawn(future)
    }
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

#[derive(Clone)]
struct Direct(Rc<File>);

impl DirectFile for Direct {
    type Runtime = Monoio;
    type Buffer = Aligned;

    async fn open(path: PathBuf, _: usize, _: usize) -> Self {
        let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
        Direct(Rc::new(File::from_std(file.expect("the file")).expect("a file")))
    }

    fn buffer(&self, length: usize) -> Aligned {
        Aligned(AlignedBuf::zeroed(length))
    }

    async fn read(&self, buffer: Aligned, offset: u64) -> Aligned {
        let (read, buffer) = self.0.read_at(buffer, offset).await;
        assert_eq!(read.expect("a disk"), buffer.0.capacity());
        buffer
    }

    fn bytes(buffer: &Aligned) -> &[u8] {
        &buffer.0
    }
}
