//! Names: who shares a look-up, what is kept, what happens when name servers are silent.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use uring_loop::net::{TcpStream, resolve};
use uring_loop::time::{sleep, timeout};
use uring_loop::{Builder, EventLoop, Statistics, spawn, unblock};

use crate::support::{in_child, poll_once};

/// A resolver that counts, and answers with one address per host.
#[derive(Clone, Default)]
struct Counting(Arc<Mutex<HashMap<String, usize>>>);

impl Counting {
    fn asked(&self, host: &str) -> usize {
        self.0.lock().expect("no panic").get(host).copied().unwrap_or(0)
    }
}

impl uring_loop::net::Resolve for Counting {
    fn resolve(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        *self.0.lock().expect("no panic").entry(host.to_owned()).or_default() += 1;
        match host {
            "missing" => Err(io::Error::new(io::ErrorKind::NotFound, "no such host")),
            "panics" => panic!("a resolver with a fault"),
            _ => Ok(vec![([10, 0, 0, 1], 0).into(), ([10, 0, 0, 2], 99).into()]),
        }
    }
}

/// Runs on a loop with this resolver and a clock that jumps.
#[track_caller]
fn run<F: Future>(builder: Builder, future: F) -> F::Output {
    let mut event_loop = builder.virtual_clock().build().expect("a ring");
    event_loop.run_until_complete(future).expect("not cancelled")
}

#[test]
fn look_ups_of_one_name_at_a_time_share_one_call() {
    let counting = Counting::default();
    run(EventLoop::builder().resolve_with(counting.clone()), async {
        let many = (1..=50).map(|port| resolve(("shared", port)));
        for (found, port) in join_all(many).await.into_iter().zip(1..) {
            let expected: Vec<SocketAddr> =
                vec![([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], port).into()];
            assert_eq!(found.expect("it is known"), expected);
        }
        resolve("other:80").await.expect("it is known");
        assert_eq!(Statistics::current().lookups, 2);
    });
    assert_eq!((counting.asked("shared"), counting.asked("other")), (1, 1));
}

#[test]
fn an_answer_is_kept_for_a_while_and_an_error_is_not() {
    let counting = Counting::default();
    let keep = Duration::from_secs(60);
    run(EventLoop::builder().resolve_with(counting.clone()).keep_names(keep), async {
        for _ in 0..3 {
            resolve("kept:1").await.expect("it is known");
            let error = resolve("missing:1").await.expect_err("no such host");
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().starts_with("looking up \"missing\": "), "{error}");
        }
        sleep(keep - Duration::from_secs(1)).await;
        resolve("kept:2").await.expect("it is known");
        assert_eq!(counting.asked("kept"), 1);
        sleep(Duration::from_secs(1)).await;
        resolve("kept:3").await.expect("it is known");
    });
    assert_eq!((counting.asked("kept"), counting.asked("missing")), (2, 3));
    run(EventLoop::builder().resolve_with(counting.clone()).keep_names(Duration::ZERO), async {
        resolve("never:1").await.expect("it is known");
        resolve("never:1").await.expect("it is known");
    });
    assert_eq!(counting.asked("never"), 2);
}

#[test]
fn many_names_do_not_pile_up() {
    let counting = Counting::default();
    run(EventLoop::builder().resolve_with(counting.clone()), async {
        for number in 0..1500 {
            resolve((&*format!("host{number}"), 1)).await.expect("it is known");
        }
        // The table is full by now: names are looked up, and not kept.
        resolve("one-more:1").await.expect("it is known");
        resolve("one-more:1").await.expect("it is known");
        assert_eq!(counting.asked("one-more"), 2);
        sleep(Duration::from_secs(5)).await;
        resolve("one-more:1").await.expect("it is known");
        resolve("one-more:1").await.expect("it is known");
        assert_eq!(counting.asked("one-more"), 3, "what is stale makes room");
    });
}

#[test]
fn a_resolver_that_panics_is_an_error() {
    run(EventLoop::builder().resolve_with(Counting::default()), async {
        let error = resolve("panics:1").await.expect_err("it panics");
        assert!(error.to_string().contains("panicked"), "{error}");
        resolve("fine:1").await.expect("others go on");
    });
}

