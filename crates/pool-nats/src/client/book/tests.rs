//! What the book decides, one situation after the other.

use pool::foreign::{ForeignJob, Line};

use super::*;
use crate::wire::{Order, Turn};

struct Nobody;

impl Line for Nobody {
    fn cancel(&self, _: u64) -> bool {
        false
    }

    fn kill(&self, _: u64) -> bool {
        false
    }
}

/// A book with one job in it, number 1.
struct Scene {
    book: Book,
    now: Instant,
    sent: u64,
    deeds: Vec<Deed>,
}

const SILENCE: Duration = Duration::from_secs(10);

fn scene(once: bool, retries: u32) -> Scene {
    let now = Instant::now();
    let mut book = Book::new(Limits { silence: SILENCE, losses: 2 });
    let job = ForeignJob::new("f", book.number(), Arc::new(Nobody));
    let order = Order {
        client: "me".to_owned(),
        id: 1,
        attempt: 0,
        function: "f".to_owned(),
        signature: 0,
        items: false,
        once,
        task: "f".to_owned(),
        timeout: None,
        retries: 0,
        priority: 0,
    };
    let deadline = Some(Duration::from_secs(60));
    let deed = book.add(Entry::new(job, order, vec![7], retries, deadline, now));
    assert!(matches!(deed, Deed::Publish(1, 0)));
    assert!(book.published(1, 0, 33, now));
    Scene { book, now, sent: 0, deeds: Vec::new() }
}

impl Scene {
    fn hear(&mut self, agent: &str, turn: (u32, u64), news: News, tail: &[u8]) -> Option<Word> {
        self.sent += 1;
        let turn = Turn { attempt: turn.0, delivery: turn.1 };
        let (agent, sent, times) = (agent.to_owned(), self.sent, turn.delivery);
        let report = Report { agent, sent, id: 1, turn, times, news };
        let tail = Bytes::copy_from_slice(tail);
        self.book.report(&report, tail, self.now, &mut self.deeds)
    }

    fn ask(&mut self, agent: &str, turn: (u32, u64)) -> Option<Word> {
        self.hear(agent, turn, News::Asking, &[])
    }

    fn done(&mut self, agent: &str, turn: (u32, u64)) -> Option<Word> {
        self.hear(agent, turn, News::Done { part: 0, parts: 1 }, &[42])
    }

    fn died(&mut self, agent: &str, turn: (u32, u64)) -> Option<Word> {
        // As agents send it: variant 2, its task, process and signal, and no last words.
        let bytes = postcard::to_stdvec(&(2u32, "f", 9u32, 0u32, 6i32, false)).unwrap();
        let error: JobError = postcard::from_bytes(&bytes).unwrap();
        assert!(matches!(error, JobError::WorkerDied(_)));
        self.hear(agent, turn, News::Failed, &bytes)
    }

    fn present(&mut self, agent: &str, sent: u64, held: &[(u64, bool)]) {
        let presence = Presence {
            agent: agent.to_owned(),
            sent,
            host: "h".to_owned(),
            pid: 1,
            workers: 2,
            gone: false,
            held: vec![("me".to_owned(), held.to_vec())],
        };
        self.book.present(&presence, "me", self.now, &mut self.deeds);
    }

    /// What the job ended with, if it did.
    fn end(&mut self) -> Option<Result<Vec<u8>, JobError>> {
        let ends = self.deeds.drain(..).filter_map(|deed| match deed {
            Deed::End(_, outcome) => Some(outcome),
            _ => None,
        });
        let ends: Vec<_> = ends.collect();
        assert!(ends.len() <= 1, "it ended more than once: {ends:?}");
        ends.into_iter().next()
    }
}

#[test]
fn a_job_that_runs_once_is_granted_once() {
    let mut scene = scene(true, 0);
    assert_eq!(scene.ask("a", (0, 1)), Some(Word::Run));
    // The answer was lost.
    assert_eq!(scene.ask("a", (0, 1)), Some(Word::Run));
    // The server has forgotten that it was acknowledged.
    assert_eq!(scene.ask("b", (0, 1)), Some(Word::Settled));
    assert_eq!(scene.ask("b", (0, 2)), Some(Word::Settled));
    assert_eq!(scene.done("b", (0, 2)), Some(Word::Forget));
    assert!(scene.end().is_none());
    assert!(!scene.book.cancel(1, &mut scene.deeds));
    assert_eq!(scene.done("a", (0, 1)), Some(Word::Settled));
    assert_eq!(scene.end(), Some(Ok(vec![42])));
}

