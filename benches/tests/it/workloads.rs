//! `workload`: every workload under every model, small, each as a process of its own. What is
//! computed, echoed and copied is verified by the program itself, which fails if it is wrong.

use std::process::{Command, Output};

use benches::workloads::report::{FORMAT, Report};
use benches::workloads::{Model, Workload, refusal};
use clap::ValueEnum as _;

/// Seconds after which a run that hangs ends by itself.
const HANG: &str = "120";

fn workload(words: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_workload")).args(words).output();
    output.expect("the program starts")
}

/// `workload run` with one line of JSON.
pub(crate) fn command(workload: &str, model: &str, size: usize, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workload"));
    command.args(["run", "--workload", workload, "--model", model, "--size", &size.to_string()]);
    command.args(["--json-line", "--life", HANG]).args(more);
    command
}

pub(crate) fn run_command(mut command: Command) -> Report {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{command:?}: {text:?}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command:?}: {error}: {text:?}"))
}

fn run(workload: &str, model: &str, size: usize, more: &[&str]) -> Report {
    run_command(command(workload, model, size, more))
}

/// Of a short run.
pub(crate) fn size(workload: Workload) -> usize {
    match workload {
        Workload::Primes => 7,
        Workload::Sleepers => 9,
        Workload::Echo => 203,
        Workload::Copy => 11,
        Workload::Mixed => 12,
        Workload::Downloads => 13,
        Workload::Kv => 204,
        Workload::Million => 3000,
        Workload::Switches => 1001,
        Workload::Thrash => 61,
        Workload::Memory => 6,
    }
}

/// Whether a model does a workload; of the waits only the loops hold so many.
fn can(workload: Workload, model: Model) -> bool {
    let loops = [Model::Coroutines, Model::LoopPerCore, Model::ProcessPerCore];
    refusal(workload, model).is_none() && (workload != Workload::Million || loops.contains(&model))
}

fn every_model_does(workload: Workload) {
    for model in Model::ALL {
        let size = size(workload);
        let load = if workload.is_all_at_once() { size } else { workload.usual_load(5) };
        let words = ["--load", &load.to_string()];
        let report = run(&workload.to_string(), &model.to_string(), size, &words);
        assert_eq!((report.format, report.workload, report.model), (FORMAT, workload, model));
        if !can(workload, model) {
            assert!(report.refused.is_some() && report.done == 0, "{report:?}");
            continue;
        }
        assert_eq!(report.refused, None, "{report:?}");
        assert_eq!((report.size, report.done), (size, size), "{report:?}");
        let asks_for_memory = matches!(workload, Workload::Million | Workload::Memory);
        assert_eq!((report.load, report.unit_bytes.is_some()), (load, asks_for_memory));
        assert_eq!(report.sampled, None, "{report:?}");
        assert!(report.wall_ns > 0 && report.cpu_ns > 0, "{report:?}");
        assert!(report.seen.threads > 0 && report.seen.peak_bytes > 100_000, "{report:?}");
        assert!(!report.pins.is_empty(), "{report:?}");
        let other = report.pins.iter().any(|pin| ["load maker", "web server"].contains(&&*pin.who));
        assert_eq!(other, workload.has_counterpart(), "{report:?}");
        assert_eq!(report.load_cpu_ns.is_some(), other, "{report:?}");
        if workload == Workload::Memory {
            continue;
        }
        let latency = report.times.latency;
        assert!(0 < latency.p50_ns && latency.p50_ns <= latency.p99_ns, "{report:?}");
        assert!(latency.p99_ns <= latency.max_ns, "{report:?}");
        let counts = report.times.histogram.iter().map(|(_, count)| *count as usize);
        assert_eq!(counts.sum::<usize>(), size, "{report:?}");
    }
}

#[test]
fn primes_are_checked_under_every_model() {
    every_model_does(Workload::Primes);
}

#[test]
fn sleepers_sleep_under_every_model() {
    every_model_does(Workload::Sleepers);
}

#[test]
fn requests_are_echoed_under_every_model() {
    every_model_does(Workload::Echo);
}

#[test]
fn files_are_copied_under_every_model() {
    every_model_does(Workload::Copy);
}

#[test]
fn mixed_requests_are_answered_under_every_model() {
    every_model_does(Workload::Mixed);
}

#[test]
fn downloads_come_under_every_model() {
    every_model_does(Workload::Downloads);
}

#[test]
fn keys_are_kept_under_every_model() {
    every_model_does(Workload::Kv);
}

