//! `workload`: one piece of work under one model of concurrency, measured and verified.
//!
//! `cargo xtask bench` builds and drives it; each `workload run` is a fresh process. The hidden
//! commands are the roles of the processes that a run consists of.

use std::time::Duration;

use anyhow::ensure;
use benches::foreign::Foreign;
use benches::workloads::report::{Finding, Order, Report};
use benches::workloads::{
    Model, Workload, batch, client, cores, kv_shards, memory, million, orchestra, primes, server,
    switches, thrash, web,
};
use clap::{Args, Parser, Subcommand, ValueEnum as _};

/// Does one piece of work under one model of concurrency, and measures it.
#[derive(Debug, Parser)]
#[command(arg_required_else_help = true)]
struct Flags {
    /// List the workloads and the models
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do it, and print what it cost
    Run(RunFlags),
    /// Print how many divisions take a millisecond of CPU time
    Calibrate,
    /// Print where we are, as JSON
    Environment,
    /// The measured process, for jobs
    #[command(hide = true)]
    Job,
    /// The measured process, for servers
    #[command(hide = true)]
    Serve,
    /// The load maker
    #[command(hide = true)]
    Load,
    /// A process on one core
    #[command(hide = true)]
    Part,
    /// The server of downloads
    #[command(hide = true)]
    Web,
    /// The supervisor of a store of processes, and each of these
    #[command(hide = true)]
    KvShards {
        #[arg(long, value_delimiter = ',')]
        cpus: Vec<usize>,
        #[arg(long)]
        life: u32,
    },
}

#[derive(Debug, Args)]
struct RunFlags {
    /// What to do
    #[arg(long)]
    workload: Workload,
    /// How
    #[arg(long)]
    model: Model,
    /// Jobs or requests of the whole workload [default: as many as --load]
    #[arg(long, required_unless_present = "load")]
    size: Option<usize>,
    /// Units at once: connections of the load maker [default: 50], or jobs, which are all given at
    /// once. With it, what the machine has no room for is refused and not made smaller
    #[arg(long)]
    load: Option<usize>,
    /// Do only so many of them, and say so
    #[arg(long)]
    sample: Option<usize>,
    /// Cores to use; the last one is the load maker's [default: all that are allowed]
    #[arg(long, value_delimiter = ',')]
    cpus: Vec<usize>,
    /// Divisions in a millisecond of CPU time [default: measured now]
    #[arg(long)]
    divisions: Option<u64>,
    /// Seconds after which it ends, whatever it is doing
    #[arg(long, default_value_t = 300)]
    life: u32,
    /// Print one line of JSON instead of text
    #[arg(long)]
    json_line: bool,
}

fn main() -> anyhow::Result<()> {
    // First of all: the workers of a process pool are this program, and turn aside here.
    pool::init();
    let flags = Flags::parse();
    if flags.list {
        list();
        return Ok(());
    }
    match flags.command {
        None => Ok(()),
        Some(Command::Run(flags)) => run(&flags),
        Some(Command::Calibrate) => {
            println!("{}", primes::calibrate(Duration::from_millis(1))?);
            Ok(())
        }
        Some(Command::Environment) => {
            let mut environment = serde_json::to_value(benches::environment::record())?;
            environment["debug"] = cfg!(debug_assertions).into();
            environment["allowed_cores"] = serde_json::to_value(allowed_cores()?)?;
            println!("{environment}");
            Ok(())
        }
        Some(Command::Job) => {
            let order: Order = orchestra::told()?;
            benches::serve::end_after(order.life);
            orchestra::tell(perform(&order))
        }
        Some(Command::Serve) => {
            let order: Order = orchestra::told()?;
            benches::serve::end_after(order.life);
            orchestra::tell(server::run(&order))
        }
        Some(Command::Load) => {
            let load: client::Load = orchestra::told()?;
            benches::serve::end_after(load.life);
            orchestra::tell(client::run(&load))
        }
        Some(Command::Part) => cores::part(),
        Some(Command::Web) => {
            let told: web::Web = orchestra::told()?;
            benches::serve::end_after(told.life);
            orchestra::tell(web::run(told))
        }
        Some(Command::KvShards { cpus, life }) => {
            benches::serve::end_after(life);
            kv_shards::run(&cpus)
        }
    }
}

