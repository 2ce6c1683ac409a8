//! Links between two sides that are in one process, and a side that is none of ours.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use uring_loop::time::{sleep, timeout};
use uring_loop::{Task, catch_cancel, spawn, yield_now};

use super::functions::number;
use super::*;

/// One side, served by a task.
struct Side {
    link: Rc<Link>,
    serving: Task<End>,
}

thread_local! {
    static CANCELLED: Cell<u32> = const { Cell::new(0) };
    static TAKEN: RefCell<Vec<(Carried, OwnedFd)>> = const { RefCell::new(Vec::new()) };
}

fn functions() -> Functions {
    let mut functions = Functions::default();
    functions.add("reverse".into(), |text: Vec<u8>| async move {
        text.into_iter().rev().collect::<Vec<u8>>()
    });
    functions.add("later".into(), |number: u32| async move {
        for _ in 0..number % 7 {
            yield_now().await;
        }
        number + 1
    });
    functions.add("panic".into(), |purpose: bool| async move { assert!(!purpose, "on purpose") });
    functions.add("never".into(), |(): ()| async {
        let ended = catch_cancel(pending::<()>()).await;
        CANCELLED.set(CANCELLED.get() + u32::from(ended.is_err()));
    });
    functions
}

fn host(woken: Option<u64>) -> Host {
    let take = |carried, fd| TAKEN.with_borrow_mut(|taken| taken.push((carried, fd)));
    Host { functions: functions(), take: Rc::new(take), woken }
}

fn side(parts: Parts, at: usize, woken: Option<u64>) -> Side {
    let (link, consumer) = Link::open(parts, 1 - at, at).expect("opened");
    let serving = spawn(serve(link.clone(), consumer, host(woken)));
    Side { link, serving }
}

fn sides(woken: Option<u64>) -> [Side; 2] {
    let [one, other] = pair().expect("made");
    [side(one, 0, woken), side(other, 1, woken)]
}

async fn call<R: serde::de::DeserializeOwned>(
    link: &Rc<Link>,
    name: &str,
    request: impl serde::Serialize,
) -> Result<R, String> {
    let request = encode(&request).expect("bytes");
    match link.clone().call(number(name), &request).await {
        Outcome::Value(bytes) => decode(&bytes.downcast::<Vec<u8>>().expect("bytes")),
        failed => Err(failed.into_error(7).to_string()),
    }
}

async fn later(link: &Rc<Link>, number: u32) -> Result<u32, String> {
    call(link, "later", number).await
}

/// Runs a test on a loop; one that hangs fails.
fn run(test: impl Future<Output = ()> + 'static) {
    uring_loop::run(async move {
        timeout(Duration::from_secs(60), test).await.expect("it hangs");
    })
    .expect("it runs");
}

#[test]
fn calls_go_both_ways_however_one_is_woken() {
    for woken in [None, Some(BY_SOCKET)] {
        run(async move {
            let [one, other] = sides(woken);
            for round in 0..20_u32 {
                assert_eq!(later(&one.link, round).await, Ok(round + 1));
                assert_eq!(later(&other.link, round).await, Ok(round + 1));
                // Both sides sleep in between.
                sleep(Duration::from_millis(1)).await;
            }
            for length in [0, 1, 7, 8, 9, 16_384, 100_000, 3_000_000] {
                let text: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
                let expected: Vec<u8> = text.iter().rev().copied().collect();
                assert_eq!(call(&one.link, "reverse", text).await, Ok(expected));
            }
        });
    }
}

#[test]
fn what_goes_wrong_with_a_call_is_told_in_words() {
    run(async {
        let [one, _other] = sides(None);
        let panicked = call::<()>(&one.link, "panic", true).await.expect_err("it panics");
        assert_eq!(panicked, "calling shard 7: the call panicked there: on purpose");
        let unknown = call::<()>(&one.link, "nobody", ()).await.expect_err("unknown");
        assert!(unknown.contains("no function of this name"), "{unknown}");
        let unread = call::<u32>(&one.link, "later", "text").await.expect_err("no number");
        assert!(unread.contains("reading the request"), "{unread}");
        // And the link lives.
        assert_eq!(later(&one.link, 1).await, Ok(2));
    });
}

