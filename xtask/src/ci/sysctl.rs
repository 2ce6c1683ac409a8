//! `ci --sysctl`: what must be tested while the kernel refuses io_uring to everybody.
//!
//! `kernel.io_uring_disabled` is set to 2, the tests (or one command) run, and the old value comes
//! back on every way out: success, failure, panic, a signal, even SIGKILL. It concerns the whole
//! machine, so nothing else runs beside it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::libtest::{self, Executable};
use crate::shell::{self, Echo};
use crate::workspace::Workspace;

const KNOB: &str = "/proc/sys/kernel/io_uring_disabled";
/// "Nobody, whatever their rights": Documentation/admin-guide/sysctl/kernel.rst.
const NOBODY: &str = "2";
/// The tests meant for this have it in their name and are `#[ignore]`d, since they fail otherwise.
const FILTER: &str = "io_uring_disabled";

/// Runs the tests, or `command` in their place; false when they fail.
pub(super) fn section(workspace: &Workspace, command: &[String]) -> Result<bool> {
    // Whatever needs building is built before the machine is touched.
    let commands = match command {
        [] => tests(workspace)?,
        [program, args @ ..] => {
            let mut command = Command::new(program);
            command.args(args);
            vec![command]
        }
    };
    let guard = Guard::set(Path::new(KNOB), NOBODY).context("only root may set it; are you?")?;
    anstream::eprintln!("==== {KNOB} is {NOBODY}, was {}", guard.before);
    let mut good = true;
    for command in commands {
        let line = shell::describe(&command);
        let ran = shell::run(command, Echo::Live, None)?;
        if !ran.success() {
            anstream::eprintln!("`{line}`: {}", ran.how());
            good = false;
        }
    }
    let before = guard.before.clone();
    guard.restore()?;
    anstream::eprintln!(
        "==== {KNOB} is {before} again; {}",
        if good { "passed" } else { "FAILED" }
    );
    Ok(good)
}

/// The test programs of the loop that have a test for this.
fn tests(workspace: &Workspace) -> Result<Vec<Command>> {
    let words = ["test", "--no-run", "--package", "uring-loop", "--all-features", "--tests"];
    let mut found = Vec::new();
    for Executable { path, .. } in libtest::executables(workspace.cargo(words))? {
        let with = |more: &[&str]| {
            let mut command = Command::new(&path);
            command.args(["--ignored", FILTER]).args(more).current_dir(&workspace.root);
            command
        };
        if shell::capture(with(&["--list"]))?.contains(": test") {
            found.push(with(&[]));
        }
    }
    if found.is_empty() {
        bail!(
            "uring-loop has no ignored test with {FILTER} in its name; give a command: -- COMMAND"
        );
    }
    Ok(found)
}

/// A changed knob of the kernel that goes back to its old value.
///
/// Life story. `set` reads the old value, and starts a *keeper* before it writes the new one. The
/// keeper is a shell in a process group of its own that ignores the signals of a terminal and waits
/// for the end of a pipe whose other end only we hold. However we end, the kernel closes that pipe;
/// the keeper then writes the old value. `restore` and drop close it deliberately, wait for the
/// keeper, and look whether the value is back.
struct Guard {
    path: PathBuf,
    before: String,
    /// `None` once it was waited for.
    keeper: Option<Child>,
}

/// `$1` is the file, `$2` the old value. It says so when it can no longer be taken by surprise.
const KEEPER: &str = r#"
trap '' HUP INT QUIT TERM
echo ready
cat >/dev/null
printf '%s\n' "$2" >"$1"
"#;

