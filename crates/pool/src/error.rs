//! What can become of a job instead of a result.
//!
//! Every variant that carries something carries it in a box: a `Result<u64, JobError>` is 16 bytes,
//! and a `map` over millions of items pays for the rare error only when it happens.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum JobError {
    /// The job panicked. The worker goes on with other jobs.
    Panicked(Box<Panic>),
    /// The job was cancelled before a worker started it; it has not run and never will.
    Cancelled,
    /// The worker process ended while it ran this job. Only this job is lost: what was queued at
    /// that worker goes to others. The job may have had effects; it is not run again.
    WorkerDied(Box<WorkerDeath>),
    /// The job was given retries, and a worker process died under every attempt.
    Poisoned(Box<Poisoned>),
    /// The job was ended by [`Job::kill`](crate::Job::kill) while it ran.
    Killed(Box<WorkerDeath>),
    /// The job exceeded its timeout or its deadline.
    TimedOut(Box<TimedOut>),
    /// The arguments or the result could not be encoded, or the function cannot be sent at all.
    Encode(Box<CodecFailure>),
    /// The arguments (in the worker) or the result (here) could not be decoded.
    Decode(Box<CodecFailure>),
    /// The pool had been shut down when the job was submitted; it was not accepted.
    PoolShutdown,
    /// The pool can run nothing any more: its workers cannot be started or initialised.
    Broken(Box<Broken>),
    /// A machine would not run the job: it has not run. For pools past one machine only.
    Refused(Box<Refused>),
    /// The machine that had the job was lost with it: it may have run, and is not run again. For
    /// pools past one machine only.
    Lost(Box<Lost>),
}

/// A panic, carried out of the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Panic {
    /// The name of the job: its function's, as [`std::any::type_name`] gives it, unless it was
    /// given one.
    pub task: String,
    /// The text given to `panic!`, or a sentence saying that the payload was not text.
    pub message: String,
    /// `file:line:column` of the panic. `None` if the program replaced the panic hook after it
    /// built its first pool, without calling the hook it found.
    pub location: Option<String>,
    /// The calls that led to the panic, as [`std::backtrace::Backtrace`] prints them: if the
    /// environment asks for it (`RUST_BACKTRACE`), or
    /// [`ProcessPoolBuilder::backtraces`](crate::ProcessPoolBuilder::backtraces).
    pub backtrace: Option<String>,
}

/// How a worker process ended, and under which job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerDeath {
    /// The name of the job: its function's, as [`std::any::type_name`] gives it, unless it was
    /// given one.
    pub task: String,
    /// The process id the worker had.
    pub pid: u32,
    /// The signal or the exit code it ended with.
    pub exit: Exit,
    /// The panic that was under way when it died, with which a panic becomes an abort: built with
    /// `panic = "abort"`, or a panic within a panic.
    pub last_words: Option<Box<Panic>>,
}

/// A job under which worker processes die.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Poisoned {
    /// The name of the job.
    pub task: String,
    /// How each attempt ended, the first one first.
    pub deaths: Vec<WorkerDeath>,
}

/// A job that took too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TimedOut {
    /// The name of the job.
    pub task: String,
    /// The limit it exceeded.
    pub limit: Limit,
    /// Whether a worker had started it.
    pub started: bool,
    /// What the pool knows of the reason: that there is nobody to run it, for instance.
    pub note: Option<String>,
}

/// A limit on the time of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// Counted from its start, see [`JobOptions::timeout`](crate::JobOptions::timeout).
    Timeout(Duration),
    /// Counted from its submission, see [`JobOptions::deadline`](crate::JobOptions::deadline).
    Deadline(Duration),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It was ended by this signal: 9 for SIGKILL (often the kernel, out of memory), 11 for
    /// SIGSEGV, 6 for SIGABRT.
    Signal(i32),
    /// It exited with this code.
    Code(i32),
    /// Somebody else had waited for it: the kernel no longer knows.
    Unknown,
}

/// Arguments, a result or a function that could not cross between processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CodecFailure {
    /// The name of the function, as [`std::any::type_name`] gives it.
    pub task: String,
    /// What could not be encoded or decoded, and why.
    pub message: String,
}

/// A job that a machine would not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refused {
    /// The name of the job.
    pub task: String,
    /// Who would not run it, why, and what to do about it.
    pub reason: String,
}

/// A job that was lost with the machine that had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lost {
    /// The name of the job.
    pub task: String,
    /// Who had it, and how it was lost.
    pub reason: String,
}

/// Why a pool can run nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Broken {
    /// What went wrong, and what to do about it where that is known.
    pub reason: String,
}

impl JobError {
    pub(crate) fn broken(reason: &str) -> JobError {
        JobError::Broken(Box::new(Broken { reason: reason.to_owned() }))
    }

    pub(crate) fn timed_out(task: &str, limit: Limit, started: bool) -> JobError {
        JobError::TimedOut(Box::new(TimedOut { task: task.to_owned(), limit, started, note: None }))
    }