#[test]
fn a_call_that_is_dropped_is_cancelled_there_and_its_permit_comes_back() {
    run(async {
        let [one, _other] = sides(None);
        for round in 0..3 * MOST_CALLS {
            let link = one.link.clone();
            let call = spawn(async move { call::<()>(&link, "never", ()).await });
            // At every point of its way.
            for _ in 0..round % 8 {
                yield_now().await;
            }
            call.abort();
        }
        assert_eq!(later(&one.link, 1).await, Ok(2));
        assert!(CANCELLED.get() > 0);
    });
}

#[test]
fn sides_that_flood_each_other_are_all_answered() {
    run(async {
        let [one, other] = sides(None);
        let flood = |link: Rc<Link>| {
            let one = |number: u32, link: Rc<Link>| async move {
                match number % 10 {
                    0 => {
                        let text = vec![number as u8; 50_000];
                        assert_eq!(call(&link, "reverse", text.clone()).await, Ok(text));
                    }
                    _ => assert_eq!(later(&link, number).await, Ok(number + 1)),
                }
            };
            let all: Vec<_> = (0..1000).map(|number| spawn(one(number, link.clone()))).collect();
            async move {
                for call in all {
                    call.await.expect("answered");
                }
            }
        };
        uring_loop::join((flood(one.link.clone()), flood(other.link.clone()))).await;
    });
}

#[test]
fn two_threads_that_ask_and_sleep_never_sleep_through_each_other() {
    let [one, other] = pair().expect("made");
    let ask = |parts: Parts, at: usize, done: Arc<Barrier>| {
        move || {
            run(async move {
                let own = side(parts, at, None);
                for number in 0..3000 {
                    assert_eq!(later(&own.link, number).await, Ok(number + 1));
                }
                // The other one may still ask.
                drop(uring_loop::unblock(move || done.wait()).await);
            });
        }
    };
    let done = Arc::new(Barrier::new(2));
    let there = std::thread::spawn(ask(one, 0, done.clone()));
    let here = std::thread::spawn(ask(other, 1, done));
    there.join().expect("no panic");
    here.join().expect("no panic");
}

#[test]
fn the_end_of_the_other_side_fails_the_calls_it_was_at_and_further_ones() {
    run(async {
        let [one, other] = sides(None);
        let link = one.link.clone();
        let waits = spawn(async move { call::<()>(&link, "never", ()).await });
        // More than there are permits: some of them have not been sent.
        let link = one.link.clone();
        let many: Vec<_> = (0..2 * MOST_CALLS)
            .map(|_| {
                let link = link.clone();
                spawn(async move { call::<()>(&link, "never", ()).await })
            })
            .collect();
        sleep(Duration::from_millis(10)).await;
        assert!(!waits.is_done());
        other.serving.abort();
        drop(other);
        let stopped = Err("calling shard 7: it has stopped".to_string());
        assert_eq!(waits.await.expect("told"), stopped);
        for call in many {
            assert_eq!(call.await.expect("told"), stopped);
        }
        assert!(matches!(one.serving.await.expect("over"), End::Gone));
        assert_eq!(call::<()>(&one.link, "never", ()).await, stopped);
    });
}

/// A side that writes what it likes.
struct Liar {
    ends: crate::wire::Ends<Rc<Memory>>,
    memory: Rc<Memory>,
    socket: UnixStream,
}

/// Wakes the other side, however it sleeps: what it had said of that may be written over.
fn wake(bell: &Bell<Rc<Memory>>, memory: &Memory, socket: &UnixStream) {
    bell.ring();
    serve::send_bell(socket);
    futex::wake(memory, bell.place(false));
}

