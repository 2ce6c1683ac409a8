//! Programs that measure themselves once, in a short form. That the work they time is done and
//! right (every number comes back, in order) they assert themselves, and fail otherwise.

use std::collections::BTreeSet;
use std::path::Path;

use benches::process::{NOT_INSTALLED, measure_once};

const SHORT: &str = "--milliseconds=5";

/// Whether `program` has `row`: it prints a figure, or nothing for a row that it has not.
fn has(program: &str, row: &str) -> bool {
    let metrics = measure_once(Path::new(program), [row, SHORT]).unwrap();
    let sound = metrics.values().all(|&value| value.is_finite() && value > 0.0);
    assert!(sound, "{program} {row} {metrics:?}");
    metrics.contains_key("ns")
}

#[test]
fn every_executor_measures_every_row() {
    let programs = [
        env!("CARGO_BIN_EXE_exec_compio"),
        env!("CARGO_BIN_EXE_exec_glommio"),
        env!("CARGO_BIN_EXE_exec_monoio"),
        env!("CARGO_BIN_EXE_exec_ours"),
        env!("CARGO_BIN_EXE_exec_tokio"),
        env!("CARGO_BIN_EXE_exec_tokio_local"),
    ];
    for program in programs {
        for row in ["spawn", "spawn-many", "yield", "timeout", "timeout-ready"] {
            assert!(has(program, row), "{program} {row}");
        }
        let metrics = measure_once(Path::new(program), ["sleep", "--tasks=5000"]).unwrap();
        assert!(metrics["bytes"] > 50.0, "{program} {metrics:?}");
    }
}

#[test]
fn files_are_read_in_every_row_that_a_program_has() {
    let folder = tempfile::tempdir().unwrap();
    let folder = format!("--folder={}", folder.path().display());
    let programs = [
        (env!("CARGO_BIN_EXE_file_cp"), false, true),
        (env!("CARGO_BIN_EXE_file_floor"), true, false),
        (env!("CARGO_BIN_EXE_file_glommio"), true, false),
        (env!("CARGO_BIN_EXE_file_monoio"), true, false),
        (env!("CARGO_BIN_EXE_file_ours"), true, true),
        (env!("CARGO_BIN_EXE_file_ours_registered"), true, false),
        (env!("CARGO_BIN_EXE_file_std"), true, true),
        (env!("CARGO_BIN_EXE_file_tokio"), true, true),
    ];
    for (program, reads, copies) in programs {
        let rows: [&[&str]; 4] =
            [&["random", "--depth=1"], &["random", "--depth=32"], &["sequential"], &["copy"]];
        for row in rows {
            let arguments = row.iter().copied().chain([SHORT, folder.as_str()]);
            let metrics = measure_once(Path::new(program), arguments).unwrap();
            let expected = if row[0] == "copy" { copies } else { reads };
            assert_eq!(metrics.contains_key("ns"), expected, "{program} {row:?}");
            assert!(metrics.values().all(|value| value.is_finite()), "{program} {metrics:?}");
        }
    }
}

#[test]
fn fio_measures_or_is_said_not_to_be_installed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = format!("--folder={}", folder.path().display());
    for program in [env!("CARGO_BIN_EXE_file_fio"), env!("CARGO_BIN_EXE_file_fio_registered")] {
        let metrics = measure_once(Path::new(program), ["random", "--depth=4", SHORT, &folder]);
        let metrics = metrics.unwrap();
        let figures = metrics.get("ns").is_some_and(|&ns| ns.is_finite() && ns > 0.0);
        assert!(figures || metrics.contains_key(NOT_INSTALLED), "{program} {metrics:?}");
        assert!(measure_once(Path::new(program), ["copy"]).unwrap().is_empty());
    }
}

