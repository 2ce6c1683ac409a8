//! The side of a worker: one shard, with the sockets and the CPU that its supervisor has chosen.
//!
//! The main thread has a loop for signals, the line to the supervisor, and statistics; the shard
//! has a thread of its own, to which links are passed on.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use uring_loop::net::UnixStream;
use uring_loop::signal::{SignalKind, signals};
use uring_loop::sync::Event;
use uring_loop::time::sleep;
use uring_loop::unblock;

use super::board::Board;
use super::inherit::Charge;
use super::post::{AGAIN, Invitation, LONGEST, Lines, READY};
use super::{Deploy, ShardStatistics, monotonic, quiet_loop};
use crate::entry::Entry;
use crate::link::Parts;
use crate::peers::{Peers, Program};
use crate::server::{Accept, Listener, Process};
use crate::shard::Shard;

/// Links that may be on their way to the shard.
const LETTERS: usize = 64;

thread_local! {
    /// Set when the shard's loop is a new one.
    static BEGAN_ANEW: Rc<Event> = Rc::new(Event::new());
}

/// How often it says how it stands, at least; and how often in the time after which it is stuck.
const REPORT: Duration = Duration::from_millis(250);
const REPORTS: u32 = 8;

pub(super) fn run<S, F>(deploy: Deploy, charge: Charge, service: S) -> io::Result<()>
where
    S: FnOnce(Shard, Vec<Listener>) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    // Should the supervisor be killed, we are told to end.
    set_pdeathsig(Signal::SIGTERM)?;
    if getppid().as_raw() != charge.parent {
        // It was killed before we asked to be told.
        return Ok(());
    }
    let mut event_loop = quiet_loop()?;
    let served = event_loop.run_until_complete(serve(deploy, charge, service));
    served.map_err(io::Error::other)?
}

async fn serve<S, F>(deploy: Deploy, charge: Charge, service: S) -> io::Result<()>
where
    S: FnOnce(Shard, Vec<Listener>) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + 'static,
{
    // A terminal sends its signals to all of us; what they mean the supervisor decides.
    let kinds = [SignalKind::TERMINATE, SignalKind::INTERRUPT, SignalKind::HANGUP];
    let mut signals = signals(kinds)?;
    let listeners = listeners(charge.sockets, charge.index, deploy.accept)?;
    let shown = listeners.clone();
    let stuck = deploy.builder.patience_with_silence();
    let every = stuck.map_or(REPORT, |after| REPORT.min(after / REPORTS));
    // The supervisor looks for shards that are stuck.
    let builder = deploy.builder.cpus([charge.cpu]).process(charge.index).stuck(None);
    let (index, count) = (charge.index, charge.count);
    let program = Program { count, functions: deploy.functions, processes: true };
    let known = program.clone();
    let main = uring_loop::Handle::current();
    let shards = builder.spawn(move |shard| {
        Peers::install(known, index);
        if shard.incarnation() > 0 {
            // Its links went with the loop. A main loop that is gone is at its end.
            let _ = main.call_soon(|| BEGAN_ANEW.with(|began| began.set()));
        }
        service(shard, listeners)
    })?;
    let line = OwnedFd::from(charge.line);
    let says = UnixStream::from_owned_fd(line.try_clone()?);
    let line = UnixStream::from_owned_fd(line);
    drop(uring_loop::spawn(say(says)));
    let entry = shards.entry(LETTERS);
    let alive = Rc::new(Cell::new(monotonic()));
    drop(uring_loop::spawn(ask(entry.clone(), alive.clone(), every)));
    let board = (charge.board, every);
    let reporting = uring_loop::spawn(report(board, shown, charge.index, alive));
    let stopper = shards.stopper();
    let mut ended = Box::pin(unblock(move || shards.join()));
    let told = async { while signals.recv().await != SignalKind::TERMINATE {} };
    let deserted = listen(line, |invitation, parts| {
        pass_on(&entry, (program.clone(), index), invitation, parts);
    });
    let end = async { Some(ended.as_mut().await) };
    let asked = async {
        uring_loop::race((told, deserted)).await;
        None
    };
    let joined = match uring_loop::race((end, asked)).await {
        Some(joined) => joined?,
        None => {
            // A successor may write there now.
            reporting.abort();
            stopper.stop(deploy.drain);
            ended.await?
        }
    };
    // The supervisor sees only that we failed; `main` says why.
    joined.map(drop).map_err(io::Error::from)
}

