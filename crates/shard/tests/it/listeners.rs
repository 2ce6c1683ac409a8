//! Several listeners in one program: this one, started again, as [`serving`].

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shard::{Accept, Connection, Deploy, Listener, Mode, Server, Shard, Shards};

use crate::guarded;

const MODE: &str = "TEST_SERVING_AS";

fn is_served_as(mode: &'static str) {
    guarded(move || {
        let mut child = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--exact", "listeners::serving", "--ignored", "--nocapture"])
            .arg("--test-threads=1")
            .env(MODE, mode)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert!(lines.read_line(&mut line).expect("it speaks") > 0, "it ended");
        }
        let mut addresses = line.split_whitespace().filter_map(|word| word.parse().ok());
        let (one, other): (SocketAddr, SocketAddr) =
            (addresses.next().expect("one"), addresses.next().expect("two"));
        assert_ne!(one, other);
        for _ in 0..10 {
            for (address, expected) in [(one, "plain"), (other, "admin")] {
                let mut got = String::new();
                TcpStream::connect(address)
                    .and_then(|mut client| client.read_to_string(&mut got))
                    .expect("it is served");
                assert_eq!(got, expected, "{mode}");
            }
        }
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it runs");
        drop(io::copy(&mut lines, &mut io::sink()));
        assert!(child.wait().expect("it ends").success(), "{mode}");
    });
}

#[test]
fn threads_serve_several_listeners() {
    is_served_as("threads");
}

#[test]
fn processes_serve_several_listeners_and_hand_over_connections_of_each() {
    is_served_as("processes");
}

#[test]
#[ignore = "it is a program that the tests above start"]
fn serving() {
    let mode = match std::env::var(MODE).as_deref() {
        Ok("threads") => Mode::Threads,
        Ok("processes") => Mode::Processes,
        _ => return,
    };
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let ended = Deploy::new(any)
        .listen(any)
        .accept(Accept::LeastLoaded)
        .mode(mode)
        .shards(Shards::builder().cpus([0, 0]))
        .run_many(serve);
    ended.expect("nothing fails");
}

async fn serve(shard: Shard, listeners: Vec<Listener>) -> io::Result<()> {
    let [plain, admin] = <[Listener; 2]>::try_from(listeners).expect("one for each address");
    println!("listening {} {}", plain.local_addr()?, admin.local_addr()?);
    let greet = |text: &'static str| {
        move |mut connection: Connection| async move {
            drop(connection.write_all(text).await);
        }
    };
    let (one, other) = (Server::new(plain), Server::new(admin));
    let both = (one.serve(&shard, greet("plain")), other.serve(&shard, greet("admin")));
    let (one, other) = uring_loop::join(both).await;
    one.and(other).map(drop)
}

#[test]
fn several_addresses_are_not_for_a_service_of_one_listener() {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let refused = Deploy::new(any).listen(any).run(|_, _| async { Ok(()) });
    assert!(refused.expect_err("refused").to_string().contains("run_many"));
}
