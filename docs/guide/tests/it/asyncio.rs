//! The page that goes from Python's names to ours: every name of ours exists, every example that it
//! names is there, and no demo of the course is forgotten.

use std::collections::BTreeSet;
use std::fs;

use crate::declared::Declared;
use crate::markdown::{prose, root};
use crate::names::{cells, is_foreign, names, spans};

const PAGE: &str = include_str!("../../../ASYNCIO.md");

/// Words in code that are Rust's, std's or another crate's, or stand for something of the reader's.
const FREE: &[&str] = &[
    "Debug",
    "Err",
    "ExitStatus",
    "Instant",
    "IntoFuture",
    "Iterator",
    "Ok",
    "Option",
    "Poll",
    "Rc",
    "Ready",
    "RefCell",
    "Result",
    "Send",
    "Stdio",
    "StreamExt",
    "async",
    "await",
    "aws",
    "current",
    "fn",
    "io",
    "move",
    "must_use",
    "piped",
    "thread",
];

/// The rows of the tables that go from a Python name to ours: line, Python's cell, and ours.
fn rows() -> Vec<(usize, String, String)> {
    let (mut rows, mut inside) = (Vec::new(), false);
    for (number, line) in prose(PAGE) {
        match cells(line) {
            None => inside &= line.starts_with("|---"),
            Some(head) if head.last().is_some_and(|last| last == "shown by") => inside = true,
            Some(row) if inside => {
                rows.push((number, row[0].clone(), row[1].clone()));
            }
            Some(_) => {}
        }
    }
    rows
}

/// `call_soon` of `loop.call_soon(f, *args)`.
fn python_names(cell: &str) -> Vec<String> {
    let name = |span: &str| {
        let name = span.split(['(', ' ']).next().unwrap_or_default();
        name.rsplit('.').next().unwrap_or_default().to_owned()
    };
    spans(cell).into_iter().map(name).collect()
}

#[test]
fn every_name_of_ours_exists() {
    let declared = Declared::read();
    let (mut count, mut missing) = (0, Vec::new());
    let rows = rows();
    for (number, python, ours) in &rows {
        let mut looked_for: Vec<Vec<String>> = Vec::new();
        if ours.contains("same names") {
            looked_for.extend(python_names(python).into_iter().map(|name| vec![name]));
        }
        for name in spans(ours).into_iter().flat_map(names) {
            let [.., last] = &name.path[..] else { continue };
            let upper = last.starts_with(char::is_uppercase) && last.contains(char::is_lowercase);
            let short = last.chars().count() == 1 || last.chars().all(|c| !c.is_lowercase());
            if (name.certain || upper) && !short {
                looked_for.push(name.path);
            }
        }
        for path in looked_for {
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            let free = path.iter().all(|part| FREE.contains(part)) || is_foreign(&path);
            if free {
                continue;
            }
            count += 1;
            if !declared.has(&path) {
                missing.push(format!("docs/ASYNCIO.md:{number}: {}", path.join("::")));
            }
        }
    }
    assert!(rows.len() > 100 && count > 200, "{} rows, {count} names", rows.len());
    assert!(missing.is_empty(), "\n{}\n", missing.join("\n"));
}

/// `[label]: target` at the end of the page.
fn definitions() -> Vec<(&'static str, &'static str)> {
    let definition = |(_, line): (usize, &'static str)| {
        let (label, target) = line.strip_prefix('[')?.split_once("]: ")?;
        Some((label, target))
    };
    prose(PAGE).into_iter().filter_map(definition).collect()
}

/// The labels of the last column.
fn shown_by() -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for (_, line) in prose(PAGE) {
        let Some(row) = cells(line) else { continue };
        let last = row.last().expect("a row has cells");
        if last.starts_with('[') {
            labels.extend(last.split_whitespace().map(|it| it.trim_matches(['[', ']']).to_owned()));
        }
    }
    labels
}

#[test]
fn every_example_it_names_is_linked_and_no_link_is_left_over() {
    let labels = shown_by();
    let defined: BTreeSet<_> =
        definitions().into_iter().map(|(label, _)| label.to_owned()).collect();
    assert!(labels.len() > 100, "{labels:?}");
    assert_eq!(labels.difference(&defined).collect::<Vec<_>>(), [""; 0], "not linked");
    assert_eq!(defined.difference(&labels).collect::<Vec<_>>(), [""; 0], "not used");
}

#[test]
fn every_demo_of_the_course_has_its_row() {
    let targets: BTreeSet<_> = definitions().into_iter().map(|(_, target)| target).collect();
    let examples = root().join("crates/uring-loop/examples");
    let mut count = 0;
    for chapter in fs::read_dir(&examples).expect("readable") {
        let chapter = chapter.expect("readable");
        let name = chapter.file_name().into_string().expect("a plain name");
        if !chapter.path().is_dir() || !name.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        for demo in fs::read_dir(chapter.path()).expect("readable") {
            let demo = demo.expect("readable").file_name().into_string().expect("a plain name");
            let target = format!("../crates/uring-loop/examples/{name}/{demo}");
            count += usize::from(demo != "mod.rs");
            assert!(demo == "mod.rs" || targets.contains(&*target), "{target} has no row");
        }
    }
    assert!(count > 70, "only {count} demos");
}