#[test]
fn the_first_result_counts_and_the_others_are_settled() {
    let mut scene = scene(false, 0);
    assert_eq!(scene.ask("b", (0, 2)), Some(Word::Run));
    // An agent that was stopped goes on.
    assert_eq!(scene.ask("a", (0, 1)), Some(Word::Forget));
    assert_eq!(scene.done("a", (0, 1)), Some(Word::Settled));
    assert_eq!(scene.end(), Some(Ok(vec![42])));
    assert_eq!(scene.done("b", (0, 2)), Some(Word::Settled));
    assert!(scene.end().is_none());
    assert_eq!(scene.book.late, 1);
}

#[test]
fn a_failure_of_an_earlier_turn_moves_nothing() {
    let mut scene = scene(false, 0);
    assert_eq!(scene.ask("b", (0, 2)), Some(Word::Run));
    assert_eq!(scene.died("a", (0, 1)), Some(Word::Forget));
    assert!(scene.end().is_none());
    assert_eq!(scene.died("b", (0, 2)), Some(Word::Settled));
    assert!(matches!(scene.end(), Some(Err(JobError::WorkerDied(_)))));
}

#[test]
fn deaths_are_counted_once_each_and_end_the_job_when_there_are_too_many() {
    let mut scene = scene(false, 1);
    assert_eq!(scene.died("a", (0, 1)), Some(Word::Again));
    // Said again, for the answer was lost.
    assert_eq!(scene.died("a", (0, 1)), Some(Word::Again));
    assert!(scene.end().is_none());
    assert_eq!(scene.ask("b", (0, 2)), Some(Word::Run));
    assert_eq!(scene.died("b", (0, 2)), Some(Word::Settled));
    let Some(Err(JobError::Poisoned(poisoned))) = scene.end() else { panic!("not poisoned") };
    assert_eq!(poisoned.deaths.len(), 2);
}

#[test]
fn one_that_runs_once_goes_into_the_queue_anew_when_it_may_be_tried_again() {
    let mut scene = scene(true, 1);
    assert_eq!(scene.ask("a", (0, 1)), Some(Word::Run));
    assert_eq!(scene.died("a", (0, 1)), Some(Word::Settled));
    assert!(matches!(scene.deeds[..], [Deed::Publish(1, 1)]));
    // The old message was handed out once more.
    assert_eq!(scene.ask("b", (0, 2)), Some(Word::Forget));
    assert_eq!(scene.ask("b", (1, 1)), Some(Word::Run));
    assert_eq!(scene.done("b", (1, 1)), Some(Word::Settled));
    assert_eq!(scene.end(), Some(Ok(vec![42])));
}

#[test]
fn what_was_granted_to_an_agent_that_fell_silent_is_lost() {
    let mut scene = scene(true, 0);
    scene.present("a", 0, &[]);
    assert_eq!(scene.ask("a", (0, 1)), Some(Word::Run));
    scene.present("a", scene.sent + 1, &[(1, true)]);
    scene.book.look_for_silent(scene.now + SILENCE, &mut scene.deeds);
    assert!(scene.end().is_none());
    scene.book.look_for_silent(scene.now + SILENCE * 2, &mut scene.deeds);
    assert!(matches!(scene.end(), Some(Err(JobError::Lost(_)))));
    assert_eq!(scene.done("a", (0, 1)), Some(Word::Settled));
    assert!(scene.end().is_none());
}

#[test]
fn a_sign_of_life_sent_before_a_grant_says_nothing_of_it() {
    let mut scene = scene(true, 0);
    assert_eq!(scene.ask("a", (0, 1)), Some(Word::Run));
    scene.present("a", 0, &[]);
    assert!(scene.end().is_none());
    // But one sent later does.
    scene.present("a", 5, &[]);
    assert!(matches!(scene.end(), Some(Err(JobError::Lost(_)))));
}

