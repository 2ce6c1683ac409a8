//! Pipes as connections of protocols, on both rings: each goes in one direction.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use uring_loop::buf::RecvBuf;
use uring_loop::io::{ByteStream, ByteStreamExt};
use uring_loop::pipe::{PipeReader, PipeStream, PipeWriter, pipe};
use uring_loop::protocol::{Protocol, Transport, connect_read_pipe, connect_write_pipe};
use uring_loop::stream::wrap;
use uring_loop::testing::SimConfig;
use uring_loop::time::timeout;
use uring_loop::{EventLoop, Task, yield_now};

use crate::support::{on_sim, poll_once};

/// Longer than anything here takes on a loaded machine.
const GUARD: Duration = Duration::from_secs(20);

/// On a simulated ring; and on the machine's, whose clock does not jump here: a pipe is closed when
/// the kernel comes to it, which may be after the call, and kernels before 6.5 have workers write
/// to pipes. A clock that jumps would wait for neither.
fn on_both<F: Future>(make: impl Fn() -> F) {
    on_sim(SimConfig::seeded(1), |_| make());
    let mut event_loop = EventLoop::new().expect("a ring");
    let limited = async { timeout(GUARD, make()).await };
    event_loop.run_until_complete(limited).expect("not cancelled").expect("it waits for ever");
}

type Calls = Rc<RefCell<Vec<String>>>;

#[derive(Default)]
struct Diary {
    calls: Calls,
    stays: bool,
}

impl Diary {
    fn note(&self, call: impl Into<String>) {
        self.calls.borrow_mut().push(call.into());
    }
}

impl Protocol for Diary {
    fn connection_made(&mut self, _: Transport) {
        self.note("made");
    }

    fn data_received(&mut self, data: RecvBuf) {
        self.note(String::from_utf8_lossy(&data));
    }

    fn eof_received(&mut self) -> bool {
        self.note("eof");
        self.stays
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.note(error.map_or("lost".to_owned(), |error| format!("lost: {:?}", error.kind())));
    }

    fn pause_writing(&mut self) {
        self.note("pause");
    }

    fn resume_writing(&mut self) {
        self.note("resume");
    }
}

async fn calls(task: Task<Diary>) -> Vec<String> {
    task.await.expect("no panic").calls.take()
}

async fn reading(stays: bool) -> (Transport, Task<Diary>, PipeWriter) {
    let (reader, writer) = pipe().expect("room");
    let (transport, task) = connect_read_pipe(Diary { stays, ..Diary::default() }, reader).await;
    (transport, task, writer)
}

async fn writing() -> (Transport, Task<Diary>, PipeReader) {
    let (reader, writer) = pipe().expect("room");
    let (transport, task) = connect_write_pipe(Diary::default(), writer).await;
    (transport, task, reader)
}

#[test]
fn what_is_read_comes_and_then_the_end_whatever_the_protocol_wants() {
    on_both(|| async {
        for stays in [false, true] {
            let (transport, task, mut writer) = reading(stays).await;
            assert!(transport.is_reading() && !transport.can_write_eof());
            writer.write_all("one").await.0.expect("open");
            drop(writer);
            assert_eq!(calls(task).await, ["made", "one", "eof", "lost"]);
        }
    });
}

#[test]
fn what_is_written_to_a_pipe_that_is_read_only_ends_it() {
    on_both(|| async {
        let (transport, task, _writer) = reading(false).await;
        transport.write("where to?");
        assert_eq!(calls(task).await, ["made", "lost: BrokenPipe"]);
    });
}

#[test]
fn a_pipe_that_is_read_can_be_paused_and_closed() {
    on_both(|| async {
        let (reader, mut writer) = pipe().expect("room");
        let diary = Diary::default();
        let calls = diary.calls.clone();
        let (transport, task) = connect_read_pipe(diary, reader).await;
        transport.pause_reading();
        writer.write_all("one").await.0.expect("open");
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(*calls.borrow(), ["made"]);
        transport.resume_reading();
        while calls.borrow().len() < 2 {
            yield_now().await;
        }
        transport.close();
        task.await.expect("no panic");
        assert_eq!(*calls.borrow(), ["made", "one", "lost"]);
        writer.closed().await.expect("nobody reads");
    });
}

#[test]
fn what_is_written_goes_through_and_closing_is_the_end() {
    on_both(|| async {
        for eof in [false, true] {
            let (transport, task, mut reader) = writing().await;
            assert!(transport.can_write_eof() && !transport.is_reading());
            transport.write(vec![7; 200_000]);
            if eof {
                transport.write_eof();
            } else {
                transport.close();
            }
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).await.expect("open");
            assert_eq!(bytes.len(), 200_000);
            let calls = calls(task).await;
            let calls: Vec<_> = calls.iter().map(|call| &call[..]).collect();
            assert_eq!(calls, ["made", "pause", "resume", "lost"]);
        }
    });
}

#[test]
fn a_reader_that_goes_is_told_at_once() {
    on_both(|| async {
        let (transport, task, mut reader) = writing().await;
        transport.write("x");
        assert_eq!(&*reader.recv().await.expect("open"), b"x");
        drop(reader);
        assert_eq!(calls(task).await, ["made", "lost"], "nothing was to be sent");
        assert!(transport.is_closing());
    });
}

#[test]
fn a_reader_that_goes_with_bytes_to_be_sent_is_an_error() {
    on_both(|| async {
        let (transport, task, reader) = writing().await;
        transport.write(vec![7; 200_000]);
        yield_now().await;
        drop(reader);
        assert_eq!(calls(task).await, ["made", "pause", "lost: BrokenPipe"]);
    });
}

#[test]
fn an_aborted_writer_gives_up_what_is_not_sent() {
    on_both(|| async {
        let (transport, task, mut reader) = writing().await;
        transport.write(vec![7; 200_000]);
        yield_now().await;
        transport.abort();
        let calls = calls(task).await;
        assert_eq!(calls.last().map(String::as_str), Some("lost"));
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.expect("an end");
        assert!(bytes.len() < 200_000);
    });
}

#[test]
fn one_pipe_alone_is_a_stream() {
    on_both(|| async {
        let (reader, writer) = pipe().expect("room");
        let (reader, writer) = (PipeStream::read_only(reader), PipeStream::write_only(writer));
        assert!(!reader.can_half_close() && writer.can_half_close());
        assert!(reader.descriptor().is_some() && writer.descriptor().is_none());
        let error = reader.send(b"x".to_vec()).await.expect_err("it only reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        writer.send(b"one\ntwo\n".to_vec()).await.expect("open");
        let mut end = Box::pin(writer.recv());
        assert!(poll_once(&mut end).await.is_pending());
        let (mut lines, _) = wrap(reader);
        assert_eq!(lines.read_line().await.expect("open"), b"one\n");
        writer.write_eof().await.expect("open");
        assert!(end.await.expect("an end").is_empty(), "who waits is told");
        assert!(writer.recv().await.expect("an end").is_empty());
        assert_eq!(lines.read_line().await.expect("open"), b"two\n");
        assert!(lines.read_line().await.expect("the end").is_empty());
    });
}

#[test]
fn a_watch_that_is_given_up_leaves_nothing() {
    on_both(|| async {
        let (mut reader, writer) = pipe().expect("room");
        let writer = PipeStream::write_only(writer);
        assert!(poll_once(&mut Box::pin(writer.recv())).await.is_pending());
        writer.send(b"x".to_vec()).await.expect("open");
        drop(writer);
        assert_eq!(&*reader.recv().await.expect("open"), b"x");
        assert!(reader.recv().await.expect("the end").is_empty());
    });
}
