//! How fast shards talk: one way, there and back, and calls; beside crossbeam's bounded channel and
//! a pair of threads that park, in the same run, in turns.
//!
//! `messages [--cpus 0,1] [--rounds 9] [--spin-us 50]`
//!
//! Prints medians with the smallest and the largest of the rounds. Worth reading only on a machine
//! that has nothing else to do, built with `--release`.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::future::join_all;
use shard::channel::{Receiver, Sender, channel};
use shard::{Ended, Shard, Shards};

/// Messages on the way, in all channels.
const CAPACITY: usize = 1024;
/// Messages of one round, one way.
const ONE_WAY: u64 = 2_000_000;
/// Round trips of one round.
const TRIPS: u32 = 5_000;

/// Measures messages between two cores.
#[derive(Parser)]
struct Options {
    /// The two CPUs.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1])]
    cpus: Vec<usize>,
    /// How often everything is measured, in turns.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// How long loops look for work before they sleep, where they spin.
    #[arg(long, default_value_t = 50)]
    spin_us: u64,
}

/// One thing that is measured: its name, and a round of it, as nanoseconds per message.
type Case = (&'static str, Box<dyn Fn() -> io::Result<f64>>);

fn each(time: Duration, messages: u64) -> f64 {
    time.as_secs_f64() * 1e9 / messages as f64
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let [first, second] = options.cpus[..] else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "--cpus takes two CPUs"));
    };
    let cpus = [first, second];
    let spin = Duration::from_micros(options.spin_us);
    let cases: Vec<Case> = vec![
        ("one way: channel, in batches of 128", Box::new(move || one_way(cpus, spin, 128))),
        ("one way: channel, singly", Box::new(move || one_way(cpus, spin, 1))),
        ("one way: crossbeam bounded", Box::new(move || crossbeam_one_way(cpus))),
        ("one way: submit_to, 128 under way", Box::new(move || calls(cpus, spin))),
        ("there and back, parked: channel", Box::new(move || trips(cpus, Duration::ZERO))),
        ("there and back, parked: submit_to", Box::new(move || call(cpus, Duration::ZERO))),
        ("there and back, parked: two threads", Box::new(move || parked(cpus))),
        ("there and back, spinning: channel", Box::new(move || trips(cpus, spin))),
        ("there and back, spinning: submit_to", Box::new(move || call(cpus, spin))),
        ("there and back: crossbeam bounded", Box::new(move || crossbeam_trips(cpus))),
    ];
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..options.rounds {
        for (times, (_, round)) in times.iter_mut().zip(&cases) {
            times.push(round()?);
        }
    }
    for (times, (name, _)) in times.iter_mut().zip(&cases) {
        times.sort_by(f64::total_cmp);
        let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{name:38} {median:10.1} ns  ({:.1} to {last:.1})", times[0]);
    }
    Ok(())
}

/// Runs a service on two shards; the time that shard 0 returns.
fn on_shards<F>(
    cpus: [usize; 2],
    spin: Duration,
    service: impl FnOnce(Shard) -> F + Clone + Send + 'static,
) -> io::Result<Duration>
where
    F: Future<Output = io::Result<Duration>> + 'static,
{
    let builder = Shards::builder().cpus(cpus).event_loop(move |options| options.spin(spin));
    let ends = builder.spawn(service)?.join()?;
    let times: Vec<_> = ends.into_iter().filter_map(Ended::returned).collect();
    Ok(times[0])
}

/// Ends of channels on their way to their shards.
struct Ends<A, B>(Arc<Mutex<(Option<A>, Option<B>)>>);

impl<A, B> Clone for Ends<A, B> {
    fn clone(&self) -> Self {
        Ends(self.0.clone())
    }
}

impl<A, B> Ends<A, B> {
    fn new(first: A, second: B) -> Self {
        Ends(Arc::new(Mutex::new((Some(first), Some(second)))))
    }

    fn first(&self) -> A {
        self.0.lock().expect("nobody panics").0.take().expect("taken once")
    }

    fn second(&self) -> B {
        self.0.lock().expect("nobody panics").1.take().expect("taken once")
    }
}

fn one_way(cpus: [usize; 2], spin: Duration, batch: u64) -> io::Result<f64> {
    let (sender, receiver) = channel::<u64>(CAPACITY);
    let ends = Ends::new(receiver, sender);
    let time = on_shards(cpus, spin, move |shard| async move {
        if shard.index() == 1 {
            send(ends.second(), batch).await;
            return Ok(Duration::ZERO);
        }
        receive(ends.first(), batch).await
    })?;
    Ok(each(time, ONE_WAY))
}

async fn send(mut sender: Sender<u64>, batch: u64) {
    let mut numbers = 0..ONE_WAY;
    if batch == 1 {
        for number in numbers {
            sender.send(number).await.expect("somebody receives");
        }
        return;
    }
    while !numbers.is_empty() {
        let some = numbers.by_ref().take(batch as usize);
        sender.send_batch(some).await.expect("somebody receives");
    }
}

/// From the first message to the last.
async fn receive(mut receiver: Receiver<u64>, batch: u64) -> io::Result<Duration> {
    let mut sum = receiver.recv().await.expect("there is a first");
    let start = Instant::now();
    if batch == 1 {
        while let Some(number) = receiver.recv().await {
            sum += number;
        }
    } else {
        let mut numbers = Vec::with_capacity(256);
        while receiver.recv_batch(&mut numbers, 256).await > 0 {
            sum += numbers.drain(..).sum::<u64>();
        }
    }
    assert_eq!(sum, ONE_WAY * (ONE_WAY - 1) / 2);
    Ok(start.elapsed())
}

