//! A store of keys: what a request says, what it is answered, and where the keys are.
//!
//! A message is eight words in either direction: what is done, the key, and a value of six. Threads
//! share a map behind locks ([`Locked`]); loops have keys of their own, and send each other what is
//! for those of another ([`Keys`]).

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use shard::{Peers, Shard, jump_hash};

use super::service::MESSAGE;

/// Words of a message.
const WORDS: usize = MESSAGE / 8;

/// A request or a reply.
pub type Message = [u64; WORDS];

/// What is stored.
pub type Value = [u64; WORDS - 2];

/// The first word of a request, and of its reply.
pub const GET: u64 = 1;
/// The same for one that stores.
pub const SET: u64 = 2;
/// The first word of the reply to a GET of a key that isn't there.
pub const ABSENT: u64 = 3;

/// Keys and values, with one owner.
pub type Map = HashMap<u64, Value>;

/// Reads a message from its bytes.
#[must_use]
pub fn read(bytes: &[u8; MESSAGE]) -> Message {
    std::array::from_fn(|word| {
        let bytes = bytes[8 * word..8 * word + 8].try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    })
}

/// Writes a message as bytes.
pub fn write(message: &Message, bytes: &mut [u8]) {
    for (word, bytes) in message.iter().zip(bytes.chunks_exact_mut(8)) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

/// Does what a request says; its reply.
pub fn act(map: &mut Map, mut message: Message) -> Message {
    let value = |message: &Message| Value::try_from(&message[2..]).expect("six words");
    match message[0] {
        SET => {
            map.insert(message[1], value(&message));
        }
        _ => match map.get(&message[1]) {
            Some(stored) => message[2..].copy_from_slice(stored),
            None => {
                message[0] = ABSENT;
                message[2..].fill(0);
            }
        },
    }
    message
}

/// Which of `count` owners has a key.
#[must_use]
pub fn owner(key: u64, count: usize) -> usize {
    jump_hash(key, count)
}

/// The map that threads share: in parts, each behind a lock.
#[derive(Debug)]
pub struct Locked([Mutex<Map>; Locked::PARTS]);

impl Locked {
    /// Locks: threads meet at one of them now and then.
    pub const PARTS: usize = 16;

    /// Without keys.
    #[must_use]
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// Does what a request says; its reply.
    pub fn act(&self, message: Message) -> Message {
        let part = &self.0[owner(message[1], Self::PARTS)];
        act(&mut part.lock().unwrap_or_else(PoisonError::into_inner), message)
    }
}

impl Default for Locked {
    fn default() -> Self {
        Self::new()
    }
}

/// The name of [`act`] for other processes.
pub const ACT: &str = "act";

/// Where the keys are, as a loop sees it.
#[derive(Debug, Clone)]
pub enum Keys {
    /// This loop has all.
    Own(Rc<RefCell<Map>>),
    /// Each shard has some, as its state; they are threads of this process.
    Threads(Shard),
    /// Each shard has some, as its state; they are processes.
    Processes(Shard, Peers),
}

impl Keys {
    /// Does what a request says, where its key is; its reply.
    ///
    /// # Errors
    ///
    /// When another shard is gone.
    ///
    /// # Cancel safety
    ///
    /// Weak: it is done or not.
    pub async fn act(&self, message: Message) -> io::Result<Message> {
        match self {
            Self::Own(map) => Ok(act(&mut map.borrow_mut(), message)),
            Self::Threads(shard) => {
                let to = owner(message[1], shard.count());
                if to == shard.index() {
                    return Ok(act_here(shard, message));
                }
                let there = move || async move {
                    let shard = Shard::current();
                    prepare(&shard);
                    act_here(&shard, message)
                };
                shard.submit_to(to, there).await.map_err(io::Error::other)
            }
            Self::Processes(shard, peers) => {
                let to = owner(message[1], peers.count());
                if to == peers.index() {
                    return Ok(act_here(shard, message));
                }
                peers.call(to, ACT, &message).await.map_err(io::Error::other)
            }
        }
    }
}

/// Does what a request says with the keys of a shard.
pub fn act_here(shard: &Shard, message: Message) -> Message {
    shard.with(|map: &mut Map| act(map, message))
}

/// Gives a shard its map, unless it has one: another shard may have called before this one began.
pub fn prepare(shard: &Shard) {
    if let Some(there) = shard.put(Map::default()) {
        shard.put(there);
    }
}

/// What one connection asks, and what it must be answered: the keys are its own, so it knows what
/// is stored under each.
#[derive(Debug)]
pub struct Script {
    connection: u64,
    stored: [Option<Value>; Script::KEYS],
}

impl Script {
    /// Keys of a connection.
    const KEYS: usize = 32;

    /// Nothing is stored yet.
    #[must_use]
    pub fn new(connection: usize) -> Self {
        Self { connection: connection as u64, stored: [None; Self::KEYS] }
    }

    /// Request `number`, of which every fourth stores, and the reply it must have.
    pub fn next(&mut self, number: usize) -> (Message, Message) {
        let random = mixed(self.connection << 32 | number as u64);
        let place = (random >> 8) as usize % Self::KEYS;
        // Keys of all connections lie apart, and far from each other.
        let key = mixed(self.connection * Self::KEYS as u64 + place as u64);
        let mut request = [0; WORDS];
        (request[0], request[1]) = (GET, key);
        let mut reply = request;
        if random.is_multiple_of(4) {
            let value = std::array::from_fn(|word| mixed(random + word as u64));
            self.stored[place] = Some(value);
            request[0] = SET;
            request[2..].copy_from_slice(&value);
            return (request, request);
        }
        match &self.stored[place] {
            Some(value) => reply[2..].copy_from_slice(value),
            None => reply[0] = ABSENT,
        }
        (request, reply)
    }
}

/// splitmix64, which gives different numbers for different ones.
fn mixed(number: u64) -> u64 {
    let seed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_knows_every_answer_of_a_map_that_others_use_too() {
        let (mut own, locked) = (Map::default(), Locked::new());
        let mut scripts = [Script::new(0), Script::new(1)];
        let mut seen = [0; 4];
        for number in 0..1000 {
            for script in &mut scripts {
                let (request, reply) = script.next(number);
                assert_eq!(act(&mut own, request), reply);
                assert_eq!(locked.act(request), reply);
                seen[reply[0] as usize] += 1;
            }
        }
        assert!(seen[GET as usize] > 900 && seen[SET as usize] > 400, "{seen:?}");
        assert!(seen[ABSENT as usize] > 10, "{seen:?}");
    }

    #[test]
    fn a_map_that_forgets_or_mixes_keys_up_is_found_out() {
        let mut script = Script::new(0);
        let wrong = (0..1000).filter(|&number| {
            let (request, reply) = script.next(number);
            act(&mut Map::default(), request) != reply
        });
        assert!(wrong.count() > 500);
    }

    #[test]
    fn messages_are_the_same_as_bytes() {
        let (request, _) = Script::new(3).next(4);
        let mut bytes = [0; MESSAGE];
        write(&request, &mut bytes);
        assert_eq!(read(&bytes), request);
    }

    #[test]
    fn every_owner_has_keys() {
        let mut script = Script::new(0);
        let mut counts = [0; 2];
        (0..200).for_each(|number| counts[owner(script.next(number).0[1], 2)] += 1);
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    }
}