/// A resolver that answers when it is told to, and tells whom it is asked for.
fn held() -> (impl uring_loop::net::Resolve + Clone, Receiver<String>, Sender<()>) {
    let (asked, who) = channel();
    let (go, answer) = channel::<()>();
    let answer = Arc::new(Mutex::new(answer));
    let resolver = move |host: &str| {
        asked.send(host.to_owned()).expect("the test listens");
        answer.lock().expect("no panic").recv().map_err(io::Error::other)?;
        Ok(vec![([10, 0, 0, 1], 0).into()])
    };
    (resolver, who, go)
}

#[test]
fn a_look_up_outlives_who_began_it() {
    let (resolver, who, go) = held();
    run(EventLoop::builder().resolve_with(resolver), async {
        let mut first = Box::pin(resolve("slow:1"));
        assert!(poll_once(&mut first).await.is_pending());
        let (asked_for, who) = unblock(move || (who.recv(), who)).await.expect("a thread");
        assert_eq!(asked_for.as_deref(), Ok("slow"));
        let mut second = Box::pin(resolve("slow:2"));
        assert!(poll_once(&mut second).await.is_pending());
        // The one that waits for the helper goes; the next takes its place.
        drop(first);
        go.send(()).expect("it waits");
        assert_eq!(second.await.expect("the same call"), [([10, 0, 0, 1], 2).into()]);
        assert_eq!(Statistics::current().lookups, 1);
        // All who wait go: the next one joins what is under way.
        let mut given_up = Box::pin(resolve("again:1"));
        assert!(poll_once(&mut given_up).await.is_pending());
        // Not by the count of look-ups: that of the first may still be in it.
        let (asked_for, who) = unblock(move || (who.recv(), who)).await.expect("a thread");
        assert_eq!(asked_for.as_deref(), Ok("again"));
        drop(given_up);
        go.send(()).expect("it waits");
        resolve("again:1").await.expect("the same call");
        assert_eq!(Statistics::current().lookups, 2);
        drop(who);
    });
}

#[test]
fn silent_name_servers_stop_neither_other_helpers_nor_the_line() {
    in_child("net_names::silent_name_servers_stop_neither_other_helpers_nor_the_line", || {
        let (resolver, who, go) = held();
        let mut event_loop = EventLoop::builder().resolve_with(resolver).build().expect("a ring");
        event_loop
            .run_until_complete(async {
                let stuck: Vec<_> =
                    (0..16).map(|number| spawn(resolve((format!("stuck{number}"), 1)))).collect();
                let who = unblock(move || {
                    (0..16).for_each(|_| drop(who.recv().expect("it is asked")));
                    who
                });
                let who = who.await.expect("a thread");
                let in_line = spawn(resolve("in-line:1"));
                let given_up = timeout(Duration::from_millis(5), resolve("given-up:1")).await;
                given_up.expect_err("all helpers for it are busy");
                let statistics = Statistics::current();
                assert_eq!(statistics.lookups_running, 16);
                assert!(statistics.lookups_waiting >= 1, "{statistics:?}");
                let six_times_seven = unblock(|| 6 * 7).await.expect("a helper is free");
                assert_eq!(six_times_seven, 42);
                // What was given up in line is not asked for when its turn comes.
                for _ in 0..17 {
                    go.send(()).expect("it waits");
                }
                in_line.await.expect("no panic").expect("its turn came");
                for one in stuck {
                    one.await.expect("no panic").expect("it was told");
                }
                assert_eq!(who.try_iter().collect::<Vec<_>>(), ["in-line"]);
                assert_eq!(Statistics::current().lookups_waiting, 0);
            })
            .expect("not cancelled");
    });
}

#[test]
fn a_connect_with_a_limit_gives_up_a_silent_name_server() {
    let (resolver, _who, go) = held();
    let mut event_loop = EventLoop::builder().resolve_with(resolver).build().expect("a ring");
    event_loop
        .run_until_complete(async {
            let limit = Duration::from_millis(10);
            let error = TcpStream::connect_timeout("silent:80", limit).await.expect_err("silent");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(error.to_string().starts_with("connecting to silent:80: no answer"), "{error}");
        })
        .expect("not cancelled");
    go.send(()).expect("it still waits");
}

#[test]
fn the_system_knows_this_machine() {
    run(EventLoop::builder(), async {
        let found = resolve("localhost:80").await.expect("every system knows it");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    });
}
