//! Peer: tokio's `BufReader` on its current_thread runtime, with lines as text: it checks that they
//! are UTF-8.

use benches::lines::{self, Address, Job, Peer};
use benches::spent::{Begin, Spent};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::spawn;

fn main() -> anyhow::Result<()> {
    lines::main(Peer { read_line, lines: Some(lines) })
}

fn run(future: impl Future<Output = Spent> + Send + 'static) -> Spent {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.expect("a tokio runtime");
    runtime.block_on(async { spawn(future).await.expect("no panic") })
}

/// Boxed: an indirect call for each 8 KiB.
async fn connect(from: Address) -> BufReader<Box<dyn AsyncRead + Send + Unpin>> {
    BufReader::new(match from {
        Address::Tcp(address) => Box::new(TcpStream::connect(address).await.expect("it listens")),
        Address::Unix(path) => Box::new(UnixStream::connect(path).await.expect("it listens")),
    })
}

fn read_line(job: Job) -> Spent {
    run(async move {
        let mut reader = connect(job.from).await;
        let mut line = String::new();
        let begin = Begin::now();
        for n in 0..job.count {
            line.clear();
            reader.read_line(&mut line).await.expect("a line");
            job.line.check(n, line.as_bytes());
        }
        begin.spent()
    })
}

fn lines(job: Job) -> Spent {
    run(async move {
        let mut lines = connect(job.from).await.lines();
        let begin = Begin::now();
        for n in 0..job.count {
            let line = lines.next_line().await.expect("a line").expect("more lines");
            job.line.check(n, line.as_bytes());
        }
        begin.spent()
    })
}
