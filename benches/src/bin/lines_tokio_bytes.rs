//! Peer: tokio's `BufReader` as in `lines_tokio`, with lines as bytes, as ours are.

#[path = "../lines/tokio.rs"]
mod connection;

use benches::lines::{self, Job, Peer};
use benches::spent::{Begin, Spent};
use connection::{connect, run};
use tokio::io::AsyncBufReadExt as _;

fn main() -> anyhow::Result<()> {
    lines::main(Peer { read_line, lines: Some(lines) })
}

fn read_line(job: Job) -> Spent {
    run(async move {
        let mut reader = connect(job.from).await;
        let mut line = Vec::new();
        let begin = Begin::now();
        for n in 0..job.count {
            line.clear();
            reader.read_until(b'\n', &mut line).await.expect("a line");
            job.line.check(n, &line);
        }
        begin.spent()
    })
}

fn lines(job: Job) -> Spent {
    run(async move {
        let mut lines = connect(job.from).await.split(b'\n');
        let begin = Begin::now();
        for n in 0..job.count {
            let line = lines.next_segment().await.expect("a line").expect("more lines");
            job.line.check(n, &line);
        }
        begin.spent()
    })
}
