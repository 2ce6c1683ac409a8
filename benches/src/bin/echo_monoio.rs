//! Peer: echo on monoio's io_uring driver with its default ring, a task and a buffer per
//! connection.

use clap::Parser;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let options = benches::serve::Options::parse().common;
    let listener = benches::serve::start(&options)?;
    let mut runtime =
        monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(4096).build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(echo(stream, options.buffer));
        }
    })
}

async fn echo(mut stream: TcpStream, size: usize) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(size);
    loop {
        buffer.clear();
        let (read, full) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let (written, full) = stream.write_all(full).await;
        written?;
        buffer = full;
    }
}
