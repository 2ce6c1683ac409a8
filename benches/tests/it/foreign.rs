//! Models of `workload` that are not ours: the same work, the same checks. What isn't installed is
//! refused in words, and said here.

use std::path::Path;
use std::process::Command;

use benches::foreign::Foreign;
use benches::workloads::report::{FORMAT, Report};
use benches::workloads::{Model, Workload, refusal};

use crate::workloads::{command, run_command, size};

/// A short run; it says so when the machine has not what the model needs.
fn short(workload: Workload, model: Foreign) -> Option<Report> {
    let size = size(workload);
    let more = ["--divisions", "500"];
    let command = command(&workload.to_string(), model.name(), size, &more);
    let report = run_command(command);
    let model = Model::Foreign(model);
    assert_eq!((report.format, report.workload, report.model), (FORMAT, workload, model));
    match (&report.refused, refusal(workload, model)) {
        (None, None) => Some(report),
        (Some(why), Some(never)) => {
            assert_eq!((why.as_str(), report.done), (never, 0), "{report:?}");
            None
        }
        (Some(why), None) => {
            let missing = why.contains("there is no") || why.contains(" has no ");
            assert!(missing && report.model.to_string().starts_with("python"), "{report:?}");
            eprintln!("{workload} by {model} is left out: {why}");
            None
        }
        (None, Some(never)) => panic!("{never}, and yet {report:?}"),
    }
}

fn every_workload_is_done_by(model: Foreign) {
    for workload in Workload::ALL {
        let Some(report) = short(workload, model) else { continue };
        let size = size(workload);
        assert_eq!((report.size, report.done), (size, size), "{report:?}");
        assert!(report.wall_ns > 0 && report.cpu_ns > 0, "{report:?}");
        assert!(report.seen.threads > 0 && report.seen.peak_bytes > 100_000, "{report:?}");
        let asks_for_memory = matches!(workload, Workload::Million | Workload::Memory);
        assert_eq!(report.unit_bytes.is_some(), asks_for_memory, "{report:?}");
        if workload != Workload::Memory {
            let (latency, counts) = (report.times.latency, &report.times.histogram);
            assert!(0 < latency.p50_ns && latency.p50_ns <= latency.max_ns, "{report:?}");
            assert_eq!(counts.iter().map(|bucket| bucket.1).sum::<u64>(), size as u64);
        }
        assert!(report.pins.iter().any(|pin| pin.who != "load maker"), "{report:?}");
        assert!(!report.remarks.is_empty(), "{report:?}");
        if !model.is_python() {
            let version = report
                .remarks
                .iter()
                .any(|remark| model.name().starts_with(remark.split(' ').next().unwrap_or("?")));
            assert!(version, "{report:?}");
        }
        if Model::Foreign(model).has_processes() {
            assert!(report.seen.processes >= 2, "{report:?}");
        }
    }
}

#[test]
fn python_threads_do_every_workload() {
    every_workload_is_done_by(Foreign::PythonThreads);
}

#[test]
fn python_processes_do_every_workload_but_echo() {
    every_workload_is_done_by(Foreign::PythonProcesses);
}

#[test]
fn python_asyncio_does_every_workload() {
    every_workload_is_done_by(Foreign::PythonAsyncio);
}

#[test]
fn python_gevent_does_every_workload() {
    every_workload_is_done_by(Foreign::PythonGevent);
}

#[test]
fn other_runtimes_do_every_workload_they_have_the_means_for() {
    for model in Foreign::ALL.into_iter().filter(|model| !model.is_python()) {
        every_workload_is_done_by(model);
    }
}

#[test]
fn runtimes_run_on_the_cores_they_are_given() {
    let report = |model| run_command(command("sleepers", model, 8, &["--cpus", "0"]));
    for (model, who, threads) in [("tokio", "main thread", 1), ("tokio-multi", "runtime thread", 1)]
    {
        let report = report(model);
        let pin = report.pins.iter().find(|pin| pin.who == who);
        let pin = pin.unwrap_or_else(|| panic!("{report:?}"));
        assert_eq!((pin.cores.as_str(), pin.count), ("0", threads), "{report:?}");
    }
}

#[test]
fn a_runtime_whose_program_was_not_built_is_refused_with_what_builds_it() {
    // The program alone, without its neighbour.
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("workload");
    std::fs::copy(env!("CARGO_BIN_EXE_workload"), &alone).unwrap();
    let like = command("echo", "monoio", 3, &[]);
    let mut command = Command::new(alone);
    command.args(like.get_args());
    let why = run_command(command).refused.expect("it isn't there");
    assert!(why.contains("cargo xtask bench --peers"), "{why}");
}

#[test]
fn a_machine_without_python_is_told_how_to_name_one() {
    let mut command = command("copy", "python-threads", 3, &[]);
    command.env("PYTHON", "/nowhere/python3");
    let why = run_command(command).refused.expect("there is none");
    assert!(why.starts_with("there is no /nowhere/python3") && why.contains("PYTHON"), "{why}");
}

#[test]
fn a_python_without_a_package_is_refused_by_the_package_s_name() {
    // Isolated from the environment's packages: a folder in its place where gevent is no module.
    let folder = tempfile::tempdir().unwrap();
    let broken = "raise ModuleNotFoundError(\"No module named 'gevent'\", name='gevent')";
    std::fs::write(folder.path().join("gevent.py"), broken).unwrap();
    let mut command = command("primes", "python-gevent", 3, &[]);
    command.env("PYTHONPATH", folder.path());
    let why = run_command(command).refused.expect("it isn't there");
    assert!(why.contains("there is no") || why.ends_with("has no gevent"), "{why}");
}

#[test]
fn a_python_that_fails_is_a_failure() {
    let mut command = command("primes", "python-threads", 3, &[]);
    // Something that ends without a word.
    let fails = ["/bin/false", "/usr/bin/false"].into_iter().find(|path| Path::new(path).exists());
    command.env("PYTHON", fails.expect("false"));
    let output = Command::output(&mut command).unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ended without a word") || said.contains("telling"), "{said}");
}
