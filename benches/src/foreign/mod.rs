//! Models of `workload` that are not ours: programs of their own, which are told the same as
//! `workload job` and `workload serve`, and asked the same.
//!
//! * [`program`] finds the program of a model, ours included, and reads what it says.
//! * [`python`] is CPython, as scripts that are in this program.
//!
//! What is around them is the same for all: the load maker, the meter, cores, checks and limits.

pub mod program;
pub mod python;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::workloads::Workload;

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
}

impl Foreign {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 4] =
        [Self::PythonThreads, Self::PythonProcesses, Self::PythonAsyncio, Self::PythonGevent];

    /// Its name on the command line and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PythonThreads => "python-threads",
            Self::PythonProcesses => "python-processes",
            Self::PythonAsyncio => "python-asyncio",
            Self::PythonGevent => "python-gevent",
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
        }
    }

    /// Whether it has more than one core to run on.
    #[must_use]
    pub fn is_parallel(self) -> bool {
        matches!(self, Self::PythonThreads | Self::PythonProcesses)
    }
}

/// Why `model` can't do `workload`; `None` where it can.
#[must_use]
pub fn refusal(workload: Workload, model: Foreign) -> Option<&'static str> {
    match (workload, model) {
        (Workload::Echo, Foreign::PythonProcesses) => Some(
            "a connection is a descriptor of the process that accepted it; what a job is given \
             crosses to a worker as bytes",
        ),
        (Workload::Kv, Foreign::PythonProcesses) => Some(
            "the workers share no memory and take calls as they are free, so that none of them \
             has a key",
        ),
        _ => None,
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
