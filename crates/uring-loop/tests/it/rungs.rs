//! The whole loop on each rung of the set-up ladder, as on older kernels: TCP, tiny queues and
//! pools, timers, other threads, files, drops and the end of a loop.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::op::{Driver, Nop};
use uring_loop::time::{now, sleep, timeout};
use uring_loop::{Builder, EventLoop, RingChoice, Rung, examine, spawn, unblock, yield_now};

use crate::support::poll_once;

const MS: Duration = Duration::from_millis(1);
const RUNGS: [Rung; 3] = [Rung::NoSqarray, Rung::DeferTaskrun, Rung::CoopTaskrun];

/// Runs `piece` on every rung that this kernel has, and looks for leaks.
fn on_each<F: Future<Output = ()>>(builder: fn() -> Builder, mut piece: impl FnMut() -> F) {
    let best = examine().expect("a ring").setup.rung;
    for rung in RUNGS.into_iter().filter(|rung| *rung <= best) {
        let mut event_loop =
            builder().ring(RingChoice::Kernel).top_rung(rung).build().expect("a ring");
        let words = format!("{event_loop:?}");
        assert!(words.contains(&format!("rung: {rung:?}")), "not on {rung:?}: {words}");
        event_loop.run_until_complete(piece()).expect("not cancelled");
        let wait = async { sleep(20 * MS).await };
        event_loop.run_until_complete(wait).expect("not cancelled");
        let statistics = event_loop.statistics();
        assert!(statistics.enters <= statistics.turns, "{rung:?}: {statistics}");
        assert_eq!((statistics.in_flight, statistics.orphans), (0, 0), "{rung:?}: {statistics}");
        if let Some((free, all)) = statistics.buffers {
            assert_eq!(free, all, "{rung:?}: buffers were not given back");
        }
    }
}

async fn echo_to_many() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let address = listener.local_addr().expect("bound");
    let server = spawn(async move {
        for _ in 0..20 {
            let mut stream = listener.accept().await.expect("accepted");
            drop(spawn(async move {
                loop {
                    let bytes = stream.recv().await.expect("open");
                    if bytes.is_empty() {
                        return;
                    }
                    stream.write_all(bytes).await.0.expect("open");
                }
            }));
        }
    });
    let clients: Vec<_> = (0..20u8)
        .map(|index| {
            spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("it listens");
                for round in 0..10u8 {
                    let sent = vec![index ^ round; 1500];
                    stream.write_all(sent.clone()).await.0.expect("open");
                    let mut got = Vec::new();
                    while got.len() < sent.len() {
                        got.extend_from_slice(&stream.recv().await.expect("open"));
                    }
                    assert_eq!(got, sent);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("no panic");
    }
    server.await.expect("no panic");
}

#[test]
fn an_echo_server_works_on_every_rung() {
    on_each(EventLoop::builder, echo_to_many);
}

#[test]
fn tiny_queues_and_pools_work_on_every_rung() {
    let tiny = || EventLoop::builder().submissions(4).completions(8).buffers(4, 256);
    on_each(tiny, echo_to_many);
    on_each(tiny, || async {
        let driver = Driver::current();
        let nops = join_all((0..200).map(|_| driver.submit(Nop))).await;
        assert!(nops.iter().all(Result::is_ok));
    });
}

#[test]
fn timers_threads_and_cancels_work_on_every_rung() {
    on_each(EventLoop::builder, || async {
        let start = now();
        sleep(5 * MS).await;
        assert!(now() - start >= 5 * MS);
        let sum = join_all((0..10).map(|index| unblock(move || index))).await;
        assert_eq!(sum.into_iter().map(|one| one.expect("a thread")).sum::<i32>(), 45);
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        assert!(timeout(MS, listener.accept()).await.is_err());
        let address = listener.local_addr().expect("bound");
        let (server, client) = futures_util::join!(listener.accept(), TcpStream::connect(address));
        let (mut server, mut client) = (server.expect("accepted"), client.expect("connected"));
        assert!(timeout(MS, server.recv()).await.is_err());
        client.write_all("not lost").await.0.expect("open");
        assert_eq!(&*server.recv().await.expect("open"), b"not lost");
        let writing = timeout(5 * MS, client.write_all(vec![0; 32 << 20]));
        assert!(writing.await.is_err(), "nobody reads");
        let task = spawn(async move { server.recv().await.map(|_| ()) });
        yield_now().await;
        task.abort();
    });
}

#[test]
fn a_loop_goes_with_operations_in_flight_on_every_rung() {
    let best = examine().expect("a ring").setup.rung;
    for rung in RUNGS.into_iter().filter(|rung| *rung <= best) {
        let dropped = Rc::new(Cell::new(0));
        struct Guard(Rc<Cell<u32>>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let mut event_loop =
            EventLoop::builder().ring(RingChoice::Kernel).top_rung(rung).build().expect("a ring");
        let kept = event_loop
            .run_until_complete(async {
                let listener = TcpListener::bind("127.0.0.1:0").expect("free");
                let address = listener.local_addr().expect("bound");
                let mut kept = Vec::new();
                for _ in 0..10 {
                    let (server, client) =
                        futures_util::join!(listener.accept(), TcpStream::connect(address));
                    let mut server = server.expect("accepted");
                    let guard = Guard(dropped.clone());
                    drop(spawn(async move {
                        let _guard = guard;
                        while server.recv().await.is_ok() {}
                    }));
                    kept.push(client.expect("connected"));
                }
                assert!(poll_once(&mut kept[0].recv()).await.is_pending());
                yield_now().await;
                kept
            })
            .expect("not cancelled");
        drop(event_loop);
        assert_eq!(dropped.get(), 10, "{rung:?}");
        drop(kept);
    }
}
