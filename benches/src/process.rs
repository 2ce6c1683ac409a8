//! The measured programs as child processes: finding them, servers that live for a while, and
//! programs that measure themselves once and print one line of JSON.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, anyhow, bail};

use crate::usage::{self, Usage};

/// Named numbers that one program measured once. The unit is part of the name.
pub type Metrics = BTreeMap<String, f64>;

/// What a program prints in place of a figure if it needs another one that is not on this machine.
pub const NOT_INSTALLED: &str = "not_installed";

/// The program `name` that was built into the directory of the running one.
///
/// # Errors
///
/// When it is not there: the error says how to build it.
pub fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    let path = own_directory()?.join(name);
    if path.is_file() {
        return Ok(path);
    }
    bail!(
        "no program {} (build all with: cargo build --profile bench -p benches --bins)",
        path.display()
    )
}

/// The names of all programs beside the running one that begin with `prefix`, less the prefix.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn siblings(prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(own_directory()?)? {
        let name = entry?.file_name();
        if let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(prefix))
            && !rest.contains('.')
        {
            names.push(rest.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn own_directory() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding the running program")?;
    Ok(own.parent().context("the running program has no directory")?.to_owned())
}

/// Who takes part in a comparison: a program, and the environment that its label stands for.
#[derive(Debug)]
pub struct Participant {
    program: PathBuf,
    environment: Option<(&'static str, &'static str)>,
}

impl Participant {
    /// `NAME` or `NAME:LABEL`: the program `PREFIXNAME` beside the running one. The label `soft`
    /// has loops of ours run on the soft ring; others tell two of the same program apart.
    ///
    /// # Errors
    ///
    /// When there is no such program.
    pub fn named(prefix: &str, name: &str) -> anyhow::Result<Self> {
        let (name, environment) = split(name);
        let program = sibling(&format!("{prefix}{name}"))?;
        Ok(Self { program, environment })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.environment);
        command
    }
}

/// The name of a program, and the environment that its label stands for.
fn split(name: &str) -> (&str, Option<(&'static str, &'static str)>) {
    match name.split_once(':') {
        Some((name, "soft")) => (name, Some(("URING_LOOP_RING", "soft"))),
        Some((name, _)) => (name, None),
        None => (name, None),
    }
}

impl From<&Path> for Participant {
    fn from(program: &Path) -> Self {
        Self { program: program.to_owned(), environment: None }
    }
}

/// A server that runs until this value is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts `program` and waits until it says where it listens.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or ends or says something else first.
    pub fn start<I, S>(program: impl Into<Participant>, arguments: I) -> anyhow::Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let participant = program.into();
        let name = participant.program.display();
        let child = participant
            .command()
            .args(arguments)
            // Held open: should we die, the server sees its stdin close and ends too.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        // In a Server from here on, so that an early return ends it.
        let mut server = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        let mut line = String::new();
        let stdout = server.child.stdout.as_mut().context("a server without stdout")?;
        BufReader::new(stdout).read_line(&mut line)?;
        server.address = line
            .trim()
            .strip_prefix("listening ")
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| anyhow!("{name} said {line:?} instead of where it listens"))?;
        Ok(server)
    }

    /// What it has used so far.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        usage::of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `program` to its end and reads the one line of JSON it prints: an object of numbers.
///
/// Programs of this kind limit their own life ([`crate::serve::end_after`]).
///
/// # Errors
///
/// When it cannot be started, fails, or prints something else.
pub fn measure_once<I, S>(program: impl Into<Participant>, arguments: I) -> anyhow::Result<Metrics>
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    let participant = program.into();
    let name = participant.program.display();
    let mut child = participant
        .command()
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let mut text = String::new();
    child.stdout.take().context("a program without stdout")?.read_to_string(&mut text)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("{name} failed: {status}");
    }
    serde_json::from_str(text.trim()).with_context(|| format!("{name} printed {text:?}"))
}

/// What a program started by [`measure_once`] prints.
pub fn print_metrics<'a>(metrics: impl IntoIterator<Item = (&'a str, f64)>) {
    let metrics: BTreeMap<_, _> = metrics.into_iter().collect();
    println!("{}", serde_json::json!(metrics));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_soft_stands_for_a_ring_and_others_for_nothing() {
        assert_eq!(split("ours:soft"), ("ours", Some(("URING_LOOP_RING", "soft"))));
        assert_eq!([split("floor:small"), split("soft")], [("floor", None), ("soft", None)]);
    }
}
