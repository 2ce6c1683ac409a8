//! The store as processes, one on each core, that call each other by name: `workload kv-shards`,
//! which becomes their supervisor and starts itself again as each of them.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shard::{Accept, Connection, Deploy, Listener, Mode, Peers, Server, Shard, Shards};

use super::cores::NoLoop;
use super::kv::{self, Keys, Message};
use super::service::{self, Helpers, Service};

/// How long connections have to end once all are to.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until SIGTERM. Each process says `listening ADDRESS` once it has a way to the others.
///
/// # Errors
///
/// When a process can't start, or dies again and again.
pub fn run(cores: &[usize]) -> anyhow::Result<()> {
    crate::pin::raise_file_limit()?;
    let deploy = Deploy::new(([127, 0, 0, 1], 0).into())
        .mode(Mode::Processes)
        .accept(Accept::ReusePort)
        .shards(Shards::builder().cpus(cores.iter().copied()))
        .drain(DRAIN)
        .function(kv::ACT, |message: Message| async move {
            let shard = Shard::current();
            kv::prepare(&shard);
            kv::act_here(&shard, message)
        });
    Ok(deploy.run(serve)?)
}

async fn serve(shard: Shard, listener: Listener) -> io::Result<()> {
    kv::prepare(&shard);
    let peers = Peers::current();
    peers.linked().await;
    println!("listening {}", listener.local_addr()?);
    let helpers = Helpers { keys: Keys::Processes(shard.clone(), peers), workers: None };
    let connection = move |connection: Connection| {
        let helpers = helpers.clone();
        async move {
            let (stream, _seat) = connection.into_stream();
            if let Err(error) = service::coroutine(stream, Service::Kv, helpers).await {
                // The load maker notices, and fails the run.
                eprintln!("a connection: {error:#}");
            }
        }
    };
    Server::new(listener).drain(DRAIN).serve(&shard, connection).await?;
    Ok(())
}

/// The supervisor, with its processes.
#[derive(Debug)]
pub struct Supervisor {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Starts this program again as supervisor; it and its processes end after `life` seconds in
    /// any case.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub fn start(cores: &[usize], life: u32) -> anyhow::Result<Self> {
        let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["kv-shards", "--cpus", &cores.join(","), "--life", &life.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the supervisor of the processes")?;
        let stdout = BufReader::new(child.stdout.take().context("a child without stdout")?);
        Ok(Self { child, stdout })
    }

    /// Waits until `count` processes listen; where.
    ///
    /// # Errors
    ///
    /// [`NoLoop`], when they end instead.
    pub fn wait_ready(&mut self, count: usize) -> anyhow::Result<SocketAddr> {
        let mut address = None;
        for _ in 0..count {
            let mut line = String::new();
            self.stdout.read_line(&mut line)?;
            let Some(said) = line.trim().strip_prefix("listening ") else {
                bail!(NoLoop(format!("the processes of the store did not start ({line:?})")));
            };
            address = Some(said.parse().with_context(|| format!("a process said {line:?}"))?);
        }
        address.context("no process was asked for")
    }

    /// Has all end in order, and waits for it.
    ///
    /// # Errors
    ///
    /// When one failed.
    pub fn finish(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the processes of the store failed: {status}");
        Ok(())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted. Its processes end
        // when they notice that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