    /// What a job ends with whose worker died in its last attempt; all `deaths`, the first one
    /// first.
    pub(crate) fn deaths(task: &str, mut deaths: Vec<WorkerDeath>) -> JobError {
        match deaths.len() {
            1 => JobError::WorkerDied(Box::new(deaths.remove(0))),
            _ => JobError::Poisoned(Box::new(Poisoned { task: task.to_owned(), deaths })),
        }
    }

    pub(crate) fn encode(task: &str, message: impl Into<String>) -> JobError {
        JobError::Encode(Box::new(CodecFailure { task: task.to_owned(), message: message.into() }))
    }

    pub(crate) fn decode(task: &str, message: impl Into<String>) -> JobError {
        JobError::Decode(Box::new(CodecFailure { task: task.to_owned(), message: message.into() }))
    }
}

impl Panic {
    /// The place in a sentence.
    fn at(&self) -> String {
        self.location.as_ref().map(|location| format!(" at {location}")).unwrap_or_default()
    }
}

impl Exit {
    /// Reads what `wait` told of a child.
    pub(crate) fn from_status(status: std::process::ExitStatus) -> Exit {
        use std::os::unix::process::ExitStatusExt;
        match (status.signal(), status.code()) {
            (Some(signal), _) => Exit::Signal(signal),
            (None, Some(code)) => Exit::Code(code),
            (None, None) => Exit::Unknown,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Signal(number) => match nix::sys::signal::Signal::try_from(*number) {
                Ok(signal) => write!(f, "was ended by signal {number} ({signal})"),
                Err(_) => write!(f, "was ended by signal {number}"),
            },
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Unknown => write!(f, "ended, its status was taken by somebody else"),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Panicked(panic) => {
                write!(f, "job {} panicked{}: {}", panic.task, panic.at(), panic.message)
            }
            JobError::Cancelled => write!(f, "job was cancelled before it started"),
            JobError::WorkerDied(death) => {
                let WorkerDeath { task, pid, exit, last_words, .. } = &**death;
                write!(f, "worker process {pid} {exit} while it ran {task}")?;
                match last_words {
                    Some(panic) => write!(f, "; it had panicked{}: {}", panic.at(), panic.message),
                    None => Ok(()),
                }
            }
            JobError::Poisoned(poisoned) => {
                let attempts = poisoned.deaths.len();
                write!(
                    f,
                    "job {} lost its worker process in each of {attempts} attempts",
                    poisoned.task
                )?;
                for (n, death) in poisoned.deaths.iter().enumerate() {
                    let comma = if n == 0 { ": " } else { ", " };
                    write!(f, "{comma}process {} {}", death.pid, death.exit)?;
                }
                Ok(())
            }
            JobError::Killed(death) => {
                write!(f, "job {} was killed, with its worker process {}", death.task, death.pid)
            }
            JobError::TimedOut(late) => write!(f, "{late}"),
            JobError::Encode(failure) | JobError::Decode(failure) => {
                write!(f, "job {}: {}", failure.task, failure.message)
            }
            JobError::PoolShutdown => write!(f, "job was submitted after the pool was shut down"),
            JobError::Broken(broken) => write!(f, "pool is broken: {}", broken.reason),
            JobError::Refused(refused) => {
                write!(f, "job {} was refused: {}", refused.task, refused.reason)
            }
            JobError::Lost(lost) => write!(f, "job {} was lost: {}", lost.task, lost.reason),
        }
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = &self.task;
        match (self.limit, self.started) {
            (Limit::Timeout(limit), _) => write!(f, "job {task} ran longer than {limit:?}"),
            (Limit::Deadline(limit), true) => {
                write!(f, "job {task} was not done within {limit:?} of its submission")
            }
            (Limit::Deadline(limit), false) => {
                write!(f, "job {task} was not started within {limit:?} of its submission")
            }
        }?;
        self.note.as_ref().map_or(Ok(()), |note| write!(f, "; {note}"))
    }
}

impl Error for JobError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_with_a_small_value_stays_small() {
        assert_eq!(size_of::<Result<u64, JobError>>(), 16);
    }

    #[test]
    fn messages_name_who_and_why() {
        let mut death = WorkerDeath {
            task: "app::crunch".into(),
            pid: 77,
            exit: Exit::Signal(9),
            last_words: None,
        };
        assert_eq!(
            JobError::WorkerDied(Box::new(death.clone())).to_string(),
            "worker process 77 was ended by signal 9 (SIGKILL) while it ran app::crunch"
        );
        let panic = Panic {
            task: "f".into(),
            message: "no".into(),
            location: Some("a.rs:1:2".into()),
            backtrace: None,
        };
        death.last_words = Some(Box::new(panic.clone()));
        assert_eq!(
            JobError::WorkerDied(Box::new(death)).to_string(),
            "worker process 77 was ended by signal 9 (SIGKILL) while it ran app::crunch; it had \
             panicked at a.rs:1:2: no"
        );
        assert_eq!(
            JobError::Panicked(Box::new(panic)).to_string(),
            "job f panicked at a.rs:1:2: no"
        );
        assert_eq!(Exit::Code(3).to_string(), "exited with code 3");
        assert_eq!(Exit::Signal(64).to_string(), "was ended by signal 64");
    }
}
