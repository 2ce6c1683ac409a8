//! Generated programs of everything that a cancel meets, cancelled at each of their await points
//! in turn, and at each moment at which a timer may fire: they end, no request is lost, no clean-up
//! is cut short or done twice, nothing is left.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proptest::prelude::*;
use uring_loop::time::{now, sleep, timeout};
use uring_loop::{
    JoinError, Task, TaskGroup, catch_cancel, gather, join, race, select, shield, spawn,
};

use crate::support::virtual_loop;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A piece of a program. Times are milliseconds, more than 0.
#[derive(Clone, Debug)]
enum Node {
    Sleep(u8),
    /// Longer than everything else together: who gets through it was not asked to end.
    Hour,
    /// Sleeps, beside something that catches, and may lose in the very turn of the request.
    Beside(u8),
    /// Takes a request and goes on.
    Swallow(Box<Node>),
    /// Takes a request, cleans up for a while, hands it outward.
    CleanUp(u8, Box<Node>),
    Timeout(u8, Box<Node>),
    /// Awaited in a task of its own.
    Task(Box<Node>),
    /// In a task of its own, behind a shield.
    Shield(Box<Node>),
    /// Children, and the body at the end.
    Group(Vec<Node>),
    /// A group one child of which fails after a while.
    Failing(u8, Vec<Node>),
    Join(Vec<Node>),
    /// The same with a combinator of another crate.
    Foreign(Vec<Node>),
    /// Each in a task of its own.
    Gather(Vec<Node>),
    Race(Vec<Node>),
    Select(Box<Node>, Box<Node>),
    Then(Box<Node>, Box<Node>),
}

fn time() -> impl Strategy<Value = u8> {
    1..=20u8
}

/// Programs in which nothing but the request from outside ends anything, and nobody swallows it.
fn gentle() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        2 => time().prop_map(Node::Sleep),
        2 => time().prop_map(Node::Beside),
        1 => Just(Node::Hour),
    ];
    leaf.prop_recursive(5, 20, 3, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let several = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            3 => (time(), boxed.clone()).prop_map(|(time, node)| Node::CleanUp(time, node)),
            1 => boxed.clone().prop_map(Node::Task),
            2 => several.clone().prop_map(Node::Group),
            3 => several.clone().prop_map(Node::Join),
            1 => several.prop_map(Node::Gather),
            2 => (boxed.clone(), boxed).prop_map(|(one, other)| Node::Then(one, other)),
        ]
    })
}

/// As [`gentle`], with branches that are not seen.
fn foreign() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        1 => time().prop_map(Node::Sleep),
        3 => time().prop_map(Node::Beside),
        1 => Just(Node::Hour),
    ];
    leaf.prop_recursive(5, 20, 3, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let several = prop::collection::vec(inner, 2..4);
        prop_oneof![
            4 => (time(), boxed.clone()).prop_map(|(time, node)| Node::CleanUp(time, node)),
            1 => boxed.clone().prop_map(Node::Task),
            4 => several.clone().prop_map(Node::Foreign),
            1 => several.clone().prop_map(Node::Group),
            1 => several.clone().prop_map(Node::Join),
            1 => several.prop_map(Node::Gather),
            1 => (boxed.clone(), boxed).prop_map(|(one, other)| Node::Then(one, other)),
        ]
    })
}

/// All there is, with or without what swallows requests.
fn any_node(swallows: bool) -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        2 => time().prop_map(Node::Sleep),
        1 => time().prop_map(Node::Beside),
        1 => Just(Node::Hour),
    ];
    leaf.prop_recursive(5, 20, 3, move |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let several = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            boxed.clone().prop_map(move |node| match swallows {
                true => Node::Swallow(node),
                false => Node::Task(node),
            }),
            (time(), boxed.clone()).prop_map(|(time, node)| Node::CleanUp(time, node)),
            (time(), boxed.clone()).prop_map(|(time, node)| Node::Timeout(time, node)),
            boxed.clone().prop_map(Node::Task),
            boxed.clone().prop_map(Node::Shield),
            several.clone().prop_map(Node::Group),
            (time(), several.clone()).prop_map(|(time, nodes)| Node::Failing(time, nodes)),
            several.clone().prop_map(Node::Join),
            several.clone().prop_map(Node::Gather),
            several.prop_map(Node::Race),
            (boxed.clone(), boxed.clone()).prop_map(|(one, other)| Node::Select(one, other)),
            (boxed.clone(), boxed).prop_map(|(one, other)| Node::Then(one, other)),
        ]
    })
}

