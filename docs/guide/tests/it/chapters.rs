//! Every chapter is compiled, and named in the contents.

use std::fs;
use std::path::Path;

/// The files of the guide, without the contents.
fn chapters() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = fs::read_dir(folder).expect("it is there").map(|entry| {
        let name = entry.expect("readable").file_name();
        name.into_string().expect("a plain name")
    });
    let mut names: Vec<_> =
        names.filter(|name| name.ends_with(".md") && name != "README.md").collect();
    names.sort();
    assert!(names.len() > 5, "{names:?}");
    names
}

#[test]
fn every_chapter_is_compiled() {
    let library = include_str!("../../src/lib.rs");
    for chapter in chapters() {
        let named = format!(" = \"../{chapter}\";");
        assert!(library.contains(&named), "src/lib.rs does not name {chapter}");
    }
}

#[test]
fn every_chapter_is_in_the_contents() {
    let contents = include_str!("../../README.md");
    for chapter in chapters() {
        assert!(contents.contains(&format!("]({chapter})")), "README.md does not name {chapter}");
    }
}
