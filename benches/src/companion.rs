//! The other side of what a program measures: the same program once more, as a process of its own
//! on another core.
//!
//! Not a thread: in a process with two, every look-up of a descriptor takes an atomic reference
//! (fdget), which would be measured too, and not for all alike.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};

use crate::process::Metrics;

/// A companion that runs. It is killed when this is dropped, and ends by itself when this process
/// does.
#[derive(Debug)]
pub struct Companion {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Companion {
    /// Starts this program with other arguments.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(arguments: &[String]) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding the running program")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the other side")?;
        let stdout = child.stdout.take().context("a companion without stdout")?;
        Ok(Self { child, stdout: BufReader::new(stdout) })
    }

    /// The next line that it says.
    ///
    /// # Errors
    ///
    /// When it ends before.
    pub fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "the other side ended early");
        Ok(line.trim_end().to_owned())
    }

    /// Tells it to end, and gives the numbers that it prints then.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn finish(mut self) -> anyhow::Result<Metrics> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.stdout.read_to_string(&mut text)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the other side failed: {status}");
        serde_json::from_str(text.trim()).with_context(|| format!("the other side said {text:?}"))
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// On the companion's side: becomes true when it is to end.
///
/// # Errors
///
/// When no thread can be started.
pub fn told_to_end() -> anyhow::Result<Arc<AtomicBool>> {
    let told = Arc::new(AtomicBool::new(false));
    let tell = told.clone();
    std::thread::Builder::new().spawn(move || {
        // Nothing comes; it ends when the other process closes it, or ends.
        let _ = std::io::stdin().read(&mut [0]);
        tell.store(true, Ordering::Release);
    })?;
    Ok(told)
}
