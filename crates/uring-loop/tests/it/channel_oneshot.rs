//! `channel::oneshot`: both directions, either end going first, taking a value in each way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use uring_loop::channel::{Closed, TryRecvError, oneshot};
use uring_loop::time::{Elapsed, timeout};
use uring_loop::{hold, run, spawn, yield_now};

use crate::support::{poll_once, run_limited};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn questions_and_answers_pass_between_two_loops() {
    let (ask, mut asked) = uring_loop::channel::mpsc::bounded(1);
    let thread = thread::spawn(move || {
        run(async move {
            while let Some((question, answer)) = asked.recv().await {
                let answer: oneshot::Sender<u32> = answer;
                answer.send(question + 1).expect("it waits");
            }
        })
        .expect("a ring");
    });
    run(async move {
        for question in 0..500 {
            let (sender, receiver) = oneshot::channel();
            ask.send((question, sender)).await.expect("it answers");
            assert_eq!(receiver.await, Ok(question + 1));
        }
    })
    .expect("a ring");
    thread.join().expect("no panic");
}

#[test]
fn a_plain_thread_and_a_loop_answer_each_other() {
    let (to_thread, at_thread) = oneshot::channel();
    let (to_loop, at_loop) = oneshot::channel();
    let thread = thread::spawn(move || {
        let question: u32 = at_thread.blocking_recv().expect("a question");
        to_loop.send(question * 2).expect("it waits");
    });
    let answer = run(async move {
        to_thread.send(21).expect("it waits");
        at_loop.await
    });
    assert_eq!(answer.expect("a ring"), Ok(42));
    thread.join().expect("no panic");
}

#[test]
fn a_sender_that_goes_leaves_no_value() {
    run_limited(async {
        let (sender, receiver) = oneshot::channel::<u32>();
        let waits = spawn(receiver);
        yield_now().await;
        drop(sender);
        assert_eq!(waits.await.expect("no panic"), Err(Closed(())));
    });
    let (sender, receiver) = oneshot::channel::<u32>();
    let thread = thread::spawn(move || receiver.blocking_recv());
    thread::sleep(5 * MS); // so that it blocks, as a rule
    drop(sender);
    assert_eq!(thread.join().expect("no panic"), Err(Closed(())));
}

#[test]
fn a_receiver_that_goes_is_noticed_and_the_value_given_back() {
    run_limited(async {
        let (mut sender, receiver) = oneshot::channel();
        assert!(!sender.is_closed());
        assert_eq!(timeout(HOUR, sender.closed()).await, Err(Elapsed));
        let goes = spawn(async move {
            yield_now().await;
            drop(receiver);
        });
        sender.closed().await;
        assert!(sender.is_closed());
        assert_eq!(sender.send("back"), Err(Closed("back")));
        goes.await.expect("no panic");
    });
}

#[test]
fn a_closed_receiver_takes_what_was_sent_and_refuses_the_rest() {
    let (sender, mut receiver) = oneshot::channel();
    sender.send(1).expect("open");
    receiver.close();
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    let (sender, mut receiver) = oneshot::channel();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    receiver.close();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(sender.send(2), Err(Closed(2)));
}

#[test]
fn a_value_nobody_takes_goes_with_the_receiver() {
    let value = Arc::new(());
    let (sender, receiver) = oneshot::channel();
    sender.send(value.clone()).expect("open");
    assert_eq!(Arc::strong_count(&value), 2);
    drop(receiver);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_wait_that_ended_too_early_can_be_repeated() {
    run_limited(async {
        let (sender, mut receiver) = oneshot::channel();
        assert_eq!(timeout(HOUR, &mut receiver).await, Err(Elapsed));
        let held = hold("another thread sends");
        let thread = thread::spawn(move || {
            thread::sleep(10 * MS);
            sender.send(5)
        });
        assert_eq!(timeout(HOUR, &mut receiver).await, Ok(Ok(5)));
        drop(held);
        assert_eq!(poll_once(&mut Pin::new(&mut receiver)).await, Poll::Ready(Err(Closed(()))));
        thread.join().expect("no panic").expect("it was awaited");
    });
    let (sender, mut receiver) = oneshot::channel();
    assert_eq!(receiver.blocking_recv_timeout(MS), Err(Elapsed));
    sender.send(6).expect("open");
    assert_eq!(receiver.blocking_recv_timeout(Duration::ZERO), Ok(Ok(6)));
}

#[test]
#[should_panic(expected = "blocking_recv would stop the loop that runs on this thread: await")]
fn blocking_on_a_loops_own_thread_is_refused() {
    let (_sender, receiver) = oneshot::channel::<()>();
    let _ = run(async { receiver.blocking_recv() });
}

#[test]
fn both_ends_print_their_state() {
    let (sender, receiver) = oneshot::channel();
    assert_eq!(format!("{sender:?} {receiver:?}"), "Sender(open) Receiver(open)");
    sender.send(1).expect("open");
    assert_eq!(format!("{receiver:?}"), "Receiver(sent)");
    let (sender, _) = oneshot::channel::<()>();
    assert_eq!(format!("{sender:?}"), "Sender(closed)");
}
