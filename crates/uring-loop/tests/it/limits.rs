//! Limits of the machine that a program meets: threads, descriptors, locked memory. What can be
//! done without is done without; the rest is an error that names the limit. Limits concern a whole
//! process, so each test has one of its own.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use uring_loop::buf::FixedBuffers;
use uring_loop::fs::File;
use uring_loop::net::{TcpListener, TcpStream, resolve};
use uring_loop::process::Command;
use uring_loop::time::timeout;
use uring_loop::{EventLoop, RingChoice, RingKind, spawn, unblock};

use crate::seccomp::forbid_threads;
use crate::support::{in_child, logged};

const GUARD: Duration = Duration::from_secs(20);

/// Runs a piece on a loop of the ring that this run of the tests is about.
#[track_caller]
fn run<F: Future>(piece: F) -> F::Output {
    let mut event_loop = EventLoop::new().expect("a ring");
    let limited = async { timeout(GUARD, piece).await };
    event_loop.run_until_complete(limited).expect("not cancelled").expect("it waits for ever")
}

async fn connect() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (server, client) = futures_util::join!(listener.accept(), TcpStream::connect(address));
    Ok((server?, client?))
}

/// Gives up being root, for whom there are no limits; a folder is the other user's then.
fn become_somebody(folder: &Path) -> bool {
    const NOBODY: u32 = 65534;
    if std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).is_err() {
        return false;
    }
    // SAFETY: takes numbers.
    unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) == 0 }
}

async fn write_and_read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).write(true).create(true).open(path).await?;
    file.write_all_at("bytes", 0).await.0?;
    file.sync_all().await?;
    let (count, bytes) = file.read_at(vec![0; 9], 0).await;
    let count = count?;
    file.close().await?;
    uring_loop::fs::remove_file(path).await?;
    Ok(bytes[..count].to_vec())
}

#[test]
fn files_need_no_thread_that_a_process_starts() {
    in_child("limits::files_need_no_thread_that_a_process_starts", || {
        let folder = tempfile::tempdir().expect("a place for temporary files");
        forbid_threads();
        let (read, log) = logged(|| run(write_and_read(&folder.path().join("file"))));
        assert_eq!(read.expect("it needs none"), b"bytes");
        // The soft ring says that it does without; the kernel has threads of its own.
        let soft = EventLoop::new().expect("a ring").statistics().ring == RingKind::Soft;
        assert_eq!(log.matches("no helper thread").count(), usize::from(soft), "{log}");
    });
}

#[test]
fn a_process_that_can_have_no_thread_and_no_child_is_told_which_limit_it_met() {
    let name = "limits::a_process_that_can_have_no_thread_and_no_child_is_told_which_limit_it_met";
    in_child(name, || {
        forbid_threads();
        run(everything_says_that_there_are_too_many());
    });
}

/// The limit of a container (`docker run --pids-limit`) or a unit (`TasksMax=`).
#[test]
fn in_a_cgroup_that_is_full_what_needs_no_process_works_and_the_rest_says_why() {
    let name = "limits::in_a_cgroup_that_is_full_what_needs_no_process_works_and_the_rest_says_why";
    in_child(name, || {
        let folder = tempfile::tempdir().expect("a place for temporary files");
        let full = match FullCgroup::enter() {
            Ok(full) => full,
            Err(why) => return println!("skipped: no cgroup to limit processes in: {why}"),
        };
        run(everything_says_that_there_are_too_many());
        files_work_or_say_why_not(folder.path());
        drop(full);
        let child = async { Command::new("true").spawn()?.wait().await };
        assert!(run(child).expect("there is room again").success());
    });
}

async fn everything_says_that_there_are_too_many() {
    for error in [
        unblock(|| ()).await.expect_err("no thread"),
        resolve("localhost:80").await.expect_err("no thread"),
        Command::new("true").spawn().expect_err("no child"),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().contains("pids.max"), "{error}");
    }
    connect().await.expect("sockets need neither");
}

/// The kernel may start no worker in our name; the soft ring does without helpers.
fn files_work_or_say_why_not(folder: &Path) {
    let soft = EventLoop::new().expect("a ring").statistics().ring == RingKind::Soft;
    match run(write_and_read(&folder.join("file"))) {
        Ok(bytes) => assert_eq!((bytes, soft), (b"bytes".to_vec(), true)),
        Err(error) => {
            assert!(!soft, "{error}");
            assert!(error.to_string().contains("ulimit -u"), "{error}");
        }
    }
    run(async { connect().await.expect("sockets need no worker") });
}

/// A cgroup in which this process is, and no other may begin, until this is dropped.
struct FullCgroup {
    folder: PathBuf,
    before: PathBuf,
}

