//! Runs every example and looks for what it should say.
//!
//! cargo tells which examples there are; each must be in exactly one of the two lists below, so
//! that none is forgotten. A name in a list that does not exist (yet) is passed over with a note.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Report, libtest};
use crate::shell::{self, Echo};
use crate::workspace::Workspace;

/// An example that ends by itself.
struct Runnable {
    package: &'static str,
    name: &'static str,
    args: &'static [&'static str],
    /// Every one of these is somewhere in the output.
    says: &'static [&'static str],
}

/// An example that cannot run unattended, and why.
struct NotRun {
    package: &'static str,
    name: &'static str,
    reason: &'static str,
}

/// Add a new example here, or below with a reason.
const RUNNABLE: &[Runnable] = &[
    Runnable {
        package: "uring-loop",
        name: "01_event_loop",
        args: &[],
        says: &["0.000 s  in coroutine", "1.000 s  Hello again!"],
    },
    Runnable {
        package: "uring-loop",
        name: "02_callbacks",
        args: &[],
        says: &["20.000 s  Stopping loop.", "0.200 s  callback 1 invoked"],
    },
    Runnable {
        package: "uring-loop",
        name: "03_coroutines",
        args: &[],
        says: &["3.000 s  world", "[5, 7, 11, 17]"],
    },
    Runnable {
        package: "uring-loop",
        name: "04_promises",
        args: &[],
        says: &["2: future done: the result", "30414093201713378043612608166064"],
    },
    Runnable {
        package: "uring-loop",
        name: "05_tasks",
        args: &[],
        says: &["tasks completed <Task", "Now adding honey to the herbal tea."],
    },
    Runnable {
        package: "uring-loop",
        name: "06_cancellation",
        args: &[],
        says: &["main() also sees task as canceled"],
    },
    Runnable {
        package: "uring-loop",
        name: "07_gather",
        args: &[],
        says: &["3.000 s  Task C: factorial(4) = 24", "Callback:  [\"Hello World\", \"lfzyx\"]"],
    },
    Runnable {
        package: "uring-loop",
        name: "08_wait",
        args: &[],
        says: &["1 completed and 2 pending", "Program consumes: 3.000000s"],
    },
    Runnable {
        package: "uring-loop",
        name: "09_timeouts",
        args: &[],
        says: &["1.000 s  the time limit was reached", "saved, at last"],
    },
    Runnable {
        package: "uring-loop",
        name: "10_locks",
        args: &[],
        says: &["0.300 s  ending consumer 4"],
    },
    Runnable {
        package: "uring-loop",
        name: "11_queues",
        args: &[],
        says: &["0.090 s  producer: ending"],
    },
    Runnable {
        package: "uring-loop",
        name: "12_threads_and_signals",
        args: &[],
        says: &["Hello word from", "interrupted by Ctrl+C"],
    },
    Runnable {
        package: "uring-loop",
        name: "13_groups_and_channels",
        args: &[],
        says: &["2.500 s  page 2: no route to host", "never more than 3 at a time", "2 missed"],
    },
    Runnable {
        package: "uring-loop",
        name: "14_children",
        args: &[],
        says: &["Current date: 2", "Okay. Shutting down."],
    },
    Runnable {
        package: "uring-loop",
        name: "15_servers",
        args: &[],
        says: &["Okay. Shutting down.", "received EOF", "0.300 s  www.163.com header > Server"],
    },
    Runnable {
        package: "uring-loop",
        name: "echo",
        args: &["--addr", "127.0.0.1:0", "--seconds", "1"],
        says: &["listening 127.0.0.1:"],
    },
    Runnable {
        package: "uring-loop",
        name: "million",
        args: &["--tasks", "20000"],
        says: &["20000 tasks asleep", "woken over 1s; late by p50"],
    },
    Runnable {
        package: "uring-loop",
        name: "soak",
        args: &["--seconds", "5"],
        says: &["nothing is left"],
    },
    Runnable {
        package: "pool",
        name: "checksums",
        args: &["crates/pool/tests/data"],
        says: &["  crates/pool/tests/data/s000_primes.txt"],
    },
    Runnable {
        package: "pool",
        name: "gzip_folder",
        args: &["crates/pool/tests/data", "target/gzip_folder"],
        says: &["crates/pool/tests/data/s000_primes.txt"],
    },
    Runnable {
        package: "pool",
        name: "misfits",
        args: &["2000"],
        says: &["2000 of 2000 other jobs finished with the right answer", "5 workers died"],
    },
    Runnable {
        package: "pool",
        name: "primes",
        args: &["--processes", "2"],
        says: &["109999999 is prime: False", "234645542424 is prime: False"],
    },
    Runnable {
        package: "shard",
        name: "echo_sharded",
        args: &["--addr", "127.0.0.1:0", "--seconds", "1"],
        says: &["listening", "shard 0"],
    },
    Runnable {
        package: "shard",
        name: "kv",
        args: &["--addr", "127.0.0.1:0", "--seconds", "1"],
        says: &["listening", "shard 0"],
    },
];

