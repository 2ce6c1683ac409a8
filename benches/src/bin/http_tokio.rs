//! Peer: answers requests of HTTP/1.1 on tokio's current_thread runtime, a task and a buffer per
//! connection.

use benches::http::{self, Unfinished};
use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let options = benches::serve::Options::parse().common;
    let listener = benches::serve::start(&options)?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(answer(stream, options.buffer));
        }
    })
}

async fn answer(mut stream: TcpStream, size: usize) -> anyhow::Result<()> {
    let (mut unfinished, mut answers) = (Unfinished::default(), Vec::new());
    let mut buffer = vec![0; size];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        answers.clear();
        http::answer(unfinished.take(&buffer[..read])?, &mut answers);
        stream.write_all(&answers).await?;
    }
}
