//! An echo server on one loop: `cargo run --release -p uring-loop --example echo -- --help`.
//!
//! Each connection is one task: receive into a buffer that the loop lends, send that same buffer
//! back. An idle connection holds no buffer.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::spawn;
use uring_loop::time::timeout;

const HELP: &str = "\
Echoes whatever a client sends.

Usage: echo [--addr 127.0.0.1:7000] [--core N] [--seconds N]

  --addr ADDRESS  where to listen; port 0 takes a free one
  --core N        pin the loop to this CPU
  --seconds N     end after so long [default: never]";

struct Arguments {
    address: String,
    core: Option<usize>,
    seconds: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("echo: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match pin(arguments.core).and_then(|()| uring_loop::run(limited(arguments))?) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn limited(arguments: Arguments) -> io::Result<()> {
    let serve = serve(arguments.address);
    match arguments.seconds {
        None => serve.await,
        Some(seconds) => timeout(Duration::from_secs(seconds), serve).await.unwrap_or(Ok(())),
    }
}

async fn serve(address: String) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening {}", listener.local_addr()?);
    loop {
        let stream = listener.accept().await?;
        drop(spawn(echo(stream)));
    }
}

async fn echo(mut stream: TcpStream) {
    loop {
        // A peer that goes away is no news for an echo server. (`let … else` rather than `while
        // let`: what that looks at stays in the future while the loop's body runs.)
        let Ok(bytes) = stream.recv().await else { return };
        if bytes.is_empty() || stream.write_all(bytes).await.0.is_err() {
            return;
        }
    }
}

/// What was asked for; `None` if help was.
fn arguments() -> Result<Option<Arguments>, String> {
    let mut parsed = Arguments { address: "127.0.0.1:7000".into(), core: None, seconds: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--addr" => parsed.address = value()?,
            "--core" => parsed.core = Some(number(&name, &value()?)?),
            "--seconds" => parsed.seconds = Some(number(&name, &value()?)?),
            _ => return Err(format!("{name}: no such option")),
        }
    }
    Ok(Some(parsed))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} {text}: not a number"))
}

fn pin(core: Option<usize>) -> io::Result<()> {
    let Some(core) = core else { return Ok(()) };
    let mut set = nix::sched::CpuSet::new();
    set.set(core)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("pinning to CPU {core}: {error}"))
    })
}
