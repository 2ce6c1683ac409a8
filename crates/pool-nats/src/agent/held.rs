//! `Held`: a job that an agent has in hand.
//!
//! # Life
//!
//! ```text
//!              "run"              it ended
//!   Asking -----------> Running -------------> Reporting
//!     |                                            |
//!     +--------------------------------------------+--> settled, put back, or forgotten:
//!       "settled", "forget"                              on the client's word
//! ```
//!
//! One that is idempotent, and is handed out for the first time, begins as Running. One that runs
//! once is acknowledged before it runs, others when they are settled; until then the server gets a
//! sign of life of it.

use std::time::Instant;

use async_nats::Subject;
use bytes::Bytes;
use pool::{Job, JobError, JobState};

use crate::wire::{self, News, Order, Report, Turn};

/// By client and number.
pub(super) type Key = (String, u64);

/// A result may be sent in so many messages.
const PARTS: usize = 64;

#[derive(Debug)]
pub(super) struct Held {
    pub(super) order: Order,
    pub(super) arguments: Bytes,
    pub(super) turn: Turn,
    /// How often the server has handed out this message, as it says.
    pub(super) times: u64,
    /// Where this turn is acknowledged.
    pub(super) reply: Subject,
    pub(super) acked: bool,
    pub(super) stage: Stage,
    /// When its report was sent last.
    pub(super) told: Instant,
}

#[derive(Debug)]
pub(super) enum Stage {
    Asking,
    Running(Job<Vec<u8>>),
    Reporting(End),
}

/// What became of it.
#[derive(Debug)]
pub(super) enum End {
    Done(Bytes),
    /// A `JobError`, encoded.
    Failed(Bytes),
    Unstarted,
}

impl End {
    pub(super) fn failed(error: &JobError) -> End {
        End::Failed(postcard::to_stdvec(error).expect("errors can always be encoded").into())
    }
}

impl Held {
    /// Whether it takes one of the places for jobs that run or are about to.
    pub(super) fn is_active(&self) -> bool {
        !matches!(self.stage, Stage::Reporting(_))
    }

    pub(super) fn is_started(&self) -> bool {
        match &self.stage {
            Stage::Running(job) => job.state() == JobState::Running,
            Stage::Asking | Stage::Reporting(_) => false,
        }
    }

    /// Its report, in as many messages as it takes; none while it runs. `most` bytes fit into one.
    pub(super) fn reports(&self, agent: &str, sent: &mut u64, most: usize) -> Vec<Vec<u8>> {
        let mut pack = |news, tail: &[u8]| {
            *sent += 1;
            let agent = agent.to_owned();
            let (id, turn, times) = (self.order.id, self.turn, self.times);
            let report = Report { agent, sent: *sent, id, turn, times, news };
            wire::pack(&report, tail)
        };
        match &self.stage {
            Stage::Running(_) => Vec::new(),
            Stage::Asking => vec![pack(News::Asking, &[])],
            Stage::Reporting(End::Unstarted) => vec![pack(News::Unstarted, &[])],
            Stage::Reporting(End::Failed(error)) => vec![pack(News::Failed, error)],
            Stage::Reporting(End::Done(bytes)) => {
                let room = room(most);
                let parts = bytes.len().div_ceil(room).max(1) as u32;
                let part = |n: u32| {
                    let start = n as usize * room;
                    let tail = &bytes[start..bytes.len().min(start + room)];
                    pack(News::Done { part: n, parts }, tail)
                };
                (0..parts).map(part).collect()
            }
        }
    }
}

/// Bytes of a result that go into one message.
fn room(most: usize) -> usize {
    most.saturating_sub(wire::OVERHEAD).max(1)
}

/// What a result is reported as: one that is too large is an error.
pub(super) fn end_of(task: &str, outcome: Result<Vec<u8>, JobError>, most: usize) -> End {
    match outcome {
        Ok(bytes) if bytes.len() > room(most) * PARTS => {
            let why = format!(
                "its result takes {} bytes, and {PARTS} messages of the server take {}; leave \
                 large results where they can be found; of a map, set a smaller chunk",
                bytes.len(),
                room(most) * PARTS
            );
            End::failed(&pool::foreign::unsendable(task, why))
        }
        Ok(bytes) => End::Done(bytes.into()),
        // Whoever cancelled it, it has not run.
        Err(JobError::Cancelled) => End::Unstarted,
        Err(error) => End::failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(end: End) -> Held {
        let order = Order {
            client: "c".to_owned(),
            id: 5,
            attempt: 0,
            function: "f".to_owned(),
            signature: 0,
            items: false,
            once: false,
            task: "f".to_owned(),
            timeout: None,
            retries: 0,
            priority: 0,
        };
        Held {
            order,
            arguments: Bytes::new(),
            turn: Turn { attempt: 0, delivery: 1 },
            times: 1,
            reply: Subject::from("$JS.ACK.x"),
            acked: false,
            stage: Stage::Reporting(end),
            told: Instant::now(),
        }
    }

    #[test]
    fn a_large_result_goes_in_parts_that_make_the_whole() {
        let bytes: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
        let most = wire::OVERHEAD + 4096;
        let reports = held(end_of("f", Ok(bytes.clone()), most)).reports("a", &mut 0, most);
        let parts: Vec<_> =
            reports.iter().map(|bytes| wire::unpack::<Report>(bytes).unwrap()).collect();
        let news: Vec<_> = parts.iter().map(|(report, _)| report.news).collect();
        assert_eq!(news, [0, 1, 2].map(|part| News::Done { part, parts: 3 }));
        assert_eq!(parts.iter().map(|(_, tail)| *tail).collect::<Vec<_>>().concat(), bytes);
        assert!(reports.iter().all(|bytes| bytes.len() <= most));
    }

    #[test]
    fn an_empty_result_is_one_message_and_too_large_a_one_is_an_error() {
        let most = wire::OVERHEAD + 10;
        assert_eq!(held(end_of("f", Ok(Vec::new()), most)).reports("a", &mut 0, most).len(), 1);
        let End::Failed(error) = end_of("f", Ok(vec![0; 10 * PARTS + 1]), most) else {
            panic!("it fits")
        };
        let error: JobError = postcard::from_bytes(&error).unwrap();
        assert!(error.to_string().contains("takes 641 bytes"), "{error}");
    }
}
