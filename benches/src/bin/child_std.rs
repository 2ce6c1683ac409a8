//! The floor: std, which blocks.

use std::process::{Child, Command};

use benches::children::{self, AT_ONCE, PROGRAM, Peer, SPEAKER, SPEECH};
use benches::spent::{Begin, Spent};

fn main() -> anyhow::Result<()> {
    children::main(Peer { one, many, output })
}

fn start() -> Child {
    Command::new(PROGRAM).spawn().expect("a child")
}

fn wait(mut child: Child) {
    let status = child.wait().expect("a child");
    assert!(status.success(), "{status}");
}

fn one(count: u64) -> Spent {
    let begin = Begin::now();
    (0..count).for_each(|_| wait(start()));
    begin.spent()
}

/// All are started, then all are waited for.
fn many(count: u64) -> Spent {
    let mut left = count;
    let mut children = Vec::new();
    let begin = Begin::now();
    while left > 0 {
        let now = left.min(AT_ONCE);
        children.extend((0..now).map(|_| start()));
        children.drain(..).for_each(wait);
        left -= now;
    }
    begin.spent()
}

fn output(count: u64) -> Spent {
    let (program, argument) = SPEAKER;
    let begin = Begin::now();
    for _ in 0..count {
        let output = Command::new(program).arg(argument).output().expect("a child");
        assert_eq!(output.stdout, SPEECH);
    }
    begin.spent()
}
