//! One connection: requests as they come, deeds where their keys are, replies in order.
//!
//! What came at once is done at once: its deeds go to each shard in one call. Deeds of one key are
//! done in their order, since they have one owner; those of different keys are independent.
//!
//! A client that does not read is bounded: nothing more is read from it while a reply waits, a
//! reply goes out in pieces, values in it are not copied, and it has so long to take each piece.

use std::io;
use std::time::{Duration, Instant};

use shard::{Connection, Peers, Shard, hash, jump_hash};
use uring_loop::net::TcpStream;

use crate::command::{self, Command, Plan, Where};
use crate::reply::Reply;
use crate::resp::{Limits, Parser};
use crate::store::{Deed, Outcome, Store};

/// Requests that are done together.
const BATCH: usize = 128;
/// A reply goes out when it is so long.
const PIECE: usize = 256 * 1024;
/// How long a client may take for a piece of a reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// The name of [`act`] for other processes.
pub(crate) const ACT: &str = "act";

struct Session {
    shard: Shard,
    peers: Peers,
    stream: TcpStream,
    parser: Parser,
    reply: Reply,
    ends: bool,
}

/// Serves a connection to its end. What goes wrong on it (a reset, say) ends it alone.
pub(crate) async fn serve(connection: Connection, limits: Limits) {
    let (mut stream, seat) = connection.into_stream();
    stream.set_write_timeout(Some(PATIENCE));
    let mut session = Session {
        shard: Shard::current(),
        peers: Peers::current(),
        stream,
        parser: Parser::new(limits),
        reply: Reply::new(),
        ends: false,
    };
    loop {
        if session.answer().await.is_err() || session.ends {
            return;
        }
        let draining = async {
            seat.draining().await;
            None
        };
        let received = async { Some(session.stream.recv().await) };
        match uring_loop::race((received, draining)).await {
            Some(Ok(bytes)) if !bytes.is_empty() => session.parser.push(&bytes),
            _ => return,
        }
    }
}

impl Session {
    /// Answers every request that is there whole.
    async fn answer(&mut self) -> io::Result<()> {
        loop {
            let (mut batch, mut wrong) = (Vec::new(), None);
            while batch.len() < BATCH {
                match self.parser.next() {
                    Ok(Some(words)) => batch.push(command::read(words)),
                    Ok(None) => break,
                    Err(bad) => {
                        wrong = Some(bad);
                        break;
                    }
                }
            }
            let more = batch.len() == BATCH;
            self.answer_all(batch).await?;
            if let Some(bad) = wrong {
                self.reply.error(&bad.to_string());
                self.ends = true;
            }
            if !more || self.ends {
                return self.flush().await;
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.reply.bytes.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.reply.bytes);
        let (written, mut bytes) = self.stream.write_all(bytes).await;
        bytes.clear();
        if bytes.capacity() <= 2 * PIECE {
            self.reply.bytes = bytes;
        }
        written
    }

    async fn answer_all(&mut self, mut batch: Vec<Command>) -> io::Result<()> {
        let outcomes = self.perform(&mut batch).await;
        for (command, outcomes) in batch.into_iter().zip(outcomes) {
            self.reply_to(command.plan, &outcomes).await?;
            if self.ends {
                break;
            }
        }
        Ok(())
    }

    /// Does the deeds of all commands; what came of those of each, in order.
    async fn perform(&self, batch: &mut [Command]) -> Vec<Vec<Outcome>> {
        let count = self.peers.count();
        let mut per_shard: Vec<Vec<Deed>> = (0..count).map(|_| Vec::new()).collect();
        // Where each outcome belongs: the shards, in the order of the deeds.
        let mut order: Vec<Vec<usize>> = Vec::with_capacity(batch.len());
        for command in batch {
            let mut shards = Vec::new();
            for deed in std::mem::take(&mut command.deeds) {
                let to = match command.to {
                    Where::Key => owner(&deed, count)..owner(&deed, count) + 1,
                    Where::Everywhere => 0..count,
                };
                for shard in to.clone() {
                    shards.push(shard);
                    if to.len() > 1 {
                        per_shard[shard].push(everywhere(&deed));
                    }
                }
                if to.len() == 1 {
                    per_shard[to.start].push(deed);
                }
            }
            order.push(shards);
        }
        let calls: Vec<_> =
            per_shard.into_iter().enumerate().map(|(to, deeds)| self.there(to, deeds)).collect();
        let mut done: Vec<_> =
            uring_loop::join(calls).await.into_iter().map(Vec::into_iter).collect();
        let missing = || Outcome::Error("ERR the shard of this key did not answer".into());
        let outcome = |shard: usize, done: &mut Vec<std::vec::IntoIter<Outcome>>| {
            done[shard].next().unwrap_or_else(missing)
        };
        let of = |shards: Vec<usize>, done: &mut _| {
            shards.into_iter().map(|shard| outcome(shard, done)).collect()
        };
        order.into_iter().map(|shards| of(shards, &mut done)).collect()
    }

    /// Does deeds on one shard. Nothing comes back from one that fails.
    async fn there(&self, to: usize, deeds: Vec<Deed>) -> Vec<Outcome> {
        if deeds.is_empty() {
            return Vec::new();
        }
        if to == self.peers.index() {
            return act(&self.shard, deeds);
        }
        // Between threads values go as they are, between processes as bytes.
        let outcomes = match self.shard.count() == self.peers.count() {
            true => {
                let act = move || async move { act(&Shard::current(), deeds) };
                self.shard.submit_to(to, act).await
            }
            false => self.peers.call(to, ACT, &deeds).await,
        };
        outcomes.unwrap_or_default()
    }

    async fn reply_to(&mut self, plan: Plan, outcomes: &[Outcome]) -> io::Result<()> {
        let failed = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Error(text) => Some(text.clone()),
            _ => None,
        });
        let reply = &mut self.reply;
        match plan {
            Plan::Text(text) => reply.text(text),
            Plan::Bulk(bytes) => reply.bulk(&bytes),
            Plan::Error(text) => reply.error(&text),
            Plan::Array(items) => {
                reply.array(items.len());
                items.iter().for_each(|item| reply.bulk(item));
            }
            Plan::Map(pairs) => {
                reply.map(pairs.len());
                for (name, value) in pairs {
                    reply.bulk(name.as_bytes());
                    reply.bulk(value.as_bytes());
                }
            }
            Plan::Hello(version) => hello(reply, version),
            Plan::Quit => {
                reply.text("OK");
                self.ends = true;
            }
            Plan::Sum | Plan::Done | Plan::Info if failed.is_some() => {
                reply.error(&failed.unwrap_or_default());
            }
            Plan::Done => reply.text("OK"),
            Plan::Sum => reply.number(numbers(outcomes).sum()),
            Plan::Info => reply.bulk(info(outcomes).as_bytes()),
            Plan::One => outcomes.iter().for_each(|outcome| reply.outcome(outcome)),
            Plan::All => {
                reply.array(outcomes.len());
                for outcome in outcomes {
                    self.reply.outcome(outcome);
                    if self.reply.bytes.len() > PIECE {
                        self.flush().await?;
                    }
                }
            }
        }
        match self.reply.bytes.len() > PIECE {
            true => self.flush().await,
            false => Ok(()),
        }
    }
}

