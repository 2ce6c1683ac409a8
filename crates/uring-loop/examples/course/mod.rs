//! What the programs of the course share: the clock they run on, the `println!` they print with,
//! and, in `command_line.rs`, how they are chosen.
//!
//! Every demo is a program by itself, with a `main`. Two things make it one of the course; outside
//! of it they come from elsewhere, and nothing else changes:
//!
//! * `println!` is std's, but it also shows the time on the loop's clock;
//! * [`run`], [`event_loop`] and [`builder`] are [`uring_loop::run`], [`EventLoop::new`] and
//!   [`EventLoop::builder`], on a clock that jumps over the waiting, unless `--real-time` was said;
//!   [`build`] is [`Builder::build`].

#![allow(dead_code, unused_imports, reason = "no chapter, and no test, uses all of it")]

mod command_line;
mod time_of_day;

use std::fmt::Arguments;
use std::future::IntoFuture;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use uring_loop::{Builder, EventLoop, Runner, current_task, time};

pub(crate) use command_line::main;
pub(crate) use time_of_day::time_of_day;

/// A chapter of the course: the demos of one example.
pub(crate) struct Chapter {
    pub(crate) title: &'static str,
    pub(crate) demos: &'static [Demo],
}

/// A program of the course.
pub(crate) struct Demo {
    pub(crate) name: &'static str,
    pub(crate) teaches: &'static str,
    pub(crate) main: fn() -> io::Result<()>,
    pub(crate) serve: Option<Serve>,
}

/// A demo as a server that waits for the reader's own clients.
#[derive(Clone, Copy)]
pub(crate) struct Serve {
    /// Where it listens, unless it is told otherwise.
    pub(crate) address: &'static str,
    pub(crate) run: fn(&str) -> io::Result<()>,
}

impl Demo {
    pub(crate) const fn new(
        name: &'static str,
        main: fn() -> io::Result<()>,
        teaches: &'static str,
    ) -> Self {
        Demo { name, teaches, main, serve: None }
    }

    pub(crate) const fn serving(
        self,
        address: &'static str,
        run: fn(&str) -> io::Result<()>,
    ) -> Self {
        Demo { serve: Some(Serve { address, run }), ..self }
    }
}

/// Runs `future` on a new loop: [`uring_loop::run`] on the clock of the course.
#[track_caller]
pub(crate) fn run<F: IntoFuture>(future: F) -> io::Result<F::Output> {
    Runner::with(event_loop()?).run(future)
}

/// A new loop: [`EventLoop::new`] on the clock of the course.
pub(crate) fn event_loop() -> io::Result<EventLoop> {
    build(builder())
}

/// A new loop with options: [`Builder::build`], and its time is shown.
pub(crate) fn build(builder: Builder) -> io::Result<EventLoop> {
    let event_loop = builder.build()?;
    stage().clock = Some((thread::current().id(), event_loop.now()));
    Ok(event_loop)
}

/// Options of a loop: [`EventLoop::builder`] on the clock of the course.
pub(crate) fn builder() -> Builder {
    match stage().real_time {
        true => EventLoop::builder(),
        false => EventLoop::builder().virtual_clock(),
    }
}

/// Prints a line, as std's does, behind the time that it is on the loop's clock.
macro_rules! println {
    ($($words:tt)*) => { $crate::course::print_line(format_args!($($words)*)) };
}
pub(crate) use println;

pub(crate) fn print_line(words: Arguments<'_>) {
    let now = loop_time();
    let mut stage = stage();
    let time = match now {
        _ if stage.plain => String::new(),
        Some(now) => format!("{:>7.3} s  ", now.as_secs_f64()),
        None => " ".repeat(11),
    };
    let line = format!("{time}{words}");
    match &mut stage.transcript {
        Some(transcript) => transcript.extend([line.trim_end(), "\n"]),
        None => std::println!("{}", line.trim_end()),
    }
}

/// How long the clock of the loop that runs here has been going. `None`: no loop made by [`build`]
/// runs on this thread.
fn loop_time() -> Option<Duration> {
    let (thread, start) = stage().clock?;
    let runs_here = current_task().is_some() && thread == thread::current().id();
    runs_here.then(|| time::now() - start)
}

/// What the demo prints, instead of showing it.
pub(crate) fn transcript(demo: &Demo) -> io::Result<String> {
    stage().transcript = Some(String::new());
    let ended = (demo.main)();
    let transcript = stage().transcript.take().unwrap_or_default();
    ended.map(|()| transcript)
}

/// How the demos are shown. One runs at a time, but it may have threads.
static STAGE: Mutex<Stage> =
    Mutex::new(Stage { real_time: false, plain: false, clock: None, transcript: None });

struct Stage {
    real_time: bool,
    /// Without a column for the time.
    plain: bool,
    /// Where the youngest loop was made, and what time it was there.
    clock: Option<(ThreadId, Instant)>,
    /// What was printed, if it is kept.
    transcript: Option<String>,
}

fn stage() -> MutexGuard<'static, Stage> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}
