//! Calls on helper threads.

use std::sync::mpsc;

use uring_loop::{run, unblock};

use crate::support::{in_child, poll_once};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a result that does not want to go");
    }
}

#[test]
fn results_that_panic_in_drop_cost_no_helper_thread() {
    in_child("unblock::results_that_panic_in_drop_cost_no_helper_thread", || {
        run(async {
            // More of them than there may be helper threads.
            for _ in 0..70 {
                let (go, may_go) = mpsc::channel::<()>();
                let mut call = Box::pin(unblock(move || {
                    may_go.recv().expect("told to");
                    Bomb
                }));
                assert!(poll_once(&mut call).await.is_pending());
                drop(call);
                go.send(()).expect("it waits");
            }
            assert_eq!(unblock(|| 7).await.expect("a helper is left"), 7);
        })
        .expect("a ring");
    });
}
