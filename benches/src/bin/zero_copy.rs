//! Sending without a copy: from which size of a write on it pays.
//!
//! A loop on one core writes buffers of one size to a TCP connection, in rounds: with plain sends,
//! and with `IORING_OP_SEND_ZC`, in turn. The other end reads and throws away, on another core or,
//! with `--to`, on another machine (`nc -lk PORT > /dev/null`). It prints the CPU time of the
//! sender for each MiB, which a copy costs, and the throughput, which waiting for acknowledgements
//! costs.
//!
//! Over the loopback the kernel copies after all: the figures show the price of asking, not the
//! gain. The threshold of `TcpStream::set_zero_copy` is to be found over a network card.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use uring_loop::net::TcpStream;

/// Compares sends with and without a copy, by the size of a write.
#[derive(Debug, Parser)]
struct Options {
    /// Where to send to; a sink of its own over the loopback if not given
    #[arg(long)]
    to: Option<SocketAddr>,
    /// Core of the sender
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Core of the sink
    #[arg(long, default_value_t = 1)]
    other_core: usize,
    /// MiB per way, size and round
    #[arg(long, default_value_t = 256)]
    amount: usize,
    /// Rounds, the ways in turn
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

const MIB: usize = 1 << 20;
const SIZES: [usize; 9] =
    [4 << 10, 16 << 10, 64 << 10, 256 << 10, 512 << 10, MIB, 2 * MIB, 4 * MIB, 8 * MIB];

/// Microseconds of CPU time for a MiB, and MiB per second.
#[derive(Clone, Copy, Default)]
struct Sample {
    cpu: f64,
    speed: f64,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let to = options.to.map_or_else(|| sink(options.other_core), Ok)?;
    benches::pin::to_core(options.core)?;
    println!("medians");
    println!("size KiB   plain us/MiB   zero-copy us/MiB   plain MiB/s   zero-copy MiB/s");
    uring_loop::run(async {
        let mut stream = TcpStream::connect(to).await?;
        for size in SIZES {
            let [plain, zero_copy] = compare(&mut stream, &options, size).await?;
            println!(
                "{:8} {:14.1} {:18.1} {:13.0} {:17.0}",
                size >> 10,
                plain.cpu,
                zero_copy.cpu,
                plain.speed,
                zero_copy.speed
            );
        }
        anyhow::Ok(())
    })?
}

/// The medians of both ways.
async fn compare(
    stream: &mut TcpStream,
    options: &Options,
    size: usize,
) -> anyhow::Result<[Sample; 2]> {
    let mut samples: [Vec<Sample>; 2] = Default::default();
    for _ in 0..options.rounds {
        for (way, samples) in samples.iter_mut().enumerate() {
            samples.push(round(stream, way == 1, size, options.amount * MIB).await?);
        }
    }
    Ok(samples.map(|samples| Sample {
        cpu: median(samples.iter().map(|sample| sample.cpu)),
        speed: median(samples.iter().map(|sample| sample.speed)),
    }))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn round(
    stream: &mut TcpStream,
    zero_copy: bool,
    size: usize,
    amount: usize,
) -> anyhow::Result<Sample> {
    let mut buffer = vec![7; size];
    let writes = (amount / size).max(1);
    let (start, used) = (Instant::now(), cpu()?);
    for _ in 0..writes {
        // Where the kernel copies after all the stream gives up: here it is to try again.
        stream.set_zero_copy(zero_copy.then_some(1));
        let (result, back) = stream.write_all(buffer).await;
        result.context("sending")?;
        buffer = back;
    }
    let mebibytes = (writes * size) as f64 / MIB as f64;
    Ok(Sample {
        cpu: (cpu()? - used).as_secs_f64() * 1e6 / mebibytes,
        speed: mebibytes / start.elapsed().as_secs_f64(),
    })
}

/// CPU time of this thread.
fn cpu() -> anyhow::Result<Duration> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(Duration::from(now))
}

/// Reads whatever comes, and throws it away.
fn sink(core: usize) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || -> anyhow::Result<()> {
        benches::pin::to_core(core)?;
        let mut stream = listener.accept()?.0;
        let mut buffer = vec![0; MIB];
        while stream.read(&mut buffer)? > 0 {}
        Ok(())
    });
    Ok(address)
}
