//! The rules about one file at a time.

use super::Finding;
use super::rules::{self, CONFINED, Confined, LONG_FUNCTIONS};
use super::source::{Role, Source, has_word};

/// Every rule of this file.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let rules: [fn(&Source) -> Vec<Finding>; 7] = [
        says_what_it_holds,
        columns,
        function_length,
        file_length,
        confinement,
        cancel_safety,
        unfinished_marks,
    ];
    rules.into_iter().flat_map(|rule| rule(source)).collect()
}

fn says_what_it_holds(source: &Source) -> Vec<Finding> {
    let holds = source.text().starts_with("//! ");
    if holds { vec![] } else { vec![at(source, 1, "begin with `//!`: what does this file hold?")] }
}

/// rustfmt leaves long strings and comments as they are.
fn columns(source: &Source) -> Vec<Finding> {
    let table = |line: &str| line.trim_start_matches(['/', '!', ' ']).starts_with('|');
    let long =
        |line: &str| line.chars().count() > rules::COLUMNS && !line.contains("://") && !table(line);
    let lines = source.text().lines().enumerate().filter(|(_, line)| long(line));
    lines.map(|(number, _)| at(source, number + 1, "over 100 columns")).collect()
}

fn function_length(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in source.functions() {
        let (line, length) = (*function.lines.start(), function.length());
        if source.is_test(line) {
            continue;
        }
        let listed =
            |one: &&rules::LongFunction| one.path == source.path && one.name == function.name;
        let allowed = LONG_FUNCTIONS.iter().find(listed).map_or(rules::FUNCTION, |one| one.lines);
        if length > allowed {
            let name = &function.name;
            let message = format!("fn {name} has {length} lines; at most {allowed}");
            findings.push(at(source, line, message));
        }
    }
    findings
}

fn file_length(source: &Source) -> Vec<Finding> {
    let length = source.text().lines().count();
    let message = format!("{length} lines; at most {}, aim for 350", rules::FILE);
    match length {
        _ if source.role == Role::Test => vec![],
        _ if length > rules::FILE => vec![at(source, 1, message)],
        _ if length > rules::FILE_WARN => vec![Finding::warning(&source.path, 1, message)],
        _ => vec![],
    }
}

fn confinement(source: &Source) -> Vec<Finding> {
    CONFINED.iter().flat_map(|rule| confined(source, rule)).collect()
}

fn confined(source: &Source, rule: &Confined) -> Vec<Finding> {
    if !source.path.starts_with(rule.within) || rule.places.iter().any(|p| lies(&source.path, p)) {
        return vec![];
    }
    let lines = source.product_lines().filter(|(_, line)| rule.what.is_in(line));
    lines.map(|(number, _)| at(source, number, rule.why)).collect()
}

/// Whether a path is at a place of the tables: a file, a `folder/`, with `*` for one name.
pub(super) fn lies(path: &str, place: &str) -> bool {
    let folder = place.ends_with('/');
    let place: Vec<_> = place.trim_end_matches('/').split('/').collect();
    let path: Vec<_> = path.split('/').collect();
    let long_enough = if folder { path.len() > place.len() } else { path.len() == place.len() };
    long_enough && place.iter().zip(&path).all(|(want, is)| *want == "*" || want == is)
}

/// A public async function says what is lost when its future is dropped, in one of three words.
fn cancel_safety(source: &Source) -> Vec<Finding> {
    let public = |line: &str| {
        let line = line.trim_start();
        line.starts_with("pub async fn ") || line.starts_with("pub async unsafe fn ")
    };
    let mut findings = Vec::new();
    for (number, _) in source.product_lines().filter(|(_, line)| public(line)) {
        let docs = source.docs_above(number);
        let message = match docs.split_once("# Cancel safety") {
            None => "a pub async fn documents `# Cancel safety`",
            Some((_, section)) if !grades(section) => {
                "`# Cancel safety` is one of Strict, Weak (what is lost), None (what to use)"
            }
            Some(_) => continue,
        };
        if source.role == Role::Product {
            findings.push(at(source, number, message));
        }
    }
    findings
}

fn grades(section: &str) -> bool {
    let section = section.split("/// #").next().unwrap_or_default();
    ["Strict", "Weak", "None"].iter().any(|word| has_word(section, word))
}

/// What is to be done later is an issue, not a comment.
fn unfinished_marks(source: &Source) -> Vec<Finding> {
    let marked = |line: &str| has_word(line, "TODO") || has_word(line, "FIXME");
    let lines = source.comments().lines().zip(source.code().lines()).enumerate();
    let lines = lines.filter(|(_, (comment, code))| marked(comment) || marked(code));
    lines.map(|(number, _)| at(source, number + 1, "finish it, or open an issue")).collect()
}

