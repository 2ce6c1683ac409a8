//! Files in blocks: one ahead when they are read, one behind when they are written.

use std::cell::RefCell;
use std::io::{ErrorKind, SeekFrom};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use proptest::prelude::*;
use uring_loop::fs::{self, BufReader, BufWriter, File};
use uring_loop::testing::{Event, Fault, SimConfig, opcode};
use uring_loop::time::sleep;
use uring_loop::{EventLoop, ReportKind};

use crate::fs_support::on_both;
use crate::support::{on_sim, on_sim_with, poll_once, small};

const EIO: i32 = 5;

/// How many operations of this kind were begun.
fn submitted(events: &[Event], wanted: u8) -> usize {
    let is = |event: &&Event| matches!(event, Event::Submitted { opcode, .. } if *opcode == wanted);
    events.iter().filter(is).count()
}

#[test]
fn lines_of_any_length_are_read_through_blocks_of_any_size() {
    on_both(|folder| async move {
        let path = folder.join("x");
        let lines: Vec<String> = (0..60).map(|n| "é".repeat(n * 7 % 50)).collect();
        fs::write(&path, lines.join("\n")).await.expect("room");
        for size in [1, 2, 7, 64, 100_000] {
            let file = File::open(&path).await.expect("there");
            let mut reader = BufReader::with_capacity(size, file);
            for line in &lines {
                assert_eq!(reader.next_line().await.expect("text").as_ref(), Some(line), "{size}");
            }
            assert_eq!(reader.next_line().await.expect("the end"), None);
            assert_eq!(reader.next_line().await.expect("the end stays"), None);
        }
        let reader = BufReader::new(File::open(&path).await.expect("there"));
        let seen: Vec<String> = reader.lines().map(|line| line.expect("text")).collect().await;
        assert_eq!(seen, lines);
    });
}

#[test]
fn bytes_are_read_in_pieces_and_up_to_a_mark() {
    on_both(|folder| async move {
        let path = folder.join("x");
        fs::write(&path, "one,two,three").await.expect("room");
        let mut reader = BufReader::with_capacity(5, File::open(&path).await.expect("there"));
        let mut bytes = Vec::new();
        assert_eq!(reader.read_until(b',', &mut bytes).await.expect("there"), 4);
        assert_eq!(reader.read_until(b',', &mut bytes).await.expect("there"), 4);
        assert_eq!((bytes.as_slice(), reader.position()), (&b"one,two,"[..], 8));
        let shown = reader.fill_buf().await.expect("there").to_vec();
        assert!(b"three".starts_with(&shown) && !shown.is_empty());
        reader.consume(1);
        let (read, two) = reader.read([0; 2]).await;
        let read = read.expect("there");
        assert_eq!(two[..read], b"hr"[..read]);
        assert_eq!(reader.seek(SeekFrom::Current(-(read as i64))).await.expect("a place"), 9);
        let mut file = reader.into_inner();
        assert_eq!(file.position(), 9, "the cursor is at what was not taken");
        assert_eq!(file.read_to_end().await.expect("there"), b"hree");
        let mut reader = BufReader::new(file);
        assert_eq!(reader.fill_buf().await.expect("the end"), b"");
        reader.seek(SeekFrom::End(-2)).await.expect("a place");
        assert_eq!(reader.fill_buf().await.expect("there"), b"ee");
    });
}

#[test]
fn the_next_block_is_read_before_it_is_asked_for() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        sim.create_named_file("/x", vec![1; 3000]);
        let mut reader = BufReader::with_capacity(1000, File::open("/x").await.expect("there"));
        let reads = || submitted(&sim.log(), opcode::READ);
        assert_eq!(reader.fill_buf().await.expect("there").len(), 1000);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(reads(), 2, "one is here, one is on its way");
        reader.consume(999);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(reads(), 2, "no more than one ahead");
    });
}

#[test]
fn a_line_that_is_waited_for_in_vain_is_there_for_the_next_call() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        sim.create_named_file("/x", "a line of some length\nand one more\n");
        let mut reader = BufReader::with_capacity(4, File::open("/x").await.expect("there"));
        let mut lines = Vec::new();
        // Each wait is dropped after one poll, and the loop goes round once.
        loop {
            match poll_once(&mut Box::pin(reader.next_line())).await {
                Poll::Ready(Ok(Some(line))) => lines.push(line),
                Poll::Ready(Ok(None)) => break,
                Poll::Ready(Err(error)) => panic!("{error}"),
                Poll::Pending => sleep(Duration::from_millis(1)).await,
            }
        }
        assert_eq!(lines, ["a line of some length", "and one more"]);
    });
}

