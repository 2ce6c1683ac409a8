//! Ours: channels and calls between two shards that sleep as soon as they have nothing to do.

use std::time::Duration;

use benches::msg::{self, Peer, ours};

fn main() -> anyhow::Result<()> {
    msg::main(Peer {
        one_way: Some(|cores, count| ours::one_way(cores, Duration::ZERO, count)),
        batched: Some(|cores, count| ours::batched(cores, Duration::ZERO, count)),
        call: Some(|cores, count| ours::call(cores, Duration::ZERO, count)),
        ..Peer::new(|cores, count| ours::round_trip(cores, Duration::ZERO, count))
    })
}
