//! What a cancel request does to branches: those that catch, those that don't, nested, in a race,
//! under a limit, in a group; and that no clean-up of one branch is cut short by what happens in
//! another.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future as foreign;
use uring_loop::testing::run;
use uring_loop::time::{Elapsed, now, sleep, timeout};
use uring_loop::{
    JoinError, Task, TaskGroup, catch_cancel, join, race, select, spawn, try_join, yield_now,
};

use crate::parts::{Count, OnDrop, cleaning_up, started};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

/// Waits until it is cancelled, and gives a value after `time`.
async fn swallowing<T>(time: Duration, value: T) -> T {
    let _ = catch_cancel(pending::<()>()).await;
    sleep(time).await;
    value
}

async fn dropped_is_counted(dropped: &Count) {
    let _guard = OnDrop(dropped.clone());
    pending().await
}

async fn cancelled<T: 'static>(body: impl Future<Output = T> + 'static) -> Result<T, JoinError> {
    let task = started(spawn(body)).await;
    assert!(task.cancel());
    task.await
}

#[test]
fn a_join_without_a_catcher_is_dropped_as_a_whole() {
    run(async {
        let dropped = Count::default();
        let count = dropped.clone();
        let start = now();
        let ended = cancelled(async move {
            join((dropped_is_counted(&count), dropped_is_counted(&count))).await;
        });
        assert!(ended.await.expect_err("cancelled").is_cancelled());
        assert_eq!((dropped.get(), now() - start), (2, Duration::ZERO));
    });
}

#[test]
fn a_branch_without_a_catcher_is_dropped_while_the_other_cleans_up() {
    run(async {
        let (dropped, cleaned) = (Count::default(), Count::default());
        let (drops, cleans) = (dropped.clone(), cleaned.clone());
        let task = spawn(async move {
            join((cleaning_up(5 * MS, &cleans), dropped_is_counted(&drops))).await;
        });
        let task = started(task).await;
        let start = now();
        task.cancel();
        sleep(MS).await;
        assert_eq!((dropped.get(), cleaned.get()), (1, 0), "dropped at the request");
        assert!(task.await.expect_err("cancelled").is_cancelled());
        assert_eq!((cleaned.get(), now() - start), (1, 5 * MS));
    });
}

#[test]
fn branches_that_clean_up_for_different_times_all_finish() {
    run(async {
        for count in [3, 40] {
            let cleaned = Count::default();
            let cleans = cleaned.clone();
            let start = now();
            let ended = cancelled(async move {
                let times = 1..=count;
                join(times.map(|n| cleaning_up(n * MS, &cleans)).collect::<Vec<_>>()).await;
            });
            assert!(ended.await.expect_err("cancelled").is_cancelled());
            assert_eq!((cleaned.get(), now() - start), (count, count * MS));
        }
    });
}

#[test]
fn a_join_all_branches_of_which_answer_with_values_is_whole() {
    run(async {
        let ended = cancelled(async { join((swallowing(MS, 1), swallowing(2 * MS, 2))).await });
        assert_eq!(ended.await.expect("swallowed"), (1, 2));

        // Where one has no value, the others' values are lost with the join.
        let ended = cancelled(async { join((swallowing(MS, 1), pending::<()>())).await });
        assert!(ended.await.expect_err("cancelled").is_cancelled());
    });
}

#[test]
fn a_catcher_round_a_join_gets_the_request_when_all_branches_are_over() {
    run(async {
        let cleaned = Count::default();
        let cleans = cleaned.clone();
        let start = now();
        let ended = cancelled(async move {
            let branches = join((cleaning_up(5 * MS, &cleans), pending::<()>()));
            catch_cancel(branches).await.is_err()
        });
        assert!(ended.await.expect("swallowed"));
        assert_eq!((cleaned.get(), now() - start), (1, 5 * MS));
    });
}

#[test]
fn nested_joins_end_from_the_inside() {
    run(async {
        let (dropped, cleaned) = (Count::default(), Count::default());
        let (drops, cleans) = (dropped.clone(), cleaned.clone());
        let start = now();
        let ended = cancelled(async move {
            let inner = join((cleaning_up(3 * MS, &cleans), dropped_is_counted(&drops)));
            let plain = join((dropped_is_counted(&drops), dropped_is_counted(&drops)));
            join((inner, plain, cleaning_up(5 * MS, &cleans))).await;
        });
        assert!(ended.await.expect_err("cancelled").is_cancelled());
        assert_eq!((dropped.get(), cleaned.get(), now() - start), (3, 2, 5 * MS));
    });
}

