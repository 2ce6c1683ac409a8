//! Names that docs write in code spans: which of them are ours, and whether they exist.

use std::fs;

use crate::declared::{Declared, is_word};
use crate::markdown::{pages, prose, root};

/// A name in a code span.
#[derive(Debug, PartialEq)]
pub(crate) struct Name {
    pub(crate) path: Vec<String>,
    /// It is called, is a macro, follows a dot, or is all there is.
    pub(crate) certain: bool,
}

/// The code spans of a line.
pub(crate) fn spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// The cells of a row of a table; a bar within code is written `\|`.
pub(crate) fn cells(line: &str) -> Option<Vec<String>> {
    let row = line.strip_prefix("| ")?.replace("\\|", "\u{0}");
    let row = row.strip_suffix('|')?;
    Some(row.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect())
}

/// The names in a code span: paths, with `{a, b}` taken apart.
pub(crate) fn names(span: &str) -> Vec<Name> {
    let chars: Vec<char> = without_strings(span).chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if !is_word(chars[at]) || chars[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let dotted = at > 0 && chars[at - 1] == '.';
        let start = at;
        let mut path = vec![word(&chars, &mut at)];
        let mut group = Vec::new();
        while chars[at..].starts_with(&[':', ':']) {
            at += 2;
            match chars.get(at) {
                Some('{') => group = braces(&chars, &mut at),
                Some(c) if is_word(*c) => path.push(word(&chars, &mut at)),
                _ => break,
            }
        }
        let called = matches!(chars.get(at), Some('(' | '!'));
        let whole = start == 0 && at == chars.len();
        let certain = called || dotted || whole || path.len() > 1 || !group.is_empty();
        if group.is_empty() {
            found.push(Name { path, certain });
            continue;
        }
        for last in group {
            let path = path.iter().cloned().chain([last]).collect();
            found.push(Name { path, certain });
        }
    }
    found
}

fn word(chars: &[char], at: &mut usize) -> String {
    let word: String = chars[*at..].iter().take_while(|c| is_word(**c)).collect();
    *at += word.chars().count();
    word
}

fn braces(chars: &[char], at: &mut usize) -> Vec<String> {
    let inside: String = chars[*at + 1..].iter().take_while(|c| **c != '}').collect();
    *at += inside.chars().count() + 2;
    let listed = inside.split(',').map(|one| one.trim().to_owned());
    listed.filter(|one| !one.is_empty() && one.chars().all(is_word)).collect()
}

fn without_strings(span: &str) -> String {
    span.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

/// Whether a path is of another crate, or of std as one writes it after a `use`.
pub(crate) fn is_foreign(path: &[&str]) -> bool {
    let crates = ["std", "tokio", "futures_util"];
    let of_std = ["mem", "thread", "Duration", "Path"];
    let first = path[0];
    crates.contains(&first) || of_std.contains(&first) || path == ["io", "Result"]
}

#[test]
fn paths_in_the_guide_exist() {
    let declared = Declared::read();
    let (mut count, mut missing) = (0, Vec::new());
    for page in pages() {
        let name = page.strip_prefix(root()).expect("it lies there").display().to_string();
        if !(name.starts_with("docs/guide/") || name == "README.md") {
            continue;
        }
        // Their first column has other people's names.
        let translates = name.contains("/from-");
        let text = fs::read_to_string(&page).expect("readable");
        for (number, line) in prose(&text) {
            let line = match cells(line) {
                Some(cells) if translates => cells[1..].join("|"),
                _ => line.to_owned(),
            };
            for found in spans(&line).into_iter().flat_map(names) {
                let path: Vec<_> = found.path.iter().map(String::as_str).collect();
                if path.len() < 2 || is_foreign(&path) {
                    continue;
                }
                count += 1;
                if !declared.has(&path) {
                    missing.push(format!("{name}:{number}: {}", path.join("::")));
                }
            }
        }
    }
    assert!(count > 80, "only {count} paths were looked at");
    assert!(missing.is_empty(), "\n{}\n", missing.join("\n"));
}

#[test]
fn names_are_taken_out_of_code() {
    let found = |span: &str| -> Vec<(String, bool)> {
        names(span).into_iter().map(|name| (name.path.join("::"), name.certain)).collect()
    };
    let named = |path: &str, certain| (path.to_owned(), certain);
    assert_eq!(found("Task::cancel"), [named("Task::cancel", true)]);
    assert_eq!(found("net::{A, b, …}"), [named("net::A", true), named("net::b", true)]);
    assert_eq!(
        found("spawn(KEY.scope(\"x\", c))"),
        [named("spawn", true), named("KEY", false), named("scope", true), named("c", false)]
    );
    assert_eq!(found("gather!(..items)"), [named("gather", true), named("items", true)]);
}

#[test]
fn cells_may_hold_bars() {
    let expected = ["`a(\\|x\\|)`", "b", ""].map(|cell| cell.replace("\\|", "|"));
    assert_eq!(cells("| `a(\\|x\\|)` | b | |").expect("a row"), expected);
    assert_eq!(cells("no row"), None);
}