#[test]
fn datagrams_are_answered_received_and_sent() {
    let programs = [
        env!("CARGO_BIN_EXE_udp_floor"),
        env!("CARGO_BIN_EXE_udp_ours"),
        env!("CARGO_BIN_EXE_udp_tokio"),
    ];
    for program in programs {
        for what in ["answer", "receive", "send"] {
            for more in [["--depth=1", "--size=64"], ["--depth=32", "--size=1400"]] {
                let metrics = measure_once(Path::new(program), [what, more[0], more[1], SHORT]);
                let metrics = metrics.unwrap();
                assert!(metrics["ns"] > 0.0 && metrics["cpu_ns"] > 0.0, "{program} {metrics:?}");
                let lost = metrics["lost_percent"];
                assert!((0.0..100.0).contains(&lost), "{program} {what} {metrics:?}");
                assert!(what != "answer" || lost == 0.0, "{program} {metrics:?}");
            }
        }
    }
}

#[test]
fn lines_are_read_in_every_row_that_a_program_has() {
    let programs = [
        (env!("CARGO_BIN_EXE_lines_glommio"), true),
        (env!("CARGO_BIN_EXE_lines_monoio"), false),
        (env!("CARGO_BIN_EXE_lines_ours"), true),
        (env!("CARGO_BIN_EXE_lines_tokio"), true),
        (env!("CARGO_BIN_EXE_lines_tokio_bytes"), true),
    ];
    for (program, streams) in programs {
        for more in [&["--length=16"][..], &["--length=1024", "--unix"]] {
            for (what, expected) in [("read-line", true), ("lines", streams)] {
                let arguments = [what, SHORT].into_iter().chain(more.iter().copied());
                let metrics = measure_once(Path::new(program), arguments).unwrap();
                assert_eq!(metrics.contains_key("ns"), expected, "{program} {what} {more:?}");
            }
        }
    }
}

#[test]
fn children_run_to_their_ends() {
    let programs = [
        env!("CARGO_BIN_EXE_child_ours"),
        env!("CARGO_BIN_EXE_child_std"),
        env!("CARGO_BIN_EXE_child_tokio"),
    ];
    for program in programs {
        assert!(["one", "many", "output"].iter().all(|row| has(program, row)), "{program}");
    }
}

#[test]
fn messages_pass_in_every_row_that_a_program_has() {
    let rows = ["round-trip", "one-way", "batched", "call"];
    let programs = [
        (env!("CARGO_BIN_EXE_msg_ours"), 4),
        (env!("CARGO_BIN_EXE_msg_ours_spin"), 4),
        (env!("CARGO_BIN_EXE_msg_tokio"), 4),
        (env!("CARGO_BIN_EXE_msg_crossbeam"), 2),
        (env!("CARGO_BIN_EXE_msg_glommio"), 2),
        (env!("CARGO_BIN_EXE_msg_eventfd"), 1),
        (env!("CARGO_BIN_EXE_msg_futex"), 1),
        (env!("CARGO_BIN_EXE_msg_pipe"), 1),
        (env!("CARGO_BIN_EXE_msg_spin"), 1),
    ];
    for (program, first) in programs {
        for (number, row) in rows.iter().enumerate() {
            assert_eq!(has(program, row), number < first, "{program} {row}");
        }
    }
}

#[test]
fn pools_run_all_their_tasks() {
    // With those of the rows `submit`, `map` and `kill` that they have.
    let programs = [
        (env!("CARGO_BIN_EXE_pool_crossbeam"), [true, false, false]),
        (env!("CARGO_BIN_EXE_pool_floor"), [false, false, false]),
        (env!("CARGO_BIN_EXE_pool_ours"), [true, true, false]),
        (env!("CARGO_BIN_EXE_pool_ours_process"), [true, true, true]),
        (env!("CARGO_BIN_EXE_pool_procspawn"), [true, false, true]),
        (env!("CARGO_BIN_EXE_pool_rayon"), [true, true, false]),
        (env!("CARGO_BIN_EXE_pool_threadpool"), [true, false, false]),
        (env!("CARGO_BIN_EXE_pool_tokio"), [true, false, false]),
    ];
    for (program, expected) in programs {
        assert!(has(program, "round-trip") && has(program, "start"), "{program}");
        let found = ["submit", "map", "kill"].map(|row| has(program, row));
        assert_eq!(found, expected, "{program}");
    }
}