/// The listeners of this process, from the sockets of each.
fn listeners(
    sockets: Vec<Vec<TcpListener>>,
    index: usize,
    accept: Accept,
) -> io::Result<Vec<Listener>> {
    let listener = |(number, sockets): (usize, Vec<TcpListener>)| {
        let process = Process { index, number: number as u16 };
        Listener::of_process(sockets, accept, process)
    };
    sockets.into_iter().enumerate().map(listener).collect()
}

/// Says on the line that we serve, and whenever the shard begins anew. A supervisor that is gone is
/// noticed by who listens.
async fn say(mut line: UnixStream) {
    let _ = line.write_all(format!("{READY}\n")).await.0;
    let began = BEGAN_ANEW.with(Rc::clone);
    loop {
        began.wait().await;
        began.clear();
        let _ = line.write_all(format!("{AGAIN}\n")).await.0;
    }
}

/// Reads what the supervisor sends, until it is gone: links, which are passed on to the shard.
async fn listen(mut line: UnixStream, pass_on: impl Fn(Invitation, Parts)) {
    let (mut lines, mut fds) = (Lines::default(), VecDeque::new());
    loop {
        let (received, bytes) = line.recv_with_fds(Vec::with_capacity(LONGEST), 2).await;
        let Ok(received) = received.map_err(drop).and_then(|it| match it.count {
            0 => Err(()),
            _ => Ok(it),
        }) else {
            return;
        };
        fds.extend(received.fds);
        for line in lines.push(&bytes) {
            let (memory, socket) = (fds.pop_front(), fds.pop_front());
            // Without descriptors (this process has too many) there is no link: the other side sees
            // its end.
            if let (Some(invitation), Some(memory), Some(socket)) =
                (Invitation::parse(&line), memory, socket)
            {
                pass_on(invitation, Parts { memory, socket: socket.into() });
            }
        }
    }
}

/// Gives one side of a link to the shard. One that makes a pause asks for new ones later.
fn pass_on(entry: &Entry, own: (Program, usize), invitation: Invitation, parts: Parts) {
    let Invitation { shard, side } = invitation;
    let add = entry.submit_to(0, move || async move {
        // The first may be here before the service has begun.
        let added = Peers::install(own.0, own.1).add_link(shard, side, parts);
        if let Err(error) = added {
            tracing::warn!(target: "shard", "taking over a link to shard {shard}: {error}");
        }
    });
    drop(uring_loop::spawn(async move { drop(add.await) }));
}

/// Asks the shard for a sign of life, again and again.
async fn ask(entry: Entry, alive: Rc<Cell<Duration>>, every: Duration) {
    loop {
        // One that makes a pause after a panic is not stuck; one that has ended ends us.
        drop(entry.submit_to(0, || async {}).await);
        alive.set(monotonic());
        sleep(every).await;
    }
}

/// Says how the shard stands, for as long as it serves.
async fn report(
    (board, every): (Board, Duration),
    listeners: Vec<Listener>,
    shard: usize,
    alive: Rc<Cell<Duration>>,
) {
    loop {
        let own = ShardStatistics::of(&listeners, 0);
        let statistics = ShardStatistics { shard, alive: alive.get(), ..own };
        if let Err(error) = board.write(&statistics) {
            tracing::warn!(target: "shard", "telling how shard {shard} stands: {error}");
            return;
        }
        sleep(every).await;
    }
}