fn at(source: &Source, line: usize, message: impl Into<String>) -> Finding {
    Finding::refused(&source.path, line, message)
}

#[cfg(test)]
mod tests {
    use super::super::rules::What;
    use super::*;

    const PATH: &str = "crates/loops/src/a.rs";

    fn product(text: &str) -> Source {
        Source::new(PATH, text)
    }

    /// The lines that a rule complains about.
    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_file_begins_with_what_it_holds() {
        assert!(says_what_it_holds(&product("//! Doors.\nfn f() {}\n")).is_empty());
        for text in ["", "// Doors.\n", "use a;\n//! Doors.\n", "//!\n"] {
            assert_eq!(lines(&says_what_it_holds(&product(text))), [1], "{text:?}");
        }
    }

    #[test]
    fn columns_are_characters_and_addresses_are_free() {
        let umlauts = "ü".repeat(100);
        let address = format!("// https://{}", "x".repeat(100));
        let text = format!("{umlauts}\n{umlauts}ü\n{address}\n");
        assert_eq!(lines(&columns(&product(&text))), [2]);
    }

    #[test]
    fn a_function_of_71_lines_is_refused_outside_tests() {
        let body = |n: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(n - 2));
        assert!(function_length(&product(&body(70))).is_empty());
        assert_eq!(lines(&function_length(&product(&body(71)))), [1]);
        let test = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", body(90));
        assert!(function_length(&product(&test)).is_empty());
    }

    #[test]
    fn a_long_file_is_told_and_a_longer_one_refused() {
        let weights = |path: &str, n: usize| {
            let source = Source::new(path, &"x\n".repeat(n));
            file_length(&source).iter().map(|f| f.weight).collect::<Vec<_>>()
        };
        use super::super::Weight::{Refused, Warning};
        assert_eq!(weights(PATH, 450), []);
        assert_eq!(weights(PATH, 451), [Warning]);
        assert_eq!(weights(PATH, 600), [Warning]);
        assert_eq!(weights(PATH, 601), [Refused]);
        assert_eq!(weights("crates/loops/tests/it/a.rs", 601), []);
    }

    #[test]
    fn what_is_confined_is_found_outside_its_places_and_tests() {
        let rule = Confined {
            what: What::Word("unsafe"),
            within: "crates/",
            places: &["crates/*/src/sys/", "crates/loops/src/raw.rs"],
            why: "no",
        };
        let text = "// unsafe\nunsafe fn f() {}\n#[cfg(test)]\nmod tests { unsafe fn g() {} }\n";
        let found = |path: &str| lines(&confined(&Source::new(path, text), &rule));
        assert_eq!(found(PATH), [2]);
        assert_eq!(found("crates/loops/examples/a.rs"), [2]);
        for free in ["crates/loops/src/sys/uring.rs", "crates/loops/src/raw.rs", "xtask/src/a.rs"] {
            assert_eq!(found(free), [0; 0], "{free}");
        }
    }

    #[test]
    fn unwrap_is_refused_and_expect_is_not() {
        let text = "//! A.\nx.unwrap();\nx.expect(\"it was just set\");\nx.unwrap_or(1);\n";
        assert_eq!(lines(&confinement(&product(text))), [2]);
        assert!(confinement(&Source::new("crates/loops/tests/it/a.rs", text)).is_empty());
    }

    #[test]
    fn places_are_files_folders_and_stars() {
        assert!(lies("crates/a/src/sys/uring.rs", "crates/*/src/sys/"));
        assert!(lies("crates/a/src/sys/deep/x.rs", "crates/*/src/sys/"));
        assert!(!lies("crates/a/src/sys.rs", "crates/*/src/sys/"));
        assert!(lies("crates/a/src/sys.rs", "crates/*/src/sys.rs"));
        assert!(!lies("crates/a/src/system/x.rs", "crates/*/src/sys/"));
    }

    #[test]
    fn public_async_functions_grade_their_cancel_safety() {
        let text = "\
/// Reads.
pub async fn ungraded() {}
/// # Cancel safety
/// Mostly fine.
///
/// # Errors
/// None.
pub async fn vague() {}
/// # Cancel safety
///
/// Weak: what was written is not told.
#[must_use]
pub async fn graded() {}
pub(crate) async fn private() {}
";
        assert_eq!(lines(&cancel_safety(&product(text))), [2, 8]);
    }

    #[test]
    fn unfinished_marks_are_refused_wherever_they_stand() {
        let mark = ["TO", "DO"].concat();
        let text = format!("// {mark}: later\nlet a = \"{mark}\";\nlet {mark} = 1;\nTODOS();\n");
        assert_eq!(lines(&unfinished_marks(&product(&text))), [1, 3]);
    }
}
