//! Ours: `uring_loop`'s tasks and timers, on a loop of its defaults.

use std::time::{Duration, Instant};

use benches::exec::{self, LONG, MANY, Peer, Probe, SHORT, TIMEOUT, Yield};

fn main() -> anyhow::Result<()> {
    exec::main(Peer { spawn, spawn_many, yields, timeout, timeout_ready, sleepers })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + 'static) -> T {
    let main = async { uring_loop::spawn(future).await.expect("no panic") };
    uring_loop::run(main).expect("an event loop")
}

fn spawn(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            uring_loop::spawn(async {}).await.expect("no panic");
        }
        begin.elapsed()
    })
}

fn spawn_many(count: u64) -> Duration {
    run(async move {
        let mut tasks = Vec::with_capacity(MANY as usize);
        let begin = Instant::now();
        for _ in 0..count.div_ceil(MANY) {
            tasks.extend((0..MANY).map(|_| uring_loop::spawn(async {})));
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
            (0..tasks).map(|_| uring_loop::spawn(exec::yielding(rounds))).collect();
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
            uring_loop::time::timeout(TIMEOUT, Yield::default()).await.expect("in time");
        }
        begin.elapsed()
    })
}

fn timeout_ready(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            uring_loop::time::timeout(TIMEOUT, std::future::ready(())).await.expect("in time");
        }
        begin.elapsed()
    })
}

fn sleepers(count: usize, probe: Probe) {
    run(async move {
        for _ in 0..count {
            drop(uring_loop::spawn(async {
                exec::asleep();
                uring_loop::time::sleep(LONG).await;
            }));
        }
        while exec::count_asleep() < count {
            uring_loop::time::sleep(SHORT).await;
        }
        probe();
    });
}