#[test]
fn what_is_no_text_or_cannot_be_read_is_told_and_passed_over() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        sim.create_named_file("/x", b"good\nb\xffd\nagain\n".to_vec());
        let mut reader = BufReader::new(File::open("/x").await.expect("there"));
        sim.next(opcode::READ, Fault::Fail(EIO));
        let error = reader.next_line().await.expect_err("scripted");
        assert!(error.to_string().starts_with("reading"), "{error}");
        assert_eq!(reader.next_line().await.expect("text").as_deref(), Some("good"));
        let error = reader.next_line().await.expect_err("no text");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().starts_with("reading a line of /x: "), "{error}");
        assert_eq!(reader.next_line().await.expect("text").as_deref(), Some("again"));
        assert_eq!(reader.next_line().await.expect("the end"), None);
    });
}

#[test]
fn small_writes_become_blocks() {
    let (writes, _) = on_sim_with(small(), SimConfig::seeded(1), |sim| async move {
        let file = File::create("/x").await.expect("made");
        let mut writer = BufWriter::with_capacity(100, file);
        for n in 0..50_u8 {
            writer.write([n; 10]).await.expect("room");
        }
        writer.flush().await.expect("room");
        let expected: Vec<u8> = (0..50).flat_map(|n| [n; 10]).collect();
        assert_eq!(sim.named_file_bytes("/x").expect("there"), expected);
        submitted(&sim.log(), opcode::WRITE)
    });
    assert_eq!(writes, 5);
}

#[test]
fn what_the_disk_refused_is_written_by_the_next_flush() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let mut writer = BufWriter::with_capacity(10, File::create("/x").await.expect("made"));
        sim.next(opcode::WRITE, Fault::Short(3));
        sim.next(opcode::WRITE, Fault::Fail(28));
        writer.write("0123456789").await.expect("collected");
        writer.write("abcdef").await.expect("handed over");
        let error = writer.flush().await.expect_err("scripted");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(sim.named_file_bytes("/x").expect("there"), b"012");
        writer.write("ghi").await.expect("collected");
        let file = writer.into_inner().await.expect("room again");
        assert_eq!(sim.named_file_bytes("/x").expect("there"), b"0123456789abcdefghi");
        assert_eq!(file.position(), 19);
    });
}

#[test]
fn a_writer_that_goes_unflushed_is_reported_in_debug_mode() {
    for (debug, flushed, reports) in [(true, false, 1), (true, true, 0), (false, false, 0)] {
        let folder = tempfile::tempdir().expect("a place for temporary files");
        let mut event_loop = EventLoop::builder().debug(debug).build().expect("a ring");
        let seen = Rc::new(RefCell::new(Vec::new()));
        let kept = seen.clone();
        event_loop.set_exception_handler(move |report| {
            kept.borrow_mut().push((report.kind, report.message.clone()));
        });
        event_loop
            .run_until_complete(async {
                let file = File::create(folder.path().join("x")).await.expect("made");
                let mut writer = BufWriter::new(file);
                writer.write("a few bytes").await.expect("collected");
                if flushed {
                    writer.flush().await.expect("room");
                }
            })
            .expect("not cancelled");
        let unflushed: Vec<_> =
            seen.take().into_iter().filter(|(kind, _)| *kind == ReportKind::Unflushed).collect();
        assert_eq!(unflushed.len(), reports, "{unflushed:?}");
        assert!(unflushed.iter().all(|(_, message)| message.ends_with("/x")), "{unflushed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_in_pieces_is_read_in_lines(
        lines in prop::collection::vec("[a-z]{0,40}", 0..60),
        (write_size, read_size) in (1..200_usize, 1..200_usize),
        drop_after in 2..6_usize,
        seed in 0..1000_u64,
    ) {
        on_sim(SimConfig::chaos(seed), |_| async {
            let file = File::create("/x").await.expect("made");
            let mut writer = BufWriter::with_capacity(write_size, file);
            let mut tries = 0;
            for line in &lines {
                let line = format!("{line}\n");
                // A write that is dropped before it is ready has taken nothing.
                loop {
                    tries += 1;
                    let mut write = Box::pin(writer.write(&line));
                    let waits = tries % drop_after != 0;
                    match poll_once(&mut write).await {
                        Poll::Ready(written) => break written.expect("room"),
                        Poll::Pending if waits => break write.await.expect("room"),
                        Poll::Pending => {}
                    }
                }
            }
            writer.flush().await.expect("room");
            let file = File::open("/x").await.expect("there");
            let mut reader = BufReader::with_capacity(read_size, file);
            for line in &lines {
                assert_eq!(reader.next_line().await.expect("text").as_ref(), Some(line));
            }
            assert_eq!(reader.next_line().await.expect("the end"), None);
        });
    }
}
