//! Commands: words in, deeds for shards and a plan for the reply out.

use std::time::Duration;

use crate::resp::{Words, number};
use crate::store::{Deed, Set};

/// Who does a deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// The owner of its key.
    Key,
    Everywhere,
}

/// How the reply is made.
#[derive(Debug)]
pub(crate) enum Plan {
    /// It is known.
    Text(&'static str),
    Bulk(Vec<u8>),
    Error(String),
    Array(Vec<Vec<u8>>),
    /// Pairs of names and values.
    Map(Vec<(&'static str, String)>),
    /// The server says what it is.
    Info,
    /// The protocol of the connection changes first.
    Hello(u8),
    Quit,
    /// What came of the only deed.
    One,
    /// An array of what came of the deeds.
    All,
    /// The sum of it.
    Sum,
    /// That all is done.
    Done,
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) plan: Plan,
    pub(crate) to: Where,
    pub(crate) deeds: Vec<Deed>,
}

fn plan(plan: Plan) -> Command {
    Command { plan, to: Where::Key, deeds: Vec::new() }
}

fn error(text: impl Into<String>) -> Command {
    plan(Plan::Error(text.into()))
}

fn one(deed: Deed) -> Command {
    Command { plan: Plan::One, to: Where::Key, deeds: vec![deed] }
}

fn many(plan: Plan, deeds: impl Iterator<Item = Deed>) -> Command {
    Command { plan, to: Where::Key, deeds: deeds.collect() }
}

/// A number in a request that is not one.
const NO_INTEGER: &str = "ERR value is not an integer or out of range";

/// Commands, how many words they have (as Redis says it: negative is "at least"), and what makes
/// them.
type Make = fn(Words) -> Command;
const COMMANDS: &[(&str, i32, Make)] = &[
    ("ping", -1, ping),
    ("echo", 2, |mut words| plan(Plan::Bulk(words.swap_remove(1)))),
    ("get", 2, |words| key(words, Deed::Get)),
    ("set", -3, set),
    ("mget", -2, |words| many(Plan::All, keys(words).map(Deed::Get))),
    ("mset", -3, mset),
    ("del", -2, |words| many(Plan::Sum, keys(words).map(Deed::Delete))),
    ("unlink", -2, |words| many(Plan::Sum, keys(words).map(Deed::Delete))),
    ("exists", -2, |words| many(Plan::Sum, keys(words).map(Deed::Exists))),
    ("incr", 2, |words| key(words, |key| Deed::Add(key, 1))),
    ("decr", 2, |words| key(words, |key| Deed::Add(key, -1))),
    ("incrby", 3, incrby),
    ("expire", 3, |words| expire(words, 1000)),
    ("pexpire", 3, |words| expire(words, 1)),
    ("persist", 2, |words| key(words, |key| Deed::Expire(key, None))),
    ("ttl", 2, |words| key(words, |key| Deed::Left { key, seconds: true })),
    ("pttl", 2, |words| key(words, |key| Deed::Left { key, seconds: false })),
    ("dbsize", 1, |_| Command { plan: Plan::Sum, to: Where::Everywhere, deeds: vec![Deed::Count] }),
    ("flushall", -1, clear),
    ("flushdb", -1, clear),
    ("hello", -1, hello),
    ("info", -1, |_| Command { plan: Plan::Info, to: Where::Everywhere, deeds: vec![Deed::Count] }),
    ("config", -2, config),
    ("command", -1, |_| plan(Plan::Array(Vec::new()))),
    ("client", -2, |_| plan(Plan::Text("OK"))),
    ("select", 2, select),
    ("quit", -1, |_| plan(Plan::Quit)),
];

/// What a request asks for. It has at least one word.
pub(crate) fn read(words: Words) -> Command {
    let name = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
    let Some((_, arity, make)) = COMMANDS.iter().find(|(known, ..)| *known == name) else {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        return error(format!("ERR unknown command '{shown}'"));
    };
    let count = words.len() as i32;
    if count != *arity && (*arity > 0 || count < -arity) {
        return error(format!("ERR wrong number of arguments for '{name}' command"));
    }
    make(words)
}

fn key(mut words: Words, deed: impl FnOnce(Vec<u8>) -> Deed) -> Command {
    one(deed(words.swap_remove(1)))
}

fn keys(words: Words) -> impl Iterator<Item = Vec<u8>> {
    words.into_iter().skip(1)
}

fn ping(mut words: Words) -> Command {
    match words.len() {
        1 => plan(Plan::Text("PONG")),
        2 => plan(Plan::Bulk(words.swap_remove(1))),
        _ => error("ERR wrong number of arguments for 'ping' command"),
    }
}

fn mset(words: Words) -> Command {
    if words.len().is_multiple_of(2) {
        return error("ERR wrong number of arguments for 'mset' command");
    }
    let mut words = words.into_iter().skip(1);
    let pairs = std::iter::from_fn(|| Some((words.next()?, words.next()?)));
    let set =
        |(key, value): (_, Vec<u8>)| Deed::Set { key, value: value.into(), how: Set::default() };
    many(Plan::Done, pairs.map(set).collect::<Vec<_>>().into_iter())
}

fn set(words: Words) -> Command {
    let mut words = words.into_iter().skip(1);
    let (Some(key), Some(value)) = (words.next(), words.next()) else { return error(SYNTAX) };
    let mut how = Set::default();
    while let Some(option) = words.next() {
        match option.to_ascii_lowercase().as_slice() {
            b"nx" => how.if_absent = true,
            b"xx" => how.if_present = true,
            b"get" => how.give_old = true,
            b"keepttl" => how.keep_expiry = true,
            unit @ (b"ex" | b"px") => {
                let factor = if unit == b"ex" { 1000 } else { 1 };
                match words.next().as_deref().map(|text| (number(text), factor)) {
                    Some((Some(count @ 1..), factor)) => {
                        how.expires = Some(milliseconds(count, factor))
                    }
                    Some((Some(_), _)) => return error("ERR invalid expire time in 'set' command"),
                    Some((None, _)) => return error(NO_INTEGER),
                    None => return error(SYNTAX),
                }
            }
            _ => return error(SYNTAX),
        }
    }
    if (how.if_absent && how.if_present) || (how.keep_expiry && how.expires.is_some()) {
        return error(SYNTAX);
    }
    one(Deed::Set { key, value: value.into(), how })
}

const SYNTAX: &str = "ERR syntax error";

fn milliseconds(count: i64, factor: u64) -> Duration {
    Duration::from_millis(count.unsigned_abs().saturating_mul(factor))
}

fn incrby(mut words: Words) -> Command {
    let Some(by) = number(&words[2]) else { return error(NO_INTEGER) };
    one(Deed::Add(words.swap_remove(1), by))
}

fn expire(mut words: Words, factor: u64) -> Command {
    let Some(count) = number(&words[2]) else { return error(NO_INTEGER) };
    // What is in the past expires now.
    let after = if count <= 0 { Duration::ZERO } else { milliseconds(count, factor) };
    one(Deed::Expire(words.swap_remove(1), Some(after)))
}

fn clear(_: Words) -> Command {
    Command { plan: Plan::Done, to: Where::Everywhere, deeds: vec![Deed::Clear] }
}

fn hello(words: Words) -> Command {
    match words.get(1).map(|version| number(version)) {
        None => plan(Plan::Hello(0)),
        Some(Some(version @ (2 | 3))) => plan(Plan::Hello(version as u8)),
        Some(_) => error("NOPROTO unsupported protocol version"),
    }
}

fn config(words: Words) -> Command {
    match words[1].to_ascii_lowercase().as_slice() {
        // What redis-benchmark asks for, and everybody shows.
        b"get" => plan(Plan::Map(match words.get(2).map(|name| name.to_ascii_lowercase()) {
            Some(name) if name == b"save" => vec![("save", String::new())],
            Some(name) if name == b"appendonly" => vec![("appendonly", "no".into())],
            _ => Vec::new(),
        })),
        b"resetstat" => plan(Plan::Text("OK")),
        _ => error("ERR CONFIG can only GET and RESETSTAT here: options are given at the start"),
    }
}

fn select(words: Words) -> Command {
    match number(&words[1]) {
        Some(0) => plan(Plan::Text("OK")),
        Some(_) => error("ERR DB index is out of range"),
        None => error(NO_INTEGER),
    }
}
