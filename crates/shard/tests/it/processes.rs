//! Shards as processes: the example `echo_sharded` under kills, reloads and drains.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::program::Program;
use crate::{eventually, example, guarded};

/// The program, in a folder of its own, so that it can be replaced.
struct Fleet {
    running: Program,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Fleet {
    fn start(more: &[&str]) -> Fleet {
        Self::start_with(more, |_| {})
    }

    fn start_with(more: &[&str], change: impl FnOnce(&mut Command)) -> Fleet {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("echo");
        copy(&file);
        let mut command = Command::new(&file);
        command.args(["--banner", "--mode", "processes", "--drain", "60"]).args(more);
        change(&mut command);
        Fleet { running: Program::start(&mut command), file, _folder: folder }
    }

    /// Which build and which process a new connection gets.
    fn ask(&self) -> (u64, i32) {
        let (_, build, process) = connect(self.address).expect("it is served");
        (build, process)
    }
}

impl Deref for Fleet {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.running
    }
}

impl DerefMut for Fleet {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.running
    }
}

/// A connection that works, and who serves it.
fn connect(address: SocketAddr) -> io::Result<(BufReader<TcpStream>, u64, i32)> {
    let mut client = BufReader::new(TcpStream::connect(address)?);
    let mut banner = String::new();
    client.read_line(&mut banner)?;
    let words: Vec<_> = banner.split_whitespace().collect();
    let ["build", build, "process", process] = words[..] else {
        return Err(io::Error::other(format!("{banner:?} is no banner")));
    };
    let number = |_| io::Error::other("no number");
    Ok((client, build.parse().map_err(number)?, process.parse().map_err(number)?))
}

fn echo(client: &mut BufReader<TcpStream>) -> io::Result<()> {
    client.get_mut().write_all(b"x")?;
    client.read_exact(&mut [0; 1])
}

/// Clients that connect, ask a few times and leave, again and again, whatever they meet.
struct Load {
    goes_on: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Met>>,
}

/// What a client has met.
#[derive(Default)]
struct Met {
    builds: BTreeSet<u64>,
    /// Its errors, each with the process that served it, if that had said so.
    errors: Vec<(Option<i32>, io::Error)>,
}

