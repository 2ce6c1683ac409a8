//! The example `kv`: its parser by itself, and the program driven by the real redis-tools.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use proptest::prelude::*;

use crate::program::Program;
use crate::{example, guarded};

#[path = "../../examples/kv/resp.rs"]
mod resp;
use resp::{Bad, Limits, Parser};

const SMALL: Limits = Limits { words: 4, word: 10, request: 20 };

/// All requests of these bytes, which come in these pieces.
fn parse(limits: Limits, pieces: &[&[u8]]) -> Result<Vec<Vec<Vec<u8>>>, Bad> {
    let (mut parser, mut requests) = (Parser::new(limits), Vec::new());
    for piece in pieces {
        parser.push(piece);
        while let Some(words) = parser.next()? {
            requests.push(words);
        }
    }
    Ok(requests)
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn requests_are_arrays_of_bulk_strings_or_lines() {
    let all = b"*2\r\n$3\r\nGET\r\n$0\r\n\r\nPING\r\n\r\n\
        set a \"x\\x41\\n\" 'it\\'s'\n*0\r\n*1\r\n$4\r\nQUIT\r\n";
    let expected = [
        words(&["GET", ""]),
        words(&["PING"]),
        words(&["set", "a", "xA\n", "it's"]),
        words(&["QUIT"]),
    ];
    assert_eq!(parse(Limits::default(), &[all]).as_deref(), Ok(&expected[..]));
    // Byte by byte it is the same.
    let bytes: Vec<_> = all.chunks(1).collect();
    assert_eq!(parse(Limits::default(), &bytes).as_deref(), Ok(&expected[..]));
}

#[test]
fn bad_requests_are_refused_with_what_is_wrong() {
    let wrong = |bytes: &[u8]| parse(SMALL, &[bytes]).expect_err("it is bad").to_string();
    assert_eq!(wrong(b"*x\r\n"), "ERR Protocol error: invalid multibulk length");
    assert_eq!(wrong(b"*5\r\n"), "ERR Protocol error: invalid multibulk length");
    assert_eq!(wrong(b"*99999999999999999999\r\n"), "ERR Protocol error: invalid multibulk length");
    assert_eq!(wrong(b"*1\r\n$11\r\n"), "ERR Protocol error: invalid bulk length");
    assert_eq!(wrong(b"*1\r\n$-1\r\n"), "ERR Protocol error: invalid bulk length");
    assert_eq!(wrong(b"*1\r\n$9223372036854775807\r\n"), "ERR Protocol error: invalid bulk length");
    assert_eq!(wrong(b"*1\r\n:1\r\n"), "ERR Protocol error: expected '$', got ':'");
    assert!(wrong(b"*1\r\n$1\r\nabc").contains("does not end"));
    assert!(wrong(b"set a \"b\r\n").contains("unbalanced quotes"));
    assert!(wrong(b"set a \"b\"c\r\n").contains("unbalanced quotes"));
    let big = b"*3\r\n$9\r\n123456789\r\n$9\r\n123456789\r\n$9\r\n";
    assert!(wrong(big).contains("too big"));
    assert!(wrong(&vec![b'x'; 70_000]).contains("too big inline request"));
}

proptest! {
    /// What comes in any pieces is what went in.
    #[test]
    fn requests_survive_any_cut(
        requests in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5), 1..6),
        cuts in prop::collection::vec(0..400_usize, 0..10),
    ) {
        let mut bytes = Vec::new();
        for request in &requests {
            bytes.extend(format!("*{}\r\n", request.len()).bytes());
            for word in request {
                bytes.extend(format!("${}\r\n", word.len()).bytes());
                bytes.extend(word);
                bytes.extend(b"\r\n");
            }
        }
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < bytes.len()).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(parse(Limits::default(), &pieces), Ok(requests));
    }

    /// Whatever comes, nothing panics.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(
            prop::sample::select(b"*$-0123456789\r\n\"'\\x abc\xff".to_vec()), 0..200),
    ) {
        let _ = parse(SMALL, &[&bytes]);
    }
}

/// A running `kv`.
struct Kv(Program);

impl Kv {
    fn start(more: &[&str]) -> Kv {
        Kv(Program::start(Command::new(example("kv")).args(more)))
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(["-p", &self.0.address.port().to_string()]);
        command
    }

    fn cli(&self, more: &[&str]) -> String {
        let output = self.tool("redis-cli").args(more).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.0.address).expect("it listens")
    }
}

fn has_tools(test: &str) -> bool {
    let there = Command::new("redis-cli").arg("--version").output().is_ok();
    if !there {
        println!("skipped: {test}: it needs redis-cli and redis-benchmark (redis-tools)");
    }
    there
}

