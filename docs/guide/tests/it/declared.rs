//! What the crates declare for all to use, read off their sources line by line: enough to see that
//! a name in the docs is there, and where. No parser: rustfmt has put every declaration on a line
//! of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::markdown::root;

/// The public names of all crates, each with the files that declare it.
pub(crate) struct Declared {
    names: BTreeMap<String, Vec<PathBuf>>,
    /// `pub type NAME = ANOTHER`.
    aliases: BTreeMap<String, String>,
    texts: BTreeMap<PathBuf, String>,
}

impl Declared {
    pub(crate) fn read() -> Self {
        let (mut names, mut texts) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::new());
        for file in sources() {
            let text = fs::read_to_string(&file).expect("readable");
            for name in of_text(&text) {
                names.entry(name).or_default().push(file.clone());
            }
            texts.insert(file, text);
        }
        let aliases = texts.values().flat_map(|text| text.lines()).filter_map(alias).collect();
        Declared { names, aliases, texts }
    }

    /// Whether a path as docs write it (`Task::cancel`, `net::resolve`, `shard::Peers`) is there.
    pub(crate) fn has(&self, path: &[&str]) -> bool {
        match path {
            [] => false,
            [name] => self.names.contains_key(*name) || is_crate(name),
            [.., owner, name] => {
                let files = self.names.get(*name).map_or(&[][..], Vec::as_slice);
                let owned = files.iter().any(|file| self.is_of(file, self.meant_by(owner)));
                let found = owned || self.is_shown_in(owner, name);
                found && self.has(&path[..path.len() - 1])
            }
        }
    }

    /// The type that an alias stands for, or the name itself.
    fn meant_by<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(name).map_or(name, String::as_str)
    }

    /// Whether the root of a crate shows `name` in a module that is nothing but that:
    /// `pub mod op { pub use …; }`.
    fn is_shown_in(&self, module: &str, name: &str) -> bool {
        let begin = format!("pub mod {module} {{");
        let roots = self.texts.values().filter_map(|text| text.split_once(&begin));
        roots
            .filter_map(|(_, rest)| rest.split_once("\n}"))
            .any(|(inside, _)| has_word(inside, name))
    }

    /// Whether what a file declares can belong to `owner`: a crate, a module, or a type.
    fn is_of(&self, file: &Path, owner: &str) -> bool {
        let lies_in = |part: &str| {
            let names = file.iter().map(|name| name.to_string_lossy());
            names.map(|name| name.trim_end_matches(".rs").replace('-', "_")).any(|n| n == part)
        };
        if owner.starts_with(char::is_lowercase) {
            return lies_in(owner);
        }
        // The methods that several types share are written in a macro.
        self.texts[file].lines().map(str::trim_start).any(|line| {
            let begins = ["impl", "pub struct ", "pub enum ", "pub trait ", "macro_rules!"];
            let head = begins.iter().any(|begin| line.starts_with(begin));
            head && (line.starts_with("macro_rules!") || has_word(line, owner))
        })
    }
}

fn alias(line: &str) -> Option<(String, String)> {
    let (name, meant) = line.strip_prefix("pub type ")?.split_once(" = ")?;
    Some((first_word(name)?, first_word(meant)?))
}

fn is_crate(name: &str) -> bool {
    ["uring_loop", "shard", "pool", "pool_nats", "tls"].contains(&name)
}

fn sources() -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for krate in fs::read_dir(root().join("crates")).expect("readable") {
        folders.push(krate.expect("readable").path().join("src"));
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// What stands open: a block whose lines without `pub` are public too.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    Trait,
    Enum,
}

fn of_text(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    for line in text.lines() {
        let code = line.trim_start();
        let depth = line.len() - code.len();
        if open.is_some_and(|(at, _)| at == depth && code.starts_with('}')) {
            open = None;
        }
        let variant = open == Some((depth.wrapping_sub(4), Block::Enum));
        if variant && code.starts_with(char::is_uppercase) {
            found.extend(first_word(code));
            continue;
        }
        let method = open == Some((depth.wrapping_sub(4), Block::Trait)) && is_function(code);
        let exported = code.starts_with("macro_rules! ");
        if method || exported || code.starts_with("pub ") {
            found.extend(declared(code));
        }
        if let Some(block) = opens(code) {
            open = Some((depth, block));
        }
    }
    found
}

fn is_function(code: &str) -> bool {
    code.starts_with("fn ") || code.starts_with("async fn ")
}

fn opens(code: &str) -> Option<Block> {
    let code = code.strip_prefix("pub ").filter(|code| code.ends_with('{'))?;
    if code.starts_with("trait ") || code.starts_with("unsafe trait ") {
        return Some(Block::Trait);
    }
    code.starts_with("enum ").then_some(Block::Enum)
}

/// The name that a line declares: an item, a method, or a field.
fn declared(code: &str) -> Option<String> {
    let mut words = code.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let item = ["fn", "struct", "enum", "trait", "type", "mod", "static", "macro_rules!"];
        let constant = word == "const" && words.peek() != Some(&"fn");
        if item.contains(&word) || constant {
            return words.next().and_then(first_word);
        }
        if !["pub", "async", "const", "unsafe"].contains(&word) {
            return word.strip_suffix(':').and_then(first_word);
        }
    }
    None
}

fn first_word(code: &str) -> Option<String> {
    let word: String = code.chars().take_while(|c| is_word(*c)).collect();
    (!word.is_empty()).then_some(word)
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[test]
fn declarations_are_found_and_private_ones_are_not() {
    let text = "\
pub struct Task<T> {
    pub name: String,
    secret: u32,
}
pub enum Wait {
    All,
    First(u32),
}
pub trait Source {
    fn next(&mut self);
    const LEAST: u32;
}
impl<T> Task<T> {
    pub const fn id(&self) -> u32 {}
    pub async fn ended(&self) {}
    pub(crate) fn inner(&self) {}
    fn hidden(&self) {}
}
pub const MOST: u32 = 1;
macro_rules! gather {
";
    let expected =
        ["Task", "name", "Wait", "All", "First", "Source", "next", "id", "ended", "MOST", "gather"];
    assert_eq!(of_text(text), expected);
}

#[test]
fn a_name_is_looked_for_where_the_docs_say() {
    let declared = Declared::read();
    for path in
        [&["Task", "cancel"][..], &["net", "resolve"], &["op", "Driver"], &["Queue", "bounded"]]
    {
        assert!(declared.has(path), "{path:?}");
    }
    for path in [&["Task", "freeze"][..], &["pool", "resolve"], &["Tisk"], &["Tisk", "cancel"]] {
        assert!(!declared.has(path), "{path:?}");
    }
}
