//! One source file, taken apart just enough for the rules: what is code and what is comment, which
//! lines are tests, where functions begin and end.
//!
//! Not a parser: it knows comments, strings and brackets, and trusts rustfmt for the rest. That is
//! why it needs no dependency and reads the whole workspace in an instant.

use std::ops::RangeInclusive;

use super::lex::{self, Views};

/// What a file is for; some rules hold in the product alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Product,
    Example,
    /// Tests and benchmarks.
    Test,
}

/// A file and what was found in it.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) role: Role,
    text: String,
    views: Views,
    /// For each line, whether it is compiled for tests only.
    tests: Vec<bool>,
}

/// A function with a body.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// From the line with `fn` to the closing brace; the first line is 1.
    pub(crate) lines: RangeInclusive<usize>,
}

impl Function {
    pub(crate) fn length(&self) -> usize {
        self.lines.end() - self.lines.start() + 1
    }
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let views = lex::split(text);
        let role = role(path);
        let tests = test_lines(&views.code, role);
        Self { path: path.to_owned(), role, text: text.to_owned(), views, tests }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text with comments and the insides of strings blanked, character for character.
    pub(crate) fn code(&self) -> &str {
        &self.views.code
    }

    /// The text with all but its comments blanked.
    pub(crate) fn comments(&self) -> &str {
        &self.views.comments
    }

    /// Lines of code with their number, without those compiled for tests only.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let all = self.code().lines().enumerate().map(|(at, line)| (at + 1, line));
        all.filter(|(number, _)| !self.is_test(*number))
    }

    /// Whether a line (the first is 1) is compiled for tests only.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.tests.get(line - 1).copied().unwrap_or_default()
    }

    /// Every function with a body, in order of appearance; nested ones count for themselves too.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let code: Vec<char> = self.code().chars().collect();
        let mut found = Vec::new();
        for at in words(&code, "fn") {
            let name: String = code[at + 2..]
                .iter()
                .skip_while(|c| c.is_whitespace())
                .take_while(|c| is_word(**c))
                .collect();
            // `fn(u8)` is a type.
            if name.is_empty() {
                continue;
            }
            if let Some(open) = body(&code, at) {
                let lines = line_of(&code, at)..=line_of(&code, closing(&code, open));
                found.push(Function { name, lines });
            }
        }
        found
    }

    /// The names in `mutant!("NAME")`, in order of appearance.
    pub(crate) fn mutants(&self) -> Vec<String> {
        let code: Vec<char> = self.code().chars().collect();
        let text: Vec<char> = self.text.chars().collect();
        let mut found = Vec::new();
        for at in words(&code, "mutant") {
            let mut rest = (at + "mutant".len()..code.len()).filter(|i| !code[*i].is_whitespace());
            let call = ['!', '('].iter().all(|c| rest.next().is_some_and(|i| code[i] == *c));
            if let (true, Some(quote)) = (call, rest.next().filter(|i| code[*i] == '"')) {
                found.push(text[quote + 1..].iter().take_while(|c| **c != '"').collect());
            }
        }
        found
    }

    /// The files that `#[path = "…"]` names, from the root of the workspace.
    pub(crate) fn path_attributes(&self) -> Vec<String> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let lines = self.code().lines().zip(self.text.lines());
        lines
            .filter(|(code, _)| code.trim_start().starts_with("#[path"))
            .filter_map(|(_, text)| Some(joined(folder, text.split('"').nth(1)?)))
            .collect()
    }

    /// The doc comment and attributes right above a line, joined.
    pub(crate) fn docs_above(&self, line: usize) -> String {
        let lines: Vec<_> = self.text.lines().collect();
        let belongs = |text: &&&str| {
            let text = text.trim_start();
            text.starts_with("///") || text.starts_with("#[")
        };
        let above: Vec<_> = lines[..line - 1].iter().rev().take_while(belongs).collect();
        above.into_iter().rev().copied().collect::<Vec<_>>().join("\n")
    }
}

/// Whether `word` stands in `line` by itself, not as a part of a longer name.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let code: Vec<char> = line.chars().collect();
    words(&code, word).next().is_some()
}

fn words<'a>(code: &'a [char], word: &str) -> impl Iterator<Item = usize> + use<'a> {
    let word: Vec<char> = word.chars().collect();
    let whole = move |at: &usize| {
        let before = at.checked_sub(1).map(|before| code[before]);
        let after = code.get(at + word.len()).copied();
        code[*at..].starts_with(&word)
            && !before.is_some_and(is_word)
            && !after.is_some_and(is_word)
    };
    (0..code.len()).filter(whole)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(code: &[char], at: usize) -> usize {
    code[..at].iter().filter(|c| **c == '\n').count() + 1
}

