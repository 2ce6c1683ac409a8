//! The worker process: greets its parent, runs calls one after the other, ends with its parent.
//!
//! # How it ends
//!
//! * It is told to stop: `exit(0)`, with all that `exit` does (buffers, profiles).
//! * Its parent is gone: the kernel kills it (`PR_SET_PDEATHSIG`, for the thread that started it;
//!   the supervisor lives as long as its workers), and in case that was cleared (by exec of a
//!   set-user-id program, prctl(2)) the watchdog thread sees the socket hung up and exits at once,
//!   also while a job runs.
//! * A job ends it: the parent hears of it by the pidfd.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::image::Image;
use super::init;
use super::page::Page;
use super::ship;
use super::spawn::Hello;
use super::sys;
use super::wire::{GREETING, Header, Inbox, Kind, MAX_PAYLOAD};
use crate::panics;

/// Exit code of a worker that cannot talk with its parent (`EX_PROTOCOL` of sysexits.h).
const EX_PROTOCOL: i32 = 76;

struct Worker {
    socket: UnixStream,
    inbox: Inbox,
    page: Page,
}

/// Serves the parent that is at the other end of standard input.
pub(super) fn run() -> ! {
    // First of all, so that no moment remains in which the parent can die unnoticed; the check of
    // the parent's id in `meet` is for the time before.
    let guarded = prctl::set_pdeathsig(Signal::SIGKILL);
    let socket = match (guarded, sys::take_stdin()) {
        (Ok(()), Ok(socket)) => socket,
        (Err(error), _) => give_up(&format!("asking to end with its parent: {error}")),
        (_, Err(error)) => give_up(&format!("taking its end of the socket: {error}")),
    };
    let (worker, hello) = meet(socket).unwrap_or_else(|why| give_up(&why));
    match worker.prepare(&hello) {
        Ok(()) => {
            worker.reply(Kind::Ready, 0, GREETING, &[]);
            worker.serve()
        }
        Err(why) => {
            worker.reply(Kind::Unfit, 0, 0, why.as_bytes());
            sys::exit_now(EX_PROTOCOL)
        }
    }
}

fn give_up(why: &str) -> ! {
    eprintln!("pool: a worker process cannot work: {why}");
    sys::exit_now(EX_PROTOCOL)
}

/// Reads the parent's introduction.
fn meet(socket: UnixStream) -> Result<(Worker, Hello), String> {
    let mut inbox = Inbox::default();
    let mut memory: Option<OwnedFd> = None;
    let hello = loop {
        let (count, fd) = sys::receive_with_fd(&socket, inbox.room()).map_err(|e| e.to_string())?;
        inbox.received(count);
        memory = memory.or(fd);
        match inbox.next().map_err(|e| e.to_string())? {
            Some((header, payload)) if (header.kind, header.value) == (Kind::Hello, GREETING) => {
                break postcard::from_bytes::<Hello>(payload).map_err(|e| e.to_string())?;
            }
            Some(_) => return Err("its parent speaks another version of the protocol".to_owned()),
            None if count == 0 => return Err("its parent hung up before a word".to_owned()),
            None => {}
        }
    };
    if nix::unistd::getppid().as_raw() as u32 != hello.parent {
        // The parent is gone already: nobody to talk to.
        sys::exit_now(0);
    }
    let memory = memory.ok_or("its parent sent no memory to share")?;
    let page = Page::map(&memory).map_err(|error| error.to_string())?;
    Ok((Worker { socket, inbox, page }, hello))
}

impl Worker {
    fn prepare(&self, hello: &Hello) -> Result<(), String> {
        if hello.build != Image::main_program().build() {
            return Err("the worker runs another build of the program than its parent; was \
                        /proc/self/exe of the parent not the program itself (started through \
                        ld.so, an emulator)?"
                .to_owned());
        }
        sys::disregard_interrupts().map_err(|e| format!("setting up its signals: {e}"))?;
        if let Ok(name) = CString::new(hello.name.as_str()) {
            // For `ps` and `top` only.
            let _ = prctl::set_name(&name);
        }
        self.start_watchdog()?;
        panics::install_hook();
        init::set_depth(hello.depth);
        hello.initializer.map_or(Ok(()), initialize)
    }

    fn start_watchdog(&self) -> Result<(), String> {
        let failed = |error| format!("starting its watchdog thread: {error}");
        let socket = self.socket.try_clone().map_err(failed)?;
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).stack_size(64 * 1024);
        thread.spawn(move || watch(&socket)).map(drop).map_err(failed)
    }

    fn serve(mut self) -> ! {
        let mut out = Vec::new();
        loop {
            let count = match sys::receive(&self.socket, self.inbox.room(), true) {
                Ok(Some(count)) if count > 0 => count,
                // The parent hung up.
                Ok(_) => sys::exit_now(0),
                Err(error) => give_up(&format!("receiving from its parent: {error}")),
            };
            self.inbox.received(count);
            while let Some((header, arguments)) =
                self.inbox.next().unwrap_or_else(|why| give_up(&why.to_string()))
            {
                // Before the claim: who sees that reads when the call was started.
                self.page.note_start();
                let kind = match header.kind {
                    Kind::Call if !self.page.claim(header.ticket).claim(header.ticket) => {
                        Kind::Skipped
                    }
                    Kind::Call => call(header.value, arguments, &mut out),
                    Kind::Stop => std::process::exit(0),
                    _ => give_up("its parent sent what only workers send"),
                };
                reply(&self.socket, kind, header.ticket, 0, &out);
                out.clear();
                // One huge result must not stay allocated for ever.
                out.shrink_to(1 << 20);
            }
        }
    }

    fn reply(&self, kind: Kind, ticket: u64, value: u64, payload: &[u8]) {
        reply(&self.socket, kind, ticket, value, payload);
    }
}

fn call(entry: u64, arguments: &[u8], out: &mut Vec<u8>) -> Kind {
    let Some(entry) = ship::entry_at(entry) else {
        out.extend_from_slice(b"there is no such function in the worker");
        return Kind::ArgumentsRefused;
    };
    let kind = entry(arguments, out);
    if out.len() <= MAX_PAYLOAD {
        return kind;
    }
    let text = format!("it takes {} bytes, more than the limit of {MAX_PAYLOAD}", out.len());
    *out = text.into_bytes();
    Kind::ResultRefused
}

fn reply(socket: &UnixStream, kind: Kind, ticket: u64, value: u64, payload: &[u8]) {
    let head = Header::new(kind, ticket, value, payload.len()).to_bytes();
    match sys::send_all(socket, &head, payload) {
        Ok(()) => {}
        // The parent hung up.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => sys::exit_now(0),
        Err(error) => give_up(&format!("sending to its parent: {error}")),
    }
}

fn initialize(entry: u64) -> Result<(), String> {
    let mut out = Vec::new();
    match call(entry, &[], &mut out) {
        Kind::Done => Ok(()),
        Kind::Panicked => {
            let panic: crate::Panic = postcard::from_bytes(&out).map_err(|e| e.to_string())?;
            let place = panic.location.map(|at| format!(" at {at}")).unwrap_or_default();
            Err(format!("its initializer panicked{place}: {}", panic.message))
        }
        _ => Err("its initializer could not be called".to_owned()),
    }
}

fn watch(socket: &UnixStream) {
    loop {
        // Nothing is asked for: POLLHUP comes unasked, when the parent has closed its end.
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
        if sys::poll_until(&mut fds, None).is_err() {
            return;
        }
        if fds[0].any().unwrap_or(false) {
            sys::exit_now(0);
        }
    }
}
