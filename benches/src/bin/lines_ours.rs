//! Ours: `uring_loop::stream`'s reader.

use std::pin::pin;

use benches::lines::{self, Address, Job, Peer};
use benches::spent::{Begin, Spent};
use futures_util::StreamExt as _;
use uring_loop::net::{TcpStream, UnixStream};
use uring_loop::spawn;
use uring_loop::stream::{StreamReader, StreamWriter, wrap};

fn main() -> anyhow::Result<()> {
    lines::main(Peer { read_line, lines: Some(lines) })
}

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let main = async { spawn(future).await.expect("no panic") };
    uring_loop::run(main).expect("an event loop")
}

async fn connect(from: Address) -> (StreamReader, StreamWriter) {
    match from {
        Address::Tcp(address) => wrap(TcpStream::connect(address).await.expect("it listens")),
        Address::Unix(path) => wrap(UnixStream::connect(path).await.expect("it listens")),
    }
}

fn read_line(job: Job) -> Spent {
    run(async move {
        let (mut reader, _writer) = connect(job.from).await;
        let begin = Begin::now();
        for n in 0..job.count {
            job.line.check(n, reader.read_line().await.expect("a line"));
        }
        begin.spent()
    })
}

fn lines(job: Job) -> Spent {
    run(async move {
        let (mut reader, _writer) = connect(job.from).await;
        let begin = Begin::now();
        let mut lines = pin!(reader.lines());
        for n in 0..job.count {
            let line = lines.next().await.expect("more lines");
            job.line.check(n, &line.expect("a line"));
        }
        begin.spent()
    })
}
