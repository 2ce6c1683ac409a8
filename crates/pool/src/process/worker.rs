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

use std::cell::Cell;
use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, OnceLock};

use nix::poll::{PollFd, PollFlags};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::image::Image;
use super::init;
use super::line::{self, Line};
use super::page::Page;
use super::shared::{self, Memory};
use super::ship::{self, Desk};
use super::spawn::Hello;
use super::sys::{self, Arrived};
use super::wire::{self, GREETING, Header, Inbox, Kind, MAX_PAYLOAD, TIMED};
use crate::error::Panic;
use crate::panics;

/// Exit code of a worker that cannot talk with its parent (`EX_PROTOCOL` of sysexits.h).
const EX_PROTOCOL: i32 = 76;

struct Worker {
    line: Line,
    /// For `ps`, while no job runs.
    name: String,
    /// The name of a job is shown.
    named: bool,
}

/// The page of this process, for the panic hook.
static PAGE: OnceLock<Page> = OnceLock::new();

/// The call that runs, as its entry sees it.
struct Call<'a> {
    socket: &'a UnixStream,
    page: &'a Page,
    ticket: u64,
    /// Items have a limit of time each.
    timed: bool,
    /// Results of items have been sent.
    partial: Cell<bool>,
}

impl Call<'_> {
    fn new(line: &Line, ticket: u64, timed: bool) -> Call<'_> {
        let Line { socket, page, .. } = line;
        Call { socket, page, ticket, timed, partial: Cell::new(false) }
    }
}

impl Desk for Call<'_> {
    fn begin(&self, item: u64) {
        if self.timed {
            self.page.note_start();
        }
        // A panic that an earlier item survived.
        self.page.forget_words();
        self.page.note_begun(item + 1);
    }

    fn done(&self, item: u64, out: &mut Vec<u8>, record: usize) {
        // Buffers on the shelf would be lost with this process.
        let buffers = shared::is_sending_some() && !mutant!("buffers-on-the-shelf");
        if buffers || !self.page.shelve(&out[record..]) {
            let memory = shared::take_sending();
            line::send(self.socket, Kind::Partial, self.ticket, item + 1, &out[8..], &memory);
            self.partial.set(true);
            out.truncate(8);
            // Only now: what is on neither the shelf nor the way would be lost.
            self.page.clear_shelf(item + 1);
        }
    }
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
            worker.say(Kind::Ready, GREETING, &[]);
            worker.serve()
        }
        Err(why) => {
            worker.say(Kind::Unfit, 0, why.as_bytes());
            sys::exit_now(EX_PROTOCOL)
        }
    }
}

pub(super) fn give_up(why: &str) -> ! {
    eprintln!("pool: a worker process cannot work: {why}");
    sys::exit_now(EX_PROTOCOL)
}

/// Reads the parent's introduction.
fn meet(socket: UnixStream) -> Result<(Worker, Hello), String> {
    let mut inbox = Inbox::default();
    let mut arrived = Arrived::new();
    let hello = loop {
        let count = sys::receive(&socket, inbox.room(), &mut arrived, true);
        let count = count.map_err(|e| e.to_string())?.unwrap_or(0);
        inbox.received(count);
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
    let memory = arrived.fds.pop_front().ok_or("its parent sent no memory to share")?;
    let page = Page::map(&memory).map_err(|error| error.to_string())?;
    let page = PAGE.get_or_init(|| page);
    let line = Line::new(socket, page, inbox, arrived);
    Ok((Worker { line, name: hello.name.clone(), named: false }, hello))
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
        // Before any thread is started: they inherit the cores.
        hello.limits.apply()?;
        show(self.name.as_bytes());
        self.start_watchdog()?;
        panics::install_hook();
        panics::keep_last_words(keep_last_words);
        if hello.backtraces {
            panics::carry_backtraces();
        }
        init::set_depth(hello.depth);
        hello.initializer.map_or(Ok(()), |entry| self.initialize(entry))
    }

    fn start_watchdog(&self) -> Result<(), String> {
        let failed = |error| format!("starting its watchdog thread: {error}");
        // Not to be dropped: if a job has closed it, that would be an abort.
        let socket = ManuallyDrop::new(self.line.socket.try_clone().map_err(failed)?);
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).stack_size(64 * 1024);
        thread.spawn(move || watch(&socket)).map(drop).map_err(failed)
    }

    fn serve(mut self) -> ! {
        let mut out = Vec::new();
        loop {
            let (header, fds) = self.line.fetch();
            match header.kind {
                Kind::Call => {}
                Kind::Name => {
                    show(self.line.payload());
                    self.named = true;
                    continue;
                }
                Kind::Stop => std::process::exit(0),
                _ => give_up("its parent sent what only workers send"),
            }
            let Answered { kind, memory, partial } =
                take_and_run(&self.line, header, fds, &mut out);
            if std::mem::take(&mut self.named) {
                show(self.name.as_bytes());
            }
            self.line.answer((kind, header.ticket), &out, &memory, partial);
            out.clear();
            // One huge result must not stay allocated for ever.
            out.shrink_to(1 << 20);
        }
    }

    fn initialize(&self, entry: u64) -> Result<(), String> {
        let mut out = Vec::new();
        let desk = Call::new(&self.line, 0, false);
        match call(entry, &[], &mut out, &desk) {
            Kind::Done => Ok(()),
            Kind::Panicked => {
                let panic: Panic = postcard::from_bytes(&out).map_err(|e| e.to_string())?;
                let place = panic.location.map(|at| format!(" at {at}")).unwrap_or_default();
                Err(format!("its initializer panicked{place}: {}", panic.message))
            }
            _ => Err("its initializer could not be called".to_owned()),
        }
    }

    /// How its start went.
    fn say(&self, kind: Kind, value: u64, payload: &[u8]) {
        line::send(&self.line.socket, kind, 0, value, payload, &[]);
    }
}

