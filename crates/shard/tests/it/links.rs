//! Calls between shards that are processes: `kv` with keys in both, under kills and reloads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use shard::{hash, jump_hash};

use crate::program::Program;
use crate::{eventually, example, guarded};

fn start() -> Program {
    Program::start(Command::new(example("kv")).args(["--mode", "processes"]))
}

/// A connection to one of the processes, and which that is.
struct Client {
    stream: BufReader<TcpStream>,
    process: i32,
}

impl Client {
    fn connect(program: &Program) -> Client {
        let stream = TcpStream::connect(program.address).expect("it listens");
        let mut client = Client { stream: BufReader::new(stream), process: 0 };
        // It asks all shards, one of which may be dead at the moment.
        let mut info = String::new();
        eventually("all are linked", || {
            info = client.ask("INFO");
            !info.starts_with('-')
        });
        let process = info.lines().find_map(|line| line.strip_prefix("process_id:"));
        client.process = process.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("{info}"));
        client
    }

    /// One that is served by another process than that.
    fn connect_elsewhere(program: &Program, not: i32) -> Client {
        loop {
            let client = Client::connect(program);
            if client.process != not {
                return client;
            }
        }
    }

    /// The reply without its mark; of an error with it.
    fn ask(&mut self, line: &str) -> String {
        self.try_ask(line).expect("it answers")
    }

    fn try_ask(&mut self, line: &str) -> std::io::Result<String> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        let mut head = String::new();
        if self.stream.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let head = head.trim_end();
        match head.split_at(1) {
            ("$", "-1") => Ok("nothing".into()),
            ("$", length) => {
                let mut bytes = vec![0; length.parse::<usize>().expect("a length") + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            ("-", _) => Ok(head.to_string()),
            (_, rest) => Ok(rest.to_string()),
        }
    }
}

/// So many keys of a shard.
fn keys(shard: usize, count: usize) -> Vec<String> {
    let all = (0..).map(|number| format!("key:{number}"));
    all.filter(|key| jump_hash(hash(key.as_bytes()), 2) == shard).take(count).collect()
}

#[test]
fn keys_of_both_processes_are_reached_through_either() {
    guarded(|| {
        let mut program = start();
        let mut one = Client::connect(&program);
        let mut other = Client::connect_elsewhere(&program, one.process);
        for key in keys(0, 50).into_iter().chain(keys(1, 50)) {
            assert_eq!(one.ask(&format!("SET {key} {key}")), "OK");
            assert_eq!(other.ask(&format!("GET {key}")), key);
            assert_eq!(other.ask(&format!("DEL {key} nobody")), "1");
            assert_eq!(one.ask(&format!("GET {key}")), "nothing");
        }
        // Far longer than a ring.
        let long = "x".repeat(3_000_000);
        for key in [&keys(0, 1)[0], &keys(1, 1)[0]] {
            let set =
                format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{long}", key.len(), long.len());
            assert_eq!(one.ask(&set), "OK");
            assert_eq!(one.ask(&format!("GET {key}")), long);
            assert_eq!(other.ask(&format!("GET {key}")), long);
        }
        assert_eq!(one.ask("DBSIZE"), "2");
        drop((one, other));
        program.signal(program.pid(), Signal::SIGTERM);
        program.ends_well();
    });
}

#[test]
fn a_process_that_is_killed_costs_its_own_keys_and_connections_and_is_linked_again() {
    guarded(|| {
        let program = start();
        for _ in 0..3 {
            let mut victim = Client::connect(&program);
            let mut other = Client::connect_elsewhere(&program, victim.process);
            let all: Vec<_> = keys(0, 5).into_iter().chain(keys(1, 5)).collect();
            for key in &all {
                assert_eq!(other.ask(&format!("SET {key} old")), "OK");
            }
            program.kill(victim.process);
            assert!(victim.try_ask("PING").is_err(), "its connections are gone");
            // Until there is a new link, the dead one's keys are answered with an error.
            for key in &all {
                eventually("it is linked again", || {
                    let got = other.ask(&format!("GET {key}"));
                    assert!(["old", "nothing"].contains(&&*got) || got.contains("did not answer"));
                    !got.starts_with('-')
                });
            }
            let left = all.iter().filter(|key| other.ask(&format!("GET {key}")) == "old").count();
            assert_eq!(left, 5, "those of the process that lives");
            let mut new = Client::connect_elsewhere(&program, other.process);
            for key in &all {
                assert_eq!(new.ask(&format!("SET {key} new")), "OK");
                assert_eq!(other.ask(&format!("GET {key}")), "new");
            }
        }
    });
}

#[test]
fn calls_that_a_killed_process_was_at_are_answered_with_an_error_and_no_client_hangs() {
    guarded(|| {
        let program = start();
        let goes_on = Arc::new(AtomicBool::new(true));
        let first = Client::connect(&program);
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let mut client = Client::connect_elsewhere(&program, first.process);
                let goes_on = goes_on.clone();
                thread::spawn(move || {
                    let (mut answers, mut errors) = (0, 0);
                    while goes_on.load(Ordering::Relaxed) {
                        // Both shards are asked for it.
                        let got = client.ask(&format!("MSET a{number} 1 b{number} 1 c{number} 1"));
                        match got.as_str() {
                            "OK" => answers += 1,
                            error => {
                                assert!(error.contains("did not answer"), "{error}");
                                errors += 1;
                            }
                        }
                    }
                    (answers, errors)
                })
            })
            .collect();
        let lives = Client::connect_elsewhere(&program, first.process).process;
        for _ in 0..5 {
            let workers = program.workers();
            let victim = *workers.iter().find(|pid| **pid != lives).expect("two");
            thread::sleep(Duration::from_millis(50));
            program.kill(victim);
        }
        // The links are there again, and everything is answered.
        let mut client = Client::connect_elsewhere(&program, lives);
        eventually("it is linked again", || client.ask("MSET x 1 y 1 z 1 u 1 v 1 w 1") == "OK");
        goes_on.store(false, Ordering::Relaxed);
        for client in clients {
            let (answers, errors) = client.join().expect("nobody hangs or loses its connection");
            assert!(answers > 0, "{answers} answers and {errors} errors");
        }
    });
}

#[test]
fn after_a_reload_all_new_processes_are_linked() {
    guarded(|| {
        let mut program = start();
        let before = program.workers();
        program.signal(program.pid(), Signal::SIGHUP);
        eventually("the old ones are gone", || {
            let now = program.workers();
            now.len() == 2 && now.is_disjoint(&before)
        });
        let mut client = Client::connect(&program);
        eventually("they are linked", || client.ask("MSET x 1 y 1 z 1 u 1 v 1 w 1") == "OK");
        drop(client);
        program.signal(program.pid(), Signal::SIGTERM);
        program.ends_well();
    });
}
