//! Looking at a loop: ages of operations, slow ones, spans, traces, metrics.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::future::pending;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::op::{Driver, Nop, opcode};
use uring_loop::testing::{Fault, SimConfig};
use uring_loop::time::sleep;
use uring_loop::{Builder, EventLoop, ReportKind, call_soon, spawn, yield_now};

use crate::support::small;

#[test]
fn operations_in_flight_have_an_age_and_are_counted_by_kinds() {
    let (mut event_loop, _sim) = small().build_simulated(SimConfig::seeded(1)).expect("a ring");
    event_loop
        .run_until_complete(async {
            let first = TcpListener::bind("10.0.0.1:80").expect("a port");
            drop(spawn(async move { first.accept().await.is_ok() }));
            sleep(Duration::from_secs(2)).await;
            let second = TcpListener::bind("10.0.0.1:81").expect("a port");
            drop(spawn(async move { second.accept().await.is_ok() }));
            sleep(Duration::from_millis(500)).await;
        })
        .expect("not stopped");
    let table = event_loop.in_flight();
    let ages: Vec<_> = table.iter().map(|operation| operation.age.expect("no send")).collect();
    assert_eq!(ages, [Duration::from_millis(500), Duration::from_millis(2500)], "{table:?}");
    assert!(table.iter().all(|operation| !operation.bounded), "an accept may wait for ever");
    let kinds = event_loop.in_flight_kinds();
    assert_eq!(kinds.len(), 1, "{kinds:?}");
    assert_eq!(kinds[0].to_string(), "2 ACCEPT (oldest 2.500 s)");
}

/// What a loop in debug mode reports of slow operations, with a limit of a second, where the first
/// nop takes so many milliseconds.
fn slow_operations<F: Future>(
    nop: u64,
    main: impl FnOnce(Rc<RefCell<Vec<String>>>) -> F,
) -> Vec<String> {
    let builder = small().debug(true).slow_operation(Duration::from_secs(1));
    let (mut event_loop, sim) = builder.build_simulated(SimConfig::seeded(1)).expect("a ring");
    sim.next(opcode::NOP, Fault::Latency(nop * 1_000_000));
    let reports: Rc<RefCell<Vec<String>>> = Rc::default();
    let heard = reports.clone();
    event_loop.set_exception_handler(move |report| {
        if report.kind == ReportKind::SlowOperation {
            heard.borrow_mut().push(report.to_string());
        }
    });
    event_loop.run_until_complete(main(reports.clone())).expect("not stopped");
    reports.take()
}

#[test]
fn an_operation_that_took_too_long_is_reported() {
    let reports = slow_operations(1500, |_| async {
        Driver::current().submit(Nop).await.expect("a nop");
    });
    assert_eq!(reports, ["an operation took 1.500 s: NOP"]);
    let reports = slow_operations(900, |_| async {
        Driver::current().submit(Nop).await.expect("a nop");
    });
    assert_eq!(reports, [""; 0], "not so long");
}

#[test]
fn an_operation_that_does_not_end_is_reported_once_while_it_runs() {
    let reports = slow_operations(10_000, |reports| async move {
        let stuck = spawn(Driver::current().submit(Nop));
        for _ in 0..30 {
            sleep(Duration::from_millis(250)).await;
        }
        assert_eq!(reports.borrow().len(), 1, "{reports:?}");
        stuck.await.expect("no panic").expect("a nop");
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].starts_with("an operation runs for 1."), "{reports:?}");
}

#[test]
fn an_operation_that_may_wait_for_ever_is_not_reported() {
    let reports = slow_operations(0, |_| async {
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        let accepting = spawn(async move { listener.accept().await.is_ok() });
        sleep(Duration::from_secs(60)).await;
        accepting.abort();
    });
    assert_eq!(reports, [""; 0]);
}

/// A subscriber that keeps what happens to spans.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    next: u64,
    open: HashMap<u64, String>,
    entered: Vec<String>,
    closed: Vec<String>,
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("uring_loop::")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut kept = self.0.lock().expect("no panic");
        kept.next += 1;
        let id = kept.next;
        let mut text = attributes.metadata().name().to_owned();
        attributes.record(&mut Text(&mut text));
        kept.open.insert(id, text);
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut kept = self.0.lock().expect("no panic");
        values.record(&mut Text(kept.open.get_mut(&id.into_u64()).expect("an open span")));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        let mut kept = self.0.lock().expect("no panic");
        let text = kept.open[&id.into_u64()].clone();
        kept.entered.push(text);
    }

    fn exit(&self, _: &Id) {}

    fn try_close(&self, id: Id) -> bool {
        let mut kept = self.0.lock().expect("no panic");
        let text = kept.open.remove(&id.into_u64()).expect("an open span");
        kept.closed.push(text);
        true
    }

    fn clone_span(&self, id: &Id) -> Id {
        // One more holder: the span is closed by the last, which this subscriber does not count.
        let mut kept = self.0.lock().expect("no panic");
        kept.next += 1;
        let (text, id) = (kept.open[&id.into_u64()].clone(), kept.next);
        kept.open.insert(id, text);
        Id::from_u64(id)
    }
}

