//! The first words between parent and worker, with the test in the parent's place.

use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

crate::tests![
    a_worker_refuses_what_is_no_greeting,
    a_worker_whose_parent_hangs_up_ends,
    a_worker_of_another_build_says_so,
    a_worker_whose_parent_is_another_process_ends,
    a_worker_is_made_by_name_and_socket_together,
];

const HELLO: u8 = 1;
const UNFIT: u8 = 17;
const EX_PROTOCOL: i32 = 76;

fn program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("pool-worker test").stderr(Stdio::piped());
    command
}

fn start() -> (UnixStream, Child) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = program().stdin(OwnedFd::from(theirs)).spawn().unwrap();
    (ours, child)
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes.extend([HELLO, 0, 0, 0]);
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(b"uPool\0\0\x04");
    bytes.extend(payload);
    bytes
}

/// A greeting as a parent would send it, with a page of shared memory.
fn greet(socket: &UnixStream, build: &[u8], parent: u32) {
    let no_limits = (None::<u64>, None::<u64>, None::<u64>, false, None::<u64>);
    let hello = (build.to_vec(), parent, "test", 1u32, None::<u64>, no_limits, false);
    let bytes = frame(&postcard::to_stdvec(&hello).unwrap());
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memory = memfd_create(c"test", flags).unwrap();
    nix::unistd::ftruncate(&memory, 340 * 1024).unwrap();
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    fcntl(memory.as_fd(), FcntlArg::F_ADD_SEALS(seals)).unwrap();
    let rights = [memory.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&rights)];
    let parts = [IoSlice::new(&bytes)];
    let flags = MsgFlags::empty();
    let sent = sendmsg::<UnixAddr>(socket.as_raw_fd(), &parts, &message, flags, None);
    assert_eq!(sent, Ok(bytes.len()));
}

fn ends_with(child: Child, code: i32, text: &str) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "{said}");
}

fn a_worker_refuses_what_is_no_greeting() {
    let (mut socket, child) = start();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    ends_with(child, EX_PROTOCOL, "not a frame of the pool's protocol");
    let (mut socket, child) = start();
    let mut other_version = frame(&[]);
    other_version[23] = 99;
    socket.write_all(&other_version).unwrap();
    ends_with(child, EX_PROTOCOL, "another version of the protocol");
    let (mut socket, child) = start();
    socket
        .write_all(&frame(
            &postcard::to_stdvec(&(vec![1u8], 1u32, "x", 1u32, None::<u64>)).unwrap(),
        ))
        .unwrap();
    // A parent it has not, and no memory either: it does not matter which it notices first.
    let status = child.wait_with_output().unwrap().status;
    assert!(status.code().is_some(), "{status}");
}

fn a_worker_whose_parent_hangs_up_ends() {
    let (socket, child) = start();
    drop(socket);
    ends_with(child, EX_PROTOCOL, "hung up");
}

fn a_worker_of_another_build_says_so() {
    let (mut socket, child) = start();
    greet(&socket, b"some other build", std::process::id());
    let mut reply = Vec::new();
    socket.read_to_end(&mut reply).unwrap();
    assert_eq!(reply[4], UNFIT);
    assert!(String::from_utf8_lossy(&reply[24..]).contains("another build of the program"));
    ends_with(child, EX_PROTOCOL, "");
}

fn a_worker_whose_parent_is_another_process_ends() {
    let (socket, child) = start();
    // As if the parent had died, and the worker now were another's child.
    greet(&socket, b"", std::process::id() + 1);
    ends_with(child, 0, "");
}

fn a_worker_is_made_by_name_and_socket_together() {
    // The name alone: an ordinary start of the program.
    let output = program().arg("--list").stdin(Stdio::null()).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("handshake::a_worker_is_made"));
    // The socket alone: the same.
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new("/proc/self/exe");
    let output = command.arg("--list").stdin(OwnedFd::from(theirs)).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("handshake::a_worker_is_made"));
}
