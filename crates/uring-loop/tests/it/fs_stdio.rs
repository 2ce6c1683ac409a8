//! Standard input and output of a process of its own: this test program again, with one test.

use std::fs::File as Plain;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use uring_loop::fs::{stderr, stdin, stdout};
use uring_loop::run;
use uring_loop::time::timeout;

const MARK: &str = "URING_LOOP_TEST_STDIO";

/// Whether this is the child of the test of this name.
fn is_child(test: &str) -> bool {
    std::env::var_os(MARK).is_some_and(|name| name == test)
}

fn child(test: &str, input: Stdio, output: Stdio) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture", "--test-threads=1", "--quiet"])
        .env(MARK, test)
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program runs")
}

/// Waits for its end, and answers what it said on standard error if it failed or hung.
fn end_of(mut child: Child) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match child.try_wait().expect("our child") {
            Some(status) if status.success() => return Ok(()),
            Some(_) => break,
            None if start.elapsed() > Duration::from_secs(60) => {
                let _ = child.kill();
                break;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    let mut said = String::new();
    let _ = child.stderr.take().expect("piped").read_to_string(&mut said);
    Err(format!("it failed or hung: {said}"))
}

/// Whether somebody has set O_NONBLOCK.
fn nonblocking(fd: i32) -> bool {
    // SAFETY: fcntl(2) with F_GETFL touches no memory.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags & libc::O_NONBLOCK != 0
}

/// A terminal: its two sides.
fn terminal() -> (Plain, Plain) {
    let open = |path: &str| {
        let options = Plain::options().read(true).write(true).to_owned();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options.clone(), libc::O_NOCTTY)
            .open(path)
            .expect("a terminal")
    };
    let ours = open("/dev/ptmx");
    let (unlocked, mut number): (libc::c_int, libc::c_int) = (0, 0);
    // SAFETY: both requests take a pointer to an int, which these are for the time of the calls.
    let result = unsafe {
        libc::ioctl(ours.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked)
            | libc::ioctl(ours.as_raw_fd(), libc::TIOCGPTN, &raw mut number)
    };
    assert_eq!(result, 0);
    (ours, open(&format!("/dev/pts/{number}")))
}

/// What most children do: echoes lines in upper case, dropping a wait now and then.
fn echo_lines() {
    run(async {
        let (mut input, mut output) = (stdin(), stdout());
        loop {
            // Nothing is lost by the waits that end too early.
            let line = match timeout(Duration::from_millis(1), input.next_line()).await {
                Ok(line) => line,
                Err(_) => input.next_line().await,
            };
            let Some(line) = line.expect("text") else { break };
            output.write_all(format!("<{}>\n", line.to_uppercase())).await.0.expect("read");
            if line == "stop" {
                // A wait in vain is no hindrance at the end.
                let more = timeout(Duration::from_millis(20), input.next_line()).await;
                assert!(more.is_err(), "{more:?}");
                break;
            }
        }
        drop((input, output));
        stderr().write_all("done\n").await.0.expect("read");
    })
    .expect("a ring");
    assert!((0..3).all(|fd| !nonblocking(fd)), "it would stay for the shell");
}

#[test]
fn lines_come_through_a_pipe() {
    const NAME: &str = "fs_stdio::lines_come_through_a_pipe";
    if is_child(NAME) {
        return echo_lines();
    }
    let mut child = child(NAME, Stdio::piped(), Stdio::piped());
    let mut input = child.stdin.take().expect("piped");
    let mut output = child.stdout.take().expect("piped");
    for part in ["one\ntw", "o\n", "", "th", "ree\nlast"] {
        input.write_all(part.as_bytes()).expect("it reads");
        std::thread::sleep(Duration::from_millis(30));
    }
    drop(input);
    let mut said = String::new();
    output.read_to_string(&mut said).expect("text");
    end_of(child).expect("it ends well");
    assert!(said.contains("<ONE>\n<TWO>\n<THREE>\n<LAST>\n"), "{said}");
}

