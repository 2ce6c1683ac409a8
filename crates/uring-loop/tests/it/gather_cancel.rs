//! Requests to end that reach what gathers: every child is asked, all are waited for.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join, select};
use proptest::prelude::*;
use uring_loop::testing::run;
use uring_loop::time::{Elapsed, now, sleep, timeout};
use uring_loop::{
    Promise, Task, catch_cancel, gather, gather_settled, spawn, spawn_all, try_gather, yield_now,
};

use crate::parts::ms;
use crate::support::{poll_once, virtual_loop};

/// What a child does when it is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It does not look.
    None,
    /// It cleans up for so long, and hands the request on.
    CleansUp(u64),
    /// It goes on for so long, and gives a value.
    Value(u64),
    /// It gives an error.
    Error(u64),
}

/// What each child heard, in order.
type Heard = Rc<RefCell<Vec<usize>>>;

/// A child that ends by itself after an hour.
fn child(index: usize, answer: Answer, heard: &Heard) -> Task<Result<usize, usize>> {
    let heard = heard.clone();
    spawn(async move {
        let hour = sleep(Duration::from_secs(3600));
        if answer == Answer::None {
            let _heard = Note(index, heard);
            hour.await;
            return Ok(index);
        }
        let Err(request) = catch_cancel(hour).await else { return Ok(index) };
        heard.borrow_mut().push(index);
        match answer {
            Answer::None => unreachable!(),
            Answer::CleansUp(time) => {
                sleep(ms(time)).await;
                request.propagate().await;
                unreachable!()
            }
            Answer::Value(time) => {
                sleep(ms(time)).await;
                Ok(index)
            }
            Answer::Error(time) => {
                sleep(ms(time)).await;
                Err(index)
            }
        }
    })
}

/// Notes a number when it is dropped.
struct Note(usize, Heard);

