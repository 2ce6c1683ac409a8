//! Ours: two shards that are processes, and calls by name between them.
//!
//! Processes are this program again, with the same arguments, so they come to the same [`call`].
//! How many calls there are, and what they took, goes by a file that both know by the number of the
//! supervisor.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::unistd::{getpid, getppid};
use shard::{Deploy, Listener, Mode, Peers, Shard, Shards};
use uring_loop::sync::Event;

use super::Cores;

thread_local! {
    static DONE: Rc<Event> = Rc::new(Event::new());
}

fn note(supervisor: nix::unistd::Pid) -> PathBuf {
    std::env::temp_dir().join(format!("msg-processes-{supervisor}"))
}

/// [`Peer::call`](super::Peer::call).
///
/// # Panics
///
/// When the processes cannot start, as on a core that is not there.
#[must_use]
pub fn call(cores: Cores, spin: Duration, count: u64) -> Duration {
    let own = note(getpid());
    fs::write(&own, count.to_string()).expect("a temporary file");
    let (is_worker, worker) = std::sync::mpsc::channel();
    let ended = Deploy::new(([127, 0, 0, 1], 0).into())
        .mode(Mode::Processes)
        .shards(
            Shards::builder()
                .cpus([cores.0, cores.1])
                .event_loop(move |options| options.spin(spin)),
        )
        .function("same", |number: u64| async move { number })
        .function("done", |(): ()| async { DONE.with(|done| done.set()) })
        .run(move |_: Shard, _: Listener| {
            // Only a worker comes here.
            let _ = is_worker.send(());
            serve()
        });
    ended.expect("two processes");
    let result = fs::read_to_string(&own);
    fs::remove_file(&own).expect("it is there");
    if worker.try_recv().is_ok() {
        // It has said what it had to, and the supervisor goes on.
        std::process::exit(0);
    }
    let took = result.expect("the first process has written it").parse().expect("a number");
    Duration::from_nanos(took)
}

async fn serve() -> io::Result<()> {
    let peers = Peers::current();
    if peers.index() == 1 {
        DONE.with(Rc::clone).wait().await;
        return Ok(());
    }
    peers.linked().await;
    let file = note(getppid());
    let count: u64 = fs::read_to_string(&file)?.parse().map_err(io::Error::other)?;
    let begin = Instant::now();
    for number in 0..count {
        assert_eq!(peers.call(1, "same", &number).await, Ok(number));
    }
    let took = begin.elapsed();
    fs::write(&file, took.as_nanos().to_string())?;
    // The other one may be gone before its answer is.
    let _ = peers.call::<_, ()>(1, "done", &()).await;
    Ok(())
}
