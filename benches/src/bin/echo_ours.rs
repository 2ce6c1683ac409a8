//! Ours: echo on `uring-loop`, a task per connection, lent buffers.

use clap::Parser;
use uring_loop::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let options = benches::serve::Options::parse().common;
    let listener = benches::serve::start(&options)?;
    let spin = std::time::Duration::from_micros(if options.spin { 200 } else { 0 });
    let mut event_loop =
        uring_loop::EventLoop::builder().buffers(256, options.buffer as u32).spin(spin).build()?;
    event_loop.run_until_complete(async move {
        let listener = TcpListener::from_owned_fd(listener.into());
        loop {
            let stream = listener.accept().await?;
            drop(uring_loop::spawn(echo(stream)));
        }
    })?
}

async fn echo(mut stream: TcpStream) {
    loop {
        // `let … else` rather than `while let`, whose condition lives as long as the body: every
        // idle connection would have room for it.
        let Ok(bytes) = stream.recv().await else { return };
        if bytes.is_empty() || stream.write_all(bytes).await.0.is_err() {
            return;
        }
    }
}
