//! The thread that looks for shards which are stuck: in a call that blocks, or an endless loop.
//!
//! It asks every loop for a sign of life, by a callback, and reports those that owe one for too
//! long. A loop that sleeps is woken for that, which is a few microseconds every few seconds.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::group::Group;

/// Looks for shards that are stuck, until it is dropped.
pub(crate) struct Watch {
    _end: Sender<std::convert::Infallible>,
}

impl Watch {
    /// `None` if nobody asked for it, or there is no thread to be had: it is a comfort.
    pub(crate) fn start(group: &Arc<Group>, name: &str) -> Option<Watch> {
        let after = group.rules.stuck?;
        let (end, is_end) = channel();
        let group = group.clone();
        let thread = thread::Builder::new().name(format!("watch-{name}"));
        thread.spawn(move || watch(&group, after, &is_end)).ok()?;
        Some(Watch { _end: end })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// What a shard owes.
#[derive(Default)]
struct Asked {
    /// Since when it owes a sign of life.
    since: Option<Instant>,
    reported: bool,
    /// Set by the shard.
    answered: Arc<Mutex<bool>>,
}

fn watch(group: &Group, after: Duration, end: &Receiver<std::convert::Infallible>) {
    let mut shards: Vec<Asked> = group.cpus.iter().map(|_| Asked::default()).collect();
    while matches!(end.recv_timeout(after / 2), Err(RecvTimeoutError::Timeout)) {
        for (shard, asked) in shards.iter_mut().enumerate() {
            look(group, shard, asked, after);
        }
    }
}

fn look(group: &Group, shard: usize, asked: &mut Asked, after: Duration) {
    // One that has ended, or makes a pause after a panic, owes nothing.
    let Some(handle) = group.handle(shard) else {
        *asked = Asked::default();
        return;
    };
    if let Some(since) = asked.since {
        let silence = since.elapsed();
        let answered = *asked.answered.lock().unwrap_or_else(PoisonError::into_inner);
        match (answered, asked.reported) {
            (true, true) => group.rules.observer.tell(&Event::Unstuck { shard, silence }),
            (false, false) if silence >= after => {
                asked.reported = true;
                group.rules.observer.tell(&Event::Stuck { shard, silence });
            }
            _ => {}
        }
        if !answered {
            return;
        }
    }
    let answered = Arc::new(Mutex::new(false));
    let sign = answered.clone();
    let ask = move || *sign.lock().unwrap_or_else(PoisonError::into_inner) = true;
    // A loop that has just gone is noticed the next time.
    let since = handle.call_soon(ask).is_ok().then(Instant::now);
    *asked = Asked { since, reported: false, answered };
}
