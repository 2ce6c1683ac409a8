//! The course in `examples/`: every demo says what its transcript in `tests/golden/` says, at the
//! times it says, on a clock that jumps.
//!
//! `BLESS=1 cargo test -p uring-loop --test it transcripts` writes the transcripts anew. What they
//! are made of, and what is put into a form that can be compared, is in `tests/golden/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::course::{self, Chapter, Demo};
use crate::support::in_child;

#[path = "../../examples/02_callbacks/mod.rs"]
mod callbacks;
#[path = "../../examples/06_cancellation/mod.rs"]
mod cancellation;
#[path = "../../examples/14_children/mod.rs"]
mod children;
#[path = "../../examples/03_coroutines/mod.rs"]
mod coroutines;
#[path = "../../examples/01_event_loop/mod.rs"]
mod event_loop;
#[path = "../../examples/07_gather/mod.rs"]
mod gather;
#[path = "../../examples/13_groups_and_channels/mod.rs"]
mod groups_and_channels;
#[path = "../../examples/10_locks/mod.rs"]
mod locks;
#[path = "../../examples/04_promises/mod.rs"]
mod promises;
#[path = "../../examples/11_queues/mod.rs"]
mod queues;
#[path = "../../examples/15_servers/mod.rs"]
mod servers;
#[path = "../../examples/05_tasks/mod.rs"]
mod tasks;
#[path = "../../examples/12_threads_and_signals/mod.rs"]
mod threads_and_signals;
#[path = "../../examples/09_timeouts/mod.rs"]
mod timeouts;
#[path = "../../examples/08_wait/mod.rs"]
mod wait;

/// All chapters, in order, by the names of their examples.
const CHAPTERS: &[(&str, &Chapter)] = &[
    ("01_event_loop", &event_loop::CHAPTER),
    ("02_callbacks", &callbacks::CHAPTER),
    ("03_coroutines", &coroutines::CHAPTER),
    ("04_promises", &promises::CHAPTER),
    ("05_tasks", &tasks::CHAPTER),
    ("06_cancellation", &cancellation::CHAPTER),
    ("07_gather", &gather::CHAPTER),
    ("08_wait", &wait::CHAPTER),
    ("09_timeouts", &timeouts::CHAPTER),
    ("10_locks", &locks::CHAPTER),
    ("11_queues", &queues::CHAPTER),
    ("12_threads_and_signals", &threads_and_signals::CHAPTER),
    ("13_groups_and_channels", &groups_and_channels::CHAPTER),
    ("14_children", &children::CHAPTER),
    ("15_servers", &servers::CHAPTER),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn golden(demo: &Demo) -> PathBuf {
    folder("tests/golden").join(demo.name).with_extension("txt")
}

/// In a process of its own: there are demos with threads, and one that presses Ctrl+C.
#[test]
fn every_demo_says_what_its_transcript_says() {
    in_child("transcripts::every_demo_says_what_its_transcript_says", || {
        let demos = CHAPTERS.iter().flat_map(|(_, chapter)| chapter.demos);
        let differences: Vec<_> = demos.filter_map(difference).collect();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    });
}

/// How a demo differs from its transcript, line by line.
fn difference(demo: &Demo) -> Option<String> {
    let said = course::transcript(demo).unwrap_or_else(|error| format!("it failed: {error}\n"));
    let said = comparable(&said);
    if std::env::var_os("BLESS").is_some() {
        fs::write(golden(demo), &said).expect("the folder is there");
    }
    let expected = fs::read_to_string(golden(demo)).unwrap_or_default();
    if said == expected {
        return None;
    }
    let same = said.lines().zip(expected.lines()).take_while(|(a, b)| a == b).count();
    let from = |text: &str| text.split_inclusive('\n').skip(same).collect::<String>();
    let (line, name) = (same + 1, demo.name);
    Some(format!(
        "{name} differs from line {line} on. It said:\n{}instead of:\n{}",
        from(&said),
        from(&expected)
    ))
}

/// The transcript with the numbers of threads counted from the first, places in the code without
/// folder, line, column and flags, dates without their digits, and ports without their numbers.
fn comparable(transcript: &str) -> String {
    let mut threads = Vec::new();
    let mut text = String::new();
    for line in transcript.lines() {
        let line = without_places(&with_threads_counted(line, &mut threads));
        text += &without_port(&without_date(&line));
        text.push('\n');
    }
    text
}

/// `ThreadId(17)` becomes `ThreadId(#1)` if it is the first that is seen.
fn with_threads_counted(line: &str, seen: &mut Vec<String>) -> String {
    const MARK: &str = "ThreadId(";
    let mut pieces = line.split(MARK);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (id, rest) = piece.split_once(')').expect("a thread's number ends");
        let number = seen.iter().position(|known| known == id).unwrap_or_else(|| {
            seen.push(id.to_owned());
            seen.len() - 1
        });
        text += &format!("{MARK}#{}){rest}", number + 1);
    }
    text
}