#[test]
fn the_real_redis_cli_gets_what_it_asks_for() {
    if !has_tools("the_real_redis_cli_gets_what_it_asks_for") {
        return;
    }
    guarded(|| {
        let kv = Kv::start(&[]);
        let cli = |line: &str| kv.cli(&line.split(' ').collect::<Vec<_>>());
        for (line, answer) in [
            ("PING", "PONG\n"),
            ("SET a 1", "OK\n"),
            ("GET a", "1\n"),
            ("GET nobody", "\n"),
            ("INCR a", "2\n"),
            ("INCRBY a 40", "42\n"),
            ("MSET b x c y d z", "OK\n"),
            ("MGET a b c d e", "42\nx\ny\nz\n\n"),
            ("DEL a b nobody", "2\n"),
            ("EXISTS c d a", "2\n"),
            ("TTL c", "-1\n"),
            ("TTL nobody", "-2\n"),
            ("EXPIRE c 100", "1\n"),
            ("TTL c", "100\n"),
            ("PERSIST c", "1\n"),
            ("TTL c", "-1\n"),
            ("SET c 1 NX", "\n"),
            ("SET c 7 XX GET", "y\n"),
            ("DBSIZE", "2\n"),
            ("CONFIG GET save", "save\n\n"),
            ("SET p q PX 1", "OK\n"),
        ] {
            assert_eq!(cli(line), answer, "{line}");
        }
        assert!(cli("INCR d").starts_with("ERR value is not an integer"));
        assert!(cli("GET").starts_with("ERR wrong number of arguments for 'get' command"));
        assert!(cli("NONSENSE 1").starts_with("ERR unknown command 'nonsense'"));
        assert!(cli("INFO").contains("shards:2"));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(cli("GET p"), "\n", "it has expired");
        // RESP3: a null of its own, and maps.
        assert_eq!(cli("-3 GET nobody"), "\n");
        assert!(cli("-3 HELLO 3").contains("proto"));
        assert_eq!(cli("FLUSHALL"), "OK\n");
        assert_eq!(cli("DBSIZE"), "0\n");
    });
}

#[test]
fn the_real_redis_benchmark_runs_through_and_a_signal_ends_the_server_in_order() {
    if !has_tools("the_real_redis_benchmark_runs_through") {
        return;
    }
    guarded(|| {
        let mut kv = Kv::start(&["--accept", "least-loaded"]);
        for pipeline in ["1", "16"] {
            let output = kv
                .tool("redis-benchmark")
                .args(["-q", "-n", "2000", "-c", "20", "-r", "1000", "-P", pipeline])
                .args(["-t", "ping,set,get,incr,mset"])
                .output()
                .expect("it runs");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            for what in ["PING_INLINE", "PING_MBULK", "SET:", "GET:", "INCR:", "MSET"] {
                assert!(text.contains(what), "{what} is not in {text}");
            }
        }
        kv.0.signal(kv.0.pid(), Signal::SIGTERM);
        kv.0.ends_well();
    });
}

#[test]
fn replies_to_a_pipeline_come_in_order_from_both_shards() {
    guarded(|| {
        let kv = Kv::start(&[]);
        let mut client = kv.connect();
        let (mut ask, mut expected) = (String::new(), String::new());
        for number in 0..1000 {
            ask += &format!("SET key:{number} {number}\r\nGET key:{number}\r\nINCR all\r\n");
            let text = number.to_string();
            expected += &format!("+OK\r\n${}\r\n{text}\r\n:{}\r\n", text.len(), number + 1);
        }
        ask += "QUIT\r\nPING\r\n";
        expected += "+OK\r\n";
        let mut writer = client.try_clone().expect("a second end");
        let writing = std::thread::spawn(move || writer.write_all(ask.as_bytes()));
        let mut got = String::new();
        client.read_to_string(&mut got).expect("closed in order");
        assert_eq!(got, expected);
        // What follows QUIT is not read: a reset of that is all the same.
        drop(writing.join().expect("no panic"));
    });
}

#[test]
fn bad_frames_and_huge_lengths_are_refused_and_only_that_connection_ends() {
    guarded(|| {
        let kv = Kv::start(&["--longest", "1000"]);
        let mut other = kv.connect();
        for (bytes, says) in [
            (&b"*1\r\n$1000000000\r\n"[..], "invalid bulk length"),
            (b"*2147483647\r\n", "invalid multibulk length"),
            (b"*1\r\nhello\r\n", "expected '$'"),
            (b"PING\r\n\"\r\n", "unbalanced quotes"),
        ] {
            let mut client = kv.connect();
            client.write_all(bytes).expect("it takes them");
            let mut got = String::new();
            client.read_to_string(&mut got).expect("closed in order");
            assert!(got.contains("-ERR Protocol error") && got.contains(says), "{got}");
        }
        other.write_all(b"PING\r\n").expect("it lives");
        let mut pong = [0; 7];
        other.read_exact(&mut pong).expect("an answer");
        assert_eq!(&pong, b"+PONG\r\n");
    });
}

/// It asks for far more than sockets hold and reads nothing: the server stops reading from it.
#[test]
fn a_client_that_does_not_read_takes_little_memory_and_disturbs_nobody() {
    guarded(|| {
        let kv = Kv::start(&[]);
        let mut slow = kv.connect();
        let value = "v".repeat(1 << 20);
        let set = format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$1048576\r\n{value}\r\n");
        slow.write_all(set.as_bytes()).expect("sent");
        slow.read_exact(&mut [0; 5]).expect("an answer");
        slow.set_write_timeout(Some(Duration::from_millis(200))).expect("set");
        let gets = "GET big\r\n".repeat(5000);
        // 5 GB of replies, of which nobody reads a byte.
        let _ = slow.write_all(gets.as_bytes());
        let mut other = kv.connect();
        for _ in 0..100 {
            other.write_all(b"PING\r\n").expect("it lives");
            other.read_exact(&mut [0; 7]).expect("an answer");
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", kv.0.pid()));
        let status = status.expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("told");
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(peak < 200_000, "{peak} kB at its peak");
    });
}
