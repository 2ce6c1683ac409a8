//! Asking the queue for messages, so many as there is room for.
//!
//! All come to one inbox, which is there for as long as the agent: what the server sends to an
//! inbox that is gone is missing until it gives it to somebody else. One request at a time; it ends
//! when all it asked for have come, or when the server says so. Nothing here waits for the server.
//!
//! In a cluster the server that has the request need not be the one this agent is connected to: if
//! it dies, its successor knows nothing of the request, and nobody says so. So the server is asked
//! for signs of life. If they stay out for another reason, there are two requests for a while, and
//! some jobs more than there is room for.

use std::time::{Duration, Instant};

use async_nats::{Client, Message, StatusCode, Subject, Subscriber};
use tokio::sync::mpsc;

use crate::queue::{CONSUMER, Link, Outbox, Place};

/// For how long one request for messages holds.
const EXPIRES: Duration = Duration::from_secs(10);
/// How often the server is to say that it has it, if there is nothing else to say.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A request of which nothing has been heard for so long is forgotten.
const SILENCE: Duration = Duration::from_secs(3);
/// The pause after a request that failed.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Puller {
    outbox: Outbox,
    place: Place,
    inbox: Subject,
    /// How many messages the request is still to bring, and when it was heard of last.
    request: Option<(usize, Instant)>,
    /// The queue is being looked after; no request before that is done.
    mending: bool,
    mend: mpsc::UnboundedSender<()>,
    /// Tells of the end of that.
    pub(super) mended: mpsc::UnboundedReceiver<()>,
}

impl Puller {
    pub(super) fn new(link: &Link) -> Puller {
        let (mend, mended) = mpsc::unbounded_channel();
        Puller {
            outbox: link.outbox.clone(),
            place: link.place.clone(),
            inbox: link.client.new_inbox().into(),
            request: None,
            mending: false,
            mend,
            mended,
        }
    }

    /// Where the messages come, to be read by whoever has the puller.
    pub(super) async fn subscribe(
        &self,
        client: &Client,
    ) -> Result<Subscriber, async_nats::SubscribeError> {
        client.subscribe(self.inbox.clone()).await
    }

    /// Asks for so many, unless a request is under way.
    pub(super) fn ask(&mut self, count: usize) {
        let now = Instant::now();
        let holds = |(_, heard)| now - heard < SILENCE || mutant!("a-request-outlives-its-server");
        if self.mending || self.request.is_some_and(holds) {
            return;
        }
        let api = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{CONSUMER}", self.place.stream);
        let [expires, heartbeat] = [EXPIRES, HEARTBEAT].map(|time| time.as_nanos());
        let asked =
            format!(r#"{{"batch":{count},"expires":{expires},"idle_heartbeat":{heartbeat}}}"#);
        self.outbox.ask(api, self.inbox.clone(), asked);
        self.request = Some((count, now));
    }

    /// The connection was made anew: the server knows of no request.
    pub(super) fn ask_anew(&mut self) {
        self.request = None;
    }

    pub(super) fn is_mended(&mut self) {
        self.mending = false;
    }

    /// What has come: a message of the queue, or word of the request.
    pub(super) fn sort(&mut self, message: Message) -> Option<Message> {
        let heard = self.request.map(|(left, _)| (left, Instant::now()));
        match message.status {
            None | Some(StatusCode::OK) => {
                let left = heard.map(|(left, heard)| (left.saturating_sub(1), heard));
                self.request = left.filter(|(left, _)| *left > 0);
                return Some(message);
            }
            Some(StatusCode::IDLE_HEARTBEAT) => self.request = heard,
            // It has expired.
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => self.request = None,
            // There is no such queue, or nobody to answer: the server was perhaps started anew,
            // without what it kept in memory.
            Some(_) => self.look_after_the_queue(),
        }
        None
    }

    fn look_after_the_queue(&mut self) {
        self.request = None;
        if std::mem::replace(&mut self.mending, true) {
            return;
        }
        let (place, mend) = (self.place.clone(), self.mend.clone());
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            let _ = place.queue().await;
            let _ = mend.send(());
        });
    }
}
