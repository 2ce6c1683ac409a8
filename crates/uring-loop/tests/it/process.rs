//! Children: starting them, talking with them, their end. On the real kernel, with and without
//! `WAITID`, and on the simulated one, whose children are real.

use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::op::opcode;
use uring_loop::pipe::{PipeReader, PipeWriter};
use uring_loop::process::{Child, Command, Stdio};
use uring_loop::signal::SignalKind;
use uring_loop::testing::SimConfig;
use uring_loop::time::{sleep, timeout};
use uring_loop::{EventLoop, join, run, spawn, yield_now};

use crate::support::{on_sim_with, poll_once, small};

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Runs a piece on the real kernel and on the simulated one, each with `WAITID` and without, and
/// looks for what it leaves.
#[track_caller]
pub(crate) fn everywhere<F: Future<Output = ()>>(piece: impl Fn() -> F) {
    for lacks in [&[][..], &[opcode::WAITID, opcode::READ_MULTISHOT]] {
        on_the_real_one(lacks, &piece);
        on_sim_with(small().without(lacks), SimConfig::seeded(1), |_| piece());
    }
}

#[track_caller]
fn on_the_real_one<F: Future<Output = ()>>(lacks: &'static [u8], piece: impl Fn() -> F) {
    let mut event_loop = small().without(lacks).build().expect("a ring");
    let limited = async { timeout(MINUTE, piece()).await.expect("it waits for ever") };
    event_loop.run_until_complete(limited).expect("not cancelled");
    until_quiet(&mut event_loop);
}

/// Lets what was dropped come to its end.
pub(crate) fn until_quiet(event_loop: &mut EventLoop) {
    for _ in 0..1000 {
        if event_loop.statistics().in_flight == 0 {
            return;
        }
        let pause = async { sleep(10 * MS).await };
        event_loop.run_until_complete(pause).expect("not cancelled");
    }
    panic!("left in flight: {:?}", event_loop.in_flight());
}

