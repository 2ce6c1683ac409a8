//! Names and their addresses.
//!
//! io_uring has no opcode for a look-up, so getaddrinfo(3) is called on a helper thread
//! (`blocking.rs`, which bounds how many run). A name that is asked for while it is being looked up
//! shares that call, and an answer is kept for a short while.
//!
//! # Life story of a [`Question`]
//!
//! *in line*: no helper has begun with it. *asked*: one has, and nothing can stop it. *answered*:
//! the answer is in the channel, or one of those who wait has taken it out and put it where all see
//! it. Those who wait hold a count, and the table another one. If the last who waits goes while it
//! is in line, it is withdrawn; later it stays in the table, so that whoever asks for that name
//! next joins it: a name whose server is silent holds one helper, not one for each attempt.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::blocking::{self, Asked};
use crate::context;
use crate::sync::OnceCell;
use crate::sys::clock::saturating_ns;

/// Names that are kept at most; beyond that an answer is not kept.
const MOST_KEPT: usize = 1024;

/// Looks names up; set by [`Builder::resolve_with`](crate::Builder::resolve_with). It is called on
/// a helper thread, and may block.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host, best first. Their ports are not looked at.
    ///
    /// # Errors
    ///
    /// Whoever asks is told, with the name.
    fn resolve(&self, host: &str) -> io::Result<Vec<SocketAddr>>;
}

impl<F> Resolve for F
where
    F: Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
{
    fn resolve(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        self(host)
    }
}

/// What a loop is told of names.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) resolver: Arc<dyn Resolve>,
    /// How long an answer is kept.
    pub(crate) keep: Duration,
}

impl Options {
    pub(crate) fn new() -> Self {
        let system = |host: &str| (host, 0).to_socket_addrs().map(Iterator::collect);
        Options { resolver: Arc::new(system), keep: Duration::from_secs(5) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("keep", &self.keep).finish_non_exhaustive()
    }
}

type Addresses = Rc<[SocketAddr]>;

/// An error that several can be told.
#[derive(Clone, Debug)]
struct Failure {
    kind: io::ErrorKind,
    text: String,
}

struct Question {
    answer: OnceCell<Result<Addresses, Failure>>,
    asked: RefCell<Asked<io::Result<Vec<SocketAddr>>>>,
}

enum Entry {
    Asked(Rc<Question>),
    Known { addresses: Addresses, until: u64 },
}

/// The names of one loop.
pub(crate) struct Names {
    options: Options,
    table: RefCell<HashMap<String, Entry>>,
    calls: Cell<u64>,
}

impl Names {
    pub(crate) fn new(options: Options) -> Self {
        Names { options, table: RefCell::default(), calls: Cell::new(0) }
    }

    /// How often the resolver was called.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.get()
    }

    fn find(&self, host: &str, now: u64) -> io::Result<Entry> {
        let mut table = self.table.borrow_mut();
        if mutant!("every-look-up-asks-anew") {
            table.clear();
        }
        match table.get(host) {
            Some(Entry::Asked(question)) => return Ok(Entry::Asked(question.clone())),
            Some(Entry::Known { addresses, until }) if now < *until => {
                return Ok(Entry::Known { addresses: addresses.clone(), until: *until });
            }
            _ => {}
        }
        drop(table);
        let (resolver, name) = (self.options.resolver.clone(), host.to_owned());
        let asked = RefCell::new(blocking::look_up(move || resolver.resolve(&name))?);
        let question = Rc::new(Question { answer: OnceCell::new(), asked });
        self.calls.set(self.calls.get() + 1);
        let mut table = self.table.borrow_mut();
        if table.len() >= MOST_KEPT {
            table.retain(|_, entry| entry.is_of_use(now));
        }
        table.insert(host.to_owned(), Entry::Asked(question.clone()));
        Ok(Entry::Asked(question))
    }

    /// An answer has come: it is kept, or the next who asks asks anew.
    fn settle(&self, host: &str, question: &Rc<Question>, now: u64) {
        let mut table = self.table.borrow_mut();
        let Some(Entry::Asked(current)) = table.get(host) else { return };
        if !Rc::ptr_eq(current, question) {
            return;
        }
        table.remove(host);
        let keep = saturating_ns(self.options.keep);
        if let Some(Ok(addresses)) = question.answer.get()
            && keep > 0
            && table.len() < MOST_KEPT
        {
            let known =
                Entry::Known { addresses: addresses.clone(), until: now.saturating_add(keep) };
            table.insert(host.to_owned(), known);
        }
    }

    /// Nobody waits any more for what nobody has begun with.
    fn withdraw(&self, host: &str, question: &Rc<Question>) {
        let mut table = self.table.borrow_mut();
        let same = |entry: &Entry| matches!(entry, Entry::Asked(it) if Rc::ptr_eq(it, question));
        if Rc::strong_count(question) == 2
            && !question.asked.borrow().has_begun()
            && table.get(host).is_some_and(same)
        {
            table.remove(host);
        }
    }
}

impl Entry {
    fn is_of_use(&self, now: u64) -> bool {
        match self {
            Entry::Known { until, .. } => now < *until,
            Entry::Asked(question) => {
                Rc::strong_count(question) > 1 || !question.asked.borrow().is_over()
            }
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Waits for an answer; dropped, it may withdraw the question.
struct Asker<'a> {
    host: &'a str,
    question: Rc<Question>,
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        // Where no loop runs on this thread it is being dropped, names and all.
        let _ = context::with_core(|core| core.names.withdraw(self.host, &self.question));
    }
}

/// The addresses of a host, each with port 0.
pub(super) async fn look_up(host: &str) -> io::Result<Addresses> {
    let _hold = crate::hold::hold("a look-up of a name");
    let find = context::core("a look-up of a name", |core| core.names.find(host, core.clock.now()));
    let question = match find? {
        Entry::Known { addresses, .. } => return Ok(addresses),
        Entry::Asked(question) => question,
    };
    let asker = Asker { host, question };
    let question = &asker.question;
    let answer = question.answer.get_or_init(async || question.answer().await).await.clone();
    context::core("a look-up of a name", |core| {
        core.names.settle(host, question, core.clock.now());
    });
    answer.map_err(|failure| io::Error::new(failure.kind, failure.text))
}

impl Question {
    /// Waits for the helper. If who waits goes, another can go on.
    async fn answer(&self) -> Result<Addresses, Failure> {
        let answer = poll_fn(|cx| Pin::new(&mut *self.asked.borrow_mut()).poll(cx)).await;
        answer
            .map(Rc::from)
            .map_err(|error| Failure { kind: error.kind(), text: error.to_string() })
    }
}
