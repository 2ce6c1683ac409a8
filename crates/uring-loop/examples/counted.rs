//! Work whose instructions are counted: `cargo xtask ci sight` runs it under valgrind, in a build
//! as it is and in one where nobody can look at a loop.

use std::io;
use std::process::ExitCode;

use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::{EventLoop, spawn, yield_now};

const HELP: &str = "\
Does one piece of work so many times.

Usage: counted spawn|yield|echo COUNT [--spans]

  spawn    start a task and wait for it
  yield    let the others run
  echo     64 bytes to a task of the same loop and back, by TCP
  --spans  tasks and operations are spans of `tracing`";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (work, count, spans) = match words[..] {
        [work, count] => (work, count, false),
        [work, count, "--spans"] => (work, count, true),
        _ => return misused(),
    };
    let Ok(count) = count.parse() else { return misused() };
    let done = match work {
        "spawn" => run(spans, spawning(count)),
        "yield" => run(spans, yielding(count)),
        "echo" => run(spans, echoing(count)),
        _ => return misused(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counted: {error}");
            ExitCode::FAILURE
        }
    }
}

fn misused() -> ExitCode {
    eprintln!("{HELP}");
    ExitCode::from(2)
}

fn run(spans: bool, work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let mut builder = EventLoop::builder();
    if spans {
        builder = builder.spans(true);
    }
    builder.build()?.run_until_complete(work)?
}

async fn spawning(count: u32) -> io::Result<()> {
    for _ in 0..count {
        spawn(async {}).await?;
    }
    Ok(())
}

async fn yielding(count: u32) -> io::Result<()> {
    for _ in 0..count {
        yield_now().await;
    }
    Ok(())
}

async fn echoing(count: u32) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let mut server = listener.accept().await?;
    let echo = spawn(async move {
        loop {
            let bytes = server.recv().await?;
            if bytes.is_empty() {
                return io::Result::Ok(());
            }
            server.write_all(bytes).await.0?;
        }
    });
    let mut message = vec![7; 64];
    for _ in 0..count {
        let (sent, back) = client.write_all(message).await;
        sent?;
        message = back;
        let mut left = message.len();
        while left > 0 {
            left -= client.recv().await?.len();
        }
    }
    drop(client);
    echo.await?
}
