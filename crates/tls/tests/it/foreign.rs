//! Other implementations: `openssl` and `curl`, where they are installed. (CI installs them.)

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tls::{TlsAcceptor, TlsConnector, Version};
use uring_loop::io::ByteStreamExt as _;
use uring_loop::net::{TcpListener, TcpStream};
use uring_loop::{join, unblock};

use crate::support::{Authority, pattern, read, read_to_end, run_real};

/// Whether a tool is there; says so if it is not.
fn there_is(tool: &str) -> bool {
    let argument = if tool == "openssl" { "version" } else { "--version" };
    let found = Command::new(tool).arg(argument).output().is_ok();
    if !found {
        eprintln!("skipped: `{tool}` is not installed, so nothing was checked against it");
    }
    found
}

/// An authority, a server's certificate and its key, as files.
struct Files {
    authority: Authority,
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
        let (chain, key) = authority.issue_pem(&["localhost"], |_| {});
        for (name, text) in [("ca.pem", authority.pem()), ("cert.pem", chain), ("key.pem", key)] {
            std::fs::write(folder.path().join(name), text).expect("room");
        }
        Files { authority, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn acceptor(&self, versions: &[Version]) -> TlsAcceptor {
        let identity = tls::Identity::from_pem_files(self.path("cert.pem"), self.path("key.pem"));
        let builder = TlsAcceptor::builder().identity(identity.expect("PEM")).versions(versions);
        builder.alpn(["http/1.1"]).build().expect("it fits")
    }

    fn connector(&self, versions: &[Version]) -> TlsConnector {
        self.authority.client().versions(versions).build().expect("it fits")
    }
}

/// Runs a program with this input, on a helper thread.
async fn outcome(mut command: Command, input: Vec<u8>) -> Output {
    let running = unblock(move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it is installed");
        let mut stdin = child.stdin.take().expect("piped");
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("it ends");
        drop(writer.join().expect("no panic"));
        output
    });
    running.await.expect("no panic")
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

#[test]
fn openssl_as_the_client() {
    if !there_is("openssl") {
        return;
    }
    for (version, option) in [(Version::Tls12, "-tls1_2"), (Version::Tls13, "-tls1_3")] {
        let files = Files::new();
        run_real(async {
            let (listener, address) = listen();
            let mut command = Command::new("openssl");
            command.args(["s_client", "-quiet", "-ign_eof", "-verify_return_error"]);
            command.args(["-servername", "localhost", "-verify_hostname", "localhost"]);
            command.arg("-CAfile").arg(files.path("ca.pem")).arg(option);
            command.args(["-connect", &address.to_string()]);
            let sent: Vec<u8> = pattern(60_000, 0).iter().map(|byte| b'a' + byte % 26).collect();
            let server = async {
                let tcp = listener.accept().await.expect("it comes");
                let stream = files.acceptor(&[]).accept(tcp).await.expect("content");
                assert_eq!(stream.protocol_version(), version);
                assert_eq!(stream.server_name(), Some("localhost"));
                let got = read(&stream, sent.len()).await;
                stream.send(got).await.expect("open");
                stream.write_eof().await.expect("open");
                // Its own good-bye, or its end.
                let _ = read_to_end(&stream).await;
            };
            let (output, ()) = join((outcome(command, sent.clone()), server)).await;
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.stdout == sent, "{} bytes came back: {said}", output.stdout.len());
        });
    }
}

#[test]
fn openssl_as_the_client_takes_new_keys() {
    if !there_is("openssl") {
        return;
    }
    let files = Files::new();
    run_real(async {
        let (listener, address) = listen();
        let mut command = Command::new("openssl");
        // Without -quiet it takes commands: a line `K` asks both sides for new keys.
        command.args(["s_client", "-tls1_3", "-connect", &address.to_string()]);
        command.arg("-CAfile").arg(files.path("ca.pem"));
        let server = async {
            let tcp = listener.accept().await.expect("it comes");
            let stream = files.acceptor(&[]).accept(tcp).await.expect("content");
            assert_eq!(read(&stream, 6).await, b"first\n");
            stream.update_keys().expect("TLS 1.3");
            stream.send(b"answer\n".to_vec()).await.expect("open");
            assert_eq!(read(&stream, 7).await, b"second\n");
            stream.send(b"ANSWER\n".to_vec()).await.expect("open");
            stream.write_eof().await.expect("open");
            let _ = read_to_end(&stream).await;
        };
        let talking = unblock(move || {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("it is installed");
            let mut errors = BufReader::new(child.stderr.take().expect("piped")).lines();
            let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("piped"));
            let mut lines = BufReader::new(stdout).lines();
            let mut wait_for = |line: &str| {
                let came = lines.by_ref().any(|came| came.expect("text").ends_with(line));
                assert!(came, "openssl ended before it said {line:?}");
            };
            let say = |words: &str, stdin: &mut Option<std::process::ChildStdin>| {
                let pipe = stdin.as_mut().expect("piped");
                pipe.write_all(words.as_bytes()).expect("it reads");
            };
            let stdin = &mut stdin;
            say("first\n", stdin);
            wait_for("answer");
            say("K\n", stdin);
            // By itself: a command is a line that comes alone.
            let done = errors.by_ref().any(|line| line.expect("text").contains("KEYUPDATE"));
            assert!(done, "openssl knows no such command");
            say("second\n", stdin);
            wait_for("ANSWER");
            drop(stdin.take());
            child.wait().expect("it ends");
        });
        let (talked, ()) = join((talking, server)).await;
        talked.expect("no panic");
    });
}

