//! Classes of calls with limits of their own.

use std::io;

use shard::{Shard, Shards};
use uring_loop::yield_now;

use crate::{guarded, seats};

/// Every handler calls back to where it was called from, with a limit of 1: by one service, all
/// permits could be held by handlers that wait for one.
#[test]
fn handlers_that_call_back_through_another_service_never_wait_in_a_circle() {
    guarded(|| {
        let shards = Shards::builder().cpus(seats(3)).calls(1).service("inner", 1).spawn(
            |shard| async move {
                let calls: Vec<_> = (0..90)
                    .map(|number| {
                        let (home, away) = (shard.index(), number % 3);
                        shard.submit_to(away, move || async move {
                            // Both sides are in handlers at the same time.
                            yield_now().await;
                            let inner = Shard::current().service("inner");
                            inner.submit_to(home, move || async move { number }).await
                        })
                    })
                    .collect();
                let mut sum = 0;
                for answer in uring_loop::join(calls).await {
                    sum += answer??;
                }
                Ok(sum)
            },
        );
        let ends = shards.expect("shards start").join().expect("nothing fails");
        assert!(ends.into_iter().all(|end| end.returned() == Some(89 * 90 / 2)));
    });
}

#[test]
fn a_service_that_is_full_does_not_hold_up_another() {
    guarded(|| {
        let shards =
            Shards::builder().cpus(seats(2)).service("slow", 1).spawn(|shard| async move {
                if shard.index() == 1 {
                    return Ok(());
                }
                let slow = shard.service("slow");
                assert_eq!(slow.name(), "slow");
                let mut first = Box::pin(slow.submit_to(1, std::future::pending::<()>));
                let mut second = Box::pin(slow.submit_to(1, || async {}));
                assert!(futures_util::poll!(&mut first).is_pending());
                assert!(futures_util::poll!(&mut second).is_pending());
                shard.submit_to(1, || async {}).await?;
                assert!(futures_util::poll!(&mut second).is_pending());
                drop(first);
                Ok(second.await?)
            });
        shards.expect("shards start").join().expect("nothing fails");
    });
}

#[test]
fn services_that_make_no_sense_are_refused() {
    let refused = |builder: shard::Builder| {
        let error = builder.spawn(|_| async { Ok(()) }).expect_err("must be refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        error.to_string()
    };
    assert!(refused(Shards::builder().service("none", 0)).contains("of \"none\" of 0 calls"));
    let twice = Shards::builder().service("twice", 1).service("twice", 2);
    assert!(refused(twice).contains("its name is taken"));
}

#[test]
fn a_service_that_nobody_gave_a_limit_is_a_programmers_error() {
    let failure = guarded(|| {
        let shards = Shards::builder().cpus(seats(1)).spawn(|shard| async move {
            drop(shard.service("forgotten"));
            Ok(())
        });
        shards.expect("shards start").join().expect_err("there is none")
    });
    assert!(failure.to_string().contains("Builder::service"), "{failure}");
}
