//! Time, on the virtual clock: the order of timers, deadlines that are over, ticks that were
//! missed, timeouts in the turn of their result, timers by the thousand that are taken back.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use uring_loop::EventLoop;
use uring_loop::op::{Driver, Nop};
use uring_loop::testing::{SimConfig, run};
use uring_loop::time::{Elapsed, interval, now, sleep, sleep_until, timeout, timeout_at};
use uring_loop::{spawn, yield_now};

use crate::support::{on_sim, on_sim_with, poll_once, virtual_loop};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn equal_deadlines_fire_in_the_order_of_arming() {
    run(async {
        let moment = now() + HOUR;
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..100)
            .map(|index| {
                let order = order.clone();
                spawn(async move {
                    // Some by duration, some by deadline, all for one moment.
                    match index % 2 {
                        0 => sleep(moment - now()).await,
                        _ => sleep_until(moment).await,
                    }
                    order.borrow_mut().push(index);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*order.borrow(), (0..100).collect::<Vec<_>>());
        assert_eq!(now(), moment);
    });
}

#[test]
fn timers_fire_by_deadline_whatever_the_order_of_arming() {
    for seed in 0..20u64 {
        on_sim(SimConfig::seeded(seed), |_| async move {
            let start = now();
            let fired = Rc::new(RefCell::new(Vec::new()));
            let tasks: Vec<_> = (0..200u64)
                .map(|index| {
                    // From nanoseconds to years, and many of them twice.
                    let mixed = (index + seed * 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let after = Duration::from_nanos((mixed >> 40) << (mixed % 30));
                    let fired = fired.clone();
                    spawn(async move {
                        sleep(after).await;
                        assert!(now() - start >= after, "fired early");
                        fired.borrow_mut().push((after, index));
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
            let mut sorted = fired.borrow().clone();
            sorted.sort();
            assert_eq!(*fired.borrow(), sorted, "seed {seed}");
        });
    }
}

#[test]
fn a_deadline_in_the_past_is_due_and_lets_others_run_once() {
    run(async {
        let ran = Rc::new(Cell::new(false));
        let mark = ran.clone();
        sleep(HOUR).await;
        let start = now();
        let other = spawn(async move { mark.set(true) });
        sleep_until(start - HOUR).await;
        assert!(ran.get(), "it was ready in its first poll");
        assert_eq!(now(), start, "no time passes");
        other.await.expect("no panic");
        assert_eq!(timeout_at(start - HOUR, pending::<()>()).await, Err(Elapsed));
        assert_eq!(now(), start);
        assert_eq!(timeout(Duration::ZERO, async { 1 }).await, Ok(1), "ready wins");
    });
}

#[test]
fn the_end_of_time_never_comes() {
    run(async {
        let mut never = pin!(sleep(Duration::MAX));
        assert_eq!(timeout(1000 * HOUR, &mut never).await, Err(Elapsed));
        assert!(poll_once(&mut never).await.is_pending());
        assert_eq!(timeout(Duration::MAX, async { sleep(HOUR).await }).await, Ok(()));
    });
}

#[test]
fn an_interval_skips_what_it_missed_and_keeps_its_phase() {
    run(async {
        let start = now();
        let mut ticks = interval(10 * MS);
        assert_eq!(ticks.tick().await, start, "the first at once");
        assert_eq!(ticks.tick().await, start + 10 * MS);
        sleep(35 * MS).await; // at 45: those of 20, 30 and 40 are over
        assert_eq!(ticks.tick().await, start + 20 * MS, "late, and it says when it was due");
        assert_eq!(now(), start + 45 * MS);
        assert_eq!(ticks.tick().await, start + 50 * MS, "not 30, not 55");
        assert_eq!(now(), start + 50 * MS);
        // A tick that nobody took is not lost.
        assert_eq!(timeout(3 * MS, ticks.tick()).await, Err(Elapsed));
        assert_eq!(ticks.tick().await, start + 60 * MS);
        sleep(10 * MS).await; // a tick is due this very moment
        assert_eq!(ticks.tick().await, start + 70 * MS);
        assert_eq!(ticks.tick().await, start + 80 * MS);
    });
}

/// asyncio: test_events.py, test_timeout_rounding. On the kernel's clock: the loop must wait for
/// such moments, or find that they are over, and not turn round them.
#[test]
fn naps_however_short_take_few_turns() {
    let mut event_loop = EventLoop::new().expect("a ring");
    let before = event_loop.statistics().turns;
    event_loop
        .run_until_complete(async {
            for nap in [10_000_000, 100_000, 1_000, 10, 1] {
                sleep(Duration::from_nanos(nap)).await;
            }
        })
        .expect("not stopped");
    let turns = event_loop.statistics().turns - before;
    assert!(turns <= 20, "{turns} turns for five naps");
}

/// The timer that ends the inner future and the timeout's are due in the same turn.
#[test]
fn a_result_in_the_turn_of_the_timeout_wins() {
    run(async {
        for _ in 0..10 {
            assert_eq!(timeout(5 * MS, sleep(5 * MS)).await, Ok(()));
            let moment = now() + 5 * MS;
            assert_eq!(timeout_at(moment, sleep_until(moment)).await, Ok(()));
            // Armed in the other order.
            let mut inner = Box::pin(sleep(5 * MS));
            let mut outer = Box::pin(timeout(5 * MS, poll_fn(|cx| inner.as_mut().poll(cx))));
            assert_eq!(outer.as_mut().await, Ok(()));
            assert_eq!(
                timeout(5 * MS, sleep(5 * MS + Duration::from_nanos(1))).await,
                Err(Elapsed)
            );
        }
    });
}

#[test]
fn a_byte_in_the_turn_of_the_timeout_is_not_lost() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let listener = uring_loop::net::TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let peer = Rc::new(sim.peer_connect(address).expect("it listens"));
        let mut stream = listener.accept().await.expect("accepted");
        for round in 0..10u8 {
            let (sender, at) = (peer.clone(), sim.now() + 5_000_000);
            sim.at(at, move |_| drop(sender.send([round])));
            match timeout(5 * MS, stream.recv()).await {
                Ok(bytes) => assert_eq!(*bytes.expect("open"), [round]),
                // The timer was first: the byte is not lost.
                Err(Elapsed) => assert_eq!(*stream.recv().await.expect("open"), [round]),
            }
        }
    });
}

#[test]
fn ten_thousand_sleepers_are_taken_back() {
    let mut event_loop = virtual_loop();
    let sleepers: Vec<_> = event_loop
        .run_until_complete(async {
            let mut sleepers: Vec<_> = (0..10_000u64)
                .map(|index| Box::pin(sleep(HOUR + index as u32 % 77 * MS)))
                .collect();
            for sleeper in &mut sleepers {
                assert!(poll_once(sleeper).await.is_pending());
            }
            sleepers
        })
        .expect("not cancelled");
    assert_eq!(event_loop.statistics().timers, 10_000);
    let turns = event_loop.statistics().turns;
    drop(sleepers);
    assert_eq!(event_loop.statistics().timers, 0, "they stayed armed");
    event_loop
        .run_until_complete(async {
            let start = now();
            sleep(2 * HOUR).await;
            assert_eq!(now() - start, 2 * HOUR);
        })
        .expect("not cancelled");
    let turns = event_loop.statistics().turns - turns;
    assert!(turns < 100, "{turns} turns: the loop woke for timers that are gone");
}

#[test]
fn timers_of_a_loop_that_goes_are_let_go_of() {
    let mut event_loop = virtual_loop();
    let mut kept = Vec::new();
    event_loop
        .run_until_complete(async {
            for _ in 0..1000 {
                drop(spawn(sleep(HOUR)));
            }
            kept.push(Box::pin(sleep(HOUR)));
            assert!(poll_once(&mut kept[0]).await.is_pending());
            yield_now().await;
        })
        .expect("not cancelled");
    drop(event_loop);
    // On another loop, whose clock is another: it is armed anew.
    run(async {
        assert!(poll_once(&mut kept[0]).await.is_pending());
        drop(kept);
    });
}

/// The budget of a turn: who is always ready holds up neither timers nor completions, however many
/// of that kind there are.
#[test]
fn tasks_that_are_always_ready_hold_up_no_timer_and_no_completion() {
    for greedy in [1, 10, 3000] {
        let mut event_loop = EventLoop::new().expect("a ring");
        let stop = Rc::new(Cell::new(false));
        event_loop
            .run_until_complete(async {
                let tasks: Vec<_> = (0..greedy)
                    .map(|_| {
                        let stop = stop.clone();
                        spawn(async move {
                            while !stop.get() {
                                yield_now().await;
                            }
                        })
                    })
                    .collect();
                for _ in 0..5 {
                    sleep(MS).await;
                    Driver::current().submit(Nop).await.expect("a nop");
                }
                assert!(join_all((0..50).map(|_| Driver::current().submit(Nop))).await.len() == 50);
                stop.set(true);
                for task in tasks {
                    task.await.expect("no panic");
                }
            })
            .expect("not cancelled");
        let statistics = event_loop.statistics();
        assert!(statistics.enters <= statistics.turns, "{statistics}");
    }
}

/// Within one poll a task may take 128 results that lie ready; then others have their turn.
#[test]
fn a_reader_with_a_flood_of_input_lets_others_run() {
    let builder = EventLoop::builder().buffers(512, 64);
    on_sim_with(builder, SimConfig::seeded(2), |sim| async move {
        let listener = uring_loop::net::TcpListener::bind("127.0.0.1:0").expect("free");
        let address = listener.local_addr().expect("bound");
        let peers: Vec<_> = (0..120).map(|_| sim.peer_connect(address).expect("listens")).collect();
        let mut streams = Vec::new();
        for _ in &peers {
            let mut stream = listener.accept().await.expect("accepted");
            assert!(poll_once(&mut stream.recv()).await.is_pending());
            streams.push(stream);
        }
        // 240 portions of eight bytes lie ready.
        for _ in 0..2 {
            sleep(MS).await;
            peers.iter().for_each(|peer| drop(peer.send([1; 8])));
        }
        sleep(MS).await;
        let steps = Rc::new(Cell::new(0));
        let counted = steps.clone();
        let other = spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        // One after the other, without a yield of its own: the budget refuses the rest.
        let mut received = 0;
        for _ in 0..2 {
            for stream in &mut streams {
                if let Poll::Ready(bytes) = poll_once(&mut stream.recv()).await {
                    received += bytes.expect("open").len();
                }
            }
        }
        assert!(received <= 128 * 8, "{received} bytes in one poll");
        while received < 240 * 8 {
            yield_now().await;
            for stream in &mut streams {
                if let Poll::Ready(bytes) = poll_once(&mut stream.recv()).await {
                    received += bytes.expect("open").len();
                }
            }
        }
        assert!(steps.get() > 0, "the other had no turn");
        other.abort();
    });
}
