//! Ours: calls by name between two shards that are processes, that sleep as soon as they have
//! nothing to do.

use std::time::Duration;

use benches::msg::{self, Peer, processes};

fn main() -> anyhow::Result<()> {
    msg::main(Peer {
        call: Some(|cores, count| processes::call(cores, Duration::ZERO, count)),
        ..Peer::new(|cores, count| processes::call(cores, Duration::ZERO, count))
    })
}
