//! [`pool`]'s executor past one machine: jobs go through a queue of a NATS server (JetStream), and
//! are run by the process pools of [`Agent`]s, one on each host.
//!
//! ```no_run
//! use pool::Executor;
//! use pool_nats::{Agent, Functions, Queue, RemotePool};
//!
//! fn is_prime(n: u64) -> bool {
//!     n > 1 && (2..=n.isqrt()).all(|divisor| n % divisor != 0)
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     pool::init(); // first in main: the workers of an agent are this program
//!     let functions = Functions::new().add_idempotent("is_prime", is_prime);
//!     let queue = Queue::new("nats://queue.example.org:4222", "primes");
//!     if std::env::args().any(|arg| arg == "--agent") {
//!         return Ok(Agent::new(queue, functions).run()?); // on as many hosts as there are
//!     }
//!     let pool = RemotePool::connect(queue, functions)?;
//!     for (number, prime) in (1..100).zip(pool.map(is_prime, 1..100)) {
//!         println!("{number} is prime: {}", prime?);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What holds, whatever breaks
//!
//! **The client owns its jobs.** Queue and agents only carry them; what cannot be undone they do on
//! the client's word. An agent keeps a result, and says it again, until the client has it; only
//! then the job is taken off the queue. The client puts a job into the queue until the server has
//! confirmed that, and looks later whether it is still there. So agents, their workers, the server
//! and the network between them may fail in any order, and a job still ends once, with its result
//! or with an error that says what happened.
//!
//! **Twice, or not at all.** Nobody can know of a machine that fell silent whether it ran a job. A
//! function that was [added as idempotent](Functions::add_idempotent) is run again elsewhere; the
//! first result counts, the others are dropped. A function that was [added plainly](Functions::add)
//! is run by one agent at most: it asks the client first, and the client says yes once. If that
//! agent is lost, the job ends as [`JobError::Lost`](pool::JobError::Lost).
//!
//! **A worker's death is no silence.** The agent's process pool sees it at once, and the job is put
//! back into the queue ([`JobOptions::retries`](pool::JobOptions::retries)) or ends with what is
//! known of the death: nobody waits for a limit of time.
//!
//! If the *client* ends, its jobs end with it: agents drop them. What has to survive its client
//! belongs into a data base, not into an executor.
//!
//! # The server
//!
//! `nats-server -js -sd DIR`, 2.9 or later; Debian's `nats-server` will do. A queue is the stream
//! `POOL_name` there. One server is enough for jobs to survive that it is started again; for them
//! to go on when its host is lost, make three of them a cluster, and say so ([`Queue::replicas`]).
//!
//! Who may write to `pool.name.>` may have any of the agents' functions called, with any arguments;
//! who may read it sees them. Use what the server has to offer against that: accounts (the crate's
//! README has what clients and agents have to be allowed), and TLS ([`Queue::options`]).

/// Whether the planted fault of this name is on: only in a build with `--cfg mutants`, and there
/// only for the name in the variable `MUTANT` (docs/HACKING.md).
macro_rules! mutant {
    ($name:literal) => {{
        static ON: std::sync::LazyLock<bool> =
            std::sync::LazyLock::new(|| std::env::var_os("MUTANT").is_some_and(|on| on == $name));
        cfg!(mutants) && *ON
    }};
}

mod agent;
mod client;
mod functions;
mod queue;
mod shape;
mod tls;
mod wire;

pub use agent::Agent;
pub use async_nats;
pub use client::{AgentStatistics, RemotePool, RemotePoolBuilder, RemoteStatistics};
pub use functions::Functions;
pub use queue::{Queue, Storage};
