//! Calls by name, in a program of our own: this one, started again, as [`deployed`].

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use shard::{CallError, Deploy, Listener, Mode, Peers, Restart, Shard, Shards};
use uring_loop::sync::Event;
use uring_loop::time::sleep;

use crate::guarded;

const MODE: &str = "TEST_DEPLOYED_AS";

thread_local! {
    static DIES: Rc<Event> = Rc::new(Event::new());
    static ENDS: Rc<Event> = Rc::new(Event::new());
    static INCARNATION: Cell<u64> = const { Cell::new(0) };
}

fn deployed_as(mode: &str) {
    let mode = mode.to_string();
    guarded(move || {
        let output = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--exact", "peers::deployed", "--ignored", "--nocapture", "--test-threads=1"])
            .env(MODE, mode)
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("all went well"), "{output:?}");
    });
}

#[test]
fn threads_call_each_other_by_name_also_after_one_began_anew() {
    deployed_as("threads");
}

#[test]
fn processes_call_each_other_by_name_also_after_a_loop_of_one_began_anew() {
    deployed_as("processes");
}

#[test]
#[ignore = "it is a program that the tests above start"]
fn deployed() {
    let mode = match std::env::var(MODE).as_deref() {
        Ok("threads") => Mode::Threads,
        Ok("processes") => Mode::Processes,
        _ => return,
    };
    let restart = Restart::new().pause(Duration::from_millis(1), Duration::from_millis(1));
    let ended = Deploy::new(([127, 0, 0, 1], 0).into())
        .mode(mode)
        .shards(Shards::builder().cpus([0, 0]).on_panic(restart))
        .function("die", |(): ()| async { DIES.with(|dies| dies.set()) })
        .function("end", |(): ()| async { ENDS.with(|ends| ends.set()) })
        .function("incarnation", |(): ()| async { INCARNATION.get() })
        .function("never", |(): ()| pending::<()>())
        .function("panic", |on_purpose: bool| async move { assert!(!on_purpose, "on purpose") })
        .function("where", |(): ()| async { Peers::current().index() })
        .run(serve);
    ended.expect("nothing fails");
}

async fn serve(shard: Shard, _listener: Listener) -> io::Result<()> {
    let peers = Peers::current();
    if peers.index() == 1 {
        INCARNATION.set(shard.incarnation());
        let dies = async {
            DIES.with(Rc::clone).wait().await;
            DIES.with(|dies| dies.clear());
            panic!("as it was told");
        };
        let ends = async {
            ENDS.with(Rc::clone).wait().await;
            // The answer has time to go.
            sleep(Duration::from_millis(50)).await;
        };
        uring_loop::race((dies, ends)).await;
        return Ok(());
    }
    peers.linked().await;
    for target in 0..2 {
        assert_eq!(peers.call(target, "where", &()).await, Ok(target));
        let panicked = peers.call::<_, ()>(target, "panic", &true).await.expect_err("it panics");
        let message = "on purpose".to_string();
        assert_eq!(panicked, CallError::Panicked { shard: target, message });
        let unknown = peers.call::<_, ()>(target, "nobody", &()).await.expect_err("unknown");
        assert!(matches!(unknown, CallError::Refused { shard, .. } if shard == target));
        let misread = peers.call::<_, ()>(target, "where", &()).await.expect_err("another type");
        assert!(misread.to_string().contains("reading the result"), "{misread}");
    }
    let there = peers.clone();
    let never = uring_loop::spawn(async move { there.call::<_, ()>(1, "never", &()).await });
    assert_eq!(peers.call(1, "incarnation", &()).await, Ok(0_u64));
    assert_eq!(peers.call(1, "die", &()).await, Ok(()));
    assert_eq!(never.await.expect("told"), Err(CallError::Stopped { shard: 1 }));
    loop {
        match peers.call::<_, u64>(1, "incarnation", &()).await {
            Ok(1) => break,
            Ok(0) | Err(CallError::Stopped { .. }) => sleep(Duration::from_millis(1)).await,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(peers.call(1, "end", &()).await, Ok(()));
    println!("all went well");
    Ok(())
}

#[test]
fn two_functions_of_one_name_are_refused() {
    let twice = Deploy::new(([127, 0, 0, 1], 0).into())
        .function("same", |(): ()| async {})
        .function("same", |(): ()| async {})
        .run(|_, _| async { Ok(()) });
    assert!(twice.expect_err("refused").to_string().contains("\"same\": its name is taken"));
}
