//! The pool's thread: one tokio runtime, which the NATS client needs, and nothing of it outside.
//!
//! It never waits for the network in its main loop: publishing and asking the server are tasks of
//! their own, what is sent goes through the outbox. So deadlines are kept while the server is away.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::RawMessageErrorKind;
use async_nats::{Message, Subject, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use pool::foreign;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::hub::{Errand, Hub, too_large};
use crate::queue::{Link, Place, whole};
use crate::wire::{self, Order, Presence, Report, Sign, What, Words};

/// How often it looks around.
const TICK: Duration = Duration::from_millis(250);
/// Every so many of these it says that it is there.
const SIGN: u32 = 4;
/// … and looks for jobs.
const LOOK: u32 = 12;
/// A job in the queue that nobody has spoken of for so long is looked for.
const UNHEARD: Duration = Duration::from_secs(5);
/// So many at a time.
const LOOKED_FOR: usize = 32;
/// Messages on their way to the server at a time.
const UNCONFIRMED: usize = 256;
/// How long the end waits for what is on its way: the server may be away.
const FAREWELL: Duration = Duration::from_secs(1);
/// Reports that are answered with one message.
const TOGETHER: usize = 256;
/// The first pause after the server did not take a job, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What the thread reads.
pub(super) struct Ears {
    pub(super) inbox: Subscriber,
    pub(super) agents: Subscriber,
    pub(super) errands: mpsc::UnboundedReceiver<Errand>,
}

impl Ears {
    pub(super) async fn open(
        link: &Link,
        client: &str,
        errands: mpsc::UnboundedReceiver<Errand>,
    ) -> io::Result<Ears> {
        let failed = |error| io::Error::other(format!("subscribing: {}", whole(&error)));
        let inbox = link.client.subscribe(client.to_owned()).await.map_err(failed)?;
        let agents = link.client.subscribe(link.agents.clone()).await.map_err(failed)?;
        Ok(Ears { inbox, agents, errands })
    }
}

/// Serves until told to stop, or until the connection is closed for good.
pub(super) async fn serve(hub: Arc<Hub>, mut link: Link, mut ears: Ears) {
    let permits = Arc::new(Semaphore::new(UNCONFIRMED));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round: u32 = 0;
    let (cut, _) = watch::channel(());
    say(&hub, &link, What::Hello);
    loop {
        let deadline = hub.lock().book.next_deadline();
        let late = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // In this order: what an agent says of its jobs is heard before the sign of life it
            // sent after that.
            biased;
            _ = tick.tick() => {
                round = round.wrapping_add(1);
                look_around(&hub, &link, round);
            }
            () = late => hub.end_late(),
            message = ears.inbox.next() => match message {
                Some(message) => hear_all(&hub, &link, message, &mut ears.inbox),
                None => return hub.give_up("its connection to the server was closed"),
            },
            Some(message) = ears.agents.next() => {
                if let Ok((presence, _)) = wire::unpack::<Presence>(&message.payload) {
                    hub.present(&presence);
                }
            }
            Some(()) = link.events.recv() => {
                hub.lock().book.forgive_silence(Instant::now());
                cut.send_replace(());
                say(&hub, &link, What::Hello);
            }
            Some(errand) = ears.errands.recv() => match errand {
                Errand::Publish(id, attempt) => {
                    let (hub, permits) = (Arc::clone(&hub), Arc::clone(&permits));
                    let way = Way { place: link.place.clone(), permits, cut: cut.subscribe() };
                    tokio::spawn(publish(hub, way, id, attempt));
                }
                Errand::Delete(sequence) => {
                    let (place, permits) = (link.place.clone(), Arc::clone(&permits));
                    tokio::spawn(async move {
                        let _permit = permits.acquire_owned().await;
                        delete(place, sequence).await;
                    });
                }
                Errand::Drop(id) => say(&hub, &link, What::Drop(vec![id])),
                Errand::Stop => break,
            },
        }
    }
    // What is on its way to the queue is taken off again; agents may have the rest.
    let settled = permits.acquire_many(UNCONFIRMED as u32);
    let _ = tokio::time::timeout(FAREWELL, settled).await;
    say(&hub, &link, What::Leaving);
    link.outbox.flush(FAREWELL).await;
}

fn say(hub: &Hub, link: &Link, what: What) {
    link.outbox.say(link.clients.clone(), &Sign { client: hub.client.clone(), what });
}

/// Takes in a report and those right behind it, and answers.
fn hear_all(hub: &Hub, link: &Link, first: Message, inbox: &mut Subscriber) {
    let mut answers: Vec<(Subject, Words)> = Vec::new();
    let mut next = Some(first);
    let mut left = TOGETHER;
    while let Some(message) = next {
        if let Ok((report, tail)) = wire::unpack::<Report>(&message.payload)
            && let Some(word) = hub.report(&report, message.payload.slice_ref(tail))
        {
            let agent = Subject::from(report.agent);
            let word = (report.id, report.turn, word);
            match answers.iter_mut().find(|(to, _)| *to == agent) {
                Some((_, words)) => words.words.push(word),
                None => {
                    let words = Words { client: hub.client.clone(), words: vec![word] };
                    answers.push((agent, words));
                }
            }
        }
        left -= 1;
        // What has come already.
        next = if left > 0 { inbox.next().now_or_never().flatten() } else { None };
    }
    for (agent, words) in answers {
        link.outbox.say(agent, &words);
    }
}

