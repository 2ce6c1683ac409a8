//! Splits Rust text into code and comments, both of the same shape as the text.
//!
//! Line and column of whatever is found in one view are those of the text itself.

/// The two views; every character is in one of them, and a blank in the other.
#[derive(Debug)]
pub(super) struct Views {
    /// Comments blanked, and what is between the quotes of a string or character.
    pub(super) code: String,
    pub(super) comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    Line,
    /// `/* */`, which nest.
    Block(usize),
    Text,
    Char,
    /// `r##" "##` with that many `#`.
    Raw(usize),
}

pub(super) fn split(text: &str) -> Views {
    let chars: Vec<char> = text.chars().collect();
    let mut views = Views { code: String::with_capacity(text.len()), comments: String::new() };
    let mut state = State::Code;
    let mut at = 0;
    while at < chars.len() {
        let (next, length) = step(state, &chars, at);
        for &c in &chars[at..(at + length).min(chars.len())] {
            views.push(state, next, c);
        }
        state = next;
        at += length;
    }
    views
}

impl Views {
    /// A delimiter is consumed in the step that changes the state.
    fn push(&mut self, from: State, to: State, c: char) {
        let blank = if c == '\n' { '\n' } else { ' ' };
        let comment = |state| matches!(state, State::Line | State::Block(_));
        let quoted = from == to && matches!(from, State::Text | State::Char | State::Raw(_));
        let (code, told) = match (comment(from) || comment(to), quoted) {
            (true, _) => (blank, c),
            (false, true) => (blank, blank),
            (false, false) => (c, blank),
        };
        self.code.push(code);
        self.comments.push(told);
    }
}

/// The state after the next few characters, and how many they are.
fn step(state: State, chars: &[char], at: usize) -> (State, usize) {
    let rest = &chars[at..];
    match state {
        State::Code => code(chars, at),
        State::Line if rest[0] == '\n' => (State::Code, 1),
        State::Line => (State::Line, 1),
        State::Block(depth) if rest.starts_with(&['/', '*']) => (State::Block(depth + 1), 2),
        State::Block(1) if rest.starts_with(&['*', '/']) => (State::Code, 2),
        State::Block(depth) if rest.starts_with(&['*', '/']) => (State::Block(depth - 1), 2),
        State::Block(depth) => (State::Block(depth), 1),
        State::Text | State::Char if rest[0] == '\\' => (state, 2),
        State::Char if rest[0] == '\'' => (State::Code, 1),
        State::Char => (State::Char, 1),
        State::Text if rest[0] == '"' => (State::Code, 1),
        State::Text => (State::Text, 1),
        State::Raw(hashes) => {
            let ends = rest[0] == '"' && count_hashes(&rest[1..]) >= hashes;
            if ends { (State::Code, 1 + hashes) } else { (state, 1) }
        }
    }
}

fn code(chars: &[char], at: usize) -> (State, usize) {
    let rest = &chars[at..];
    match rest[0] {
        '/' if rest.starts_with(&['/', '/']) => (State::Line, 2),
        '/' if rest.starts_with(&['/', '*']) => (State::Block(1), 2),
        '"' => (State::Text, 1),
        'r' => {
            let hashes = count_hashes(&rest[1..]);
            // `br"` and `cr"` are raw too; the r of `for` is not.
            let before = at.checked_sub(1).map_or(' ', |before| chars[before]);
            let begins =
                !(before.is_alphanumeric() || before == '_') || before == 'b' || before == 'c';
            let raw = begins && rest.get(1 + hashes) == Some(&'"');
            if raw { (State::Raw(hashes), 2 + hashes) } else { (State::Code, 1) }
        }
        '\'' if is_literal(rest) => (State::Char, 1),
        _ => (State::Code, 1),
    }
}

/// Whether a quote begins a character and not a lifetime.
fn is_literal(rest: &[char]) -> bool {
    matches!(rest, [_, '\\', ..] | [_, _, '\'', ..])
}

fn count_hashes(chars: &[char]) -> usize {
    chars.iter().take_while(|c| **c == '#').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of a line, with runs of blanks made one.
    fn code_of(text: &str) -> String {
        split(text).code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn both_views_have_the_shape_of_the_text() {
        let text = "let é = \"ü\\\"\n\"; // öä\n/* a /* b */ c */ let r = 'x';\n";
        let views = split(text);
        let shape = |text: &str| text.lines().map(|l| l.chars().count()).collect::<Vec<_>>();
        assert_eq!(shape(&views.code), shape(text));
        assert_eq!(shape(&views.comments), shape(text));
    }

    #[test]
    fn comments_leave_the_code() {
        assert_eq!(code_of("a(); // unsafe"), "a();");
        assert_eq!(code_of("a /* b /* c */ d */ e"), "a e");
        assert!(split("a(); // why").comments.ends_with("// why"));
    }

    #[test]
    fn strings_keep_their_quotes_and_lose_their_text() {
        assert_eq!(code_of(r#"f("x // \" y", b"z") // end"#), r#"f(" ", b" ")"#);
        assert_eq!(code_of(r###"f(r#"a " b"#, br"c")"###), r###"f(r#" "#, br" ")"###);
        assert_eq!(code_of("for x in r#type {}"), "for x in r#type {}");
    }

    #[test]
    fn characters_are_not_strings_and_lifetimes_are_not_characters() {
        assert_eq!(code_of(r#"f('"', '\'', '{', '\u{22}') // "#), "f(' ', ' ', ' ', ' ')");
        assert_eq!(code_of("fn f<'a>(x: &'a str) {} // y"), "fn f<'a>(x: &'a str) {}");
    }
}
