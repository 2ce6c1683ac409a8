//! Peer: tokio's current_thread runtime.

use std::time::{Duration, Instant};

use benches::exec::{self, LONG, MANY, Peer, Probe, SHORT, TIMEOUT, Yield};

fn main() -> anyhow::Result<()> {
    exec::main(Peer { spawn, spawn_many, yields, timeout, timeout_ready, sleepers })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a tokio runtime");
    runtime.block_on(async { tokio::spawn(future).await.expect("no panic") })
}

fn spawn(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            tokio::spawn(async {}).await.expect("no panic");
        }
        begin.elapsed()
    })
}

fn spawn_many(count: u64) -> Duration {
    run(async move {
        let mut tasks = Vec::with_capacity(MANY as usize);
        let begin = Instant::now();
        for _ in 0..count.div_ceil(MANY) {
            tasks.extend((0..MANY).map(|_| tokio::spawn(async {})));
            for task in tasks.drain(..) {
                task.await.expect("no panic");
            }
        }
        begin.elapsed()
    })
}

fn yields(tasks: usize, rounds: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        let spawned: Vec<_> = (0..tasks).map(|_| tokio::spawn(exec::yielding(rounds))).collect();
        for task in spawned {
            task.await.expect("no panic");
        }
        begin.elapsed()
    })
}

fn timeout(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            tokio::time::timeout(TIMEOUT, Yield::default()).await.expect("in time");
        }
        begin.elapsed()
    })
}

fn timeout_ready(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            tokio::time::timeout(TIMEOUT, std::future::ready(())).await.expect("in time");
        }
        begin.elapsed()
    })
}

fn sleepers(count: usize, probe: Probe) {
    run(async move {
        for _ in 0..count {
            tokio::spawn(async {
                exec::asleep();
                tokio::time::sleep(LONG).await;
            });
        }
        while exec::count_asleep() < count {
            tokio::time::sleep(SHORT).await;
        }
        probe();
    });
}
