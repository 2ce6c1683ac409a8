//! Random trees of catchers, timeouts, tasks and combinators under random cancels, on the virtual
//! clock: everything ends, and no request is lost.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use proptest::prelude::*;
use uring_loop::testing::run;
use uring_loop::time::{sleep, timeout};
use uring_loop::{JoinError, catch_cancel, spawn};

/// A piece of a program.
#[derive(Clone, Debug)]
enum Node {
    Sleep(u8),
    /// Waits until it is cancelled.
    Forever,
    /// Takes a request and goes on.
    Swallow(Box<Node>),
    /// Takes a request, cleans up for a while, hands it outward.
    CleanUp(u8, Box<Node>),
    Timeout(u8, Box<Node>),
    /// Awaited in a task of its own.
    Task(Box<Node>),
    Join(Box<Node>, Box<Node>),
    Select(Box<Node>, Box<Node>),
    Many(Vec<Node>),
    Then(Box<Node>, Box<Node>),
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![any::<u8>().prop_map(Node::Sleep), Just(Node::Forever)];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed.clone().prop_map(Node::Swallow),
            (any::<u8>(), boxed.clone()).prop_map(|(time, node)| Node::CleanUp(time, node)),
            (any::<u8>(), boxed.clone()).prop_map(|(time, node)| Node::Timeout(time, node)),
            boxed.clone().prop_map(Node::Task),
            (boxed.clone(), boxed.clone()).prop_map(|(one, other)| Node::Join(one, other)),
            (boxed.clone(), boxed.clone()).prop_map(|(one, other)| Node::Select(one, other)),
            (boxed.clone(), boxed).prop_map(|(one, other)| Node::Then(one, other)),
            prop::collection::vec(inner, 1..4).prop_map(Node::Many),
        ]
    })
}

/// Whether a cancel of a task with this body surely ends it, however the body swallows: without
/// foreign joins there is no branch that goes on unasked.
fn is_linear(node: &Node) -> bool {
    match node {
        Node::Sleep(_) | Node::Forever => true,
        Node::Swallow(_) | Node::Join(..) | Node::Select(..) | Node::Many(_) => false,
        Node::CleanUp(_, inner) | Node::Timeout(_, inner) | Node::Task(inner) => is_linear(inner),
        Node::Then(one, other) => is_linear(one) && is_linear(other),
    }
}

/// How many futures are alive.
#[derive(Clone, Default)]
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn one(&self) -> Alive {
        self.0.set(self.0.get() + 1);
        self.clone()
    }
}

struct Guard(Alive);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

type Body = Pin<Box<dyn Future<Output = ()>>>;

fn ms(time: u8) -> Duration {
    Duration::from_millis(u64::from(time))
}

fn body(node: Node, alive: &Alive) -> Body {
    let guard = Guard(alive.one());
    let alive = alive.clone();
    Box::pin(async move {
        let _guard = guard;
        match node {
            Node::Sleep(time) => sleep(ms(time)).await,
            Node::Forever => pending().await,
            Node::Swallow(inner) => drop(catch_cancel(body(*inner, &alive)).await),
            Node::CleanUp(time, inner) => {
                if let Err(request) = catch_cancel(body(*inner, &alive)).await {
                    sleep(ms(time)).await;
                    request.propagate().await;
                }
            }
            Node::Timeout(time, inner) => drop(timeout(ms(time), body(*inner, &alive)).await),
            Node::Task(inner) => drop(spawn(body(*inner, &alive)).await),
            Node::Join(one, other) => {
                join(body(*one, &alive), body(*other, &alive)).await;
            }
            Node::Select(one, other) => {
                drop(select(body(*one, &alive), body(*other, &alive)).await);
            }
            Node::Many(nodes) => {
                let mut all: FuturesUnordered<Body> =
                    nodes.into_iter().map(|node| body(node, &alive)).collect();
                while all.next().await.is_some() {}
            }
            Node::Then(one, other) => {
                body(*one, &alive).await;
                body(*other, &alive).await;
            }
        }
    })
}

/// Cancels at the given pauses, then again and again; answers how many requests it took.
async fn cancel_until_done(
    node: Node,
    pauses: &[u8],
    alive: &Alive,
) -> (u32, Result<(), JoinError>) {
    let task = spawn(body(node, alive));
    for pause in pauses {
        sleep(ms(*pause)).await;
        if !task.cancel() {
            break;
        }
    }
    // Clean-ups and sleeps end within a second of virtual time each; what is left then waits for
    // ever, and must react to the next request.
    for _ in 0..400 {
        sleep(Duration::from_secs(60)).await;
        if task.is_done() {
            break;
        }
        task.cancel();
    }
    assert!(task.is_done(), "400 requests did not end it");
    (task.cancelling(), task.await)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..Default::default()
    })]

    /// However it is built: enough requests end it, and nothing of it is left.
    #[test]
    fn enough_requests_end_every_tree(
        node in node(),
        pauses in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        run(async {
            let alive = Alive::default();
            let (_, result) = cancel_until_done(node, &pauses, &alive).await;
            if let Err(error) = result {
                assert!(error.is_cancelled(), "{error}");
            }
            // A select may have dropped the handle of a task: that one is detached, and its end is
            // nobody's business here.
        });
    }

    /// Where nothing swallows, one request is enough.
    #[test]
    fn one_request_ends_a_tree_that_does_not_swallow(
        node in node().prop_filter("linear", is_linear),
        pause in any::<u8>(),
    ) {
        run(async {
            let alive = Alive::default();
            let (requests, _) = cancel_until_done(node, &[pause], &alive).await;
            assert!(requests <= 1, "{requests} requests");
            assert_eq!(alive.0.get(), 0, "something of it is left");
        });
    }
}
