//! `cp -r`, which copies one file after the other. It has nothing but copies.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use benches::files::{self, FILES, Peer};

fn main() -> anyhow::Result<()> {
    files::main(Peer { random: None, sequential: None, copy: Some(copy) })
}

/// Whole folders; and what is left over by name, which takes as long.
fn copy(from: &Path, to: &Path, count: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..count / FILES {
        // The contents of the folder: by its name it would be made anew in the other one.
        cp([from.join(".")], to);
    }
    if !count.is_multiple_of(FILES) {
        cp((0..count % FILES).map(|n| files::small_file(from, n)), to);
    }
    begin.elapsed()
}

fn cp(what: impl IntoIterator<Item = PathBuf>, to: &Path) {
    let status = Command::new("cp").arg("-r").args(what).arg(to).status().expect("there is a cp");
    assert!(status.success(), "cp -r: {status}");
}
