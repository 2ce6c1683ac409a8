//! Beginning and end of the programs.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::{SERVERS, start};

#[test]
fn a_server_ends_when_its_stdin_closes() {
    for program in SERVERS {
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let mut stream =
            TcpStream::connect(line.trim().strip_prefix("listening ").unwrap()).unwrap();
        drop(child.stdin.take());
        // would wait for ever, were the server to stay
        assert!(!child.wait().unwrap().success(), "{program}");
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)), "{program}");
    }
}

#[test]
fn a_server_ends_when_its_life_is_over() {
    let mut child = Command::new(SERVERS[0])
        .arg("--life=1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _held = child.stdin.take();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn accepted_connections_inherit_nodelay() {
    // what `serve::start` relies on, shown without a server
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&listener).set_tcp_nodelay(true).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(listener.accept().unwrap().0.nodelay().unwrap());
}

#[test]
fn a_second_server_on_the_same_port_says_why_it_cannot() {
    let server = start(SERVERS[2], &[]);
    let port = server.address.port();
    let output = Command::new(SERVERS[2])
        .arg(format!("--port={port}"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("listening on 127.0.0.1"), "{text}");
}
