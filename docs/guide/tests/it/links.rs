//! Every link between files of the workspace leads to a file, and to a heading in it; every example
//! that a page has one run is there.

use std::fs;
use std::path::Path;

use crate::markdown::{anchors, links, pages, root};

/// What is wrong with a link of the page at `page`, if anything.
fn broken(page: &Path, text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = page.parent().expect("a file lies in a folder").join(file);
    if !file.is_empty() && !path.exists() {
        return Some(format!("there is no {file}"));
    }
    if anchor.is_empty() {
        return None;
    }
    let there = match file {
        "" => anchors(text),
        _ if file.ends_with(".md") => anchors(&fs::read_to_string(path).expect("readable")),
        _ => return None,
    };
    (!there.iter().any(|one| one == anchor)).then(|| format!("no heading makes #{anchor}"))
}

#[test]
fn every_link_leads_somewhere() {
    let (mut count, mut wrong) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).expect("readable");
        for (line, target) in links(&text) {
            count += 1;
            if let Some(what) = broken(&page, &text, &target) {
                let page = page.strip_prefix(root()).expect("it lies there").display();
                wrong.push(format!("{page}:{line}: {what}"));
            }
        }
    }
    assert!(count > 100, "only {count} links were looked at");
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The examples that a page names, as `--example NAME`.
fn examples(text: &str) -> Vec<String> {
    let behind = text.match_indices("--example").map(|(at, word)| &text[at + word.len()..]);
    let behind = behind.filter(|rest| rest.starts_with(char::is_whitespace));
    // The name may stand in the next line.
    let name = |rest: &str| {
        let rest = rest.trim_start();
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    behind.map(name).filter(|name| !name.is_empty() && name != "NAME").collect()
}

#[test]
fn every_example_that_a_page_has_one_run_exists() {
    let crates = fs::read_dir(root().join("crates")).expect("readable");
    let crates: Vec<_> = crates.map(|entry| entry.expect("readable").path()).collect();
    let is_there = |name: &str| {
        let files = [format!("examples/{name}.rs"), format!("examples/{name}/main.rs")];
        crates.iter().any(|folder| files.iter().any(|file| folder.join(file).is_file()))
    };
    let mut count = 0;
    for page in pages() {
        for name in examples(&fs::read_to_string(&page).expect("readable")) {
            count += 1;
            assert!(is_there(&name), "{}: there is no example {name}", page.display());
        }
    }
    assert!(count > 20, "only {count} examples were looked at");
}

#[test]
fn examples_are_found_over_the_end_of_a_line() {
    let text =
        "`cargo run --example\nmillion`, `--example NAME`, `--examples`, `--example 05_tasks`";
    assert_eq!(examples(text), ["million", "05_tasks"]);
}

#[test]
fn a_link_to_nowhere_is_found() {
    let page = root().join("docs/guide/README.md");
    let text = "# Here\n";
    assert_eq!(broken(&page, text, "#here"), None);
    assert_eq!(broken(&page, text, "../HACKING.md#commands"), None);
    assert_eq!(broken(&page, text, "https://example.org/x.md"), None);
    assert!(broken(&page, text, "#there").is_some());
    assert!(broken(&page, text, "missing.md").is_some());
    assert!(broken(&page, text, "../HACKING.md#missing").is_some());
}
