//! The loop of an agent. It waits for nothing but what is said to it: what it sends goes through
//! the outbox, and messages are pulled by a task of their own. So it keeps its signs of life up.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, AckKind};
use async_nats::{Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use pool::foreign::{self, Arguments};
use pool::{Job, JobError, JobOptions, ProcessPool};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::Stops;
use super::clients::Clients;
use super::held::{End, Held, Key, Stage, end_of};
use super::pull::Puller;
use crate::functions::Functions;
use crate::queue::{Link, whole};
use crate::wire::{self, Garbled, Order, Presence, Sign, Turn, What, Word, Words};

/// How often it looks around.
const TICK: Duration = Duration::from_millis(100);
/// How often it says that it is there, and what it has.
const PRESENCE: Duration = Duration::from_millis(500);
/// After how long it repeats what was not answered.
const REPEAT: Duration = Duration::from_millis(500);
/// It takes no more jobs while so many wait to be settled.
const UNSETTLED: usize = 1000;

pub(super) struct Run {
    link: Link,
    pool: ProcessPool,
    functions: Functions,
    patience: Duration,
    /// Its inbox, which is also its name.
    me: String,
    host: String,
    /// What clients say to it, and to all agents.
    inbox: Subscriber,
    signs: Subscriber,
    puller: Puller,
    /// From the queue.
    messages: Subscriber,
    /// No more will come.
    drained: bool,
    held: HashMap<Key, Held>,
    clients: Clients,
    ended: (mpsc::UnboundedSender<Key>, mpsc::UnboundedReceiver<Key>),
    /// Reports and presences sent.
    sent: u64,
    ack_wait: Duration,
    signed: Instant,
    present: Instant,
    leaving: bool,
    /// Why its pool can run nothing any more.
    broken: Option<JobError>,
}

impl Run {
    pub(super) async fn new(
        link: Link,
        pool: ProcessPool,
        functions: Functions,
        patience: Duration,
    ) -> io::Result<Run> {
        let failed = |error| io::Error::other(format!("subscribing: {}", whole(&error)));
        let me = link.client.new_inbox();
        let inbox = link.client.subscribe(me.clone()).await.map_err(failed)?;
        let signs = link.client.subscribe(link.clients.clone()).await.map_err(failed)?;
        let consumer = link.place.queue().await.map_err(io::Error::other)?;
        // What counts is how the queue is kept, whoever made it.
        let ack_wait = consumer.cached_info().config.ack_wait;
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let puller = Puller::new(&link);
        let messages = puller.subscribe(&link.client).await.map_err(failed)?;
        let now = Instant::now();
        Ok(Run {
            puller,
            messages,
            drained: false,
            link,
            pool,
            functions,
            patience,
            me,
            host: host.unwrap_or_else(|| "a host without a name".to_owned()),
            inbox,
            signs,
            held: HashMap::new(),
            clients: Clients::default(),
            ended: mpsc::unbounded_channel(),
            sent: 0,
            ack_wait,
            signed: now,
            present: now,
            leaving: false,
            broken: None,
        })
    }

    pub(super) async fn serve(mut self, mut stops: Stops) -> io::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.say_present(false);
        loop {
            self.pull();
            tokio::select! {
                biased;
                Some(()) = stops.recv() => {
                    if self.leaving {
                        break;
                    }
                    self.leave();
                    // What is on its way already still comes, and is handed back.
                    self.drained = self.messages.drain().await.is_err();
                }
                _ = tick.tick() => self.look_around(),
                message = self.inbox.next() => match message {
                    Some(message) => self.hear(&message.payload),
                    None => return Err(io::Error::other("the connection to the server was closed")),
                },
                Some(message) = self.signs.next() => self.heed(&message.payload),
                Some(()) = self.link.events.recv() => self.reconnected(),
                Some(key) = self.ended.1.recv() => self.finished(key),
                Some(()) = self.puller.mended.recv() => self.puller.is_mended(),
                message = self.messages.next(), if !self.drained => match message {
                    Some(message) => self.take_in(message),
                    None => self.drained = true,
                },
            }
            if self.leaving && self.held.is_empty() && (self.drained || !self.link.is_up()) {
                break;
            }
        }
        self.say_present(true);
        self.link.outbox.flush(Duration::from_secs(1)).await;
        // What still runs was given up.
        self.pool.shutdown_within(Duration::ZERO, true);
        match self.broken {
            Some(error) => Err(io::Error::other(format!("the agent's {error}"))),
            None => Ok(()),
        }
    }

    /// Asks for as many messages as there is room for.
    fn pull(&mut self) {
        let active = self.held.values().filter(|held| held.is_active()).count();
        let ahead = if mutant!("as-many-as-there-are") { 1000 } else { 2 * self.pool.workers() };
        let room = ahead.saturating_sub(active);
        if !self.leaving && room > 0 && self.held.len() < UNSETTLED {
            self.puller.ask(room);
        }
    }

    /// A message from the queue, or word of it.
    fn take_in(&mut self, message: Message) {
        let Some(message) = self.puller.sort(message) else { return };
        let Some(reply) = message.reply.clone() else { return };
        let context = self.link.place.context.clone();
        let message = jetstream::Message { message, context };
        let Ok(info) = message.info() else { return };
        let (delivery, times) = (info.consumer_sequence, info.delivered.max(1) as u64);
        let (order, arguments) = match wire::unpack::<Order>(&message.payload) {
            Ok((order, arguments)) => (order, message.payload.slice_ref(arguments)),
            // There may be agents that understand it.
            Err(Garbled::Version(_)) => return self.ack(&reply, AckKind::Nak(Some(REPEAT))),
            Err(Garbled::Bytes) => return self.ack(&reply, AckKind::Term),
        };
        let turn = Turn { attempt: order.attempt, delivery };
        let key = (order.client.clone(), order.id);
        let unwanted = !self.clients.meet(&order.client, Instant::now());
        if unwanted || self.clients.is_dropped(&key) {
            return self.ack(&reply, AckKind::Ack);
        }
        if self.leaving {
            // It came late; the next one is to have it.
            return self.ack(&reply, AckKind::Nak(None));
        }
        let same = |held: &&mut Held| {
            held.order.attempt == turn.attempt || matches!(held.stage, Stage::Running(_))
        };
        if let Some(held) = self.held.get_mut(&key).filter(same) {
            // The server has not heard of us for too long.
            (held.turn, held.times, held.reply) = (turn, times, reply.clone());
            if held.acked {
                self.ack(&reply, AckKind::Ack);
            }
            return self.tell(&key);
        }
        let (stage, told) = (Stage::Asking, Instant::now());
        let acked = false;
        self.begin(key, Held { order, arguments, turn, times, reply, acked, stage, told });
    }

    fn begin(&mut self, key: Key, mut held: Held) {
        let Order { function, signature, task, once, .. } = &held.order;
        let ask = *once || held.times > 1;
        if let Err(reason) = self.functions.get(function, *signature) {
            let reason = format!("agent {}:{}: {reason}", self.host, std::process::id());
            held.stage = Stage::Reporting(End::failed(&foreign::refused(task, reason)));
            self.held.insert(key.clone(), held);
            return self.tell(&key);
        }
        self.held.insert(key.clone(), held);
        if ask { self.tell(&key) } else { self.start(&key) }
    }

    /// Gives a job to the pool.
    fn start(&mut self, key: &Key) {
        let Some(held) = self.held.get_mut(key) else { return };
        let order = &held.order;
        let Ok(function) = self.functions.get(&order.function, order.signature) else { return };
        let mut options = JobOptions::new().name(&*order.task).priority(order.priority);
        options = options.retries(order.retries);
        if let Some(limit) = order.timeout {
            options = options.timeout(limit);
        }
        let arguments = Vec::from(std::mem::take(&mut held.arguments));
        let arguments = match order.items {
            true => Arguments::Items(arguments),
            false => Arguments::One(arguments),
        };
        let once = order.once;
        let job = foreign::submit(&self.pool, options, function, arguments);
        let (tell, own) = (self.ended.0.clone(), key.clone());
        job.on_done(move |_| drop(tell.send(own)));
        held.stage = Stage::Running(job);
        if once || mutant!("taken-off-too-early") {
            // Not again, whatever comes. (That it runs nowhere else is the client's doing.)
            held.acked = true;
            let reply = held.reply.clone();
            self.ack(&reply, AckKind::Ack);
        }
    }

    /// A job has ended.
    fn finished(&mut self, key: Key) {
        let most = self.link.most();
        let Some(held) = self.held.get_mut(&key) else { return };
        let Stage::Running(job) = std::mem::replace(&mut held.stage, Stage::Asking) else { return };
        let outcome = result_of(job);
        if mutant!("deaths-are-kept-quiet") && matches!(outcome, Err(JobError::WorkerDied(_))) {
            self.held.remove(&key);
            return;
        }
        let end = match outcome {
            Err(error @ (JobError::Broken(_) | JobError::PoolShutdown)) => {
                self.broken.get_or_insert(error);
                End::Unstarted
            }
            outcome => end_of(&held.order.task, outcome, most),
        };
        held.stage = Stage::Reporting(end);
        self.tell(&key);
        if self.broken.is_some() && !self.leaving {
            self.leave();
        }
    }

    /// Says to its client what there is to say of a job.
    fn tell(&mut self, key: &Key) {
        let most = self.link.most();
        let Some(held) = self.held.get_mut(key) else { return };
        if self.clients.is_gone(&key.0) && !held.is_active() {
            let reply = held.reply.clone();
            self.held.remove(key);
            return self.ack(&reply, AckKind::Ack);
        }
        held.told = Instant::now();
        for report in held.reports(&self.me, &mut self.sent, most) {
            self.link.outbox.send(Subject::from(key.0.as_str()), report);
        }
    }

    /// Answers to its reports.
    fn hear(&mut self, bytes: &Bytes) {
        let Ok((Words { client, words }, _)) = wire::unpack::<Words>(bytes) else { return };
        self.clients.hear(&client, Instant::now());
        for (id, turn, word) in words {
            let key = (client.clone(), id);
            let Some(held) = self.held.get(&key).filter(|held| held.turn == turn) else { continue };
            match (word, &held.stage) {
                (Word::Run, Stage::Asking) => self.start(&key),
                // An answer to what was asked before it ran.
                (_, Stage::Running(_)) | (Word::Run, _) => {}
                (Word::Settled, _) => self.let_go(&key, Some(AckKind::Ack)),
                (Word::Again, _) => self.let_go(&key, Some(AckKind::Nak(None))),
                (Word::Forget, _) => self.let_go(&key, None),
            }
        }
    }

    fn let_go(&mut self, key: &Key, ack: Option<AckKind>) {
        let Some(held) = self.held.remove(key) else { return };
        if let Some(kind) = ack.filter(|_| !held.acked) {
            self.ack(&held.reply, kind);
        }
    }

    fn ack(&self, reply: &Subject, kind: AckKind) {
        self.link.outbox.send(reply.clone(), Bytes::from(kind));
    }

    /// What clients say to all agents.
    fn heed(&mut self, bytes: &Bytes) {
        let Ok((Sign { client, what }, _)) = wire::unpack::<Sign>(bytes) else { return };
        match what {
            What::Hello => {
                self.clients.hear(&client, Instant::now());
                self.say_present(false);
            }
            What::Here => self.clients.hear(&client, Instant::now()),
            What::Drop(ids) => {
                self.clients.hear(&client, Instant::now());
                for id in ids {
                    self.clients.drop_job(&client, id);
                    self.drop_job(&(client.clone(), id));
                }
            }
            What::Leaving => {
                self.clients.leave(&client);
                self.drop_all(&client);
            }
        }
    }

    fn drop_all(&mut self, client: &str) {
        let keys: Vec<Key> = self.held.keys().filter(|key| key.0 == client).cloned().collect();
        keys.iter().for_each(|key| self.drop_job(key));
    }

    /// A job is wanted no more.
    fn drop_job(&mut self, key: &Key) {
        match self.held.get(key).map(|held| &held.stage) {
            // It ends in some way, which is then reported.
            Some(Stage::Running(job)) => drop(job.kill()),
            Some(Stage::Asking) => self.let_go(key, Some(AckKind::Ack)),
            Some(Stage::Reporting(_)) => self.tell(key),
            None => {}
        }
    }

    fn reconnected(&mut self) {
        self.clients.forgive_silence(Instant::now());
        self.puller.ask_anew();
        self.say_present(false);
        self.repeat(Duration::ZERO);
    }

    fn look_around(&mut self) {
        let now = Instant::now();
        if !self.link.is_up() {
            // Who cannot hear does not call others silent; and what is sent now only piles up.
            return self.clients.forgive_silence(now);
        }
        if now - self.signed >= self.ack_wait / 3 && !mutant!("no-signs-of-work") {
            self.signed = now;
            for held in self.held.values().filter(|held| !held.acked) {
                self.ack(&held.reply, AckKind::Progress);
            }
        }
        self.repeat(REPEAT);
        for client in self.clients.look_for_silent(self.patience, now) {
            self.drop_all(&client);
        }
        if now - self.present >= PRESENCE {
            self.say_present(false);
        }
    }

    /// Says again what has not been answered for so long.
    fn repeat(&mut self, limit: Duration) {
        if mutant!("told-only-once") {
            return;
        }
        let waiting =
            |held: &Held| !matches!(held.stage, Stage::Running(_)) && held.told.elapsed() >= limit;
        let keys = self.held.iter().filter(|(_, held)| waiting(held)).map(|(key, _)| key.clone());
        keys.collect::<Vec<_>>().iter().for_each(|key| self.tell(key));
    }

    fn say_present(&mut self, gone: bool) {
        self.present = Instant::now();
        self.sent += 1;
        let mut held: HashMap<&str, Vec<(u64, bool)>> = HashMap::new();
        for ((client, id), job) in &self.held {
            held.entry(client).or_default().push((*id, job.is_started()));
        }
        let presence = Presence {
            agent: self.me.clone(),
            sent: self.sent,
            host: self.host.clone(),
            pid: std::process::id(),
            workers: self.pool.workers() as u32,
            gone,
            held: held.into_iter().map(|(client, jobs)| (client.to_owned(), jobs)).collect(),
        };
        self.link.outbox.say(self.link.agents.clone(), &presence);
    }

    /// Takes no more jobs, and hands back those that no worker has started.
    fn leave(&mut self) {
        self.leaving = true;
        let keys: Vec<Key> = self.held.keys().cloned().collect();
        for key in keys {
            match self.held.get_mut(&key).map(|held| &mut held.stage) {
                // What it is cancelled for is reported as any end.
                Some(Stage::Running(job)) => drop(job.cancel()),
                Some(stage @ Stage::Asking) => {
                    *stage = Stage::Reporting(End::Unstarted);
                    self.tell(&key);
                }
                _ => {}
            }
        }
    }
}

/// The result of a job that has ended.
fn result_of(mut job: Job<Vec<u8>>) -> Result<Vec<u8>, JobError> {
    job.wait_timeout(Duration::ZERO).unwrap_or(Err(JobError::Cancelled))
}
