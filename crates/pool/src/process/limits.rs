//! What a worker process may use: limits it puts on itself before it does anything for its parent.

use std::time::Duration;

use nix::sys::resource::{Resource, rlim_t, setrlimit};
use serde::{Deserialize, Serialize};

use crate::cores;

/// How much likelier than its parent a worker is chosen when the kernel runs out of memory; see
/// proc_pid_oom_score_adj(5).
const OOM_ADJUSTMENT: i32 = 300;

/// Sent to the worker with the greeting.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Limits {
    /// Bytes.
    pub(super) memory: Option<u64>,
    pub(super) cpu: Option<Duration>,
    pub(super) files: Option<u64>,
    pub(super) core_dumps: bool,
    /// Run on these only.
    pub(super) cores: Option<Vec<usize>>,
}

impl Limits {
    /// Puts them on this process.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(super) fn apply(&self) -> Result<(), String> {
        if mutant!("no-limits") {
            return Ok(());
        }
        if let Some(cores) = &self.cores {
            cores::stay_on(cores).map_err(|e| format!("keeping to its cores: {e}"))?;
        }
        let seconds = self.cpu.map(|cpu| cpu.as_nanos().div_ceil(1_000_000_000) as rlim_t);
        let rows = [
            // Private writable memory: the heap, however it is got, and the stacks of threads, but
            // neither files nor what is merely reserved.
            (Resource::RLIMIT_DATA, self.memory, "memory"),
            (Resource::RLIMIT_CPU, seconds, "CPU time"),
            (Resource::RLIMIT_NOFILE, self.files, "open files"),
            (Resource::RLIMIT_CORE, (!self.core_dumps).then_some(0), "core dumps"),
        ];
        for (resource, limit, what) in rows {
            let Some(limit) = limit else { continue };
            setrlimit(resource, limit, limit)
                .map_err(|e| format!("setting its limit of {what} to {limit}: {e}"))?;
        }
        volunteer();
        Ok(())
    }
}

/// If memory runs out, a worker is to go rather than its parent. As well as it goes: not all
/// systems allow it.
fn volunteer() {
    const FILE: &str = "/proc/self/oom_score_adj";
    let Ok(text) = std::fs::read_to_string(FILE) else { return };
    if let Ok(inherited) = text.trim().parse::<i32>() {
        let _ = std::fs::write(FILE, (inherited + OOM_ADJUSTMENT).min(1000).to_string());
    }
}