impl Drop for Note {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

fn children(answers: &[Answer], heard: &Heard) -> Vec<Task<Result<usize, usize>>> {
    answers.iter().enumerate().map(|(index, answer)| child(index, *answer, heard)).collect()
}

async fn sorted(heard: &Heard) -> Vec<usize> {
    let mut heard = heard.take();
    heard.sort_unstable();
    heard
}

#[test]
fn every_child_is_asked_and_who_gathers_ends_cancelled() {
    run(async {
        let heard = Heard::default();
        let tasks = children(&[Answer::None; 4], &heard);
        let outer = spawn(gather(tasks));
        sleep(ms(1)).await;
        assert!(outer.cancel());
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        assert_eq!(sorted(&heard).await, [0, 1, 2, 3]);
    });
}

#[test]
fn all_are_waited_for() {
    run(async {
        let heard = Heard::default();
        let answers = [Answer::CleansUp(30), Answer::None, Answer::CleansUp(10)];
        let outer = spawn(try_gather(children(&answers, &heard)));
        sleep(ms(1)).await;
        let start = now();
        outer.cancel();
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        assert_eq!(now() - start, ms(30));
        assert_eq!(sorted(&heard).await, [0, 1, 2]);
    });
}

#[test]
fn if_all_answer_with_values_the_request_is_swallowed() {
    run(async {
        let heard = Heard::default();
        let outer = spawn(gather(children(&[Answer::Value(5), Answer::Value(9)], &heard)));
        sleep(ms(1)).await;
        outer.cancel();
        assert_eq!(outer.await.expect("alive").expect("values"), [Ok(0), Ok(1)]);
    });
}

#[test]
fn if_one_ends_cancelled_the_values_of_the_others_do_not_help() {
    run(async {
        for answers in [[Answer::Value(5), Answer::CleansUp(1)], [Answer::None, Answer::Value(9)]] {
            let heard = Heard::default();
            let outer = spawn(gather_settled(children(&answers, &heard)));
            sleep(ms(1)).await;
            outer.cancel();
            assert!(outer.await.expect_err("cancelled").is_cancelled());
            assert_eq!(sorted(&heard).await, [0, 1]);
        }
    });
}

#[test]
fn an_error_on_the_way_to_a_requested_end_gives_way_to_it() {
    run(async {
        let heard = Heard::default();
        let answers = [Answer::Error(1), Answer::CleansUp(20)];
        let outer = spawn(try_gather(children(&answers, &heard)));
        sleep(ms(1)).await;
        let start = now();
        outer.cancel();
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        assert_eq!(now() - start, ms(20), "the other was waited for");
    });
}

#[test]
fn after_a_swallowed_request_an_error_ends_it_at_once_again() {
    run(async {
        let heard = Heard::default();
        let swallows = child(0, Answer::Value(1), &heard);
        let fails = spawn(async {
            drop(catch_cancel(pending::<()>()).await);
            sleep(ms(10)).await;
            Err(1)
        });
        let runs_on = spawn(async {
            drop(catch_cancel(pending::<()>()).await);
            sleep(ms(5)).await;
            Ok(2)
        });
        let outer = spawn(try_gather([swallows, fails, runs_on]));
        sleep(ms(1)).await;
        outer.cancel();
        let error = outer.await.expect("the request was swallowed").expect_err("one failed");
        assert_eq!(error.to_string(), "1");
    });
}

#[test]
fn a_timeout_asks_every_child_and_is_over_when_they_are() {
    run(async {
        let heard = Heard::default();
        let tasks = children(&[Answer::CleansUp(7), Answer::None, Answer::None], &heard);
        let start = now();
        assert_eq!(timeout(ms(10), gather(tasks)).await.map(drop), Err(Elapsed));
        assert_eq!(now() - start, ms(17));
        assert_eq!(sorted(&heard).await, [0, 1, 2]);
    });
}

#[test]
fn who_catches_outside_hears_when_the_children_have_ended() {
    run(async {
        let heard = Heard::default();
        let tasks = children(&[Answer::CleansUp(7), Answer::None], &heard);
        let seen = heard.clone();
        let outer = spawn(async move {
            let caught = catch_cancel(gather(tasks)).await.is_err();
            (caught, seen.borrow().len())
        });
        sleep(ms(1)).await;
        outer.cancel();
        assert_eq!(outer.await.expect("it caught"), (true, 2));
    });
}

#[test]
fn two_in_one_task_are_both_asked() {
    run(async {
        let heard = Heard::default();
        let one = gather([child(0, Answer::None, &heard), child(1, Answer::CleansUp(5), &heard)]);
        let other = gather_settled([child(2, Answer::None, &heard)]);
        let outer = spawn(async move { drop(join(one, other).await) });
        sleep(ms(1)).await;
        outer.cancel();
        sleep(ms(50)).await;
        assert_eq!(sorted(&heard).await, [0, 1, 2]);
        assert!(outer.await.expect_err("cancelled").is_cancelled());
    });
}

#[test]
fn gatherings_in_gatherings_are_asked_to_the_last() {
    run(async {
        let heard = Heard::default();
        let inner = |from: usize| {
            let tasks: Vec<_> =
                (from..from + 3).map(|index| child(index, Answer::CleansUp(3), &heard)).collect();
            spawn(gather(tasks))
        };
        let outer = spawn(gather([inner(0), inner(3)]));
        sleep(ms(1)).await;
        outer.cancel();
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        assert_eq!(sorted(&heard).await, [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_second_request_cuts_short_the_clean_up() {
    run(async {
        let heard = Heard::default();
        let tasks = children(&[Answer::CleansUp(1000), Answer::CleansUp(2000)], &heard);
        let outer = spawn(gather(tasks));
        sleep(ms(1)).await;
        let start = now();
        outer.cancel();
        sleep(ms(10)).await;
        outer.cancel();
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        assert_eq!(now() - start, ms(10));
    });
}

#[test]
fn children_that_were_done_are_not_asked_and_the_rest_is() {
    run(async {
        let heard = Heard::default();
        let quick = spawn(async { Ok(7) });
        let outer = spawn(gather([quick, child(1, Answer::Value(1), &heard)]));
        sleep(ms(1)).await;
        outer.cancel();
        assert_eq!(outer.await.expect("swallowed").expect("values"), [Ok(7), Ok(1)]);
    });
}

#[test]
fn a_request_in_the_turn_in_which_the_last_child_ends_is_not_lost() {
    run(async {
        let promise: Promise<u32> = Promise::new();
        let waiting = promise.clone();
        let inner = spawn(async move { waiting.await.expect("a value") });
        let outer = spawn(async move {
            let values = gather([inner]).await.expect("values");
            pending::<()>().await;
            values
        });
        sleep(ms(1)).await;
        promise.set_result(1).expect("pending");
        outer.cancel();
        sleep(ms(1)).await;
        assert!(outer.is_done(), "the request was given back, and found the task at its next park");
    });
}

#[test]
fn a_gathering_cancelled_before_its_first_poll_lets_its_tasks_run() {
    let ran = Rc::new(Cell::new(false));
    run(async {
        let into = ran.clone();
        let outer = spawn(gather([spawn(async move {
            sleep(ms(1)).await;
            into.set(true);
        })]));
        outer.cancel();
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        sleep(ms(5)).await;
    });
    assert!(ran.get());
}

#[test]
fn an_abort_of_who_gathers_lets_the_children_run_on() {
    let ran = Rc::new(Cell::new(0));
    run(async {
        let work = |_| {
            let ran = ran.clone();
            async move {
                sleep(ms(5)).await;
                ran.set(ran.get() + 1);
            }
        };
        let outer = spawn(gather(spawn_all((0..3).map(work))));
        sleep(ms(1)).await;
        outer.abort();
        sleep(ms(10)).await;
    });
    assert_eq!(ran.get(), 3);
}

#[test]
fn one_that_is_polled_under_another_scope_is_asked_there() {
    run(async {
        let heard = Heard::default();
        let tasks = children(&[Answer::None, Answer::None], &heard);
        let outer = spawn(async move {
            let mut gathered = Box::pin(gather(tasks));
            for _ in 0..3 {
                // Each round under a catcher at the same place, which goes away.
                let mut caught = Box::pin(catch_cancel(&mut gathered));
                assert!(poll_once(&mut caught).await.is_pending());
            }
            drop(select(Box::pin(sleep(ms(1))), &mut gathered).await);
            gathered.await.map(drop)
        });
        sleep(ms(5)).await;
        outer.cancel();
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        assert_eq!(sorted(&heard).await, [0, 1]);
    });
}

#[test]
fn one_that_is_dropped_in_the_turn_of_the_request_gives_it_back() {
    run(async {
        let heard = Heard::default();
        let tasks = children(&[Answer::CleansUp(1), Answer::Value(1)], &heard);
        let outer = spawn(async move {
            let gathered = Box::pin(gather(tasks));
            drop(select(Box::pin(sleep(ms(5))), gathered).await);
            pending::<()>().await;
        });
        sleep(ms(5)).await; // `outer` is woken in this very turn
        outer.cancel();
        sleep(ms(1)).await;
        assert!(outer.is_done(), "the request is not lost");
        assert!(sorted(&heard).await.is_empty());
    });
}

#[test]
fn one_that_is_kept_and_not_polled_is_passed_over() {
    run(async {
        let heard = Heard::default();
        let tasks = children(&[Answer::None, Answer::None], &heard);
        let outer = spawn(async move {
            let mut kept = Box::pin(gather(tasks));
            assert!(poll_once(&mut kept).await.is_pending());
            pending::<()>().await;
            drop(kept.await);
        });
        sleep(ms(1)).await;
        outer.cancel();
        sleep(ms(1)).await;
        assert!(outer.is_done());
        assert!(sorted(&heard).await.is_empty(), "they run on");
        yield_now().await;
    });
}

#[test]
fn one_that_was_passed_over_is_asked_by_the_next_request() {
    run(async {
        let heard = Heard::default();
        let tasks = children(&[Answer::None, Answer::CleansUp(3)], &heard);
        let outer = spawn(async move {
            let mut kept = Box::pin(gather(tasks));
            assert!(poll_once(&mut kept).await.is_pending());
            assert!(catch_cancel(pending::<()>()).await.is_err(), "this one is polled");
            sleep(ms(1)).await;
            kept.await.map(drop)
        });
        sleep(ms(1)).await;
        outer.cancel();
        sleep(ms(5)).await;
        assert!(sorted(&heard).await.is_empty() && !outer.is_done());
        outer.cancel();
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        assert_eq!(sorted(&heard).await, [0, 1]);
    });
}

#[test]
fn a_request_that_one_has_ended_for_outlives_a_limit_that_drops_the_rest() {
    run(async {
        let heard = Heard::default();
        let went_on = Rc::new(Cell::new(false));
        let into = went_on.clone();
        let gathered = gather(children(&[Answer::None, Answer::CleansUp(1000)], &heard));
        let outer = spawn(async move {
            let leaves = async {
                drop(catch_cancel(pending::<()>()).await); // swallows the request to the task
                if let Err(limit) = catch_cancel(pending::<()>()).await {
                    limit.propagate().await; // and ends the limit at once
                }
            };
            let _ = timeout(ms(10), join(gathered, leaves)).await;
            into.set(true);
        });
        sleep(ms(1)).await;
        let start = now();
        outer.cancel();
        assert!(outer.await.expect_err("cancelled").is_cancelled());
        assert_eq!((went_on.get(), now() - start), (false, ms(9)));
        assert_eq!(sorted(&heard).await, [0, 1]);
    });
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::None),
        (0..50_u64).prop_map(Answer::CleansUp),
        (0..50_u64).prop_map(Answer::Value),
        (0..50_u64).prop_map(Answer::Error),
    ]
}

proptest! {
    /// Whatever the children answer: all are asked, and the end is as the rule says.
    #[test]
    fn a_request_reaches_all_and_ends_as_the_rule_says(
        answers in prop::collection::vec(answer(), 1..8),
    ) {
        run(async {
            let heard = Heard::default();
            let outer = spawn(try_gather(children(&answers, &heard)));
            sleep(ms(1)).await;
            let start = now();
            outer.cancel();
            let ended = outer.await;
            let took = now() - start;
            assert_eq!(sorted(&heard).await, (0..answers.len()).collect::<Vec<_>>());
            let time = |answer: &Answer| match answer {
                Answer::None => 0,
                Answer::CleansUp(time) | Answer::Value(time) | Answer::Error(time) => *time,
            };
            assert_eq!(took, ms(answers.iter().map(time).max().unwrap_or(0)));
            let cancelled = |answer: &Answer| matches!(answer, Answer::None | Answer::CleansUp(_));
            let failed = |answer: &Answer| matches!(answer, Answer::Error(_));
            match ended {
                Err(error) => {
                    assert!(error.is_cancelled() && answers.iter().any(cancelled));
                }
                Ok(Err(_)) => assert!(!answers.iter().any(cancelled) && answers.iter().any(failed)),
                Ok(Ok(values)) => assert!(values.iter().copied().eq(0..answers.len())),
            }
        });
    }
}

/// What happens to who gathers, in the middle.
#[derive(Clone, Copy, Debug)]
enum Act {
    Cancel,
    CancelTwice,
    Abort,
    Detach,
    Timeout,
    EndOfLoop,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Cancel),
        Just(Act::CancelTwice),
        Just(Act::Abort),
        Just(Act::Detach),
        Just(Act::Timeout),
        Just(Act::EndOfLoop),
    ]
}

proptest! {
    /// Whatever happens, and when: everything ends, and nothing is kept.
    #[test]
    fn nothing_is_left_whatever_happens_to_who_gathers(
        answers in prop::collection::vec((answer(), 0..40_u64), 0..8),
        act in act(),
        at in 0..60_u64,
        in_tuple: bool,
    ) {
        let kept = Rc::new(());
        let mut event_loop = virtual_loop();
        let work = |(answer, ends): &(Answer, u64)| {
            let (kept, answer, ends) = (kept.clone(), *answer, *ends);
            event_loop.spawn(async move {
                if catch_cancel(sleep(ms(ends))).await.is_err() && answer != Answer::None {
                    sleep(ms(ends)).await;
                }
                kept
            })
        };
        let mut tasks: Vec<_> = answers.iter().map(work).collect();
        let limit = ms(if matches!(act, Act::Timeout) { at } else { 1_000_000 });
        let mine = kept.clone();
        let outer = event_loop.spawn(async move {
            let _mine = mine;
            let gathered = async {
                match (in_tuple, tasks.pop(), tasks.pop()) {
                    (true, Some(one), Some(other)) => {
                        drop(uring_loop::gather!(one, other, gather_settled(tasks)).await);
                    }
                    (_, one, other) => {
                        drop(gather(tasks.into_iter().chain(one).chain(other)).await);
                    }
                }
            };
            let _ = timeout(limit, gathered).await;
        });
        event_loop.run_until_complete(async { sleep(ms(at)).await }).expect("not cancelled");
        match act {
            Act::Cancel => drop(outer.cancel()),
            Act::CancelTwice => drop((outer.cancel(), outer.cancel())),
            Act::Abort => outer.abort(),
            Act::Detach | Act::Timeout => drop(outer),
            Act::EndOfLoop => (),
        }
        if !matches!(act, Act::EndOfLoop) {
            event_loop.run_until_complete(async { sleep(ms(200)).await }).expect("not cancelled");
            prop_assert_eq!(event_loop.all_tasks().len(), 0);
            prop_assert_eq!(Rc::strong_count(&kept), 1);
        }
        drop(event_loop);
        prop_assert_eq!(Rc::strong_count(&kept), 1);
    }
}