fn crossbeam_one_way(cpus: [usize; 2]) -> io::Result<f64> {
    let (sender, receiver) = crossbeam_channel::bounded::<u64>(CAPACITY);
    let sending = thread::spawn(move || {
        pin(cpus[1]);
        for number in 0..ONE_WAY {
            sender.send(number).expect("somebody receives");
        }
    });
    let receiving = thread::spawn(move || {
        pin(cpus[0]);
        let mut sum = receiver.recv().expect("there is a first");
        let start = Instant::now();
        sum += receiver.iter().sum::<u64>();
        assert_eq!(sum, ONE_WAY * (ONE_WAY - 1) / 2);
        start.elapsed()
    });
    sending.join().expect("no panic");
    Ok(each(receiving.join().expect("no panic"), ONE_WAY))
}

/// As many calls as the limit allows, all the time.
fn calls(cpus: [usize; 2], spin: Duration) -> io::Result<f64> {
    const CALLS: u32 = 200_000;
    let time = on_shards(cpus, spin, |shard| async move {
        if shard.index() == 1 {
            return Ok(Duration::ZERO);
        }
        let start = Instant::now();
        let callers = (0..128).map(|_| {
            let shard = shard.clone();
            uring_loop::spawn(async move {
                for number in 0..CALLS / 128 {
                    let answer = shard.submit_to(1, move || async move { number }).await;
                    assert_eq!(answer, Ok(number));
                }
            })
        });
        for caller in join_all(callers).await {
            caller?;
        }
        Ok(start.elapsed())
    })?;
    Ok(each(time, u64::from(CALLS)))
}

fn call(cpus: [usize; 2], spin: Duration) -> io::Result<f64> {
    let time = on_shards(cpus, spin, |shard| async move {
        let start = Instant::now();
        if shard.index() == 0 {
            for number in 0..TRIPS {
                let answer = shard.submit_to(1, move || async move { number }).await;
                assert_eq!(answer, Ok(number));
            }
        }
        Ok(start.elapsed())
    })?;
    Ok(each(time, u64::from(TRIPS)))
}

fn trips(cpus: [usize; 2], spin: Duration) -> io::Result<f64> {
    let (there, there_end) = channel::<u32>(1);
    let (back, back_end) = channel::<u32>(1);
    let ends = Ends::new((there, back_end), (back, there_end));
    let time = on_shards(cpus, spin, move |shard| async move {
        let start = Instant::now();
        if shard.index() == 0 {
            let (mut there, mut back_end) = ends.first();
            for number in 0..TRIPS {
                there.send(number).await.expect("somebody receives");
                assert_eq!(back_end.recv().await, Some(number));
            }
        } else {
            let (mut back, mut there_end) = ends.second();
            while let Some(number) = there_end.recv().await {
                back.send(number).await.expect("somebody receives");
            }
        }
        Ok(start.elapsed())
    })?;
    Ok(each(time, u64::from(TRIPS)))
}

fn crossbeam_trips(cpus: [usize; 2]) -> io::Result<f64> {
    let (there, there_end) = crossbeam_channel::bounded::<u32>(1);
    let (back, back_end) = crossbeam_channel::bounded::<u32>(1);
    let other = thread::spawn(move || {
        pin(cpus[1]);
        there_end.iter().for_each(|number| back.send(number).expect("somebody receives"));
    });
    let this = thread::spawn(move || {
        pin(cpus[0]);
        let start = Instant::now();
        for number in 0..TRIPS {
            there.send(number).expect("somebody receives");
            assert_eq!(back_end.recv(), Ok(number));
        }
        start.elapsed()
    });
    let time = this.join().expect("no panic");
    other.join().expect("no panic");
    Ok(each(time, u64::from(TRIPS)))
}

/// The floor of two that sleep: a futex each (`std::thread::park`), and a word to say whose turn
/// it is.
fn parked(cpus: [usize; 2]) -> io::Result<f64> {
    let turn = Arc::new(Mutex::new(0));
    // A lock that nobody contends costs nothing against a sleep.
    let set = |turn: &Mutex<u32>, number| *turn.lock().expect("nobody panics") = number;
    let wait = |turn: &Mutex<u32>, number| {
        while *turn.lock().expect("nobody panics") != number {
            thread::park();
        }
    };
    let (main, word) = (thread::current(), turn.clone());
    let other = thread::spawn(move || {
        pin(cpus[1]);
        for trip in 0..TRIPS {
            wait(&word, 2 * trip + 1);
            set(&word, 2 * trip + 2);
            main.unpark();
        }
    });
    // The main thread is one of the two for the while, and its mask is put back afterwards.
    let this = nix::unistd::Pid::from_raw(0);
    let mask = nix::sched::sched_getaffinity(this)?;
    pin(cpus[0]);
    let start = Instant::now();
    for trip in 0..TRIPS {
        set(&turn, 2 * trip + 1);
        other.thread().unpark();
        wait(&turn, 2 * trip + 2);
    }
    let time = start.elapsed();
    nix::sched::sched_setaffinity(this, &mask)?;
    other.join().expect("no panic");
    Ok(each(time, u64::from(TRIPS)))
}

fn pin(cpu: usize) {
    assert!(core_affinity::set_for_current(core_affinity::CoreId { id: cpu }), "no CPU {cpu}");
}