fn run_with_spans(builder: Builder) -> Kept {
    let spans = Spans::default();
    tracing::subscriber::with_default(spans.clone(), || {
        let (mut event_loop, _sim) = builder.build_simulated(SimConfig::seeded(1)).expect("a ring");
        let main = async {
            let worker = spawn(async {
                yield_now().await;
                Driver::current().submit(Nop).await.expect("a nop");
            });
            worker.named("worker").await.expect("no panic");
        };
        event_loop.run_until_complete(main).expect("not stopped");
    });
    std::mem::take(&mut *spans.0.lock().expect("no panic"))
}

#[test]
fn a_task_is_a_span_that_is_entered_for_each_poll() {
    let kept = run_with_spans(small());
    let polls = kept.entered.iter().filter(|text| text.contains("name=\"worker\"")).count();
    assert_eq!(polls, 3, "at first, after the yield, after the nop: {:?}", kept.entered);
    let worker = kept.closed.iter().find(|text| text.contains("name=\"worker\""));
    let worker = worker.expect("its span was closed");
    assert!(worker.starts_with("task id=2 ") && worker.contains("callback=false"), "{worker}");
    assert!(worker.contains("spawned_at=") && worker.contains("trace.rs:"), "{worker}");
    assert_eq!(kept.open.len(), 0, "spans are left open: {:?}", kept.open);
}

#[test]
fn an_operation_is_a_span_with_its_result() {
    let kept = run_with_spans(small());
    let ops: Vec<_> = kept.closed.iter().filter(|text| text.starts_with("op ")).collect();
    assert_eq!(ops.len(), 1, "{ops:?}");
    assert!(ops[0].contains("operation=\"NOP\"") && ops[0].ends_with(" result=0"), "{ops:?}");
}

#[test]
fn a_loop_that_shall_make_no_spans_makes_none() {
    let kept = run_with_spans(small().spans(false));
    assert_eq!((kept.entered.len(), kept.closed.len()), (0, 0), "{:?}", kept.closed);
}

/// The events of a trace, each by its category, phase and name.
fn events(text: &str) -> Vec<(String, String, String)> {
    let all: Vec<serde_json::Value> = serde_json::from_str(text).expect("a JSON array");
    let field = |event: &serde_json::Value, name: &str| {
        event.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    all.iter()
        .map(|event| (field(event, "cat"), field(event, "ph"), field(event, "name")))
        .collect()
}

#[test]
fn a_trace_for_chrome_has_polls_parks_and_operations() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("trace.json");
    let mut event_loop = EventLoop::builder().chrome_trace(&path).build().expect("a ring");
    let main = async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it has one");
        let server = spawn(async move { listener.accept().await.map(drop) });
        let server = server.named("the \"server\"");
        drop(TcpStream::connect(address).await.expect("connected"));
        server.await.expect("no panic").expect("accepted");
        call_soon(|| ()).named("by and by");
        sleep(Duration::from_millis(2)).await;
    };
    event_loop.run_until_complete(main).expect("not stopped");
    drop(event_loop);
    let text = fs::read_to_string(&path).expect("the trace");
    let events = events(&text);
    let has = |cat: &str, ph: &str, name: &str| {
        let wanted = (cat.to_owned(), ph.to_owned(), name.to_owned());
        assert!(events.contains(&wanted), "no {wanted:?} in {text}");
    };
    has("poll", "X", "the \"server\"");
    has("poll", "X", "by and by");
    has("loop", "X", "park");
    for operation in ["ACCEPT", "CONNECT"] {
        has("op", "b", operation);
        has("op", "e", operation);
    }
    let count = |ph: &str| events.iter().filter(|(cat, at, _)| cat == "op" && at == ph).count();
    assert_eq!(count("b"), count("e"), "what began has ended, by the end of the loop: {text}");
}

#[test]
fn a_trace_that_cannot_be_made_is_an_error_that_names_it() {
    let error = EventLoop::builder().chrome_trace("/nowhere/at/all.json").build().expect_err("no");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("/nowhere/at/all.json"), "{error}");
}

#[test]
fn a_full_disk_ends_the_trace_and_not_the_program() {
    let mut event_loop =
        EventLoop::builder().chrome_trace("/dev/full").build().expect("it opens, and is full");
    let ran = event_loop.run_until_complete(async {
        for _ in 0..1000 {
            yield_now().await;
        }
        true
    });
    assert!(ran.expect("not stopped"));
}

#[test]
fn a_dump_tells_what_is_in_flight() {
    let (mut event_loop, _sim) = small().build_simulated(SimConfig::seeded(1)).expect("a ring");
    let text = event_loop.run_until_complete(async {
        let listener = TcpListener::bind("10.0.0.1:80").expect("a port");
        drop(spawn(async move { listener.accept().await.is_ok() }));
        drop(spawn(pending::<()>()));
        sleep(Duration::from_secs(3)).await;
        uring_loop::Dump::current().to_string()
    });
    let text = text.expect("not stopped");
    assert!(text.ends_with("in flight: 1 ACCEPT (oldest 3.000 s)\n"), "{text}");
}