#[test]
fn a_branch_that_was_ready_before_the_request_keeps_its_output() {
    run(async {
        let ended = cancelled(async {
            join((async { 1 }, swallowing(MS, 2), swallowing(2 * MS, 3))).await
        });
        assert_eq!(ended.await.expect("swallowed"), (1, 2, 3));
    });
}

#[test]
fn ready_wins_in_a_branch_and_the_request_is_kept() {
    run(async {
        let (flag, told) = (Rc::new(Cell::new(false)), Count::default());
        let (look, tell) = (flag.clone(), told.clone());
        let task = spawn(async move {
            let value = || {
                let look = look.clone();
                poll_fn(move |_| if look.get() { Poll::Ready(1) } else { Poll::Pending })
            };
            // Both are ready in the poll that brings the request: nobody answers it.
            let both = join((catch_cancel(value()), value())).await;
            assert_eq!(both, (Ok(1), 1));
            tell.one();
            sleep(LONG).await;
        });
        let task = started(task).await;
        flag.set(true);
        task.cancel();
        assert!(task.await.expect_err("at the next park").is_cancelled());
        assert_eq!(told.get(), 1);
    });
}

#[test]
fn a_race_lost_by_the_catcher_in_that_turn_does_not_cut_short_the_clean_up_of_another_branch() {
    run(async {
        let cleaned = Count::default();
        let cleans = cleaned.clone();
        let flag = Rc::new(Cell::new(false));
        let look = flag.clone();
        let task = spawn(async move {
            let losing = async {
                // The plain branch wins in the poll that brings the request, and the catcher is
                // dropped unheard.
                let wins = poll_fn(|_| if look.get() { Poll::Ready(()) } else { Poll::Pending });
                race((wins, async { drop(catch_cancel(pending::<()>()).await) })).await;
                sleep(LONG).await;
            };
            join((cleaning_up(5 * MS, &cleans), losing)).await;
        });
        let task = started(task).await;
        let start = now();
        flag.set(true);
        task.cancel();
        assert!(task.await.expect_err("cancelled").is_cancelled());
        assert_eq!((cleaned.get(), now() - start), (1, 5 * MS), "asked once");
    });
}

#[test]
fn what_a_branch_catches_after_a_lost_race_is_asked_in_its_turn() {
    run(async {
        let cleaned = Count::default();
        let cleans = cleaned.clone();
        let flag = Rc::new(Cell::new(false));
        let look = flag.clone();
        let task = spawn(async move {
            let losing = async {
                let wins = poll_fn(|_| if look.get() { Poll::Ready(()) } else { Poll::Pending });
                race((wins, async { drop(catch_cancel(pending::<()>()).await) })).await;
                cleaning_up(3 * MS, &cleans).await;
            };
            join((cleaning_up(5 * MS, &cleans), losing)).await;
        });
        let task = started(task).await;
        flag.set(true);
        task.cancel();
        assert!(task.await.expect_err("cancelled").is_cancelled());
        assert_eq!(cleaned.get(), 2);
    });
}

#[test]
fn a_second_request_finds_what_catches_by_then() {
    run(async {
        let cleaned = Count::default();
        let cleans = cleaned.clone();
        let task = spawn(async move {
            let stubborn = async {
                let _ = catch_cancel(pending::<()>()).await;
                // Catches again while it cleans up.
                cleaning_up(3 * MS, &cleans).await;
            };
            join((cleaning_up(LONG, &cleans), stubborn)).await;
        });
        let task = started(task).await;
        let start = now();
        task.cancel();
        sleep(MS).await;
        task.cancel();
        assert!(task.await.expect_err("cancelled").is_cancelled());
        assert_eq!((cleaned.get(), now() - start), (1, 4 * MS));
    });
}

#[test]
fn a_branch_that_has_not_begun_never_does() {
    run(async {
        let (began, cleaned) = (Count::default(), Count::default());
        let (begin, cleans) = (began.clone(), cleaned.clone());
        let own: Rc<Cell<Option<Task<()>>>> = Rc::default();
        let handle = own.clone();
        own.set(Some(spawn(async move {
            let first = async {
                let request = catch_cancel(async {
                    let task = handle.take().expect("it is there");
                    task.cancel();
                    handle.set(Some(task));
                    pending::<()>().await;
                });
                let request = request.await.expect_err("it asked itself");
                sleep(MS).await;
                cleans.one();
                request.propagate().await;
            };
            join((first, async { begin.one() })).await;
        })));
        yield_now().await;
        let task = own.take().expect("it is there");
        assert!(task.await.expect_err("cancelled").is_cancelled());
        assert_eq!((began.get(), cleaned.get()), (0, 1));
    });
}

