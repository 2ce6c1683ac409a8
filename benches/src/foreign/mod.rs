//! Models of `workload` that are not ours: programs of their own, which are told the same as
//! `workload job` and `workload serve`, and asked the same.
//!
//! * [`program`] finds the program of a model, ours included, and reads what it says.
//! * [`python`] is CPython, as scripts that are in this program.
//! * [`peer`] and [`costs`] are what `workload_peers` is made of, which has tokio and others;
//!   [`versions`] says of which versions they are.
//!
//! What is around them is the same for all: the load maker, the meter, cores, checks and limits.

pub mod costs;
pub mod peer;
pub mod program;
pub mod python;
pub mod versions;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::workloads::{self, Model, Workload};

/// A model that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Foreign {
    /// Python's `ThreadPoolExecutor`, and its threads.
    PythonThreads,
    /// Python's `ProcessPoolExecutor`.
    PythonProcesses,
    /// Python's asyncio.
    PythonAsyncio,
    /// Python with gevent's greenlets.
    PythonGevent,
    /// tokio's runtime of one thread.
    Tokio,
    /// tokio's runtime of several.
    TokioMulti,
    /// monoio.
    Monoio,
    /// glommio.
    Glommio,
    /// compio.
    Compio,
    /// rayon.
    Rayon,
}

impl Foreign {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 10] = [
        Self::PythonThreads,
        Self::PythonProcesses,
        Self::PythonAsyncio,
        Self::PythonGevent,
        Self::Tokio,
        Self::TokioMulti,
        Self::Monoio,
        Self::Glommio,
        Self::Compio,
        Self::Rayon,
    ];

    /// Its name on the command line and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PythonThreads => "python-threads",
            Self::PythonProcesses => "python-processes",
            Self::PythonAsyncio => "python-asyncio",
            Self::PythonGevent => "python-gevent",
            Self::Tokio => "tokio",
            Self::TokioMulti => "tokio-multi",
            Self::Monoio => "monoio",
            Self::Glommio => "glommio",
            Self::Compio => "compio",
            Self::Rayon => "rayon",
        }
    }

    /// One line about it.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::PythonThreads => "Python's ThreadPoolExecutor; a thread per connection",
            Self::PythonProcesses => "Python's ProcessPoolExecutor, a worker process per core",
            Self::PythonAsyncio => "Python's asyncio: coroutines on one core",
            Self::PythonGevent => "Python with gevent: greenlets on one core",
            Self::Tokio => "tokio: tasks on its runtime of one thread, on one core",
            Self::TokioMulti => "tokio: tasks on a thread per core that steal from each other",
            Self::Monoio => "monoio: tasks on one core",
            Self::Glommio => "glommio: tasks on one core",
            Self::Compio => "compio: tasks on one core",
            Self::Rayon => "rayon: a parallel iterator, on a thread per core",
        }
    }

    /// Whether it has more than one core to run on.
    #[must_use]
    pub fn is_parallel(self) -> bool {
        matches!(self, Self::PythonThreads | Self::PythonProcesses | Self::TokioMulti | Self::Rayon)
    }

    /// Whether scripts do it; else `workload_peers` does.
    #[must_use]
    pub fn is_python(self) -> bool {
        matches!(
            self,
            Self::PythonThreads | Self::PythonProcesses | Self::PythonAsyncio | Self::PythonGevent
        )
    }
}

/// Why `model` can't do `workload`; `None` where it can.
#[must_use]
pub fn refusal(workload: Workload, model: Foreign) -> Option<&'static str> {
    match (workload, model) {
        // What no pool of processes can, whoever made it.
        (Workload::Echo | Workload::Kv | Workload::Thrash, Foreign::PythonProcesses) => {
            workloads::refusal(workload, Model::ProcessPool)
        }
        (Workload::Million, Foreign::PythonThreads | Foreign::PythonProcesses) => {
            Some("a thread waits for one thing at a time; a million at once need as many")
        }
        (Workload::Switches, Foreign::TokioMulti) => {
            Some("on one core it does what tokio's runtime of one thread does")
        }
        (Workload::Switches | Workload::Million | Workload::Memory, Foreign::Rayon) => {
            Some("a job of rayon runs to its end: it is no unit that waits")
        }
        (Workload::Sleepers, Foreign::Rayon) => {
            Some("rayon computes: it has no timers, and a wait would hold one of its threads")
        }
        (Workload::Downloads | Workload::Echo | Workload::Kv | Workload::Mixed, Foreign::Rayon) => {
            Some("rayon computes: it has no sockets")
        }
        _ => None,
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
