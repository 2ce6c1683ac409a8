//! Asking the queue for messages, so many as there is room for.
//!
//! All come to one inbox, which is there for as long as the agent: what the server sends to an
//! inbox that is gone is missing until it gives it to somebody else. One request at a time; it ends
//! when all it asked for have come, or when the server says so. Nothing here waits for the server.

use std::time::{Duration, Instant};

use async_nats::{Client, Message, StatusCode, Subject, Subscriber};
use tokio::sync::mpsc;

use crate::queue::{CONSUMER, Link, Outbox, Place};

/// For how long one request for messages holds.
const EXPIRES: Duration = Duration::from_secs(10);
/// A request that the server has not ended so long after that is forgotten.
const GRACE: Duration = Duration::from_secs(2);
/// The pause after a request that failed.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Puller {
    outbox: Outbox,
    place: Place,
    inbox: Subject,
    /// How many messages the request is still to bring, and when it is forgotten.
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
        if self.mending || self.request.is_some_and(|(_, over)| now < over) {
            return;
        }
        let api = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{CONSUMER}", self.place.stream);
        let asked = format!(r#"{{"batch":{count},"expires":{}}}"#, EXPIRES.as_nanos());
        self.outbox.ask(api, self.inbox.clone(), asked);
        self.request = Some((count, now + EXPIRES + GRACE));
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
        match message.status {
            None | Some(StatusCode::OK) => {
                let left = self.request.map(|(left, over)| (left.saturating_sub(1), over));
                self.request = left.filter(|(left, _)| *left > 0);
                return Some(message);
            }
            Some(StatusCode::IDLE_HEARTBEAT) => {}
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