fn look_around(hub: &Arc<Hub>, link: &Link, round: u32) {
    let up = link.is_up();
    let mut state = hub.lock();
    let back = up && !state.up;
    (state.up, state.most) = (up, link.most());
    if back || !up {
        // Who cannot hear does not call others silent.
        state.book.forgive_silence(Instant::now());
    }
    drop(state);
    if !up {
        return;
    }
    hub.with(|book, deeds| book.look_for_silent(Instant::now(), deeds));
    if round.is_multiple_of(SIGN) {
        say(hub, link, What::Here);
    }
    if round.is_multiple_of(LOOK) && !mutant!("never-missed") {
        let unheard = hub.lock().book.unheard(UNHEARD, LOOKED_FOR, Instant::now());
        if !unheard.is_empty() {
            tokio::spawn(look_for(Arc::clone(hub), link.place.clone(), unheard));
        }
    }
}

/// How a job gets into the queue.
struct Way {
    place: Place,
    permits: Arc<Semaphore>,
    /// Changes when the connection is there again: what was on its way before is lost.
    cut: watch::Receiver<()>,
}

/// Puts a job into the queue, and tries again until that is confirmed. The server drops what it has
/// got before.
async fn publish(hub: Arc<Hub>, way: Way, id: u64, attempt: u32) {
    let Way { place, permits, mut cut } = way;
    let Ok(_permit) = permits.acquire_owned().await else { return };
    let mut pause = PAUSES.0;
    loop {
        let Some((bytes, name)) = hub.message(id, attempt) else { return };
        let size = bytes.len();
        let message = PublishMessage::build().payload(bytes).message_id(name);
        cut.mark_unchanged();
        let confirmed = async {
            let sent = place.context.send_publish(place.jobs.clone(), message).await;
            sent?.await
        };
        let confirmed = tokio::select! {
            confirmed = confirmed => confirmed,
            Ok(()) = cut.changed() => continue,
        };
        let error = match confirmed {
            Ok(confirmed) => {
                let now = Instant::now();
                let sequence = confirmed.sequence;
                let wanted = hub.with(|book, _| book.published(id, attempt, sequence, now));
                hub.lock().trouble = None;
                if !wanted {
                    delete(place, sequence).await;
                }
                return;
            }
            Err(error) => error,
        };
        if error.kind() == PublishErrorKind::MaxPayloadExceeded {
            let most = hub.lock().most;
            return hub.with(|book, deeds| {
                let Some(entry) = book.jobs.get(&id) else { return };
                let why = foreign::unsendable(entry.job.task(), too_large(size, most));
                book.end(id, Err(why), deeds);
            });
        }
        if mutant!("published-only-once") {
            return;
        }
        let mut trouble = whole(&error);
        if error.kind() == PublishErrorKind::StreamNotFound {
            // The server was started anew, without what it kept in memory. Or too few servers of a
            // cluster are there, and that is said when the queue is asked for.
            trouble = place.queue().await.err().unwrap_or(trouble);
        }
        hub.lock().trouble = Some(trouble);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Takes a message off the queue. If that fails it is handed out, and then dropped on our word.
async fn delete(place: Place, sequence: u64) {
    if let Ok(stream) = place.context.get_stream_no_info(&place.stream).await {
        let _ = stream.delete_message(sequence).await;
    }
}

/// Looks whether jobs are still in the queue; those that are not go there again.
async fn look_for(hub: Arc<Hub>, place: Place, unheard: Vec<(u64, u64)>) {
    let Ok(stream) = place.context.get_stream_no_info(&place.stream).await else { return };
    for (sequence, id) in unheard {
        let found = stream.get_raw_message(sequence).await;
        let now = Instant::now();
        let is_it = |bytes: &[u8]| match wire::unpack::<Order>(bytes) {
            // A stream that was made anew counts from 1 again.
            Ok((order, _)) => order.client == hub.client && order.id == id,
            Err(_) => false,
        };
        match found.map(|message| is_it(&message.payload)).map_err(|error| error.kind()) {
            Ok(true) => hub.with(|book, _| book.still_queued(id, now)),
            Ok(false) | Err(RawMessageErrorKind::NoMessageFound) => {
                hub.with(|book, deeds| deeds.extend(book.vanished(id, sequence, now)));
            }
            // The server does not answer; or there is no stream any more, and the next look finds
            // nothing in the new one.
            Err(_) => return drop(place.queue().await),
        }
    }
}
