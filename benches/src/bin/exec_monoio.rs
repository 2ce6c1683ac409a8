//! Peer: monoio's io_uring runtime.

use std::time::{Duration, Instant};

use benches::exec::{self, LONG, MANY, Peer, Probe, SHORT, TIMEOUT, Yield};

fn main() -> anyhow::Result<()> {
    exec::main(Peer { spawn, spawn_many, yields, timeout, timeout_ready, sleepers })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + 'static) -> T {
    let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().enable_timer().build();
    let mut runtime = runtime.expect("a monoio runtime");
    runtime.block_on(async { monoio::spawn(future).await })
}

fn spawn(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            monoio::spawn(async {}).await;
        }
        begin.elapsed()
    })
}

fn spawn_many(count: u64) -> Duration {
    run(async move {
        let mut tasks = Vec::with_capacity(MANY as usize);
        let begin = Instant::now();
        for _ in 0..count.div_ceil(MANY) {
            tasks.extend((0..MANY).map(|_| monoio::spawn(async {})));
            for task in tasks.drain(..) {
                task.await;
            }
        }
        begin.elapsed()
    })
}

fn yields(tasks: usize, rounds: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        let spawned: Vec<_> = (0..tasks).map(|_| monoio::spawn(exec::yielding(rounds))).collect();
        for task in spawned {
            task.await;
        }
        begin.elapsed()
    })
}

fn timeout(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            monoio::time::timeout(TIMEOUT, Yield::default()).await.expect("in time");
        }
        begin.elapsed()
    })
}

fn timeout_ready(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            monoio::time::timeout(TIMEOUT, std::future::ready(())).await.expect("in time");
        }
        begin.elapsed()
    })
}

fn sleepers(count: usize, probe: Probe) {
    run(async move {
        for _ in 0..count {
            monoio::spawn(async {
                exec::asleep();
                monoio::time::sleep(LONG).await;
            });
        }
        while exec::count_asleep() < count {
            monoio::time::sleep(SHORT).await;
        }
        probe();
    });
}