/// The work of the measured process.
fn perform(order: &Order) -> anyhow::Result<Finding> {
    match order.workload {
        Workload::Million => million::run(order),
        Workload::Switches => switches::run(order),
        Workload::Thrash => thrash::run(order),
        Workload::Memory => memory::run(order),
        _ => batch::run(order),
    }
}

fn list() {
    println!("workloads:");
    for workload in Workload::ALL {
        println!("  {workload:<17} {}", workload.about());
    }
    println!("models:");
    for model in Model::ALL {
        println!("  {model:<17} {}", model.about());
    }
    println!("models that are not ours:");
    for model in Foreign::ALL {
        println!("  {model:<17} {}", model.about());
    }
    println!("what can't be done:");
    for workload in Workload::ALL {
        for &model in Model::value_variants() {
            if let Some(why) = benches::workloads::refusal(workload, model) {
                println!("  {workload} by {model}: {why}");
            }
        }
    }
}

fn allowed_cores() -> anyhow::Result<Vec<usize>> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    Ok((0..nix::sched::CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect())
}

fn run(flags: &RunFlags) -> anyhow::Result<()> {
    let size = flags.size.or(flags.load).unwrap_or_default();
    let load = flags.load.unwrap_or_else(|| flags.workload.usual_load(size));
    ensure!(size > 0 && flags.sample != Some(0), "a run needs at least one job");
    ensure!((1..=size).contains(&load), "a load of {load} needs 1 to {size} jobs or requests");
    ensure!(
        !flags.workload.is_all_at_once() || load == size,
        "the jobs of {} are all given at once: --load {load} needs --size {load}",
        flags.workload
    );
    benches::serve::end_after(flags.life);
    let all = if flags.cpus.is_empty() { allowed_cores()? } else { flags.cpus.clone() };
    let load_core = all[all.len() - 1];
    // With two cores the servers that use all of them share the last with the load maker.
    let few = all.len() < 3 || !flags.workload.has_counterpart();
    let cores = if few { all } else { all[..all.len() - 1].to_vec() };
    let divisions = match flags.divisions {
        Some(divisions) => divisions,
        None if flags.workload.is_calibrated() => primes::calibrate(Duration::from_millis(1))?,
        None => 0,
    };
    let report = orchestra::run(Order {
        workload: flags.workload,
        model: flags.model,
        size,
        sample: flags.sample,
        cores,
        load_core,
        divisions,
        load,
        exact: flags.load.is_some(),
        folder: None,
        servers: Vec::new(),
        life: flags.life,
    })?;
    if flags.json_line {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &Report) {
    let ms = |ns: u64| ns as f64 / 1e6;
    println!("{} by {}, {} of {}", report.workload, report.model, report.done, report.size);
    if let Some(why) = &report.refused {
        println!("can't: {why}");
        return;
    }
    println!("wall {:.2} ms, CPU {:.2} ms", ms(report.wall_ns), ms(report.cpu_ns));
    let latency = report.times.latency;
    println!("a job: p50 {:.3} ms, p99 {:.3} ms", ms(latency.p50_ns), ms(latency.p99_ns));
    if let Some(bytes) = report.unit_bytes {
        println!("one more costs {bytes} bytes");
    }
    let seen = report.seen;
    println!(
        "{} threads in {} processes, {:.1} MiB at the peak",
        seen.threads,
        seen.processes,
        seen.peak_bytes as f64 / 1048576.0
    );
    println!("switches: {} to wait, {} forced", report.voluntary, report.involuntary);
    for pin in &report.pins {
        println!("{} x {} on {}", pin.count, pin.who, pin.cores);
    }
    report.sampled.iter().chain(&report.remarks).for_each(|text| println!("{text}"));
}
