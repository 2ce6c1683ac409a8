//! What several modules need: loops on a simulated kernel that are checked for leaks, tests that
//! run in a process of their own, a log that can be read, small futures.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::future::{Future, pending, poll_fn};
use std::io::Read as _;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use uring_loop::testing::{SimConfig, SimHandle};
use uring_loop::time::{now, sleep, timeout};
use uring_loop::{
    Builder, EventLoop, ReportKind, RingKind, Statistics, catch_cancel, spawn, yield_now,
};

/// A builder with few and small buffers.
pub(crate) fn small() -> Builder {
    EventLoop::builder().buffers(8, 256)
}

/// Runs a future on a simulated kernel, then gives what was dropped a second of virtual time to
/// end, and looks for leaks: operations, orphans, tasks, buffers, descriptors.
#[track_caller]
pub(crate) fn on_sim<M, F>(config: SimConfig, make: M) -> F::Output
where
    M: FnOnce(SimHandle) -> F,
    F: Future,
{
    on_sim_with(small(), config, make).0
}

/// The same with a builder, and with the statistics of the moment before the check.
#[track_caller]
pub(crate) fn on_sim_with<M, F>(
    builder: Builder,
    config: SimConfig,
    make: M,
) -> (F::Output, Statistics)
where
    M: FnOnce(SimHandle) -> F,
    F: Future,
{
    let (mut event_loop, sim) = builder.build_simulated(config).expect("a simulated ring");
    let output = event_loop.run_until_complete(make(sim.clone())).expect("not cancelled");
    let statistics = event_loop.statistics();
    settle(&mut event_loop);
    let at_rest = event_loop.statistics();
    assert_eq!(at_rest.in_flight, 0, "left in flight: {:?}", event_loop.in_flight());
    assert_eq!((at_rest.orphans, at_rest.tasks), (0, 0), "{at_rest}");
    assert!(at_rest.enters <= at_rest.turns, "more than one enter per turn: {at_rest}");
    if let Some((free, all)) = at_rest.buffers {
        assert_eq!(free, all, "buffers were not given back");
        assert_eq!(sim.provided_buffers_free(0), Some(all), "the kernel has too few buffers");
    }
    drop(event_loop);
    assert_eq!(sim.in_flight(), 0, "{}", sim.describe());
    assert_eq!(sim.open_descriptors(), [], "descriptors were left open");
    (output, statistics)
}

/// Runs a future on a fresh loop whose clock jumps. One that waits for ever fails: when nothing
/// else is to be done, the clock jumps to the end of its day. (That polls it once more, which must
/// not be what helps.)
#[track_caller]
pub(crate) fn run_limited<F: Future>(future: F) -> F::Output {
    let day = Duration::from_secs(24 * 3600);
    uring_loop::testing::run(async {
        let start = now();
        let output = timeout(day, future).await.expect("it waits for ever");
        assert!(now() - start < day, "it was not woken, and ended when its day was over");
        output
    })
}

