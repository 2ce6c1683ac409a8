//! The keys of one shard. No I/O, and the time comes from outside.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A value: shared, so that a reply costs no copy, to whatever shard it goes.
pub(crate) type Bytes = Arc<[u8]>;

/// How values go to other processes.
mod bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Bytes;

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        <&[u8]>::deserialize(from).map(Bytes::from)
    }
}

/// What is done with one key, or with all of a shard.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Deed {
    Get(Vec<u8>),
    Set {
        key: Vec<u8>,
        #[serde(with = "bytes")]
        value: Bytes,
        how: Set,
    },
    Delete(Vec<u8>),
    Exists(Vec<u8>),
    Add(Vec<u8>, i64),
    /// `None`: for ever.
    Expire(Vec<u8>, Option<Duration>),
    /// What is left, in milliseconds, or in seconds.
    Left {
        key: Vec<u8>,
        seconds: bool,
    },
    Count,
    Clear,
}

/// The options of SET.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Set {
    pub(crate) expires: Option<Duration>,
    pub(crate) keep_expiry: bool,
    pub(crate) if_absent: bool,
    pub(crate) if_present: bool,
    pub(crate) give_old: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Outcome {
    Nothing,
    Done,
    Number(i64),
    Value(#[serde(with = "bytes")] Bytes),
    Error(String),
}

struct Entry {
    value: Bytes,
    expires: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Store {
    entries: HashMap<Vec<u8>, Entry>,
    /// What expires, soonest first.
    due: BTreeSet<(Instant, Vec<u8>)>,
}

impl Store {
    pub(crate) fn act(&mut self, deed: Deed, now: Instant) -> Outcome {
        match deed {
            Deed::Get(key) => self.value(&key, now).map_or(Outcome::Nothing, Outcome::Value),
            Deed::Set { key, value, how } => self.set(key, value, &how, now),
            Deed::Delete(key) => {
                let alive = self.alive(&key, now);
                self.remove(&key);
                Outcome::Number(i64::from(alive))
            }
            Deed::Exists(key) => Outcome::Number(i64::from(self.alive(&key, now))),
            Deed::Add(key, by) => self.add(key, by, now),
            Deed::Expire(key, after) => self.expire(&key, after, now),
            Deed::Left { key, seconds } => self.left(&key, seconds, now),
            Deed::Count => Outcome::Number(self.entries.len() as i64),
            Deed::Clear => {
                *self = Store::default();
                Outcome::Done
            }
        }
    }

    /// Removes up to `most` of what has expired. `true`: there is more.
    pub(crate) fn purge(&mut self, now: Instant, most: usize) -> bool {
        for _ in 0..most {
            match self.due.first() {
                Some((at, _)) if *at <= now => {}
                _ => return false,
            }
            if let Some((_, key)) = self.due.pop_first() {
                self.entries.remove(&key);
            }
        }
        true
    }

    fn alive(&self, key: &[u8], now: Instant) -> bool {
        let entry = self.entries.get(key);
        entry.is_some_and(|entry| entry.expires.is_none_or(|at| at > now))
    }

    fn value(&self, key: &[u8], now: Instant) -> Option<Bytes> {
        self.alive(key, now).then(|| self.entries[key].value.clone())
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(Entry { expires: Some(at), .. }) = self.entries.remove(key) {
            self.due.remove(&(at, key.to_vec()));
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Bytes, expires: Option<Instant>) {
        self.remove(&key);
        if let Some(at) = expires {
            self.due.insert((at, key.clone()));
        }
        self.entries.insert(key, Entry { value, expires });
    }

    fn set(&mut self, key: Vec<u8>, value: Bytes, how: &Set, now: Instant) -> Outcome {
        let old = self.value(&key, now);
        let reply = match (&old, how.give_old) {
            (Some(old), true) => Outcome::Value(old.clone()),
            (None, true) => Outcome::Nothing,
            (_, false) => Outcome::Done,
        };
        if (how.if_absent && old.is_some()) || (how.if_present && old.is_none()) {
            return if how.give_old { reply } else { Outcome::Nothing };
        }
        let kept = self.entries.get(&key).and_then(|entry| entry.expires);
        let kept = kept.filter(|_| how.keep_expiry && old.is_some());
        // A moment beyond the clock is never.
        let expires = how.expires.and_then(|after| now.checked_add(after)).or(kept);
        self.put(key, value, expires);
        reply
    }

    fn add(&mut self, key: Vec<u8>, by: i64, now: Instant) -> Outcome {
        let old = match self.value(&key, now) {
            None => 0,
            Some(value) => match crate::resp::number(&value) {
                Some(number) => number,
                None => {
                    return Outcome::Error("ERR value is not an integer or out of range".into());
                }
            },
        };
        let Some(sum) = old.checked_add(by) else {
            return Outcome::Error("ERR increment or decrement would overflow".into());
        };
        let alive = self.alive(&key, now);
        let expires = self.entries.get(&key).and_then(|entry| entry.expires).filter(|_| alive);
        self.put(key, sum.to_string().into_bytes().into(), expires);
        Outcome::Number(sum)
    }

    fn expire(&mut self, key: &[u8], after: Option<Duration>, now: Instant) -> Outcome {
        let Some(value) = self.value(key, now) else { return Outcome::Number(0) };
        let had = self.entries[key].expires.is_some();
        self.put(key.to_vec(), value, after.and_then(|after| now.checked_add(after)));
        // PERSIST tells whether there was something to take away.
        Outcome::Number(i64::from(after.is_some() || had))
    }

    fn left(&self, key: &[u8], seconds: bool, now: Instant) -> Outcome {
        if !self.alive(key, now) {
            return Outcome::Number(-2);
        }
        let Some(at) = self.entries[key].expires else { return Outcome::Number(-1) };
        let left = at.duration_since(now).as_millis();
        let left = if seconds { (left + 500) / 1000 } else { left };
        Outcome::Number(i64::try_from(left).unwrap_or(i64::MAX))
    }
}