/// What a run of a program looks at and leaves behind.
#[derive(Clone, Default)]
struct Run(Rc<RunState>);

#[derive(Default)]
struct RunState {
    /// Await points passed so far, in whatever task.
    points: Cell<u32>,
    /// At which of them the program is cancelled.
    cancel_at: RefCell<Vec<u32>>,
    program: RefCell<Option<Task<()>>>,
    cancelled: Cell<Option<Instant>>,
    /// Futures of nodes that are alive.
    alive: Cell<u32>,
    clean_ups_begun: Cell<u32>,
    clean_ups_done: Cell<u32>,
    /// Clean-ups that were interrupted by one more request.
    asked_again: Cell<u32>,
    /// Hours that were slept to their end.
    hours: Cell<u32>,
}

fn add(count: &Cell<u32>) {
    count.set(count.get() + 1);
}

impl Run {
    /// An await point: the program may be cancelled here, in the middle of a poll.
    fn point(&self) {
        add(&self.0.points);
        if self.0.cancel_at.borrow().contains(&self.0.points.get())
            && let Some(program) = self.0.program.borrow().as_ref()
            && program.cancel()
        {
            self.0.cancelled.set(Some(now()));
        }
    }

    /// Cancels the program after `time`, before anything else that waits for that moment.
    async fn cancel_after(self, time: Duration) {
        sleep(time).await;
        if let Some(program) = self.0.program.borrow().as_ref()
            && program.cancel()
        {
            self.0.cancelled.set(Some(now()));
        }
    }

    /// A sleep each poll of which is a point before, and one behind.
    async fn sleep(&self, time: Duration) {
        let mut sleep = pin!(sleep(time));
        poll_fn(|cx| {
            self.point();
            let polled = sleep.as_mut().poll(cx);
            self.point();
            polled
        })
        .await;
    }
}

struct Guard(Run);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.alive.set(self.0.0.alive.get() - 1);
    }
}

type Body = Pin<Box<dyn Future<Output = ()>>>;

fn bodies(nodes: Vec<Node>, run: &Run) -> Vec<Body> {
    nodes.into_iter().map(|node| body(node, run)).collect()
}

fn body(node: Node, run: &Run) -> Body {
    add(&run.0.alive);
    let guard = Guard(run.clone());
    let run = run.clone();
    Box::pin(async move {
        let _guard = guard;
        match node {
            Node::Sleep(time) => run.sleep(MS * u32::from(time)).await,
            Node::Hour => {
                run.sleep(HOUR).await;
                add(&run.0.hours);
            }
            Node::Beside(time) => {
                let catching = async {
                    if let Err(request) = catch_cancel(run.sleep(HOUR)).await {
                        request.propagate().await;
                    }
                };
                race((run.sleep(MS * u32::from(time)), catching)).await;
            }
            Node::Swallow(inner) => drop(catch_cancel(body(*inner, &run)).await),
            Node::CleanUp(time, inner) => {
                if let Err(request) = catch_cancel(body(*inner, &run)).await {
                    add(&run.0.clean_ups_begun);
                    if catch_cancel(run.sleep(MS * u32::from(time))).await.is_err() {
                        add(&run.0.asked_again);
                    }
                    add(&run.0.clean_ups_done);
                    request.propagate().await;
                }
            }
            Node::Timeout(time, inner) => {
                let _ = timeout(MS * u32::from(time), body(*inner, &run)).await;
            }
            Node::Task(inner) => drop(spawn(body(*inner, &run)).await),
            Node::Shield(inner) => drop(shield(spawn(body(*inner, &run))).await),
            Node::Group(nodes) => group(nodes, &run, None).await,
            Node::Failing(time, nodes) => group(nodes, &run, Some(time)).await,
            Node::Join(nodes) => drop(join(bodies(nodes, &run)).await),
            Node::Foreign(nodes) => drop(join_all(bodies(nodes, &run)).await),
            Node::Gather(nodes) => drop(gather(bodies(nodes, &run).into_iter().map(spawn)).await),
            Node::Race(nodes) => race(bodies(nodes, &run)).await,
            Node::Select(one, other) => {
                select! {
                    () = body(*one, &run) => {}
                    () = body(*other, &run) => run.sleep(MS).await,
                }
            }
            Node::Then(one, other) => {
                body(*one, &run).await;
                body(*other, &run).await;
            }
        }
    })
}

