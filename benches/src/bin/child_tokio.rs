//! Peer: tokio's `Command`, on its current_thread runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use benches::children::{self, AT_ONCE, PROGRAM, Peer, SPEAKER, SPEECH};
use benches::spent::{Begin, Spent};
use tokio::process::Command;
use tokio::spawn;

fn main() -> anyhow::Result<()> {
    let one = |count| run(children::one_by_one(count, child));
    let output = |count| run(children::one_by_one(count, speaker));
    children::main(Peer { one, many, output })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.expect("a tokio runtime");
    runtime.block_on(async { spawn(future).await.expect("no panic") })
}

async fn child() {
    let status = Command::new(PROGRAM).status().await.expect("a child");
    assert!(status.success(), "{status}");
}

async fn speaker() {
    let (program, argument) = SPEAKER;
    let output = Command::new(program).arg(argument).output().await.expect("a child");
    assert_eq!(output.stdout, SPEECH);
}

fn many(count: u64) -> Spent {
    run(async move {
        let next = Arc::new(AtomicU64::new(0));
        let begin = Begin::now();
        let tasks = (0..AT_ONCE).map(|_| {
            let next = next.clone();
            spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    child().await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
        begin.spent()
    })
}
