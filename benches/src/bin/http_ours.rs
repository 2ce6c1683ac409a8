//! Ours: answers requests of HTTP/1.1 on `uring-loop`, a task per connection, lent buffers.

use benches::http::{self, Unfinished};
use clap::Parser;
use uring_loop::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let options = benches::serve::Options::parse().common;
    let listener = benches::serve::start(&options)?;
    let mut event_loop =
        uring_loop::EventLoop::builder().buffers(256, options.buffer as u32).build()?;
    event_loop.run_until_complete(async move {
        let listener = TcpListener::from_owned_fd(listener.into());
        loop {
            let stream = listener.accept().await?;
            drop(uring_loop::spawn(answer(stream)));
        }
    })?
}

async fn answer(mut stream: TcpStream) -> anyhow::Result<()> {
    let (mut unfinished, mut answers) = (Unfinished::default(), Vec::new());
    loop {
        let bytes = stream.recv().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        answers.clear();
        http::answer(unfinished.take(&bytes)?, &mut answers);
        drop(bytes);
        let (written, back) = stream.write_all(answers).await;
        written?;
        answers = back;
    }
}
