//! `compare` as its user meets it: tables, the record, and what it says when called wrongly.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// One round, on the machine as it is.
const AT_ONCE: [&str; 3] = ["--rounds=1", "--patience=0", "--retakes=0"];

/// Runs it in an empty directory and checks that it leaves nothing there.
fn compare(arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    let output = command.args(arguments).current_dir(&directory).output().unwrap();
    assert_eq!(directory.path().read_dir().unwrap().count(), 0, "{arguments:?} left something");
    output
}

/// What it prints and what it puts on record.
fn measured(arguments: &[&str]) -> (String, Value) {
    let directory = tempfile::tempdir().unwrap();
    // In a directory that is not there yet.
    let path: PathBuf = directory.path().join("deep/record.json");
    let record = format!("--json={}", path.display());
    let output = compare(&[arguments, &AT_ONCE, &[record.as_str()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = std::fs::read_to_string(path).unwrap();
    (String::from_utf8(output.stdout).unwrap(), serde_json::from_str(&json).unwrap())
}

#[test]
fn echo_servers_are_compared_and_put_on_record() {
    let short = ["--connections=5,9", "--seconds=0.05", "--warm-up=0.02"];
    let who = ["echo", "--servers=ours,floor,tokio"];
    let (text, record) = measured(&[&who[..], &short].concat());
    assert!(text.contains("echo, 9 connections") && text.contains("/ floor"), "{text}");
    let comparisons = record["comparisons"].as_array().unwrap();
    assert_eq!(comparisons.len(), 2);
    assert_eq!(comparisons[0]["samples"].as_array().unwrap().len(), 3);
    assert!(comparisons[1]["ratios"]["cpu_ns_per_request"]["ours / tokio"]["median"].is_f64());
    let environment = &record["environment"];
    assert!(environment["kernel"].is_string() && environment["command"].is_array());
}

#[test]
fn servers_of_http_are_compared() {
    let short = ["--connections=5", "--seconds=0.05", "--warm-up=0.02"];
    let (text, record) = measured(&[&["http", "--servers=ours,tokio"][..], &short].concat());
    assert!(text.contains("http, 5 connections, keep-alive"), "{text}");
    let ratios = &record["comparisons"][0]["ratios"]["cpu_ns_per_request"];
    assert!(ratios["ours / tokio"]["median"].is_f64(), "{record}");
}

#[test]
fn one_server_takes_part_twice_with_different_options() {
    let who = "--servers=floor,floor:few";
    let short = ["--connections=5", "--seconds=0.05", "--option=floor:few=--buffers=2"];
    let (text, _) = measured(&[&["echo", who][..], &short].concat());
    assert!(text.contains("| floor:few"), "{text}");
}

#[test]
fn idle_connections_cost_a_server_with_a_buffer_each_at_least_a_page() {
    let who = ["idle", "--servers=floor,ours,tokio", "--connections=300", "--size=16384"];
    let (_, record) = measured(&who);
    let bytes = &record["comparisons"][0]["summaries"]["bytes"];
    let of = |server: &str| bytes[server]["median"].as_f64().unwrap();
    // 16 KiB each were touched; neither ours nor the floor holds a buffer meanwhile.
    assert!(of("tokio") > 16000.0 && of("ours") < 4000.0 && of("floor") < 4000.0, "{bytes}");
}

#[test]
fn programs_without_a_row_are_not_in_its_table() {
    let (text, record) = measured(&["pools", "--rows=map", "--programs=ours,crossbeam"]);
    assert!(text.contains("| ours") && !text.contains("crossbeam"), "{text}");
    assert_eq!(record["comparisons"][0]["subjects"].as_array().unwrap().len(), 2);
}

#[test]
fn executors_and_messages_are_compared_in_the_rows_asked_for() {
    let (text, record) = measured(&["exec", "--rows=timeout-ready,spawn", "--programs=ours,tokio"]);
    assert!(text.contains("/ tokio") && !text.contains("yield with"), "{text}");
    assert_eq!(record["comparisons"].as_array().unwrap().len(), 2);
    let (text, _) = measured(&["udp", "--rows=receive", "--programs=ours,tokio"]);
    assert!(text.contains("a flood of 64 B") && text.contains("lost %"), "{text}");
    let (text, _) = measured(&["messages", "--rows=round-trip", "--programs=ours_spin,futex"]);
    assert!(text.contains("| ours_spin") && text.contains("/ futex"), "{text}");
}

#[test]
fn what_cannot_be_measured_is_refused_at_once_and_in_words() {
    let cases: [(&[&str], &str); 15] = [
        (&["pools", "--programs=nope"], "no program pool_nope; built are cpython_processes"),
        (&["pools", "--programs=ours,ours"], "ours is named twice"),
        (&["pools", "--against=echo"], "--against echo: it takes no part"),
        (&["exec", "--rows=spawn,nope"], "no row nope; there are spawn, spawn-many"),
        (&["exec", "--core=4096"], "--core 4096: this process may use only the cores"),
        (&["exec", "--rounds=0"], "at least 1"),
        (&["exec", "--patience=-1"], "seconds from 0"),
        (&["exec", "--json=/proc/no/record"], "writing the record /proc/no/record"),
        (&["messages", "--core=1", "--other-core=1"], "both 1"),
        (&["udp", "--core=1", "--other-core=1"], "both 1"),
        (&["echo", "--connections=0"], "at least 1"),
        (&["echo", "--seconds=0"], "--seconds is at least 0.01"),
        (&["echo", "--option=nobody=--x"], "NAME=OPTION is meant"),
        (&["idle", "--connections=1000000000"], "limit of 1000000200 open files"),
        (&["idle", "--size=100000"], "--size is at most 65536"),
    ];
    for (arguments, said) in cases {
        let output = compare(&[arguments, &AT_ONCE[1..]].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(said), "{arguments:?}: {text}");
        assert!(!text.contains("backtrace"), "{text}");
    }
}

#[test]
fn processes_are_compared_with_processes_and_floors() {
    let who = "--programs=ours,ours_process,procspawn,floor";
    let (text, record) = measured(&["pools", "--rows=kill,idle", who]);
    assert!(text.contains("| ours_process") && text.contains("/ procspawn"), "{text}");
    assert!(text.contains("CPU us per s"), "{text}");
    // A thread cannot be killed; all pools can be idle.
    let metric = |row: usize, metric: &str, of: &str| {
        record["comparisons"][row]["summaries"][metric][of]["median"].as_f64()
    };
    assert!(metric(0, "ns", "procspawn").is_some() && metric(0, "ns", "ours").is_none());
    assert!(metric(1, "cpu_ns_per_s", "ours").is_some(), "{text}");
}

#[test]
fn help_names_every_row() {
    let rows = [
        ("exec", "timeout-ready"),
        ("udp", "answer-32-large"),
        ("lines", "1024-unix"),
        ("children", "output"),
        ("messages", "batched"),
        ("pools", "map"),
    ];
    for (kind, row) in rows {
        let text = String::from_utf8(compare(&[kind, "--help"]).stdout).unwrap();
        assert!(text.contains(row), "{text}");
    }
    let text = String::from_utf8(compare(&["--help"]).stdout).unwrap();
    assert!(text.contains("cargo build --profile bench -p benches --bins"), "{text}");
}