impl FullCgroup {
    fn enter() -> io::Result<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup")?;
        let mut why = io::Error::from(io::ErrorKind::NotFound);
        // Of version 1, or of version 2 (cgroups(7)).
        for (controller, mount) in [("pids", "/sys/fs/cgroup/pids"), ("", "/sys/fs/cgroup")] {
            let path = own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                (parts.next()? == controller).then(|| parts.next())?
            });
            let Some(path) = path else { continue };
            let before = Path::new(mount).join(path.trim_start_matches('/'));
            match Self::within(before) {
                Ok(full) => return Ok(full),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn within(before: PathBuf) -> io::Result<Self> {
        let folder = before.join(format!("full-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let full = FullCgroup { folder, before };
        put(&full.folder.join("pids.max"), "1")?;
        put(&full.folder.join("cgroup.procs"), "0")?;
        Ok(full)
    }
}

/// Writes to a file that is there: in a cgroup without this limit, or what is none, it is not.
fn put(path: &Path, text: &str) -> io::Result<()> {
    std::fs::File::options().write(true).open(path)?.write_all(text.as_bytes())
}

impl Drop for FullCgroup {
    fn drop(&mut self) {
        // Back, so that it is empty and can go.
        let _ = put(&self.before.join("cgroup.procs"), "0");
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// A user who may have no further thread, nor may the kernel start one in his name.
#[test]
fn a_kernel_that_can_start_no_worker_is_explained() {
    in_child("limits::a_kernel_that_can_start_no_worker_is_explained", || {
        let folder = tempfile::tempdir().expect("a place for temporary files");
        if !become_somebody(folder.path()) {
            return println!("skipped: only root can become another");
        }
        let (soft_limit, hard) = getrlimit(Resource::RLIMIT_NPROC).expect("known");
        setrlimit(Resource::RLIMIT_NPROC, 1, hard).expect("lower than before");
        files_work_or_say_why_not(folder.path());
        // The search for leaks at the end of a process, under AddressSanitizer, needs a child.
        setrlimit(Resource::RLIMIT_NPROC, soft_limit, hard).expect("as before");
    });
}

/// Rings, buffers that are registered and zero-copy sends count against one limit, each of some
/// kernels.
#[test]
fn with_little_locked_memory_a_loop_works_or_says_which_limit_it_met() {
    let name = "limits::with_little_locked_memory_a_loop_works_or_says_which_limit_it_met";
    in_child(name, || {
        let folder = tempfile::tempdir().expect("a place for temporary files");
        if !become_somebody(folder.path()) {
            return println!("skipped: root may lock what it wants");
        }
        let insists = std::env::var("URING_LOOP_RING").is_ok_and(|ring| ring == "kernel");
        let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).expect("known");
        for limit in [0, 16 << 10, 64 << 10, 1 << 20] {
            setrlimit(Resource::RLIMIT_MEMLOCK, limit, hard).expect("lower than the hard one");
            let mut event_loop = match EventLoop::new() {
                Ok(event_loop) => event_loop,
                Err(error) => {
                    assert!(insists && error.to_string().contains("ulimit -l"), "{error}");
                    continue;
                }
            };
            println!("{limit}: {event_loop:?}");
            let piece = async { timeout(GUARD, send_and_register()).await };
            let piece = event_loop.run_until_complete(piece).expect("not cancelled");
            match piece.expect("it waits for ever") {
                Ok(_) => {
                    let ring = event_loop.statistics().ring;
                    assert!(limit > 0 || ring == RingKind::Soft, "{ring:?} locks nothing?");
                }
                Err(error) => assert!(error.to_string().contains("ulimit -l"), "{error}"),
            }
        }
    });
}

/// Sends without a copy, or with one if memory cannot be locked; then registers buffers.
async fn send_and_register() -> io::Result<FixedBuffers> {
    let (mut server, mut client) = connect().await.expect("sockets lock nothing");
    client.set_zero_copy(Some(1));
    let receiving = spawn(async move {
        let mut got = Vec::new();
        while got.len() < 100_000 {
            got.extend_from_slice(&server.recv().await.expect("open"));
        }
        got
    });
    let (result, sent) = client.write_all(vec![7; 100_000]).await;
    result.expect("copied");
    assert_eq!(receiving.await.expect("no panic"), sent);
    FixedBuffers::new(4, 4096)
}

#[test]
fn whatever_descriptors_are_left_a_loop_works_or_says_which_limit_it_met() {
    let name = "limits::whatever_descriptors_are_left_a_loop_works_or_says_which_limit_it_met";
    in_child(name, || {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("known");
        for ring in [RingChoice::Auto, RingChoice::Soft] {
            let mut works = 0;
            for limit in 3..24 {
                setrlimit(Resource::RLIMIT_NOFILE, limit, hard).expect("lower than before");
                let mut event_loop = match EventLoop::builder().ring(ring).build() {
                    Ok(event_loop) => event_loop,
                    Err(error) => {
                        assert!(error.to_string().contains("ulimit -n"), "{ring:?}: {error}");
                        assert_eq!(works, 0, "{limit} are too few, and fewer were not");
                        continue;
                    }
                };
                let piece = async { timeout(GUARD, connect()).await.expect("it waits for ever") };
                match event_loop.run_until_complete(piece).expect("not cancelled") {
                    Ok(_) => works += 1,
                    Err(error) => {
                        assert!(error.to_string().contains("os error 24"), "{ring:?}: {error}");
                        assert_eq!(works, 0, "{limit} are too few, and fewer were not");
                    }
                }
            }
            assert!(works > 5, "{ring:?}: a loop needs few descriptors");
        }
    });
}