fn exited(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

fn shell(line: &str) -> Command {
    let mut command = Command::shell(line);
    command.stdin(Stdio::null());
    command
}

/// One that ends only when it is killed.
fn endless() -> Child {
    Command::new("sleep").arg("1000").kill_on_drop(true).spawn().expect("it is there")
}

async fn text_of(command: &mut Command) -> String {
    let output = command.output().await.expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_status_is_a_code_or_a_signal() {
    everywhere(|| async {
        for code in [0, 1, 255] {
            let child = shell(&format!("exit {code}")).spawn().expect("a shell");
            assert_eq!(child.wait().await.expect("our child"), exited(code));
        }
        let child = shell("kill -TERM $$").spawn().expect("a shell");
        assert_eq!(child.wait().await.expect("our child").signal(), Some(15));
        assert_eq!(shell("exit 3").status().await.expect("a shell"), exited(3));
    });
}

#[test]
fn a_wait_that_is_dropped_loses_no_status() {
    everywhere(|| async {
        let child = shell("exit 7").spawn().expect("a shell");
        for turn in 0..30 {
            let mut wait = child.wait();
            if poll_once(&mut wait).await.is_ready() {
                break;
            }
            drop(wait);
            if turn % 3 == 0 {
                std::thread::sleep(MS);
            }
            yield_now().await;
        }
        for _ in 0..3 {
            assert_eq!(child.wait().await.expect("our child"), exited(7));
        }
        assert_eq!(child.try_wait().expect("our child"), Some(exited(7)));
    });
}

#[test]
fn many_may_wait_for_one_child_and_each_may_leave() {
    everywhere(|| async {
        let child =
            Rc::new(Command::new("cat").stdin(Stdio::piped()).spawn().expect("it is there"));
        let waits: Vec<_> = (0..5)
            .map(|_| {
                let child = child.clone();
                spawn(async move { child.wait().await.expect("our child") })
            })
            .collect();
        yield_now().await;
        yield_now().await;
        // The one that was polled last has its waker at the operation.
        let mut last = child.wait();
        assert!(poll_once(&mut last).await.is_pending());
        drop(last);
        waits[4].abort();
        waits[0].abort();
        child.terminate().expect("it runs");
        for (at, wait) in waits.into_iter().enumerate() {
            match wait.await {
                Ok(status) => assert_eq!(status.signal(), Some(15)),
                Err(error) => assert!(at % 4 == 0 && error.is_cancelled()),
            }
        }
    });
}

#[test]
fn looking_does_not_wait_and_agrees_with_waiting() {
    everywhere(|| async {
        let child = endless();
        assert_eq!(child.try_wait().expect("our child"), None);
        let mut wait = child.wait();
        assert!(poll_once(&mut wait).await.is_pending());
        assert_eq!(child.try_wait().expect("our child"), None);
        child.start_kill().expect("it runs");
        // It may be in the kernel's hand already; then the next turn has it.
        while child.try_wait().expect("our child").is_none() {
            std::thread::sleep(MS);
            yield_now().await;
        }
        assert_eq!(wait.await.expect("our child").signal(), Some(9));
    });
}

#[test]
fn signals_reach_a_child_until_it_was_waited_for() {
    everywhere(|| async {
        let child = endless();
        child.signal(SignalKind::USER1).expect("it runs");
        assert_eq!(child.wait().await.expect("our child").signal(), Some(10));
        let nobody = child.signal(SignalKind::USER1).expect_err("it was waited for");
        assert_eq!(nobody.raw_os_error(), Some(nix::errno::Errno::ESRCH as i32));
        child.start_kill().expect("what has ended need not be killed");
        assert_eq!(child.kill().await.expect("it has ended").signal(), Some(10));
        assert_eq!(endless().kill().await.expect("our child").signal(), Some(9));
    });
}

#[test]
fn a_group_is_told_as_a_whole() {
    everywhere(|| async {
        for setsid in [false, true] {
            let mut command = shell("sleep 1000 | sleep 1000; true");
            command.stdout(Stdio::piped());
            if setsid {
                command.setsid()
            } else {
                command.process_group(0)
            };
            let mut child = command.spawn().expect("a shell");
            let mut output = child.stdout.take().expect("piped");
            assert!(poll_once(&mut output.recv()).await.is_pending());
            child.signal_group(SignalKind::KILL).expect("it leads one");
            // The sleeps had the pipe too: it ends with the last of them.
            assert!(output.recv().await.expect("the end").is_empty());
            assert_eq!(child.wait().await.expect("our child").signal(), Some(9));
        }
        let lone = endless();
        lone.signal_group(SignalKind::KILL).expect_err("it leads none");
        assert_eq!(lone.kill().await.expect("our child").signal(), Some(9));
    });
}

#[test]
fn a_program_that_is_not_there_is_named() {
    everywhere(|| async {
        let error = Command::new("no-such-program").spawn().expect_err("it is not there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.starts_with("spawning `no-such-program`: No such file"), "{text}");
        let error = Command::new("true").current_dir("/nowhere").output().await;
        let text = error.expect_err("no such folder").to_string();
        assert!(text.starts_with("spawning `true` in `/nowhere`: "), "{text}");
        let mut failing = Command::new("true");
        // SAFETY: it only makes an error, from a number.
        unsafe { failing.pre_exec(|| Err(io::Error::from_raw_os_error(13))) };
        let error = failing.spawn().expect_err("it says no");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    });
}

#[test]
fn arguments_environment_and_folder_are_as_they_were_said() {
    everywhere(|| async {
        let mut command = Command::new("sh");
        command.arg("-c").arg("echo $0 $1 $A $B $C; pwd").args(["zero", "one"]);
        command.env("A", "a").envs([("B", "b"), ("C", "c")]).env_remove("C").current_dir("/tmp");
        assert_eq!(text_of(&mut command).await, "zero one a b\n/tmp\n");
        assert_eq!(text_of(Command::new("/usr/bin/env").env_clear().env("X", "1")).await, "X=1\n");
        let mut named = Command::new("sh");
        let text = text_of(named.arg0("another").args(["-c", "cat /proc/$$/cmdline"])).await;
        assert!(text.starts_with("another\0-c\0"), "{text:?}");
        let mut plain = std::process::Command::new("echo");
        plain.arg("from std");
        assert_eq!(text_of(&mut plain.into()).await, "from std\n");
        let mut more = Command::new("echo");
        more.as_std().arg("by std");
        assert_eq!(text_of(&mut more).await, "by std\n");
    });
}

#[test]
fn streams_go_where_they_are_told() {
    everywhere(|| async {
        let folder = tempfile::tempdir().expect("a place for temporary files");
        let path = folder.path().join("words");
        std::fs::write(&path, "from a file").expect("room");
        let file = std::fs::File::open(&path).expect("it is there");
        assert_eq!(text_of(Command::new("cat").stdin(file)).await, "from a file");
        let file = std::fs::File::create(&path).expect("room");
        let output = shell("echo out; echo err >&2").stdout(file).output().await.expect("a shell");
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b""[..], &b"err\n"[..]));
        assert_eq!(std::fs::read(&path).expect("it is there"), b"out\n");
        // Unless it was said, there is nothing to read, and spawning leaves things as they were.
        let mut cat = Command::new("cat");
        assert_eq!(text_of(&mut cat).await, "");
        cat.stdin(Stdio::null()).stdout(Stdio::null());
        let child = cat.spawn().expect("it is there");
        assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
        assert!(child.wait().await.expect("our child").success());
    });
}

#[test]
fn the_output_of_one_child_is_the_input_of_another() {
    everywhere(|| async {
        let mut first =
            Command::new("seq").arg("20000").stdout(Stdio::piped()).spawn().expect("is");
        let numbers = Stdio::try_from(first.stdout.take().expect("piped")).expect("untouched");
        let mut second = Command::new("wc");
        assert_eq!(text_of(second.arg("-l").stdin(numbers)).await.trim(), "20000");
        assert!(first.wait().await.expect("our child").success());
        drop(second);
        // The other way round: a writer becomes what a child writes to.
        let (reader, writer) = std::io::pipe().expect("room");
        let (mut reader, writer) = (PipeReader::from_fd(reader), PipeWriter::from_fd(writer));
        let child = Command::new("echo").arg("there").stdout(writer).spawn().expect("it is there");
        assert_eq!(&*reader.recv().await.expect("open"), b"there\n");
        assert!(reader.recv().await.expect("the end").is_empty());
        assert!(child.wait().await.expect("our child").success());
        // One that was received from is not given away.
        let mut child = Command::new("echo").stdout(Stdio::piped()).spawn().expect("it is there");
        let mut output = child.stdout.take().expect("piped");
        assert_eq!(&*output.recv().await.expect("open"), b"\n");
        assert!(output.recv().await.expect("the end").is_empty());
        let refused = Stdio::try_from(output).expect_err("bytes may be missing");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(child.wait().await.expect("our child").success());
    });
}

#[test]
fn talking_line_by_line() {
    everywhere(|| async {
        let mut child = Command::new("cat");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("is");
        let (mut to, mut from) =
            (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        for line in ["one\n", "two\n", "three\n"] {
            to.write_all(line).await.0.expect("it reads");
            assert_eq!(&*from.recv().await.expect("it answers"), line.as_bytes());
        }
        drop(to);
        assert!(from.recv().await.expect("the end").is_empty());
        assert!(child.wait().await.expect("our child").success());
    });
}

#[test]
fn a_megabyte_each_way_is_no_deadlock() {
    everywhere(|| async {
        let mut command = shell("tee /dev/stderr");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a shell");
        let input: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 3) as u8).collect();
        let output = child.communicate(input.clone()).await.expect("it echoes");
        assert!(output.status.success());
        assert!(output.stdout == input && output.stderr == input);
    });
}

