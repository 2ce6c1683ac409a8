//! Peer: tokio's `BufReader` on its current_thread runtime, with lines as text: it checks that they
//! are UTF-8.

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
