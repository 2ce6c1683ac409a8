//! Protocols of children: which calls come, in which order, and what becomes of a child whose
//! protocol goes. The orders are those of CPython 3.11 and 3.13, where the same children ran.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::buf::RecvBuf;
use uring_loop::process::{Command, Stdio};
use uring_loop::protocol::{
    StdPipe, SubprocessProtocol, SubprocessTransport, Transport, subprocess_exec,
};
use uring_loop::signal::SignalKind;
use uring_loop::{EventLoop, Task, spawn, yield_now};

use crate::process::everywhere;
use crate::support::{poll_once, reporting, settle, small};

const MS: Duration = Duration::from_millis(1);
const ESRCH: i32 = 3;

type Calls = Rc<RefCell<Vec<String>>>;

/// Writes down its calls; what one pipe brings in several pieces is one call.
#[derive(Default)]
struct Diary {
    calls: Calls,
    transport: Option<SubprocessTransport>,
    made: Option<fn(&SubprocessTransport)>,
    received: Option<fn(&SubprocessTransport)>,
}

impl Diary {
    fn note(&self, call: impl Into<String>) {
        self.calls.borrow_mut().push(call.into());
    }
}

impl SubprocessProtocol for Diary {
    fn connection_made(&mut self, transport: SubprocessTransport) {
        self.note("made");
        if let Some(made) = self.made {
            made(&transport);
        }
        self.transport = Some(transport);
    }

    fn pipe_data_received(&mut self, pipe: StdPipe, data: RecvBuf) {
        self.note(format!("{pipe} {}", String::from_utf8_lossy(&data).trim_end()));
        if let Some(received) = self.received {
            received(self.transport.as_ref().expect("made comes first"));
        }
    }

    fn pipe_connection_lost(&mut self, pipe: StdPipe, error: Option<io::Error>) {
        let error = error.map_or(String::new(), |error| format!(" {:?}", error.kind()));
        self.note(format!("{pipe} lost{error}"));
    }

    fn process_exited(&mut self) {
        let status = self.transport.as_ref().and_then(SubprocessTransport::status);
        let status = status.expect("it is known");
        self.note(match status.signal() {
            Some(signal) => format!("exited -{signal}"),
            None => format!("exited {}", status.code().expect("one of both")),
        });
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.note(error.map_or("lost".to_owned(), |error| format!("lost: {error}")));
    }

    fn pause_writing(&mut self) {
        self.note("pause");
    }

    fn resume_writing(&mut self) {
        self.note("resume");
    }
}

struct Running {
    transport: SubprocessTransport,
    task: Task<Diary>,
    calls: Calls,
}

async fn start(diary: Diary, line: &str) -> Running {
    start_command(diary, &mut Command::shell(line)).await
}

async fn start_command(diary: Diary, command: &mut Command) -> Running {
    let calls = diary.calls.clone();
    let (transport, task) = subprocess_exec(|| diary, command).await.expect("a shell");
    assert_eq!(calls.borrow()[0], "made", "it answers when the first call is over");
    Running { transport, task, calls }
}

impl Running {
    /// All calls, when the last one was made.
    async fn end(self) -> Vec<String> {
        self.task.await.expect("no panic");
        self.calls.take()
    }

    fn has(&self, call: &str) -> bool {
        self.calls.borrow().iter().any(|made| made == call)
    }

    async fn until(&self, call: &str) {
        while !self.has(call) {
            pause().await;
        }
    }

    fn pipe(&self, pipe: StdPipe) -> &Transport {
        self.transport.pipe(pipe).expect("it is a pipe")
    }
}

/// Lets real time pass, also where a child holds the clock.
async fn pause() {
    std::thread::sleep(MS);
    yield_now().await;
}

