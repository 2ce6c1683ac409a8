//! Peer: echo on compio's io_uring driver as its builder makes it, a task and a buffer per
//! connection.

use clap::Parser;
use compio::buf::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let options = benches::serve::Options::parse().common;
    let listener = benches::serve::start(&options)?;
    let mut driver = compio::driver::ProactorBuilder::new();
    driver.capacity(4096);
    let runtime = compio::runtime::RuntimeBuilder::new().with_proactor(driver).build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            compio::runtime::spawn(echo(stream, options.buffer)).detach();
        }
    })
}

async fn echo(mut stream: TcpStream, size: usize) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(size);
    loop {
        buffer.clear();
        let BufResult(read, full) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let BufResult(written, full) = stream.write_all(full).await;
        written?;
        buffer = full;
    }
}
