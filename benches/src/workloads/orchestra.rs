//! One run from outside: starts the measured process and, for servers, the load maker, each a
//! process of its own; watches them; puts together what they found.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Serialize;

use super::client::Load;
use super::cores::NoLoop;
use super::files::Folder;
use super::meter::{self, Watch};
use super::report::{FORMAT, Finding, Order, Report, Seen};
use super::service::Service;
use super::web::Web;
use super::{Model, Workload, limits, million};
use crate::foreign::program::Program;

/// How often the measured processes are looked at.
const TICK: Duration = Duration::from_millis(5);

/// Does a run.
///
/// # Errors
///
/// When a process can't be started, fails, or gives a wrong result.
pub fn run(mut order: Order) -> anyhow::Result<Report> {
    let never = super::refusal(order.workload, order.model).map(str::to_owned);
    if let Some(why) = never.or_else(|| limits::refusal(&order)) {
        return Ok(refused(&order, why));
    }
    if order.workload == Workload::Million
        && let Some(why) = million::refusal(&order)?
    {
        return Ok(refused(&order, why));
    }
    let program = match Program::of(order.model)? {
        Ok(program) => program,
        Err(why) => return Ok(refused(&order, why)),
    };
    // Out of the way of models with one core.
    meter::confine(&[order.load_core])?;
    let mut remarks = Vec::new();
    let folder = match order.workload {
        Workload::Copy => Some(Folder::make(order.count())?),
        _ => None,
    };
    if let Some(folder) = &folder {
        order.folder = Some((folder.from(), folder.to()));
        remarks.push(format!("the folder lies on {}", folder.file_system()));
    }
    let served = order.workload.is_served();
    let (finding, load, seen) = match order.workload {
        Workload::Downloads => download(&program, &mut order, &mut remarks)?,
        _ if served => serve(&program, &order, &mut remarks)?,
        _ => work(&program, &order)?,
    };
    if let Some(why) = finding.refused.clone() {
        return Ok(refused(&order, why));
    }
    let seen = seen.max(finding.seen);
    remarks.extend(finding.remarks.iter().cloned());
    if let Some(folder) = &folder {
        folder.verify(finding.done)?;
    }
    let starts_one_for_each = order.workload.is_all_at_once() && !served;
    if order.model == Model::ThreadPerJob
        && starts_one_for_each
        && (finding.done as u64) > seen.threads
    {
        let (all, most) = (finding.done, seen.threads);
        remarks.push(format!("{all} threads were started, at most {most} were seen alive at once"));
    }
    Ok(report(&order, &finding, load.as_ref(), seen, remarks))
}

fn report(
    order: &Order,
    finding: &Finding,
    load: Option<&Finding>,
    seen: Seen,
    remarks: Vec<String>,
) -> Report {
    // What comes over sockets is timed and counted by the one who asks.
    let timed = load.filter(|_| order.workload.is_served()).unwrap_or(finding);
    let too_long = || format!("all {} would take too long", order.size);
    let sampled = finding.reduced.clone().or_else(|| (timed.done < order.size).then(too_long));
    let mut pins = finding.pins.clone();
    pins.extend(load.iter().flat_map(|load| load.pins.clone()));
    Report {
        format: FORMAT,
        workload: order.workload,
        model: order.model,
        refused: None,
        load: order.load,
        size: order.size,
        done: timed.done,
        sampled,
        wall_ns: timed.wall.as_nanos() as u64,
        cpu_ns: finding.cost.cpu.as_nanos() as u64,
        voluntary: finding.cost.voluntary,
        involuntary: finding.cost.involuntary,
        seen,
        times: timed.times.clone(),
        unit_bytes: finding.unit_bytes,
        pins,
        load_cpu_ns: load.map(|load| load.cost.cpu.as_nanos() as u64),
        remarks,
    }
}

fn refused(order: &Order, why: String) -> Report {
    let nothing = Finding::default();
    let report = report(order, &nothing, None, Seen::default(), Vec::new());
    Report { refused: Some(why), sampled: None, ..report }
}

/// Runs the jobs in a process of their own, with a look at it every few milliseconds.
fn work(program: &Program, order: &Order) -> anyhow::Result<Found> {
    let mut process = Role::start(program, "job", &program.order(order)?)?;
    let mut watch = watch(&process, order);
    let finding = program.finding(&process.last_line(&mut watch)?, order)?;
    Ok((finding, None, watch.seen()))
}

/// What the measured process found, what its counterpart did, and what was seen of the first.
type Found = (Finding, Option<Finding>, Seen);