#[test]
fn a_limit_round_branches_is_elapsed_when_all_are_over() {
    run(async {
        let (dropped, cleaned) = (Count::default(), Count::default());
        let start = now();
        let branches = join((cleaning_up(5 * MS, &cleaned), dropped_is_counted(&dropped)));
        assert_eq!(timeout(10 * MS, branches).await, Err(Elapsed));
        assert_eq!((dropped.get(), cleaned.get(), now() - start), (1, 1, 15 * MS));
    });
}

#[test]
fn a_limit_within_a_branch_is_its_own() {
    run(async {
        let start = now();
        let both = join((timeout(MS, sleep(LONG)), sleep(5 * MS)));
        assert_eq!(both.await, (Err(Elapsed), ()));
        let cleaned = Count::default();
        let both = join((timeout(MS, cleaning_up(2 * MS, &cleaned)), sleep(5 * MS)));
        assert_eq!(both.await, (Err(Elapsed), ()));
        assert_eq!((cleaned.get(), now() - start), (1, 10 * MS));
    });
}

#[test]
fn awaited_tasks_in_branches_are_cancelled_and_waited_for() {
    run(async {
        let cleaned = Count::default();
        let (one, other) = (cleaned.clone(), cleaned.clone());
        let start = now();
        let ended = cancelled(async move {
            let one = spawn(async move { cleaning_up(5 * MS, &one).await });
            let other = spawn(async move { cleaning_up(7 * MS, &other).await });
            let _ = join((one, other, sleep(LONG))).await;
        });
        assert!(ended.await.expect_err("cancelled").is_cancelled());
        assert_eq!((cleaned.get(), now() - start), (2, 7 * MS));
    });
}

#[test]
fn groups_in_branches_end_with_them() {
    run(async {
        let cleaned = Count::default();
        let (one, other) = (cleaned.clone(), cleaned.clone());
        let ended = cancelled(async move {
            let group = |count: Count| {
                TaskGroup::<()>::scope(async move |group| {
                    group.spawn_value(async move { cleaning_up(5 * MS, &count).await });
                    pending::<()>().await;
                    Ok(())
                })
            };
            let _ = join((group(one), group(other), sleep(LONG))).await;
        });
        assert!(ended.await.expect_err("cancelled").is_cancelled());
        assert_eq!(cleaned.get(), 2);
    });
}

