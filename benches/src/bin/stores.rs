//! The sharded store `kv` beside a real redis-server, both driven by redis-benchmark.
//!
//! `stores [--core 0] [--other-core 1] [--rounds 9] [--requests 200000]`
//!
//! The server has the first core, or both where its name says so; redis-benchmark has the other. On
//! a machine of two cores a server of two shards shares one of them with its client: the CPU time
//! of the server for each request says more there than requests per second. Build `kv` first:
//! `cargo build --profile bench -p shard --example kv`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use benches::stats::summarise;
use benches::usage;
use clap::Parser;

/// Measures GET and SET of `kv` and of redis-server.
#[derive(Debug, Parser)]
struct Options {
    /// Core of the server
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Core of redis-benchmark, and of a second shard
    #[arg(long, default_value_t = 1)]
    other_core: usize,
    /// Rounds, the servers in turn
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Requests of each kind and round
    #[arg(long, default_value_t = 200_000)]
    requests: u64,
    /// Connections
    #[arg(long, default_value_t = 50)]
    connections: u32,
    /// Requests that a client sends before it waits for replies
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    pipeline: Vec<u32>,
}

/// Who is measured: a name, and how it is started.
const SERVERS: [(&str, Start); 4] = [
    ("redis-server", Start::Redis),
    ("kv, 1 shard", Start::Kv { both: false, mode: "threads" }),
    ("kv, 2 shards", Start::Kv { both: true, mode: "threads" }),
    ("kv, 2 processes", Start::Kv { both: true, mode: "processes" }),
];

#[derive(Clone, Copy)]
enum Start {
    Redis,
    Kv { both: bool, mode: &'static str },
}

/// A server that runs until this is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The shards that are processes end when their supervisor is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a round has brought, for one kind of request.
#[derive(Clone, Debug)]
struct Sample {
    server: usize,
    pipeline: u32,
    kind: String,
    per_second: f64,
    p99_ms: f64,
    cpu_us: f64,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut samples = Vec::new();
    for round in 0..options.rounds {
        for step in 0..SERVERS.len() {
            // Each round begins with another.
            let server = (round + step) % SERVERS.len();
            let running = start(SERVERS[server].1, &options)?;
            for pipeline in &options.pipeline {
                for kind in ["set", "get"] {
                    samples.push(measure(&running, server, *pipeline, kind, &options)?);
                }
            }
        }
    }
    print(&samples, &options);
    Ok(())
}

fn start(how: Start, options: &Options) -> anyhow::Result<Server> {
    match how {
        Start::Redis => {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let mut command = pinned(&[options.core], "redis-server".into());
            command.args(["--save", "", "--appendonly", "no", "--port", &port.to_string()]);
            command.stdout(Stdio::null());
            let child = command.spawn().context("starting redis-server: is it installed?")?;
            let server = Server { child, port };
            is_up(port)?;
            Ok(server)
        }
        Start::Kv { both, mode } => {
            let cores =
                if both { vec![options.core, options.other_core] } else { vec![options.core] };
            let list: Vec<_> = cores.iter().map(usize::to_string).collect();
            let mut command = pinned(&cores, kv()?);
            command.args(["--addr", "127.0.0.1:0", "--mode", mode, "--shards", &list.join(",")]);
            let mut child = command.stdout(Stdio::piped()).spawn().context("starting kv")?;
            let mut lines = BufReader::new(child.stdout.take().context("it is piped")?);
            let mut line = String::new();
            for _ in &cores {
                line.clear();
                lines.read_line(&mut line)?;
            }
            std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
            let address = line
                .split(' ')
                .nth(2)
                .and_then(|word| word.trim_end_matches(':').rsplit(':').next());
            let port = address.and_then(|port| port.parse().ok());
            let server =
                Server { child, port: port.with_context(|| format!("no port in {line:?}"))? };
            is_up(server.port)?;
            Ok(server)
        }
    }
}

fn kv() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().context("it is somewhere")?.join("examples/kv");
    ensure!(
        path.is_file(),
        "no {} (cargo build --profile bench -p shard --example kv)",
        path.display()
    );
    Ok(path)
}

/// A command that may use these cores.
fn pinned(cores: &[usize], program: PathBuf) -> Command {
    let list: Vec<_> = cores.iter().map(usize::to_string).collect();
    let mut command = Command::new("taskset");
    command.args(["-c", &list.join(",")]).arg(program);
    command
}

fn is_up(port: u16) -> anyhow::Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10) {
        if let Ok(mut client) = TcpStream::connect(("127.0.0.1", port)) {
            client.write_all(b"PING\r\n")?;
            let mut pong = [0; 7];
            if client.read_exact(&mut pong).is_ok() && &pong == b"+PONG\r\n" {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("nobody answers on port {port}")
}

/// CPU time of a process and of its children.
fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    let mut sum = usage::of(pid)?.cpu;
    for child in pids {
        sum += usage::of(child)?.cpu;
    }
    Ok(sum)
}

fn measure(
    running: &Server,
    server: usize,
    pipeline: u32,
    kind: &str,
    options: &Options,
) -> anyhow::Result<Sample> {
    let before = cpu(running.child.id())?;
    let output = pinned(&[options.other_core], "redis-benchmark".into())
        .args(["--csv", "-r", "100000", "-t", kind, "-p", &running.port.to_string()])
        .args(["-n", &options.requests.to_string(), "-c", &options.connections.to_string()])
        .args(["-P", &pipeline.to_string()])
        .output()
        .context("starting redis-benchmark: is it installed?")?;
    ensure!(output.status.success(), "{output:?}");
    let spent = cpu(running.child.id())? - before;
    let text = String::from_utf8(output.stdout)?;
    // The test, requests per second, then latencies in ms: mean, least, p50, p95, p99, most.
    let row: Vec<_> =
        text.lines().last().unwrap_or("").split(',').map(|w| w.trim_matches('"')).collect();
    let field = |at: usize| -> anyhow::Result<f64> {
        Ok(row.get(at).with_context(|| format!("no field {at} in {text:?}"))?.parse()?)
    };
    Ok(Sample {
        server,
        pipeline,
        kind: kind.to_uppercase(),
        per_second: field(1)?,
        p99_ms: field(6)?,
        cpu_us: spent.as_secs_f64() * 1e6 / options.requests as f64,
    })
}

fn print(samples: &[Sample], options: &Options) {
    println!(
        "{:<16} {:>8} {:>5} {:>12} {:>8} {:>10} {:>22}   (medians of {} rounds)",
        "server",
        "pipeline",
        "kind",
        "requests/s",
        "p99 ms",
        "CPU us",
        "requests/s, least-most",
        options.rounds
    );
    for pipeline in &options.pipeline {
        for kind in ["SET", "GET"] {
            for (server, (name, _)) in SERVERS.iter().enumerate() {
                let of = |value: fn(&Sample) -> f64| {
                    let mine = samples.iter().filter(|sample| {
                        (sample.server, sample.pipeline, &*sample.kind) == (server, *pipeline, kind)
                    });
                    summarise(&mine.map(value).collect::<Vec<_>>())
                };
                let (Some(rate), Some(p99), Some(cpu)) =
                    (of(|s| s.per_second), of(|s| s.p99_ms), of(|s| s.cpu_us))
                else {
                    continue;
                };
                let (low, high) = (rate.min, rate.max);
                println!(
                    "{name:<16} {pipeline:>8} {kind:>5} {:>12.0} {:>8.3} {:>10.2} {:>22}",
                    rate.median,
                    p99.median,
                    cpu.median,
                    format!("{low:.0}-{high:.0}"),
                );
            }
        }
    }
}
