//! Programs on files that run on the machine's kernel, in a folder of their own, and on simulated
//! ones where everything goes wrong now and then.

use std::future::Future;
use std::path::{Path, PathBuf};

use uring_loop::fs;
use uring_loop::testing::SimConfig;

use crate::support::{on_sim, run_limited};

/// Runs a program on both kinds of kernel; it is given an empty folder.
#[track_caller]
pub(crate) fn on_both<P, F>(program: P)
where
    P: Fn(PathBuf) -> F,
    F: Future<Output = ()>,
{
    on_kernel(&program);
    on_sims(program);
}

/// Only on the machine's own.
#[track_caller]
pub(crate) fn on_kernel<F: Future<Output = ()>>(program: impl Fn(PathBuf) -> F) {
    let folder = tempfile::tempdir().expect("a place for temporary files");
    run_limited(program(folder.path().to_owned()));
}

/// Only on simulated ones.
#[track_caller]
pub(crate) fn on_sims<F: Future<Output = ()>>(program: impl Fn(PathBuf) -> F) {
    for seed in 0..8 {
        let config = if seed == 0 { SimConfig::seeded(0) } else { SimConfig::chaos(seed) };
        on_sim(config, |_| async {
            fs::create_dir_all("/some/folder").await.expect("made");
            program(PathBuf::from("/some/folder")).await;
        });
    }
}

/// The names in a folder, sorted.
pub(crate) async fn names(folder: &Path) -> Vec<String> {
    let mut entries = fs::read_dir(folder).await.expect("it is there");
    let mut names = Vec::new();
    while let Some(entry) = entries.next().await {
        let entry = entry.expect("it can be read");
        names.push(entry.file_name().to_str().expect("text").to_owned());
    }
    names.sort();
    names
}