async fn group(mut nodes: Vec<Node>, run: &Run, fails: Option<u8>) {
    let last = nodes.pop().expect("one at least");
    let scope = TaskGroup::<()>::scope(async |group| {
        for node in nodes {
            group.spawn_value(body(node, run));
        }
        if let Some(time) = fails {
            let run = run.clone();
            group.spawn(async move {
                run.sleep(MS * u32::from(time)).await;
                Err::<(), ()>(())
            });
        }
        body(last, run).await;
        Ok(())
    });
    let _ = scope.await;
}

/// How a run ended.
struct Ended {
    run: Run,
    result: Result<(), JoinError>,
    cancelling: u32,
    at: Instant,
}

/// When a program is cancelled.
#[derive(Clone)]
enum When {
    /// At these of its await points, in the middle of a poll.
    Points(Vec<u32>),
    /// After that many milliseconds, by somebody else, in the turn in which its timers fire.
    After(u32),
}

/// Runs the program, then lets what it left behind run out.
async fn run_once(node: &Node, when: When) -> Ended {
    let run = Run::default();
    match when {
        When::Points(points) => drop(run.0.cancel_at.replace(points)),
        // Its timer is armed first, so it is woken first.
        When::After(time) => drop(spawn(run.clone().cancel_after(MS * time))),
    }
    let task = spawn(body(node.clone(), &run));
    *run.0.program.borrow_mut() = Some(task);
    let done = || run.0.program.borrow().as_ref().is_some_and(Task::is_done);
    let mut tick = MS;
    while !done() {
        sleep(tick).await;
        tick = (2 * tick).min(HOUR / 8);
    }
    let task = run.0.program.take().expect("it is there");
    let at = now();
    let cancelling = task.cancelling();
    let result = task.await;
    // Tasks that a shield or a lost race has left.
    sleep(1000 * HOUR).await;
    Ended { run, result, cancelling, at }
}

/// What holds for every program, wherever it was cancelled.
fn check(ended: &Ended, requests: u32) {
    let state = &ended.run.0;
    if let Err(error) = &ended.result {
        assert!(error.is_cancelled(), "{error}");
        assert!(ended.cancelling > 0, "it ended as cancelled and was not");
    }
    assert!(ended.cancelling <= requests);
    assert_eq!(state.cancelled.get().is_some(), ended.cancelling > 0);
    assert_eq!(state.alive.get(), 0, "something of it is left");
    assert!(state.clean_ups_done.get() <= state.clean_ups_begun.get());
}

/// What holds besides where nothing swallows a request: it ends the program soon.
fn check_heard(ended: &Ended) {
    if let Some(cancelled) = ended.run.0.cancelled.get() {
        assert!(ended.at - cancelled < HOUR / 2, "the request was lost");
    }
}

/// What holds besides where it is made once, and nothing else ends anything.
fn check_asked_once(ended: &Ended) {
    check_heard(ended);
    assert_eq!(ended.run.0.asked_again.get(), 0, "a clean-up was asked to end");
}

/// What holds besides where branches are seen.
fn check_gentle(ended: &Ended) {
    check_asked_once(ended);
    let state = &ended.run.0;
    assert_eq!(state.clean_ups_begun.get(), state.clean_ups_done.get(), "one was cut short");
    if state.cancelled.get().is_none() {
        return assert!(ended.result.is_ok(), "nobody has cancelled it");
    }
    assert!(
        ended.result.is_err() || state.clean_ups_begun.get() == 0,
        "it cleaned up for the request, and is not cancelled",
    );
}

