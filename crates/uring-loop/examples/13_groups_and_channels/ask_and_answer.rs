//! A clerk on a loop of their own takes questions. Each brings a place for its answer; where the
//! clerk has none, the place is dropped, and who asked is told at once.
//!
//! In Python: a `concurrent.futures.Future` in every item of a queue.

use std::io;
use std::thread;

use uring_loop::channel::{Closed, mpsc, oneshot};
use uring_loop::{Handle, LoopThread};

use crate::course::{builder, println, run};

struct Question {
    number: u64,
    answer: oneshot::Sender<u64>,
}

fn factorial(number: u64) -> Option<u64> {
    (1..=number).try_fold(1_u64, u64::checked_mul)
}

async fn answer_all(mut questions: mpsc::Receiver<Question>) {
    println!("the clerk is {:?}", thread::current().id());
    while let Some(Question { number, answer }) = questions.recv().await {
        match factorial(number) {
            // An error would say that nobody waits for the answer any more.
            Some(factorial) => drop(answer.send(factorial)),
            None => drop(answer),
        }
    }
}

async fn ask(clerk: &Handle) -> io::Result<()> {
    let (questions, asked) = mpsc::bounded(1);
    let answering = clerk.spawn(move || answer_all(asked));
    for number in [5, 20, 21] {
        let (answer, answered) = oneshot::channel();
        questions.send(Question { number, answer }).await?;
        match answered.await {
            Ok(factorial) => println!("{number}! = {factorial}"),
            Err(Closed(())) => println!("{number}! is more than the clerk can say"),
        }
    }
    drop(questions); // no more of them: the clerk goes home
    Ok(answering.await?)
}

pub(crate) fn main() -> io::Result<()> {
    let clerk = LoopThread::start(builder())?;
    run(ask(clerk.handle()))?
}
