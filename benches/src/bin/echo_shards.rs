//! Ours: echo on several shards (`shard::Server`), to see what the second core brings.
//!
//! `compare echo --servers shards:one,shards:two --option shards:two=--shards=0,1`

use clap::Parser;
use shard::{Accept, Connection, Listener, Server, Shards};

/// Echoes what it is sent, until stdin closes.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    common: benches::serve::Common,
    /// The cores of the shards; one shard on `--core` unless said
    #[arg(long, value_delimiter = ',')]
    shards: Option<Vec<usize>>,
}

fn main() -> anyhow::Result<()> {
    let mut options = Options::parse();
    if options.shards.is_some() {
        // Each thread is pinned by itself.
        options.common.core = None;
    }
    let socket = benches::serve::start(&options.common)?;
    let cores = options.shards.unwrap_or_else(|| vec![options.common.core.unwrap_or(0)]);
    let listener = Listener::from_sockets([socket], cores.len(), Accept::LeastLoaded)?;
    let spin = std::time::Duration::from_micros(if options.common.spin { 200 } else { 0 });
    let shards = Shards::builder().cpus(cores).event_loop(move |options| options.spin(spin));
    let shards =
        shards.spawn(|shard| async move { Server::new(listener).serve(&shard, echo).await })?;
    shards.join()?;
    Ok(())
}

async fn echo(connection: Connection) {
    let (mut stream, _seat) = connection.into_stream();
    loop {
        let Ok(bytes) = stream.recv().await else { return };
        if bytes.is_empty() || stream.write_all(bytes).await.0.is_err() {
            return;
        }
    }
}