/// Runs it uncancelled, then cancelled at each of its points.
fn at_every_point(node: &Node, check_more: fn(&Ended)) {
    let mut event_loop = virtual_loop();
    let whole = event_loop.run_until_complete(async {
        let whole = run_once(node, When::Points(Vec::new())).await;
        check(&whole, 0);
        check_more(&whole);
        let points = whole.run.0.points.get();
        for point in 1..=points.min(150) {
            let ended = run_once(node, When::Points(vec![point])).await;
            check(&ended, 1);
            check_more(&ended);
        }
        for time in 0..=40 {
            let ended = run_once(node, When::After(time)).await;
            check(&ended, 1);
            check_more(&ended);
        }
    });
    whole.expect("the main task was not cancelled");
    assert_eq!(event_loop.statistics().tasks, 0, "tasks are left");
}

fn boxed(node: Node) -> Box<Node> {
    Box::new(node)
}

/// One branch takes the request, hands it outward or still cleans up; then one that was asked as
/// well is ready all the same: its value is no answer. Which is polled first is drawn by lot.
#[test]
fn a_winner_that_has_not_heard_the_request_does_not_answer_it() {
    let beside = || Node::Select(boxed(Node::Sleep(1)), boxed(Node::Beside(2)));
    let group = Node::Group(vec![Node::Sleep(1), Node::Sleep(2)]);
    for first in [
        beside(),
        Node::Race(vec![beside()]),
        Node::Select(boxed(Node::Sleep(1)), boxed(group)),
        Node::Select(boxed(Node::Sleep(1)), boxed(Node::Failing(1, vec![Node::Sleep(3)]))),
    ] {
        let node = Node::Then(boxed(first), boxed(Node::Hour));
        for _ in 0..50 {
            at_every_point(&node, check_heard);
        }
    }
}

/// A limit asks a catcher to end; while that cleans up, the task is asked, and so the clean-up is
/// asked again. It takes no notice, and hands on the first request: the task ends all the same.
#[test]
fn a_clean_up_that_is_asked_again_does_not_swallow_the_outer_request() {
    let limited = Node::Timeout(1, boxed(Node::CleanUp(1, boxed(Node::Sleep(2)))));
    at_every_point(&Node::Then(boxed(limited), boxed(Node::Hour)), check_heard);
}

/// The body of a group and a task are ready in the turn of the request. The group has it in hand
/// all the same, for its child; the task, which has not answered, does not have it made anew.
#[test]
fn a_group_whose_body_is_ready_in_the_turn_of_the_request_has_it_in_hand() {
    let child = Node::CleanUp(1, boxed(Node::Sleep(3)));
    let group = Node::Group(vec![child, Node::Sleep(2)]);
    let task = Node::Task(boxed(Node::Sleep(2)));
    at_every_point(&Node::Foreign(vec![group, task]), check_asked_once);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn a_gentle_program_is_ended_once_and_whole(node in gentle()) {
        at_every_point(&node, check_gentle);
    }

    #[test]
    fn nobody_is_asked_twice_where_branches_are_not_seen(node in foreign()) {
        at_every_point(&node, check_asked_once);
    }

    #[test]
    fn a_program_that_does_not_swallow_hears_a_request(node in any_node(false)) {
        at_every_point(&node, check_heard);
    }

    #[test]
    fn any_program_ends_and_leaves_nothing(node in any_node(true)) {
        at_every_point(&node, |_| {});
    }

    #[test]
    fn any_program_ends_however_often_it_is_asked(
        node in any_node(true),
        points in prop::collection::vec(1..60u32, 1..5),
    ) {
        let mut event_loop = virtual_loop();
        let ended = event_loop.run_until_complete(async {
            let ended = run_once(&node, When::Points(points.clone())).await;
            check(&ended, points.len() as u32);
        });
        ended.expect("the main task was not cancelled");
        prop_assert_eq!(event_loop.statistics().tasks, 0);
    }
}