#[test]
fn a_race_in_which_one_answers_with_a_value_has_that_value() {
    run(async {
        let dropped = Count::default();
        let drops = dropped.clone();
        let ended = cancelled(async move {
            let plain = async {
                dropped_is_counted(&drops).await;
                0
            };
            race((plain, swallowing(5 * MS, 7))).await
        });
        assert_eq!(ended.await.expect("swallowed"), 7);
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn a_race_in_which_all_end_hands_the_request_on() {
    run(async {
        let cleaned = Count::default();
        let cleans = cleaned.clone();
        let start = now();
        let ended = cancelled(async move {
            race((cleaning_up(5 * MS, &cleans), cleaning_up(3 * MS, &cleans), pending())).await;
        });
        assert!(ended.await.expect_err("cancelled").is_cancelled());
        assert_eq!((cleaned.get(), now() - start), (2, 5 * MS), "both could finish");
    });
}

#[test]
fn a_select_with_a_catcher_gives_it_the_request_to_answer() {
    run(async {
        let cleaned = Count::default();
        let cleans = cleaned.clone();
        let ended = cancelled(async move {
            select! {
                ended = catch_cancel(pending::<()>()) => {
                    let request = ended.expect_err("it waits for ever");
                    sleep(5 * MS).await;
                    cleans.one();
                    request.propagate().await;
                }
                () = sleep(LONG) => {}
            }
        });
        assert!(ended.await.expect_err("cancelled").is_cancelled());
        assert_eq!(cleaned.get(), 1);
    });
}

#[test]
fn a_select_without_a_catcher_is_dropped() {
    run(async {
        let ended = cancelled(async {
            select! {
                () = sleep(LONG) => {}
                () = pending() => {}
            }
        });
        assert!(ended.await.expect_err("cancelled").is_cancelled());
    });
}

#[test]
fn an_error_of_a_try_join_comes_before_the_request_which_is_kept() {
    run(async {
        let told = Count::default();
        let tell = told.clone();
        let ended = cancelled(async move {
            let failing = async {
                let _ = catch_cancel(pending::<()>()).await;
                sleep(MS).await;
                Err::<(), _>("in the clean-up")
            };
            let failed = try_join((failing, pending::<Result<(), _>>())).await;
            assert_eq!(failed, Err("in the clean-up"));
            tell.one();
            sleep(LONG).await;
        });
        assert!(ended.await.expect_err("at the next park").is_cancelled());
        assert_eq!(told.get(), 1);
    });
}

#[test]
fn our_branches_within_foreign_ones() {
    run(async {
        let (dropped, cleaned) = (Count::default(), Count::default());
        let (drops, cleans) = (dropped.clone(), cleaned.clone());
        let task = spawn(async move {
            let ours = join((cleaning_up(5 * MS, &cleans), dropped_is_counted(&drops)));
            foreign::join(ours, sleep(LONG)).await;
        });
        let task = started(task).await;
        let start = now();
        task.cancel();
        assert!(task.await.expect_err("cancelled").is_cancelled());
        // The foreign branch runs on until ours hands the request on, which ends the task.
        assert_eq!((dropped.get(), cleaned.get(), now() - start), (1, 1, 5 * MS));
    });
}

#[test]
fn foreign_branches_within_ours() {
    run(async {
        let (dropped, cleaned) = (Count::default(), Count::default());
        let (drops, cleans) = (dropped.clone(), cleaned.clone());
        let task = spawn(async move {
            let foreign = foreign::join(swallowing(MS, ()), sleep(8 * MS));
            join((foreign, cleaning_up(5 * MS, &cleans), dropped_is_counted(&drops))).await;
        });
        let task = started(task).await;
        let start = now();
        task.cancel();
        sleep(MS).await;
        assert_eq!(dropped.get(), 1, "ours is");
        assert!(task.await.expect_err("cancelled").is_cancelled());
        // Their second branch has no catcher of its own and is not seen: it runs to its end.
        assert_eq!((cleaned.get(), now() - start), (1, 8 * MS));
    });
}

#[test]
fn ours_and_a_foreign_one_side_by_side() {
    run(async {
        let cleaned = Count::default();
        let cleans = cleaned.clone();
        let task = spawn(async move {
            let ours = join((swallowing(5 * MS, 1), swallowing(6 * MS, 2)));
            let theirs = foreign::join(swallowing(7 * MS, 3), swallowing(8 * MS, 4));
            let all = foreign::join(ours, theirs).await;
            cleans.one();
            all
        });
        let task = started(task).await;
        task.cancel();
        assert_eq!(task.await.expect("swallowed"), ((1, 2), (3, 4)));
        assert_eq!(cleaned.get(), 1);
    });
}

#[test]
fn a_join_that_is_kept_and_not_polled_does_not_swallow_the_request() {
    run(async {
        for outside in [false, true] {
            let (cleaned, dropped) = (Count::default(), Count::default());
            let (cleans, drops) = (cleaned.clone(), dropped.clone());
            let task = spawn(async move {
                let body = async {
                    let branches = join((cleaning_up(5 * MS, &cleans), dropped_is_counted(&drops)));
                    let mut kept = Box::pin(branches);
                    drop(foreign::select(&mut kept, Box::pin(sleep(MS))).await);
                    sleep(LONG).await;
                };
                match outside {
                    true => catch_cancel(body).await.is_err(),
                    false => {
                        body.await;
                        false
                    }
                }
            });
            sleep(2 * MS).await;
            let start = now();
            task.cancel();
            match outside {
                true => assert!(task.await.expect("swallowed")),
                false => assert!(task.await.expect_err("nobody is polled").is_cancelled()),
            }
            assert_eq!((cleaned.get(), dropped.get()), (0, 1));
            assert_eq!(now(), start);
        }
    });
}

#[test]
fn a_request_taken_back_in_time_ends_no_branch() {
    run(async {
        let task = spawn(async {
            let caught = catch_cancel(sleep(5 * MS));
            join((caught, sleep(6 * MS))).await
        });
        let task = started(task).await;
        task.cancel();
        task.uncancel();
        assert_eq!(task.await.expect("not cancelled"), (Ok(()), ()));
    });
}