#[test]
fn locks_hold_under_every_model() {
    every_model_does(Workload::Thrash);
}

#[test]
fn units_hand_over_under_every_model() {
    every_model_does(Workload::Switches);
}

#[test]
fn thousands_sleep_at_once_under_every_model_with_a_loop() {
    every_model_does(Workload::Million);
}

#[test]
fn what_one_more_costs_is_told_under_every_model() {
    every_model_does(Workload::Memory);
    let bytes = |model, size| run("memory", model, size, &[]).unit_bytes.unwrap();
    let (task, thread) = (bytes("coroutines", 20_000), bytes("thread-per-job", 200));
    assert!(0 < task && task < thread, "{task} and {thread}");
    assert!(thread < bytes("process-per-core", 6));
}

#[test]
fn processes_are_seen_with_their_cores() {
    for model in ["processpool", "process-per-core"] {
        let report = run("sleepers", model, 8, &[]);
        assert!(report.seen.processes >= 2, "{report:?}");
        let others = report.pins.iter().filter(|pin| pin.who.contains("process"));
        assert!(others.map(|pin| pin.count).sum::<usize>() >= 1, "{report:?}");
    }
}

#[test]
fn a_loop_runs_on_each_core_it_is_given_and_on_no_other() {
    let allowed = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
    let all = (0..nix::sched::CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap());
    let cores: Vec<String> = all.take(2).map(|core| core.to_string()).collect();
    let report = run("sleepers", "loop-per-core", 8, &["--cpus", &cores.join(",")]);
    let loops = report.pins.iter().filter(|pin| pin.who == "loop thread");
    let found: Vec<&String> = loops.map(|pin| &pin.cores).collect();
    assert_eq!(found, cores.iter().collect::<Vec<_>>(), "{report:?}");
}

#[test]
fn a_part_of_the_work_is_done_and_said_to_be_a_part() {
    for workload in ["sleepers", "echo", "copy"] {
        let report = run(workload, "sequential", 1000, &["--sample", "6"]);
        assert_eq!((report.size, report.done), (1000, 6), "{report:?}");
        assert!(report.sampled.is_some_and(|why| why.contains("1000")));
    }
}

#[test]
fn a_load_that_the_machine_has_no_room_for_is_refused_in_words() {
    for (workload, model) in [("echo", "coroutines"), ("sleepers", "thread-per-job")] {
        let load = 1_000_000_000.to_string();
        let report = run(workload, model, 1_000_000_000, &["--load", &load]);
        assert!(report.refused.is_some_and(|why| why.starts_with("1000000000 ")), "{workload}");
    }
}

#[test]
fn the_list_names_every_workload_and_model_and_what_can_not_be_done() {
    let output = workload(&["--list"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let workloads = Workload::ALL.map(|workload| workload.to_string());
    let models = Model::value_variants().iter().map(Model::to_string);
    for name in workloads.into_iter().chain(models) {
        assert!(text.contains(&format!("\n  {name} ")), "{name} is not in {text}");
    }
    assert!(text.contains("echo by processpool: a connection is a descriptor"), "{text}");
}

#[test]
fn misuse_is_refused_with_exit_code_2() {
    let run = ["run", "--workload", "nonsense", "--model", "sequential", "--size", "1"];
    assert_eq!(workload(&run).status.code(), Some(2));
    assert_eq!(workload(&[]).status.code(), Some(2));
    let run = ["run", "--workload", "primes", "--model", "sequential"];
    assert_eq!(workload(&run).status.code(), Some(2), "neither size nor load");
    let jobs = [&run[..], &["--size", "9", "--load", "3"]].concat();
    let said = String::from_utf8(workload(&jobs).stderr).unwrap();
    assert!(said.contains("all given at once"), "{said}");
}

#[test]
fn the_environment_is_one_object() {
    let output = workload(&["environment"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for field in ["kernel", "processor", "commit", "load", "allowed_cores", "debug"] {
        assert!(!value[field].is_null(), "{field} is missing in {value}");
    }
}

/// `cargo xtask bench` keeps the names in a table of its own, since it can't link this package.
#[test]
fn the_driver_knows_every_workload_and_model() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../xtask/src/bench/kinds.rs");
    let plan = std::fs::read_to_string(path).unwrap();
    for workload in Workload::ALL {
        assert!(plan.contains(&format!("name: \"{workload}\"")), "{workload}");
    }
    for model in Model::value_variants() {
        assert!(plan.contains(&format!("\"{model}\"")), "{model}");
    }
}
