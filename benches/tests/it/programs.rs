//! Programs that measure themselves once.

use std::path::Path;

use benches::process::measure_once;

#[test]
fn every_executor_measures_every_row() {
    let programs = [
        env!("CARGO_BIN_EXE_exec_compio"),
        env!("CARGO_BIN_EXE_exec_glommio"),
        env!("CARGO_BIN_EXE_exec_monoio"),
        env!("CARGO_BIN_EXE_exec_tokio"),
        env!("CARGO_BIN_EXE_exec_tokio_local"),
    ];
    for program in programs {
        for row in ["spawn", "spawn-many", "yield", "timeout"] {
            let metrics = measure_once(Path::new(program), [row]).unwrap();
            assert!(metrics["ns"] > 0.0, "{program} {row} {metrics:?}");
        }
        let metrics = measure_once(Path::new(program), ["sleep", "--tasks=5000"]).unwrap();
        assert!(metrics["bytes"] > 50.0, "{program} {metrics:?}");
    }
}

#[test]
fn messages_pass_in_both_rows_or_the_row_is_left_out() {
    let both = [env!("CARGO_BIN_EXE_msg_crossbeam"), env!("CARGO_BIN_EXE_msg_tokio")];
    let one = [env!("CARGO_BIN_EXE_msg_eventfd"), env!("CARGO_BIN_EXE_msg_pipe")];
    for program in both.iter().chain(&one) {
        let there_and_back = measure_once(Path::new(program), ["round-trip"]).unwrap();
        assert!(there_and_back["ns"] > 0.0, "{program}");
        let stream = measure_once(Path::new(program), ["one-way"]).unwrap();
        assert_eq!(stream.contains_key("ns"), both.contains(program), "{program}");
    }
}

#[test]
fn pools_run_all_their_tasks() {
    let programs = [
        env!("CARGO_BIN_EXE_pool_crossbeam"),
        env!("CARGO_BIN_EXE_pool_rayon"),
        env!("CARGO_BIN_EXE_pool_tokio"),
    ];
    for program in programs {
        for row in ["round-trip", "submit"] {
            let metrics = measure_once(Path::new(program), [row]).unwrap();
            assert!(metrics["ns"] > 0.0, "{program} {row}");
        }
    }
}

#[test]
fn a_program_that_fails_is_an_error_with_its_name() {
    let error = measure_once(Path::new(env!("CARGO_BIN_EXE_exec_tokio")), ["no-such-row"]);
    assert!(format!("{:#}", error.unwrap_err()).contains("exec_tokio failed"));
}