#[test]
fn openssl_as_the_server() {
    if !there_is("openssl") {
        return;
    }
    for (version, option) in [(Version::Tls12, "-tls1_2"), (Version::Tls13, "-tls1_3")] {
        let files = Files::new();
        let mut command = Command::new("openssl");
        // It sends back each line in reverse.
        command.args(["s_server", "-rev", "-naccept", "1", "-accept", "127.0.0.1:0", option]);
        command.arg("-cert").arg(files.path("cert.pem")).arg("-key").arg(files.path("key.pem"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it is installed");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // "ACCEPT 127.0.0.1:43645"
        let address: SocketAddr = lines
            .by_ref()
            .map(|line| line.expect("text"))
            .find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned))
            .and_then(|address| address.trim().parse().ok())
            .expect("it says where it listens");
        // What it prints is read, so that it does not wait for that.
        let rest = std::thread::spawn(move || lines.count());
        run_real(async {
            let tcp = TcpStream::connect(address).await.expect("it listens");
            let stream = files.connector(&[]).connect("localhost", tcp).await.expect("content");
            assert_eq!(stream.protocol_version(), version);
            stream.send(b"stressed desserts!\n".to_vec()).await.expect("open");
            assert_eq!(read(&stream, 19).await, b"!stressed desserts\n");
            if version == Version::Tls13 {
                stream.update_keys().expect("TLS 1.3");
            }
            stream.send(b"abc\n".to_vec()).await.expect("open");
            assert_eq!(read(&stream, 4).await, b"cba\n");
            stream.write_eof().await.expect("open");
            let _ = read_to_end(&stream).await;
        });
        child.wait().expect("it ends");
        rest.join().expect("no panic");
    }
}

#[test]
fn openssl_refuses_an_authority_it_does_not_know_and_we_are_told() {
    if !there_is("openssl") {
        return;
    }
    let (files, others) = (Files::new(), Files::new());
    run_real(async {
        let (listener, address) = listen();
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-tls1_3"]);
        command.arg("-CAfile").arg(others.path("ca.pem")).args(["-connect", &address.to_string()]);
        let server = async {
            let tcp = listener.accept().await.expect("it comes");
            files.acceptor(&[]).accept(tcp).await.map(drop)
        };
        let (output, accepted) = join((outcome(command, Vec::new()), server)).await;
        assert!(!output.status.success());
        let error = accepted.expect_err("it was refused");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
        assert!(error.to_string().contains("UnknownC"), "{error}");
    });
}

#[test]
fn curl_as_the_client() {
    if !there_is("curl") {
        return;
    }
    let files = Files::new();
    run_real(async {
        let (listener, address) = listen();
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--http1.1", "--noproxy", "*", "--cacert"]);
        command.arg(files.path("ca.pem"));
        command.args(["--resolve", &format!("localhost:{}:127.0.0.1", address.port())]);
        command.arg(format!("https://localhost:{}/file", address.port()));
        let body = pattern(300_000, 0);
        let server = async {
            let tcp = listener.accept().await.expect("it comes");
            let stream = files.acceptor(&[]).accept(tcp).await.expect("content");
            assert_eq!(stream.alpn_protocol().as_deref(), Some(&b"http/1.1"[..]));
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let bytes = stream.recv().await.expect("open");
                assert!(!bytes.is_empty(), "half a request");
                request.extend_from_slice(&bytes);
            }
            assert!(request.starts_with(b"GET /file HTTP/1.1\r\n"));
            // Without a length: the end of the stream is the end of the body.
            stream
                .send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec())
                .await
                .expect("open");
            stream.send(body.clone()).await.expect("open");
            // Dropped: curl would call a cut connection an error.
        };
        let (output, ()) = join((outcome(command, Vec::new()), server)).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(output.stdout == body, "{} bytes: {said}", output.stdout.len());
    });
}