/// What goes with the bytes of an answer.
struct Answered {
    kind: Kind,
    memory: Vec<Arc<Memory>>,
    /// Results of items have been sent.
    partial: bool,
}

impl Answered {
    fn refusal(kind: Kind) -> Answered {
        Answered { kind, memory: Vec::new(), partial: false }
    }
}

/// Runs the call fetched last, unless it was taken back.
fn take_and_run(line: &Line, header: Header, fds: Vec<OwnedFd>, out: &mut Vec<u8>) -> Answered {
    if !line.page.begin_call(header.ticket) {
        return Answered::refusal(Kind::Skipped);
    }
    let timed = header.value & TIMED != 0;
    let desk = Call::new(line, header.ticket, timed);
    let run = || shared::sending(|| call(header.value & !TIMED, line.payload(), out, &desk));
    match shared::received(fds, run) {
        Ok((kind, memory)) => Answered { kind, memory, partial: desk.partial.get() },
        Err(error) => {
            out.extend_from_slice(format!("taking its shared buffers failed: {error}").as_bytes());
            Answered::refusal(Kind::ArgumentsRefused)
        }
    }
}

fn call(entry: u64, arguments: &[u8], out: &mut Vec<u8>, desk: &dyn Desk) -> Kind {
    let Some(entry) = ship::entry_at(entry) else {
        out.extend_from_slice(b"there is no such function in the worker");
        return Kind::ArgumentsRefused;
    };
    let kind = entry(arguments, out, desk);
    if out.len() <= MAX_PAYLOAD {
        return kind;
    }
    *out = wire::too_large(out.len()).into_bytes();
    Kind::ResultRefused
}

/// Shows a name in `/proc/PID/comm`, for `ps` and `top` only.
fn show(name: &[u8]) {
    if let Ok(name) = CString::new(name) {
        let _ = prctl::set_name(&name);
    }
}

/// Called by the panic hook: the process may not survive. What does not fit is left out.
fn keep_last_words(panic: &Panic) {
    static BUSY: Mutex<()> = Mutex::new(());
    let Some(page) = PAGE.get() else { return };
    // One thread at a time writes there; a second panic at the same moment goes unheard.
    let Ok(_busy) = BUSY.try_lock() else { return };
    let cut = |text: &str, most: usize| -> String {
        text.chars()
            .scan(0, |bytes, c| {
                *bytes += c.len_utf8();
                (*bytes <= most).then_some(c)
            })
            .collect()
    };
    let panic = Panic {
        task: String::new(),
        message: cut(&panic.message, 2048),
        location: panic.location.as_ref().map(|text| cut(text, 1024)),
        backtrace: panic.backtrace.as_ref().map(|text| cut(text, 11 * 1024)),
    };
    if let Ok(words) = postcard::to_stdvec(&panic) {
        page.keep_words(&words);
    }
}

fn watch(socket: &UnixStream) {
    loop {
        // Nothing is asked for: POLLHUP comes unasked, when the parent has closed its end.
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
        if sys::poll_until(&mut fds, None).is_err() {
            return;
        }
        let events = fds[0].revents().unwrap_or(PollFlags::POLLHUP);
        if events.contains(PollFlags::POLLNVAL) {
            // A job has closed it. The worker's main thread sees to that (`Line::rest`).
            return;
        }
        if !events.is_empty() {
            sys::exit_now(0);
        }
    }
}
