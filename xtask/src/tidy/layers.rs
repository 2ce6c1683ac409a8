//! The layers of the event loop: a file uses its own layer and lower ones.
//!
//! Read from every `crate::name` in the code. Paths through `super::` stay within a module, which
//! is within a layer.

use super::rules::{EVERYWHERE, JOINT, JOINT_FROM, LAYERED, LAYERS, NOT_UNDER};
use super::{Finding, Source};

/// Where a module of the crate's root stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Layer(usize),
    Joint,
    Everywhere,
}

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let Some(path) = source.path.strip_prefix(LAYERED) else { return vec![] };
    let module = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if module == "lib" {
        return vec![];
    }
    let Some(from) = place(module) else {
        let message = format!("give `{module}` a layer: LAYERS in xtask/src/tidy/rules.rs");
        return vec![Finding::refused(&source.path, 1, message)];
    };
    let mut findings = Vec::new();
    for (line, code) in source.product_lines() {
        for name in used(code) {
            if let Some(breach) = breach(from, name) {
                let message = format!("`{module}` ({}) uses `{name}`: {breach}", said(from));
                findings.push(Finding::refused(&source.path, line, message));
            }
        }
    }
    findings
}

fn place(module: &str) -> Option<Place> {
    if JOINT.contains(&module) {
        return Some(Place::Joint);
    }
    if EVERYWHERE.contains(&module) {
        return Some(Place::Everywhere);
    }
    let layer = LAYERS.iter().find(|layer| layer.modules.contains(&module))?;
    Some(Place::Layer(layer.level))
}

/// Why `from` may not use `name`; `None` when it may.
fn breach(from: Place, name: &str) -> Option<String> {
    let Place::Layer(from) = from else { return None };
    match place(name) {
        None => Some("use it by the path of its module, so that its layer is seen".to_owned()),
        Some(Place::Everywhere) => None,
        Some(Place::Joint) if from >= JOINT_FROM => None,
        Some(Place::Joint) => Some(format!("the joint is used from layer {JOINT_FROM} up")),
        Some(Place::Layer(to)) => {
            let hidden =
                NOT_UNDER.iter().any(|(above, under)| *above == from && under.contains(&to));
            let higher = to > from;
            (hidden || higher).then(|| format!("layer {to} is not below it"))
        }
    }
}

fn said(place: Place) -> String {
    match place {
        Place::Layer(level) => format!("layer {level}"),
        Place::Joint => "joint".to_owned(),
        Place::Everywhere => "any layer".to_owned(),
    }
}

/// The first names after each `crate::`, those of a `crate::{a, b::c}` on one line included.
/// Macros (`crate::name!`) have no module, and `$crate::name` is a path that users see.
fn used(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(tops(group)),
            None => names.extend(first_name(rest)),
        }
    }
    names
}

/// The names at the top level of a group.
fn tops(group: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut start = 0;
    let mut names = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.extend(first_name(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn first_name(rest: &str) -> Option<&str> {
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    (!name.is_empty() && !after.starts_with('!')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let path = format!("{LAYERED}{path}");
        check(&Source::new(&path, text)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_lower_layer_may_be_used_and_a_higher_one_not() {
        assert!(
            messages("driver/op.rs", "use crate::sys::uring;\nuse crate::driver::x;").is_empty()
        );
        let told = messages("driver/op.rs", "use crate::net::TcpStream;");
        assert_eq!(told, ["`driver` (layer 1) uses `net`: layer 4 is not below it"]);
    }

    #[test]
    fn the_middle_layer_never_touches_the_kernel() {
        assert!(messages("sync/lock.rs", "use crate::task::x;").is_empty());
        assert_eq!(messages("sync/lock.rs", "use crate::{driver::x, task::{y, z}};").len(), 1);
        assert_eq!(messages("stream/mod.rs", "use crate::ops::net;").len(), 1);
    }

    #[test]
    fn the_joint_sees_all_and_is_seen_from_layer_two() {
        assert!(messages("event_loop.rs", "use crate::driver::x; use crate::task::y;").is_empty());
        assert!(messages("time/mod.rs", "use crate::context;").is_empty());
        assert_eq!(messages("driver/mod.rs", "use crate::context;").len(), 1);
        assert!(messages("driver/mod.rs", "use crate::trace;").is_empty());
    }

    #[test]
    fn names_at_the_root_hide_their_layer() {
        assert_eq!(messages("net/tcp.rs", "fn f(x: crate::Task<()>) {}").len(), 1);
        assert!(messages("net/tcp.rs", "crate::syscall!(x);\n// crate::Task").is_empty());
        assert!(messages("net/tcp.rs", "$crate::__support::f()").is_empty());
        assert!(messages("lib.rs", "pub use crate::anything;").is_empty());
    }

    #[test]
    fn a_module_without_a_layer_is_asked_for_one() {
        let told = messages("novelty/mod.rs", "");
        assert_eq!(told, ["give `novelty` a layer: LAYERS in xtask/src/tidy/rules.rs"]);
    }

    #[test]
    fn tests_may_use_what_they_like() {
        assert!(messages("sync/tests.rs", "use crate::driver::x;").is_empty());
    }
}