#[test]
fn a_job_that_brings_agents_down_is_given_to_few_of_them() {
    let mut scene = scene(false, 0);
    assert_eq!(scene.ask("b", (0, 2)), Some(Word::Run));
    assert_eq!(scene.ask("c", (0, 3)), Some(Word::Run));
    assert_eq!(scene.ask("d", (0, 4)), Some(Word::Settled));
    assert!(matches!(scene.end(), Some(Err(JobError::Lost(_)))));
}

#[test]
fn a_job_put_back_on_our_word_is_no_loss() {
    let mut scene = scene(false, 9);
    for delivery in 1..6 {
        assert_eq!(scene.died("a", (0, delivery)), Some(Word::Again));
        assert_eq!(scene.ask("a", (0, delivery + 1)), Some(Word::Run));
    }
}

#[test]
fn a_cancelled_job_is_taken_off_the_queue_and_dropped() {
    let mut scene = scene(false, 0);
    assert!(scene.book.cancel(1, &mut scene.deeds));
    assert!(matches!(scene.deeds[..], [Deed::Delete(33), Deed::Drop(1), Deed::End(_, Err(_))]));
    assert!(!scene.book.cancel(1, &mut scene.deeds));
    assert!(!scene.book.published(1, 0, 34, scene.now));
    scene.deeds.clear();
    // An agent has it all the same.
    scene.present("a", 1, &[(1, true)]);
    assert!(matches!(scene.deeds[..], [Deed::Drop(1)]));
}

#[test]
fn a_running_job_is_killed_not_cancelled() {
    let mut scene = scene(false, 5);
    scene.present("a", 1, &[(1, true)]);
    assert!(!scene.book.cancel(1, &mut scene.deeds));
    assert!(scene.book.kill(1, &mut scene.deeds));
    assert!(matches!(scene.deeds[..], [Deed::Drop(1)]));
    assert_eq!(scene.died("a", (0, 1)), Some(Word::Settled));
    assert!(matches!(scene.end(), Some(Err(JobError::WorkerDied(_)))));
}

#[test]
fn deadlines_end_jobs_with_what_is_known_of_the_reason() {
    let mut scene = scene(false, 0);
    let at = scene.book.next_deadline().unwrap();
    scene.book.end_late(at - Duration::from_millis(1), None, &mut scene.deeds);
    assert!(scene.deeds.is_empty());
    scene.book.end_late(at, Some("nobody is there"), &mut scene.deeds);
    let Some(Err(JobError::TimedOut(late))) = scene.end() else { panic!("not late") };
    assert!(!late.started && late.to_string().ends_with("; nobody is there"), "{late}");
    assert_eq!(scene.book.next_deadline(), None);
}

#[test]
fn what_the_server_has_lost_goes_there_again() {
    let mut scene = scene(false, 0);
    let later = scene.now + Duration::from_secs(6);
    let limit = Duration::from_secs(5);
    assert!(scene.book.unheard(limit, 9, scene.now).is_empty());
    assert_eq!(scene.book.unheard(limit, 9, later), [(33, 1)]);
    scene.book.still_queued(1, later);
    assert!(scene.book.unheard(limit, 9, later).is_empty());
    assert!(scene.book.vanished(1, 32, later).is_none());
    assert!(matches!(scene.book.vanished(1, 33, later), Some(Deed::Publish(1, 1))));
    assert!(scene.book.unheard(limit, 9, later + limit * 2).is_empty());
}

#[test]
fn parts_make_a_whole_and_those_of_two_turns_do_not_mix() {
    let mut scene = scene(false, 0);
    let part = |part| News::Done { part, parts: 2 };
    assert_eq!(scene.hear("a", (0, 1), part(1), b"b"), None);
    assert_eq!(scene.hear("a", (0, 2), part(0), b"c"), None);
    assert_eq!(scene.hear("a", (0, 2), part(0), b"c"), None);
    assert_eq!(scene.hear("a", (0, 2), part(1), b"d"), Some(Word::Settled));
    assert_eq!(scene.end(), Some(Ok(b"cd".to_vec())));
}