#[test]
fn a_child_that_does_not_want_its_input_is_no_error() {
    everywhere(|| async {
        let piped = || Command::new("true").stdin(Stdio::piped()).spawn().expect("it is there");
        let output = piped().communicate(vec![0; 1 << 20]).await.expect("it does not care");
        assert!(output.status.success());
        let mut child = shell("head -c 3; exec 0<&-; sleep 0.05");
        let child = child.stdin(Stdio::piped()).stdout(Stdio::piped());
        let output = child.spawn().expect("a shell").communicate(vec![b'x'; 1 << 20]).await;
        assert_eq!(output.expect("it has had enough").stdout, b"xxx");
        let mut child = shell("true").spawn().expect("a shell");
        let refused = child.communicate("lost").await.expect_err("there is no pipe");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(child.wait().await.expect("our child").success());
    });
}

#[test]
fn a_child_that_neither_reads_nor_ends_is_killed_when_its_time_is_over() {
    for lacks in [&[][..], &[opcode::WAITID, opcode::READ_MULTISHOT]] {
        on_the_real_one(lacks, || async {
            let mut command = Command::new("sleep");
            command.arg("1000").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("it is there");
            let talk = timeout(20 * MS, child.communicate(vec![0; 1 << 20])).await;
            assert!(talk.is_err());
            assert_eq!(child.try_wait().expect("our child"), None, "it runs on");
            assert_eq!(child.kill().await.expect("our child").signal(), Some(9));
            assert!(timeout(20 * MS, endless().wait()).await.is_err());
        });
    }
}

#[test]
fn a_hundred_children_at_once() {
    everywhere(|| async {
        let children = (0..100u8).map(|number| async move {
            let mut command = shell(&format!("read word; echo {number} $word; exit {number}"));
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            child.communicate(format!("word{number}\n")).await
        });
        for (number, output) in join(children.collect::<Vec<_>>()).await.into_iter().enumerate() {
            let output = output.expect("a shell");
            assert_eq!(output.status, exited(number as i32));
            assert_eq!(output.stdout, format!("{number} word{number}\n").into_bytes());
        }
    });
}

#[test]
fn a_child_holds_a_clock_that_would_jump() {
    uring_loop::testing::run(async {
        let slow = async { shell("sleep 0.05; echo late").output().await.expect("a shell") };
        let output = timeout(MS, slow).await.expect("the clock waits for it");
        assert_eq!(output.stdout, b"late\n");
        let child = shell("sleep 0.05").spawn().expect("a shell");
        timeout(MS, child.wait()).await.expect("the clock waits for it").expect("our child");
    });
}

#[test]
#[should_panic(expected = "needs a running event loop")]
fn a_child_needs_a_loop() {
    let _ = Command::new("true").spawn();
}

#[test]
fn dumps_name_what_a_waiting_task_waits_for() {
    run(async {
        let child = Rc::new(endless());
        let waiting = child.clone();
        let task = spawn(async move { waiting.wait().await }).named("parent");
        yield_now().await;
        yield_now().await;
        let dump = uring_loop::Dump::current().to_string();
        assert!(dump.contains("WAITID") || dump.contains("POLL_ADD"), "{dump}");
        child.start_kill().expect("it runs");
        assert_eq!(task.await.expect("not cancelled").expect("our child").signal(), Some(9));
        let words = format!("{child:?}");
        assert!(
            words.starts_with("Child { id: ") && words.contains("unix_wait_status(9)"),
            "{words}"
        );
    })
    .expect("a ring");
}