/// Runs the clients in one process and the server that they download from in another.
fn download(
    program: &Program,
    order: &mut Order,
    remarks: &mut Vec<String>,
) -> anyhow::Result<Found> {
    let ours = Program::Ours;
    let mut server = Role::start(&ours, "web", &Web { core: order.load_core, life: order.life })?;
    // Only the measured process is watched.
    let mut nobody = Watch::new(0, false);
    let line = server.line(&mut nobody)?;
    let addresses = line.strip_prefix("listening ").map(|all| all.split(' ').map(str::parse));
    let addresses = addresses.with_context(|| format!("a server said {line:?}"))?;
    order.servers = addresses.collect::<Result<_, _>>()?;
    let (finding, _, seen) = work(program, order)?;
    server.end_stdin();
    let served = ours.finding(&server.last_line(&mut nobody)?, order)?;
    ensure!(
        finding.refused.is_some() || served.done == finding.done,
        "{} downloads were done, and {} answered",
        finding.done,
        served.done
    );
    remarks.push(beside(order, "web server"));
    Ok((finding, Some(served), seen))
}

/// Where the other side runs.
fn beside(order: &Order, who: &str) -> String {
    let shared = order.cores.contains(&order.load_core)
        && (order.model.is_parallel() || order.cores[0] == order.load_core);
    match shared {
        true => format!("{who} shares core {} with what is measured", order.load_core),
        false => format!("{who} alone on core {}", order.load_core),
    }
}

/// Runs the server in one process and the load maker in another.
fn serve(program: &Program, order: &Order, remarks: &mut Vec<String>) -> anyhow::Result<Found> {
    let mut server = Role::start(program, "serve", &program.order(order)?)?;
    let mut watch = watch(&server, order);
    let line = server.line(&mut watch)?;
    let Some(address) = line.strip_prefix("listening ") else {
        // A server that can't begin says why instead.
        return Ok((program.finding(&line, order)?, None, watch.seen()));
    };
    let load = Load {
        server: address.parse().with_context(|| format!("a server said {line:?}"))?,
        service: Service::of(order).context("the workload is not served")?,
        connections: order.connections(),
        requests: order.count(),
        core: order.load_core,
        life: order.life,
    };
    let mut maker = Role::start(&Program::Ours, "load", &load)?;
    let load = Program::Ours.finding(&maker.last_line(&mut watch)?, order)?;
    server.end_stdin();
    let finding = program.finding(&server.last_line(&mut watch)?, order)?;
    remarks.push(beside(order, "load maker"));
    Ok((finding, Some(load), watch.seen()))
}

fn watch(process: &Role, order: &Order) -> Watch {
    Watch::new(process.child.id(), order.model.has_processes())
}

/// A program as a child, in one of its roles: told what to do by the first line of its stdin,
/// which is held open. Killed when dropped.
struct Role {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
}

impl Role {
    fn start(program: &Program, name: &'static str, told: &impl Serialize) -> anyhow::Result<Self> {
        let mut child = program
            .command(name)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting workload {name}"))?;
        let stdout = child.stdout.take().context("a child without stdout")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        let mut role = Self { name, child, lines };
        let mut line = serde_json::to_vec(told)?;
        line.push(b'\n');
        let stdin = role.child.stdin.as_mut().context("a child without stdin")?;
        stdin.write_all(&line).with_context(|| format!("telling workload {name} what to do"))?;
        Ok(role)
    }

    fn end_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// The next line it prints; `watch` looks on meanwhile.
    fn line(&mut self, watch: &mut Watch) -> anyhow::Result<String> {
        loop {
            match self.lines.recv_timeout(TICK) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) => watch.look(),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    bail!("workload {} ended without a word: {status}", self.name);
                }
            }
        }
    }

    /// The last line it prints, and its good end.
    fn last_line(&mut self, watch: &mut Watch) -> anyhow::Result<String> {
        let line = self.line(watch)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "workload {} failed: {status}", self.name);
        Ok(line)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a measured process prints at its end: what it found, or that there is no loop to be had.
///
/// # Errors
///
/// Any other error of `result`.
pub fn tell(result: anyhow::Result<Finding>) -> anyhow::Result<()> {
    let finding = match result {
        Err(error) if error.is::<NoLoop>() => {
            Finding { refused: Some(error.to_string()), ..Finding::default() }
        }
        other => other?,
    };
    println!("{}", serde_json::to_string(&finding)?);
    Ok(())
}

/// Reads what to do from the first line of stdin.
///
/// # Errors
///
/// When it isn't there or isn't understood.
pub fn told<T: for<'de> serde::Deserialize<'de>>() -> anyhow::Result<T> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    serde_json::from_str(&line).context("reading from stdin what to do")
}
