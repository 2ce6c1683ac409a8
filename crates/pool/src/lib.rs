//! Executors.

mod error;
mod executor;
mod job;
mod map;
mod panics;
mod process;
mod thread;

pub use error::{Broken, CodecFailure, Exit, JobError, Panic, WorkerDeath};
pub use executor::{CallOnce, Executor, Task, Wire};
pub use job::{Job, JobState};
pub use map::Map;
pub use process::{Doorbell, ProcessPool, ProcessPoolBuilder, init};
pub use thread::{ThreadPool, ThreadPoolBuilder};
