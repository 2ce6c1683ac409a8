//! An echo server on one loop: `cargo run --release -p uring-loop --example echo -- --help`.
//!
//! Each connection is one task: receive into a buffer that the loop lends, send that same buffer
//! back. An idle connection holds no buffer.

use std::io;
use std::process::ExitCode;

use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::spawn;

const HELP: &str = "\
Echoes whatever a client sends.

Usage: echo [--addr 127.0.0.1:7000] [--core N]

  --addr ADDRESS  where to listen; port 0 takes a free one
  --core N        pin the loop to this CPU";

fn main() -> ExitCode {
    let (address, core) = match arguments() {
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
    let served = pin(core).and_then(|()| uring_loop::run(serve(address))).and_then(|result| result);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
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
    // A peer that goes away is no news for an echo server.
    while let Ok(bytes) = stream.recv().await {
        if bytes.is_empty() || stream.write_all(bytes).await.0.is_err() {
            return;
        }
    }
}

/// The address and the core; `None` if help was asked for.
fn arguments() -> Result<Option<(String, Option<usize>)>, String> {
    let (mut address, mut core) = (String::from("127.0.0.1:7000"), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--addr" => address = value()?,
            "--core" => {
                let text = value()?;
                core = Some(text.parse().map_err(|_| format!("--core {text}: not a number"))?);
            }
            _ => return Err(format!("{name}: no such option")),
        }
    }
    Ok(Some((address, core)))
}

fn pin(core: Option<usize>) -> io::Result<()> {
    let Some(core) = core else { return Ok(()) };
    let mut set = nix::sched::CpuSet::new();
    set.set(core)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("pinning to CPU {core}: {error}"))
    })
}