impl Load {
    fn start(address: SocketAddr) -> Load {
        let (goes_on, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let visit = move |met: &mut Met, asked: &AtomicUsize| {
            let (mut client, build, process) = connect(address).map_err(|error| (None, error))?;
            met.builds.insert(build);
            for _ in 0..5 {
                echo(&mut client).map_err(|error| (Some(process), error))?;
                asked.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let client = |_| {
            let (goes_on, asked) = (goes_on.clone(), asked.clone());
            thread::spawn(move || {
                let mut met = Met::default();
                while goes_on.load(Ordering::Relaxed) {
                    if let Err(error) = visit(&mut met, &asked) {
                        met.errors.push(error);
                    }
                }
                met
            })
        };
        let clients = (0..4).map(client).collect();
        Load { goes_on, asked, clients }
    }

    fn wait_for_more(&self) {
        let before = self.asked.load(Ordering::Relaxed);
        eventually("they are answered", || self.asked.load(Ordering::Relaxed) > before + 100);
    }

    fn stop(self) -> Vec<Met> {
        self.goes_on.store(false, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().expect("no panic")).collect()
    }
}

#[test]
fn every_cpu_has_a_process_and_a_signal_drains_them_all() {
    guarded(|| {
        let mut fleet = Fleet::start(&[]);
        assert_eq!(fleet.workers().len(), 2);
        let (mut client, _, process) = connect(fleet.address).expect("it is served");
        assert!(fleet.workers().contains(&process));
        let (address, pid) = (fleet.address, fleet.pid());
        fleet.signal(pid, Signal::SIGTERM);
        // What is connected is served on until it leaves; nobody else is accepted in the end.
        thread::sleep(Duration::from_millis(30));
        echo(&mut client).expect("served while it drains");
        drop(client);
        fleet.ends_well();
        assert!(TcpStream::connect(address).is_err());
    });
}

/// Connections come and go all the time: an error is met only by who was with the dead process at
/// that moment, hence at most once each, and everybody goes on.
#[test]
fn kills_under_load_are_met_by_few_and_outlived_by_all() {
    for accept in ["reuseport", "least-loaded"] {
        guarded(move || {
            const KILLS: usize = 4;
            let mut fleet = Fleet::start(&["--accept", accept]);
            let load = Load::start(fleet.address);
            let mut victims = BTreeSet::new();
            for kill in 0..KILLS {
                load.wait_for_more();
                // By turns the first, which may be the one that accepts, and the last.
                let workers = fleet.workers();
                let victim = if kill % 2 == 0 { workers.first() } else { workers.last() };
                let victim = *victim.expect("two");
                victims.insert(victim);
                fleet.kill(victim);
            }
            load.wait_for_more();
            for met in load.stop() {
                assert!(met.errors.len() <= KILLS, "{accept}: {:?}", met.errors);
                for (process, error) in met.errors {
                    // What waited in the dead one's socket is served by its successor.
                    assert_ne!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
                    let of_the_dead = process.is_none_or(|process| victims.contains(&process));
                    assert!(of_the_dead, "{accept}: {error} at {process:?} of {victims:?}");
                }
            }
            fleet.signal(fleet.pid(), Signal::SIGTERM);
            fleet.ends_well();
        });
    }
}

/// How many of so many connections each process has.
fn spread(fleet: &Fleet, count: usize) -> Vec<usize> {
    let held: Vec<_> = (0..count).map(|_| connect(fleet.address).expect("served")).collect();
    let processes: BTreeSet<_> = held.iter().map(|(.., process)| *process).collect();
    let of = |process| held.iter().filter(|(.., own)| *own == process).count();
    assert!(processes.is_subset(&fleet.workers()));
    processes.into_iter().map(of).collect()
}

#[test]
fn processes_hand_connections_to_the_least_loaded_of_them() {
    guarded(|| {
        let mut fleet = Fleet::start(&["--accept", "least-loaded"]);
        // Links come a moment after both serve.
        eventually("they are linked", || spread(&fleet, 2).len() == 2);
        let spread = spread(&fleet, 40);
        assert!(spread.len() == 2 && spread.iter().all(|count| *count >= 15), "{spread:?}");
        fleet.signal(fleet.pid(), Signal::SIGTERM);
        fleet.ends_well();
    });
}

#[test]
fn a_process_that_has_many_more_connections_hands_some_over() {
    guarded(|| {
        let mut fleet = Fleet::start(&["--accept", "balanced"]);
        for _ in 0..3 {
            let spread = spread(&fleet, 60);
            // By the hash alone, one could have all. They may differ by a quarter and four, and a
            // few more before the links are there.
            assert!(spread.len() == 2 && spread.iter().all(|count| *count >= 18), "{spread:?}");
        }
        fleet.signal(fleet.pid(), Signal::SIGTERM);
        fleet.ends_well();
    });
}

#[test]
fn a_process_that_is_killed_loses_its_own_connections_and_is_replaced() {
    guarded(|| {
        let mut fleet = Fleet::start(&[]);
        let before = fleet.workers();
        let mut held = Vec::new();
        while held.iter().map(|(_, process)| process).collect::<BTreeSet<_>>().len() < 2 {
            let (client, _, process) = connect(fleet.address).expect("it is served");
            held.push((client, process));
        }
        let victim = *before.first().expect("two");
        fleet.kill(victim);
        for (client, process) in &mut held {
            assert_eq!(echo(client).is_ok(), *process != victim, "of {process}");
        }
        // The replacement serves, with the socket of the dead one.
        let now = fleet.workers();
        let fresh = now.difference(&before).next().expect("one is new");
        eventually("the new one serves", || fleet.ask().1 == *fresh);
        drop(held);
        fleet.signal(fleet.pid(), Signal::SIGTERM);
        fleet.ends_well();
    });
}

/// Runs a line of the shell on files. (If this process wrote a program itself, a child that another
/// test starts at this moment could hold it open, and it could not be executed: ETXTBSY.)
fn shell(line: &str, files: &[&Path]) {
    let status = Command::new("sh").args(["-ec", line, "sh"]).args(files).status();
    assert!(status.is_ok_and(|status| status.success()), "{line}");
}

/// A program of its own for a test.
fn copy(program: &Path) {
    shell("cp \"$1\" \"$2\"", &[&example("echo_sharded"), program]);
}

/// The new build is the same program with some bytes behind it, which it tells by its size.
fn replace(program: &Path) -> u64 {
    let line = "cp \"$1\" \"$2\"; head -c 512 /dev/zero >> \"$2\"; mv \"$2\" \"$1\"";
    shell(line, &[program, &program.with_extension("next")]);
    fs::metadata(program).expect("it is there").len()
}

/// A build that is none.
fn replace_by_script(program: &Path, line: &str) {
    let script =
        format!("printf '#!/bin/sh\\n{line}\\n' > \"$2\"; chmod 755 \"$2\"; mv \"$2\" \"$1\"");
    shell(&script, &[program, &program.with_extension("next")]);
}

#[test]
fn a_reload_under_load_between_two_builds_refuses_and_resets_nobody() {
    for accept in ["reuseport", "least-loaded", "balanced"] {
        guarded(move || {
            let mut fleet = Fleet::start(&["--accept", accept]);
            let (before, old) = (fleet.workers(), fleet.ask().0);
            let (mut held, ..) = connect(fleet.address).expect("it is served");
            let load = Load::start(fleet.address);
            load.wait_for_more();
            let new = replace(&fleet.file);
            fleet.signal(fleet.pid(), Signal::SIGHUP);
            eventually("new processes serve", || fleet.workers().difference(&before).count() == 2);
            // One that was connected before is served on by its old process.
            echo(&mut held).expect("it is not disturbed");
            drop(held);
            eventually("the old ones are gone", || fleet.workers().is_disjoint(&before));
            load.wait_for_more();
            let mut builds = BTreeSet::new();
            for met in load.stop() {
                assert!(met.errors.is_empty(), "{accept}: {:?}", met.errors);
                builds.extend(met.builds);
            }
            assert_eq!(builds, BTreeSet::from([old, new]));
            assert_eq!(fleet.ask().0, new);
            fleet.signal(fleet.pid(), Signal::SIGTERM);
            fleet.ends_well();
        });
    }
}

#[test]
fn a_build_that_does_not_start_leaves_the_old_processes_serving() {
    guarded(|| {
        let mut fleet = Fleet::start(&[]);
        let before = fleet.workers();
        replace_by_script(&fleet.file, "exit 3");
        let load = Load::start(fleet.address);
        fleet.signal(fleet.pid(), Signal::SIGHUP);
        load.wait_for_more();
        assert!(load.stop().iter().all(|met| met.errors.is_empty()));
        eventually("they are the same", || fleet.workers() == before);
        fleet.signal(fleet.pid(), Signal::SIGTERM);
        fleet.ends_well();
    });
}

#[test]
fn processes_whose_supervisor_is_killed_end_too() {
    guarded(|| {
        let mut fleet = Fleet::start(&[]);
        let workers = fleet.workers();
        fleet.signal(fleet.pid(), Signal::SIGKILL);
        fleet.child.wait().expect("it is gone");
        let alive = |pid: &i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        eventually("they end", || !workers.iter().any(alive));
    });
}

/// What a supervisor tells systemd (sd_notify(3)).
struct Notified {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Notified {
    fn new() -> Notified {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
        Notified { socket, folder }
    }

    fn start(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Fleet {
        Fleet::start_with(arguments, |command| {
            command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
            change(command);
        })
    }

    fn hear(&self) -> String {
        let mut text = vec![0; 4096];
        let count = self.socket.recv(&mut text).expect("it is told");
        text.truncate(count);
        String::from_utf8(text).expect("it is text")
    }
}

#[test]
fn systemd_hears_of_the_start_of_reloads_and_of_the_end() {
    guarded(|| {
        let systemd = Notified::new();
        let mut fleet = systemd.start(&[], |_| {});
        assert!(systemd.hear().starts_with("READY=1\n"));
        fleet.signal(fleet.pid(), Signal::SIGHUP);
        let reloading = systemd.hear();
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        assert!(systemd.hear().starts_with("READY=1\n"));
        fleet.signal(fleet.pid(), Signal::SIGTERM);
        assert!(systemd.hear().starts_with("STOPPING=1\n"));
        fleet.ends_well();
    });
}

/// As systemd does: the socket is descriptor 3, and the variables name the process itself.
#[test]
fn a_socket_of_systemd_is_taken_instead_of_an_own_one() {
    guarded(|| {
        let socket = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = socket.local_addr().expect("bound");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = folder.path().join("echo");
        copy(&program);
        for mode in ["threads", "processes"] {
            let line = format!(
                "exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 exec {program} \
                 --shards 0,0 --banner --mode {mode}",
                program = program.display()
            );
            let clone = socket.try_clone().expect("a second one");
            assert!(clone.as_raw_fd() > 2);
            let mut child = Command::new("sh")
                .args(["-c", &line])
                .stdin(Stdio::from(std::os::fd::OwnedFd::from(clone)))
                .stdout(Stdio::null())
                .spawn()
                .expect("it starts");
            let (mut client, ..) = connect(address).expect("it waits in the socket");
            echo(&mut client).expect("it is served");
            drop(client);
            kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it runs");
            assert!(child.wait().expect("it ends").success(), "{mode}");
        }
    });
}

/// What the supervisor says, until it has said that.
fn hear(lines: &mut impl BufRead, what: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).expect("text") > 0, "it ended without {what:?}");
        if line.contains(what) {
            return line;
        }
    }
}

#[test]
fn a_process_that_is_stuck_is_reported_and_so_is_that_it_goes_on() {
    guarded(|| {
        let systemd = Notified::new();
        let mut fleet = systemd.start(&["--stuck-ms", "3000"], |command| {
            command.stderr(Stdio::piped());
        });
        // One that is stopped before its supervisor knows that it serves has not started.
        assert!(systemd.hear().starts_with("READY=1\n"));
        let mut stderr = BufReader::new(fleet.child.stderr.take().expect("piped"));
        let (.., process) = connect(fleet.address).expect("it is served");
        fleet.signal(process, Signal::SIGSTOP);
        assert!(hear(&mut stderr, "is stuck").contains("no turn for"));
        assert!(fleet.workers().contains(&process), "it is only reported");
        fleet.signal(process, Signal::SIGCONT);
        hear(&mut stderr, "goes on, after");
        fleet.signal(fleet.pid(), Signal::SIGTERM);
        fleet.ends_well();
    });
}

#[test]
fn a_process_that_is_stuck_is_replaced_if_that_is_wished() {
    guarded(|| {
        let mut fleet = Fleet::start(&["--stuck-ms", "3000", "--kill-stuck"]);
        let victim = *fleet.workers().first().expect("two");
        fleet.signal(victim, Signal::SIGSTOP);
        fleet.is_replaced(victim);
        let before = fleet.workers();
        for _ in 0..20 {
            let (mut client, ..) = connect(fleet.address).expect("it is served");
            echo(&mut client).expect("it is served");
        }
        // Who gives signs of life stays.
        assert_eq!(fleet.workers(), before);
        fleet.signal(fleet.pid(), Signal::SIGTERM);
        fleet.ends_well();
    });
}

#[test]
fn processes_that_die_again_and_again_end_it_all_with_the_reason() {
    guarded(|| {
        let mut fleet = Fleet::start_with(&[], |command| {
            command.stderr(Stdio::piped());
        });
        let victim = *fleet.workers().first().expect("two");
        replace_by_script(&fleet.file, "exit 3");
        fleet.signal(victim, Signal::SIGKILL);
        let mut text = String::new();
        let mut stderr = fleet.child.stderr.take().expect("piped");
        stderr.read_to_string(&mut text).expect("it is text");
        assert!(!fleet.child.wait().expect("it ends").success());
        assert!(text.contains("was killed by SIGKILL; another starts in 10ms"), "{text}");
        let reason = "ended with code 3, and has died too often in a short time";
        assert!(text.lines().last().is_some_and(|line| line.contains(reason)), "{text}");
    });
}

#[test]
fn what_keeps_it_from_starting_is_told_before_anything_runs() {
    guarded(|| {
        let output = Command::new(example("echo_sharded"))
            .args(["--addr", "127.0.0.1:0", "--shards", "9999", "--mode", "processes"])
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains("CPU 9999"), "{text}");
    });
}

#[test]
fn how_the_shards_stand_is_shown_whatever_they_are() {
    guarded(|| {
        for mode in ["threads", "processes"] {
            let output = Command::new(example("echo_sharded"))
                .args(["--addr", "127.0.0.1:0", "--shards", "0,0", "--seconds", "3", "--stats"])
                .args(["--mode", mode])
                .output()
                .expect("it starts");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{output:?}");
            let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let rows = rows.skip_while(|row| row.first() != Some(&"shard"));
            let shards: Vec<_> = rows.skip(1).take(2).map(|row| row[0].to_string()).collect();
            assert_eq!(shards, ["0", "1"], "{mode}: {text}");
        }
    });
}
