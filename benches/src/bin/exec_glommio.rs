//! Peer: glommio's local executor.

use std::time::{Duration, Instant};

use benches::exec::{self, LONG, MANY, Peer, Probe, SHORT, TIMEOUT, Yield};

fn main() -> anyhow::Result<()> {
    exec::main(Peer { spawn, spawn_many, yields, timeout, timeout_ready, sleepers })
}

fn run<T: Send + 'static>(future: impl Future<Output = T> + 'static) -> T {
    // No placement: the thread is pinned already.
    let executor = glommio::LocalExecutorBuilder::default().make().expect("a glommio executor");
    executor.run(async { glommio::spawn_local(future).await })
}

fn spawn(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            glommio::spawn_local(async {}).await;
        }
        begin.elapsed()
    })
}

fn spawn_many(count: u64) -> Duration {
    run(async move {
        let mut tasks = Vec::with_capacity(MANY as usize);
        let begin = Instant::now();
        for _ in 0..count.div_ceil(MANY) {
            tasks.extend((0..MANY).map(|_| glommio::spawn_local(async {})));
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
        let spawned: Vec<_> =
            (0..tasks).map(|_| glommio::spawn_local(exec::yielding(rounds))).collect();
        for task in spawned {
            task.await;
        }
        begin.elapsed()
    })
}

/// glommio's timeout takes a future of a `Result` of its own.
async fn soon() -> glommio::Result<(), ()> {
    Yield::default().await;
    Ok(())
}

fn timeout(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            glommio::timer::timeout(TIMEOUT, soon()).await.expect("in time");
        }
        begin.elapsed()
    })
}

fn timeout_ready(count: u64) -> Duration {
    run(async move {
        let begin = Instant::now();
        for _ in 0..count {
            glommio::timer::timeout(TIMEOUT, std::future::ready(Ok(()))).await.expect("in time");
        }
        begin.elapsed()
    })
}

fn sleepers(count: usize, probe: Probe) {
    run(async move {
        for _ in 0..count {
            glommio::spawn_local(async {
                exec::asleep();
                glommio::timer::sleep(LONG).await;
            })
            .detach();
        }
        while exec::count_asleep() < count {
            glommio::timer::sleep(SHORT).await;
        }
        probe();
    });
}