/// Whether there is such a process, and it has not ended.
fn is_running(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Where a call is in the row. It is in there once.
#[track_caller]
fn at(calls: &[String], call: &str) -> usize {
    let found: Vec<_> = (0..calls.len()).filter(|at| calls[*at] == call).collect();
    assert_eq!(found.len(), 1, "{call} in {calls:?}");
    found[0]
}

#[test]
fn every_pipe_tells_its_end_and_the_loss_comes_last() {
    everywhere(|| async {
        let child = start(Diary::default(), "echo out; echo err >&2; exit 3").await;
        let transport = child.transport.clone();
        let calls = child.end().await;
        assert_eq!(calls.len(), 8, "{calls:?}");
        assert!(at(&calls, "stdout out") < at(&calls, "stdout lost"));
        assert!(at(&calls, "stderr err") < at(&calls, "stderr lost"));
        at(&calls, "stdin lost");
        at(&calls, "exited 3");
        assert_eq!((at(&calls, "made"), at(&calls, "lost")), (0, 7));
        assert_eq!(transport.status().and_then(|status| status.code()), Some(3));
        assert!(transport.id() > 0 && transport.is_closing(), "all is over");
    });
}

#[test]
fn a_child_gets_its_input_and_its_end() {
    everywhere(|| async {
        let made = |transport: &SubprocessTransport| {
            let stdin = transport.pipe(StdPipe::Stdin).expect("piped");
            stdin.write("hello");
            assert!(stdin.can_write_eof() && !stdin.is_reading());
            stdin.write_eof();
        };
        let child = start(Diary { made: Some(made), ..Diary::default() }, "cat").await;
        let calls = child.end().await;
        assert!(at(&calls, "stdout hello") < at(&calls, "stdout lost"));
        assert!(at(&calls, "stdin lost") < at(&calls, "stdout lost"));
        assert_eq!(at(&calls, "lost"), calls.len() - 1);
    });
}

#[test]
fn a_child_that_wants_no_input_says_so_at_once() {
    everywhere(|| async {
        let child = start(Diary::default(), "exec 0<&-; exec sleep 1000").await;
        child.until("stdin lost").await;
        assert_eq!(*child.calls.borrow(), ["made", "stdin lost"], "it runs on");
        child.transport.kill().expect("ours");
        child.end().await;
    });
}

#[test]
fn what_was_to_be_written_to_a_child_that_reads_no_more_is_an_error_of_its_pipe() {
    everywhere(|| async {
        let child = start(Diary::default(), "head -c 1 > /dev/null; exec 0<&-; echo more").await;
        child.pipe(StdPipe::Stdin).write(vec![7; 300_000]);
        let calls = child.end().await;
        at(&calls, "pause");
        at(&calls, "stdin lost BrokenPipe");
        at(&calls, "stdout more");
        at(&calls, "exited 0");
        assert!(!calls.contains(&"resume".to_owned()), "{calls:?}");
    });
}

#[test]
fn a_protocol_that_writes_too_much_is_told_when_to_go_on() {
    everywhere(|| async {
        let child = start(Diary::default(), "read line; cat > /dev/null").await;
        let stdin = child.pipe(StdPipe::Stdin);
        stdin.write(vec![7; 300_000]);
        assert!(stdin.buffered() > 0);
        stdin.write("\n");
        stdin.close();
        let calls = child.end().await;
        let row = ["pause", "resume", "stdin lost", "lost"].map(|call| at(&calls, call));
        assert!(row.is_sorted(), "{calls:?}");
    });
}

#[test]
fn the_loss_waits_for_pipes_that_others_keep_open() {
    everywhere(|| async {
        let child =
            start(Diary::default(), "exec 3<&0; (read line <&3; echo background) & exit 1").await;
        let transport = child.transport.clone();
        child.until("exited 1").await;
        assert!(!child.has("lost"), "{:?}", child.calls.borrow());
        // It has ended, and is not lost: a signal goes nowhere.
        transport.signal(SignalKind::TERMINATE).expect("no error");
        transport.kill().expect("no error");
        child.pipe(StdPipe::Stdin).write("go on\n");
        let calls = child.end().await;
        assert!(at(&calls, "exited 1") < at(&calls, "stdout background"));
        assert_eq!(at(&calls, "lost"), calls.len() - 1);
        let error = transport.terminate().expect_err("it is gone");
        assert_eq!(error.raw_os_error(), Some(ESRCH));
        assert!(transport.kill().is_err());
    });
}

#[test]
fn closed_pipes_are_lost_before_the_child_ends() {
    everywhere(|| async {
        let child = start(Diary::default(), "exec 1>&- 2>&-; read line; exit 5").await;
        child.until("stdout lost").await;
        child.until("stderr lost").await;
        assert!(!child.has("stdin lost"));
        child.pipe(StdPipe::Stdin).write("go on\n");
        let calls = child.end().await;
        at(&calls, "exited 5");
    });
}

#[test]
fn a_child_without_pipes_has_an_end_all_the_same() {
    everywhere(|| async {
        let mut command = Command::shell("exit 4");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = start_command(Diary::default(), &mut command).await;
        assert!(StdPipe::Stdout as i32 == 1 && child.transport.pipe(StdPipe::Stdout).is_none());
        assert_eq!(child.end().await, ["made", "exited 4", "lost"]);
        // What was not said is said no more: the next spawn inherits.
        let mut command = Command::shell("exit 0");
        start_command(Diary::default(), &mut command).await.end().await;
        let child = command.stdin(Stdio::null()).spawn().expect("a shell");
        assert!(child.stdout.is_none());
        child.wait().await.expect("ours");
    });
}

#[test]
fn a_pipe_can_be_paused_and_closed_by_itself() {
    everywhere(|| async {
        let made = |transport: &SubprocessTransport| {
            transport.pipe(StdPipe::Stdout).expect("piped").pause_reading();
            transport.pipe(StdPipe::Stderr).expect("piped").close();
        };
        let diary = Diary { made: Some(made), ..Diary::default() };
        let child = start(diary, "echo out; read line; echo err >&2; exit 0").await;
        for _ in 0..20 {
            pause().await;
        }
        assert_eq!(*child.calls.borrow(), ["made", "stderr lost"]);
        // Nobody reads what it says then, so that is its end.
        child.pipe(StdPipe::Stdin).write("go on\n");
        while !child.calls.borrow().iter().any(|call| call.starts_with("exited")) {
            pause().await;
        }
        assert!(!child.has("stdout out"));
        child.pipe(StdPipe::Stdout).resume_reading();
        let calls = child.end().await;
        assert!(at(&calls, "stdout out") < at(&calls, "stdout lost"));
    });
}

#[test]
fn closing_kills_a_child_that_runs() {
    everywhere(|| async {
        let child = start(Diary::default(), "exec sleep 1000").await;
        child.transport.close();
        child.transport.close();
        assert!(child.transport.is_closing());
        let calls = child.end().await;
        assert_eq!(calls.len(), 6, "{calls:?}");
        at(&calls, "exited -9");
        for pipe in ["stdin lost", "stdout lost", "stderr lost"] {
            at(&calls, pipe);
        }
        assert_eq!(at(&calls, "lost"), 5);
    });
}

#[test]
fn a_signal_is_told_by_the_status() {
    everywhere(|| async {
        let child = start(Diary::default(), "echo ready; exec sleep 1000").await;
        child.until("stdout ready").await;
        child.transport.terminate().expect("it runs");
        at(&child.end().await, "exited -15");
    });
}

#[test]
fn a_cancelled_task_kills_the_child_and_tells_all() {
    everywhere(|| async {
        let child = start(Diary::default(), "exec sleep 1000").await;
        child.task.cancel();
        let calls = child.end().await;
        at(&calls, "exited -9");
        assert_eq!(at(&calls, "lost"), 5);
    });
}

#[test]
fn an_aborted_task_kills_the_child() {
    everywhere(|| async {
        let child = start(Diary::default(), "exec sleep 1000").await;
        let transport = child.transport.clone();
        assert!(is_running(transport.id()));
        child.task.abort();
        drop(child);
        yield_now().await;
        assert!(transport.is_closing());
        while is_running(transport.id()) {
            pause().await;
        }
    });
}

#[test]
fn an_aborted_task_leaves_no_zombie_though_somebody_keeps_the_transport() {
    everywhere(|| async {
        let child = start(Diary::default(), "exec sleep 1000").await;
        let transport = child.transport.clone();
        child.task.abort();
        drop(child);
        let entry = format!("/proc/{}", transport.id());
        while std::path::Path::new(&entry).exists() {
            pause().await;
        }
        assert_eq!(transport.status(), None, "nobody was told");
        let error = transport.signal(SignalKind::TERMINATE).expect_err("it is gone");
        assert_eq!(error.raw_os_error(), Some(ESRCH));
        transport.close();
    });
}

#[test]
fn a_call_that_is_dropped_kills_the_child() {
    everywhere(|| async {
        let diary = Diary::default();
        let calls = diary.calls.clone();
        let mut command = Command::shell("exec sleep 1000");
        let mut starting = Box::pin(subprocess_exec(|| diary, &mut command));
        assert!(poll_once(&mut starting).await.is_pending());
        drop(starting);
        while !calls.borrow().iter().any(|call| call == "lost") {
            pause().await;
        }
        at(&calls.borrow(), "exited -9");
    });
}

#[test]
fn a_program_that_is_not_there_is_an_error_of_the_call() {
    everywhere(|| async {
        let mut command = Command::new("/no/such/program");
        let error = subprocess_exec(Diary::default, &mut command).await.expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    });
}

#[test]
fn a_protocol_that_panics_costs_its_child() {
    let (mut event_loop, reports) = reporting(EventLoop::new().expect("a ring"));
    let talk = async {
        let received = |_: &SubprocessTransport| panic!("oh no");
        let diary = Diary { received: Some(received), ..Diary::default() };
        let child = start(diary, "echo out; exec sleep 1000").await;
        let transport = child.transport.clone();
        drop(child);
        while is_running(transport.id()) {
            pause().await;
        }
    };
    event_loop.run_until_complete(talk).expect("not cancelled");
    settle(&mut event_loop);
    let reports = reports.borrow();
    assert!(reports.len() == 1 && reports[0].1.contains("oh no"), "{reports:?}");
}

#[test]
fn a_loop_that_is_dropped_in_the_middle_kills_what_has_a_protocol() {
    let mut event_loop = small().build().expect("a ring");
    let start = async { start(Diary::default(), "exec sleep 1000").await };
    let child = event_loop.run_until_complete(start).expect("not cancelled");
    let id = child.transport.id();
    drop(event_loop);
    assert!(child.transport.is_closing());
    drop(child);
    assert!(!std::path::Path::new(&format!("/proc/{id}/stat")).exists(), "it is reaped");
}

#[test]
fn many_children_talk_at_the_same_time() {
    everywhere(|| async {
        let children = (0..8).map(|number| {
            spawn(async move {
                let made = |transport: &SubprocessTransport| {
                    let stdin = transport.pipe(StdPipe::Stdin).expect("piped");
                    stdin.write(vec![b'x'; 200_000]);
                    stdin.close();
                };
                let diary = Diary { made: Some(made), ..Diary::default() };
                let child = start(diary, &format!("tee /dev/stderr; exit {number}")).await;
                let calls = child.end().await;
                at(&calls, &format!("exited {number}"));
                for pipe in ["stdout", "stderr"] {
                    let prefix = format!("{pipe} x");
                    let bytes = calls.iter().filter(|call| call.starts_with(&prefix));
                    let bytes: usize = bytes.map(|call| call.len() - prefix.len() + 1).sum();
                    assert_eq!(bytes, 200_000, "{pipe}");
                }
            })
        });
        for child in children.collect::<Vec<_>>() {
            child.await.expect("no panic");
        }
    });
}
