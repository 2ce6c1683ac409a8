//! Who accepts connections, and what that does to those who wait: 90 % of the load comes on 10 % of
//! the connections, and each policy of `shard` spreads them over the shards.
//!
//! `balance [--cores 0,1] [--client-core 1] [--rounds 5] [--load 0.5]`
//!
//! A request makes its shard work for a while. Requests come at random times (Poisson), whether the
//! ones before were answered or not, and what they take is counted from when they were due. The
//! connections end and come again a few times in each round, as there is something to decide only
//! then. The client needs little, and shares a core where there are only two.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use benches::pin;
use benches::stats::summarise;
use clap::Parser;
use hdrhistogram::Histogram;
use shard::{Accept, Connection, Listener, Server, Shards};
use uring_loop::net::TcpStream;
use uring_loop::time::{now, sleep_until};

/// Measures how policies of accepting spread a load that is uneven.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// Cores of the shards
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1])]
    cores: Vec<usize>,
    /// Core of the client
    #[arg(long, default_value_t = 1)]
    client_core: usize,
    /// Rounds, the policies in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections at a time
    #[arg(long, default_value_t = 100)]
    connections: u64,
    /// How often connections come anew in a round
    #[arg(long, default_value_t = 5)]
    lives: u64,
    /// Seconds of a life
    #[arg(long, default_value_t = 1.0)]
    life: f64,
    /// Microseconds that a request makes its shard work
    #[arg(long, default_value_t = 200)]
    work_us: u64,
    /// Work that is asked for, as a share of what all shards can do
    #[arg(long, default_value_t = 0.5)]
    load: f64,
}

const POLICIES: [(&str, Accept); 3] = [
    ("reuseport", Accept::ReusePort),
    ("least-loaded", Accept::LeastLoaded),
    ("balanced", Accept::Balanced),
];

/// Bytes of a request, and of its reply.
const MESSAGE: usize = 8;

/// What a round has brought.
struct Sample {
    policy: usize,
    p50: f64,
    p99: f64,
    /// Requests of the busiest shard, as a multiple of what each would have if all had the same.
    busiest: f64,
    answered: u64,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut samples = Vec::new();
    for round in 0..options.rounds {
        for step in 0..POLICIES.len() {
            let policy = (round + step) % POLICIES.len();
            samples.push(measure(policy, round as u64, &options)?);
        }
    }
    println!(
        "{:<14} {:>10} {:>10} {:>22} {:>10}   (medians of {} rounds)",
        "policy", "p50 us", "p99 us", "busiest shard, of even", "answered", options.rounds
    );
    for (policy, (name, _)) in POLICIES.iter().enumerate() {
        let of = |value: fn(&Sample) -> f64| {
            let mine = samples.iter().filter(|sample| sample.policy == policy);
            summarise(&mine.map(value).collect::<Vec<_>>()).map_or(0.0, |all| all.median)
        };
        println!(
            "{name:<14} {:>10.0} {:>10.0} {:>22.2} {:>10.0}",
            of(|sample| sample.p50),
            of(|sample| sample.p99),
            of(|sample| sample.busiest),
            of(|sample| sample.answered as f64)
        );
    }
    Ok(())
}

fn measure(policy: usize, seed: u64, options: &Options) -> anyhow::Result<Sample> {
    let listener = Listener::bind("127.0.0.1:0", options.cores.len(), POLICIES[policy].1)?;
    let address = listener.local_addr()?;
    let served: Arc<Vec<AtomicU64>> =
        Arc::new(options.cores.iter().map(|_| AtomicU64::new(0)).collect());
    let (counts, work) = (served.clone(), Duration::from_micros(options.work_us));
    let shards = Shards::builder().cpus(options.cores.clone()).spawn(move |shard| async move {
        let index = shard.index();
        let service = move |connection| serve(connection, counts.clone(), index, work);
        Server::new(listener).drain(Duration::from_secs(1)).serve(&shard, service).await
    })?;
    let client = options.clone();
    let client = std::thread::spawn(move || -> anyhow::Result<Histogram<u64>> {
        pin::to_core(client.client_core)?;
        uring_loop::run(load(address, seed, client))?
    });
    let times = client.join().ok().context("the client panicked")??;
    shards.shutdown(Duration::from_secs(5))?;
    let served: Vec<_> = served.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    let (all, most) = (served.iter().sum::<u64>(), served.iter().max().copied().unwrap_or(0));
    Ok(Sample {
        policy,
        p50: times.value_at_quantile(0.5) as f64,
        p99: times.value_at_quantile(0.99) as f64,
        busiest: most as f64 * served.len() as f64 / all.max(1) as f64,
        answered: times.len(),
    })
}

