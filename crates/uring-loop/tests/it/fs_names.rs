//! Files by name: directories, links, looking through them, copying.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use uring_loop::fs::{self, File};
use uring_loop::{gather, spawn};

use crate::fs_support::{names, on_both, on_kernel};
use crate::support::poll_once;

#[test]
fn directories_are_made_renamed_and_removed() {
    on_both(|folder| async move {
        let at = |name: &str| folder.join(name);
        fs::create_dir_all(at("a/b/c")).await.expect("made");
        fs::create_dir_all(at("a/b/c")).await.expect("there already");
        let error = fs::create_dir(at("a")).await.expect_err("there");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().starts_with("making the directory "), "{error}");
        fs::write(at("a/file"), "text").await.expect("room");
        let error = fs::create_dir_all(at("a/file/d")).await.expect_err("in the way");
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        let error = fs::create_dir_all(at("a/file")).await.expect_err("in the way");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        fs::rename(at("a/b"), at("a/z")).await.expect("moved");
        fs::rename(at("a/file"), at("a/z/file")).await.expect("moved");
        assert_eq!(names(&at("a")).await, ["z"]);
        assert_eq!(names(&at("a/z")).await, ["c", "file"]);
        let error = fs::remove_dir(at("a/z")).await.expect_err("not empty");
        assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
        fs::remove_file(at("a/z/file")).await.expect("removed");
        fs::remove_dir(at("a/z/c")).await.expect("removed");
        fs::remove_dir_all(at("a")).await.expect("removed");
        assert!(!fs::exists(at("a")).await.expect("known"));
        let error = fs::rename(at("a"), at("b")).await.expect_err("gone");
        let text = format!("renaming {} to {}: ", at("a").display(), at("b").display());
        assert!(error.to_string().starts_with(&text), "{error}");
    });
}

#[test]
fn a_directory_can_be_made_by_many_at_once() {
    on_both(|folder| async move {
        let path = folder.join("a/b/c/d/e");
        let makers = (0..10).map(|_| {
            let path = path.clone();
            spawn(async move { fs::create_dir_all(path).await })
        });
        for made in gather(makers).await.expect("no panic") {
            made.expect("made by one of them");
        }
        assert!(fs::metadata(path).await.expect("there").is_dir());
    });
}

