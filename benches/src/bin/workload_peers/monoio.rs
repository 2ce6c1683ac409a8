//! monoio on its io_uring driver, on one core.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use benches::foreign::peer::Runtime;
use benches::workloads::files::PIECE;
use benches::workloads::kv::Map;
use monoio::fs::File;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

use crate::spawning::spawns;

pub(crate) struct Monoio;

fn alone(future: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(future));
}

impl Runtime for Monoio {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Keys = Rc<RefCell<Map>>;

    fn run<T: 'static>(
        _threads: usize,
        main: impl Future<Output = anyhow::Result<T>> + 'static,
    ) -> anyhow::Result<T> {
        let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new();
        builder.with_entries(4096).enable_timer().build()?.block_on(main)
    }

    spawns!(joined: monoio::spawn, alone: alone);

    fn sleep(time: Duration) -> impl Future<Output = ()> {
        monoio::time::sleep(time)
    }

    async fn copy(from: PathBuf, to: PathBuf) -> anyhow::Result<u64> {
        let (source, target) = (File::open(from).await?, File::create(to).await?);
        let (mut buffer, mut offset) = (Vec::with_capacity(PIECE), 0);
        loop {
            buffer.clear();
            let (read, filled) = source.read_at(buffer, offset).await;
            if read? == 0 {
                break;
            }
            let length = filled.len() as u64;
            let (written, back) = target.write_all_at(filled, offset).await;
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
        Ok(TcpStream::connect_addr(server).await?)
    }

    async fn receive(stream: &mut TcpStream, buffer: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let (read, buffer) = stream.read(buffer).await;
        ensure!(read? == buffer.len(), "monoio read into a buffer that was not empty");
        Ok(buffer)
    }

    async fn send(stream: &mut TcpStream, buffer: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let (written, buffer) = stream.write_all(buffer).await;
        written?;
        Ok(buffer)
    }
}
