//! Every link between files of the workspace leads to a file, and to a heading in it.

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
