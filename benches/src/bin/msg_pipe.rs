//! Floor: a pipe per direction, blocking reads and writes of eight bytes.

use std::io::{Read, Write, pipe};
use std::time::{Duration, Instant};

use benches::msg::{self, Cores, Peer};

fn main() -> anyhow::Result<()> {
    msg::main(Peer::new(round_trip))
}

fn round_trip(cores: Cores, count: u64) -> Duration {
    let (mut asked, mut ask) = pipe().expect("a pipe");
    let (mut replied, mut reply) = pipe().expect("a pipe");
    let first = move || {
        let mut answer = [0; 8];
        let begin = Instant::now();
        for number in 0..count {
            ask.write_all(&number.to_ne_bytes()).expect("writing a pipe");
            replied.read_exact(&mut answer).expect("reading a pipe");
            assert_eq!(u64::from_ne_bytes(answer), number);
        }
        begin.elapsed()
    };
    let second = move || {
        let mut question = [0; 8];
        for _ in 0..count {
            asked.read_exact(&mut question).expect("reading a pipe");
            reply.write_all(&question).expect("writing a pipe");
        }
        Duration::ZERO
    };
    msg::pair(cores, first, second)
}