#[test]
fn a_terminal_is_read_and_left_while_nobody_types() {
    const NAME: &str = "fs_stdio::a_terminal_is_read_and_left_while_nobody_types";
    if is_child(NAME) {
        return echo_lines();
    }
    let (mut ours, theirs) = terminal();
    let output = theirs.try_clone().expect("a descriptor");
    let child = child(NAME, theirs.into(), output.into());
    for part in ["hello\n", "sto", "p\n"] {
        std::thread::sleep(Duration::from_millis(50));
        ours.write_all(part.as_bytes()).expect("a terminal");
    }
    end_of(child).expect("it ends though its input stays open");
    let mut said = vec![0; 65536];
    let count = ours.read(&mut said).expect("a terminal");
    let said = String::from_utf8_lossy(&said[..count]).into_owned();
    assert!(said.contains("<HELLO>") && said.contains("<STOP>"), "{said}");
}

#[test]
fn a_file_is_read_and_written_at_the_shared_position() {
    const NAME: &str = "fs_stdio::a_file_is_read_and_written_at_the_shared_position";
    if is_child(NAME) {
        run(async {
            let bytes = stdin().read_to_end().await.expect("a file");
            let mut output = stdout();
            output.write_all(bytes).await.0.expect("room");
            output.write_all(" end").await.0.expect("room");
        })
        .expect("a ring");
        return;
    }
    let mut input = tempfile::tempfile().expect("a place for temporary files");
    input.write_all(&[b'x'; 100_000]).expect("room");
    input.seek(std::io::SeekFrom::Start(99_990)).expect("a place");
    let mut output = tempfile::tempfile().expect("a place for temporary files");
    output.write_all(b"before ").expect("room");
    let theirs = output.try_clone().expect("a descriptor");
    let child = child(NAME, input.into(), theirs.into());
    end_of(child).expect("it ends well");
    output.rewind().expect("a file");
    let mut said = String::new();
    output.read_to_string(&mut said).expect("text");
    // The test harness writes there too.
    assert!(said.starts_with("before ") && said.contains("xxxxxxxxxx end"), "{said}");
}

#[test]
fn what_is_written_stays_in_order_while_the_reader_is_slow() {
    const NAME: &str = "fs_stdio::what_is_written_stays_in_order_while_the_reader_is_slow";
    if is_child(NAME) {
        run(async {
            let mut output = stdout();
            for n in 0..64_u8 {
                output.write_all(vec![b'0' + n; 20_000]).await.0.expect("read");
            }
        })
        .expect("a ring");
        return;
    }
    let mut child = child(NAME, Stdio::null(), Stdio::piped());
    let mut output = child.stdout.take().expect("piped");
    let mut said = Vec::new();
    let mut part = [0; 8192];
    loop {
        let count = output.read(&mut part).expect("a pipe");
        if count == 0 {
            break;
        }
        said.extend_from_slice(&part[..count]);
        if said.len() % 5 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    end_of(child).expect("it ends well");
    let whole: Vec<u8> = (0..64_u8).flat_map(|n| [b'0' + n; 20_000]).collect();
    let found = said.windows(whole.len()).any(|window| window == whole);
    assert!(found, "{} bytes came, not in order", said.len());
}

#[test]
fn a_descriptor_that_somebody_made_nonblocking_is_waited_for() {
    const NAME: &str = "fs_stdio::a_descriptor_that_somebody_made_nonblocking_is_waited_for";
    if is_child(NAME) {
        run(async {
            assert!(nonblocking(0));
            assert_eq!(stdin().next_line().await.expect("text").as_deref(), Some("late"));
        })
        .expect("a ring");
        return;
    }
    let (theirs, ours) = {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors, which are ours from here on.
        unsafe {
            assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
            libc::fcntl(ends[0], libc::F_SETFL, libc::O_NONBLOCK);
            (Plain::from_raw_fd(ends[0]), Plain::from_raw_fd(ends[1]))
        }
    };
    let child = child(NAME, theirs.into(), Stdio::null());
    std::thread::sleep(Duration::from_millis(100));
    (&ours).write_all(b"late\n").expect("it reads");
    end_of(child).expect("it ends well");
}
