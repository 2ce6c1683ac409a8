//! Ours: `uring_loop`'s `Command`.

use std::cell::RefCell;
use std::rc::Rc;

use benches::children::{self, AT_ONCE, PROGRAM, Peer, SPEAKER, SPEECH};
use benches::spent::{Begin, Spent};
use uring_loop::process::Command;
use uring_loop::{gather, spawn};

fn main() -> anyhow::Result<()> {
    let one = |count| run(children::one_by_one(count, child));
    let output = |count| run(children::one_by_one(count, speaker));
    children::main(Peer { one, many, output })
}

fn run<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let main = async { spawn(future).await.expect("no panic") };
    uring_loop::run(main).expect("an event loop")
}

async fn child() {
    let status = Command::new(PROGRAM).status().await.expect("a child");
    assert!(status.success(), "{status}");
}

async fn speaker() {
    let (program, argument) = SPEAKER;
    let output = Command::new(program).arg(argument).output().await.expect("a child");
    assert_eq!(output.stdout, SPEECH);
}

fn many(count: u64) -> Spent {
    run(async move {
        let numbers = Rc::new(RefCell::new(0..count));
        let begin = Begin::now();
        let tasks = (0..AT_ONCE).map(|_| {
            let numbers = numbers.clone();
            spawn(async move {
                while { numbers.borrow_mut().next() }.is_some() {
                    child().await;
                }
            })
        });
        gather(tasks).await.expect("no panic");
        begin.spent()
    })
}