/// ` at some/folder/ex10.rs:14:16 [scheduled handle]` becomes ` at ex10.rs`.
fn without_places(line: &str) -> String {
    let Some((before, place)) = line.split_once(" at ") else { return line.to_owned() };
    let Some((path, rest)) = place.split_once(".rs:") else { return line.to_owned() };
    let file = path.rsplit('/').next().unwrap_or(path);
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
    let (words, rest) = match rest.split_once(" [") {
        Some((words, flags)) => (words, flags.split_once(']').map_or("", |(_, rest)| rest)),
        None => (rest, ""),
    };
    format!("{before} at {file}.rs{words}{rest}")
}

/// `Current date: 2026-01-02 …` has zeroes for digits behind these words.
fn without_date(line: &str) -> String {
    const MARK: &str = "Current date: ";
    let Some((before, date)) = line.split_once(MARK) else { return line.to_owned() };
    let zeroes = |c: char| if c.is_ascii_digit() { '0' } else { c };
    format!("{before}{MARK}{}", date.chars().map(zeroes).collect::<String>())
}

/// `EchoServer_127.0.0.1_40000: …` and `… port 40000` have `PORT` for the number.
fn without_port(line: &str) -> String {
    let port_of = |mark: &str| {
        let (before, rest) = line.split_once(mark)?;
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        Some(format!("{before}{mark}PORT{rest}"))
    };
    port_of("EchoServer_127.0.0.1_")
        .or_else(|| port_of(" port "))
        .unwrap_or_else(|| line.to_owned())
}

#[test]
fn no_chapter_is_forgotten() {
    let entries = fs::read_dir(folder("examples")).expect("the folder is there");
    let names = entries.map(|entry| entry.expect("it can be read").file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    let numbered = |name: &String| name.starts_with(|c: char| c.is_ascii_digit());
    let programs: BTreeSet<_> =
        names.filter(numbered).map(|name| name.trim_end_matches(".rs").to_owned()).collect();
    let tested: BTreeSet<_> = CHAPTERS.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(programs, tested);
}

#[test]
fn demos_and_transcripts_belong_together_one_to_one() {
    let demos = CHAPTERS.iter().flat_map(|(_, chapter)| chapter.demos);
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for demo in demos {
        *left.entry(demo.name).or_default() += 1;
    }
    assert!(left.values().all(|count| *count == 1), "two demos have one name: {left:?}");
    let entries = fs::read_dir(folder("tests/golden")).expect("the folder is there");
    for entry in entries {
        let path = entry.expect("it can be read").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a plain name");
            assert!(left.remove(name).is_some(), "{name}.txt is the transcript of no demo");
        }
    }
    assert!(left.is_empty(), "these have no transcript: {left:?}");
}

#[test]
fn every_demo_is_in_the_table_of_contents() {
    let readme = fs::read_to_string(folder("examples/README.md")).expect("it is there");
    let demos = CHAPTERS.iter().flat_map(|(_, chapter)| chapter.demos);
    let missing: Vec<_> =
        demos.map(|demo| demo.name).filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "examples/README.md does not name {missing:?}");
}

#[test]
fn what_is_not_promised_is_put_into_a_form_that_can_be_compared() {
    let said = "a <Task at x/y/ex10.rs:14:16 cancelling=1 [new]>\nThreadId(7), ThreadId(9)\n";
    let expected = "a <Task at ex10.rs cancelling=1>\nThreadId(#1), ThreadId(#2)\n";
    assert_eq!(comparable(said), expected);
    assert_eq!(comparable("ThreadId(9) ThreadId(9)\n"), "ThreadId(#1) ThreadId(#1)\n");
    assert_eq!(comparable("Current date: 2026-11-21\n"), "Current date: 0000-00-00\n");
    let said = "main: on localhost port 40000\nEchoServer_127.0.0.1_40001: sent b'1'\n";
    let expected = "main: on localhost port PORT\nEchoServer_127.0.0.1_PORT: sent b'1'\n";
    assert_eq!(comparable(said), expected);
}
