//! What clients and agents say to each other: types, and bytes. Pure.
//!
//! A message is a byte with the version, what postcard makes of a value, and a tail of raw bytes
//! (arguments, results), which is empty for most.
//!
//! | subject | from, to | holds |
//! |---|---|---|
//! | `pool.NAME.jobs`, kept by the stream `POOL_NAME` | client, one agent | [`Order`], arguments |
//! | the client's inbox | agent, client | [`Report`], parts of results |
//! | the agent's inbox | client, agent | [`Words`] |
//! | `pool.NAME.agents` | agent, all clients | [`Presence`] |
//! | `pool.NAME.clients` | client, all agents | [`Sign`] |

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Of everything here. Another version is another language: nothing is guessed.
pub(crate) const VERSION: u8 = 1;

/// Bytes of a message that are neither its tail nor strings of the user's, at most: to be left free
/// when a tail is cut to size.
pub(crate) const OVERHEAD: usize = 1024;

/// A job, as it lies in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The inbox of the client it is from.
    pub(crate) client: String,
    /// What that client knows it by.
    pub(crate) id: u64,
    /// How often it was put into the queue before.
    pub(crate) attempt: u32,
    /// The name of the function.
    pub(crate) function: String,
    /// The shape of its arguments and its result.
    pub(crate) signature: u64,
    /// The arguments are the items of a chunk.
    pub(crate) items: bool,
    /// The client is to be asked before it is run.
    pub(crate) once: bool,
    /// What errors call it.
    pub(crate) task: String,
    pub(crate) timeout: Option<Duration>,
    /// Of an item; those of a job are the client's business.
    pub(crate) retries: u32,
    pub(crate) priority: i32,
}

/// Which time a job is handed out. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// How often it was put into the queue before.
    pub(crate) attempt: u32,
    /// The server's number for this handing out, of any job. (How often it has handed out this one
    /// would do as well if servers counted right: 2.9 counts one that nobody was there to take.)
    pub(crate) delivery: u64,
}

/// An agent to the client of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The inbox of the agent.
    pub(crate) agent: String,
    /// How many reports and presences it has sent before: they come by two ways, which may overtake
    /// each other.
    pub(crate) sent: u64,
    pub(crate) id: u64,
    pub(crate) turn: Turn,
    /// How often the server says it has handed it out, of this attempt.
    pub(crate) times: u64,
    pub(crate) news: News,
}

/// What an agent has to say of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum News {
    /// May I run it?
    Asking,
    /// It has a result: the tail is part `part` of `parts`.
    Done { part: u32, parts: u32 },
    /// It ended with a `JobError`, which is the tail.
    Failed,
    /// It was handed back before it was started.
    Unstarted,
}

/// A client's answer to a report. What cannot be undone, an agent does on a client's word only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Word {
    /// Run it.
    Run,
    /// That was all: take it off the queue.
    Settled,
    /// Put it back into the queue, for somebody else.
    Again,
    /// Somebody else has it: forget it.
    Forget,
}

/// A client to an agent: answers to its reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Words {
    pub(crate) client: String,
    pub(crate) words: Vec<(u64, Turn, Word)>,
}

/// An agent to all clients, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// Its inbox: no two agents ever have the same.
    pub(crate) agent: String,
    /// As in [`Report`].
    pub(crate) sent: u64,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) workers: u32,
    /// It will take no more jobs, and has none any more.
    pub(crate) gone: bool,
    /// What it has, by client: job, and whether a worker has started it.
    pub(crate) held: Vec<(String, Vec<(u64, bool)>)>,
}

/// A client to all agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sign {
    pub(crate) client: String,
    pub(crate) what: What,
}

/// What a client has to say to all agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    /// It is there, and wants to know who else is.
    Hello,
    /// It is there.
    Here,
    /// It wants these jobs no more: end them if they run.
    Drop(Vec<u64>),
    /// It goes, and wants none of its jobs any more.
    Leaving,
}

/// A message.
pub(crate) fn pack<T: Serialize>(value: &T, tail: &[u8]) -> Vec<u8> {
    let head = vec![VERSION];
    let mut bytes = postcard::to_extend(value, head).expect("plain data can always be encoded");
    bytes.extend_from_slice(tail);
    bytes
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Garbled {
    /// It is in another version of the language.
    Version(u8),
    /// It is nothing of ours.
    Bytes,
}

/// The value of a message, and its tail.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), Garbled> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::take_from_bytes(rest).map_err(|_| Garbled::Bytes),
        Some((&other, _)) => Err(Garbled::Version(other)),
        None => Err(Garbled::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_come_back_with_their_tails() {
        let report = Report {
            agent: "_INBOX.a".to_owned(),
            sent: 1,
            id: 7,
            turn: Turn { attempt: 1, delivery: 3 },
            times: 2,
            news: News::Done { part: 0, parts: 2 },
        };
        let bytes = pack(&report, b"tail");
        assert_eq!(unpack::<Report>(&bytes), Ok((report, &b"tail"[..])));
    }

    #[test]
    fn another_version_is_not_guessed_at() {
        let mut bytes = pack(&Sign { client: "c".to_owned(), what: What::Here }, &[]);
        bytes[0] = 9;
        assert_eq!(unpack::<Sign>(&bytes), Err(Garbled::Version(9)));
        assert_eq!(unpack::<Sign>(&[]), Err(Garbled::Bytes));
    }

    #[test]
    fn later_turns_are_greater() {
        let turn = |attempt, delivery| Turn { attempt, delivery };
        assert!(turn(0, 1) < turn(0, 2) && turn(0, 9) < turn(1, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = unpack::<Order>(&bytes);
            let _ = unpack::<Report>(&bytes);
            let _ = unpack::<Presence>(&bytes);
        }
    }
}
