//! Just enough of Markdown: prose without code, links, headings and the anchors that GitHub makes
//! of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR"));
    guide.ancestors().nth(2).expect("docs/guide lies two folders down").to_owned()
}

/// Every page of the workspace, without what was built.
pub(crate) fn pages() -> Vec<PathBuf> {
    let (mut pages, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            let name = path.file_name().expect("it has one").to_string_lossy();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// The lines outside of fenced blocks, with their number.
pub(crate) fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// A line with the insides of its code spans blanked.
fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { part } else { "x" }).collect()
}

/// Where the links of a page go, with the line: `[text](target)` and `[label]: target`.
pub(crate) fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let prose = prose(text);
    for (at, (number, line)) in prose.iter().enumerate() {
        // The text of a link may be broken over two lines.
        let next = prose.get(at + 1).filter(|(next, _)| next - number == 1);
        let line = without_code(line);
        if let Some((label, target)) = line.split_once("]: ")
            && label.starts_with('[')
            && !label.contains(']')
        {
            found.push((*number, target.trim().to_owned()));
            continue;
        }
        for (open, _) in line.match_indices("](") {
            let rest = &line[open + 2..];
            match rest.split_once(')') {
                Some((target, _)) => found.push((*number, target.to_owned())),
                None => panic!("line {number}: the target of a link is broken off: {next:?}"),
            }
        }
    }
    found
}

/// The anchors of a page's headings, as GitHub makes them: lower case, spaces become hyphens,
/// punctuation goes, and what is there already gets a number.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text).into_iter().filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        (1..=6).contains(&level).then(|| title.strip_prefix(' ')).flatten()
    });
    let mut anchors = Vec::new();
    for heading in headings {
        // Of a link in a heading, its text counts.
        let visible: String = heading.split("](").enumerate().fold(String::new(), |text, next| {
            let part =
                if next.0 == 0 { next.1 } else { next.1.split_once(')').map_or("", |p| p.1) };
            text + part
        });
        let kept = visible.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let slug: String = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let times = seen.entry(slug.clone()).or_default();
        anchors.push(if *times == 0 { slug } else { format!("{slug}-{times}") });
        *times += 1;
    }
    anchors
}

#[test]
fn links_are_found_outside_of_code_alone() {
    let text = "a [b](c.md) `[d](e)`\n```text\n[f](g)\n```\n[h]: i.md\n[j](k#l) and [m](n)\n";
    let found: Vec<_> = links(text);
    let expected = [(1, "c.md"), (5, "i.md"), (6, "k#l"), (6, "n")];
    assert_eq!(found, expected.map(|(line, target)| (line, target.to_owned())));
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# Coming from asyncio\n## Or something else?\n### `a::b`, twice\n\
                ## Or something else\n#no heading\n```sh\n# a comment\n```\n\
                ## [0.1.0] - unreleased\n";
    let expected = [
        "coming-from-asyncio",
        "or-something-else",
        "ab-twice",
        "or-something-else-1",
        "010---unreleased",
    ];
    assert_eq!(anchors(text), expected);
}
