//! Open files.

use std::fs::Permissions;
use std::io::{self, ErrorKind, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

use uring_loop::fs::{self, File, OpenOptions};
use uring_loop::testing::{SimConfig, opcode};
use uring_loop::{gather, spawn};

use crate::fs_support::{on_both, on_kernel};
use crate::support::{on_sim, on_sim_with, run_limited, small};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[test]
fn bytes_come_back_from_where_they_were_written() {
    on_both(|folder| async move {
        let file = File::create_new(folder.join("x")).await.expect("made");
        let (result, back) = file.write_all_at(pattern(10_000), 100).await;
        result.expect("room");
        assert_eq!(back, pattern(10_000), "the buffer comes back");
        file.write_all_at("start", 0).await.0.expect("room");
        let (result, bytes) = file.read_exact_at(vec![0; 10_000], 100).await;
        result.expect("they are there");
        assert_eq!(bytes, pattern(10_000));
        let (result, bytes) = file.read_exact_at([9; 8], 0).await;
        result.expect("they are there");
        assert_eq!(&bytes, b"start\0\0\0", "a hole is zeroes");
        let (read, _) = file.read_at([0; 8], 20_000).await;
        assert_eq!(read.expect("behind the end"), 0);
        let (read, bytes) = file.read_at(Vec::with_capacity(64), 10_090).await;
        let read = read.expect("near the end");
        assert!((1..=10).contains(&read) && bytes.len() == read, "{read}, {}", bytes.len());
    });
}

#[test]
fn several_buffers_go_in_one_operation() {
    on_both(|folder| async move {
        let file = File::create_new(folder.join("x")).await.expect("made");
        let parts: Vec<Vec<u8>> = (0..50).map(|n| vec![n as u8; n * 7]).collect();
        let whole = parts.concat();
        let (result, back) = file.write_all_vectored_at(parts.clone(), 3).await;
        result.expect("room");
        assert_eq!(back, parts);
        let (result, bytes) = file.read_exact_at(vec![0; whole.len()], 3).await;
        result.expect("they are there");
        assert_eq!(bytes, whole);
        let rooms = vec![vec![0; 1000], Vec::with_capacity(500), vec![0; 10_000]];
        let (read, back) = file.read_vectored_at(rooms, 3).await;
        let read = read.expect("they are there");
        assert!(read > 0 && back.concat()[..read] == whole[..read]);
        let filled: usize = back.iter().map(Vec::len).sum();
        assert_eq!(filled, read, "each says how much of it was filled");
        let (written, _) = file.write_vectored_at(vec!["ab", "", "cd"], 0).await;
        let written = written.expect("room");
        assert!((1..=4).contains(&written));
    });
}

#[test]
fn the_cursor_goes_on_from_where_the_last_call_ended() {
    on_both(|folder| async move {
        let mut file = File::create_new(folder.join("x")).await.expect("made");
        for word in ["one ", "two ", "three"] {
            file.write_all(word).await.0.expect("room");
        }
        assert_eq!(
            (file.position(), file.seek(SeekFrom::Start(4)).await.expect("a place")),
            (13, 4)
        );
        let (result, bytes) = file.read_exact([0; 4]).await;
        result.expect("they are there");
        assert_eq!((&bytes, file.position()), (b"two ", 8));
        assert_eq!(file.seek(SeekFrom::End(-5)).await.expect("a place"), 8);
        assert_eq!(file.read_to_end().await.expect("it is there"), b"three");
        assert_eq!(file.read([0; 4]).await.0.expect("the end"), 0);
        assert_eq!(file.seek(SeekFrom::Current(-13)).await.expect("a place"), 0);
        let mut other = file.clone();
        let (read, _) = other.read([0; 2]).await;
        assert_eq!(read.expect("they are there") as u64, other.position());
        assert_eq!(file.position(), 0, "a clone has a cursor of its own");
        let error = file.seek(SeekFrom::Current(-1)).await.expect_err("before the start");
        assert_eq!((error.kind(), file.position()), (ErrorKind::InvalidInput, 0));
        assert_eq!(file.seek(SeekFrom::End(100)).await.expect("behind the end"), 113);
        file.write(Vec::from("x")).await.0.expect("room");
        assert_eq!(file.metadata().await.expect("open").len(), 114);
    });
}

#[test]
fn what_is_appended_goes_to_the_end_whatever_the_offset() {
    on_both(|folder| async move {
        let path = folder.join("log");
        let mut log = OpenOptions::new();
        log.append(true).create(true);
        let (one, mut two) =
            (log.open(&path).await.expect("made"), log.open(&path).await.expect("there"));
        one.write_all_at("one ", 0).await.0.expect("room");
        two.write_all("two ").await.0.expect("room");
        one.write_all_at("three", 0).await.0.expect("room");
        assert_eq!(fs::read_to_string(&path).await.expect("text"), "one two three");
        let error = one.read_at([0; 4], 0).await.0.expect_err("opened to write");
        assert!(error.to_string().starts_with("reading "), "{error}");
    });
}

#[test]
fn options_that_contradict_each_other_are_refused_before_anything_is_done() {
    on_both(|folder| async move {
        let path = folder.join("x");
        for (name, options) in [
            ("nothing at all", OpenOptions::new()),
            ("create to read", OpenOptions::new().read(true).create(true).clone()),
            ("truncate to read", OpenOptions::new().read(true).truncate(true).clone()),
            ("truncate and append", OpenOptions::new().append(true).truncate(true).clone()),
        ] {
            let error = options.open(&path).await.expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        }
        let zero = OpenOptions::new().read(true).open("a\0b").await.expect_err("a zero byte");
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
        assert!(!fs::exists(&path).await.expect("known"));
    });
}

#[test]
fn errors_say_what_was_tried_with_which_file() {
    on_both(|folder| async move {
        let path = folder.join("none");
        let error = File::open(&path).await.expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = format!("opening {}: No such file or directory (os error 2)", path.display());
        assert_eq!(error.to_string(), text);
        let file = File::create(&path).await.expect("made");
        let (result, buffer) = file.read_at(vec![7; 5], 0).await;
        let error = result.expect_err("opened to write");
        assert!(error.to_string().starts_with(&format!("reading {}: ", path.display())), "{error}");
        assert_eq!(buffer.len(), 5, "the buffer comes back");
        let error = File::create_new(&path).await.expect_err("there");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn an_offset_that_stands_for_something_else_is_refused() {
    on_both(|folder| async move {
        let file = File::create_new(folder.join("x")).await.expect("made");
        file.write_all_at("abc", 0).await.0.expect("room");
        for offset in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let read = file.read_at([0; 2], offset).await.0.map(drop);
            let exact = file.read_exact_at([0; 2], offset).await.0;
            let written = file.write_all_at("x", offset).await.0;
            let vectored = file.write_vectored_at(vec!["x"], offset).await.0.map(drop);
            for result in [read, exact, written, vectored] {
                assert_eq!(result.expect_err("no offset").kind(), ErrorKind::InvalidInput);
            }
        }
        let none = file.read_at(Vec::new(), 0).await.0.expect_err("no room");
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
        file.read_exact_at(Vec::new(), 0).await.0.expect("nothing is all of nothing");
    });
}

#[test]
fn a_file_that_ends_early_gives_what_it_had() {
    on_both(|folder| async move {
        let mut file = File::create_new(folder.join("x")).await.expect("made");
        file.write_all_at("abc", 0).await.0.expect("room");
        let (result, bytes) = file.read_exact(Vec::with_capacity(10)).await;
        let error = result.expect_err("too short");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("7 bytes early"), "{error}");
        assert_eq!((bytes.as_slice(), file.position()), (&b"abc"[..], 0));
    });
}

#[test]
fn a_files_length_is_changed_and_told() {
    on_both(|folder| async move {
        let path = folder.join("x");
        let file = File::create_new(&path).await.expect("made");
        file.write_all_at("0123456789", 0).await.0.expect("room");
        file.set_len(4).await.expect("cut");
        assert_eq!(fs::read(&path).await.expect("there"), b"0123");
        file.set_len(6).await.expect("filled");
        assert_eq!(fs::read(&path).await.expect("there"), b"0123\0\0");
        file.allocate(4, 100).await.expect("room");
        file.sync_all().await.expect("a disk");
        file.sync_data().await.expect("a disk");
        let metadata = file.metadata().await.expect("open");
        assert_eq!(metadata.len(), 104);
        assert!(metadata.is_file() && !metadata.is_dir() && metadata.nlink() == 1);
        assert_eq!(metadata.ino(), fs::metadata(&path).await.expect("there").ino());
        file.set_permissions(Permissions::from_mode(0o640)).await.expect("ours");
        let mode = file.metadata().await.expect("open").permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        let error = file.allocate(0, 0).await.expect_err("no length");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let reader = File::open(&path).await.expect("there");
        reader.set_len(0).await.expect_err("opened to read");
        file.close().await.expect("nothing was lost");
    });
}

#[test]
fn a_kernel_without_truncation_has_it_done_by_other_means() {
    let lacking = small().without(&[opcode::FTRUNCATE]);
    on_sim_with(lacking, SimConfig::seeded(1), |sim| async move {
        let file = File::create("/x").await.expect("made");
        file.write_all_at("0123", 0).await.0.expect("room");
        file.set_len(2).await.expect("cut");
        assert_eq!(sim.named_file_bytes("/x").expect("there"), b"01");
    });
}

#[test]
fn what_the_kernel_says_of_a_file_is_what_std_says() {
    use std::os::unix::fs::MetadataExt;
    on_kernel(|folder| async move {
        let path = folder.join("x");
        std::fs::write(&path, pattern(5000)).expect("room");
        let (ours, stds) =
            (fs::metadata(&path).await.expect("there"), path.metadata().expect("there"));
        assert_eq!(ours.len(), stds.len());
        assert_eq!((ours.mode(), ours.uid(), ours.gid()), (stds.mode(), stds.uid(), stds.gid()));
        assert_eq!((ours.dev(), ours.ino(), ours.nlink()), (stds.dev(), stds.ino(), stds.nlink()));
        assert_eq!((ours.blocks(), ours.blksize()), (stds.blocks(), stds.blksize()));
        assert_eq!(ours.modified(), stds.modified().expect("kept"));
        assert_eq!(ours.accessed(), stds.accessed().expect("kept"));
        assert_eq!(ours.created(), stds.created().ok());
        let null = fs::metadata("/dev/null").await.expect("there");
        assert_eq!(null.rdev(), std::fs::metadata("/dev/null").expect("there").rdev());
        assert!(null.file_type().is_char_device());
    });
}

#[test]
fn a_file_goes_to_std_and_back_with_its_cursor() {
    on_kernel(|folder| async move {
        use io::{Read as _, Seek as _, Write as _};
        let path = folder.join("x");
        let mut file = File::create_new(&path).await.expect("made");
        file.write_all("0123456789").await.0.expect("room");
        file.seek(SeekFrom::Start(3)).await.expect("a place");
        let mut plain = file.into_std().expect("a descriptor");
        let mut two = [0; 2];
        plain.read_exact(&mut two).expect("they are there");
        assert_eq!(&two, b"34");
        plain.write_all(b"XY").expect("room");
        let mut file = File::from_std(plain);
        let (result, rest) = file.read_exact([0; 3]).await;
        result.expect("they are there");
        assert_eq!((&rest, file.position()), (b"789", 10));
        let mut plain = file.into_std().expect("a descriptor");
        assert_eq!(plain.stream_position().expect("a file"), 10);
    });
    on_sim(SimConfig::seeded(1), |_| async {
        let file = File::create("/x").await.expect("made");
        let error = file.into_std().expect_err("there is no such file");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn many_operations_go_at_once_on_one_handle() {
    on_both(|folder| async move {
        let file = Rc::new(File::create_new(folder.join("x")).await.expect("made"));
        let writes = (0..100_u64).map(|n| {
            let file = file.clone();
            spawn(async move { file.write_all_at(vec![n as u8; 100], n * 100).await.0 })
        });
        for written in gather(writes).await.expect("no panic") {
            written.expect("room");
        }
        let reads = (0..100_u64).map(|n| {
            let file = file.clone();
            spawn(async move {
                let (result, bytes) = file.read_exact_at([0; 100], n * 100).await;
                result.expect("they are there");
                assert_eq!(bytes, [n as u8; 100]);
            })
        });
        gather(reads).await.expect("no panic");
    });
}

#[test]
fn a_closed_handle_leaves_others_of_the_same_file_open() {
    on_both(|folder| async move {
        let one = File::create_new(folder.join("x")).await.expect("made");
        let two = one.clone();
        one.close().await.expect("it is not the last");
        two.write_all_at("still open", 0).await.0.expect("open");
        two.close().await.expect("nothing was lost");
    });
}

#[test]
fn a_close_reports_what_the_disk_says() {
    on_sim(SimConfig::seeded(1), |sim| async move {
        let file = File::create("/x").await.expect("made");
        sim.next(opcode::CLOSE, uring_loop::testing::Fault::Fail(28));
        let error = file.close().await.expect_err("scripted");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(error.to_string(), "closing /x: No space left on device (os error 28)");
    });
}

#[test]
fn files_of_the_kernel_that_tell_no_length_are_read_to_their_end() {
    run_limited(async {
        let status = fs::read_to_string("/proc/self/status").await.expect("text");
        assert!(status.contains("VmRSS") && status.ends_with('\n'), "{status}");
        let null = fs::read("/dev/null").await.expect("nothing");
        assert!(null.is_empty());
    });
}
