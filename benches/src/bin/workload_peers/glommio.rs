//! glommio's local executor, on one core; files through the page cache (`BufferedFile`).

use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use benches::foreign::peer::Runtime;
use benches::workloads::files::PIECE;
use benches::workloads::kv::Map;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use glommio::GlommioError;
use glommio::io::BufferedFile;
use glommio::net::{TcpListener, TcpStream};

use crate::spawning::spawns;

pub(crate) struct Glommio;

fn alone(future: impl Future<Output = ()> + 'static) {
    glommio::spawn_local(future).detach();
}

/// Its errors can't be sent to another thread.
fn told<T: std::fmt::Debug>(error: GlommioError<T>) -> anyhow::Error {
    anyhow!("glommio: {error}")
}

impl Runtime for Glommio {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Keys = Rc<RefCell<Map>>;

    fn run<T: 'static>(
        _threads: usize,
        main: impl Future<Output = anyhow::Result<T>> + 'static,
    ) -> anyhow::Result<T> {
        // No placement: the thread is pinned already.
        let executor = glommio::LocalExecutorBuilder::default().make();
        executor.map_err(told)?.run(main)
    }

    spawns!(joined: glommio::spawn_local, alone: alone);

    fn sleep(time: Duration) -> impl Future<Output = ()> {
        glommio::timer::sleep(time)
    }

    async fn copy(from: PathBuf, to: PathBuf) -> anyhow::Result<u64> {
        let source = BufferedFile::open(from).await.map_err(told)?;
        let target = BufferedFile::create(to).await.map_err(told)?;
        let mut offset = 0;
        loop {
            let read = source.read_at(offset, PIECE).await.map_err(told)?;
            if read.is_empty() {
                break;
            }
            let mut done = 0;
            while done < read.len() {
                let at = offset + done as u64;
                let count = target.write_at(read[done..].to_vec(), at).await.map_err(told)?;
                ensure!(count > 0, "the kernel takes no more");
                done += count;
            }
            offset += done as u64;
        }
        source.close().await.map_err(told)?;
        target.close().await.map_err(told)?;
        Ok(offset)
    }

    fn listen(listener: std::net::TcpListener) -> anyhow::Result<TcpListener> {
        // SAFETY: the descriptor is a listening socket and its only owner gives it up here.
        Ok(unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) })
    }

    async fn accept(listener: &TcpListener) -> anyhow::Result<TcpStream> {
        listener.accept().await.map_err(told)
    }

    async fn connect(server: SocketAddr) -> anyhow::Result<TcpStream> {
        TcpStream::connect(server).await.map_err(told)
    }

    async fn receive(stream: &mut TcpStream, mut buffer: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        buffer.resize(buffer.capacity(), 0);
        let count = stream.read(&mut buffer).await?;
        buffer.truncate(count);
        Ok(buffer)
    }

    async fn send(stream: &mut TcpStream, buffer: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        stream.write_all(&buffer).await?;
        Ok(buffer)
    }
}