/// What becomes of a link whose other side does this; and a second one, which nobody touches,
/// lives.
async fn lie(what: impl FnOnce(&mut Liar)) -> String {
    let [one, theirs] = pair().expect("made");
    let (honest, one) = (sides(None), side(one, 0, None));
    let memory = Memory::map(&theirs.memory).expect("mapped");
    let ends = crate::wire::ends(&memory, 1).expect("ours");
    let mut liar = Liar { ends, memory, socket: theirs.socket };
    let link = one.link.clone();
    let waits = spawn(async move { call::<()>(&link, "never", ()).await });
    sleep(Duration::from_millis(5)).await;
    what(&mut liar);
    wake(&liar.ends.bell, &liar.memory, &liar.socket);
    assert!(waits.await.expect("told").expect_err("stopped").contains("it has stopped"));
    assert_eq!(later(&honest[0].link, 1).await, Ok(2));
    match one.serving.await.expect("over") {
        End::Lied(what) => what.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_side_that_lies_in_the_ring_loses_its_own_link_and_nothing_else() {
    run(async {
        let frame = |kind: u32, call: u64, bytes: &'static [u8]| {
            move |liar: &mut Liar| {
                liar.ends.producer.write((kind, call), bytes);
                liar.ends.producer.publish();
            }
        };
        assert!(lie(frame(99, 0, b"")).await.contains("no known kind"));
        assert!(lie(frame(1, 5, b"short")).await.contains("of no function"));
        assert!(lie(frame(1, 1 << 40, b"12345678")).await.contains("a number that is none"));
        let twice = |liar: &mut Liar| {
            let never = number("never").to_le_bytes();
            liar.ends.producer.write((1, 3), &never);
            liar.ends.producer.write((1, 3), &never);
            liar.ends.producer.publish();
        };
        assert!(lie(twice).await.contains("the number of another"));
        // Every word of the shared memory is written over, again and again.
        let over = |word: u64| {
            move |liar: &mut Liar| {
                let words = liar.memory.words();
                words.iter().for_each(|at| at.store(word, std::sync::atomic::Ordering::Relaxed));
            }
        };
        for word in [u64::MAX, 1 << 40, 12_345] {
            let told = lie(over(word)).await;
            assert!(told.contains("counter") || told.contains("frame"), "{told}");
        }
    });
}

#[test]
fn a_side_that_lies_in_the_socket_or_rings_for_nothing_loses_its_link() {
    run(async {
        let says = |bytes: &'static [u8]| {
            move |liar: &mut Liar| liar.socket.write_all(bytes).expect("sent")
        };
        assert!(lie(says(b"nonsense")).await.contains("mean nothing"));
        assert!(lie(says(&[2, 3, 0xff, 0xff, 0xff])).await.contains("without an address"));
        // Listener 0, and an address of version 4: that of nobody.
        assert!(lie(says(&[2, 7, 0, 0, 1, 2, 3, 4, 80])).await.contains("without a descriptor"));
        assert!(lie(says(&[2, 200])).await.contains("mean nothing"));
        let rings = |liar: &mut Liar| {
            let (memory, bell) = (liar.memory.clone(), liar.ends.bell.clone());
            let socket = liar.socket.try_clone().expect("a second one");
            drop(spawn(async move {
                loop {
                    wake(&bell, &memory, &socket);
                    yield_now().await;
                }
            }));
        };
        assert!(lie(rings).await.contains("rings for nothing"));
    });
}

#[test]
fn a_connection_is_handed_over_with_where_it_came_from() {
    run(async {
        let [one, other] = sides(None);
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("made");
        let (accepted, peer) = listener.accept().expect("accepted");
        one.link.hand(&accepted, (3, peer)).expect("sent");
        assert_eq!(one.link.load(3), None, "it has not said that it takes any");
        drop(accepted);
        let (carried, fd) = loop {
            match TAKEN.with_borrow_mut(Vec::pop) {
                Some(taken) => break taken,
                None => sleep(Duration::from_millis(1)).await,
            }
        };
        assert_eq!(carried, (3, client.local_addr().expect("connected")));
        TcpStream::from(fd).write_all(b"hello").expect("it is that connection");
        let mut got = [0; 5];
        client.read_exact(&mut got).expect("received");
        assert_eq!(&got, b"hello");
        other.link.tell_load(Load(5 << 32), 1 << 3);
        assert_eq!(one.link.load(3), Some(Load(5 << 32)), "it has arrived");
        assert_eq!(one.link.load(2), None);
        other.link.leave(3).await;
        assert_eq!(one.link.load(3), None, "it has heard");
        other.link.tell_load(Load(0), u64::MAX);
        assert_eq!((one.link.load(3), one.link.load(2)), (None, Some(Load(0))));
        let v6: SocketAddr = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().expect("one");
        one.link.hand(&client, (u16::MAX, v6)).expect("the longest address fits");
    });
}
