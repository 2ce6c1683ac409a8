//! `compare idle`: what an idle connection costs a server in resident memory of its own.

use benches::load::settle;
use benches::process::{Metrics, Server, sibling};
use benches::report::Column;
use benches::rounds::Comparison;
use clap::Args;

use crate::{How, show, subjects};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Servers by name, as in echo_NAME [default: all that are built]
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Idle connections, after the hundred that warm the server up
    #[arg(long, default_value_t = 8000)]
    connections: usize,
    /// Bytes of the servers' read buffers
    #[arg(long, default_value_t = 16384)]
    buffer: usize,
}

pub(crate) fn compare(options: &Options, how: &How) -> anyhow::Result<Vec<Comparison>> {
    let servers = subjects(&options.servers, "echo_")?;
    let title = format!("{} idle connections, resident memory each", options.connections);
    let comparison =
        Comparison::run(title, &servers, how.schedule(), |server| measure(server, options, how))?
            .with([("connections", options.connections as f64), ("buffer", options.buffer as f64)]);
    show(&comparison, &[Column::new("bytes", "bytes", 1.0, 0).with_ratios()], how);
    Ok(vec![comparison])
}

fn measure(name: &str, options: &Options, how: &How) -> anyhow::Result<Metrics> {
    let core = format!("--core={}", how.core);
    let buffer = format!("--buffer={}", options.buffer);
    let server = Server::start(&sibling(&format!("echo_{name}"))?, [core, buffer])?;
    let _first = settle(server.address, 100)?;
    let before = server.usage()?.resident;
    let _idle = settle(server.address, options.connections)?;
    let after = server.usage()?.resident;
    let bytes = after.saturating_sub(before) as f64 / options.connections as f64;
    Ok(Metrics::from([("bytes".to_owned(), bytes)]))
}
