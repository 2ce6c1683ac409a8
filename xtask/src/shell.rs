//! Running other programs: their output shown live and kept, with a limit in time where one is due.
//!
//! Both streams of a child go into one pipe, so that the log keeps the order in which they were
//! written. What the programs are, and what their output means, is elsewhere.

use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long the pipe is read on after the child itself has ended. A grandchild that outlives it
/// holds the pipe open, and must not hold us.
const AFTER_END: Duration = Duration::from_secs(10);

/// Whether what a child writes is also shown while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Echo {
    Live,
    Silent,
}

/// What a child did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None`: it was killed because its time was up.
    pub(crate) status: Option<ExitStatus>,
    /// Everything it wrote, both streams in order, without colours.
    pub(crate) text: String,
}

impl Ran {
    pub(crate) fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// "exit status: 101", "signal: 6 (SIGABRT)", "killed when its time was up".
    pub(crate) fn how(&self) -> String {
        match self.status {
            Some(status) => status.to_string(),
            None => "killed when its time was up".to_owned(),
        }
    }
}

/// Runs `command` with nothing on stdin; with a `limit`, kills it when that has passed.
///
/// The limit kills what the child has started, too: it has a process group of its own. (So Ctrl+C
/// does not reach it: give limits to programs that end soon.)
pub(crate) fn run(mut command: Command, echo: Echo, limit: Option<Duration>) -> Result<Ran> {
    let line = describe(&command);
    let (reader, writer) = io::pipe().context("making a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    if limit.is_some() {
        command.process_group(0);
    }
    let mut child = command.spawn().with_context(|| format!("starting `{line}`"))?;
    // The command keeps its end of the pipe open for as long as it lives.
    drop(command);
    let text = Arc::new(Mutex::new(String::new()));
    let (done, ended) = mpsc::channel();
    let copy = Arc::clone(&text);
    thread::spawn(move || {
        collect(reader, echo, &copy);
        // Nobody listens any more when the pipe was held open for too long.
        let _ = done.send(());
    });
    let status = wait(&mut child, limit).with_context(|| format!("waiting for `{line}`"))?;
    let _ = ended.recv_timeout(AFTER_END);
    let text = text.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Ran { status, text })
}

/// Runs `command` live and returns what it wrote.
///
/// # Errors
/// When it cannot be started or ends badly; the message holds the command line.
pub(crate) fn check(command: Command) -> Result<String> {
    let line = describe(&command);
    let ran = run(command, Echo::Live, None)?;
    if !ran.success() {
        bail!("`{line}`: {}", ran.how());
    }
    Ok(ran.text)
}

/// Runs `command` for its stdout, which is not shown; what it says on stderr is.
pub(crate) fn capture(mut command: Command) -> Result<String> {
    let line = describe(&command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}`: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` wrote what is not UTF-8"))
}

/// The command as one would type it, with the variables it sets.
pub(crate) fn describe(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", name.to_string_lossy(), quoted(&value.to_string_lossy())));
        }
    }
    let program = command.get_program().to_string_lossy();
    // Under `cargo run` cargo is a long path into the toolchain.
    words.push(if program.ends_with("/cargo") { "cargo".to_owned() } else { quoted(&program) });
    words.extend(command.get_args().map(|word| quoted(&word.to_string_lossy())));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn wait(child: &mut Child, limit: Option<Duration>) -> io::Result<Option<ExitStatus>> {
    let Some(limit) = limit else { return child.wait().map(Some) };
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(20));
    }
    // Not reaped yet, so the group is still its own.
    killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL)?;
    child.wait()?;
    Ok(None)
}

fn collect(reader: PipeReader, echo: Echo, text: &Mutex<String>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let shown = String::from_utf8_lossy(&line);
        if echo == Echo::Live {
            // A closed stdout is no reason to lose the verdict.
            let _ = anstream::stdout().write_all(shown.as_bytes());
        }
        let plain = anstream::adapter::strip_str(&shown).to_string();
        text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&plain);
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_arrive_in_the_order_they_were_written() {
        let ran = run(sh("echo 1; echo 2 >&2; printf 3"), Echo::Silent, None).expect("sh runs");
        assert!(ran.success());
        assert_eq!(ran.text, "1\n2\n3");
    }

    #[test]
    fn colours_are_kept_out_of_the_text() {
        let ran = run(sh(r"printf '\033[32mok\033[0m\n'"), Echo::Silent, None).expect("sh runs");
        assert_eq!(ran.text, "ok\n");
    }

    #[test]
    fn what_a_child_past_its_limit_has_started_is_killed_too() {
        let limit = Some(Duration::from_millis(200));
        let ran = run(sh("sleep 600 & echo $!; wait"), Echo::Silent, limit).expect("sh runs");
        let grandchild = Pid::from_raw(ran.text.trim().parse().expect("a number"));
        let start = Instant::now();
        // Who inherits it may take a moment to bury it.
        while nix::sys::signal::kill(grandchild, None).is_ok() {
            let state = std::fs::read_to_string(format!("/proc/{grandchild}/stat"));
            if state.is_ok_and(|state| state.contains(") Z ")) {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it lives on");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_child_past_its_limit_is_killed_and_said_so() {
        let limit = Some(Duration::from_millis(50));
        let ran = run(sh("echo before; exec sleep 600"), Echo::Silent, limit).expect("sh runs");
        assert!(ran.status.is_none());
        assert!(!ran.success());
        assert_eq!(ran.how(), "killed when its time was up");
    }

    #[test]
    fn a_bad_end_is_told_with_its_command() {
        let error = capture(sh("exit 3")).expect_err("exit 3").to_string();
        assert_eq!(error, "`sh -c 'exit 3'`: exit status: 3");
    }

    #[test]
    fn a_command_is_described_as_one_would_type_it() {
        let mut command = Command::new("/opt/toolchain/bin/cargo");
        command.env("RUSTFLAGS", "--cfg loom").args(["test", "-p", "it's"]);
        assert_eq!(describe(&command), r"RUSTFLAGS='--cfg loom' cargo test -p 'it'\''s'");
    }
}
