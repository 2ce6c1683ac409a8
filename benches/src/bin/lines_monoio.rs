//! Peer: monoio's `BufReader`, with lines as text. It has no stream of lines.

use benches::lines::{self, Address, Job, Line, Peer};
use benches::spent::{Begin, Spent};
use monoio::io::{AsyncBufReadExt as _, AsyncReadRent, BufReader};
use monoio::net::{TcpStream, UnixStream};

fn main() -> anyhow::Result<()> {
    lines::main(Peer { read_line, lines: None })
}

fn run(future: impl Future<Output = Spent> + 'static) -> Spent {
    let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build();
    let mut runtime = runtime.expect("a monoio runtime");
    runtime.block_on(async { monoio::spawn(future).await })
}

async fn read(stream: impl AsyncReadRent, count: u64, expected: Line) -> Spent {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let begin = Begin::now();
    for n in 0..count {
        line.clear();
        reader.read_line(&mut line).await.expect("a line");
        expected.check(n, line.as_bytes());
    }
    begin.spent()
}

fn read_line(Job { from, count, line }: Job) -> Spent {
    run(async move {
        match from {
            Address::Tcp(address) => {
                read(TcpStream::connect(address).await.expect("it listens"), count, line).await
            }
            Address::Unix(path) => {
                read(UnixStream::connect(path).await.expect("it listens"), count, line).await
            }
        }
    })
}
