//! Peer: echo on glommio's local executor, a task and a buffer per connection.

use std::os::fd::{FromRawFd, IntoRawFd};

use clap::Parser;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use glommio::LocalExecutorBuilder;
use glommio::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let options = benches::serve::Options::parse().common;
    let listener = benches::serve::start(&options)?;
    // No placement: the process is pinned already, and the executor inherits that.
    let executor = LocalExecutorBuilder::default()
        .make()
        .map_err(|e| anyhow::anyhow!("starting glommio: {e}"))?;
    executor.run(async move {
        // SAFETY: the descriptor is a listening socket and its only owner gives it up here.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        loop {
            let stream = listener.accept().await.map_err(|e| anyhow::anyhow!("accept: {e}"))?;
            glommio::spawn_local(echo(stream, options.buffer)).detach();
        }
    })
}

async fn echo(mut stream: TcpStream, size: usize) -> std::io::Result<()> {
    let mut buffer = vec![0; size];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}