/// Whether this machine's kernel, or the one that it is taken for, is of this version or a later
/// one. For what a test expects: the product asks for no version.
pub(crate) fn kernel_is(major: u32, minor: u32) -> bool {
    let version = |text: String| {
        let mut numbers = text.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        (numbers.next().expect("a number"), numbers.next().expect("two numbers"))
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc");
    let played = std::env::var("URING_LOOP_KERNEL").ok();
    played.into_iter().chain([release]).map(version).all(|it| it >= (major, minor))
}

/// Whether sockets receive ahead of who reads, into the loop's buffers: all rings do, but that of
/// a kernel before 6.0.
pub(crate) fn sockets_receive_ahead() -> bool {
    let event_loop = EventLoop::new().expect("a ring");
    kernel_is(6, 0) || event_loop.statistics().ring != RingKind::Kernel
}

/// A loop whose clock jumps.
pub(crate) fn virtual_loop() -> EventLoop {
    EventLoop::builder().virtual_clock().build().expect("a ring")
}

/// Runs a future on a loop whose clock jumps, and drops whatever else is left in it.
#[track_caller]
pub(crate) fn run_alone<F: Future>(future: F) -> F::Output {
    virtual_loop().run_until_complete(future).expect("not stopped")
}

/// What a loop told its exception handler.
pub(crate) type Reports = Rc<RefCell<Vec<(ReportKind, String)>>>;

/// The loop, with its reports kept.
pub(crate) fn reporting(mut event_loop: EventLoop) -> (EventLoop, Reports) {
    let reports = Reports::default();
    let heard = reports.clone();
    event_loop.set_exception_handler(move |report| {
        heard.borrow_mut().push((report.kind, report.to_string()));
    });
    (event_loop, reports)
}

/// What is reported while a future runs on a simulated kernel, by kind and in words.
#[track_caller]
pub(crate) fn reports_on_sim<F: Future>(
    make: impl FnOnce(SimHandle) -> F,
) -> Vec<(ReportKind, String)> {
    let (event_loop, sim) = small().build_simulated(SimConfig::seeded(0)).expect("a ring");
    let (mut event_loop, reports) = reporting(event_loop);
    event_loop.run_until_complete(make(sim.clone())).expect("not cancelled");
    drop(event_loop);
    assert_eq!(sim.open_descriptors(), []);
    reports.borrow().clone()
}

/// Lets what is under way come to its end.
pub(crate) fn settle(event_loop: &mut EventLoop) {
    let pause = async { sleep(Duration::from_secs(1)).await };
    event_loop.run_until_complete(pause).expect("not cancelled");
}

/// Polls a future once, with the waker of the task that asks.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Ends the task that awaits it as cancelled, as a request would that it hands on.
pub(crate) async fn end_as_cancelled() -> ! {
    let asked = spawn(async { catch_cancel(pending::<()>()).await.expect_err("it is asked") });
    yield_now().await;
    asked.cancel();
    asked.await.expect("it took the request").propagate().await;
    unreachable!("a request that was handed on does not come back")
}

/// Forgets a value: it is never dropped. It stays in sight of leak checkers.
pub(crate) fn forget<T>(value: T) {
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let place = Box::into_raw(Box::new(value));
    KEPT.lock().expect("no panic").push(place.expose_provenance());
}

/// Runs `body` in a child process: this test program again, with this one test. For whatever
/// concerns the whole process: descriptors, signals, limits, filters, forks.
///
/// `test` is the full name of the test that calls.
#[track_caller]
pub(crate) fn in_child(test: &str, body: impl FnOnce()) {
    in_child_with(&[], test, body);
}

/// The same for a test that leaks on purpose: a leak checker that watches this run is told not to
/// look.
#[track_caller]
pub(crate) fn in_leaking_child(test: &str, body: impl FnOnce()) {
    in_child_with(&[("ASAN_OPTIONS", "detect_leaks=0")], test, body);
}

#[track_caller]
fn in_child_with(variables: &[(&str, &str)], test: &str, body: impl FnOnce()) {
    const MARK: &str = "URING_LOOP_TEST_CHILD";
    if std::env::var_os(MARK).is_some_and(|name| name == test) {
        return body();
    }
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(MARK, test)
        .envs(variables.iter().copied());
    let (success, text) = run_to_end(command);
    assert!(success && text.contains("1 passed"), "{test} in a child process:\n{text}");
}

/// The child's fate and all its output. One that does not end within a minute is killed.
fn run_to_end(mut command: Command) -> (bool, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let mut out = child.stdout.take().expect("piped");
    let mut err = child.stderr.take().expect("piped");
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = err.read_to_end(&mut text);
        text
    });
    let words = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = out.read_to_end(&mut text);
        text
    });
    let start = Instant::now();
    let status = loop {
        match child.try_wait().expect("our child") {
            Some(status) => break Some(status),
            None if start.elapsed() > Duration::from_secs(60) => break None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let mut text = String::from_utf8_lossy(&words.join().expect("read")).into_owned();
    text.push_str(&String::from_utf8_lossy(&errors.join().expect("read")));
    match status {
        Some(status) => writeln!(text, "{status}").expect("a String takes everything"),
        None => text.push_str("it hung, and was killed\n"),
    }
    (status.is_some_and(|status| status.success()), text)
}

/// How many descriptors this process has open. Only of use in a child process.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}

/// What was logged while `f` ran on this thread, one event a line.
pub(crate) fn logged<R>(f: impl FnOnce() -> R) -> (R, String) {
    let log = Log::default();
    let lines = log.0.clone();
    let result = tracing::subscriber::with_default(log, f);
    let text = lines.lock().expect("no panic").join("\n");
    (result, text)
}

/// The log of the whole process from now on. Only of use in a child process.
pub(crate) fn log_of_the_process() -> Arc<Mutex<Vec<String>>> {
    let log = Log::default();
    let lines = log.0.clone();
    tracing::subscriber::set_global_default(log).expect("nobody else has set one");
    lines
}

#[derive(Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("a String takes everything");
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().expect("no panic").push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// A descriptor of the simulated kernel as std's type, which asks for one that stays open.
pub(crate) fn borrowed<'a>(number: std::os::fd::RawFd) -> std::os::fd::BorrowedFd<'a> {
    // SAFETY: the test closes it when nothing uses it any more; it is no descriptor of this
    // process, so none of this process is touched through it.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(number) }
}
