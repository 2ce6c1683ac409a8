//! A worker process that is killed under its job, from outside: what every pool of processes is
//! asked for alike.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// What followed when a worker process was killed under its job.
#[derive(Debug, Clone, Copy)]
pub struct Killed {
    /// Until the job had ended, as lost.
    pub noticed: Duration,
    /// Until another job had its result.
    pub replaced: Duration,
}

/// How a job that runs in a worker says so: by a file with the worker's process id.
#[derive(Debug)]
pub struct Sign {
    _folder: TempDir,
    path: PathBuf,
}

/// The job: says that it runs, and never ends.
///
/// # Panics
///
/// When it cannot say so.
pub fn stuck(sign: String) -> u64 {
    std::fs::write(sign, std::process::id().to_string()).expect("a file for the sign");
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

impl Sign {
    /// A sign that nobody has given yet.
    ///
    /// # Panics
    ///
    /// When there is no room for temporary files.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = folder.path().join("runs");
        Self { _folder: folder, path }
    }

    /// What [`stuck`] takes.
    #[must_use]
    pub fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Waits until the job runs, and kills the process it runs in; when that was.
    ///
    /// # Panics
    ///
    /// When that process is gone already.
    pub fn kill(&self) -> Instant {
        let pid = loop {
            let text = std::fs::read_to_string(&self.path).unwrap_or_default();
            match text.parse() {
                Ok(pid) => break Pid::from_raw(pid),
                // Not there yet, or not written yet.
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let begin = Instant::now();
        kill(pid, Signal::SIGKILL).expect("the worker runs");
        begin
    }
}

impl Default for Sign {
    fn default() -> Self {
        Self::new()
    }
}