#[test]
fn links_are_made_read_and_seen_through() {
    on_both(|folder| async move {
        let at = |name: &str| folder.join(name);
        fs::write(at("file"), "text").await.expect("room");
        fs::hard_link(at("file"), at("hard")).await.expect("linked");
        fs::symlink("file", at("soft")).await.expect("linked");
        fs::symlink(at("none"), at("broken")).await.expect("linked");
        assert_eq!(fs::metadata(at("hard")).await.expect("there").nlink(), 2);
        assert_eq!(fs::read(at("soft")).await.expect("seen through"), b"text");
        assert_eq!(fs::read_link(at("soft")).await.expect("a link"), Path::new("file"));
        let error = fs::read_link(at("file")).await.expect_err("no link");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(fs::symlink_metadata(at("soft")).await.expect("there").is_symlink());
        assert!(fs::metadata(at("soft")).await.expect("there").is_file());
        assert!(!fs::exists(at("broken")).await.expect("known"));
        assert!(!fs::exists(at("file/x")).await.expect("known"));
        let whole = fs::canonicalize(at("../folder-of-nothing/.."));
        assert_eq!(whole.await.expect_err("not there").kind(), ErrorKind::NotFound);
        let real = fs::canonicalize(&folder).await.expect("there");
        assert_eq!(fs::canonicalize(at("./soft")).await.expect("there"), real.join("file"));
        fs::set_permissions(at("soft"), Permissions::from_mode(0o600)).await.expect("ours");
        let metadata = fs::metadata(at("file")).await.expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn a_large_directory_is_looked_through_to_its_end() {
    on_both(|folder| async move {
        for n in 0..600 {
            fs::write(folder.join(format!("{n:03}")), "").await.expect("room");
        }
        fs::create_dir(folder.join("folder")).await.expect("made");
        let mut entries = fs::read_dir(&folder).await.expect("there");
        let mut seen = BTreeSet::new();
        while let Some(entry) = entries.next().await {
            let entry = entry.expect("read");
            let kind = entry.file_type().await.expect("known");
            assert_eq!(kind.is_dir(), entry.file_name() == "folder");
            assert_eq!(entry.path(), folder.join(entry.file_name()));
            assert_eq!(entry.metadata().await.expect("there").ino(), entry.ino());
            assert!(seen.insert(entry.file_name().to_owned()), "told twice");
        }
        assert_eq!(seen.len(), 601);
        assert!(entries.next().await.is_none(), "the end stays the end");
        let stream = fs::read_dir(&folder).await.expect("there");
        assert_eq!(stream.count().await, 601);
        let error = fs::read_dir(folder.join("none")).await.expect_err("not there");
        assert!(error.to_string().starts_with("looking through "), "{error}");
    });
}

#[test]
fn a_dropped_wait_for_an_entry_loses_none() {
    on_kernel(|folder| async move {
        for n in 0..600 {
            std::fs::write(folder.join(format!("{n:03}")), "").expect("room");
        }
        let mut entries = fs::read_dir(&folder).await.expect("there");
        let mut count = 0;
        loop {
            // Asked once and dropped; then asked to the end.
            let polled = poll_once(&mut Box::pin(entries.next())).await;
            let entry = match polled {
                std::task::Poll::Ready(entry) => entry,
                std::task::Poll::Pending => entries.next().await,
            };
            match entry {
                Some(entry) => drop(entry.expect("read")),
                None => break,
            }
            count += 1;
        }
        assert_eq!(count, 600);
    });
}

#[test]
fn a_walk_goes_deep_first_and_follows_no_link() {
    on_both(|folder| async move {
        for path in ["a/b/c", "a/d", "e"] {
            fs::create_dir_all(folder.join(path)).await.expect("made");
        }
        fs::write(folder.join("a/b/file"), "x").await.expect("room");
        fs::symlink(&folder, folder.join("a/loop")).await.expect("linked");
        let mut walk = fs::walk(&folder);
        let mut seen: Vec<(PathBuf, usize)> = Vec::new();
        while let Some(entry) = walk.next().await {
            let entry = entry.expect("read");
            let path = entry.path().strip_prefix(&folder).expect("below").to_owned();
            assert_eq!(entry.file_type().is_symlink(), path == Path::new("a/loop"));
            seen.push((path, entry.depth()));
        }
        let place = |path: &str| {
            seen.iter().position(|(seen, _)| seen == Path::new(path)).expect("it was told")
        };
        for (before, after) in [("a", "a/b"), ("a/b", "a/b/c"), ("a/b", "a/b/file"), ("a", "a/d")] {
            assert!(place(before) < place(after), "{before} comes before {after}: {seen:?}");
        }
        // Deep first: all below `a` before or after `e`.
        let (first, last) = (place("a"), place("e"));
        let inside = seen.iter().filter(|(path, _)| path.starts_with("a")).count();
        assert!(last < first || last >= first + inside, "{seen:?}");
        assert!(seen.iter().all(|(path, depth)| path.components().count() == *depth));
        assert_eq!(seen.len(), 7);

        let (mut walk, mut count) = (fs::walk(&folder), 0);
        while let Some(entry) = walk.next().await {
            if entry.expect("read").file_type().is_dir() {
                walk.skip();
            }
            count += 1;
        }
        assert_eq!(count, 2, "only what is in the folder itself");
        let mut none = fs::walk(folder.join("none"));
        assert_eq!(none.next().await.expect("told").expect_err("gone").kind(), ErrorKind::NotFound);
        assert!(none.next().await.is_none());
    });
}

#[test]
fn a_copy_has_the_bytes_and_the_permissions() {
    on_both(|folder| async move {
        let at = |name: &str| folder.join(name);
        for length in [0, 1, 4096, 300_000] {
            let bytes: Vec<u8> = (0..length).map(|n: usize| (n % 253) as u8).collect();
            fs::write(at("from"), bytes.clone()).await.expect("room");
            fs::set_permissions(at("from"), Permissions::from_mode(0o751)).await.expect("ours");
            // The copy was longer before.
            fs::write(at("to"), vec![1; length + 5000]).await.expect("room");
            assert_eq!(fs::copy(at("from"), at("to")).await.expect("copied"), length as u64);
            assert_eq!(fs::read(at("to")).await.expect("there"), bytes);
            let mode = fs::metadata(at("to")).await.expect("there").mode();
            assert_eq!(mode & 0o7777, 0o751);
            assert_eq!(fs::copy(at("from"), at("new")).await.expect("copied"), length as u64);
            let mode = fs::metadata(at("new")).await.expect("there").mode();
            assert_eq!(mode & 0o7777, 0o751);
            fs::remove_file(at("new")).await.expect("there");
        }
        let error = fs::copy(at("from"), at("from")).await.expect_err("the same");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(fs::read(at("from")).await.expect("there").len(), 300_000, "it is whole");
        let error = fs::copy(&folder, at("to")).await.expect_err("a directory");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("copying "), "{error}");
        let error = fs::copy(at("none"), at("to")).await.expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(fs::read(at("to")).await.expect("there").len(), 300_000, "untouched");
    });
}

#[test]
fn large_files_and_those_of_other_file_systems_are_copied() {
    on_kernel(|folder| async move {
        let bytes: Vec<u8> = (0..40_000_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(folder.join("from"), &bytes).expect("room");
        let copied = fs::copy(folder.join("from"), folder.join("to")).await.expect("copied");
        assert_eq!(copied, 40_000_000);
        assert!(std::fs::read(folder.join("to")).expect("there") == bytes);
        // One that tells no length, on a file system that the kernel does not copy from.
        let copied = fs::copy("/proc/self/status", folder.join("status")).await.expect("copied");
        let status = std::fs::read_to_string(folder.join("status")).expect("text");
        assert!(copied == status.len() as u64 && status.contains("VmRSS"));
        if let Ok(shm) = tempfile::tempdir_in("/dev/shm") {
            let path = shm.path().join("copy");
            assert_eq!(fs::copy(folder.join("from"), &path).await.expect("copied"), 40_000_000);
            assert!(std::fs::read(&path).expect("there") == bytes);
        }
        assert_eq!(fs::copy(folder.join("status"), "/dev/null").await.expect("copied"), copied);
    });
}

#[test]
fn a_pipe_is_copied_to_and_not_from() {
    on_kernel(|folder| async move {
        let (pipe, file) = (folder.join("pipe"), folder.join("file"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("room");
        // Nobody writes to it: an open that waits for somebody would wait for ever.
        let error = fs::copy(&pipe, &file).await.expect_err("no regular file");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        fs::write(&file, "bytes").await.expect("room");
        let reader = uring_loop::spawn({
            let pipe = pipe.clone();
            async move { fs::read(pipe).await }
        });
        assert_eq!(fs::copy(&file, &pipe).await.expect("copied"), 5);
        assert_eq!(reader.await.expect("no panic").expect("read"), b"bytes");
    });
}

#[test]
fn a_file_that_is_removed_lives_on_for_who_has_it_open() {
    on_both(|folder| async move {
        let path = folder.join("x");
        let file = File::create_new(&path).await.expect("made");
        fs::remove_file(&path).await.expect("there");
        file.write_all_at("alive", 0).await.0.expect("open");
        assert_eq!(file.metadata().await.expect("open").nlink(), 0);
        assert_eq!(file.read_exact_at([0; 5], 0).await.1, *b"alive");
    });
}