/// The brace that opens the body of the function at `at`; `None` when it ends in `;`.
fn body(code: &[char], at: usize) -> Option<usize> {
    let mut depth = 0;
    for (i, c) in code.iter().enumerate().skip(at) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(i),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The brace that closes the one at `open`; the end of the file when none does.
fn closing(code: &[char], open: usize) -> usize {
    let mut depth = 0;
    for (i, c) in code.iter().enumerate().skip(open) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    code.len().saturating_sub(1)
}

fn role(path: &str) -> Role {
    let folders: Vec<_> = path.split('/').collect();
    let (file, folders) = folders.split_last().expect("split yields at least one part");
    let within = |name| folders.contains(&name);
    let of_tests = *file == "tests.rs" || file.ends_with("_tests.rs");
    if of_tests || within("tests") || within("benches") || within("loom_tests") {
        Role::Test
    } else if within("examples") {
        Role::Example
    } else {
        Role::Product
    }
}

fn test_lines(code: &str, role: Role) -> Vec<bool> {
    let mut marks = vec![role == Role::Test; code.lines().count()];
    if role == Role::Test {
        return marks;
    }
    let chars: Vec<char> = code.chars().collect();
    let mut start = 0;
    for (number, line) in code.lines().enumerate() {
        if is_test_attribute(line.trim()) {
            let end = match body(&chars, start + line.chars().count()) {
                Some(open) => line_of(&chars, closing(&chars, open)),
                None => number + 2,
            };
            let end = end.min(marks.len());
            marks[number..end].fill(true);
        }
        start += line.chars().count() + 1;
    }
    marks
}

/// `#[test]`, `#[cfg(test)]`, `#[cfg(all(loom, test))]`; not `any(test, …)`, which ships.
fn is_test_attribute(line: &str) -> bool {
    if line == "#[test]" {
        return true;
    }
    let Some(predicate) = line.strip_prefix("#[cfg(") else { return false };
    let sure = predicate.starts_with("test)") || predicate.starts_with("all(");
    sure && has_word(predicate, "test")
        && !predicate.contains("not(test")
        && !predicate.contains("any(")
}

/// A path that is written relative to a folder.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<_> = folder.split('/').collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"//! Says what it holds.
/// Adds.
#[inline]
pub fn add(a: [u8; 2], f: fn(u8) -> u8) -> u8 {
    // fn hidden() {}
    let text = "fn shown() {";
    f(a[0]) + mutant!("off_by_one") as u8
}
trait Held { fn declared(&self); }
const LOST: bool = mutant!("lost");
fn second() {
    fn nested() {}
}
#[cfg(test)]
mod tests {
    fn in_a_test() {}
}
fn last() {}
"#;

    fn source() -> Source {
        Source::new("crates/a/src/lib.rs", TEXT)
    }

    #[test]
    fn functions_have_names_and_lines() {
        let found: Vec<_> = source().functions().into_iter().map(|f| (f.name, f.lines)).collect();
        let expected = [
            ("add".to_owned(), 4..=8),
            ("second".to_owned(), 11..=13),
            ("nested".to_owned(), 12..=12),
            ("in_a_test".to_owned(), 16..=16),
            ("last".to_owned(), 18..=18),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn test_modules_are_not_product() {
        let source = source();
        let tests: Vec<_> = (1..=18).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [14, 15, 16, 17]);
        let declared = Source::new("src/a.rs", "#[cfg(test)]\nmod tests;\nfn f() {}\n");
        assert_eq!(declared.product_lines().collect::<Vec<_>>(), [(3, "fn f() {}")]);
    }

    #[test]
    fn only_what_never_ships_counts_as_test() {
        assert!(is_test_attribute("#[cfg(all(test, not(loom)))]"));
        assert!(is_test_attribute("#[cfg(all(loom, test))]"));
        assert!(!is_test_attribute("#[cfg(any(test, feature = \"testing\"))]"));
        assert!(!is_test_attribute("#[cfg(not(test))]"));
        assert!(!is_test_attribute("#[cfg(all(unix, not(test)))]"));
        assert!(!is_test_attribute("#[cfg(feature = \"testing\")]"));
    }

    #[test]
    fn roles_follow_the_folders() {
        assert_eq!(role("crates/a/src/lib.rs"), Role::Product);
        assert_eq!(role("crates/a/src/testing/sim.rs"), Role::Product);
        assert_eq!(role("crates/a/examples/1_hello.rs"), Role::Example);
        for path in ["crates/a/tests/it/net.rs", "benches/src/lib.rs", "crates/a/src/tests.rs"] {
            assert_eq!(role(path), Role::Test, "{path}");
        }
    }

    #[test]
    fn mutants_are_read_from_code_alone() {
        assert_eq!(source().mutants(), ["off_by_one", "lost"]);
        let none = "// mutant!(\"x\")\nlet mutant = \"y\"; mutant(\"z\"); macro_rules! mutant { }";
        assert!(Source::new("", none).mutants().is_empty());
    }

    #[test]
    fn paths_in_attributes_are_followed() {
        let text = "#[path = \"../../examples/a/mod.rs\"]\nmod a;\n// #[path = \"b.rs\"]\n";
        let source = Source::new("crates/a/tests/it/main.rs", text);
        assert_eq!(source.path_attributes(), ["crates/a/examples/a/mod.rs"]);
    }

    #[test]
    fn docs_reach_over_attributes_and_stop_at_code() {
        assert_eq!(source().docs_above(4), "/// Adds.\n#[inline]");
        assert_eq!(source().docs_above(9), "");
    }

    #[test]
    fn a_word_is_not_a_part_of_a_word() {
        assert!(has_word("unsafe { x }", "unsafe"));
        assert!(!has_word("#![forbid(unsafe_code)]", "unsafe"));
        assert!(!has_word("notunsafe", "unsafe"));
    }
}
