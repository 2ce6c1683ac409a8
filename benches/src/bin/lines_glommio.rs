//! Peer: glommio's buffered streams under the traits of futures-io, with lines as text.

use std::net::SocketAddr;
use std::path::PathBuf;

use benches::lines::{self, Address, Job, Line, Peer};
use benches::spent::{Begin, Spent};
use futures_util::StreamExt as _;
use futures_util::io::{AsyncBufRead, AsyncBufReadExt as _};
use glommio::net::{Preallocated, TcpStream, UnixStream};

fn main() -> anyhow::Result<()> {
    lines::main(Peer { read_line, lines: Some(lines) })
}

fn run(future: impl Future<Output = Spent> + 'static) -> Spent {
    // No placement: the thread is pinned already.
    let executor = glommio::LocalExecutorBuilder::default().make().expect("a glommio executor");
    executor.run(async { glommio::spawn_local(future).await })
}

async fn tcp(address: SocketAddr) -> TcpStream<Preallocated> {
    TcpStream::connect(address).await.expect("it listens").buffered()
}

async fn unix(path: PathBuf) -> UnixStream<Preallocated> {
    UnixStream::connect(path).await.expect("it listens").buffered()
}

async fn read(mut reader: impl AsyncBufRead + Unpin, count: u64, expected: Line) -> Spent {
    let mut line = String::new();
    let begin = Begin::now();
    for n in 0..count {
        line.clear();
        reader.read_line(&mut line).await.expect("a line");
        expected.check(n, line.as_bytes());
    }
    begin.spent()
}

async fn stream(reader: impl AsyncBufRead + Unpin, count: u64, expected: Line) -> Spent {
    let mut lines = reader.lines();
    let begin = Begin::now();
    for n in 0..count {
        let line = lines.next().await.expect("more lines").expect("a line");
        expected.check(n, line.as_bytes());
    }
    begin.spent()
}

fn read_line(Job { from, count, line }: Job) -> Spent {
    run(async move {
        match from {
            Address::Tcp(address) => read(tcp(address).await, count, line).await,
            Address::Unix(path) => read(unix(path).await, count, line).await,
        }
    })
}

fn lines(Job { from, count, line }: Job) -> Spent {
    run(async move {
        match from {
            Address::Tcp(address) => stream(tcp(address).await, count, line).await,
            Address::Unix(path) => stream(unix(path).await, count, line).await,
        }
    })
}