const NOT_RUN: &[NotRun] = &[
    NotRun {
        package: "pool-nats",
        name: "primes_cluster",
        reason: "needs a nats-server and an agent: the crate's tests start them, and run it",
    },
    NotRun {
        package: "shard",
        name: "messages",
        reason: "measures, for half a minute, on two cores that nobody else uses",
    },
    NotRun { package: "uring-loop", name: "counted", reason: "the section `sight` runs it" },
    NotRun {
        package: "uring-loop",
        name: "deny_io_uring",
        reason: "the section `soft` runs the tests in it",
    },
    NotRun { package: "uring-loop", name: "sim", reason: "the section `sim` runs it" },
];

/// Examples teach; one that needs longer than this does not.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn section(workspace: &Workspace) -> Result<Report> {
    let found = discovered(workspace);
    let plan = plan(&found, RUNNABLE, NOT_RUN)?;
    for line in &plan.notes {
        anstream::eprintln!("{line}");
    }
    if plan.run.is_empty() {
        return Ok(Report::skipped(format!("{} examples, none to run", found.len())));
    }
    let mut failures = Vec::new();
    for example in &plan.run {
        if let Err(error) = run(workspace, example) {
            failures.push(format!("{}: {error:#}", example.name));
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(Report::passed(format!("{} ran, {} only built", plan.run.len(), plan.notes.len())))
}

/// (package, example), of the crates only.
fn discovered(workspace: &Workspace) -> BTreeSet<(&str, &str)> {
    let of = |kind: &str| kind == "example";
    workspace
        .crates()
        .flat_map(|package| package.targets.iter().map(move |target| (package, target)))
        .filter(|(_, target)| of(&target.kind))
        .map(|(package, target)| (package.name.as_str(), target.name.as_str()))
        .collect()
}

struct Plan<'a> {
    run: Vec<&'a Runnable>,
    notes: Vec<String>,
}

fn plan<'a>(
    found: &BTreeSet<(&str, &str)>,
    runnable: &'a [Runnable],
    not_run: &[NotRun],
) -> Result<Plan<'a>> {
    let listed_runnable = runnable.iter().map(|example| (example.package, example.name));
    let listed_not_run = not_run.iter().map(|example| (example.package, example.name));
    let listed: Vec<_> = listed_runnable.chain(listed_not_run).collect();
    for (package, name) in found {
        match listed.iter().filter(|one| *one == &(*package, *name)).count() {
            1 => {}
            0 => bail!("example {name} of {package} is in no list of xtask/src/ci/examples.rs"),
            _ => bail!("example {name} of {package} is listed twice"),
        }
    }
    let mut notes = Vec::new();
    for (package, name) in listed {
        if !found.contains(&(package, name)) {
            notes.push(format!("{name} of {package}: does not exist"));
        }
    }
    for example in not_run.iter().filter(|one| found.contains(&(one.package, one.name))) {
        notes.push(format!("{} of {}: not run: {}", example.name, example.package, example.reason));
    }
    let exists = |example: &&Runnable| found.contains(&(example.package, example.name));
    Ok(Plan { run: runnable.iter().filter(exists).collect(), notes })
}

fn run(workspace: &Workspace, example: &Runnable) -> Result<()> {
    let Runnable { package, name, args, says } = example;
    let build = ["build", "--all-features", "--package", package, "--example", name];
    let built = libtest::executables(workspace.cargo(build))?;
    let Some(program) = built.iter().find(|program| program.target == *name) else {
        bail!("cargo built no program of that name");
    };
    let mut command = Command::new(&program.path);
    command.args(*args).current_dir(&workspace.root);
    anstream::eprintln!("---- {name}");
    let ran = shell::run(command, Echo::Live, Some(LIMIT))?;
    if !ran.success() {
        bail!("{}", ran.how());
    }
    for expected in *says {
        if !ran.text.contains(expected) {
            bail!("it never said {expected:?}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Runnable = Runnable { package: "loops", name: "hello", args: &[], says: &[] };
    const SERVER: NotRun = NotRun { package: "loops", name: "server", reason: "runs for ever" };

    #[test]
    fn an_example_in_no_list_is_refused() {
        let found = BTreeSet::from([("loops", "new")]);
        let error = plan(&found, &[HELLO], &[SERVER]).err().expect("refused").to_string();
        assert!(error.contains("new of loops"), "{error}");
    }

    #[test]
    fn an_example_in_both_lists_is_refused() {
        let found = BTreeSet::from([("loops", "hello")]);
        let too = NotRun { package: "loops", name: "hello", reason: "" };
        assert!(plan(&found, &[HELLO], &[too]).is_err());
    }

    #[test]
    fn the_same_name_in_another_crate_is_another_example() {
        let found = BTreeSet::from([("shards", "hello")]);
        assert!(plan(&found, &[HELLO], &[]).is_err());
    }

    #[test]
    fn what_is_listed_and_does_not_exist_is_noted() {
        let plan = plan(&BTreeSet::from([("loops", "server")]), &[HELLO], &[SERVER]);
        let plan = plan.expect("every example is listed");
        assert!(plan.run.is_empty());
        let expected =
            ["hello of loops: does not exist", "server of loops: not run: runs for ever"];
        assert_eq!(plan.notes, expected);
    }
}