/// Does deeds on the shard of this thread.
pub(crate) fn act(shard: &Shard, deeds: Vec<Deed>) -> Vec<Outcome> {
    let now = Instant::now();
    shard.with(|store: &mut Store| deeds.into_iter().map(|deed| store.act(deed, now)).collect())
}

/// The shard that has the key of a deed.
fn owner(deed: &Deed, count: usize) -> usize {
    let key = match deed {
        Deed::Get(key) | Deed::Delete(key) | Deed::Exists(key) | Deed::Add(key, _) => key,
        Deed::Set { key, .. } | Deed::Expire(key, _) | Deed::Left { key, .. } => key,
        Deed::Count | Deed::Clear => return 0,
    };
    jump_hash(hash(key), count)
}

/// A copy of a deed that has no key.
fn everywhere(deed: &Deed) -> Deed {
    match deed {
        Deed::Clear => Deed::Clear,
        _ => Deed::Count,
    }
}

fn numbers(outcomes: &[Outcome]) -> impl Iterator<Item = i64> {
    outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Number(number) => Some(*number),
        _ => None,
    })
}

fn hello(reply: &mut Reply, version: u8) {
    if version != 0 {
        reply.version = version;
    }
    reply.map(5);
    for (name, value) in [("server", "kv"), ("version", env!("CARGO_PKG_VERSION"))] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.number(i64::from(reply.version));
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

/// The text of INFO, from the number of keys on each shard.
fn info(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "# Server\r\nserver:kv\r\nversion:{}\r\nprocess_id:{}\r\nshards:{}\r\n\r\n# Keyspace\r\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        outcomes.len(),
    );
    for (shard, keys) in numbers(outcomes).enumerate() {
        text += &format!("shard{shard}:keys={keys}\r\n");
    }
    text
}

/// What every session needs of its shard.
pub(crate) fn prepare(shard: &Shard) {
    // Another shard may have called before this one began.
    if let Some(there) = shard.put(Store::default()) {
        shard.put(there);
    }
}

/// Removes what has expired, so that keys nobody asks for take no memory.
pub(crate) async fn purge(shard: Shard) {
    loop {
        let more = shard.with(|store: &mut Store| store.purge(Instant::now(), 1000));
        match more {
            true => uring_loop::yield_now().await,
            false => uring_loop::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
