//! compio on its io_uring driver, on one core.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::anyhow;
use benches::foreign::peer::Runtime;
use benches::workloads::files::PIECE;
use benches::workloads::kv::Map;
use compio::buf::BufResult;
use compio::fs::File;
use compio::io::{AsyncRead, AsyncReadAt, AsyncWriteAtExt, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::spawn;

use crate::spawning::spawns;

pub(crate) struct Compio;

fn joined<T: 'static>(
    future: impl Future<Output = anyhow::Result<T>> + 'static,
) -> impl Future<Output = anyhow::Result<T>> {
    let task = spawn(future);
    async move { task.await.map_err(|_| anyhow!("a task of compio panicked"))? }
}

fn alone(future: impl Future<Output = ()> + 'static) {
    spawn(future).detach();
}

impl Runtime for Compio {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Keys = Rc<RefCell<Map>>;

    fn run<T: 'static>(
        _threads: usize,
        main: impl Future<Output = anyhow::Result<T>> + 'static,
    ) -> anyhow::Result<T> {
        let mut driver = compio::driver::ProactorBuilder::new();
        driver.capacity(4096);
        compio::runtime::RuntimeBuilder::new().with_proactor(driver).build()?.block_on(main)
    }

    spawns!(joined: joined, alone: alone);

    fn sleep(time: Duration) -> impl Future<Output = ()> {
        compio::time::sleep(time)
    }

    async fn copy(from: PathBuf, to: PathBuf) -> anyhow::Result<u64> {
        let (source, mut target) = (File::open(from).await?, File::create(to).await?);
        let (mut buffer, mut offset) = (Vec::with_capacity(PIECE), 0);
        loop {
            buffer.clear();
            let BufResult(read, filled) = source.read_at(buffer, offset).await;
            if read? == 0 {
                break;
            }
            let length = filled.len() as u64;
            let BufResult(written, back) = target.write_all_at(filled, offset).await;
            written?;
            offset += length;
            buffer = back;
        }
        source.close().await?;
        target.close().await?;
        Ok(offset)
    }

    fn listen(listener: std::net::TcpListener) -> anyhow::Result<TcpListener> {
        Ok(TcpListener::from_std(listener)?)
    }

    async fn accept(listener: &TcpListener) -> anyhow::Result<TcpStream> {
        Ok(listener.accept().await?.0)
    }

    async fn connect(server: SocketAddr) -> anyhow::Result<TcpStream> {
        Ok(TcpStream::connect(server).await?)
    }

    async fn receive(stream: &mut TcpStream, buffer: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let BufResult(read, buffer) = stream.read(buffer).await;
        read?;
        Ok(buffer)
    }

    async fn send(stream: &mut TcpStream, buffer: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let BufResult(written, buffer) = stream.write_all(buffer).await;
        written?;
        Ok(buffer)
    }
}
