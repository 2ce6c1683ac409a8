//! Ours: calls by name between two shards that are processes, whose loops look for work for 50 us
//! before they sleep.

use benches::msg::{self, Peer, ours, processes};

fn main() -> anyhow::Result<()> {
    msg::main(Peer {
        call: Some(|cores, count| processes::call(cores, ours::SPIN, count)),
        ..Peer::new(|cores, count| processes::call(cores, ours::SPIN, count))
    })
}
