//! A loop round `select!`: readings, a beat, and a report that takes longer than either. Whichever
//! comes first has its turn, and the others are dropped; yet nothing is lost. A `recv` or a `tick`
//! that is dropped has taken nothing (their docs say *Strict*). The report would begin anew each
//! time, so it is made once and lent: `&mut report`.
//!
//! In Python: `asyncio.wait` with `FIRST_COMPLETED` in a loop, and a task for each.

use std::io;
use std::pin::pin;
use std::time::Duration;

use uring_loop::channel::mpsc;
use uring_loop::time::{interval, sleep};
use uring_loop::{select, spawn};

use crate::course::{println, run};

async fn measure(readings: mpsc::Sender<u32>) {
    for reading in [21, 22, 24, 23] {
        sleep(Duration::from_millis(300)).await;
        if readings.send(reading).await.is_err() {
            break; // nobody reads
        }
    }
}

async fn watch_all() {
    let (sender, mut readings) = mpsc::bounded(1);
    drop(spawn(measure(sender)));
    let mut beat = interval(Duration::from_millis(500));
    let mut report = pin!(sleep(Duration::from_millis(700)));
    let mut reported = false;
    let mut seen = Vec::new();
    loop {
        select! {
            biased;
            reading = readings.recv() => match reading {
                Some(reading) => {
                    println!("reading: {reading}");
                    seen.push(reading);
                }
                None => break,
            },
            _ = beat.tick() => println!("beat"),
            () = &mut report, if !reported => {
                println!("the report is written");
                reported = true;
            }
        }
    }
    println!("all readings: {seen:?}");
}

pub(crate) fn main() -> io::Result<()> {
    run(watch_all())
}
