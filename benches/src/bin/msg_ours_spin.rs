//! Ours: channels and calls between two shards that look for work for 50 us before they sleep.

use benches::msg::ours::{self, SPIN};
use benches::msg::{self, Peer};

fn main() -> anyhow::Result<()> {
    msg::main(Peer {
        one_way: Some(|cores, count| ours::one_way(cores, SPIN, count)),
        batched: Some(|cores, count| ours::batched(cores, SPIN, count)),
        call: Some(|cores, count| ours::call(cores, SPIN, count)),
        ..Peer::new(|cores, count| ours::round_trip(cores, SPIN, count))
    })
}
