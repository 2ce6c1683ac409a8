//! Starting a worker: this program once more, with one end of a socket pair as its input.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use serde::{Deserialize, Serialize};

use super::hub::Hub;
use super::image::Image;
use super::init;
use super::limits::Limits;
use super::page::Page;
use super::supervisor::{Nursing, Ward};
use super::sys;
use super::wire::{GREETING, Header, Kind};

/// How the parent introduces itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    /// Which build of the program the parent runs.
    pub(super) build: Vec<u8>,
    /// The parent's process id: the worker's own parent must be this one.
    pub(super) parent: u32,
    /// The worker's name, for `ps`.
    pub(super) name: String,
    /// How many pools the worker is inside of.
    pub(super) depth: u32,
    /// The entry of the initialiser.
    pub(super) initializer: Option<u64>,
    /// What it may use.
    pub(super) limits: Limits,
    /// Panics carry backtraces whatever the environment says.
    pub(super) backtraces: bool,
}

/// Starts a worker of `hub`; it is not ready yet.
///
/// The command has no `pre_exec`, so that std starts it by posix_spawn, which shares the memory
/// until exec: the time does not grow with the size of this process. What must be done in the child
/// it does itself (`worker.rs`).
pub(super) fn spawn(hub: &Hub, key: u64) -> io::Result<Ward> {
    let intent = |error: io::Error| {
        io::Error::new(error.kind(), format!("starting a worker process: {error}"))
    };
    let (socket, theirs) = UnixStream::pair().map_err(intent)?;
    let (page, memory) = Page::create().map_err(intent)?;
    let name = format!("{}.{key}", hub.name);
    let child = start(&name, theirs).map_err(intent)?;
    let mut unborn = Unborn(Some(child));
    let pidfd = sys::pidfd_open(unborn.id()).map_err(intent)?;
    let hello = Hello {
        build: Image::main_program().build().to_vec(),
        parent: std::process::id(),
        name,
        depth: init::depth() + 1,
        initializer: hub.initializer,
        limits: hub.life.limits.clone(),
        backtraces: hub.life.backtraces,
    };
    // If the child is gone already, its pidfd tells.
    let _ = greet(&socket, &hello, &memory);
    let child = unborn.0.take().expect("nobody took it before");
    Ok(Ward { key, child, pidfd, nursing: Some(Nursing::new(socket, page)) })
}

fn start(name: &str, theirs: UnixStream) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(format!("{}{name}", init::MARK));
    // Its own group: Ctrl+C at the terminal reaches the parent alone, which decides.
    command.process_group(0);
    command.stdin(OwnedFd::from(theirs));
    command.spawn()
}

fn greet(socket: &UnixStream, hello: &Hello, memory: &OwnedFd) -> io::Result<()> {
    let payload = postcard::to_stdvec(hello).expect("plain data can always be encoded");
    let mut bytes = Header::new(Kind::Hello, 0, GREETING, payload.len()).to_bytes().to_vec();
    bytes.extend(payload);
    sys::send_all(socket, &bytes, &[], &[memory.as_raw_fd()])
}

/// A child that is ended and waited for if the start fails half-way.
struct Unborn(Option<Child>);

impl Unborn {
    fn id(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
