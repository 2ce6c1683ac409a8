//! What it costs to hand over from one unit to another, on one core: two tasks of a loop, two
//! threads, two processes. Each waits for the other, wakes it, and waits again; nothing else is
//! done, so that every hand-over is a switch.
//!
//! Threads and processes sleep on a word (futex(2)), which is what a lock of std, a channel or a
//! condition variable come down to; a job is a hand-over.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use uring_loop::sync::Event;

use super::Model;
use super::cores;
use super::meter;
use super::report::{Finding, Order};
use super::stage::Stage;
use crate::word::{self, Word};

/// Hand-overs between two looks at the clock, there and back.
pub const BATCH: u32 = 128;

/// Does what is ordered, and measures it.
///
/// # Errors
///
/// When a unit can't be started, or a hand-over is lost; [`cores::NoLoop`].
pub fn run(order: &Order) -> anyhow::Result<Finding> {
    // All on one core, whatever the model.
    let order = &Order { cores: order.cores[..1].to_vec(), ..order.clone() };
    let mut stage = Stage::begin(order)?;
    let rounds = rounds(order)?;
    let times = match order.model {
        Model::Coroutines => tasks(rounds)?,
        Model::ThreadPerJob => threads(&mut stage, rounds),
        Model::ProcessPerCore => processes(&mut stage, rounds)?,
        other => bail!("{other} has no unit of its own to switch to"),
    };
    stage.last();
    stage.end(order.count(), each(order.count(), times)?)
}

/// How often it goes there and back.
///
/// # Errors
///
/// When there are too many to count.
pub fn rounds(order: &Order) -> anyhow::Result<u32> {
    Ok(u32::try_from(order.count().div_ceil(2))?)
}

/// So many rounds took so long.
pub type Lap = (u32, Duration);

/// The times of `count` hand-overs: two for each round, and all of a batch are taken to be alike.
///
/// # Errors
///
/// When there were fewer.
pub fn each(count: usize, laps: Vec<Lap>) -> anyhow::Result<Vec<Duration>> {
    let mut each = Vec::with_capacity(count + 1);
    for (rounds, took) in laps {
        each.extend(std::iter::repeat_n(took / (2 * rounds).max(1), 2 * rounds as usize));
    }
    ensure!(each.len() >= count, "{count} hand-overs were wanted, and {} done", each.len());
    each.truncate(count);
    Ok(each)
}

/// Does `rounds` rounds and looks at the clock after every batch.
fn timed(rounds: u32, mut round: impl FnMut(u32)) -> Vec<Lap> {
    let mut laps = Vec::with_capacity((rounds / BATCH + 1) as usize);
    let (mut last, mut begun) = (Instant::now(), 0);
    for number in 1..=rounds {
        round(number);
        if number - begun == BATCH || number == rounds {
            let now = Instant::now();
            laps.push((number - begun, now - last));
            (last, begun) = (now, number);
        }
    }
    laps
}

/// What two tasks share: whose turn it is, and how many hand-overs there were.
#[derive(Default)]
struct Table {
    turns: [Event; 2],
    handed: Cell<u64>,
}

impl Table {
    async fn hand_over(&self, side: usize) {
        self.turns[side].wait().await;
        self.turns[side].clear();
        assert_eq!(self.handed.get() % 2, side as u64, "a task was woken out of turn");
        self.handed.set(self.handed.get() + 1);
        self.turns[1 - side].set();
    }
}

fn tasks(rounds: u32) -> anyhow::Result<Vec<Lap>> {
    meter::note("loop thread");
    cores::event_loop()?.run_until_complete(async move {
        let table = Rc::new(Table::default());
        let other = Rc::clone(&table);
        let second = uring_loop::spawn(async move {
            for _ in 0..rounds {
                other.hand_over(1).await;
            }
        });
        let first = Rc::clone(&table);
        let first = uring_loop::spawn(async move {
            first.turns[0].set();
            let mut laps = Vec::with_capacity((rounds / BATCH + 1) as usize);
            let mut left = rounds;
            while left > 0 {
                let begin = Instant::now();
                let batch = left.min(BATCH);
                for _ in 0..batch {
                    first.hand_over(0).await;
                }
                laps.push((batch, begin.elapsed()));
                left -= batch;
            }
            laps
        });
        let laps = first.await.map_err(std::io::Error::from)?;
        second.await.map_err(std::io::Error::from)?;
        ensure!(table.handed.get() == 2 * u64::from(rounds), "hand-overs were lost");
        Ok(laps)
    })?
}

/// Two words to sleep on: the number of the last round that was handed over, there and back.
#[derive(Debug, Default)]
struct Words {
    there: Word,
    back: Word,
}

impl Words {
    fn first(&self, rounds: u32, publish: fn(&Word, u32), wait: fn(&Word, u32)) -> Vec<Lap> {
        timed(rounds, |number| {
            publish(&self.there, number);
            wait(&self.back, number - 1);
            assert_eq!(self.back.get(), number, "a hand-over was lost");
        })
    }

    fn second(&self, rounds: u32, publish: fn(&Word, u32), wait: fn(&Word, u32)) {
        for number in 1..=rounds {
            wait(&self.there, number - 1);
            publish(&self.back, number);
        }
    }
}

fn threads(stage: &mut Stage<'_>, rounds: u32) -> Vec<Lap> {
    let words = Words::default();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            meter::note("other thread");
            words.second(rounds, Word::publish, Word::wait_while);
        });
        stage.watch.look();
        let laps = words.first(rounds, Word::publish, Word::wait_while);
        second.join().expect("it only hands over");
        laps
    })
}

fn processes(stage: &mut Stage<'_>, rounds: u32) -> anyhow::Result<Vec<Lap>> {
    let words = word::Shared::<Words>::new(Words::default())?;
    // SAFETY: this process has one thread, and the child does nothing but what is between here and
    // `_exit`: it touches shared memory and calls futex(2).
    let child = match unsafe { fork() }? {
        ForkResult::Child => {
            words.second(rounds, Word::publish_shared, Word::wait_while_shared);
            // SAFETY: ends the process at once, without running anything of its parent's.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => child,
    };
    stage.watch.look_and_note("other process");
    let laps = words.first(rounds, Word::publish_shared, Word::wait_while_shared);
    stage.watch.look();
    let ended = waitpid(child, None)?;
    ensure!(ended == WaitStatus::Exited(child, 0), "the other process ended with {ended:?}");
    Ok(laps)
}

#[cfg(test)]
mod tests {
    use super::super::Workload;
    use super::*;

    #[test]
    fn laps_are_all_the_rounds() {
        for rounds in [1, BATCH, BATCH + 1, 3 * BATCH] {
            let mut seen = 0;
            let laps = timed(rounds, |number| seen = number);
            assert_eq!((laps.iter().map(|lap| lap.0).sum::<u32>(), seen), (rounds, rounds));
        }
    }

    #[test]
    fn tasks_hand_over_in_turn() {
        assert_eq!(tasks(300).unwrap().iter().map(|lap| lap.0).sum::<u32>(), 300);
    }

    #[test]
    fn who_has_no_unit_is_refused() {
        let order = Order { size: 2, ..Order::new(Workload::Switches, Model::ThreadPool) };
        assert!(run(&order).unwrap_err().to_string().contains("no unit of its own"));
    }
}
