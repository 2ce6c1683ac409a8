//! `compare idle`: what an idle connection costs a server in resident memory of its own.
//!
//! All connections have exchanged a message and have a receive pending. Counted is how much the
//! server's resident memory grew (RSS of `smaps_rollup`), so the kernel's sockets are not in it,
//! nor is memory that was asked for and never touched: a buffer counts by the pages that the
//! messages reached.

use anyhow::ensure;
use benches::load::{Before, settle};
use benches::pin::raise_file_limit;
use benches::process::{Metrics, Participant, Server};
use benches::report::Column;
use benches::rounds::Comparison;
use clap::Args;

use crate::how::{How, Run, against, count, subjects};

/// Enough exchanges to go once through every buffer a server shares between connections (256 in
/// `floor` and `ours`), so that what follows is the connections' own.
const WARM_UP: (usize, usize) = (100, 10);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Servers by name, as in echo_NAME [default: all that are built]
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Idle connections, after the hundred that warm the server up
    #[arg(long, default_value_t = 8000, value_parser = count)]
    connections: usize,
    /// Bytes of the servers' read buffers
    #[arg(long, default_value_t = 16384, value_parser = count)]
    buffer: usize,
    /// Bytes of the message that each connection exchanges first, at most 65536; as large as the
    /// buffer to have all of that touched
    #[arg(long, default_value_t = 64, value_parser = count)]
    size: usize,
}

pub(crate) fn compare(options: &Options, run: &mut Run<'_>) -> anyhow::Result<()> {
    let how = run.how;
    ensure!(options.size <= 65536, "--size is at most 65536, and not {}", options.size);
    let (files, needed) = (raise_file_limit()?, options.connections as u64 + 200);
    ensure!(
        files >= needed,
        "{} connections need a limit of {needed} open files, and it is {files}: raise it \
         (ulimit -Hn), or give --connections",
        options.connections
    );
    let servers = subjects(&options.servers, "echo_")?;
    let against = against(how, &servers, &["floor", "tokio"])?;
    run.record.begin()?;
    let title = format!(
        "{} idle connections, resident bytes each, buffers of {}, after {} bytes",
        options.connections, options.buffer, options.size
    );
    let comparison =
        Comparison::run(title, &servers, how.schedule(), |server| measure(server, options, how))?
            .against(&against)
            .with([
                ("connections", options.connections as f64),
                ("buffer", options.buffer as f64),
                ("size", options.size as f64),
            ]);
    run.done(comparison, &[Column::new("bytes", "bytes", 1.0, 0).with_ratios()])
}

fn measure(name: &str, options: &Options, how: &How) -> anyhow::Result<Metrics> {
    let core = format!("--core={}", how.core);
    let buffer = format!("--buffer={}", options.buffer);
    let server = Server::start(Participant::named("echo_", name)?, [core, buffer])?;
    let exchange = |messages| Before { messages, size: options.size };
    let _first = settle(server.address, WARM_UP.0, exchange(WARM_UP.1))?;
    let before = server.usage()?.resident;
    let _idle = settle(server.address, options.connections, exchange(1))?;
    let after = server.usage()?.resident;
    let bytes = after.saturating_sub(before) as f64 / options.connections as f64;
    Ok(Metrics::from([("bytes".to_owned(), bytes)]))
}
