//! monoio on its io_uring driver, on one core.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use benches::foreign::costs::{self, Night, Shared, Table};
use benches::foreign::peer::{self, Queue, Results, Runtime};
use benches::workloads::files::PIECE;
use benches::workloads::kv::Map;
use benches::workloads::service::Service;
use benches::workloads::switches::Lap;
use benches::workloads::thrash::Slice;
use monoio::fs::File;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

pub(crate) struct Monoio;

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

    fn lane(queue: Queue) -> impl Future<Output = Results> {
        monoio::spawn(peer::lane::<Self>(queue))
    }

    fn connection(
        stream: TcpStream,
        service: Service,
        keys: Self::Keys,
    ) -> impl Future<Output = anyhow::Result<()>> {
        monoio::spawn(peer::connection::<Self>(stream, service, keys))
    }

    fn slices(
        share: Vec<Slice>,
        ledger: Shared,
    ) -> impl Future<Output = anyhow::Result<Vec<Duration>>> {
        monoio::spawn(costs::work_off(share, ledger))
    }

    fn turns(
        table: Arc<Table>,
        side: usize,
        rounds: u32,
    ) -> impl Future<Output = anyhow::Result<Vec<Lap>>> {
        monoio::spawn(costs::take_turns(table, side, rounds))
    }

    fn sleeper(moment: Instant, night: Arc<Night>) {
        drop(monoio::spawn(costs::sleep_until::<Self>(moment, night)));
    }

    fn idler() {
        drop(monoio::spawn(costs::sleep_long::<Self>()));
    }

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
