//! Peer: compio's runtime.

use std::time::{Duration, Instant};

use benches::exec::{self, LONG, MANY, Peer, Probe, SHORT, TIMEOUT, Yield};

fn main() -> anyhow::Result<()> {
    exec::main(Peer { spawn, spawn_many, yields, timeout, timeout_ready, sleepers })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + 'static) -> T {
    let runtime = compio::runtime::Runtime::new().expect("a compio runtime");
    runtime.block_on(async { compio::runtime::spawn(future).await.expect("no panic") })
}

fn spawn(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            compio::runtime::spawn(async {}).await.expect("no panic");
        }
        begin.elapsed()
    })
}

fn spawn_many(count: u64) -> Duration {
    run(async move {
        let mut tasks = Vec::with_capacity(MANY as usize);
        let begin = Instant::now();
        for _ in 0..count.div_ceil(MANY) {
            tasks.extend((0..MANY).map(|_| compio::runtime::spawn(async {})));
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
        let spawned: Vec<_> =
            (0..tasks).map(|_| compio::runtime::spawn(exec::yielding(rounds))).collect();
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
            compio::time::timeout(TIMEOUT, Yield::default()).await.expect("in time");
        }
        begin.elapsed()
    })
}

fn timeout_ready(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            compio::time::timeout(TIMEOUT, std::future::ready(())).await.expect("in time");
        }
        begin.elapsed()
    })
}

fn sleepers(count: usize, probe: Probe) {
    run(async move {
        for _ in 0..count {
            compio::runtime::spawn(async {
                exec::asleep();
                compio::time::sleep(LONG).await;
            })
            .detach();
        }
        while exec::count_asleep() < count {
            compio::time::sleep(SHORT).await;
        }
        probe();
    });
}
