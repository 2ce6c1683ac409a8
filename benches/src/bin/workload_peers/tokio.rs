//! tokio: its runtime of one thread, and that of several, whose threads steal work from each other.
//! It has no files of its own: the pool of threads that may block copies them, as its docs advise.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use benches::foreign::peer::Runtime;
use benches::workloads::kv::Locked;
use benches::workloads::{files, meter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use crate::spawning::spawns;

/// The runtime of one thread.
pub(crate) struct OneThread;

/// The runtime of as many threads as there are cores.
pub(crate) struct Threads;

fn joined<T: Send + 'static>(
    future: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> impl Future<Output = anyhow::Result<T>> {
    let task = tokio::spawn(future);
    async move { task.await? }
}

fn alone(future: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(future));
}

/// All but the kind of runtime is the same for both.
macro_rules! on_tokio {
    ($name:ty, $threads:ident => $builder:expr) => {
        impl Runtime for $name {
            type Listener = TcpListener;
            type Stream = TcpStream;
            type Keys = Arc<Locked>;

            fn run<T: 'static>(
                $threads: usize,
                main: impl Future<Output = anyhow::Result<T>> + 'static,
            ) -> anyhow::Result<T> {
                $builder.enable_all().build()?.block_on(main)
            }

            spawns!(joined: joined, alone: alone);

            fn sleep(time: Duration) -> impl Future<Output = ()> {
                tokio::time::sleep(time)
            }

            async fn copy(from: PathBuf, to: PathBuf) -> anyhow::Result<u64> {
                tokio::task::spawn_blocking(move || files::copy(&from, &to)).await?
            }

            fn listen(listener: std::net::TcpListener) -> anyhow::Result<TcpListener> {
                listener.set_nonblocking(true)?;
                Ok(TcpListener::from_std(listener)?)
            }

            async fn accept(listener: &TcpListener) -> anyhow::Result<TcpStream> {
                Ok(listener.accept().await?.0)
            }

            async fn connect(server: SocketAddr) -> anyhow::Result<TcpStream> {
                Ok(TcpStream::connect(server).await?)
            }

            async fn receive(
                stream: &mut TcpStream,
                mut buffer: Vec<u8>,
            ) -> anyhow::Result<Vec<u8>> {
                stream.read_buf(&mut buffer).await?;
                Ok(buffer)
            }

            async fn send(stream: &mut TcpStream, buffer: Vec<u8>) -> anyhow::Result<Vec<u8>> {
                stream.write_all(&buffer).await?;
                Ok(buffer)
            }
        }
    };
}

on_tokio!(OneThread, _threads => Builder::new_current_thread());

on_tokio!(Threads, threads => {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).on_thread_start(note);
    builder
});

/// Notes where a thread of the runtime may run, for some of them: those that block are many.
fn note() {
    const LOOKED_AT: usize = 8;
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    if STARTED.fetch_add(1, Ordering::Relaxed) < LOOKED_AT {
        meter::note("runtime thread");
    }
}
