//! `compare echo` and `compare http`: the load maker against each server in turn, a fresh server
//! every time.

use std::time::Duration;

use anyhow::{Context, ensure};
use benches::load::{self, Client, Exchange, Plan};
use benches::process::{Metrics, Participant, Server};
use benches::report::Column;
use benches::rounds::Comparison;
use benches::usage::Usage;
use clap::Args;

use crate::how::{How, Run, against, count, seconds, subjects};

#[derive(Debug, Args)]
pub(crate) struct Echo {
    /// Bytes of a message
    #[arg(long, default_value_t = 64, value_parser = count)]
    size: usize,
    #[command(flatten)]
    options: Options,
}

impl Echo {
    pub(crate) fn compare(&self, run: &mut Run<'_>) -> anyhow::Result<()> {
        let about = format!("{} bytes", self.size);
        let echo = Kind { name: "echo", exchange: Exchange::Echo(self.size), about };
        compare(&echo, &self.options, run)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Http {
    #[command(flatten)]
    options: Options,
}

impl Http {
    pub(crate) fn compare(&self, run: &mut Run<'_>) -> anyhow::Result<()> {
        let about = "keep-alive".to_owned();
        let http = Kind { name: "http", exchange: Exchange::Http, about };
        compare(&http, &self.options, run)
    }
}

/// What is asked of the servers, whose programs are `NAME_*`.
struct Kind {
    name: &'static str,
    exchange: Exchange,
    about: String,
}

impl Kind {
    fn prefix(&self) -> String {
        format!("{}_", self.name)
    }
}

#[derive(Debug, Args)]
struct Options {
    /// Servers by name, as in echo_NAME or http_NAME [default: all that are built]
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Connections; several make several tables
    #[arg(long, value_delimiter = ',', default_value = "50,1000,4000", value_parser = count)]
    connections: Vec<usize>,
    /// Messages under way per connection
    #[arg(long, default_value_t = 1, value_parser = count)]
    depth: usize,
    /// Counted seconds per run; short, because quiet spells are
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    seconds: f64,
    /// Seconds before counting
    #[arg(long, default_value_t = 0.2, value_parser = seconds)]
    warm_up: f64,
    /// The load maker's engine: epoll stays below saturation of good servers, uring saturates
    #[arg(long, value_enum, default_value = "epoll")]
    client: Client,
    /// Both sides poll instead of sleeping (a server that cannot ignores it)
    #[arg(long)]
    spin: bool,
    /// More options for one server, as in floor=--buffers=64; NAME may be NAME:LABEL
    #[arg(long, value_name = "NAME=OPTION")]
    option: Vec<String>,
}

const COLUMNS: [(&str, &str, f64, usize); 7] = [
    ("requests_per_second", "req/s", 1.0, 0),
    ("p50_ns", "p50 us", 1e3, 1),
    ("p99_ns", "p99 us", 1e3, 0),
    ("p999_ns", "p99.9 us", 1e3, 0),
    ("server_busy", "server busy", 1.0, 2),
    ("client_busy", "client busy", 1.0, 2),
    ("rss_bytes", "RSS MiB", 1048576.0, 1),
];

fn compare(kind: &Kind, options: &Options, run: &mut Run<'_>) -> anyhow::Result<()> {
    let how = run.how;
    let servers = subjects(&options.servers, &kind.prefix())?;
    check(options, &servers)?;
    let against = against(how, &servers, &["floor", "tokio"])?;
    run.record.begin()?;
    for &connections in &options.connections {
        let title = format!(
            "{}, {connections} connections, {}, {} deep, {:?} client{}",
            kind.name,
            kind.about,
            options.depth,
            options.client,
            if options.spin { ", spinning" } else { "" }
        );
        let comparison = Comparison::run(title, &servers, how.schedule(), |server| {
            measure(kind, server, connections, options, how)
        })?
        .against(&against)
        .with([
            ("connections", connections as f64),
            ("depth", options.depth as f64),
            ("seconds", options.seconds),
        ]);
        let comparison = match kind.exchange {
            Exchange::Echo(size) => comparison.with([("size", size as f64)]),
            Exchange::Http => comparison,
        };
        run.done(comparison, &columns())?;
    }
    Ok(())
}

fn check(options: &Options, servers: &[String]) -> anyhow::Result<()> {
    ensure!(options.seconds >= 0.01, "--seconds is at least 0.01: CPU time is kept in ticks");
    for option in &options.option {
        let named = option.split_once('=').map(|(name, _)| name);
        ensure!(
            named.is_some_and(|name| servers.iter().any(|server| server == name)),
            "--option {option}: NAME=OPTION is meant, where NAME is one of {}",
            servers.join(", ")
        );
    }
    let most = options.connections.iter().max().copied().unwrap_or(0);
    let (files, needed) = (benches::pin::raise_file_limit()?, most as u64 + 100);
    ensure!(
        files >= needed,
        "{most} connections need a limit of {needed} open files, and it is {files}: raise it \
         (ulimit -Hn), or give --connections"
    );
    Ok(())
}

fn columns() -> Vec<Column> {
    let mut columns = vec![Column::new("cpu_ns_per_request", "CPU ns/req", 1.0, 0).with_ratios()];
    columns.extend(COLUMNS.map(|(metric, header, scale, digits)| {
        let column = Column::new(metric, header, scale, digits);
        if metric == "p99_ns" { column.with_ratios() } else { column }
    }));
    columns
}

/// Starts the server; `name` may carry a label, as in floor:small, so that one program can take
/// part twice with different options.
fn start(kind: &Kind, name: &str, options: &Options, how: &How) -> anyhow::Result<Server> {
    let life = (options.warm_up + options.seconds).ceil() as u32 + 60;
    let mut arguments = vec!["--core".to_owned(), how.core.to_string()];
    arguments.extend(["--life".to_owned(), life.to_string()]);
    if options.spin {
        arguments.push("--spin".to_owned());
    }
    let own = options.option.iter().filter_map(|option| option.split_once('='));
    arguments.extend(own.filter(|(of, _)| *of == name).map(|(_, option)| option.to_owned()));
    Server::start(Participant::named(&kind.prefix(), name)?, arguments)
}

fn measure(
    kind: &Kind,
    name: &str,
    connections: usize,
    options: &Options,
    how: &How,
) -> anyhow::Result<Metrics> {
    let server = start(kind, name, options, how)?;
    let plan = Plan {
        connections,
        exchange: kind.exchange,
        depth: options.depth,
        warm_up: Duration::from_secs_f64(options.warm_up),
        duration: Duration::from_secs_f64(options.seconds),
        core: how.other_core,
        client: options.client,
        spin: options.spin,
        server: server.address,
    };
    let outcome = load::run(&plan, || server.usage())?;
    let before = outcome.probes.0.context("reading the server's usage")?;
    let after = outcome.probes.1.context("reading the server's usage")?;
    let requests = outcome.requests as f64;
    let seconds = outcome.elapsed.as_secs_f64();
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    let quantile = |q| outcome.latency.value_at_quantile(q) as f64;
    let per_request = |count: fn(&Usage) -> u64| (count(&after) - count(&before)) as f64 / requests;
    Ok([
        ("cpu_ns_per_request", cpu * 1e9 / requests),
        ("requests_per_second", requests / seconds),
        ("p50_ns", quantile(0.5)),
        ("p90_ns", quantile(0.9)),
        ("p99_ns", quantile(0.99)),
        ("p999_ns", quantile(0.999)),
        ("max_ns", outcome.latency.max() as f64),
        ("server_busy", cpu / seconds),
        ("client_busy", outcome.client_cpu.as_secs_f64() / seconds),
        ("rss_bytes", after.resident as f64),
        ("sleeps_per_request", per_request(|usage| usage.voluntary)),
        ("preemptions_per_request", per_request(|usage| usage.involuntary)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into())
}