impl Guard {
    fn set(path: &Path, value: &str) -> Result<Self> {
        let name = path.display();
        let before = read(path)?;
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(path)
            .arg(&before)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("starting the shell that would set it back")?;
        let mut line = String::new();
        let said = keeper.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut line)?;
        // From here on the value goes back whatever happens: an early return drops the guard.
        let guard = Self { path: path.to_owned(), before, keeper: Some(keeper) };
        ensure!(line == "ready\n", "the shell that would set {name} back did not start");
        fs::write(path, value).with_context(|| format!("setting {name} to {value}"))?;
        let now = read(path)?;
        ensure!(now == value, "{name} was set to {value} and is {now}");
        Ok(guard)
    }

    fn restore(mut self) -> Result<()> {
        self.put_back()
    }

    fn put_back(&mut self) -> Result<()> {
        let Some(mut keeper) = self.keeper.take() else { return Ok(()) };
        // `wait` closes the keeper's stdin first, which is its sign.
        keeper.wait().context("waiting for the shell that sets it back")?;
        if read(&self.path)? != self.before {
            fs::write(&self.path, &self.before).with_context(|| {
                format!("{} must be set to {} by hand", self.path.display(), self.before)
            })?;
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.put_back() {
            anstream::eprintln!("error: {error:#}");
        }
    }
}

fn read(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::panic;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    const FILE: &str = "XTASK_TEST_GUARDED_FILE";

    /// A file in the place of the knob.
    fn knob() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("knob");
        fs::write(&path, "0\n").expect("written");
        (dir, path)
    }

    /// Another process that holds the guard until it is killed.
    fn holder(path: &Path) -> Child {
        let child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "ci::sysctl::tests::holds_until_killed", "--ignored"])
            .env(FILE, path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        becomes(path, "2");
        child
    }

    fn becomes(path: &Path, value: &str) {
        let start = Instant::now();
        while read(path).expect("readable") != value {
            assert!(start.elapsed() < Duration::from_secs(60), "it never became {value}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    #[ignore = "no test by itself: the process that those of the sysctl start and kill"]
    fn holds_until_killed() {
        let path = env::var_os(FILE).expect("started by another test");
        let _guard = Guard::set(Path::new(&path), "2").expect("set");
        thread::sleep(Duration::from_secs(600));
    }

    #[test]
    fn the_old_value_is_back_after_restore() {
        let (_dir, path) = knob();
        let guard = Guard::set(&path, "2").expect("set");
        assert_eq!(read(&path).expect("readable"), "2");
        guard.restore().expect("restored");
        assert_eq!(read(&path).expect("readable"), "0");
    }

    #[test]
    fn the_old_value_is_back_after_a_panic() {
        let (_dir, path) = knob();
        let panicked = panic::catch_unwind(|| {
            let _guard = Guard::set(&path, "2").expect("set");
            panic!("a test that goes wrong");
        });
        assert!(panicked.is_err());
        assert_eq!(read(&path).expect("readable"), "0");
    }

    #[test]
    fn the_old_value_is_back_after_sigkill() {
        let (_dir, path) = knob();
        let mut child = holder(&path);
        child.kill().expect("killed");
        child.wait().expect("waited for");
        becomes(&path, "0");
    }

    #[test]
    fn the_old_value_is_back_after_sigterm() {
        let (_dir, path) = knob();
        let mut child = holder(&path);
        let kill = format!("kill -s TERM {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh runs").success());
        assert!(!child.wait().expect("waited for").success());
        becomes(&path, "0");
    }

    #[test]
    fn the_keeper_outlives_the_signals_that_end_its_owner() {
        let (_dir, path) = knob();
        let guard = Guard::set(&path, "2").expect("set");
        let keeper = guard.keeper.as_ref().expect("it runs").id();
        let kill = format!("for s in INT TERM HUP QUIT; do kill -s $s -- -{keeper}; done");
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh runs").success());
        assert_eq!(read(&path).expect("readable"), "2");
        guard.restore().expect("restored");
        assert_eq!(read(&path).expect("readable"), "0");
    }

    #[test]
    fn a_value_that_cannot_be_set_is_an_error_and_changes_nothing() {
        let (dir, path) = knob();
        let missing = dir.path().join("no such knob");
        assert!(Guard::set(&missing, "2").is_err());
        assert!(!missing.exists());
        assert_eq!(read(&path).expect("readable"), "0");
    }
}