/// Works for every request, then replies.
async fn serve(
    mut connection: Connection,
    served: Arc<Vec<AtomicU64>>,
    index: usize,
    work: Duration,
) {
    loop {
        let (count, bytes) = connection.read(Vec::with_capacity(MESSAGE)).await;
        if count.is_ok_and(|count| count == 0) || bytes.is_empty() {
            return;
        }
        let begin = Instant::now();
        while begin.elapsed() < work {
            std::hint::spin_loop();
        }
        served[index].fetch_add(1, Ordering::Relaxed);
        if connection.write_all(bytes).await.0.is_err() {
            return;
        }
        // Requests that wait on other connections have their turn.
        uring_loop::yield_now().await;
    }
}

/// All connections, a few lives of each; how long replies took, in microseconds.
async fn load(address: SocketAddr, seed: u64, options: Options) -> anyhow::Result<Histogram<u64>> {
    let times = Rc::new(RefCell::new(Histogram::<u64>::new_with_max(60_000_000, 3)?));
    let capacity = options.cores.len() as f64 * 1e6 / options.work_us as f64;
    let rate = capacity * options.load;
    for life in 0..options.lives {
        let end = now() + Duration::from_secs_f64(options.life);
        let mut all = Vec::new();
        for number in 0..options.connections {
            let mut random = Random(seed << 32 | life << 16 | number);
            // A tenth of them, whichever these are.
            let share = if random.next() < 0.1 { 0.9 / 0.1 } else { 0.1 / 0.9 };
            let rate = rate * share / options.connections as f64;
            let times = times.clone();
            all.push(uring_loop::spawn(talk(address, rate, end, random, times)));
        }
        for client in all {
            client.await.map_err(|_| anyhow::anyhow!("a connection failed"))??;
        }
    }
    let times = times.borrow().clone();
    Ok(times)
}

/// One connection: requests at random times, and their replies.
async fn talk(
    address: SocketAddr,
    rate: f64,
    end: Instant,
    mut random: Random,
    times: Rc<RefCell<Histogram<u64>>>,
) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut replies, mut requests) = stream.into_split();
    let due: Rc<RefCell<VecDeque<Instant>>> = Rc::default();
    let waiting = due.clone();
    let reading = uring_loop::spawn(async move {
        let mut bytes = 0;
        loop {
            let part = replies.recv().await?;
            if part.is_empty() {
                return Ok::<_, io::Error>(());
            }
            bytes += part.len();
            while bytes >= MESSAGE {
                bytes -= MESSAGE;
                if let Some(due) = waiting.borrow_mut().pop_front() {
                    let took = now().saturating_duration_since(due).as_micros() as u64;
                    times.borrow_mut().saturating_record(took.max(1));
                }
            }
        }
    });
    let mut next = now();
    loop {
        next += Duration::from_secs_f64(-random.next().ln() / rate);
        if next >= end {
            break;
        }
        sleep_until(next).await;
        due.borrow_mut().push_back(next);
        requests.write_all(vec![0; MESSAGE]).await.0?;
    }
    requests.shutdown(std::net::Shutdown::Write).await?;
    reading.await.map_err(|error| io::Error::other(error.to_string()))?
}

/// splitmix64 (Steele, Lea and Flood 2014), as numbers between 0 and 1, neither of them included.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON / 4.0
    }
}