#[test]
fn payloads_reach_the_worker_whole() {
    let programs = [
        (env!("CARGO_BIN_EXE_pool_floor"), true),
        (env!("CARGO_BIN_EXE_pool_ours"), false),
        (env!("CARGO_BIN_EXE_pool_ours_process"), true),
        (env!("CARGO_BIN_EXE_pool_procspawn"), true),
    ];
    for (program, expected) in programs {
        let metrics = measure_once(Path::new(program), ["payload", "--mib=3", SHORT]).unwrap();
        assert_eq!(metrics.contains_key("ns"), expected, "{program}");
    }
}

#[test]
fn pools_rest_and_are_asked_after_a_rest() {
    for program in [
        env!("CARGO_BIN_EXE_pool_floor"),
        env!("CARGO_BIN_EXE_pool_ours"),
        env!("CARGO_BIN_EXE_pool_ours_process"),
    ] {
        let pause = ["round-trip", "--pause=100", SHORT];
        assert!(measure_once(Path::new(program), pause).unwrap()["ns"] > 0.0, "{program}");
        // It may well be nothing at all.
        let idle = measure_once(Path::new(program), ["idle", "--milliseconds=50"]).unwrap();
        assert!((0.0..1e10).contains(&idle["cpu_ns_per_s"]), "{program} {idle:?}");
    }
}

#[test]
fn cpython_measures_or_is_said_not_to_be_installed() {
    let programs = [
        (env!("CARGO_BIN_EXE_pool_cpython_threads"), false),
        (env!("CARGO_BIN_EXE_pool_cpython_processes"), true),
    ];
    let rows: [(&[&str], bool); 7] = [
        (&["round-trip"], true),
        (&["round-trip", "--pause=100"], true),
        (&["submit"], true),
        (&["map"], true),
        (&["start"], true),
        (&["kill"], false),
        (&["payload", "--mib=3"], false),
    ];
    for (program, processes) in programs {
        for (row, of_all) in rows {
            let arguments = row.iter().copied().chain([SHORT]);
            let metrics = measure_once(Path::new(program), arguments).unwrap();
            let figures = metrics.get("ns").is_some_and(|&ns| ns.is_finite() && ns > 0.0);
            let missing = metrics.contains_key(NOT_INSTALLED);
            assert!(missing || figures == (of_all || processes), "{program} {row:?} {metrics:?}");
        }
        let idle = measure_once(Path::new(program), ["idle", "--milliseconds=50"]).unwrap();
        assert_eq!(idle.len(), 1, "{program} {idle:?}");
    }
}

#[test]
fn what_is_not_installed_is_said_by_the_programs_that_need_it() {
    let programs = [
        (env!("CARGO_BIN_EXE_file_fio"), "sequential"),
        (env!("CARGO_BIN_EXE_pool_cpython_threads"), "round-trip"),
    ];
    for (program, row) in programs {
        let output =
            std::process::Command::new(program).arg(row).env("PATH", "/nowhere").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(NOT_INSTALLED), "{program} {text}");
    }
}

#[test]
fn the_ways_to_ring_a_bell_all_wake() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bell"))
        .args(["--wakes=20", "--rounds=1"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        ["eventfd", "msg_ring", "send_msg_ring"].iter().all(|way| text.contains(way)),
        "{text}"
    );
}

#[test]
fn a_program_that_fails_is_an_error_with_its_name() {
    let error = measure_once(Path::new(env!("CARGO_BIN_EXE_exec_tokio")), ["no-such-row"]);
    assert!(format!("{:#}", error.unwrap_err()).contains("exec_tokio failed"));
}

#[test]
fn the_manifest_keeps_every_program_out_of_cargo_bench() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let named = manifest.lines().filter_map(|line| {
        line.trim().strip_prefix("{ name = \"")?.strip_suffix("\", bench = false },")
    });
    let named: BTreeSet<_> = named.map(str::to_owned).collect();
    let there: BTreeSet<_> = std::fs::read_dir(root.join("src/bin"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(named, there);
}
